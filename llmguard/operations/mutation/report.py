"""What became of planted errors: who objected to which, and which fields nothing protects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from llmguard.core.canonical import Json, json_roundtrip
from llmguard.core.outcome import Violations
from llmguard.engine.check import Check
from llmguard.engine.policy import Policy
from llmguard.engine.verdict import objections, validated
from llmguard.operations.mutation.mutant_generation import Mutant

SCHEMA: Final = "(schema)"
"""Stands for the output schema among the names of checks."""

Ask: TypeAlias = Callable[[Check, Json, Json], Violations]
"""Asks an effect check of a value and its inputs: the world's part, which is not done here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objections:
    """Who objects to a value: those that refuse it, and those that accept it and ask for a person's look."""

    refusing: tuple[str, ...] = ()
    flagging: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.refusing, *self.flagging)

    def without(self, names: tuple[str, ...]) -> Objections:
        """What is left where some object to the right value as well."""
        return Objections(
            refusing=tuple(name for name in self.refusing if name not in names),
            flagging=tuple(name for name in self.flagging if name not in names),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One planted error, and who objected. `id`: the outcome's whose value it was planted into."""

    id: str
    mutant: Mutant
    objections: Objections

    @property
    def is_caught(self) -> bool:
        return bool(self.objections.names)

    @property
    def fits_schema(self) -> bool:
        """Whether only a check could catch it."""
        return SCHEMA not in self.objections.names


def objections_to(policy: Policy, value: Json, inputs: Json, ask: Ask | None = None) -> Objections:
    """Schema and pure checks, as in a guarded call; with `ask` the effect checks as well. What does not fit the schema
    is shown to no check."""
    value = json_roundtrip(value)  # mutants share their parts: a check that changes its value changes only this one
    if validated(policy.schema, value):
        return Objections(refusing=(SCHEMA,))
    found = {check.name: objections(check, value, inputs) for check in policy.pure_checks}
    if ask is not None:
        found |= {check.name: ask(check, value, inputs) for check in policy.effect_checks}
    refusing = tuple(name for name, said in found.items() if any(each.severity == "reject" for each in said))
    return Objections(refusing=refusing, flagging=tuple(name for name in found if found[name] and name not in refusing))


@dataclass(slots=True)
class Tally:
    """Errors of one kind or in one field. `fitting` are those that fit the schema, so that only checks can catch them;
    `caught_by_checks` of them were. `flagged` of the caught ones were only flagged. `survived` counts kinds.

    A swap of two fields counts for both, but is no `fitting` one of either: whoever catches it may look at the other.
    """

    planted: int = 0
    caught: int = 0
    flagged: int = 0
    fitting: int = 0
    caught_by_checks: int = 0
    survived: Counter[str] = field(default_factory=Counter)

    def add(self, each: Tried, *, shared: bool = False) -> None:
        self.planted += 1
        self.caught += each.is_caught
        self.flagged += each.is_caught and not each.objections.refusing
        self.fitting += each.fits_schema and not shared
        self.caught_by_checks += each.is_caught and each.fits_schema and not shared
        if not each.is_caught:
            self.survived[each.mutant.kind] += 1

    @property
    def rate(self) -> float | None:
        """The share that was caught, None where nothing was planted."""
        return self.caught / self.planted if self.planted else None


@dataclass(slots=True)
class Caught:
    """What one check caught, and how much of it nobody else did."""

    caught: int = 0
    alone: int = 0


@dataclass(slots=True)
class Report:
    """All planted errors of some outcomes. `survivors`: of each field and kind the first that nobody caught."""

    whole: Tally = field(default_factory=Tally)
    kinds: dict[str, Tally] = field(default_factory=dict)
    fields: dict[str, Tally] = field(default_factory=dict)
    checks: dict[str, Caught] = field(default_factory=dict)
    survivors: dict[tuple[str, str], Tried] = field(default_factory=dict)

    @classmethod
    def of(cls, policy: Policy, *, effects: bool = False) -> Report:
        """An empty one that knows the checks, so that one that never catches anything is in it, too."""
        asked = policy.checks if effects else policy.pure_checks
        return cls(checks={name: Caught() for name in (SCHEMA, *(check.name for check in asked))})

    def add(self, each: Tried) -> None:
        self.whole.add(each)
        self.kinds.setdefault(each.mutant.kind, Tally()).add(each)
        for name in each.mutant.fields:
            self.fields.setdefault(name, Tally()).add(each, shared=len(each.mutant.fields) > 1)
            if not each.is_caught:
                self.survivors.setdefault((name, each.mutant.kind), each)
        names = each.objections.names
        for name in names:
            self.checks[name].caught += 1
            self.checks[name].alone += len(names) == 1

    @property
    def unprotected(self) -> list[str]:
        """Fields in which a wrong value that fits the schema is caught by nobody."""
        return sorted(name for name, tally in self.fields.items() if tally.fitting and not tally.caught_by_checks)

    @property
    def idle(self) -> list[str]:
        """Checks that caught nothing."""
        return [name for name, caught in self.checks.items() if not caught.caught]
