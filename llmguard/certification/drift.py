"""The alarm that what is accepted has become worse than promised, over audited accepted items as they come.

For rates r above alpha, wealth bets at each item that the error rate has been r since some earlier item: new money
1/(t(t+1)) is put on a change at t, and the likelihood ratio of r to alpha multiplies it. If the rate is alpha, wealth
ever reaches 1/delta with probability of at most delta (a mixture of e-processes started at each item; Shin, Ramdas and
Rinaldo, "E-detectors", arXiv 2203.03532).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from llmguard.core.errors import UsageError

RATIOS = (1.25, 1.5, 2, 3, 4, 6, 10)


@dataclass(frozen=True, slots=True)
class Drift:
    """What the audited accepted items say: `alarm_at` is the item, from 1, at which the alarm went off, or None.

    `curve` is the evidence after each item; the alarm goes off at `limit`.
    """

    items: int
    wrong: int
    alarm_at: int | None
    curve: tuple[float, ...]
    limit: float

    @property
    def alarm(self) -> bool:
        return self.alarm_at is not None

    def sentence(self) -> str:
        """One sentence for the log and for people."""
        if self.alarm_at is None:
            return f"No drift in {self.items} audited accepted outputs, of which {self.wrong} were wrong."
        return (
            f"Drift: after {self.alarm_at} audited accepted outputs the error rate is above what was certified"
            f" ({self.wrong} of {self.items} wrong). The certificate is suspended."
        )


def detect_drift(wrong: Iterable[bool], alpha: float, delta: float) -> Drift:
    """Whether the error rate of audited accepted items rose above `alpha`; false alarms ever: at most `delta`.

    >>> detect_drift([False] * 100, 0.05, 0.05).alarm, detect_drift([True] * 10, 0.05, 0.05).alarm_at
    (False, 3)
    """
    items = list(wrong)
    limit = 1 / delta
    curve = tuple(drift_evidence(items, alpha, delta))
    alarm = next((number for number, each in enumerate(curve, start=1) if each >= limit), None)
    return Drift(len(items), sum(items), alarm, curve, limit)


def drift_evidence(wrong: Iterable[bool], alpha: float, delta: float) -> Iterator[float]:
    """mean over r of W_t(r), plus the money 1/(t+1) that is not yet put on a change, after each item."""
    for name, given in (("alpha", alpha), ("delta", delta)):
        if not 0 < given < 1:
            raise UsageError(f"{name} is a share above 0 and below 1, found {given!r}.")
    rates = drift_rates(alpha)
    if_wrong, if_right = [r / alpha for r in rates], [(1 - r) / (1 - alpha) for r in rates]
    money = [0.0] * len(rates)
    for t, each in enumerate(wrong, start=1):
        fresh = 1 / (t * (t + 1))
        money = [(old + fresh) * ratio for old, ratio in zip(money, if_wrong if each else if_right, strict=True)]
        yield sum(money) / len(money) + 1 / (t + 1)


def drift_rates(alpha: float) -> tuple[float, ...]:
    """The rates that are bet on: multiples of alpha, none nearer to 1 than to alpha; at least one.

    >>> drift_rates(0.5)
    (0.625, 0.75)
    """
    middle = (1 + alpha) / 2
    return tuple(alpha * ratio for ratio in RATIOS if alpha * ratio <= middle) or (middle,)
