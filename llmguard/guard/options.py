"""The options of a guard beside its name, prompt and schema, each with its default."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import TypeAlias, TypedDict

from llmguard.core.messages import PROVIDERS_DEFAULTS, Sampling
from llmguard.engine.acceptance_policy import Acceptance
from llmguard.engine.budget import Budget
from llmguard.engine.check import Check, CheckFunction
from llmguard.engine.ladder import FallbackRung, Retry
from llmguard.guard.rungs import ModelSource
from llmguard.log.protocol import OutcomeStore
from llmguard.parsing.coerce import USUAL, ReadingRules, reading_rules
from llmguard.parsing.syntax import MAX_DEPTH
from llmguard.runtime.observers import Observer
from llmguard.voting import SelfConsistency

DEFAULT_LOG = "sqlite:///llmguard.db"

RungSource: TypeAlias = "Callable[..., object] | FallbackRung"
"""What `fallback=` takes: a function of (inputs), or a rung."""


class Options(TypedDict, total=False):
    """The keyword arguments of `Guard` and `@guarded`, for type checkers. `GuardOptions` has their defaults."""

    models: Sequence[ModelSource]
    checks: Sequence[Check | CheckFunction]
    reasks: int
    retry: Retry | None
    sampling: Sampling
    deadline_s: float | None
    hard_deadline: bool
    budget_requests: int
    budget_tokens: int | None
    budget_usd: float | None
    consistency: SelfConsistency | None
    audit: float
    accept: Acceptance | None
    repairs: Sequence[str]
    field_repairs: Mapping[str, Sequence[str]] | None
    allow_truncated: bool
    max_depth: int
    fallback: Sequence[RungSource]
    observers: Sequence[Observer]
    log: str | OutcomeStore | None


@dataclass(frozen=True, kw_only=True)
class GuardOptions:
    """The options as they are used. `Guard` documents them."""

    models: Sequence[ModelSource] = ()
    checks: Sequence[Check | CheckFunction] = ()
    reasks: int = 2
    retry: Retry | None = None
    sampling: Sampling = PROVIDERS_DEFAULTS
    deadline_s: float | None = 120.0
    hard_deadline: bool = False
    budget_requests: int = 50
    budget_tokens: int | None = None
    budget_usd: float | None = None
    consistency: SelfConsistency | None = None
    audit: float = 0.05
    accept: Acceptance | None = None
    repairs: Sequence[str] = USUAL
    field_repairs: Mapping[str, Sequence[str]] | None = None
    allow_truncated: bool = False
    max_depth: int = MAX_DEPTH
    fallback: Sequence[RungSource] = ()
    observers: Sequence[Observer] = ()
    log: str | OutcomeStore | None = DEFAULT_LOG

    @property
    def budget(self) -> Budget:
        return Budget(requests=self.budget_requests, tokens=self.budget_tokens, usd=self.budget_usd)

    def coercion_rules(self) -> ReadingRules:
        """UsageError where a repair is unknown."""
        return reading_rules(
            self.repairs, self.field_repairs, allow_truncated=self.allow_truncated, max_depth=self.max_depth
        )


def guard_options(options: Options) -> GuardOptions:
    """The options with their defaults; TypeError for one that does not exist, as for any function."""
    names = [field.name for field in fields(GuardOptions)]
    for name in options:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"Guard() got an unexpected keyword argument {name!r}.{hint}")
    return GuardOptions(**options)
