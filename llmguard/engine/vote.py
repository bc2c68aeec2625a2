"""A vote: several samples of one request, drawn until it is decided, and the verdict on the voted value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Literal

from llmguard.core.canonical import Json, encode
from llmguard.core.effects import Flow, together
from llmguard.core.messages import NO_USAGE, FailureKind
from llmguard.core.outcome import (
    Alternative,
    Attempt,
    FieldSupport,
    Repair,
    Sample,
    StopReason,
    Violation,
    Violations,
    Vote,
)
from llmguard.engine.attempt import draw_sample
from llmguard.engine.budget import BudgetTracker
from llmguard.engine.ladder import ModelRung
from llmguard.engine.policy import Policy
from llmguard.engine.verdict import Support, Verdict, catch_as_violation, validate_value
from llmguard.voting import INVALID, Ballot, Draw, FieldVote, RecordVote, SelfConsistency, VoteResult
from llmguard.voting.confidence import confidence_of

MAX_ALTERNATIVES = 5
"""Whole values that did not win, as an outcome lists them: a person compares no more at a glance."""

MAX_COMPARED_BYTES = 1_000_000
"""Compared to distinguish alternatives: a second of work at most, also for lists of a thousand elements."""

MAX_DISAGREEMENTS = 10
"""Fields that a violation each is made of: a value of hundreds of fields would fill the log."""

VoteSource = Literal["vote", "medoid"]


def hold_vote(policy: Policy, rung: ModelRung, inputs: Json, at: str, budget: BudgetTracker) -> Flow[Verdict]:
    """Samples are drawn until the vote is decided."""
    samples: list[Verdict] = []
    while isinstance(result := next_step(rung, samples), Draw):
        samples += yield from draw_samples(policy, rung, inputs, at, budget, len(samples), result.count)
    return vote_verdict(policy, rung, inputs, result, samples)


def draw_samples(
    policy: Policy, rung: ModelRung, inputs: Json, at: str, budget: BudgetTracker, first: int, count: int
) -> Flow[list[Verdict]]:
    """Samples that are asked for at the same time: as many of `count` as the models and the budget allow."""
    numbers = rung.batch(first, budget.affordable_requests(count))
    unstreamed = replace(policy, streamed=False)  # which of them counts is not known yet
    share = budget.split(len(numbers))
    flows = (
        draw_sample(unstreamed, rung.for_sample(number), inputs, f"{at}/s{number}", share, number) for number in numbers
    )
    return (yield from together(*flows, on_answers=share.charge_batch))


def votes_of(samples: Sequence[Verdict]) -> list[Ballot]:
    """What each sample votes for; one that failed votes for nothing, and dissents."""
    return [verdict.value if verdict.passed else INVALID for verdict in samples]


def next_step(rung: ModelRung, samples: Sequence[Verdict]) -> Draw | VoteResult | Violation:
    """Draw more, or the result: also where time or budget ended the vote, or a comparator of the user's raised."""
    return catch_as_violation("the vote", _next_step, rung, samples)


def _next_step(rung: ModelRung, samples: Sequence[Verdict]) -> Draw | VoteResult:
    consistency, failures = _consistency(rung), {verdict.failure for verdict in samples}
    reason: StopReason | None = "deadline" if "deadline" in failures else "budget" if "budget" in failures else None
    votes = votes_of(samples)
    return consistency.ended(votes, reason) if reason else consistency.next(votes)


# ------------------------------------------------------------------------------------------------- the verdict


def vote_verdict(
    policy: Policy, rung: ModelRung, inputs: Json, result: VoteResult | Violation, samples: Sequence[Verdict]
) -> Verdict:
    """The verdict of a vote that ended. Comparators may be the user's: if one raises, there is no vote."""
    verdict: Verdict | Violation
    if isinstance(result, VoteResult):
        verdict = catch_as_violation("the vote", evaluate_vote, policy, rung, inputs, result, samples)
    else:
        verdict = result
    if isinstance(verdict, Verdict):
        return verdict
    return Verdict(failure="crashed", violations=(verdict,), attempts=_attempts(samples))


