"""What an outcome records of a vote: its samples, the support of each field, and the values that did not win."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from llmguard.core.canonical import Json, encode
from llmguard.core.messages import NO_USAGE
from llmguard.core.outcome import Alternative, FieldSupport, Sample, Vote
from llmguard.engine.ladder import ModelRung
from llmguard.engine.verdict import Verdict
from llmguard.voting import FieldVote, SelfConsistency, VoteResult
from llmguard.voting.confidence import confidence_of

MAX_ALTERNATIVES = 5
"""Whole values that did not win, as an outcome lists them: a person compares no more at a glance."""

MAX_COMPARED_BYTES = 1_000_000
"""Compared to distinguish alternatives: a second of work at most, also for lists of a thousand elements."""

VoteSource = Literal["vote", "medoid"]


def record_vote(
    rung: ModelRung,
    result: VoteResult,
    samples: Sequence[Verdict],
    *,
    candidate: tuple[Json, ...],
    accepted: bool,
    source: VoteSource = "vote",
) -> Vote:
    return Vote(
        rung=rung.label,
        candidate=candidate,
        accepted=accepted,
        reason=result.reason,
        used=result.used,
        agreement=result.vote.agreement,
        dissent=result.vote.dissent,
        samples=tuple(sample_of(rung, number, verdict) for number, verdict in enumerate(samples)),
        source=source,
        ambiguous=result.vote.ambiguous,
        rule=consistency_of(rung).description(),
    )


def sample_of(rung: ModelRung, number: int, verdict: Verdict) -> Sample:
    return Sample(
        label=_label(rung, number),
        valid=verdict.passed,
        value=verdict.value,
        failure=verdict.failure,
        usage=sum((each.usage for each in verdict.attempts), NO_USAGE),
        latency_s=sum(each.latency_s for each in verdict.attempts),
    )


def _label(rung: ModelRung, number: int) -> str:
    own = rung.variant(number).label
    return f"{own} (variant {number % len(rung.variants) + 1})" if rung.variants else own


def support_by_field(result: VoteResult, used: Sequence[Verdict]) -> dict[str, FieldSupport]:
    return {path: _field(path, field, used) for path, field in result.vote.fields.items()}


def _field(path: str, field: FieldVote, used: Sequence[Verdict]) -> FieldSupport:
    agreeing = (verdict for verdict, agrees in zip(used, field.support, strict=True) if agrees)
    known = [confidence for each in agreeing if (confidence := _confidence_at(path, each)) is not None]
    return FieldSupport(
        value=field.value,
        agreement=field.agreement,
        votes=field.votes,
        drawn=field.sample_count,
        alternatives=field.alternatives,
        ambiguous=field.ambiguous,
        confidence=fmean(known) if known else None,
    )


def _confidence_at(path: str, verdict: Verdict) -> float | None:
    """Of one sample, the least confidence at this field or below it."""
    known = {each: field.confidence for each, field in verdict.support.fields.items() if field.confidence is not None}
    return confidence_of(path, known)


def alternatives_of(
    consistency: SelfConsistency, result: VoteResult, used: Sequence[Verdict], vote: Vote
) -> tuple[Alternative, ...]:
    """Whole values that did not win, most votes first: what a search box shows as "did you mean"."""
    samples = zip(used, result.vote.support, strict=True)
    others = [each.value for each, agrees in samples if each.passed and not agrees]
    is_same_answer = _SameAnswer(consistency)
    groups: dict[bytes, list[Json]] = {}
    for value in others:
        groups.setdefault(encode(value, sort_keys=True), []).append(value)
    merged: list[list[Json]] = []
    for values in groups.values():
        if is_same_answer(values[0], vote.candidate[0]):
            continue
        known = next((each for each in merged if is_same_answer(each[0], values[0])), None)
        if known is None:
            merged.append(values)
        else:
            known += values
    ranked = sorted(merged, key=lambda values: -len(values))
    return tuple(Alternative(values[0], len(values)) for values in ranked[:MAX_ALTERNATIVES])


class _SameAnswer:
    """Whether two values are the same answer: by the comparators, as long as there is little to compare; then if they are
    equal. Every pair of a vote's values may be compared, and the model decides how long they are."""

    def __init__(self, consistency: SelfConsistency) -> None:
        self._consistency, self._bytes_left = consistency, MAX_COMPARED_BYTES

    def __call__(self, one: Json, other: Json) -> bool:
        first, second = encode(one, sort_keys=True), encode(other, sort_keys=True)
        self._bytes_left -= len(first) + len(second)
        return first == second or (self._bytes_left >= 0 and self._consistency.is_same_answer(one, other))


def consistency_of(rung: ModelRung) -> SelfConsistency:
    assert rung.consistency is not None
    return rung.consistency
