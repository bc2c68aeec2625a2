"""How many audited accepted outputs a certificate will need, estimated before any review."""

from __future__ import annotations

from math import ceil, log

from llmguard.certification.binomial import binomial_cdf
from llmguard.certification.eprocess import wealth
from llmguard.certification.sequential_testing import least_accepted
from llmguard.core.errors import UsageError

MOST_LABELS = 1_000_000
"""Beyond, the answer is None: no one reviews so many, and the search ends."""


def labels_needed(alpha: float, true_error: float, delta: float = 0.10, power: float = 0.80) -> int | None:
    """The smallest number from which the exact test certifies with probability of `power` or more, and stays there.

    `power` 0.80 is the convention for sample sizes (Cohen, "Statistical Power Analysis", 1988). None where the number is
    more than a million: the true error is too near alpha, or above it.

    >>> labels_needed(0.05, 0.0), labels_needed(0.05, 0.0125)
    (45, 132)
    """
    if not 0 < alpha < 1 or not 0 < delta < 1 or not 0 < power < 1 or true_error < 0:
        raise UsageError(
            f"expected alpha, delta and power above 0 and below 1, and true_error 0 or more; got alpha={alpha!r},"
            f" delta={delta!r}, power={power!r}, true_error={true_error!r}."
        )
    if true_error >= 0.95 * alpha:  # the number grows with 1 / (alpha - true_error)^2: nearer, it is beyond any use
        return None
    return _after_the_last_dip(alpha, true_error, delta, power)


def _after_the_last_dip(alpha: float, true_error: float, delta: float, power: float) -> int | None:
    """Power falls while the number of errors allowed stays the same and jumps when one more is allowed: a sawtooth curve
    with ever smaller teeth. The lowest point of each tooth is the item before the next one begins."""
    allowed, begins = 0, ceil(least_accepted(alpha, delta))
    needed = begins
    while begins < MOST_LABELS:
        following = _first_that_allows(allowed + 1, begins, alpha, delta)
        lowest = binomial_cdf(allowed, following - 1, true_error)
        if lowest < power:
            needed = following
        elif lowest >= (1 + power) / 2:  # far above: no later tooth goes below `power` again
            return needed
        allowed, begins = allowed + 1, following
    return None


def _first_that_allows(errors: int, above: int, alpha: float, delta: float) -> int:
    """The smallest number of items at which so many errors are certified."""
    low, high = above, 2 * above + errors
    while binomial_cdf(errors, high, alpha) > delta:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if binomial_cdf(errors, middle, alpha) <= delta else (middle, high)
    return high


def labels_without_error(alpha: float, delta: float, method: str = "exact") -> int:
    """The audited accepted outputs that certify alpha if none of them is wrong.

    >>> [labels_without_error(0.02, 0.10, method) for method in ("exact", "anytime")]
    [114, 178]
    """
    if method == "exact":
        return ceil(least_accepted(alpha, delta))
    number = ceil(log(1 / delta) / alpha)
    while wealth(number, 0, alpha) < 1 / delta:
        number += max(1, number // 1000)
    while wealth(number - 1, 0, alpha) >= 1 / delta:
        number -= 1
    return number
