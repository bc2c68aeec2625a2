"""What many judged outcomes come to: counts, rates with exact intervals, costs, and what the changes have in common.

Only evidence is counted into rates: outcomes that are undetermined, or assumed, stand apart. `share_bounds` says how far
the undetermined ones could move a rate.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import sqrt
from statistics import NormalDist

from llmguard.certification.binomial import exact_interval, paired_p
from llmguard.core.outcome import MODEL_STATUSES
from llmguard.operations.backtest.backtesting import Kind, Rejudged

CONFIDENCE = 0.95
SPARE = 100
SHARES: dict[str, tuple[str, ...]] = {
    "model": MODEL_STATUSES,
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


@dataclass(slots=True)
class Part:
    """Outcomes that can be spoken of together: the evidence, or what is assumed. `ends` counts (then, today)."""

    kinds: Counter[Kind] = field(default_factory=Counter)
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    unpriced: int = 0
    cost_before: Sums = field(default_factory=Sums)
    cost_today: Sums = field(default_factory=Sums)
    cost_change: Sums = field(default_factory=Sums)

    def add(self, each: Rejudged) -> None:
        self.kinds[each.kind] += 1
        self.ends[each.before, each.after] += 1
        if each.cost_before is None or each.cost_after is None:
            self.unpriced += 1
            return
        self.cost_before.add(each.cost_before)
        self.cost_today.add(each.cost_after)
        self.cost_change.add(each.cost_after - each.cost_before)

    @property
    def total(self) -> int:
        return self.kinds.total()

    def rate(self, kind: Kind) -> Rate:
        return Rate(self.kinds[kind], self.total)

    def ended(self, share: str, *, today: bool) -> Rate:
        """How many calls ended so, then or today."""
        return Rate(sum(count for ends, count in self.ends.items() if ends[today] in SHARES[share]), self.total)

    @property
    def p_value(self) -> float:
        """Of the exact paired test that as many came to pass as to fail."""
        return paired_p(self.kinds["newly_failing"], self.kinds["newly_passing"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All that a replay came to. `reasons` and `listed` (the newest) are of every kind but `same`, assumed ones too."""

    evidence: Part
    assumed: Part
    undetermined: int
    same_guard: int
    reasons: dict[Kind, dict[str, int]]
    listed: dict[Kind, tuple[Rejudged, ...]]

    @property
    def total(self) -> int:
        return self.evidence.total + self.assumed.total + self.undetermined

    def share_bounds(self, share: str) -> tuple[float, float] | None:
        """The share today if none, and if all, of the undetermined outcomes ended so."""
        found, total = self.evidence.ended(share, today=True).count, self.evidence.total + self.undetermined
        return (found / total, (found + self.undetermined) / total) if total else None


@dataclass(slots=True)
class Tally:
    """Adds up judged outcomes. `keep`: how many of each kind are listed."""

    keep: int = 20
    evidence: Part = field(default_factory=Part)
    assumed: Part = field(default_factory=Part)
    undetermined: int = 0
    same_guard: int = 0
    reasons: dict[Kind, Counter[str]] = field(default_factory=dict)
    listed: dict[Kind, list[Rejudged]] = field(default_factory=dict)

    def add(self, each: Rejudged) -> None:
        self.same_guard += each.same_guard
        if each.kind == "undetermined":
            self.undetermined += 1
        else:
            (self.assumed if each.assumed else self.evidence).add(each)
        if each.kind != "same":
            self._list(each)

    def _list(self, each: Rejudged) -> None:
        self.reasons.setdefault(each.kind, Counter())[each.reason] += 1
        found = self.listed.setdefault(each.kind, [])
        found.append(each)
        if len(found) >= 2 * self.keep + SPARE:
            found[:] = self._newest(found)

    def _newest(self, found: list[Rejudged]) -> list[Rejudged]:
        """Pages are done in any order."""
        return sorted(found, key=lambda each: (each.started_at, each.id), reverse=True)[: self.keep]

    def summary(self) -> Summary:
        return Summary(
            evidence=self.evidence,
            assumed=self.assumed,
            undetermined=self.undetermined,
            same_guard=self.same_guard,
            reasons={kind: dict(found.most_common()) for kind, found in self.reasons.items()},
            listed={kind: tuple(self._newest(found)) for kind, found in self.listed.items()},
        )
