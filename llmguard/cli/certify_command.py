"""`llmguard certify`: a certificate from reviewed audits, and the drift monitor of the one in force."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from llmguard.certification.certificate import Method
from llmguard.cli.arguments import AsJson, BaseUrl, GuardName, Model
from llmguard.cli.certify_view import drift_view, report_view
from llmguard.cli.terminal import NEGATIVE, emit, say, styled
from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.guard.guard import Guard
from llmguard.operations.certify import certify_guard, draw_certificate, draw_drift, follow_drift, monitor_drift
from llmguard.operations.certify.plots import refuse_plot
from llmguard.operations.find_guard import Target, find_guard
from llmguard.operations.logs import existing_log
from llmguard.operations.points_in_time import parse_time


def certify(
    target: Annotated[
        str,
        typer.Argument(
            help="module:attribute, or a folder with prompts/ and schemas/.", metavar="GUARD", show_default=False
        ),
    ],
    alpha: Annotated[
        float | None,
        typer.Option("--alpha", metavar="SHARE", help="At most so much may be wrong; default: the guard's own."),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option("--delta", metavar="SHARE", help="1 - confidence; default: the guard's own, or 0.05."),
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", metavar="exact|anytime", help="anytime: look as often as you like.")
    ] = None,
    days: Annotated[
        float | None, typer.Option("--days", metavar="DAYS", help="Validity; default: the guard's max_age_s, or 30.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Count audits from then on: a date, an age (30d).")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw the plot into a .png or .svg file.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Store, suspend and log nothing.")] = False,
    monitor: Annotated[
        bool, typer.Option("--watch", help="Look for drift under the certificate in force, and suspend it.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="With --watch: go on until drift, or Ctrl-C.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Samples, costs, fields; the drift curve.")] = False,
    name: GuardName = None,
    model: Model = None,
    base_url: BaseUrl = None,
    log: Annotated[
        str | None,
        typer.Option("--log", envvar="LLMGUARD_LOG", metavar="URL", help="The log; default: the guard's own."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Certify from reviewed audits that at most alpha of what a guard accepts automatically is wrong, and store it.

    Exit status 1 if it is refused; with --watch, if no certificate is in force or drift was found.
    """
    _refuse_options(monitor, follow, alpha=alpha, delta=delta, method=method, days=days, since=since)
    if plot is not None:
        refuse_plot(plot)
    if log is not None:
        existing_log(log)
    guard = find_guard(Target(named=target, name=name, model=model, base_url=base_url, log=log))
    if monitor:
        _print_drift(guard, follow, plot, dry_run=dry_run, verbose=verbose, as_json=as_json)
        return
    report = certify_guard(
        guard,
        alpha=alpha,
        delta=delta,
        method=_method(method),
        days=days,
        since=parse_time(since, datetime.now()) if since else None,
        store=not dry_run,
    )
    emit(report.to_json()) if as_json else say(*report_view(report, verbose=verbose))
    if plot is not None:
        draw_certificate(plot, report.result, report.curve, guard.name)
        _say_plot(plot)
    if not report.is_certified:
        raise typer.Exit(NEGATIVE)


def _print_drift(
    guard: Guard[Json], follow: bool, plot: Path | None, *, dry_run: bool, verbose: bool, as_json: bool
) -> None:
    """Each report as it comes; Ctrl-C ends a monitor that found no drift."""
    reports = follow_drift(guard, suspend=not dry_run) if follow else iter([monitor_drift(guard, suspend=not dry_run)])
    try:
        for report in reports:
            emit(report.to_json()) if as_json else say(*drift_view(report, verbose=verbose))
            if plot is not None and report.drift is not None and report.certificate is not None:
                draw_drift(plot, report.drift, report.certificate)
                _say_plot(plot)
            if not report.holds:
                raise typer.Exit(NEGATIVE)
    except KeyboardInterrupt:
        if not follow:
            raise


def _say_plot(file: Path) -> None:
    say(styled(f"picture: {file}", "dim"), stderr=True)


def _refuse_options(monitor: bool, follow: bool, **options: float | str | None) -> None:
    for option, value in options.items():
        if monitor and value is not None:
            raise UsageError(
                f"--{option} goes with a new certificate; --watch looks at the one in force, by its own terms."
            )
    if follow and not monitor:
        raise UsageError("--follow goes with --watch.")
    for option, example in (("alpha", "0.02 for 2 % wrong"), ("delta", "0.05 for 95 % confidence")):
        share = options[option]
        if isinstance(share, float) and not 0 < share < 1:
            raise UsageError(f"--{option}: expected a share above 0 and below 1, got {share:g}. Write {example}.")
    days = options["days"]
    if isinstance(days, float) and not (days > 0 and math.isfinite(days)):
        raise UsageError(f"--days: expected a number above 0, got {days:g}. Write 30 for a month.")


def _method(name: str | None) -> Method:
    if name is None:
        return "exact"
    if name not in get_args(Method):
        raise UsageError(
            f"--method: expected exact (one scheduled look) or anytime (as many as you like), got {name!r}."
        )
    return cast(Method, name)
