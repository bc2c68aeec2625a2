"""What an edit of a schema would have done to the values that were accepted under the one before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from llmguard.core.outcome import Violation
from llmguard.core.record import Record
from llmguard.operations.backtest.backtesting import rule_at
from llmguard.operations.backtest.summary import Rate
from llmguard.schema import Schema

KEPT = 20


@dataclass(slots=True)
class Edit:
    """Counts over accepted values. `refused` fit the old schema and not the new one: the edit's doing. `misfits` fit
    neither: they were accepted under yet another. `first` are the newest of the refused, with what is wrong."""

    values: int = 0
    refused: int = 0
    misfits: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first: list[tuple[str, Violation]] = field(default_factory=list)

    @property
    def rate(self) -> Rate:
        """Of the values that fit the old schema, those that the new one refuses."""
        return Rate(self.refused, self.values - self.misfits)


def edit_of(records: Iterable[Record], old: Schema, new: Schema) -> Edit:
    """Looks at each accepted value with both schemas; the records come oldest first."""
    edit = Edit()
    for record in records:
        if record.outcome is not None:
            edit.values += 1
            found = new.violations(record.outcome.json)
            if found and old.violations(record.outcome.json):
                edit.misfits += 1
            elif found:
                _add(edit, record.opening.id, found[0])
    return edit


def _add(edit: Edit, call_id: str, found: Violation) -> None:
    edit.refused += 1
    edit.reasons[rule_at(found)] += 1
    edit.first = [(call_id, found), *edit.first[: KEPT - 1]]
