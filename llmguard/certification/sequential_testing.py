"""Fixed-sequence testing of acceptance policies: strict to loose, each at the whole delta, until the first failure.

"Learn then Test" (Angelopoulos, Bates, Candès, Jordan and Lei, arXiv 2110.01052) with the exact binomial test. Because
the order is fixed in advance and testing stops at the first failure, no correction for many tests is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Literal, TypeAlias

from llmguard.certification.binomial import binomial_cdf, upper_bound

Result: TypeAlias = Literal["certified", "failed", "skipped", "not tested"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """One policy's row: of the audited items it accepts `accepted`, of which `wrong` were judged wrong.

    `evidence` is the p-value of the exact test (small is good) or the e-value of the anytime one (large is good).
    `bound`: with confidence 1 - delta at most this share of what it accepts is wrong, if no other policy were tested.
    `coverage` is the estimated share of calls that it accepts.
    """

    policy: str
    accepted: int
    wrong: int
    coverage: float
    evidence: float
    bound: float
    result: Result


def p_value(accepted: int, wrong: int, alpha: float) -> float:
    """P(Bin(accepted, alpha) <= wrong): how likely so few errors are if the error rate were alpha.

    >>> round(p_value(60, 0, 0.05), 4)
    0.0461
    """
    return binomial_cdf(wrong, accepted, alpha)


def least_accepted(alpha: float, delta: float) -> float:
    """ln(delta) / ln(1 - alpha): with fewer accepted items even no error at all gives no p-value of delta or less."""
    return log(delta) / log(1 - alpha)


def fixed_sequence(counts: Sequence[tuple[int, int]], alpha: float, delta: float) -> tuple[tuple[Result, float], ...]:
    """Result and p-value of each policy, from (accepted, wrong) in the fixed order.

    Policies are skipped while they accept too few to prove anything, then certified while p <= delta.

    >>> [result for result, _ in fixed_sequence([(20, 0), (60, 0), (100, 1), (200, 9), (300, 9)], 0.05, 0.05)]
    ['skipped', 'certified', 'certified', 'failed', 'not tested']
    """
    results: list[tuple[Result, float]] = []
    skipping, testing = True, True
    for accepted, wrong in counts:
        p = p_value(accepted, wrong, alpha)
        skipping = skipping and accepted < least_accepted(alpha, delta)
        if skipping:
            results.append(("skipped", p))
        elif testing and p <= delta:
            results.append(("certified", p))
        else:
            results.append(("failed" if testing else "not tested", p))
            testing = False
    return tuple(results)


def loosest_certified(results: Sequence[tuple[Result, float]]) -> int | None:
    """The number of the loosest certified policy; None where none is."""
    numbers = [number for number, (result, _) in enumerate(results) if result == "certified"]
    return numbers[-1] if numbers else None


def bound_of(accepted: int, wrong: int, delta: float) -> float:
    """Clopper and Pearson's upper bound; 1 where nothing was accepted."""
    return upper_bound(wrong, accepted, delta) if accepted else 1.0
