"""From the samples of a vote to its verdict: the voted value, judged like any other, and what stands behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Literal

from llmguard.core.canonical import Json, encode
from llmguard.core.messages import NO_USAGE, FailureKind
from llmguard.core.outcome import Alternative, FieldSupport, Repair, Sample, StopReason, Violation, Violations, Vote
from llmguard.engine.acceptance_policy import Permit
from llmguard.engine.budget import Purse
from llmguard.engine.ladder import ModelRung
from llmguard.engine.policy import Policy
from llmguard.engine.verdict import Support, Verdict, examined, shielded
from llmguard.voting import INVALID, Ballot, Draw, FieldVote, RecordVote, SelfConsistency, VoteResult
from llmguard.voting.confidence import confidence_of

MAX_ALTERNATIVES = 5
MAX_COMPARED_BYTES = 1_000_000
"""Compared to tell alternatives apart: a second's work at most, also for lists of a thousand elements."""

MAX_DISAGREEMENTS = 10


def under(permit: Permit, rung: ModelRung) -> ModelRung:
    """The rung as the certificate says that it draws and accepts."""
    if permit.plan is None or rung.consistency is None:
        return rung
    return replace(rung, consistency=replace(rung.consistency, plan=permit.plan, stop=None, min_agreement=None))


def ballots(drawn: Sequence[Verdict]) -> list[Ballot]:
    """What each sample says; one that failed says nothing, and dissents."""
    return [verdict.value if verdict.passed else INVALID for verdict in drawn]


def decided(rung: ModelRung, drawn: Sequence[Verdict]) -> Draw | VoteResult | Violation:
    """Draw more, or the end: also where time or budget ended it, or a comparator of the user's raised."""
    return shielded("the vote", _decided, rung, drawn)


def _decided(rung: ModelRung, drawn: Sequence[Verdict]) -> Draw | VoteResult:
    votes, failures = _votes(rung), {verdict.failure for verdict in drawn}
    reason: StopReason | None = "deadline" if "deadline" in failures else "budget" if "budget" in failures else None
    return votes.ended(ballots(drawn), reason) if reason else votes.next(ballots(drawn))


# ------------------------------------------------------------------------------------------------- the verdict


def elected(
    policy: Policy, rung: ModelRung, inputs: Json, settled: VoteResult | Violation, drawn: Sequence[Verdict]
) -> Verdict:
    """The verdict of a vote that ended. Comparators may be the user's: what one raises is no vote."""
    found = (
        shielded("the vote", voted, policy, rung, inputs, settled, drawn)
        if isinstance(settled, VoteResult)
        else settled
    )
    if isinstance(found, Verdict):
        return found
    attempts = tuple(each for verdict in drawn for each in verdict.attempts)
    return Verdict(failure="crashed", violations=(found,), attempts=attempts)


def voted(policy: Policy, rung: ModelRung, inputs: Json, settled: VoteResult, drawn: Sequence[Verdict]) -> Verdict:
    """The vote's verdict. The assembled value may never have been sampled: schema and checks see it like a reply; where
    they object, the sample nearest to all others stands in, if as many agree with that one."""
    votes, used = _votes(rung), drawn[: settled.used]
    attempts = tuple(each for verdict in drawn for each in verdict.attempts)
    if not settled.vote.has_value:
        first = next((verdict for verdict in used if verdict.failure), Verdict(failure="inconsistent"))
        vote = _vote(rung, settled, drawn, candidate=(), accepted=False)
        return replace(first, attempts=attempts, support=Support(vote=vote), candidate=_last_candidate(used))
    source: Literal["vote", "medoid"] = "vote"
    found = examined(policy, settled.vote.value, inputs, _repairs(settled, used), validate=True)
    if not found.passed and (nearest := votes.medoid(ballots(used))) is not None:
        found, settled, source = replace(used[nearest], attempts=()), _standing(votes, settled, used, nearest), "medoid"
    vote = _vote(rung, settled, drawn, candidate=(settled.vote.value,), accepted=settled.accept, source=source)
    if found.passed and not vote.accepted:
        found = _inconsistent(settled, found, vote)
    return replace(
        found,
        attempts=attempts,
        flags=(*found.flags, *_ties(settled)) if found.passed else found.flags,
        support=Support(
            vote=replace(vote, refused=found.failure not in (None, "inconsistent", "deadline", "budget")),
            fields=_fields(settled, used),
            alternatives=_alternatives(votes, settled, used, vote),
        ),
    )


