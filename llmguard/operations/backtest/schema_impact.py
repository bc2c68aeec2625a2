"""What an edit of a schema would have done to the values that were accepted under the previous one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from llmguard.core.canonical import Json
from llmguard.core.outcome import Violation
from llmguard.core.record import Record
from llmguard.operations.backtest.replay_result import rule_at
from llmguard.operations.backtest.summary import ExactRate
from llmguard.operations.outcome_json import violation_json
from llmguard.schema import Schema

LISTED = 20
"""Refused values that are listed: enough to see what they have in common."""


@dataclass(slots=True)
class SchemaImpact:
    """Counts over accepted values. `refused` fit the old schema and not the new one: the edit's doing. `misfits` fit
    neither: they were accepted under yet another one. `first` are the newest of the refused, each with a violation."""

    values: int = 0
    refused: int = 0
    misfits: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first: list[tuple[str, Violation]] = field(default_factory=list)

    @property
    def rate(self) -> ExactRate:
        """Of the values that fit the old schema, those that the new one refuses."""
        return ExactRate(self.refused, self.values - self.misfits)

    def to_json(self) -> dict[str, Json]:
        return {
            "values": self.values,
            "misfits": self.misfits,
            "refused": self.rate.to_json(),
            "reasons": dict(self.reasons.most_common()),
            "first": [{"id": call_id, **violation_json(violation)} for call_id, violation in self.first],
        }


def schema_impact(records: Iterable[Record], old: Schema, new: Schema) -> SchemaImpact:
    """Validate each accepted value with both schemas; the records come oldest first."""
    impact = SchemaImpact()
    for record in records:
        if record.outcome is not None:
            impact.values += 1
            violations = new.violations(record.outcome.json)
            if violations and old.violations(record.outcome.json):
                impact.misfits += 1
            elif violations:
                _add(impact, record.opening.id, violations[0])
    return impact


def _add(impact: SchemaImpact, call_id: str, violation: Violation) -> None:
    impact.refused += 1
    impact.reasons[rule_at(violation)] += 1
    impact.first = [(call_id, violation), *impact.first[: LISTED - 1]]
