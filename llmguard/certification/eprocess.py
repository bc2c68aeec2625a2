"""The test for any time: wealth that grows in expectation only if the error rate is below alpha.

For each fraction f, wealth is the product over audited items of 1 - l * Z with Z = 1[accepted] (wrong - alpha) R / pi
and l = f * least_pi / (1 - alpha). Where at least alpha of what is accepted is wrong, each factor has expectation of at
most 1, so that wealth of 1/delta is ever reached with probability of at most delta (Ville's inequality, 1939). Betting
as in Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (arXiv 2010.09686); R / pi
weights items that were drawn with unequal probabilities.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, fsum, log, log1p
from typing import TypeAlias

from llmguard.core.errors import UsageError

FRACTIONS = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Fractions of the largest stake, with equal wealth on each: the best one depends on the unknown error rate, and the mean
of several bets loses at most a factor of their number against it."""

AuditResult: TypeAlias = tuple[bool | None, float]
"""(wrong, probability of the draw); None where the policy does not accept the item, which is no evidence."""


def _refuse_below(probability: float, least: float) -> None:
    if probability < least:
        raise UsageError(f"an item was drawn with probability {probability}, below the least of {least}.")


def mean_wealth(logs: list[float]) -> float:
    """The mean over fractions, from logarithms. Cut off at exp(700), because a float overflows at exp(710)."""
    return fsum(exp(min(each, 700.0)) for each in logs) / len(logs)


def wealth(right: int, wrong: int, alpha: float) -> float:
    """The mean wealth after so many right and wrong accepted items that were drawn with one probability.

    >>> wealth(357, 0, 0.01) >= 10 > wealth(356, 0, 0.01)
    True
    """
    return mean_wealth(
        [right * log1p(fraction * alpha / (1 - alpha)) + wrong * log(1 - fraction) for fraction in FRACTIONS]
    )


def largest(audits: Iterable[AuditResult], alpha: float, least: float) -> float:
    """The largest mean wealth so far: certified when it reaches 1/delta, however often one looks.

    >>> round(largest([(False, 0.1)] * 60 + [(None, 0.1)], alpha=0.05, least=0.1), 1)
    6.9
    """
    return _largest(_stretches(audits, least), alpha, least)


def anytime_bound(audits: Iterable[AuditResult], delta: float, least: float) -> float:
    """The smallest alpha, to a ten-thousandth, that these audits certify at any time."""
    stretches = _stretches(audits, least)
    low, high = 0, 10_000
    while high - low > 1:
        middle = (low + high) // 2
        reached = _largest(stretches, middle / 10_000, least) >= 1 / delta
        low, high = (low, middle) if reached else (middle, high)
    return high / 10_000


@dataclass(slots=True)
class _Stretch:
    """Right items, counted by the probability of their draw, and the wrong one after them, if any. Wealth grows with
    each right item, so that its peaks are at the ends of stretches: only these need be computed."""

    right: dict[float, int]
    wrong: float | None = None


def _stretches(audits: Iterable[AuditResult], least: float) -> list[_Stretch]:
    stretches = [_Stretch({})]
    for wrong, probability in audits:
        _refuse_below(probability, least)
        if wrong:
            stretches[-1].wrong = probability
            stretches.append(_Stretch({}))
        elif wrong is not None:
            stretches[-1].right[probability] = stretches[-1].right.get(probability, 0) + 1
    return stretches


def _largest(stretches: list[_Stretch], alpha: float, least: float) -> float:
    logs, peak = [0.0] * len(FRACTIONS), 1.0
    stakes = [fraction * least / (1 - alpha) for fraction in FRACTIONS]
    for stretch in stretches:
        for probability, count in stretch.right.items():
            for number, stake in enumerate(stakes):
                logs[number] += count * log1p(stake * alpha / probability)
        peak = max(peak, mean_wealth(logs))
        if stretch.wrong is not None:
            for number, stake in enumerate(stakes):
                logs[number] += log1p(-stake * (1 - alpha) / stretch.wrong)
    return peak
