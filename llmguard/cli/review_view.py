"""Reviews as text, and the calls to review, which show nothing of how sure the model was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from llmguard.certification.certificate import percent
from llmguard.cli.json_view import pretty
from llmguard.cli.outcome_view import block, named_pairs, named_values
from llmguard.cli.terminal import styled
from llmguard.core.canonical import Json
from llmguard.core.outcome import Outcome
from llmguard.core.safe_text import safe, safe_line
from llmguard.log import Review
from llmguard.operations.outcome_json import iso_time
from llmguard.operations.review_queue import ReviewTask

VERDICT_STYLES = {"right": "green", "wrong": "bold red", "unsure": "yellow"}


def reviews_block(outcome: Outcome[Json] | None, reviews: Sequence[Review]) -> list[RenderableType]:
    rows = list(review_rows(outcome, reviews))
    return block("reviews", named_pairs(rows)) if rows else []


def review_rows(outcome: Outcome[Json] | None, reviews: Sequence[Review]) -> Iterator[tuple[str, Text]]:
    """Why a review was asked for, and the reviews; the newest, which counts, last."""
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
    for pointer, verdict in review.fields.items():
        text.append(f"\n{safe_line(pointer)}: {verdict}")
    if review.correction:
        text.append(f"\ncorrection: {pretty(review.correction[0])}")
    return text.append(f"\n{safe(review.comment)}", "dim") if review.comment else text


def task_view(task: ReviewTask, *, full: bool = False) -> list[RenderableType]:
    """The inputs, and the value to judge."""
    head = Text("  ").join(
        [styled(task.guard, "bold"), Text(safe_line(task.id)), Text(iso_time(task.started_at), "dim")]
    )
    candidate = styled(pretty(task.candidate[0])) if task.candidate else Text("no value: nothing to judge", "dim")
    inputs = block("inputs", named_values(task.inputs, full))[:-1]
    return [head, *inputs, *block("to be judged", candidate)]
