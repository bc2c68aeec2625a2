"""A vote: several samples of one request, drawn until it is decided, and the verdict on the voted value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from llmguard.core.canonical import Json
from llmguard.core.effects import Flow, together
from llmguard.core.messages import FailureKind
from llmguard.core.outcome import (
    Attempt,
    Repair,
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
from llmguard.engine.vote_record import VoteSource, alternatives_of, consistency_of, record_vote, support_by_field
from llmguard.voting import INVALID, Ballot, Draw, FieldVote, RecordVote, SelfConsistency, VoteResult

MAX_DISAGREEMENTS = 10
"""Fields that a violation each is made of: a value of hundreds of fields would fill the log."""

NOT_REFUSED = (None, "inconsistent", "deadline", "budget")
"""Failures of a vote that say nothing against the candidate itself: neither schema nor a check objected."""


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
    consistency, failures = consistency_of(rung), {verdict.failure for verdict in samples}
    votes = votes_of(samples)
    if "deadline" in failures:
        return consistency.ended(votes, "deadline")
    if "budget" in failures:
        return consistency.ended(votes, "budget")
    return consistency.next(votes)


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
    consistency, used = consistency_of(rung), samples[: result.used]
    attempts = _attempts(samples)
    if not result.vote.has_value:
        failed = next((verdict for verdict in used if verdict.failure), Verdict(failure="inconsistent"))
        vote = record_vote(rung, result, samples, candidate=(), accepted=False)
        return replace(failed, attempts=attempts, support=Support(vote=vote), candidate=_last_candidate(used))
    source: VoteSource = "vote"
    verdict = validate_value(policy, result.vote.value, inputs, _repairs(result, used), validate=True)
    if not verdict.passed and (nearest := consistency.medoid(votes_of(used))) is not None:
        verdict = replace(used[nearest], attempts=())
        result = _result_for_medoid(consistency, result, used, nearest)
        source = "medoid"
    vote = record_vote(rung, result, samples, candidate=(result.vote.value,), accepted=result.accept, source=source)
    if verdict.passed and not vote.accepted:
        verdict = _inconsistent(result, verdict, vote)
    return replace(
        verdict,
        attempts=attempts,
        flags=(*verdict.flags, *_ties(result)) if verdict.passed else verdict.flags,
        support=Support(
            vote=replace(vote, refused=verdict.failure not in NOT_REFUSED),
            fields=support_by_field(result, used),
            alternatives=alternatives_of(consistency, result, used, vote),
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
    split = [(path, field) for path, field in result.vote.fields.items() if field.dissent]
    if not split:
        message = f"the vote ended after {vote.used} samples ({result.reason}), {rule}"
        return (Violation("", "inconsistent", message),)
    return tuple(
        _disagreement(path, field, rule + lacking) for path, field in sorted(split, key=_dissent)[:MAX_DISAGREEMENTS]
    )


def _dissent(item: tuple[str, FieldVote]) -> int:
    return -item[1].dissent


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


def _repairs(result: VoteResult, used: Sequence[Verdict]) -> tuple[Repair, ...]:
    """The repairs of the samples that agree with the result, each once."""
    repairs: list[Repair] = []
    for verdict, agrees in zip(used, result.vote.support, strict=True):
        if agrees:
            repairs += [repair for repair in verdict.repairs if repair not in repairs]
    return tuple(repairs)


def _last_candidate(used: Sequence[Verdict]) -> tuple[Json, ...]:
    return next((verdict.candidate for verdict in reversed(used) if verdict.candidate), ())
