"""`SelfConsistency`, the option of a guard: how many samples, how they are compared, when to stop and what to accept.

Self-consistency is the answer on which most of several samples agree (Wang et al., arXiv 2203.11171).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.outcome import StopReason
from llmguard.voting.comparators import ComparatorOrName, comparator
from llmguard.voting.keyed_comparators import has_classes
from llmguard.voting.record_vote import Groups, Pointer, RecordVote, medoid, together_message, vote_on, votes_for
from llmguard.voting.stopping import MAX_SAMPLES, Counts, Draw, Fixed, Plan, Predictive, Stop
from llmguard.voting.votes import Ballot, Comparator, FieldVote

OnInvalid: TypeAlias = Literal["dissent", "reask"]

DEFAULT_PLAN = Plan(3, 2, 1)
"""Three samples that agree, or four of five: the cheapest plan that survives one wrong sample."""


@dataclass(frozen=True, slots=True)
class VoteResult:
    """A vote that ended. `vote` is over the first `used` of `sample_count` samples: an audit or a last batch has more."""

    vote: RecordVote
    accept: bool
    reason: StopReason
    used: int
    sample_count: int

    @property
    def agreement(self) -> float:
        return self.vote.agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfConsistency:
    """Several samples of one request, voted on field by field.

    `plan=(n0, k, c)` accepts after n samples once n >= n0 + k*d, while the dissent d is at most c. `stop=Fixed(n)` or
    `Predictive(eps)` stops when the answer is known instead; it is accepted where agreement is more than half, or at
    least `min_agreement`. `n_max` bounds the samples of a call, and is the number that an audited call draws. `fields`
    gives a comparator by JSON Pointer; a field without one is compared by `"exact"`. `vote_together=[("/id", "/name")]`
    keeps dependent fields in one vote. `variants` (models, prompts, temperatures) take turns, sample by sample. An
    invalid sample is a dissent; with `on_invalid="reask"` it is first asked for again.

    Raises:
        UsageError: options that exclude each other, a plan that can never accept within `n_max`, an unknown comparator,
            a pointer that is not a JSON Pointer.

    >>> votes = SelfConsistency(fields={"/total": "money"})
    >>> votes.next([])
    Draw(count=3)
    >>> ended = votes.next([{"total": 12}, {"total": 12.0}, {"total": "12.00"}])
    >>> ended.accept, ended.reason, ended.vote.value
    (True, 'accept_boundary', {'total': '12.00'})
    """

    n_max: int = 5
    plan: Plan | tuple[int, int, int] | None = None
    stop: Fixed | Predictive | None = None
    fields: Mapping[Pointer, ComparatorOrName] = field(default_factory=dict)
    vote_together: Sequence[Sequence[Pointer]] = ()
    variants: Sequence[object] = ()
    on_invalid: OnInvalid = "dissent"
    min_agreement: float | None = None

    def __post_init__(self) -> None:
        _refuse_numbers(self)
        _set(self, "plan", _plan_of(self))
        _set(self, "fields", {_pointer(at, "fields"): comparator(given) for at, given in _items(self.fields)})
        _set(self, "vote_together", _groups(self.vote_together))
        _set(self, "variants", tuple(self.variants))
        _refuse_what_never_accepts(self)
        _refuse_fields(self)

    # --------------------------------------------------------------------------------------- drawing

    def next(self, samples: Sequence[Ballot]) -> Draw | VoteResult:
        """What to do after `samples`, in submission order (`INVALID` for one that failed).

        A batch decides as samples drawn one by one do: where it went beyond the dissent limit, the first sample that did
        ends the vote.
        """
        sample_count = 0
        while True:
            vote = self.vote(samples[:sample_count])
            decision = self._decide(vote)
            if isinstance(decision, Stop):
                return self._vote_result(vote, decision, len(samples))
            if sample_count + decision.count > len(samples):
                return Draw(sample_count + decision.count - len(samples))
            before, sample_count = sample_count, sample_count + decision.count
            if self.plan:
                sample_count = self._first_beyond(samples, before, sample_count)

    def ended(self, samples: Sequence[Ballot], reason: StopReason) -> VoteResult:
        """The vote on the samples that came in time, where budget or deadline end the vote. No plan accepts it."""
        step = self.next(samples)
        if isinstance(step, VoteResult):
            return step
        return self._vote_result(self.vote(samples), Stop(reason, accept=False if self.plan else None), len(samples))

    def missing(self, samples: Sequence[Ballot]) -> int:
        """The number of further samples that an audited call draws, so that stricter plans can be tested on it later."""
        return max(0, self.n_max - len(samples))

    # --------------------------------------------------------------------------------------- voting

    @property
    def stopping(self) -> Plan | Fixed | Predictive:
        """The one rule by which the drawing ends."""
        rule = self.plan if self.stop is None else self.stop
        assert isinstance(rule, Plan | Fixed | Predictive)
        return rule

    @property
    def comparators(self) -> Mapping[Pointer, Comparator]:
        return cast(Mapping[Pointer, Comparator], self.fields)

    @property
    def groups(self) -> Groups:
        return cast(Groups, self.vote_together)

    def vote(self, samples: Sequence[Ballot]) -> RecordVote:
        """The vote over `samples`, field by field."""
        return vote_on(samples, self.comparators, self.groups)

    def medoid(self, samples: Sequence[Ballot]) -> int | None:
        """The number of the valid sample nearest to all others: used where the assembled value does not fit its schema."""
        return medoid(samples, self.comparators)

    def votes_for(self, samples: Sequence[Ballot], number: int) -> dict[Pointer, FieldVote]:
        """The vote on each field if sample `number` is the answer."""
        return votes_for(samples, number, self.comparators)

    def would_accept(self, sample_count: int, dissent: int) -> bool:
        """Whether a value may be accepted from which `dissent` of `sample_count` samples differ."""
        rule = self.stopping
        if isinstance(rule, Plan):
            return dissent <= rule.c and sample_count >= rule.n0 + rule.k * dissent
        share = 1 - dissent / sample_count if sample_count else 0.0
        return share > 0.5 if self.min_agreement is None else share >= self.min_agreement

    def is_same_answer(self, one: Json, other: Json) -> bool:
        """Whether two values are the same answer in every field."""
        return self.vote((one, other)).dissent == 0

    def accepts(self, vote: RecordVote) -> bool:
        """Whether agreement suffices, where no plan decides."""
        if not vote.has_value:
            return False
        return vote.agreement > 0.5 if self.min_agreement is None else vote.agreement >= self.min_agreement

    def description(self) -> Json:
        """Every option that decides, for the guard's fingerprint; the rung describes its `variants`."""
        return {
            "n_max": self.n_max,
            "stop": self.stopping.description(),
            "fields": {pointer: each.description() for pointer, each in sorted(self.comparators.items())},
            "vote_together": [list(group) for group in self.groups],
            "on_invalid": self.on_invalid,
            "min_agreement": self.min_agreement,
        }

    # --------------------------------------------------------------------------------------- inside

    def _decide(self, vote: RecordVote) -> Draw | Stop:
        fields = tuple((each.votes, each.runner_up_votes) for each in vote.fields.values())
        counts = Counts(vote.sample_count, vote.dissent, fields)
        rule = self.stopping
        return rule.decide(counts) if isinstance(rule, Plan) else rule.decide(counts, self.n_max)

    def _vote_result(self, vote: RecordVote, decision: Stop, sample_count: int) -> VoteResult:
        accept = self.accepts(vote) if decision.accept is None else decision.accept and vote.has_value
        return VoteResult(vote, accept, decision.reason, vote.sample_count, sample_count)

    def _first_beyond(self, samples: Sequence[Ballot], low: int, high: int) -> int:
        """The number of samples at which a batch first went beyond the dissent limit, or the batch's end: by bisection,
        because the dissent of monotone comparators never falls."""
        limit = cast(Plan, self.plan).c
        if self.vote(samples[:high]).dissent <= limit:
            return high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.vote(samples[:middle]).dissent > limit else (middle, high)
        return high


