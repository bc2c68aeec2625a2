"""What a schema means, what is wrong with it, and whom a change of it breaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Unpack

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.outcome import MODEL_STATUSES
from llmguard.guard.discovery import object_by_name
from llmguard.guard.loaders import load_schema
from llmguard.log import OutcomeStore
from llmguard.models.openai.strict_schema import ServerSchema, build_server_schema
from llmguard.operations.backtest.schema_impact import SchemaImpact, schema_impact
from llmguard.operations.logged_calls import CallsOfGuard
from llmguard.schema import Schema
from llmguard.schema.changes import Change
from llmguard.schema.diff import diff
from llmguard.schema.navigate import SchemaDocument
from llmguard.schema.outline import outline
from llmguard.schema.providers import PROVIDERS, Provider, document_refusals, refusals


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaCheck:
    """`meaning`: one line per field. `sent`: the form in which `OpenAIModel` sends the schema, None where it has an error.
    `refused`: for each provider what its strict decoding does not take of that. `file`: or `module:Type`."""

    file: Path
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    meaning: tuple[str, ...] = ()
    sent: ServerSchema | None = None
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
            "sent": _sent_as_json(self.sent) if self.sent else None,
            "refused_in_strict_decoding": {name: list(sentences) for name, sentences in self.refused.items()},
        }


def _sent_as_json(sent: ServerSchema) -> dict[str, Json]:
    return {
        "strict": sent.is_strict,
        "changes": list(sent.changes),
        "obstacles": list(sent.obstacles),
        "schema": sent.json_schema,
    }


def check_schema(file: Path) -> SchemaCheck:
    """Compile the schema of a file, or of a Python type at `module:Type`, and describe it.

    Raises:
        UsageError: there is no such file or type.

    >>> _ = Path("age.json").write_text('{"type": "integer", "minimum": 0}')
    >>> check = check_schema(Path("age.json"))
    >>> check.ok, check.meaning
    (True, ('integer, at least 0',))
    """
    source = _source(file)
    try:
        schema = load_schema(source, file.stem)
        sent = build_server_schema(schema.response_format(file.stem))
        return SchemaCheck(
            file=file,
            warnings=tuple(schema.warnings),
            meaning=tuple(outline(schema.json_schema)),
            sent=sent,
            refused={each: _refused(schema, sent, each) for each in PROVIDERS},
        )
    except UsageError as error:
        return SchemaCheck(file=file, errors=(str(error),))


def _source(file: Path) -> object:
    """The file, or the Python type that is named instead."""
    if file.is_file():
        return file
    module, _, attribute = str(file).partition(":")
    if not module or not attribute:
        raise UsageError(f"schema file {str(file)!r} does not exist. A Python type is named as `package.module:Type`.")
    return object_by_name(str(file), Path.cwd())


def _refused(schema: Schema, sent: ServerSchema, provider: Provider) -> tuple[str, ...]:
    """What a provider refuses of the form that is sent; where that is a hint, what of the schema has no strict form."""
    if not sent.is_strict:
        places = {obstacle.partition(": ")[0] for obstacle in sent.obstacles}
        found = refusals(schema, provider)
        return tuple(str(refusal) for refusal in [each for each in found if each.place in places] or found)
    return tuple(str(refusal) for refusal in document_refusals(SchemaDocument(sent.json_schema), provider))


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
