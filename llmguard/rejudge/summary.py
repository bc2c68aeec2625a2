"""What many judged outcomes come to: counts, rates with exact intervals, costs, and what the changes have in common.

Only evidence is counted into rates: outcomes that are undetermined, or assumed, stand apart. `share_bounds` says how far
the undetermined ones could move a rate.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import sqrt
from statistics import NormalDist

from llmguard.certify.binomial import exact_interval, paired_p
from llmguard.rejudge.judging import PASSED, Kind, Rejudged

CONFIDENCE = 0.95
SHARES: dict[str, tuple[str, ...]] = {
    "model": PASSED,
    "fallback": ("fallback",),
    "escalated": ("escalated",),
    "rejected": ("rejected",),
}
"""How calls end, for the one who counts them: by a model's value, a deterministic rung, a person, or nobody."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `total`, with the exact interval (Clopper and Pearson) at 95 % confidence; None of none."""

    count: int
    total: int

    @property
    def share(self) -> float | None:
        return self.count / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float] | None:
        return exact_interval(self.count, self.total, CONFIDENCE) if self.total else None


@dataclass(slots=True)
class Sums:
    """Numbers added up so that their mean has an interval (normal: there are many, or none is promised)."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, number: float) -> None:
        self.count, self.total, self.squares = self.count + 1, self.total + number, self.squares + number * number

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None

    @property
    def interval(self) -> tuple[float, float] | None:
        if self.count < 2:
            return None
        mean = self.total / self.count
        variance = max(0.0, self.squares - self.count * mean * mean) / (self.count - 1)
        half = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2) * sqrt(variance / self.count)
        return mean - half, mean + half


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All that a replay came to. `kinds` and `ends` are of the evidence; `listed` the newest of each kind but `same`."""

    kinds: dict[Kind, int]
    assumed: dict[Kind, int]
    undetermined: int
    ends: dict[tuple[str, str], int]
    same_guard: int
    cost_before: Sums
    cost_after: Sums
    cost_change: Sums
    unpriced: int
    reasons: dict[Kind, dict[str, int]]
    listed: dict[Kind, tuple[Rejudged, ...]]

    @property
    def evidence(self) -> int:
        return sum(self.kinds.values())

    @property
    def total(self) -> int:
        return self.evidence + sum(self.assumed.values()) + self.undetermined

    def rate(self, kind: Kind) -> Rate:
        return Rate(self.kinds.get(kind, 0), self.evidence)

    def ended(self, share: str, *, today: bool) -> Rate:
        """How many calls ended so, then or today."""
        statuses = SHARES[share]
        return Rate(sum(count for ends, count in self.ends.items() if ends[today] in statuses), self.evidence)

    def share_bounds(self, share: str) -> tuple[float, float] | None:
        """The share today if none, and if all, of the undetermined outcomes ended so."""
        found, total = self.ended(share, today=True).count, self.evidence + self.undetermined
        return (found / total, (found + self.undetermined) / total) if total else None

    @property
    def p_value(self) -> float:
        """Of the exact paired test that as many came to pass as to fail."""
        return paired_p(self.kinds.get("newly_failing", 0), self.kinds.get("newly_passing", 0))


@dataclass(slots=True)
class Tally:
    """Adds up judged outcomes. `keep`: how many of each kind are listed."""

    keep: int = 20
    kinds: Counter[Kind] = field(default_factory=Counter)
    assumed: Counter[Kind] = field(default_factory=Counter)
    undetermined: int = 0
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    same_guard: int = 0
    unpriced: int = 0
    costs: tuple[Sums, Sums, Sums] = field(default_factory=lambda: (Sums(), Sums(), Sums()))
    reasons: dict[Kind, Counter[str]] = field(default_factory=dict)
    listed: dict[Kind, list[Rejudged]] = field(default_factory=dict)

    def add(self, each: Rejudged) -> None:
        self.same_guard += each.same_guard
        if each.kind != "same":
            self._list(each)
        if each.kind == "undetermined":
            self.undetermined += 1
        elif each.assumed:
            self.assumed[each.kind] += 1
        else:
            self.kinds[each.kind] += 1
            self.ends[each.before, each.after] += 1
            self._add_costs(each)

    def _list(self, each: Rejudged) -> None:
        self.reasons.setdefault(each.kind, Counter())[each.reason] += 1
        found = self.listed.setdefault(each.kind, [])
        found.append(each)
        if len(found) >= 2 * self.keep + 100:  # pages come in any order: the newest are kept
            found[:] = self._newest(found)

    def _newest(self, found: list[Rejudged]) -> list[Rejudged]:
        return sorted(found, key=lambda each: (each.started_at, each.id), reverse=True)[: self.keep]

    def _add_costs(self, each: Rejudged) -> None:
        if each.cost_before is None or each.cost_after is None:
            self.unpriced += 1
            return
        costs = (each.cost_before, each.cost_after, each.cost_after - each.cost_before)
        for sums, cost in zip(self.costs, costs, strict=True):
            sums.add(cost)

    def summary(self) -> Summary:
        before, after, change = self.costs
        return Summary(
            kinds=dict(self.kinds),
            assumed=dict(self.assumed),
            undetermined=self.undetermined,
            ends=dict(self.ends),
            same_guard=self.same_guard,
            cost_before=before,
            cost_after=after,
            cost_change=change,
            unpriced=self.unpriced,
            reasons={kind: dict(found.most_common()) for kind, found in self.reasons.items()},
            listed={kind: tuple(self._newest(found)) for kind, found in self.listed.items()},
        )