def _set(consistency: SelfConsistency, name: str, value: object) -> None:
    """Normalizes an option of the frozen dataclass while it is built."""
    object.__setattr__(consistency, name, value)


# ------------------------------------------------------------------------------------------------- what is refused


def _refuse_numbers(consistency: SelfConsistency) -> None:
    n_max = consistency.n_max
    if not isinstance(n_max, int) or isinstance(n_max, bool) or not 1 <= n_max <= MAX_SAMPLES:
        raise UsageError(f"SelfConsistency(n_max=...): expected a whole number from 1 to {MAX_SAMPLES}, got {n_max!r}.")
    if consistency.on_invalid not in ("dissent", "reask"):
        raise UsageError(
            f"SelfConsistency(on_invalid=...): expected 'dissent' or 'reask', got {consistency.on_invalid!r}: an invalid"
            " sample counts against the answer, or is first asked for again."
        )
    share = consistency.min_agreement
    if share is not None and (not isinstance(share, int | float) or isinstance(share, bool) or not 0 < share <= 1):
        raise UsageError(f"SelfConsistency(min_agreement=...): expected a share above 0 and up to 1, got {share!r}.")


def _plan_of(consistency: SelfConsistency) -> Plan | None:
    if consistency.stop is None:
        return DEFAULT_PLAN if consistency.plan is None else _as_plan(consistency.plan)
    if consistency.plan is not None:
        raise UsageError(
            "SelfConsistency has a plan and a stop. A plan decides what is accepted, a stop only when the answer is"
            " settled: give one of them."
        )
    if not isinstance(consistency.stop, Fixed | Predictive):
        raise UsageError(f"SelfConsistency(stop=...) is Fixed(n) or Predictive(eps), got {consistency.stop!r}.")
    return None


