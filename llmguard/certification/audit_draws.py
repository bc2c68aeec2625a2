"""Which outcomes are audited: draws by HMAC, reproducible by whoever has the log's secret and steered by nobody.

The draw is of the outcome's id, before sampling, so the same inputs are not drawn for ever. Thinning brings items that
were drawn with unequal probabilities down to one: each is kept with least / its own.
"""

from __future__ import annotations

import hmac
from fractions import Fraction

from llmguard.core.errors import UsageError

_RANGE = 1 << 256


def is_drawn(secret: bytes, outcome_id: str, probability: float) -> bool:
    """Whether this outcome is audited: `int(HMAC-SHA256(secret, id)) / 2**256 < probability`.

    >>> [is_drawn(b"secret", f"outcome {number}", 0.2) for number in range(5)]
    [True, False, False, False, False]
    """
    if not 0 <= probability <= 1:
        raise UsageError(
            f"the share of outcomes to audit is from 0 to 1, found {probability!r}. 0.05 is one in twenty."
        )
    return _is_below(secret, outcome_id, Fraction(probability))


def is_kept(secret: bytes, outcome_id: str, probability: float, least: float) -> bool:
    """Whether thinning keeps an item that was drawn with `probability`, down to `least`. Nobody re-rolls it."""
    return probability <= least or _is_below(secret, "thin" + outcome_id, Fraction(least) / Fraction(probability))


def _is_below(secret: bytes, text: str, probability: Fraction) -> bool:
    drawn = int.from_bytes(hmac.digest(secret, text.encode("utf-8", "surrogatepass"), "sha256"), "big")
    return drawn * probability.denominator < probability.numerator * _RANGE
