"""Starts, answers and outcomes of calls as rows of the tables, and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias, cast

from llmguard.core.canonical import EncodingError, Json, decode, encode
from llmguard.core.effects import Answer, Crashed, Returned
from llmguard.core.errors import UsageError
from llmguard.core.messages import NO_USAGE, ModelFailure, ModelReply, Usage
from llmguard.core.outcome import Outcome, Violation
from llmguard.core.record import (
    CallStart,
    Record,
    Step,
    decode_answer,
    decode_outcome,
    encode_answer,
    encode_outcome,
    interrupted,
    raw_of,
    with_texts,
)
from llmguard.core.redaction import redact

Value: TypeAlias = str | bytes | int | float | None
Values: TypeAlias = tuple[Value, ...]

RUNNING = "running"
"""The status that lists show for a call without an outcome whose process lives."""

MAX_INTEGER = 2**63 - 1
"""The largest integer of a column (SQLite and PostgreSQL, 8 bytes); a server may report any number of tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One call as lists show it. `failures`, `rules` and `models` are those of all its attempts, each once, sorted.

    `status` is an outcome's, or `running`. Times are seconds since the epoch; `cost_usd` is what the provider reported, if
    it did for every request.
    """

    id: str
    guard: str
    fingerprint: str
    status: str
    source: str = ""
    started_at: float
    finished_at: float | None = None
    meta: Json = field(default_factory=dict)
    inputs_digest: str = ""
    failures: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    requests: int = 0
    usage: Usage = NO_USAGE
    cost_usd: float | None = None
    agreement: float | None = None
    review_probability: float = 0.0
    review_reason: str = ""
    value: Json = None
    review: str = ""
    """The newest review's verdict, if there is one."""

    @property
    def duration_s(self) -> float | None:
        return None if self.finished_at is None else self.finished_at - self.started_at


# ------------------------------------------------------------------------------------------------- to the tables


def opening_values(opening: CallStart, owner: str) -> Values:
    """In the order of `tables.OPENING`."""
    try:
        meta = redact(encode(opening.meta)).decode() if opening.meta else "{}"
    except EncodingError as error:
        raise UsageError(
            f"meta= is not a JSON value: {error}. Give text, numbers, lists or dicts with text as keys."
        ) from None
    return (
        searchable(opening.id),
        searchable(opening.guard),
        searchable(opening.fingerprint),
        redact(encode(opening.inputs)),
        searchable(opening.inputs_digest),
        meta,
        opening.started_at,
        owner,
    )


def unknown_opening_values(call_id: str, outcome: Outcome[Json], at: float, owner: str) -> Values:
    """For an outcome whose start is not in the log (yet): the call began in another process, before a fork."""
    return searchable(call_id), searchable(outcome.guard), searchable(outcome.fingerprint), None, "", "{}", at, owner


def outcome_values(outcome: Outcome[Json], finished_at: float | None) -> Values:
    """In the order of `tables.OUTCOME`."""
    words = search_words(outcome)
    return (
        finished_at,
        outcome.status,
        searchable(outcome.source),
        *(f" {' '.join(each)} " if each else "" for each in words),  # with spaces around each word, for LIKE
        len(outcome.attempts),
        min(outcome.usage.input_tokens, MAX_INTEGER),
        min(outcome.usage.output_tokens, MAX_INTEGER),
        outcome.usage.estimated,
        cost_of(outcome),
        outcome.agreement,
        outcome.review_probability,
        searchable(outcome.review_reason),
        outcome.review_reason == "audit",
        encoded_outcome(outcome),
    )


def search_words(outcome: Outcome[Json]) -> tuple[list[str], list[str], list[str]]:
    """Failures, violated rules and models of all attempts, each once, sorted: what conditions search for."""
    failures, models = set[str](), set[str]()
    rules = {violation.rule for violation in (*outcome.violations, *outcome.flags)}
    for attempt in outcome.attempts:
        models.add(attempt.model)
        if attempt.failure is not None:
            failures.add(attempt.failure)
        for violation in attempt.violations:
            rules.add(violation.rule)
    return _sorted(failures), _sorted(rules), _sorted(models)


def _sorted(words: set[str]) -> list[str]:
    """Without spaces in them, since the column separates them by spaces."""
    return sorted({searchable(word).replace(" ", "_") for word in words if word}) if words else []


def cost_of(outcome: Outcome[Json]) -> float | None:
    """US dollars as the providers reported them, if they did for every request."""
    costs = [attempt.cost_usd for attempt in outcome.attempts]
    return None if None in costs or not costs else sum(cast("list[float]", costs))


def encoded_outcome(outcome: Outcome[Json]) -> bytes:
    """The outcome. One that cannot be encoded keeps its status and says why: no call may be missing in the log."""
    try:
        return encode_outcome(outcome)
    except EncodingError as error:
        violation = Violation("", "encoding", f"the outcome cannot be encoded: {error}")
        return encode_outcome(
            Outcome(status=outcome.status, source=outcome.source, violations=(violation,), usage=outcome.usage)
        )


