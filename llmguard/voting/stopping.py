"""When to stop drawing samples: when the answer is known (Fixed, Predictive), or whether to accept it is (Plan).

A stopping rule looks at a vote's counts and either asks for a batch of samples, to be drawn in parallel, or ends the
vote. The batch is the smallest after which the vote can end, so that batches decide as samples drawn one by one do.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import comb

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.outcome import StopReason

MAX_SAMPLES = 1000
"""Catches a mistyped number: the paper on self-consistency uses up to 40 samples (Wang et al., arXiv 2203.11171)."""


@dataclass(frozen=True, slots=True)
class Draw:
    """Draw `count` more samples, in parallel."""

    count: int


@dataclass(frozen=True, slots=True)
class Stop:
    """End the vote. `accept` is None where the rule only finds the answer, and agreement decides."""

    reason: StopReason
    accept: bool | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """What a stopping rule needs of a vote: the samples drawn, the largest dissent, and (leader, runner-up) of each field."""

    sample_count: int
    dissent: int
    fields: tuple[tuple[int, int], ...] = ()


# ------------------------------------------------------------------------------------------------- whether to accept


@dataclass(frozen=True, slots=True)
class Plan:
    """Accept once `n >= n0 + k*d`, escalate once `d > c`: n samples drawn, d of them in dissent.

    The boundaries are straight lines, as in Wald's sequential test ("Sequential Tests of Statistical Hypotheses", 1945).

    >>> plan = Plan(3, 2, 1)
    >>> plan.decide(Counts(0, 0)), plan.decide(Counts(3, 1)), plan.decide(Counts(5, 1)).accept
    (Draw(count=3), Draw(count=2), True)
    """

    n0: int
    k: int
    c: int

    def __post_init__(self) -> None:
        wrong = _wrong_with(self)
        if wrong:
            raise UsageError(f"plan ({self.n0!r}, {self.k!r}, {self.c!r}): {wrong}.")

    @property
    def most(self) -> int:
        """The most samples it may draw."""
        return self.n0 + self.k * self.c

    def decide(self, counts: Counts) -> Draw | Stop:
        """The dissent limit first: a vote beyond it is not accepted, however many samples agree."""
        if counts.dissent > self.c:
            return Stop("dissent_limit", accept=False)
        missing = self.n0 + self.k * counts.dissent - counts.sample_count
        return Draw(missing) if missing > 0 else Stop("accept_boundary", accept=True)

    def is_stricter(self, other: Plan) -> bool:
        """Whether it accepts nothing that `other` would not, and differs."""
        return (
            self != other
            and self.c <= other.c
            and all(self.n0 + self.k * d >= other.n0 + other.k * d for d in range(self.c + 1))
        )

    def __str__(self) -> str:
        return f"plan ({self.n0}, {self.k}, {self.c})"

    def description(self) -> Json:
        return {"plan": [self.n0, self.k, self.c]}


def _wrong_with(plan: Plan) -> str | None:
    if not all(isinstance(each, int) and not isinstance(each, bool) for each in (plan.n0, plan.k, plan.c)):
        return "n0, k and c are whole numbers"
    if plan.n0 < 1:
        return "n0, the samples that must agree where none dissents, is at least 1"
    if plan.k < 1:
        return "k, the further samples for each dissent, is at least 1; with less, dissent would cost nothing"
    if plan.c < 0:
        return "c, the dissents up to which a vote may be accepted, is at least 0"
    return None


# ------------------------------------------------------------------------------------------------- which answer


@dataclass(frozen=True, slots=True)
class Fixed:
    """Draw `n` samples, whatever their values.

    >>> Fixed(5).decide(Counts(3, 0), 9), Fixed(5).decide(Counts(5, 0), 9).reason
    (Draw(count=2), 'n_max')
    """

    n: int

    def __post_init__(self) -> None:
        if not isinstance(self.n, int) or isinstance(self.n, bool) or not 1 <= self.n <= MAX_SAMPLES:
            raise UsageError(f"Fixed(n): expected a whole number from 1 to {MAX_SAMPLES}, got {self.n!r}.")

    def decide(self, counts: Counts, n_max: int) -> Draw | Stop:
        return Draw(self.n - counts.sample_count) if counts.sample_count < self.n else Stop("n_max")

    def description(self) -> Json:
        return {"fixed": self.n}


@dataclass(frozen=True, slots=True)
class Predictive:
    """Stop once the runner-up would overtake the leader within `n_max` with probability of at most `eps`, in every field.

    As in Adaptive-Consistency (Aggarwal et al., arXiv 2305.11860), but for a finite number of further samples.

    >>> Predictive().decide(Counts(0, 0), 9), Predictive().decide(Counts(3, 0, ((3, 0),)), 5).reason
    (Draw(count=3), 'answer_settled')
    """

    eps: float = 0.05

    def __post_init__(self) -> None:
        if not isinstance(self.eps, int | float | Fraction) or isinstance(self.eps, bool) or not 0 < self.eps < 0.5:
            raise UsageError(f"Predictive(eps): expected a probability above 0 and below 0.5, got {self.eps!r}.")

    def decide(self, counts: Counts, n_max: int) -> Draw | Stop:
        """The batch is what would be enough if all of it agreed with the leaders."""
        fields = counts.fields or ((0, 0),)
        left = n_max - counts.sample_count
        missing = max(_samples_needed(leader, runner_up, left, _decimal(self.eps)) for leader, runner_up in fields)
        if missing == 0:
            return Stop("answer_settled") if left else Stop("n_max")
        return Draw(missing)

    def description(self) -> Json:
        return {"predictive": float(self.eps)}


def _decimal(eps: float | Fraction) -> Fraction:
    """A probability as written: 0.05 is one twentieth."""
    return eps if isinstance(eps, Fraction) else Fraction(repr(eps))


@lru_cache(maxsize=20_000)
def _samples_needed(leader: int, runner_up: int, left: int, eps: Fraction) -> int:
    """How many samples for the leader are enough; 0 where they are already. With none left no more are needed."""
    for more in range(left + 1):
        if leader + more and overtaking(leader + more, runner_up, left - more) <= eps:
            return more
    return left


@lru_cache(maxsize=50_000)
def overtaking(a: int, b: int, left: int) -> Fraction:
    """P(the runner-up with `b` votes beats the leader with `a` within `left` draws), a tie counting half, exactly.

    X of the draws go to the leader, X ~ BetaBinomial(left, a + 1, b + 1): the posterior predictive distribution with a
    uniform prior. A third candidate is ignored.

    >>> overtaking(2, 0, 3)
    Fraction(1, 20)
    """
    beaten = tied = 0
    for x in range(min(left, (b + left - a) // 2) + 1 if b + left >= a else 0):
        ways = comb(x + a, a) * comb(left - x + b, b)
        if b + left - x > a + x:
            beaten += ways
        else:
            tied += ways
    return Fraction(2 * beaten + tied, 2 * comb(left + a + b + 1, left))
