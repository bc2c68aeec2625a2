"""When to stop drawing samples: for the answer (Fixed, Predictive), or for the decision whether to accept (Plan).

A stop looks at a vote's counts and either asks for more samples, to be drawn at the same time, or ends the vote. It
asks for the smallest batch after which ending is possible, so that drawing in batches decides as drawing one by one.
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


@dataclass(frozen=True, slots=True)
class Draw:
    """Draw `count` more samples, at the same time."""

    count: int


@dataclass(frozen=True, slots=True)
class Stop:
    """End the vote. `accept` is None where the stop is for the answer alone, and agreement decides."""

    reason: StopReason
    accept: bool | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """What a stop sees of a vote: samples drawn, the largest dissent, and (leader, runner-up) of each field."""

    sample_count: int
    dissent: int
    fields: tuple[tuple[int, int], ...] = ()


# ------------------------------------------------------------------------------------------------- for the decision


@dataclass(frozen=True, slots=True)
class Plan:
    """Accept once `n >= n0 + k*d`, escalate once `d > c`: n samples drawn, d of them in dissent.

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
        """The dissent limit first: a vote beyond it is not accepted however many samples stand behind it."""
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


# ------------------------------------------------------------------------------------------------- for the answer


@dataclass(frozen=True, slots=True)
class Fixed:
    """Draw `n` samples, whatever they say."""

    n: int

    def __post_init__(self) -> None:
        if not isinstance(self.n, int) or isinstance(self.n, bool) or not 1 <= self.n <= MAX_SAMPLES:
            raise UsageError(f"Fixed(n) wants a whole number from 1 to {MAX_SAMPLES}, found {self.n!r}.")

    def decide(self, counts: Counts, n_max: int) -> Draw | Stop:
        return Draw(self.n - counts.sample_count) if counts.sample_count < self.n else Stop("n_max")

    def description(self) -> Json:
        return {"fixed": self.n}


@dataclass(frozen=True, slots=True)
class Predictive:
    """Stop once the runner-up still overtakes within the budget with probability of at most `eps`, in every field."""

    eps: float = 0.05

    def __post_init__(self) -> None:
        if not isinstance(self.eps, int | float | Fraction) or isinstance(self.eps, bool) or not 0 < self.eps < 0.5:
            raise UsageError(f"Predictive(eps) wants a probability above 0 and below 0.5, found {self.eps!r}.")

    def decide(self, counts: Counts, n_max: int) -> Draw | Stop:
        """Samples that all agree with the leaders settle the answer soonest; so many are drawn at once."""
        fields = counts.fields or ((0, 0),)
        left = n_max - counts.sample_count
        missing = max(_missing(leader, runner_up, left, _decimal(self.eps)) for leader, runner_up in fields)
        if missing == 0:
            return Stop("answer_settled") if left else Stop("n_max")
        return Draw(missing)

    def description(self) -> Json:
        return {"predictive": float(self.eps)}


def _decimal(eps: float | Fraction) -> Fraction:
    """A probability as written: 0.05 is one twentieth."""
    return eps if isinstance(eps, Fraction) else Fraction(repr(eps))


@lru_cache(maxsize=20_000)
def _missing(leader: int, runner_up: int, left: int, eps: Fraction) -> int:
    """How many samples for the leader settle the answer; 0 where it is settled. With none left it always is."""
    for more in range(left + 1):
        if leader + more and overtaking(leader + more, runner_up, left - more) <= eps:
            return more
    return left


@lru_cache(maxsize=50_000)
def overtaking(a: int, b: int, left: int) -> Fraction:
    """P(the runner-up with `b` votes beats the leader with `a` within `left` draws), a tie counting half, exactly.

    X of the draws go to the leader, X ~ BetaBinomial(left, a + 1, b + 1); a third candidate is ignored.

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