def _standing(votes: SelfConsistency, settled: VoteResult, used: Sequence[Verdict], number: int) -> VoteResult:
    """The vote as if sample `number` had won. It passed on its own, and was not voted for: what stands behind it is
    counted anew, and may be too little."""
    fields = votes.votes_for(ballots(used), number)
    vote = RecordVote(value=used[number].value, has_value=True, fields=fields, sample_count=len(used))
    return replace(settled, vote=vote, accept=settled.accept and votes.would_accept(len(used), vote.dissent))


def _inconsistent(settled: VoteResult, found: Verdict, vote: Vote) -> Verdict:
    ended: dict[StopReason, FailureKind] = {"deadline": "deadline", "budget": "budget"}
    return replace(
        found,
        failure=ended.get(settled.reason, "inconsistent"),
        value=None,
        violations=_disagreements(settled, vote),
    )


def _disagreements(settled: VoteResult, vote: Vote) -> Violations:
    """Where the samples do not agree, the worst first."""
    rule = _rule_in_words(vote.rule["stop"])
    invalid = sum(not sample.valid for sample in vote.samples[: vote.used])
    lacking = f"; {invalid} of them gave no valid value" if invalid else ""
    if vote.source == "medoid":
        said = f"no sample is like enough to the others ({vote.dissent} of {vote.used} differ), {rule}{lacking}"
        return (Violation("", "inconsistent", said),)
    split = sorted((item for item in settled.vote.fields.items() if item[1].dissent), key=lambda item: -item[1].dissent)
    if not split:
        return (Violation("", "inconsistent", f"the vote ended after {vote.used} samples ({settled.reason}), {rule}"),)
    return tuple(_disagreement(path, field, rule + lacking) for path, field in split[:MAX_DISAGREEMENTS])


def _disagreement(path: str, field: FieldVote, rule: str) -> Violation:
    said = f"{field.votes} of {field.sample_count} samples agree, {rule}"
    others = [each.value for each in field.alternatives if each.present]
    return Violation(path, "inconsistent", said, expected=field.value, actual=others)


def _rule_in_words(stop: Json) -> str:
    if "plan" in stop:
        n0, k, c = stop["plan"]
        return f"and plan ({n0}, {k}, {c}) accepts with {n0} samples and {k} more for each dissent, {c} at most"
    return "which is too few to accept"


def _ties(settled: VoteResult) -> Violations:
    return tuple(
        Violation(path, "ambiguous", "another value has as many votes; the first one sampled stands", severity="flag")
        for path, field in settled.vote.fields.items()
        if field.ambiguous
    )


# ------------------------------------------------------------------------------------------------- for an audit


def is_unchecked(verdict: Verdict) -> bool:
    """Whether a candidate was not looked at by effect checks and judges, because too few agreed on it."""
    vote = verdict.support.vote
    return vote is not None and bool(vote.candidate) and not vote.accepted and not vote.refused


def samples_of(verdict: Verdict) -> int:
    return len(verdict.support.vote.samples) if verdict.support.vote else 0


def missing(rung: ModelRung, verdict: Verdict, purse: Purse) -> int:
    """How many samples an audit still draws: none where time or budget have ended."""
    vote = verdict.support.vote
    if rung.consistency is None or vote is None or purse.is_spent or any(map(_is_cut_off, vote.samples)):
        return 0
    return max(0, rung.consistency.n_max - len(vote.samples))


