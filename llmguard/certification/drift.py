"""Drift: the error rate of what is accepted has risen above the certified one. Tested after each audited accepted item.

For each of some rates r above alpha there is a bet that the error rate has been r since some earlier item: at item t new
money 1/(t(t+1)) is put on a change at t, and each item multiplies what was bet by the likelihood ratio of r to alpha. As
long as the rate is at most alpha, the wealth ever reaches 1/delta with probability of at most delta: a mixture of
e-processes started at each item (Shin, Ramdas and Rinaldo, "E-detectors", arXiv 2203.03532).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from llmguard.core.errors import UsageError

RATIOS = (1.25, 1.5, 2, 3, 4, 6, 10)
"""The rates that are bet on, as multiples of alpha: a small rise needs a bet near alpha, a large one is found sooner by a
bet far above it; the mean of the bets loses at most a factor of their number."""


@dataclass(frozen=True, slots=True)
class Drift:
    """The test over the audited accepted items: `alarm_at` is the item, from 1, at which drift was detected, or None.

    `curve` is the evidence after each item; drift is detected where it reaches `limit`.
    """

    items: int
    wrong: int
    alarm_at: int | None
    curve: tuple[float, ...]
    limit: float

    @property
    def is_detected(self) -> bool:
        return self.alarm_at is not None

    def sentence(self) -> str:
        """The result in one sentence, as it is written to the log."""
        if self.alarm_at is None:
            return f"No drift in {self.items} audited accepted outputs, of which {self.wrong} were wrong."
        return (
            f"Drift: after {self.alarm_at} audited accepted outputs the error rate is above what was certified"
            f" ({self.wrong} of {self.items} wrong). The certificate is suspended."
        )


def detect_drift(wrong: Iterable[bool], alpha: float, delta: float) -> Drift:
    """Whether the error rate of audited accepted items rose above `alpha`; false alarms ever: at most `delta`.

    >>> detect_drift([False] * 100, 0.05, 0.05).is_detected, detect_drift([True] * 10, 0.05, 0.05).alarm_at
    (False, 3)
    """
    items = list(wrong)
    limit = 1 / delta
    curve = tuple(drift_evidence(items, alpha, delta))
    alarm_at = next((number for number, each in enumerate(curve, start=1) if each >= limit), None)
    return Drift(len(items), sum(items), alarm_at, curve, limit)


def drift_evidence(wrong: Iterable[bool], alpha: float, delta: float) -> Iterator[float]:
    """After each item, the mean over r of the wealth W_t(r), plus the money 1/(t+1) that is not bet yet.

    >>> [round(each, 3) for each in drift_evidence([False, True], 0.05, 0.05)]
    [0.922, 2.446]
    """
    for name, share in (("alpha", alpha), ("delta", delta)):
        if not 0 < share < 1:
            raise UsageError(f"{name}: expected a share above 0 and below 1, got {share!r}.")
    rates = drift_rates(alpha)
    if_wrong, if_right = [r / alpha for r in rates], [(1 - r) / (1 - alpha) for r in rates]
    money = [0.0] * len(rates)
    for t, each in enumerate(wrong, start=1):
        new = 1 / (t * (t + 1))
        money = [(old + new) * ratio for old, ratio in zip(money, if_wrong if each else if_right, strict=True)]
        yield sum(money) / len(money) + 1 / (t + 1)


def drift_rates(alpha: float) -> tuple[float, ...]:
    """The rates that are bet on: multiples of alpha, none nearer to 1 than to alpha; at least one.

    >>> drift_rates(0.5)
    (0.625, 0.75)
    """
    middle = (1 + alpha) / 2
    return tuple(alpha * ratio for ratio in RATIOS if alpha * ratio <= middle) or (middle,)
