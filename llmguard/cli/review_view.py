"""Reviews and what is to be reviewed, for people and for machines; what a reviewer sees does not say how sure the model
was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from rich.console import RenderableType
from rich.text import Text

from llmguard.certification.certificate import percent
from llmguard.cli.json_view import pretty
from llmguard.cli.outcome_view import SHORT_ID, block, named_pairs, named_values
from llmguard.cli.terminal import styled
from llmguard.core.canonical import Json
from llmguard.core.outcome import Outcome
from llmguard.core.record import Record
from llmguard.core.safe_text import safe, safe_line
from llmguard.log import OutcomeLog, Review
from llmguard.log.reviews import judged_value
from llmguard.log.rows import Row
from llmguard.operations.outcome_json import iso_time

VERDICT_STYLES = {"right": "green", "wrong": "bold red", "unsure": "yellow"}

WORK_KEYS = ("id", "guard", "started_at", "inputs", "candidate")
"""What a line of the work list says beside the review that is to be filled in."""

# ------------------------------------------------------------------------------------------------- reviews


def review_rows(outcome: Outcome[Json] | None, reviews: Sequence[Review]) -> Iterator[tuple[str, Text]]:
    """Why a person was to look, and what people said; the newest, which counts, last."""
    if outcome is not None and (outcome.review_reason or reviews):
        why = safe_line(outcome.review_reason) or "not drawn"
        yield "why", Text(f"{why}, with probability {percent(outcome.review_probability)}")
    for review in reviews:
        yield iso_time(review.at), review_text(review)


def review_text(review: Review) -> Text:
    by = f" by {safe_line(review.reviewer)}" if review.reviewer else ""
    text = Text.assemble(
        (review.verdict, VERDICT_STYLES.get(review.verdict, "")), by, " (blind)" if review.blind else ""
    )
    for pointer, said in review.fields.items():
        text.append(f"\n{safe_line(pointer)}: {said}")
    if review.correction:
        text.append(f"\ncorrection: {pretty(review.correction[0])}")
    return text.append(f"\n{safe(review.comment)}", "dim") if review.comment else text


# ------------------------------------------------------------------------------------------------- what is to be reviewed


def work_list(log: OutcomeLog, rows: Sequence[Row], limit: int) -> list[Record]:
    """The calls that give a reviewer something to judge: at most so many."""
    records = (log.get(row.id) for row in rows)
    return list(islice((each for each in records if each and each.outcome and judged_value(each.outcome)), limit))


def work_json(record: Record) -> dict[str, Json]:
    """One line of work: with a verdict it is a line that `llmguard log review --from` takes."""
    opening = record.opening
    judged = judged_value(record.outcome) if record.outcome else ()
    return {
        "id": opening.id,
        "guard": opening.guard,
        "started_at": iso_time(opening.started_at),
        "inputs": opening.inputs,
        **({"candidate": judged[0]} if judged else {}),
        "verdict": None,
        "blind": True,
    }


def work_view(record: Record, *, full: bool = False, short: bool = False) -> list[RenderableType]:
    """What came in and what was said: neither status, votes nor other attempts."""
    opening = record.opening
    judged = judged_value(record.outcome) if record.outcome else ()
    name = opening.id[:SHORT_ID] if short else opening.id
    head = Text("  ").join(
        [styled(opening.guard, "bold"), Text(safe_line(name)), Text(iso_time(opening.started_at), "dim")]
    )
    said = styled(pretty(judged[0])) if judged else Text("no value: nothing to judge", "dim")
    return [
        head,
        *block("inputs", named_values(opening.inputs, full))[:-1],
        *block("to be judged", said),
    ]


def reviews_block(outcome: Outcome[Json] | None, reviews: Sequence[Review]) -> list[RenderableType]:
    rows = list(review_rows(outcome, reviews))
    return block("reviews", named_pairs(rows)) if rows else []