def step_values(call_id: str, step: Step, seq: int) -> Values:
    """In the order of `tables.STEP`."""
    answer = step.answer
    raw, raw_hash = raw_of(answer)
    kind = _KINDS[type(answer)]
    usage = cast(ModelReply, answer).usage if kind in ("reply", "failure") else NO_USAGE
    return (
        searchable(call_id),
        searchable(step.address),
        seq,
        kind,
        step.digest,
        encoded_answer(answer),
        raw,
        raw_hash,
        step.waited_s,
        answer.latency_s,
        cast(Crashed, answer).kind if kind in ("failure", "crashed") else "",
        searchable(cast(ModelReply, answer).model) if kind == "reply" else "",
        min(usage.input_tokens, MAX_INTEGER),
        min(usage.output_tokens, MAX_INTEGER),
        usage.estimated,
    )


_KINDS: dict[type, str] = {ModelReply: "reply", ModelFailure: "failure", Returned: "returned", Crashed: "crashed"}


def encoded_answer(answer: Answer) -> bytes:
    try:
        return encode_answer(answer)
    except EncodingError as error:
        return encode_answer(Crashed("crashed", f"the answer cannot be encoded: {error}"))


def searchable(text: str) -> str:
    """`text` as every database takes it: NUL and lone surrogates are escaped.

    >>> searchable("a\\x00b \\ud800 ü")
    'a\\\\u0000b \\\\ud800 ü'
    """
    if text.isprintable():
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\u0000")


# ------------------------------------------------------------------------------------------------- from the tables


def opening_of(row: Json) -> CallStart:
    return CallStart(
        id=row.id,
        guard=row.guard,
        fingerprint=row.fingerprint,
        inputs=None if row.inputs is None else decode(row.inputs),
        inputs_digest=row.inputs_digest,
        meta=row.meta,
        started_at=row.started_at,
    )


def step_of(row: Json) -> Step:
    return Step(row.address, row.digest, decode_answer(row.answer, row.raw), row.waited_s)


def record_of(call: Json, steps: Iterable[Json], owner_is_gone: bool) -> Record:
    """A whole record; a call whose process died has the outcome `interrupted`, with the answers that were paid for."""
    opening = opening_of(call)
    answered = tuple(step_of(step) for step in steps)
    if call.outcome is not None:
        outcome: Outcome[Json] | None = with_texts(decode_outcome(call.outcome), answered)
    else:
        outcome = interrupted_call(opening, answered) if owner_is_gone else None
    return Record(opening, answered, outcome)


def interrupted_call(opening: CallStart, steps: Iterable[Step]) -> Outcome[Json]:
    return replace(interrupted(steps), id=opening.id, guard=opening.guard, fingerprint=opening.fingerprint)


def row_of(call: Json) -> Row:
    """`call.listed_status` is the status as lists show it, `call.review` the newest verdict or empty."""
    outcome = decode(call.outcome) if call.outcome is not None else {}
    return Row(
        id=call.id,
        guard=call.guard,
        fingerprint=call.fingerprint,
        status=call.listed_status,
        source=call.source or "",
        started_at=call.started_at,
        finished_at=call.finished_at,
        meta=call.meta,
        inputs_digest=call.inputs_digest,
        failures=tuple((call.failures or "").split()),
        rules=tuple((call.rules or "").split()),
        models=tuple((call.models or "").split()),
        requests=call.requests or 0,
        usage=Usage(
            input_tokens=call.input_tokens or 0,
            output_tokens=call.output_tokens or 0,
            estimated=bool(call.estimated),
        ),
        cost_usd=call.cost_usd,
        agreement=call.agreement,
        review_probability=call.review_probability or 0.0,
        review_reason=call.review_reason or "",
        value=outcome.get("json"),
        review=call.review,
    )


def row_of_record(record: Record, finished_at: float | None, review: str = "") -> Row:
    """`row_of` for a record in memory."""
    opening = record.opening
    outcome: Outcome[Json] = record.outcome or Outcome(status=cast("Json", RUNNING))
    failures, rules, models = map(tuple, search_words(outcome))
    return Row(
        id=opening.id,
        guard=opening.guard,
        fingerprint=opening.fingerprint,
        status=outcome.status,
        source=outcome.source,
        started_at=opening.started_at,
        finished_at=finished_at,
        meta=opening.meta or {},
        inputs_digest=opening.inputs_digest,
        failures=failures,
        rules=rules,
        models=models,
        requests=len(outcome.attempts),
        usage=outcome.usage,
        cost_usd=cost_of(outcome),
        agreement=outcome.agreement,
        review_probability=outcome.review_probability,
        review_reason=outcome.review_reason,
        value=outcome.json,
        review=review,
    )
