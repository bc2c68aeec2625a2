"""`llmguard certify`: a certificate out of reviewed audits, and the watch over the one in force."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from llmguard.certification import Certificate, CertificateRefusal
from llmguard.certification.certificate import Method
from llmguard.cli.arguments import AsJson, BaseUrl, GuardName, Model
from llmguard.cli.certify_view import Told, told_json, told_view, watched_json, watched_view
from llmguard.cli.terminal import NEGATIVE, emit, say, styled
from llmguard.core.canonical import Json
from llmguard.core.errors import LogError, UsageError
from llmguard.guard.guard import Guard
from llmguard.operations.certify import (
    Watched,
    alarm,
    curve_of,
    draw_certificate,
    draw_drift,
    evidence_of,
    figures_of,
    watched,
)
from llmguard.operations.certify.plots import refuse_picture
from llmguard.operations.find_guard import Target, find_guard
from llmguard.operations.logs import existing_log
from llmguard.operations.points_in_time import parse_time

DAY_S = 86_400.0
DAYS = 30.0
POLL_S = 2.0


def certify(
    target: Annotated[
        str,
        typer.Argument(
            help="module:attribute, or a folder with prompts/ and schemas/.", metavar="GUARD", show_default=False
        ),
    ],
    alpha: Annotated[
        float | None,
        typer.Option("--alpha", metavar="SHARE", help="At most so much may be wrong; else the guard's own."),
    ] = None,
    delta: Annotated[
        float | None, typer.Option("--delta", metavar="SHARE", help="1 - confidence; else the guard's own, or 0.05.")
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", metavar="exact|anytime", help="anytime: look as often as you like.")
    ] = None,
    days: Annotated[
        float | None, typer.Option("--days", metavar="DAYS", help="Valid so long; else the guard's max_age_s, or 30.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Count audits from then on: a date, an age (30d).")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw the picture into a .png or .svg file.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Store, suspend and log nothing.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look for drift under the certificate in force, and suspend it.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="With --watch: go on until an alarm, or Ctrl-C.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Samples, costs, fields; the drift curve.")] = False,
    name: GuardName = None,
    model: Model = None,
    base_url: BaseUrl = None,
    log: Annotated[
        str | None,
        typer.Option("--log", envvar="LLMGUARD_LOG", metavar="URL", help="The log; else the guard's own."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Certify from reviewed audits that at most alpha of what a guard accepts automatically is wrong, and store it.

    Exit status 1 if it is refused; with --watch, if no certificate is in force or drift was found.
    """
    _refuse_options(watch, follow, alpha=alpha, delta=delta, method=method, days=days, since=since)
    if plot is not None:
        refuse_picture(plot)
    if log is not None:
        existing_log(log)
    guard = find_guard(Target(named=target, name=name, model=model, base_url=base_url, log=log))
    show = _Show(plot, dry_run, verbose, as_json)
    if watch:
        status = _follow(guard, show) if follow else _watch(guard, show)
    else:
        status = _certify(guard, show, alpha, delta, _method(method), days, since)
    if status:
        raise typer.Exit(status)


class _Show:
    """What is shown, and where."""

    def __init__(self, plot: Path | None, dry_run: bool, verbose: bool, as_json: bool) -> None:
        self.plot, self.dry_run, self.verbose, self.as_json = plot, dry_run, verbose, as_json

    def drawn(self, draw: Callable[[Path], None]) -> None:
        if self.plot is not None:
            draw(self.plot)
            say(styled(f"picture: {self.plot}", "dim"), stderr=True)


# ------------------------------------------------------------------------------------------------- a certificate


def _certify(
    guard: Guard[Json],
    show: _Show,
    alpha: float | None,
    delta: float | None,
    method: Method,
    days: float | None,
    since: str | None,
) -> int:
    now = time.time()
    evidence = evidence_of(guard, alpha=alpha, delta=delta, since=parse_time(since, datetime.now()) if since else None)
    found = evidence.certify(method, issued_at=now, expires_at=now + _valid_s(guard, days))
    stored = isinstance(found, Certificate) and not show.dry_run
    if stored:
        _store(guard, cast(Certificate, found), now)
    curve = curve_of(evidence)
    told = Told(guard, evidence, found, curve, figures_of(guard, evidence, found), stored=stored)
    if show.as_json:
        emit(told_json(told))
    else:
        say(*told_view(told, verbose=show.verbose))
    show.drawn(lambda file: draw_certificate(file, found, curve, guard.name))
    return NEGATIVE if isinstance(found, CertificateRefusal) else 0


def _store(guard: Guard[Json], certificate: Certificate, now: float) -> None:
    guard.log.keep_certificate(certificate, now)
    if not guard.log.flush():
        raise LogError(
            "the certificate could not be written to the log. See to disk and permissions, then certify again."
        )


def _valid_s(guard: Guard[Json], days: float | None) -> float:
    """As asked; but never longer than the guard believes in it."""
    asked = DAYS * DAY_S if days is None else days * DAY_S
    most = guard.policy.accept.max_age_s if guard.policy.accept else None
    return asked if most is None else most if days is None else min(asked, most)


# ------------------------------------------------------------------------------------------------- the watch


def _watch(guard: Guard[Json], show: _Show) -> int:
    found = watched(guard)
    outcome = None if show.dry_run else alarm(guard, found, time.time())
    told = outcome.id if outcome else None
    if show.as_json:
        emit(watched_json(found, told))
    else:
        say(*watched_view(found, told, verbose=show.verbose))
    drift, certificate = found.drift, found.certificate
    if drift is not None and certificate is not None:
        show.drawn(lambda file: draw_drift(file, drift, certificate))
    return _status(found)


def _status(found: Watched) -> int:
    return NEGATIVE if found.alarm or found.certificate is None else 0


def _follow(guard: Guard[Json], show: _Show) -> int:
    """Tells what it found when that changes; ends with an alarm, or where nothing is in force any more."""
    seen: Watched | None = None
    try:
        while True:
            found = watched(guard)
            if _status(found):
                return _watch(guard, show)
            if found != seen:
                _watch(guard, show)
            seen = found
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        return 0


# ------------------------------------------------------------------------------------------------- what is refused


def _refuse_options(watch: bool, follow: bool, **given: float | str | None) -> None:
    for option, value in given.items():
        if watch and value is not None:
            raise UsageError(
                f"--{option} goes with a new certificate; --watch looks at the one in force, by its own terms."
            )
    if follow and not watch:
        raise UsageError("--follow goes with --watch.")
    for option, example in (("alpha", "0.02 for 2 % wrong"), ("delta", "0.05 for 95 % confidence")):
        share = given[option]
        if isinstance(share, float) and not 0 < share < 1:
            raise UsageError(f"--{option} is a share above 0 and below 1, found {share:g}. Write {example}.")
    days = given["days"]
    if isinstance(days, float) and not (days > 0 and math.isfinite(days)):
        raise UsageError(f"--days is a number above 0, found {days:g}. Write 30 for a month.")


def _method(given: str | None) -> Method:
    if given is None:
        return "exact"
    if given not in get_args(Method):
        raise UsageError(
            f"--method {given!r} is none. It is exact (one scheduled look) or anytime (as many as you like)."
        )
    return cast(Method, given)
