"""What a certificate is made of: audited outcomes, and the policies by which each would have been accepted or not."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedItem:
    """One outcome that was drawn for audit, and what came of it.

    `probability` of the draw, as logged before the review; `reason` as logged: only `"audit"` enters a certificate.
    `verdict` judges `candidate`, the voted value at the stop, and is None where the review was not done. `correction`
    is a tuple of one value, or empty. `score` was fixed in advance (agreement, log-probability); `samples` stand in
    submission order, `INVALID` for those that failed.
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
    """A way to accept outcomes automatically, fixed before the labels are seen."""

    @property
    def name(self) -> str: ...

    def is_wrong(self, item: AuditedItem) -> bool | None:
        """Whether what it would have accepted is wrong; None where it would not have accepted."""


Family: TypeAlias = Sequence[AcceptancePolicy]


def is_judged_wrong(item: AuditedItem, value: Json, same: Callable[[Json, Json], bool]) -> bool:
    """Whether `value` is wrong by the review of the item's candidate. `unsure`, and a review not done, is wrong; another
    value than the candidate is right only where it is the correction."""
    if same(value, item.candidate):
        return item.verdict != "right"
    return not any(same(value, right) for right in item.correction)


def is_wrong_if_accepted(item: AuditedItem, value: Json, same: Callable[[Json, Json], bool]) -> bool | None:
    """The same of a value that a policy would accept; None where it would have been refused, whatever the policy."""
    if item.refused and same(value, item.candidate):
        return None
    return is_judged_wrong(item, value, same)


@dataclass(frozen=True, slots=True)
class Threshold:
    """Accept the candidate where its score is at least this."""

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
    """Accept what a plan would have accepted on the item's samples. One that would need more samples than the item has
    accepts nothing there: in use, too, such a vote would have ended without acceptance."""

    consistency: SelfConsistency

    @property
    def name(self) -> str:
        return str(self.consistency.plan)

    def is_wrong(self, item: AuditedItem) -> bool | None:
        settled = self.consistency.next(item.samples)
        if not isinstance(settled, VoteResult) or not settled.accept:
            return None
        return is_wrong_if_accepted(item, settled.vote.value, self.consistency.is_same_answer)


@dataclass(frozen=True, slots=True)
class Rule:
    """Any other policy, a whole ladder with one knob for instance: a name, and a function of an item that gives the
    value it would have accepted as a tuple of one, or an empty tuple."""

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
        raise UsageError(f"thresholds stand from strict to loose, each once, as in 1.0, 0.8, 0.6; found {at_least!r}.")
    return tuple(map(Threshold, at_least))


def plans(consistency: SelfConsistency, *given: tuple[int, int, int] | Plan) -> tuple[PlanPolicy, ...]:
    """Plans over the same fields, strict to loose. `n_max` is raised where a plan needs more samples.

    >>> [policy.name for policy in plans(SelfConsistency(n_max=9), (7, 2, 1), (5, 2, 1), (3, 2, 1))]
    ['plan (7, 2, 1)', 'plan (5, 2, 1)', 'plan (3, 2, 1)']
    """
    made = [plan if isinstance(plan, Plan) else Plan(*plan) for plan in given]
    for number, plan in enumerate(made):
        stricter = next((other for other in made[number + 1 :] if other.is_stricter(plan)), None)
        if stricter is not None or plan in made[:number]:
            raise UsageError(f"plans stand from strict to loose, each once: {stricter or plan} cannot follow {plan}.")
    return tuple(
        PlanPolicy(replace(consistency, plan=plan, stop=None, n_max=max(consistency.n_max, plan.most))) for plan in made
    )


def refuse_family(family: Family) -> None:
    """UsageError where the policies cannot be tested in a fixed sequence."""
    if not 1 <= len(family) <= MOST_POLICIES:
        raise UsageError(
            f"a family is 1 to {MOST_POLICIES} policies, fixed before the labels are seen, strict to loose; found"
            f" {len(family)}."
        )
    names = [policy.name for policy in family]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"the family has two policies named {twice!r}; each is tested once.")
