"""One call as text: its inputs, each request and function in order, and its outcome."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmguard.cli.json_view import pretty
from llmguard.cli.terminal import status_text, styled
from llmguard.cli.vote_view import vote_rows
from llmguard.core.canonical import Json
from llmguard.core.effects import Crashed, Returned
from llmguard.core.messages import ModelReply, Usage
from llmguard.core.outcome import Attempt, Outcome, Repair, Violation
from llmguard.core.record import CallStart, Record, Step, interrupted
from llmguard.core.safe_text import clip, safe, safe_line
from llmguard.guard.guard import total_cost
from llmguard.operations.outcome_json import iso_time

CLIPPED_CHARS, CLIPPED_LINES = 480, 8
"""Of a text without --full: so that a call with a few attempts fits on a screen or two."""
FULL_CHARS = 2_000_000
"""Of a text with --full: what a terminal still shows within seconds."""
VIOLATIONS_SHOWN = 8
FACT_CHARS = 120
SHORT_ID = 16
"""Digits of an id in lists: the millisecond and 24 random bits."""


def record_view(
    record: Record,
    finished_at: float | None = None,
    *,
    rungs: Sequence[str] = (),
    reviews: Sequence[RenderableType] = (),
    full: bool = False,
) -> list[RenderableType]:
    """Everything that happened: inputs, attempts, vote, reviews and outcome. `rungs`: the names of the ladder."""
    opening = record.opening
    outcome = record.outcome or interrupted(record.steps)
    lines: list[RenderableType] = [_headline(opening, record.outcome, finished_at), Text("")]
    lines += block("inputs", named_values(opening.inputs, full))
    if opening.meta:
        lines += block("meta", named_values(opening.meta, full))
    lines += block("what happened", events_view(record.steps, outcome, rungs=rungs, full=full))
    if votes := list(vote_rows(outcome)):
        lines += block("vote", named_pairs(votes))
    return [*lines, *reviews, *_result_view(outcome, running=record.outcome is None)]


def _headline(opening: CallStart, outcome: Outcome[Json] | None, finished_at: float | None) -> RenderableType:
    parts = [styled(opening.guard, "bold"), status_text(outcome.status if outcome else "running")]
    if outcome and outcome.source:
        parts.append(Text(f"by {safe_line(outcome.source)}"))
    parts += [Text(opening.id, "dim"), Text(iso_time(opening.started_at), "dim")]
    if finished_at is not None:
        parts.append(Text(duration(finished_at - opening.started_at), "dim"))
    return Text("  ").join(parts)


def block(title: str, body: RenderableType) -> list[RenderableType]:
    return [Text(title, "bold"), _indented(body), Text("")]


def named_values(values: Json, full: bool) -> RenderableType:
    if not isinstance(values, dict):
        return styled(value_text(values, full))
    if not values:
        return Text("none", "dim")
    return named_pairs((name, styled(value_text(value, full))) for name, value in values.items())


def value_text(value: Json, full: bool = False) -> str:
    """A value as text: strings as they are, other values as JSON; clipped."""
    return clipped(value if isinstance(value, str) else pretty(value), full)


def clipped(text: str, full: bool = False) -> str:
    """The first characters and lines, with a note of how much follows."""
    if full:
        return safe(text[:FULL_CHARS])
    head = text[:CLIPPED_CHARS]
    lines = head.split("\n")
    head = "\n".join(lines[:CLIPPED_LINES])
    left = len(text) - len(head)
    return safe(head.rstrip("\n")) + (f" … ({left:,} more characters)" if text[len(head) :].strip() else "")


def events_view(
    steps: Sequence[Step], outcome: Outcome[Json], *, rungs: Sequence[str] = (), full: bool = False
) -> RenderableType:
    """Each request and function in the order of the answers; then the requests that were never sent."""
    attempts = {attempt.address: attempt for attempt in outcome.attempts}
    rows: list[tuple[str, RenderableType]] = []
    for step in steps:
        attempt = attempts.pop(step.address, None)
        if attempt is not None:
            rows += _attempt_rows(attempt, step.waited_s, full=full)
        else:
            rows += _function_rows(step, _function_name(step.address, rungs), full)
    for attempt in attempts.values():
        rows += _attempt_rows(attempt, full=full)
    return named_pairs(rows) if rows else Text("no request was made", "dim")


def _attempt_rows(attempt: Attempt, waited_s: float = 0.0, *, full: bool = False) -> list[tuple[str, RenderableType]]:
    """One request: its rung, the reply, the repairs, and what was wrong."""
    rows: list[tuple[str, RenderableType]] = [(attempt.address, _request_text(attempt, waited_s))]
    if attempt.text:
        rows.append(("  reply", styled(clipped(attempt.text, full), "cyan")))
    rows += [("  repaired", repair_text(each)) for each in attempt.repairs]
    rows += _failure_rows(attempt, full=full)
    if attempt.failure is None:
        rows.append(("  passed", Text("fits the schema and every check", "green")))
    return rows


def _request_text(attempt: Attempt, waited_s: float) -> Text:
    facts = [duration(attempt.latency_s)] if attempt.latency_s else []
    if attempt.usage.total_tokens:
        facts.append(_token_text(attempt.usage))
    if attempt.cost_usd:
        facts.append(dollars(attempt.cost_usd))
    if waited_s:
        facts.append(f"after waiting {duration(waited_s)}")
    return Text.assemble(safe_line(attempt.rung), "  ", (", ".join(facts), "dim"))


def _failure_rows(attempt: Attempt, *, full: bool = False) -> list[tuple[str, RenderableType]]:
    if attempt.failure is None:
        return []
    if not attempt.violations:
        failure = f"{attempt.failure}: {attempt.message}" if attempt.message else attempt.failure
        return [("  failed", styled(clipped(failure, full), "red"))]
    return [("  failed", _violations_text(attempt.violations, full))]


def _violations_text(violations: Sequence[Violation], full: bool) -> Text:
    """One per line, at most `VIOLATIONS_SHOWN` unless `full`."""
    listed = violations if full else violations[:VIOLATIONS_SHOWN]
    text = Text("\n").join(violation_text(each, full) for each in listed)
    more = len(violations) - len(listed)
    return text.append(f"\n… and {more} more", "dim") if more else text


def violation_text(violation: Violation, full: bool = False, *, facts: bool = True) -> Text:
    """Path, message and rule; with `facts` the expected and the received value on a second line."""
    where = f"{safe_line(violation.path)}: " if violation.path else ""
    text = Text.assemble((where + clipped(violation.message, full), "red"), (f"  [{safe_line(violation.rule)}]", "dim"))
    data = [
        (word, value)
        for word, value in (("expected", violation.expected), ("received", violation.actual))
        if value is not None
    ]
    if facts and data:
        text.append(
            "\n" + ", ".join(f"{word} {safe_line(value_text(value), FACT_CHARS)}" for word, value in data), "dim"
        )
    return text


def repair_text(repair: Repair) -> Text:
    where = f"{safe_line(repair.path)}: " if repair.path else ""
    change = (
        ""
        if repair.before is None and repair.after is None
        else f" {value_text(repair.before)} → {value_text(repair.after)}"
    )
    return Text.assemble(
        f"{where}{safe_line(repair.rule or 'repair')}{safe_line(change, 160)}", (f"  [{repair.kind}]", "dim")
    )


def _function_name(address: str, rungs: Sequence[str]) -> str:
    """The function of an address: a check by its name, a rung by its name in the ladder."""
    last = address.rpartition("/")[2]
    if last.startswith("c:"):
        return f"check {safe_line(last[2:])}"
    number = last[1:]
    return safe_line(rungs[int(number)]) if number.isdecimal() and int(number) < len(rungs) else ""


def _function_rows(step: Step, name: str, full: bool) -> list[tuple[str, RenderableType]]:
    """A check, a fallback, or a request that is not among the outcome's attempts, such as a judge's."""
    answer = step.answer
    head = Text.assemble(name, "  " if name else "", (duration(answer.latency_s), "dim"))
    if isinstance(answer, Returned):
        value = Text("nothing", "dim") if answer.value is None else styled(value_text(answer.value, full))
        return [(step.address, head), ("  returned", value)]
    if isinstance(answer, Crashed):
        return [(step.address, head), ("  " + answer.kind, styled(clipped(answer.error, full), "red"))]
    text = answer.text if isinstance(answer, ModelReply) else f"{answer.kind}: {answer.message}"
    return [(step.address, head), ("  reply", styled(clipped(text, full), "cyan"))]


def _result_view(outcome: Outcome[Json], *, running: bool = False) -> Iterator[RenderableType]:
    """Which rung answered, its value, and the cost."""
    if running:
        yield Text("no outcome yet: the call is running, or its process died", "dim")
        return
    first, *rest = ending_view(outcome)
    yield first
    if outcome.has_value:
        yield _indented(styled(pretty(outcome.json)))
    elif outcome.json is not None:
        yield _indented(Text("its provisional value, which was not accepted:", "dim"))
        yield _indented(styled(pretty(outcome.json)))
    yield from rest


def ending_view(outcome: Outcome[Json]) -> Iterator[RenderableType]:
    """The ending without the value."""
    yield _answered_text(outcome)
    shown_before = {str(violation) for attempt in outcome.attempts for violation in attempt.violations}
    others = [violation for violation in outcome.violations if str(violation) not in shown_before]
    if others and not outcome.has_value:
        yield _indented(_violations_text(others, full=False))
    for flag in outcome.flags:
        yield Text.assemble(("flagged for review  ", "magenta"), violation_text(flag))
    if outcome.skipped_checks:
        yield Text(
            f"checks skipped because the deadline was near: {', '.join(map(safe_line, outcome.skipped_checks))}",
            "magenta",
        )
    yield Text(_cost_text(outcome), "dim")


def _indented(body: RenderableType) -> Padding:
    return Padding(body, (0, 0, 0, 2), expand=False)


def _answered_text(outcome: Outcome[Json]) -> Text:
    ends = {
        "accepted": "answered by",
        "recovered": "answered, after a repair, re-ask or further rung, by",
        "fallback": "answered without a model, by",
        "escalated": "handed to a person, by",
    }
    if outcome.status not in ends:
        ends_as = {"rejected": "no rung gave a valid value", "interrupted": "the call was interrupted"}
        return Text.assemble(status_text(outcome.status), ("  " + ends_as.get(outcome.status, ""), ""))
    return Text.assemble(status_text(outcome.status), f"  {ends[outcome.status]} ", (safe_line(outcome.source), "bold"))


def _cost_text(outcome: Outcome[Json]) -> str:
    number = len(outcome.attempts)
    parts = [f"{number} request{'' if number == 1 else 's'}", _token_text(outcome.usage)]
    cost = total_cost(outcome.attempts)
    parts.append("price not known" if cost is None else dollars(cost))
    return ", ".join(parts)


def named_pairs(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(Text(clip(safe_line(name), 32)), value)
    return grid


# ------------------------------------------------------------------------------------------------- units


def _token_text(usage: Usage) -> str:
    about = "about " if usage.estimated else ""
    return f"{about}{usage.input_tokens:,} + {usage.output_tokens:,} tokens"


def dollars(amount: float) -> str:
    """With as many digits as a fraction of a cent needs."""
    if not amount:
        return "$0"
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.6f}".rstrip("0")


def duration(seconds: float) -> str:
    if seconds < 0.001:
        return f"{max(0.0, seconds) * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
