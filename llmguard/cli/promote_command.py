"""`llmguard promote`: logged calls into case files, which pytest replays for ever after."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.text import Text

from llmguard.cli.arguments import LOG_URL, AsJson, LogUrl, Meta, OfGuard, OfStatus, Since, Until, Where, query
from llmguard.cli.terminal import console, emit, say, styled
from llmguard.core.canonical import EncodingError, Json, decode, encode
from llmguard.core.errors import UsageError
from llmguard.operations import promotion as operation
from llmguard.operations.logs import existing_log
from llmguard.operations.promotion import CaseOptions, PromotionReport
from llmguard.replay.cases import Expect
from llmguard.replay.cases.case import Expected
from llmguard.replay.cases.files import CASES

EXPECTED = {
    "accepted": "expects a model's value",
    "refused": "expects that no model's value is returned",
    "value": "expects its value",
}

EXAMPLES = (
    "Examples: llmguard promote 1a206f9c · llmguard promote 1a206f9c --expect '{\"total\": 120}'"
    " · llmguard promote --guard triage --since 7d --where failure=schema"
)


def promote(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...", help="Outcomes' ids, or as much of their beginnings as is unique.", show_default=False
        ),
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(
            "--expect",
            metavar="accepted|refused|VALUE|REVIEW",
            help="What must hold: a model's value is accepted; none is returned; the outcome has this value (JSON); or"
            " what the newest review says. Not given: the review, if there is one; else a failed call must be accepted"
            " (so the test is red until the guard is mended), a model's value must stay as it is, and where no model"
            " replied none must be returned.",
        ),
    ] = None,
    update: Annotated[
        bool,
        typer.Option(
            "--update",
            help="Renew cases that are there. Without --expect or a review such a case keeps what it expects.",
        ),
    ] = False,
    folder: Annotated[Path, typer.Option("--folder", metavar="DIR", help="Where the cases are.")] = CASES,
    slug: Annotated[
        str,
        typer.Option("--slug", metavar="NAME", help="The file's name; else it says what failed.", show_default=False),
    ] = "",
    since: Since = None,
    until: Until = None,
    meta: Meta = None,
    status: OfStatus = None,
    guard: OfGuard = None,
    where: Where = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="In bulk, at most so many cases.")] = 100,
    log: LogUrl = LOG_URL,
    as_json: AsJson = False,
) -> None:
    """Write logged calls as case files, DIR/<guard>/<slug>.json: `pytest` replays them, without a model and a network.

    In bulk (by --guard, --since, --where ... instead of ids) one case is written for each kind of failure: the newest call
    of those that failed alike, unless there is a case of that failure already.
    """
    bulk = bool(since or until or meta or status or guard or where)
    if bool(ids) == bulk:
        raise UsageError("say which calls to promote: either ids, or options such as --guard triage --since 7d.")
    if slug and (bulk or len(ids or ()) > 1):
        raise UsageError("--slug names one file. Give it with one id.")
    opened, options = existing_log(log), _case_options(expect, update)
    if bulk:
        calls = query(since, until, meta, status, guard, where)
        report = operation.promote_failures(opened, folder, calls, options=options, limit=limit)
    else:
        report = operation.promote(opened, ids or (), folder, options=options, slug=slug)
    if as_json:
        emit(report.to_json())
    else:
        _show(report)


def _case_options(expect: str | None, update: bool) -> CaseOptions:
    """`--expect`: accepted, refused, review, or a value."""
    word = (expect or "").strip().lower()
    if expect is None or word == "review":
        return CaseOptions(needs_review=expect is not None, update=update)
    if word in ("accepted", "refused"):
        return CaseOptions(expect=Expect(kind=cast("Expected", word)), update=update)
    return CaseOptions(expect=Expect(kind="value", value=(_value(expect),)), update=update)


def _value(text: str) -> Json:
    try:
        value = decode(text)
        encode(value)
    except (ValueError, RecursionError, EncodingError):
        quoted = f" A text is written in quotes: --expect '\"{text}\"'." if re.fullmatch(r"[\w -]{1,40}", text) else ""
        raise UsageError(
            f"--expect {text[:80]!r} is none of accepted, refused, REVIEW, and not JSON.{quoted}"
        ) from None
    return value


def _show(report: PromotionReport) -> None:
    for path, case in report.written:  # a path on one line, however narrow the terminal: it is to be copied
        line = Text.assemble(styled(str(path)), "  ", (EXPECTED[case.expect.kind], "dim"))
        console().print(line, soft_wrap=True)
    left_out = list(_left_out(report))
    if not report.written:
        left_out.append("no case was written" if left_out else "no such calls, so no case was written")
    for sentence in left_out:
        say(styled(sentence, "dim"), stderr=True)


def _left_out(report: PromotionReport) -> Iterator[str]:
    yield from (f"left out: {each}" for each in report.undecided)
    if report.failed_alike:
        yield f"left out: {report.failed_alike} that failed like a newer one"
    if report.already_there:
        yield f"left out: {report.already_there} of which there is a case already; --update renews them"
