"""The data of the plots: risk over coverage with an exact confidence band, and reliability: scores against shares right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmguard.certification.binomial import exact_interval, wilson_interval
from llmguard.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """Where everything with a score of at least `at_least` is accepted: the share accepted, the share of it that is wrong,
    and the confidence limits of that."""

    at_least: float
    coverage: float
    risk: float
    low: float
    high: float
    accepted: int
    wrong: int


@dataclass(frozen=True, slots=True)
class Bin:
    """Items with a score in [`low`, `high`]: their mean score, the share that was right, and its Wilson interval."""

    low: float
    high: float
    count: int
    mean_score: float
    right: float
    right_low: float
    right_high: float


def risk_coverage(
    scored: Iterable[tuple[float, bool]], confidence: float = 0.95, *, among: int | None = None
) -> tuple[RiskPoint, ...]:
    """From (score, wrong) of items drawn with one probability, one point for each distinct score, strictest first.

    `among`: the number of all items, where some have no score and can never be accepted.

    >>> [(point.coverage, point.risk) for point in risk_coverage([(0.9, False), (0.9, True), (0.5, True), (1.0, False)])]
    [(0.25, 0.0), (0.75, 0.3333333333333333), (1.0, 0.5)]
    """
    items = sorted(scored, key=lambda each: -each[0])
    if among is not None and among < len(items):
        raise UsageError(
            f"risk_coverage(among=...): expected at least {len(items)}, the items with a score; got {among!r}."
        )
    total = len(items) if among is None else among
    points, wrong = list[RiskPoint](), 0
    for number, (score, is_wrong) in enumerate(items, start=1):
        wrong += is_wrong
        if number == len(items) or items[number][0] != score:
            band = exact_interval(wrong, number, confidence)
            points.append(RiskPoint(score, number / total, wrong / number, *band, number, wrong))
    return tuple(points)


def reliability(scored: Iterable[tuple[float, bool]], bins: int = 10, confidence: float = 0.95) -> tuple[Bin, ...]:
    """From (score from 0 to 1, wrong), the bins of equal width that have any item.

    >>> [(each.low, each.count, each.right) for each in reliability([(0.15, True), (0.95, False), (1.0, False)])]
    [(0.1, 1, 0.0), (0.9, 2, 1.0)]
    """
    items = list(scored)
    outside = next((score for score, _ in items if not 0 <= score <= 1), None)
    if outside is not None or bins < 1:
        raise UsageError(
            f"reliability(...): expected scores from 0 to 1 and at least one bin; got {outside!r}, bins={bins!r}."
        )
    groups: dict[int, list[tuple[float, bool]]] = {}
    for score, wrong in items:
        groups.setdefault(min(bins - 1, int(score * bins)), []).append((score, wrong))
    return tuple(_bin(number, bins, groups[number], confidence) for number in sorted(groups))


def _bin(number: int, bins: int, items: Sequence[tuple[float, bool]], confidence: float) -> Bin:
    right = sum(not wrong for _, wrong in items)
    mean = sum(score for score, _ in items) / len(items)
    bars = wilson_interval(right, len(items), confidence)
    return Bin(number / bins, (number + 1) / bins, len(items), mean, right / len(items), *bars)


def bars(points: Sequence[RiskPoint], width: int = 40) -> str:
    """The risk-coverage curve in plain text: `#` up to the risk, `-` up to the upper limit of its band.

    >>> print(bars(risk_coverage([(1.0, False)] * 50 + [(0.5, True), (0.5, False)]), width=10))
    score  accepted  wrong  (95 % band up to)
     1.00     96.2%   0.0%  -  7.1%
     0.50    100.0%   1.9%  - 10.3%
    """
    lines = ["score  accepted  wrong  (95 % band up to)"]
    for point in points:
        bar = "#" * round(point.risk * width)
        bar += "-" * (max(1, round(point.high * width)) - len(bar))
        lines.append(f"{point.at_least:5.2f}  {point.coverage:8.1%}  {point.risk:5.1%}  {bar} {point.high:5.1%}")
    return "\n".join(lines)
