"""How well a judge agrees with reviewers: Cohen's kappa, agreement beyond chance (Cohen, "A coefficient of agreement for
nominal scales", 1960)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kappa:
    """`value` from -1 to 1, None where all verdicts are the same, so that kappa is 0/0; `agreement` is the share of equal
    verdicts among `count` pairs."""

    value: float | None
    agreement: float
    count: int

    def sentence(self) -> str:
        """The result in one sentence."""
        if not self.count:
            return "No outcome has both the judge's verdict and a person's."
        kappa = "undefined: all verdicts are the same" if self.value is None else f"{self.value:.2f}"
        return (
            f"The judge agrees with people on {self.agreement:.0%} of {self.count} outcomes; Cohen's kappa is {kappa}."
        )


def cohens_kappa(pairs: Iterable[tuple[Hashable, Hashable]]) -> Kappa:
    """Agreement of pairs (judge's verdict, person's verdict) beyond chance.

    >>> cohens_kappa([("right", "right")] * 20 + [("right", "wrong")] * 5 + [("wrong", "right")] * 10
    ...              + [("wrong", "wrong")] * 15).value
    0.4
    """
    counts = Counter(pairs)
    total = counts.total()
    if not total:
        return Kappa(None, 0.0, 0)
    judge, person = Counter[Hashable](), Counter[Hashable]()
    for (one, other), count in counts.items():
        judge[one] += count
        person[other] += count
    equal = sum(count for (one, other), count in counts.items() if one == other)
    by_chance = sum(judge[verdict] * person[verdict] for verdict in judge)
    if by_chance == total * total:
        return Kappa(None, equal / total, total)
    return Kappa((equal * total - by_chance) / (total * total - by_chance), equal / total, total)