def evaluate_vote(
    policy: Policy, rung: ModelRung, inputs: Json, result: VoteResult, samples: Sequence[Verdict]
) -> Verdict:
    """The verdict on the voted value.

    The assembled value may never have been sampled, so schema and checks see it like a reply. If they object, the sample
    nearest to all others (the medoid) takes its place, if enough samples agree with that one (DECISIONS 38).
    """
    consistency, used = _consistency(rung), samples[: result.used]
    attempts = _attempts(samples)
    if not result.vote.has_value:
        failed = next((verdict for verdict in used if verdict.failure), Verdict(failure="inconsistent"))
        vote = _vote(rung, result, samples, candidate=(), accepted=False)
        return replace(failed, attempts=attempts, support=Support(vote=vote), candidate=_last_candidate(used))
    source: VoteSource = "vote"
    verdict = validate_value(policy, result.vote.value, inputs, _repairs(result, used), validate=True)
    if not verdict.passed and (nearest := consistency.medoid(votes_of(used))) is not None:
        verdict, result = replace(used[nearest], attempts=()), _result_for_medoid(consistency, result, used, nearest)
        source = "medoid"
    vote = _vote(rung, result, samples, candidate=(result.vote.value,), accepted=result.accept, source=source)
    if verdict.passed and not vote.accepted:
        verdict = _inconsistent(result, verdict, vote)
    return replace(
        verdict,
        attempts=attempts,
        flags=(*verdict.flags, *_ties(result)) if verdict.passed else verdict.flags,
        support=Support(
            vote=replace(vote, refused=verdict.failure not in (None, "inconsistent", "deadline", "budget")),
            fields=_fields(result, used),
            alternatives=_alternatives(consistency, result, used, vote),
        ),
    )


def _attempts(samples: Sequence[Verdict]) -> tuple[Attempt, ...]:
    return tuple(attempt for verdict in samples for attempt in verdict.attempts)


def _result_for_medoid(
    consistency: SelfConsistency, result: VoteResult, used: Sequence[Verdict], number: int
) -> VoteResult:
    """The result as if sample `number` had won. It was not voted for, so its support is counted again, and may be too
    little."""
    fields = consistency.votes_for(votes_of(used), number)
    vote = RecordVote(value=used[number].value, has_value=True, fields=fields, sample_count=len(used))
    return replace(result, vote=vote, accept=result.accept and consistency.would_accept(len(used), vote.dissent))


def _inconsistent(result: VoteResult, verdict: Verdict, vote: Vote) -> Verdict:
    failures: dict[StopReason, FailureKind] = {"deadline": "deadline", "budget": "budget"}
    failure = failures.get(result.reason, "inconsistent")
    return replace(verdict, failure=failure, value=None, violations=_disagreements(result, vote))


def _disagreements(result: VoteResult, vote: Vote) -> Violations:
    """Where the samples do not agree, the worst first."""
    rule = _describe_rule(vote.rule["stop"])
    invalid = sum(not sample.valid for sample in vote.samples[: vote.used])
    lacking = f"; {invalid} of them gave no valid value" if invalid else ""
    if vote.source == "medoid":
        message = f"no sample is like enough to the others ({vote.dissent} of {vote.used} differ), {rule}{lacking}"
        return (Violation("", "inconsistent", message),)
    split = sorted((item for item in result.vote.fields.items() if item[1].dissent), key=lambda item: -item[1].dissent)
    if not split:
        message = f"the vote ended after {vote.used} samples ({result.reason}), {rule}"
        return (Violation("", "inconsistent", message),)
    return tuple(_disagreement(path, field, rule + lacking) for path, field in split[:MAX_DISAGREEMENTS])


def _disagreement(path: str, field: FieldVote, rule: str) -> Violation:
    message = f"{field.votes} of {field.sample_count} samples agree, {rule}"
    others = [each.value for each in field.alternatives if each.present]
    return Violation(path, "inconsistent", message, expected=field.value, actual=others)


def _describe_rule(stop: Json) -> str:
    if "plan" in stop:
        n0, k, c = stop["plan"]
        return f"and plan ({n0}, {k}, {c}) accepts with {n0} samples and {k} more for each dissent, {c} at most"
    return "which is too few to accept"


def _ties(result: VoteResult) -> Violations:
    message = "another value has as many votes; the first one sampled stands"
    ambiguous = (path for path, field in result.vote.fields.items() if field.ambiguous)
    return tuple(Violation(path, "ambiguous", message, severity="flag") for path in ambiguous)


# ------------------------------------------------------------------------------------------------- what is recorded of it


def _vote(
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
        rule=_consistency(rung).description(),
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


def _fields(result: VoteResult, used: Sequence[Verdict]) -> dict[str, FieldSupport]:
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
    known = {at: each.confidence for at, each in verdict.support.fields.items() if each.confidence is not None}
    return confidence_of(path, known)


def _alternatives(
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


def _repairs(result: VoteResult, used: Sequence[Verdict]) -> tuple[Repair, ...]:
    """The repairs of the samples that agree with the result, each once."""
    repairs: list[Repair] = []
    for verdict, agrees in zip(used, result.vote.support, strict=True):
        if agrees:
            repairs += [repair for repair in verdict.repairs if repair not in repairs]
    return tuple(repairs)


def _last_candidate(used: Sequence[Verdict]) -> tuple[Json, ...]:
    return next((verdict.candidate for verdict in reversed(used) if verdict.candidate), ())


def _consistency(rung: ModelRung) -> SelfConsistency:
    assert rung.consistency is not None
    return rung.consistency
