"""What a schema means, what is wrong with it, and whom a change of it breaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Unpack

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.outcome import MODEL_STATUSES
from llmguard.guard.loaders import load_schema
from llmguard.log import OutcomeStore
from llmguard.operations.backtest.schema_impact import SchemaImpact, schema_impact
from llmguard.operations.logged_calls import CallsOfGuard
from llmguard.schema.changes import Change
from llmguard.schema.diff import diff
from llmguard.schema.outline import outline
from llmguard.schema.providers import PROVIDERS, refusals


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaCheck:
    """`meaning`: one line per field. `refused`: for each provider what its strict decoding does not take."""

    file: Path
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    meaning: tuple[str, ...] = ()
    refused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.errors and not self.warnings

    def to_json(self) -> dict[str, Json]:
        """What `llmguard schema check --json` prints."""
        return {
            "file": str(self.file),
            "ok": self.ok,
            "errors": list(self.errors),
            "warnings": list(self.warnings),
            "meaning": list(self.meaning),
            "refused_in_strict_decoding": {name: list(sentences) for name, sentences in self.refused.items()},
        }


def check_schema(file: Path) -> SchemaCheck:
    """Compile a schema file, and describe it.

    Raises:
        UsageError: the file does not exist.

    >>> _ = Path("age.json").write_text('{"type": "integer", "minimum": 0}')
    >>> check = check_schema(Path("age.json"))
    >>> check.ok, check.meaning
    (True, ('integer, at least 0',))
    """
    if not file.is_file():
        raise UsageError(f"schema file {str(file)!r} does not exist.")
    try:
        schema = load_schema(file, file.stem)
        return SchemaCheck(
            file=file,
            warnings=tuple(schema.warnings),
            meaning=tuple(outline(schema.json_schema)),
            refused={each: tuple(str(refusal) for refusal in refusals(schema, each)) for each in PROVIDERS},
        )
    except UsageError as error:
        return SchemaCheck(file=file, errors=(str(error),))


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaComparison:
    """The changes between two schemas, and what they would have done to logged values, if that was asked for."""

    old: Path
    new: Path
    changes: tuple[Change, ...]
    impact: SchemaImpact | None = None

    @property
    def ok(self) -> bool:
        """Whether no change breaks callers or outcomes."""
        return all(change.kind == "compatible" for change in self.changes)

    def to_json(self) -> dict[str, Json]:
        """What `llmguard schema diff --json` prints."""
        return {
            "old": str(self.old),
            "new": str(self.new),
            "ok": self.ok,
            "changes": [{"kind": each.kind, "path": each.path, "what": each.what} for each in self.changes],
            **({"accepted_values": self.impact.to_json()} if self.impact else {}),
        }


def compare_schemas(
    old: Path,
    new: Path,
    *,
    guard: str | None = None,
    log: OutcomeStore | None = None,
    **calls: Unpack[CallsOfGuard],
) -> SchemaComparison:
    """The changes from one schema file to another; with `guard` and `log` also how many of the values that this guard
    accepted would have been refused. `calls`: `since=`, `until=`, `meta=`, `where=` say which values.

    >>> _ = Path("old.json").write_text('{"type": "integer"}')
    >>> _ = Path("new.json").write_text('{"type": "integer", "minimum": 0}')
    >>> comparison = compare_schemas(Path("old.json"), Path("new.json"))
    >>> comparison.ok, [change.kind for change in comparison.changes]
    (False, ['breaking-for-outcomes'])
    """
    before, after = load_schema(old, old.stem), load_schema(new, new.stem)
    impact = None
    if guard is not None and log is not None:
        accepted: CallsOfGuard = {**calls, "status": MODEL_STATUSES}
        impact = schema_impact(log.records(guard=guard, **accepted, evidence=False), before, after)
    return SchemaComparison(old=old, new=new, changes=tuple(diff(before, after)), impact=impact)
