"""The binomial distribution on the standard library alone: probabilities, tails, exact bounds, Wilson intervals.

Single probabilities by Loader, "Fast and accurate computation of binomial probabilities" (2000), which loses no digits
where log-gamma does; tails by summing outwards from the term next to the limit. Tests hold it to scipy within 1e-12.
"""

from __future__ import annotations

from math import comb, exp, expm1, log, log1p, pi, sqrt
from statistics import NormalDist

# log(n!) minus Stirling's formula for n = 0 ... 15, as tabulated by Loader (2000): below 16 the series is not exact enough.
_STIRLING_ERRORS = (
    0.0,
    0.08106146679532726,
    0.0413406959554093,
    0.02767792568499834,
    0.020790672103765093,
    0.016644691189821193,
    0.013876128823070748,
    0.01189670994589177,
    0.010411265261972096,
    0.009255462182712733,
    0.00833056343336287,
    0.007573675487951841,
    0.00694284010720953,
    0.006408994188004207,
    0.0059513701127588475,
    0.005554733551962801,
)


def _stirling_error(n: int) -> float:
    """Loader's delta(n): the table, else Stirling's series (Abramowitz and Stegun, 6.1.41)."""
    if n < len(_STIRLING_ERRORS):
        return _STIRLING_ERRORS[n]
    square = float(n) * n
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square) / square) / n


def _deviance(x: float, mean: float) -> float:
    """x log(x / mean) + mean - x without cancellation where x is near the mean: Loader's bd0, by a series below 0.1."""
    if abs(x - mean) >= 0.1 * (x + mean):
        return x * log(x / mean) + mean - x
    v = (x - mean) / (x + mean)
    total, term = (x - mean) * v, 2 * x * v
    for odd in range(3, 2000, 2):
        term *= v * v
        more = total + term / odd
        if more == total:
            break
        total = more
    return total


def binomial_pmf(k: int, n: int, p: float) -> float:
    """P(X = k), X ~ Bin(n, p).

    >>> binomial_pmf(1, 3, 0.5)
    0.375
    """
    _refuse_arguments(n, p)
    if not 0 <= k <= n:
        return 0.0
    if p in (0, 1):
        return float(k == n * p)
    if k == 0:
        return exp(n * log1p(-p))
    if k == n:
        return exp(n * log(p))
    if n <= 30:
        return comb(n, k) * p**k * (1 - p) ** (n - k)
    errors = _stirling_error(n) - _stirling_error(k) - _stirling_error(n - k)
    log_part = errors - _deviance(k, n * p) - _deviance(n - k, n * (1 - p))
    return exp(log_part) * sqrt(n / (2 * pi * k * (n - k)))


def binomial_cdf(k: int, n: int, p: float) -> float:
    """P(X <= k), X ~ Bin(n, p).

    >>> binomial_cdf(1, 4, 0.5)
    0.3125
    """
    _refuse_arguments(n, p)
    if k < 0:
        return 0.0
    if k >= n:
        return 1.0
    if k < n * p:
        return min(1.0, _down(k, n, p))
    return max(0.0, 1 - _up(k + 1, n, p))


def binomial_sf(k: int, n: int, p: float) -> float:
    """P(X > k), X ~ Bin(n, p), to full precision in the far tail, too.

    >>> binomial_sf(2, 4, 0.5)
    0.3125
    """
    _refuse_arguments(n, p)
    if k < 0:
        return 1.0
    if k >= n:
        return 0.0
    if k < n * p:
        return max(0.0, 1 - _down(k, n, p))
    return min(1.0, _up(k + 1, n, p))


def _down(k: int, n: int, p: float) -> float:
    """P(X <= k) below the mean: terms fall on the way to 0."""
    if p == 1:
        return 0.0
    term = total = binomial_pmf(k, n, p)
    odds = (1 - p) / p
    while k > 0 and term > total * 1e-18:  # further terms are lost in the rounding of a float's 53 bits
        term *= k / (n - k + 1) * odds
        total += term
        k -= 1
    return total


