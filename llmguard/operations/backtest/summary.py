"""The results of many calls: counts, rates with exact intervals, costs, and what the changes have in common.

Only evidence is counted into rates: results that are undetermined, or substituted, are counted apart. `share_bounds` says
how far the undetermined ones could move a rate.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import sqrt
from statistics import NormalDist

from llmguard.certification.binomial import exact_interval, paired_p
from llmguard.core.canonical import Json
from llmguard.core.outcome import MODEL_STATUSES
from llmguard.operations.backtest.replay_result import Kind, ReplayResult

CONFIDENCE = 0.95
SPARE = 100
"""Results beyond the listed ones that are held before the list is sorted and cut again."""
EVIDENCE: tuple[Kind, ...] = ("same", "newly_failing", "newly_passing", "changed")
SHARES: dict[str, tuple[str, ...]] = {
    "model": MODEL_STATUSES,
    "fallback": ("fallback",),
    "escalated": ("escalated",),
    "rejected": ("rejected",),
}
"""How calls end: by a model's value, a deterministic rung, a person, or without a value."""


@dataclass(frozen=True, slots=True)
class ExactRate:
    """`count` of `total`, with the exact interval (Clopper and Pearson) at 95 % confidence; None of none."""

    count: int
    total: int

    @property
    def share(self) -> float | None:
        return self.count / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float] | None:
        return exact_interval(self.count, self.total, CONFIDENCE) if self.total else None

    def to_json(self) -> dict[str, Json]:
        low, high = self.interval or (None, None)
        return {"count": self.count, "total": self.total, "share": self.share, "low": low, "high": high}


@dataclass(slots=True)
class Sums:
    """Numbers added up so that their mean has an interval (the normal one: good for many numbers)."""

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

    def to_json(self) -> dict[str, Json]:
        low, high = self.interval or (None, None)
        return {"calls": self.count, "total": self.total, "mean": self.mean, "low": low, "high": high}


@dataclass(slots=True)
class ResultGroup:
    """Results that are counted together: the evidence, or the substituted ones. `ends` counts (before, today)."""

    kinds: Counter[Kind] = field(default_factory=Counter)
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    unpriced: int = 0
    cost_before: Sums = field(default_factory=Sums)
    cost_today: Sums = field(default_factory=Sums)
    cost_change: Sums = field(default_factory=Sums)

    def add(self, each: ReplayResult) -> None:
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

    def rate(self, kind: Kind) -> ExactRate:
        return ExactRate(self.kinds[kind], self.total)

    def ended(self, share: str, *, today: bool) -> ExactRate:
        """How many calls ended so, before or today."""
        return ExactRate(sum(count for ends, count in self.ends.items() if ends[today] in SHARES[share]), self.total)

    @property
    def p_value(self) -> float:
        """Of the exact paired test (McNemar's) that as many calls newly pass as newly fail."""
        return paired_p(self.kinds["newly_failing"], self.kinds["newly_passing"])

    def to_json(self) -> dict[str, Json]:
        shares = {
            share: {
                "before": self.ended(share, today=False).to_json(),
                "today": self.ended(share, today=True).to_json(),
            }
            for share in SHARES
        }
        costs = {"before": self.cost_before, "today": self.cost_today, "change": self.cost_change}
        return {
            "judged": self.total,
            "kinds": {kind: self.rate(kind).to_json() for kind in EVIDENCE},
            "p_value": self.p_value,
            "shares": shares,
            "ends": [
                {"before": then, "today": now, "calls": count} for (then, now), count in sorted(self.ends.items())
            ],
            "cost_usd": {**{name: sums.to_json() for name, sums in costs.items()}, "unpriced_calls": self.unpriced},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySummary:
    """All results. `reasons` and `listed` (the newest) are of every kind but `same`, substituted ones included."""

    evidence: ResultGroup
    substituted: ResultGroup
    undetermined: int
    same_guard: int
    reasons: dict[Kind, dict[str, int]]
    listed: dict[Kind, tuple[ReplayResult, ...]]

    @property
    def total(self) -> int:
        return self.evidence.total + self.substituted.total + self.undetermined

    def share_bounds(self, share: str) -> tuple[float, float] | None:
        """The share today if none, and if all, of the undetermined outcomes ended so."""
        count, total = self.evidence.ended(share, today=True).count, self.evidence.total + self.undetermined
        return (count / total, (count + self.undetermined) / total) if total else None

    def to_json(self) -> dict[str, Json]:
        """Rates as `{"count", "total", "share", "low", "high"}`, with exact intervals at 95 % confidence."""
        return {
            "calls": self.total,
            **self.evidence.to_json(),
            "undetermined": self.undetermined,
            "shares_with_undetermined": {share: self.share_bounds(share) for share in SHARES},
            "assumed": self.substituted.to_json() if self.substituted.total else None,
            "of_todays_guard": self.same_guard,
            "reasons": self.reasons,
            "listed": {kind: [each.to_json() for each in results] for kind, results in self.listed.items()},
        }


@dataclass(slots=True)
class SummaryBuilder:
    """Adds up results. `list_length`: how many of each kind are listed."""

    list_length: int = 20
    evidence: ResultGroup = field(default_factory=ResultGroup)
    substituted: ResultGroup = field(default_factory=ResultGroup)
    undetermined: int = 0
    same_guard: int = 0
    reasons: dict[Kind, Counter[str]] = field(default_factory=dict)
    listed: dict[Kind, list[ReplayResult]] = field(default_factory=dict)

    def add(self, each: ReplayResult) -> None:
        self.same_guard += each.same_guard
        if each.kind == "undetermined":
            self.undetermined += 1
        else:
            (self.evidence if each.is_evidence else self.substituted).add(each)
        if each.kind != "same":
            self._list(each)

    def _list(self, each: ReplayResult) -> None:
        self.reasons.setdefault(each.kind, Counter())[each.reason] += 1
        results = self.listed.setdefault(each.kind, [])
        results.append(each)
        if len(results) >= 2 * self.list_length + SPARE:
            results[:] = self._newest(results)

    def _newest(self, results: list[ReplayResult]) -> list[ReplayResult]:
        """Pages are finished in any order."""
        return sorted(results, key=lambda each: (each.started_at, each.id), reverse=True)[: self.list_length]

    def summary(self) -> ReplaySummary:
        return ReplaySummary(
            evidence=self.evidence,
            substituted=self.substituted,
            undetermined=self.undetermined,
            same_guard=self.same_guard,
            reasons={kind: dict(counts.most_common()) for kind, counts in self.reasons.items()},
            listed={kind: tuple(self._newest(results)) for kind, results in self.listed.items()},
        )
