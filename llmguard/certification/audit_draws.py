"""Which outcomes are audited: pseudo-random draws by HMAC, reproducible with the log's secret and unpredictable without.

The draw is of the outcome's id, before sampling, so that the same inputs are not always drawn. Thinning brings items that
were drawn with unequal probabilities to the least of these: each is kept with probability least / its own.
"""

from __future__ import annotations

import hmac
from fractions import Fraction

from llmguard.core.errors import UsageError

_RANGE = 1 << 256  # SHA-256 gives one of so many numbers


def is_drawn(secret: bytes, outcome_id: str, probability: float) -> bool:
    """Whether this outcome is audited: `int(HMAC-SHA256(secret, id)) / 2**256 < probability`.

    >>> [is_drawn(b"secret", f"outcome {number}", 0.2) for number in range(5)]
    [True, False, False, False, False]
    """
    if not 0 <= probability <= 1:
        raise UsageError(
            f"the share of outcomes to audit: expected a number from 0 to 1, got {probability!r}. 0.05 is one in twenty."
        )
    return _is_below(secret, outcome_id, Fraction(probability))


def is_kept(secret: bytes, outcome_id: str, probability: float, least: float) -> bool:
    """Whether thinning from `probability` to `least` keeps an item: decided by its id, so that no one can draw again."""
    return probability <= least or _is_below(secret, "thin" + outcome_id, Fraction(least) / Fraction(probability))


def _is_below(secret: bytes, text: str, probability: Fraction) -> bool:
    number = int.from_bytes(hmac.digest(secret, text.encode("utf-8", "surrogatepass"), "sha256"), "big")
    return number * probability.denominator < probability.numerator * _RANGE  # in integers: a float would round