def with_samples(rung: ModelRung, verdict: Verdict, drawn: Sequence[Verdict]) -> Verdict:
    """The verdict with samples that decided nothing."""
    vote = verdict.support.vote
    assert vote is not None
    first = len(vote.samples)
    samples = tuple(_sample(rung, number, each) for number, each in enumerate(drawn, start=first))
    attempts = (*verdict.attempts, *(attempt for each in drawn for attempt in each.attempts))
    support = replace(verdict.support, vote=replace(vote, samples=(*vote.samples, *samples)))
    return replace(verdict, attempts=attempts, support=support)


def _is_cut_off(sample: Sample) -> bool:
    return sample.failure in ("deadline", "budget")


# ------------------------------------------------------------------------------------------------- what is kept of it


def _vote(
    rung: ModelRung,
    settled: VoteResult,
    drawn: Sequence[Verdict],
    *,
    candidate: tuple[Json, ...],
    accepted: bool,
    source: Literal["vote", "medoid"] = "vote",
) -> Vote:
    return Vote(
        rung=rung.label,
        candidate=candidate,
        accepted=accepted,
        reason=settled.reason,
        used=settled.used,
        agreement=settled.vote.agreement,
        dissent=settled.vote.dissent,
        samples=tuple(_sample(rung, number, verdict) for number, verdict in enumerate(drawn)),
        source=source,
        ambiguous=settled.vote.ambiguous,
        rule=_votes(rung).description(),
    )


def _sample(rung: ModelRung, number: int, verdict: Verdict) -> Sample:
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


def _fields(settled: VoteResult, used: Sequence[Verdict]) -> dict[str, FieldSupport]:
    return {path: _field(path, field, used) for path, field in settled.vote.fields.items()}


def _field(path: str, field: FieldVote, used: Sequence[Verdict]) -> FieldSupport:
    told = (_confidence_at(path, verdict) for verdict, stands in zip(used, field.support, strict=True) if stands)
    known = [confidence for confidence in told if confidence is not None]
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
    told = {at: each.confidence for at, each in verdict.support.fields.items() if each.confidence is not None}
    return confidence_of(path, told)


def _alternatives(
    votes: SelfConsistency, settled: VoteResult, used: Sequence[Verdict], vote: Vote
) -> tuple[Alternative, ...]:
    """Whole values that did not win, most votes first: what a search box shows as "did you mean"."""
    stands = zip(used, settled.vote.support, strict=True)
    others = [each.value for each, wins in stands if each.passed and not wins]
    alike = _Alike(votes)
    groups: dict[bytes, list[Json]] = {}
    for value in others:
        groups.setdefault(encode(value, sort_keys=True), []).append(value)
    merged: list[list[Json]] = []
    for values in groups.values():
        if alike(values[0], vote.candidate[0]):
            continue
        known = next((each for each in merged if alike(each[0], values[0])), None)
        if known is None:
            merged.append(values)
        else:
            known += values
    ranked = sorted(merged, key=lambda values: -len(values))
    return tuple(Alternative(values[0], len(values)) for values in ranked[:MAX_ALTERNATIVES])


class _Alike:
    """Whether two values are the same answer: by the comparators, as long as there is little to compare; then if they
    are equal. Every pair of a vote's values may be asked for, and their length is the model's."""

    def __init__(self, votes: SelfConsistency) -> None:
        self._votes, self._left = votes, MAX_COMPARED_BYTES

    def __call__(self, one: Json, other: Json) -> bool:
        mine, theirs = encode(one, sort_keys=True), encode(other, sort_keys=True)
        self._left -= len(mine) + len(theirs)
        return mine == theirs or (self._left >= 0 and self._votes.is_same_answer(one, other))


def _repairs(settled: VoteResult, used: Sequence[Verdict]) -> tuple[Repair, ...]:
    """What was mended in the samples that stand with the result, each once."""
    found: list[Repair] = []
    for verdict, stands in zip(used, settled.vote.support, strict=True):
        if stands:
            found += [repair for repair in verdict.repairs if repair not in found]
    return tuple(found)


def _last_candidate(used: Sequence[Verdict]) -> tuple[Json, ...]:
    return next((verdict.candidate for verdict in reversed(used) if verdict.candidate), ())


def _votes(rung: ModelRung) -> SelfConsistency:
    assert rung.consistency is not None
    return rung.consistency
