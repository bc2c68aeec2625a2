"""Audited outcomes, and the acceptance policies that are tested on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeAlias

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.voting.normal_forms import value_form
from llmguard.voting.self_consistency import SelfConsistency, VoteResult
from llmguard.voting.stopping import Plan
from llmguard.voting.votes import Ballot

Verdict: TypeAlias = Literal["right", "wrong", "unsure"]

MOST_POLICIES = 16
"""Policies of a family. Testing stops at the first that fails, so a finer grid certifies no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedItem:
    """One outcome that was drawn for audit, with its review.

    `probability` of the draw, as logged before the review; `reason` as logged: only `"audit"` enters a certificate.
    `verdict` is the reviewer's, on `candidate`, the voted value when the vote ended; None where the review was not done.
    `correction` is a tuple of one value, or empty. `score` was fixed in advance (agreement, log-probability); `samples`
    are in submission order, `INVALID` for those that failed. `refused`: no policy could have accepted the candidate.
    """

    id: str
    probability: float | None = None
    reason: str = "audit"
    verdict: Verdict | None = None
    candidate: Json = None
    correction: tuple[Json, ...] = ()
    score: float | None = None
    samples: tuple[Ballot, ...] = ()
    refused: bool = False


class AcceptancePolicy(Protocol):
    """A rule by which outcomes are accepted automatically, fixed before any label is known."""

    @property
    def name(self) -> str: ...

    def is_wrong(self, item: AuditedItem) -> bool | None:
        """Whether the value that it would have accepted is wrong; None where it would not have accepted one."""


Family: TypeAlias = Sequence[AcceptancePolicy]


def is_judged_wrong(item: AuditedItem, value: Json, is_same: Callable[[Json, Json], bool]) -> bool:
    """Whether `value` is wrong by the review of the item's candidate. `unsure`, and a review not done, count as wrong; a
    value other than the candidate is right only where it is the correction."""
    if is_same(value, item.candidate):
        return item.verdict != "right"
    return not any(is_same(value, right) for right in item.correction)


def is_wrong_if_accepted(item: AuditedItem, value: Json, is_same: Callable[[Json, Json], bool]) -> bool | None:
    """As `is_judged_wrong`, for a value that a policy accepts; None where no policy could have accepted it."""
    if item.refused and is_same(value, item.candidate):
        return None
    return is_judged_wrong(item, value, is_same)


@dataclass(frozen=True, slots=True)
class Threshold:
    """Accept the candidate where its score is at least this.

    >>> Threshold(0.8).is_wrong(AuditedItem(id="a", score=0.9, verdict="wrong")), Threshold(0.8).is_wrong(AuditedItem(id="b"))
    (True, None)
    """

    at_least: float

    @property
    def name(self) -> str:
        return f"score >= {self.at_least:g}"

    def is_wrong(self, item: AuditedItem) -> bool | None:
        if item.score is None or item.score < self.at_least:
            return None
        return item.verdict != "right"


@dataclass(frozen=True, slots=True)
class PlanPolicy:
    """Accept what a plan would have accepted on the item's samples. A plan that would need more samples than the item has
    accepts nothing there: in use, such a vote would also have ended without acceptance."""

    consistency: SelfConsistency

    @property
    def name(self) -> str:
        return str(self.consistency.plan)

    def is_wrong(self, item: AuditedItem) -> bool | None:
        result = self.consistency.next(item.samples)
        if not isinstance(result, VoteResult) or not result.accept:
            return None
        return is_wrong_if_accepted(item, result.vote.value, self.consistency.is_same_answer)


@dataclass(frozen=True, slots=True)
class Rule:
    """Any other policy, for instance a whole ladder with one parameter: a name, and a function of an item that returns
    the value that it would have accepted as a tuple of one, or an empty tuple."""

    name: str
    accepts: Callable[[AuditedItem], tuple[Json, ...]] = field(repr=False)

    def is_wrong(self, item: AuditedItem) -> bool | None:
        value = self.accepts(item)
        return is_judged_wrong(item, value[0], _equal) if value else None


def _equal(one: Json, other: Json) -> bool:
    return value_form(one) == value_form(other)


def thresholds(*at_least: float) -> tuple[Threshold, ...]:
    """Thresholds on the score, strict to loose.

    >>> [policy.name for policy in thresholds(1.0, 0.8, 0.6)]
    ['score >= 1', 'score >= 0.8', 'score >= 0.6']
    """
    if list(at_least) != sorted(set(at_least), reverse=True):
        raise UsageError(f"thresholds: expected strict to loose, each once, as in 1.0, 0.8, 0.6; got {at_least!r}.")
    return tuple(map(Threshold, at_least))


def plans(consistency: SelfConsistency, *plan_list: tuple[int, int, int] | Plan) -> tuple[PlanPolicy, ...]:
    """Policies by plans over the same fields, strict to loose. `n_max` is raised where a plan needs more samples.

    >>> [policy.name for policy in plans(SelfConsistency(n_max=9), (7, 2, 1), (5, 2, 1), (3, 2, 1))]
    ['plan (7, 2, 1)', 'plan (5, 2, 1)', 'plan (3, 2, 1)']
    """
    ordered = [plan if isinstance(plan, Plan) else Plan(*plan) for plan in plan_list]
    for number, plan in enumerate(ordered):
        stricter = next((other for other in ordered[number + 1 :] if other.is_stricter(plan)), None)
        if stricter is not None or plan in ordered[:number]:
            raise UsageError(f"plans: expected strict to loose, each once; {stricter or plan} cannot follow {plan}.")
    return tuple(
        PlanPolicy(replace(consistency, plan=plan, stop=None, n_max=max(consistency.n_max, plan.most)))
        for plan in ordered
    )


def refuse_family(family: Family) -> None:
    """UsageError where the policies cannot be tested in a fixed sequence."""
    if not 1 <= len(family) <= MOST_POLICIES:
        raise UsageError(
            f"a family is 1 to {MOST_POLICIES} policies, fixed before the labels are known, strict to loose; got"
            f" {len(family)}."
        )
    names = [policy.name for policy in family]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"the family has two policies named {twice!r}; each is tested once.")