def _up(k: int, n: int, p: float) -> float:
    """P(X >= k) above the mean: terms fall on the way to n."""
    if p == 0:
        return 0.0
    term = total = binomial_pmf(k, n, p)
    odds = p / (1 - p) if p < 1 else 0.0
    while k < n and term > total * 1e-18:
        term *= (n - k) / (k + 1) * odds
        total += term
        k += 1
    return total


def _refuse_arguments(n: int, p: float) -> None:
    if n < 0 or not 0 <= p <= 1:
        raise ValueError(f"a binomial distribution: expected n >= 0 and p from 0 to 1, got n={n!r}, p={p!r}")


def paired_p(worse: int, better: int) -> float:
    """McNemar's exact test: the two-sided probability of a split at least so uneven if both directions are as likely.

    Of pairs that were tested twice, `worse` passed only the first time and `better` only the second; pairs with equal
    results do not count (Agresti, "Categorical Data Analysis", 3rd ed., 11.1).

    >>> paired_p(1, 9), paired_p(0, 0)
    (0.021484375, 1.0)
    """
    return min(1.0, 2 * binomial_cdf(min(worse, better), worse + better, 0.5))


# ------------------------------------------------------------------------------------------------- bounds


def upper_bound(k: int, n: int, delta: float) -> float:
    """With confidence 1 - delta, the rate of which k of n is a sample is at most this.

    Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial" (1934).

    >>> round(upper_bound(0, 59, 0.05), 6)
    0.049508
    """
    _refuse_counts(k, n, delta)
    if k == n:
        return 1.0
    if k == 0:
        return -expm1(log(delta) / n)
    return _rate_at(k, n, delta)


def lower_bound(k: int, n: int, delta: float) -> float:
    """With confidence 1 - delta, the rate of which k of n is a sample is at least this (Clopper and Pearson 1934)."""
    _refuse_counts(k, n, delta)
    if k == 0:
        return 0.0
    if k == n:
        return exp(log(delta) / n)
    return _rate_at(k - 1, n, 1 - delta)


def exact_interval(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's two-sided interval of a rate."""
    half = (1 - confidence) / 2
    return lower_bound(k, n, half), upper_bound(k, n, half)


def wilson_interval(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a rate, for plots: on average its coverage is nearer to its confidence than that of the
    exact one (Wilson 1927; Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", 2001).

    >>> [round(limit, 4) for limit in wilson_interval(8, 10)]
    [0.4902, 0.9433]
    """
    _refuse_counts(k, n, 1 - confidence)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    square, rate = z * z / n, k / n
    centre = (rate + square / 2) / (1 + square)
    half = z / (1 + square) * sqrt(rate * (1 - rate) / n + square / (4 * n))
    return (0.0 if k == 0 else max(0.0, centre - half)), (1.0 if k == n else min(1.0, centre + half))


def _rate_at(k: int, n: int, tail: float) -> float:
    """The p with P(Bin(n, p) <= k) = tail: Newton's steps, kept inside a bracket."""
    low, high, p = 0.0, 1.0, (k + 0.7) / (n + 0.4)  # Benard: the median of Beta(k + 1, n - k)
    for _ in range(200):  # in practice under ten; bisection alone needs about 60
        excess = binomial_cdf(k, n, p) - tail
        low, high = (p, high) if excess > 0 else (low, p)
        slope = n * binomial_pmf(k, n - 1, p)
        step = p + excess / slope if slope else low
        following = step if low < step < high else (low + high) / 2
        if abs(following - p) <= 1e-16 * p or excess == 0:
            break
        p = following
    return p


def _refuse_counts(k: int, n: int, delta: float) -> None:
    if not 0 <= k <= n or n < 1 or not 0 < delta < 1:
        raise ValueError(f"a bound: expected 0 <= k <= n, n >= 1 and delta in (0, 1); got k={k!r}, n={n!r}, {delta!r}")
