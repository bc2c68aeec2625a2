"""Which checks objected to which mutants, and which fields no check protects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from llmguard.core.canonical import Json, json_roundtrip
from llmguard.core.outcome import Violations
from llmguard.engine.check import Check
from llmguard.engine.policy import Policy
from llmguard.engine.verdict import check_violations, schema_violations
from llmguard.operations.mutation.mutant_generation import Mutant

SCHEMA: Final = "(schema)"
"""The output schema's name among the names of checks."""

RunEffectCheck: TypeAlias = Callable[[Check, Json, Json], Violations]
"""Runs an effect check on a value and its inputs, which this module, being pure, does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objections:
    """Names of the checks that object to a value: those that refuse it, and those that flag it for review."""

    refusing: tuple[str, ...] = ()
    flagging: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.refusing, *self.flagging)

    def without(self, names: tuple[str, ...]) -> Objections:
        """The same without the checks that object to the right value as well."""
        return Objections(
            refusing=tuple(name for name in self.refusing if name not in names),
            flagging=tuple(name for name in self.flagging if name not in names),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TestedMutant:
    """One mutant, and which checks objected. `id`: of the outcome whose value was changed."""

    __test__ = False  # its name is not that of a test class

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


def objections_to(
    policy: Policy, value: Json, inputs: Json, run_effect_check: RunEffectCheck | None = None
) -> Objections:
    """Schema and pure checks, as in a guarded call; with `run_effect_check` the effect checks as well. No check runs on
    a value that violates the schema."""
    value = json_roundtrip(value)  # mutants share their parts: a check that changes its value changes only this one
    if schema_violations(policy.schema, value):
        return Objections(refusing=(SCHEMA,))
    by_check = {check.name: check_violations(check, value, inputs) for check in policy.pure_checks}
    if run_effect_check is not None:
        by_check |= {check.name: run_effect_check(check, value, inputs) for check in policy.effect_checks}
    refusing = tuple(
        name for name, violations in by_check.items() if any(each.severity == "reject" for each in violations)
    )
    flagging = tuple(name for name, violations in by_check.items() if violations and name not in refusing)
    return Objections(refusing=refusing, flagging=flagging)


@dataclass(slots=True)
class MutantCounts:
    """Mutants of one kind or of one field. `fitting` fit the schema, so that only checks can catch them;
    `caught_by_checks` of these were caught. `flagged` of the caught were only flagged. `survived`: by kind.

    A swap of two fields counts for both, but is `fitting` for neither: the check that catches it may look at the other.
    """

    planted: int = 0
    caught: int = 0
    flagged: int = 0
    fitting: int = 0
    caught_by_checks: int = 0
    survived: Counter[str] = field(default_factory=Counter)

    def add(self, tested: TestedMutant, *, shared: bool = False) -> None:
        self.planted += 1
        self.caught += tested.is_caught
        self.flagged += tested.is_caught and not tested.objections.refusing
        self.fitting += tested.fits_schema and not shared
        self.caught_by_checks += tested.is_caught and tested.fits_schema and not shared
        if not tested.is_caught:
            self.survived[tested.mutant.kind] += 1

    @property
    def rate(self) -> float | None:
        """The share that was caught, None where there was no mutant."""
        return self.caught / self.planted if self.planted else None

    def to_json(self) -> dict[str, Json]:
        return {
            "planted": self.planted,
            "caught": self.caught,
            "kill_rate": self.rate,
            "only_flagged": self.flagged,
            "fitting_schema": self.fitting,
            "caught_by_checks": self.caught_by_checks,
            "survived": dict(sorted(self.survived.items())),
        }


@dataclass(slots=True)
class CheckCounts:
    """How many mutants one check caught, and how many of these no other check did."""

    caught: int = 0
    alone: int = 0


@dataclass(slots=True)
class MutationCounts:
    """All mutants of some outcomes. `survivors`: of each field and kind the first that was not caught."""

    whole: MutantCounts = field(default_factory=MutantCounts)
    kinds: dict[str, MutantCounts] = field(default_factory=dict)
    fields: dict[str, MutantCounts] = field(default_factory=dict)
    checks: dict[str, CheckCounts] = field(default_factory=dict)
    survivors: dict[tuple[str, str], TestedMutant] = field(default_factory=dict)

    @classmethod
    def of(cls, policy: Policy, *, effects: bool = False) -> MutationCounts:
        """Empty counts with the name of each check, so that one that never catches anything is included."""
        checks = policy.checks if effects else policy.pure_checks
        return cls(checks={name: CheckCounts() for name in (SCHEMA, *(check.name for check in checks))})

    def add(self, tested: TestedMutant) -> None:
        self.whole.add(tested)
        self.kinds.setdefault(tested.mutant.kind, MutantCounts()).add(tested)
        for name in tested.mutant.fields:
            self.fields.setdefault(name, MutantCounts()).add(tested, shared=len(tested.mutant.fields) > 1)
            if not tested.is_caught:
                self.survivors.setdefault((name, tested.mutant.kind), tested)
        names = tested.objections.names
        for name in names:
            self.checks[name].caught += 1
            self.checks[name].alone += len(names) == 1

    @property
    def unprotected(self) -> list[str]:
        """Fields in which no check catches a wrong value that fits the schema."""
        return sorted(name for name, counts in self.fields.items() if counts.fitting and not counts.caught_by_checks)

    def to_json(self) -> dict[str, Json]:
        survivors = [
            {
                "outcome": tested.id,
                "field": name,
                "kind": kind,
                "path": tested.mutant.path,
                "what": tested.mutant.what,
            }
            for (name, kind), tested in sorted(self.survivors.items())
        ]
        return {
            **self.whole.to_json(),
            "kinds": {kind: counts.to_json() for kind, counts in sorted(self.kinds.items())},
            "fields": {name: counts.to_json() for name, counts in sorted(self.fields.items())},
            "checks": {name: {"caught": each.caught, "alone": each.alone} for name, each in self.checks.items()},
            "unprotected": self.unprotected,
            "survivors": survivors,
        }
