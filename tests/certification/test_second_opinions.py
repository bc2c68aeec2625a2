"""The statistics of certificates as scipy and mapie compute them.

These libraries take a second to load, so each test loads its own, and all are marked `slow`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal, localcontext

import pytest

from llmguard.certification import fixed_sequence
from llmguard.certification.binomial import (
    binomial_cdf,
    binomial_pmf,
    binomial_sf,
    exact_interval,
    lower_bound,
    upper_bound,
    wilson_interval,
)

pytestmark = pytest.mark.slow

CHANCE = random.Random(3)


def arguments(count: int) -> Iterator[tuple[int, int, float]]:
    """(k, n, p) from everyday to extreme: n to a million, p to a billionth of 0 and of 1, k in the middle and the tails."""
    for _ in range(count):
        n = int(10 ** CHANCE.uniform(0, 6))
        p = CHANCE.choice([CHANCE.random(), 10 ** CHANCE.uniform(-9, 0), 1 - 10 ** CHANCE.uniform(-9, 0)])
        near = int(min(n, max(0, CHANCE.gauss(n * p, 3 * (n * p * (1 - p)) ** 0.5 + 1))))
        yield CHANCE.choice([CHANCE.randint(0, n), near, near, 0, n]), n, p


def agree(mine: float, theirs: float) -> bool:
    return abs(mine - theirs) <= max(1e-15, 1e-12 * abs(theirs))


def exactly(k: int, n: int, p: float) -> float:
    """P(Bin(n, p) <= k) in fifty digits, term by term."""
    with localcontext() as digits:
        digits.prec = 50
        rate = Decimal(p)
        term = total = (1 - rate) ** n
        for i in range(k):
            term *= Decimal(n - i) / (i + 1) * rate / (1 - rate)
            total += term
        return float(total)


def test_the_binomial_agrees_with_scipy() -> None:
    """On 10,000 random arguments to 1e-12 or 1e-15; where scipy itself is off (large n, tiny p), with fifty digits."""
    import scipy.stats

    for k, n, p in arguments(10_000):
        assert agree(binomial_pmf(k, n, p), scipy.stats.binom.pmf(k, n, p))
        mine, theirs = binomial_cdf(k, n, p), scipy.stats.binom.cdf(k, n, p)
        assert agree(mine, theirs) or agree(mine, exactly(k, n, p))
        mine, theirs = binomial_sf(k, n, p), scipy.stats.binom.sf(k, n, p)
        assert agree(mine, theirs) or abs(mine - (1 - exactly(k, n, p))) < 1e-15


@pytest.mark.parametrize(
    ("k", "n", "p"), [(0, 0, 0.5), (-1, 5, 0.5), (5, 5, 0.0), (4, 5, 1.0), (5, 5, 1.0), (9, 5, 0.3)]
)
def test_the_binomial_at_its_edges_agrees_with_scipy(k: int, n: int, p: float) -> None:
    """No trials, certain outcomes, limits outside."""
    import scipy.stats

    assert binomial_cdf(k, n, p) == scipy.stats.binom.cdf(k, n, p)
    assert binomial_sf(k, n, p) == scipy.stats.binom.sf(k, n, p)
    assert binomial_pmf(k, n, p) == scipy.stats.binom.pmf(k, n, p)


def test_bounds_agree_with_scipy() -> None:
    """Clopper and Pearson by the beta distribution, Wilson by scipy's own."""
    import scipy.stats

    for _ in range(600):
        n = int(10 ** CHANCE.uniform(0, 4.5))
        k, delta = CHANCE.randint(0, n), CHANCE.choice([0.01, 0.05, 0.1, 0.5])
        upper = scipy.stats.beta.ppf(1 - delta, k + 1, n - k) if k < n else 1.0
        lower = scipy.stats.beta.ppf(delta, k, n - k + 1) if k else 0.0
        assert upper_bound(k, n, delta) == pytest.approx(upper, rel=1e-11)
        assert lower_bound(k, n, delta) == pytest.approx(lower, rel=1e-11)
        found = scipy.stats.binomtest(k, n).proportion_ci(1 - delta, method="wilson")
        assert wilson_interval(k, n, 1 - delta) == pytest.approx((found.low, found.high), rel=1e-11, abs=1e-14)
    assert exact_interval(5, 100) == pytest.approx(tuple(scipy.stats.binomtest(5, 100).proportion_ci(0.95)), rel=1e-12)


@pytest.mark.filterwarnings("ignore")
def test_mapie_certifies_nothing_that_this_does_not() -> None:
    """On the same order and delta; its Hoeffding-Bentkus p-values are never smaller than the exact ones."""
    pytest.importorskip("mapie")
    import numpy as np
    from mapie.risk_control import BinaryClassificationController

    chance = random.Random(9)
    levels = [0.9, 0.7, 0.5, 0.3]
    allowed, refused = 0, 0
    for _ in range(25):
        scores = np.array([chance.choice([0.95, 0.8, 0.6, 0.4]) for _ in range(600)])
        right = np.array([int(chance.random() < 0.86 + 0.12 * score) for score in scores])
        mapie = BinaryClassificationController(
            predict_function=lambda x: np.column_stack([1 - x, x]),
            risk="precision",
            target_level=0.95,
            confidence_level=0.9,
            list_predict_params=np.array(levels),
            fwer_method="fixed_sequence",
        ).calibrate(scores, right)
        theirs = {round(float(level), 3) for level in mapie.valid_predict_params}
        counts = [(int((scores >= level).sum()), int(((scores >= level) & (right == 0)).sum())) for level in levels]
        results = fixed_sequence(counts, 0.05, 0.1)
        mine = {level for level, (result, _) in zip(levels, results, strict=True) if result == "certified"}
        assert theirs <= mine
        allowed, refused = allowed + len(theirs), refused + len(levels) - len(mine)
    assert allowed > 0
    assert refused > 0
