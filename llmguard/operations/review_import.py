"""Reviews from lines of JSON: all lines are checked before the first review is added to the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from llmguard.core.canonical import Json
from llmguard.core.errors import LLMGuardError, LogError, UsageError
from llmguard.log import OutcomeStore, Review
from llmguard.log.reviews import UNSET, VERDICTS, ReviewInput
from llmguard.operations.logs import full_id
from llmguard.operations.points_in_time import parse_time
from llmguard.operations.review_queue import TASK_KEYS
from llmguard.parsing.syntax.strict import NotStrict, load, violation
from llmguard.schema.words import hint

REVIEW_KEYS = ("verdict", "correction", "fields", "reviewer", "comment", "blind", "at")
IGNORED_KEYS = ("review",)
"""The id of an exported review: a review that is added gets a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewImport:
    """How many reviews were added, and how many the log had already."""

    added: int
    already_there: int

    def to_json(self) -> dict[str, Json]:
        """What `llmguard log review --from FILE --json` prints."""
        return {"added": self.added, "already_there": self.already_there}


def import_reviews(
    log: OutcomeStore, text: str, *, reviewer: str = "", blind: bool = False, source: str = "text"
) -> ReviewImport:
    """Add the reviews of JSON lines, each an object with `id` and `verdict`, such as the tasks of a review queue.

    `reviewer` and `blind` are for lines without these keys. `source` names the text in errors. A review that the log has
    already is not added again.

    >>> from llmguard import Guard
    >>> from llmguard.log import open_log
    >>> from llmguard.testing import ScriptedModel
    >>> log = open_log("sqlite:///reviewed.db")
    >>> guard = Guard("size", prompt="?", schema={"enum": ["S", "L"]}, models=[ScriptedModel(['"L"'])], log=log)
    >>> import_reviews(log, f'{{"id": "{guard.run().id}", "verdict": "right"}}', reviewer="ann")
    ReviewImport(added=1, already_there=0)

    Raises:
        UsageError: some lines are invalid; no review is added.
        LogError: the reviews could not be written.
    """
    now, defaults = datetime.now(), ReviewInput("", UNSET, None, reviewer, "", blind)
    reviews: list[Review] = []
    invalid: list[str] = []
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    for number, line in lines:
        try:
            reviews.append(_review(log, strict_json(line, "not a line of JSON"), defaults, now))
        except LLMGuardError as error:
            invalid.append(f"  line {number}: {error}")
    if invalid:
        raise UsageError(
            f"{source!r}: {len(invalid)} of {len(lines)} lines are invalid, so no review is added.\n"
            + "\n".join(invalid)
        )
    added = log.add_reviews(reviews)
    ensure_written(log)
    return ReviewImport(added=added, already_there=len(reviews) - added)


def ensure_written(log: OutcomeStore) -> None:
    """LogError unless all reviews are on the disk: a command ends right after, and with it what waits to be written."""
    if not log.flush():
        raise LogError(
            "the review could not be written to the log. Check disk and permissions, and repeat the command."
        )


def strict_json(text: str, subject: str) -> Json:
    """The value of strict JSON that a person wrote; UsageError says what is wrong with it."""
    try:
        return load(text)
    except NotStrict as error:
        wrong = violation(error.rule, error.actual)
        excerpt = f" ({error.actual:.80})" if error.actual else ""
        raise UsageError(f"{subject}: {wrong.message}{excerpt}; expected {wrong.expected}.") from None


def _review(log: OutcomeStore, line: Json, defaults: ReviewInput, now: datetime) -> Review:
    if not isinstance(line, dict):
        raise UsageError(f"expected an object with id and verdict, got {type(line).__name__}.")
    _refuse_keys(line)
    review = ReviewInput(
        line["verdict"],
        line.get("correction", UNSET),
        line.get("fields"),
        line.get("reviewer", defaults.reviewer),
        line.get("comment", ""),
        line.get("blind", defaults.blind),
        line.get("candidate", UNSET),
    )
    return log.checked_review(full_id(log, _id_in(line)), review, _time_in(line, now))


def _refuse_keys(line: dict[str, Json]) -> None:
    known = (*TASK_KEYS, *REVIEW_KEYS, *IGNORED_KEYS)
    for key in line:
        if key not in known:
            raise UsageError(f"unknown key {key!r:.80}{hint(key, known)}. Known: {', '.join(known)}.")
    if line.get("verdict") is None:
        raise UsageError(f"there is no verdict. Write {', '.join(VERDICTS)}, or remove the line.")


def _id_in(line: dict[str, Json]) -> str:
    call_id = line.get("id")
    if not isinstance(call_id, str):
        raise UsageError(f"id: expected an outcome's id as text, got {call_id!r:.80}.")
    return call_id


def _time_in(line: dict[str, Json], now: datetime) -> Json:
    """Seconds since the epoch; a time as text is parsed. `checked_review` refuses anything else."""
    at = line.get("at")
    if at is None:
        return now.timestamp()
    return parse_time(at, now) if isinstance(at, str) else at
