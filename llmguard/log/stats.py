"""Counts over many calls: their statuses, failures, tokens and durations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from llmguard.core.messages import NO_USAGE, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUse:
    """Requests to one model, by the name in its replies, and their tokens. Requests without a reply have no name."""

    model: str
    requests: int = 0
    usage: Usage = NO_USAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardStats:
    """One guard's calls. `failures` counts, by kind, the calls in which an attempt failed; seconds are of finished calls."""

    guard: str
    calls: int
    statuses: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    models: tuple[ModelUse, ...] = ()
    median_s: float | None = None
    p95_s: float | None = None
    longest_s: float | None = None

    @property
    def usage(self) -> Usage:
        return sum((use.usage for use in self.models), NO_USAGE)


class GuardTally:
    """Adds up one guard's calls."""

    def __init__(self, guard: str) -> None:
        self.guard = guard
        self.statuses: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.models: dict[str, ModelUse] = {}
        self.durations: list[float] = []

    def call(self, status: str, failures: Iterable[str], duration_s: float | None) -> None:
        self.statuses[status] += 1
        self.failures.update(failures)
        if duration_s is not None:
            self.durations.append(duration_s)

    def use(self, model: str, requests: int, usage: Usage) -> None:
        before = self.models.get(model, ModelUse(model=model))
        self.models[model] = ModelUse(model=model, requests=before.requests + requests, usage=before.usage + usage)

    def stats(self) -> GuardStats:
        durations = sorted(self.durations)
        return GuardStats(
            guard=self.guard,
            calls=self.statuses.total(),
            statuses=dict(self.statuses.most_common()),
            failures=dict(self.failures.most_common()),
            models=tuple(self.models[name] for name in sorted(self.models)),
            median_s=_quantile(durations, 0.5),
            p95_s=_quantile(durations, 0.95),
            longest_s=durations[-1] if durations else None,
        )


def stats_by_name(tallies: Mapping[str, GuardTally]) -> tuple[GuardStats, ...]:
    return tuple(tallies[name].stats() for name in sorted(tallies))


def _quantile(ordered: list[float], share: float) -> float | None:
    """The smallest value that is no less than `share` of them.

    >>> _quantile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else None
