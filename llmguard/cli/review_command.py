"""`llmguard log review`: a person's word on an outcome, one by one or from a file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from llmguard.cli.arguments import LOG_URL, AsJson, LogUrl, json_value, text_of
from llmguard.cli.review_view import WORK_KEYS, review_text
from llmguard.cli.terminal import emit, say
from llmguard.core.canonical import Json
from llmguard.core.errors import LLMGuardError, LogError, UsageError
from llmguard.core.safe_text import safe_line
from llmguard.log import OutcomeLog, Review
from llmguard.log.reviews import UNSET, VERDICTS, ReviewInput
from llmguard.operations.logs import existing_log, full_id
from llmguard.operations.outcome_json import review_json
from llmguard.operations.points_in_time import parse_time
from llmguard.schema.words import hint

WORD_KEYS = ("verdict", "correction", "fields", "reviewer", "comment", "blind", "at")
ALSO_KNOWN = ("review",)
"""The id of a review, where reviews of a log are read back in: it gets a new one."""

ID_HELP = "An outcome's id, or as much of its beginning as is unique."


def review(
    call_id: Annotated[str | None, typer.Argument(metavar="ID", help=ID_HELP, show_default=False)] = None,
    verdict: Annotated[
        str | None, typer.Argument(metavar="right|wrong|unsure", help="Of the whole value.", show_default=False)
    ] = None,
    correction: Annotated[
        str | None, typer.Option("--correction", metavar="JSON|@FILE", help="What it should have been.")
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option("--field", metavar="/PATH=VERDICT", help="Of one part, by JSON Pointer; several."),
    ] = None,
    reviewer: Annotated[str, typer.Option("--reviewer", metavar="NAME", help="Who says so.")] = "",
    comment: Annotated[str, typer.Option("--comment", metavar="TEXT", help="Why.")] = "",
    blind: Annotated[bool, typer.Option("--blind/--not-blind", help="You did not see how sure the model was.")] = False,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="FILE", help="JSON lines, each with id and verdict; - is standard input."),
    ] = None,
    log: LogUrl = LOG_URL,
    as_json: AsJson = False,
) -> None:
    """Say whether an outcome was right. The model's candidate is judged, whatever rung answered; the newest review counts.

    `llmguard log list --unreviewed --json` gives lines for --from, to be filled in. All its lines are checked before any
    is kept, and what is in the log already is not added again; --reviewer and --blind are for lines that do not say.
    """
    opened = existing_log(log)
    if source is not None:
        if call_id is not None or correction is not None or field or comment:
            raise UsageError(
                "--from FILE takes reviews from the file alone. Leave out ID, verdict, corrections and comment."
            )
        _from_file(opened, source, ReviewInput("", UNSET, None, reviewer, "", blind), as_json)
        return
    if call_id is None or verdict is None:
        raise UsageError("a review needs an ID and a verdict (right, wrong or unsure), or --from FILE.")
    kept = opened.review(
        full_id(opened, call_id),
        verdict,
        correction=_correction(correction),
        fields=_fields(field or ()),
        reviewer=reviewer,
        comment=comment,
        blind=blind,
    )
    _refuse_memory(opened)
    _tell(opened, kept, as_json)


def _tell(log: OutcomeLog, kept: Review, as_json: bool) -> None:
    if as_json:
        emit(review_json(kept))
        return
    say(Text.assemble(safe_line(kept.call_id), "  ", review_text(kept)))
    count = len(log.reviews_of(kept.call_id))
    if count > 1:
        say(Text(f"{count} reviews of this call; the newest counts", "dim"), stderr=True)


def _correction(given: str | None) -> Json:
    if given is None:
        return UNSET
    text = text_of(given[1:]) if given.startswith("@") and len(given) > 1 else given
    return json_value(text, "--correction (a text stands in quotes)")


def _fields(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in given:
        pointer, equals, verdict = pair.rpartition("=")  # a key may hold a `=`, and a verdict does not
        if not equals or not pointer:
            raise UsageError(f"--field {pair!r} is no /PATH=VERDICT, as in /total=wrong.")
        if pointer in found:
            raise UsageError(f"--field judges {pointer!r} twice.")
        found[pointer] = verdict
    return found


def _refuse_memory(log: OutcomeLog) -> None:
    """A command ends right after: what waits for better times would be lost."""
    if not log.flush():
        raise LogError("the review could not be written to the log. See to disk and permissions, and give it again.")


# ------------------------------------------------------------------------------------------------- from a file


def _from_file(log: OutcomeLog, source: str, usual: ReviewInput, as_json: bool) -> None:
    now = datetime.now()
    reviews: list[Review] = []
    bad: list[str] = []
    lines = [(number, line) for number, line in enumerate(text_of(source).split("\n"), start=1) if line.strip()]
    for number, line in lines:
        try:
            reviews.append(_reviewed(log, json_value(line.strip(), "not a line of JSON"), usual, now))
        except LLMGuardError as error:
            bad.append(f"  line {number}: {error}")
    if bad:
        raise UsageError(
            f"{source!r}: {len(bad)} of {len(lines)} lines cannot be taken, so none is.\n" + "\n".join(bad)
        )
    added = log.add_reviews(reviews)
    _refuse_memory(log)
    if as_json:
        emit({"added": added, "already_there": len(reviews) - added})
    else:
        say(Text(f"{added} review{'' if added == 1 else 's'} added, {len(reviews) - added} were there already"))


def _reviewed(log: OutcomeLog, said: Json, usual: ReviewInput, now: datetime) -> Review:
    if not isinstance(said, dict):
        raise UsageError(f"found {type(said).__name__}, expected an object with id and verdict.")
    _refuse_keys(said)
    word = ReviewInput(
        said["verdict"],
        said.get("correction", UNSET),
        said.get("fields"),
        said.get("reviewer", usual.reviewer),
        said.get("comment", ""),
        said.get("blind", usual.blind),
        said.get("candidate", UNSET),
    )
    return log.checked_review(full_id(log, _id_in(said)), word, _at(said.get("at"), now))


def _refuse_keys(said: dict[str, Any]) -> None:
    known = (*WORK_KEYS, *WORD_KEYS, *ALSO_KNOWN)
    for key in said:
        if key not in known:
            raise UsageError(f"unknown key {key!r:.80}{hint(key, known)}. Known: {', '.join(known)}.")
    if said.get("verdict") is None:
        raise UsageError(f"there is no verdict. Say {', '.join(VERDICTS)}, or take the line out.")


def _id_in(said: dict[str, Any]) -> str:
    found = said.get("id")
    if not isinstance(found, str):
        raise UsageError(f"id is an outcome's id as text, found {found!r:.80}.")
    return found


def _at(found: Json, now: datetime) -> float:
    """Seconds since the epoch, or a time as text."""
    if found is None:
        return now.timestamp()
    return parse_time(found, now) if isinstance(found, str) else found  # what else it may be is refused with the rest
