"""`llmguard log review`: a person's verdict on an outcome, one by one or from a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from llmguard.cli.arguments import LOG_URL, AsJson, LogUrl, text_of
from llmguard.cli.review_view import review_text
from llmguard.cli.terminal import emit, say
from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.safe_text import safe_line
from llmguard.log import OutcomeStore, Review
from llmguard.log.reviews import UNSET
from llmguard.operations.logs import existing_log, full_id
from llmguard.operations.outcome_json import review_json
from llmguard.operations.review_import import ReviewImport, ensure_written, import_reviews, strict_json

ID_HELP = "An outcome's id, or its first characters if they are unique."


def review(
    call_id: Annotated[str | None, typer.Argument(metavar="ID", help=ID_HELP, show_default=False)] = None,
    verdict: Annotated[
        str | None,
        typer.Argument(metavar="right|wrong|unsure", help="Your verdict on the whole value.", show_default=False),
    ] = None,
    correction: Annotated[
        str | None, typer.Option("--correction", metavar="JSON|@FILE", help="The right value.")
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option("--field", metavar="/PATH=VERDICT", help="A verdict on one field, by JSON Pointer. Repeatable."),
    ] = None,
    reviewer: Annotated[str, typer.Option("--reviewer", metavar="NAME", help="Your name.")] = "",
    comment: Annotated[str, typer.Option("--comment", metavar="TEXT", help="Your reasons.")] = "",
    blind: Annotated[
        bool, typer.Option("--blind/--not-blind", help="Whether you judged without seeing how sure the model was.")
    ] = False,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="FILE", help="JSON lines, each with id and verdict; - is standard input."),
    ] = None,
    log: LogUrl = LOG_URL,
    as_json: AsJson = False,
) -> None:
    """Record whether an outcome was right. The newest review of a call counts.

    You review the value that the model gave, even where a fallback answered in its place.

    `llmguard log list --unreviewed --json` prints lines for --from: fill in each verdict. All lines are checked before any
    review is added, and a review that the log already has is not added again. --reviewer and --blind apply to lines
    without these keys.
    """
    opened = existing_log(log)
    if source is not None:
        if call_id is not None or correction is not None or field or comment:
            raise UsageError(
                "--from FILE reads all reviews from the file. Remove ID, verdict, corrections and comment."
            )
        _show_import(import_reviews(opened, text_of(source), reviewer=reviewer, blind=blind, source=source), as_json)
        return
    if call_id is None or verdict is None:
        raise UsageError("a review needs an ID and a verdict (right, wrong or unsure), or --from FILE.")
    added = opened.review(
        full_id(opened, call_id),
        verdict,
        correction=UNSET if correction is None else _correction(correction),
        fields=_fields(field or ()),
        reviewer=reviewer,
        comment=comment,
        blind=blind,
    )
    ensure_written(opened)
    _show(opened, added, as_json)


def _show(log: OutcomeStore, review: Review, as_json: bool) -> None:
    if as_json:
        emit(review_json(review))
        return
    say(Text.assemble(safe_line(review.call_id), "  ", review_text(review)))
    count = len(log.reviews_of(review.call_id))
    if count > 1:
        say(Text(f"{count} reviews of this call; the newest counts", "dim"), stderr=True)


def _show_import(report: ReviewImport, as_json: bool) -> None:
    if as_json:
        emit(report.to_json())
    else:
        reviews = "1 review" if report.added == 1 else f"{report.added} reviews"
        say(Text(f"{reviews} added, {report.already_there} were already in the log"))


def _correction(argument: str) -> Json:
    text = text_of(argument[1:]) if argument.startswith("@") and len(argument) > 1 else argument
    return strict_json(text, "--correction (a text needs quotes)")


def _fields(pairs: Sequence[str]) -> dict[str, str]:
    verdicts: dict[str, str] = {}
    for pair in pairs:
        pointer, equals, verdict = pair.rpartition("=")  # a key may contain `=`, a verdict does not
        if not equals or not pointer:
            raise UsageError(f"--field {pair!r}: expected /PATH=VERDICT, such as /total=wrong.")
        if pointer in verdicts:
            raise UsageError(f"--field has {pointer!r} twice.")
        verdicts[pointer] = verdict
    return verdicts