def _as_plan(plan: Plan | tuple[int, int, int]) -> Plan:
    if isinstance(plan, Plan):
        return plan
    if not isinstance(plan, tuple | list) or len(plan) != 3:
        raise UsageError(f"a plan is three numbers (n0, k, c), got {plan!r}.")
    return Plan(*plan)


def _refuse_what_never_accepts(consistency: SelfConsistency) -> None:
    if isinstance(consistency.plan, Plan):
        _refuse_plan(consistency.plan, consistency)
    stop, n_max = consistency.stop, consistency.n_max
    if isinstance(stop, Fixed) and stop.n > n_max:
        raise UsageError(f"Fixed({stop.n}) draws more than n_max={n_max}: write n_max={stop.n}.")


def _refuse_plan(plan: Plan, consistency: SelfConsistency) -> None:
    if plan.most > consistency.n_max:
        raise UsageError(
            f"{plan} can never accept a vote with {plan.c} dissents within n_max={consistency.n_max}: it needs"
            f" n0 + k*c = {plan.most} samples. Write n_max={plan.most}, or a plan with fewer."
        )
    if consistency.min_agreement is not None:
        raise UsageError(
            f"SelfConsistency has {plan} and min_agreement={consistency.min_agreement}. A plan accepts by its own"
            " boundary; min_agreement goes with a stop."
        )


def _refuse_fields(consistency: SelfConsistency) -> None:
    for pointer, each in consistency.comparators.items():
        if not each.monotone and not isinstance(consistency.stop, Fixed):
            raise UsageError(
                f"fields: {pointer!r} is compared by {each.name!r}, whose dissent can fall as samples arrive, so a vote"
                f" on it must not stop early. Write stop=Fixed({consistency.n_max}), or another comparator."
            )
    for group in consistency.groups:
        for pointer in group:
            if pointer in consistency.comparators and not has_classes(consistency.comparators[pointer]):
                raise UsageError(together_message(pointer, consistency.comparators[pointer]))
    _refuse_overlaps([*consistency.comparators, *(pointer for group in consistency.groups for pointer in group)])


def _refuse_overlaps(pointers: Sequence[Pointer]) -> None:
    known = set(pointers)
    for pointer in sorted(known):
        inside = next((other for other in sorted(known) if other != pointer and other.startswith(pointer + "/")), None)
        if inside is not None:
            raise UsageError(
                f"fields: {inside!r} lies within {pointer!r}, which is voted on as a whole. Name one of them, or for"
                " the elements of a list give list_of(fields=...)."
            )


def _items(fields: object) -> list[tuple[Pointer, ComparatorOrName]]:
    if not isinstance(fields, Mapping):
        raise UsageError(f'fields=: expected {{"/pointer": comparator}}, got {type(fields).__name__}.')
    return list(fields.items())


def _groups(groups_option: object) -> Groups:
    if isinstance(groups_option, str) or not isinstance(groups_option, Sequence):
        raise UsageError(f"vote_together=: expected groups of JSON Pointers, got {groups_option!r}.")
    groups = tuple(_group(each) for each in groups_option)
    pointers = [pointer for group in groups for pointer in group]
    twice = next((pointer for pointer in pointers if pointers.count(pointer) > 1), None)
    if twice is not None:
        raise UsageError(f"vote_together names {twice!r} twice; a field is in one group.")
    return groups


def _group(pointers: object) -> tuple[Pointer, ...]:
    if isinstance(pointers, str) or not isinstance(pointers, Sequence) or len(pointers) < 2:
        raise UsageError(f'vote_together: expected groups of two or more, as in [("/id", "/name")]; got {pointers!r}.')
    return tuple(_pointer(each, "vote_together") for each in pointers)


def _pointer(pointer: object, where: str) -> Pointer:
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        suggestion = f" Write {('/' + pointer)!r}." if isinstance(pointer, str) else ""
        raise UsageError(f'{where} names fields by JSON Pointer, as "/total"; got {pointer!r}.{suggestion}')
    return pointer
