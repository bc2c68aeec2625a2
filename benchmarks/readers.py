"""How readers get at the value of a reply: llmguard's own, and peers with every advantage.

A reader is a function `(text, schema, finish_reason) -> value` that raises `Refused` where it gives none. The peers'
output is validated against the schema with formats asserted, and replies whose `finish_reason` is not "stop" are refused
for them, although json_repair cannot know it.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeAlias

from llmguard.core.canonical import Json
from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import read
from llmguard.schema import Schema, compile_schema

Reader: TypeAlias = Callable[[str, dict[str, Json], str], Json]


class Refused(Exception):
    """A reader gives no value. `kind` is its reason in the corpus' words, or None where it has no such words."""

    def __init__(self, message: str = "", kind: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind


_compiled: dict[int, tuple[dict[str, Json], Schema]] = {}


def llmguard(text: str, schema: dict[str, Json], finish_reason: str) -> Json:
    """llmguard with a guard's default rules."""
    if id(schema) not in _compiled:
        _compiled[id(schema)] = (schema, compile_schema(schema))
    reading = read(ModelReply(text, finish_reason=finish_reason), _compiled[id(schema)][1])  # type: ignore[arg-type]
    if reading.failure:
        raise Refused(str(reading.violations[0]), reading.failure)
    return reading.value


def validated(value: Json, schema: dict[str, Json]) -> Json:
    """The value, if it fits the schema with formats asserted and is JSON (no NaN, no infinity)."""
    import jsonschema

    if not _finite(value):
        raise Refused("not finite")
    checker = jsonschema.validators.validator_for(schema)
    for error in checker(schema, format_checker=checker.FORMAT_CHECKER).iter_errors(value):
        raise Refused(error.message[:80])
    return value


def _finite(value: Json) -> bool:
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def complete_only(reader: Reader) -> Reader:
    """The same reader for callers who look at `finish_reason` themselves."""

    def read(text: str, schema: dict[str, Json], finish_reason: str) -> Json:
        if finish_reason != "stop":
            raise Refused(f"finish_reason is {finish_reason}")
        return reader(text, schema, finish_reason)

    return read


def json_repair_reader(guided: bool) -> Reader:
    """json_repair's `loads`, with or without its `schema=`; then validation."""
    import json_repair

    def read(text: str, schema: dict[str, Json], _finish_reason: str) -> Json:
        options = {"schema": schema} if guided else {}
        try:
            value = json_repair.loads(text, **options)
        except ValueError as error:
            raise Refused(str(error)[:80]) from error
        return validated(value, schema)

    return complete_only(read)


def instructor_reader(typed: bool) -> Reader:
    """instructor's public extractor; then pydantic as instructor calls it (`typed`), or json.loads and jsonschema."""
    from instructor.utils import extract_json_from_codeblock

    def read(text: str, schema: dict[str, Json], _finish_reason: str) -> Json:
        try:
            found = extract_json_from_codeblock(text)
            value = _through_pydantic(found, schema) if typed else json.loads(found)
        except ValueError as error:  # pydantic's ValidationError is one
            raise Refused(str(error)[:80]) from error
        return validated(value, schema)

    return complete_only(read)


def _through_pydantic(text: str, schema: dict[str, Json]) -> Json:
    """What a pydantic model of the schema dumps after reading `text`; optional members that are None are absent."""
    from pydantic import TypeAdapter

    adapter = TypeAdapter(_Types(schema).root())
    model = adapter.validate_json(text)
    dumps = [
        adapter.dump_python(model, mode="json", exclude_unset=True, exclude_none=without_none)
        for without_none in (False, True)
    ]
    return next((dump for dump in dumps if _fits(dump, schema)), dumps[0])


def _fits(value: Json, schema: dict[str, Json]) -> bool:
    try:
        validated(value, schema)
    except Refused:
        return False
    return True


class _Types:
    """Python types for the JSON Schema keywords of the corpus, as a user of pydantic would write them by hand."""

    SCALARS: ClassVar = {"string": str, "integer": int, "number": float, "boolean": bool, "null": None}
    BOUNDS: ClassVar = {"minimum": "ge", "maximum": "le", "pattern": "pattern", "minLength": "min_length"}

    def __init__(self, schema: dict[str, Json]) -> None:
        self.schema = schema
        self.models: dict[str, Any] = {}

    def root(self) -> Any:
        """The type of the whole schema, its recursive references resolved."""
        found = self.of({key: part for key, part in self.schema.items() if key != "$defs"}, "Root")
        for model in self.models.values():
            model.model_rebuild(_types_namespace=self.models)
        return found

    def of(self, schema: dict[str, Json], name: str) -> Any:
        """The type of one schema; `name` is what its class is called, if it becomes one."""
        if "$ref" in schema:
            return self._reference(schema["$ref"].rsplit("/", 1)[-1])
        if "const" in schema or "enum" in schema:
            return Literal[tuple(schema.get("enum", [schema.get("const")]))]
        for union in ("anyOf", "oneOf"):
            if union in schema:
                return self._union([self.of(part, f"{name}{n}") for n, part in enumerate(schema[union])])
        if isinstance(schema["type"], list):
            return self._union([self.of({"type": one}, name) for one in schema["type"]])
        return self._plain(schema, name)

    def _plain(self, schema: dict[str, Json], name: str) -> Any:
        if schema["type"] == "array":
            return list[self.of(schema["items"], f"{name}Item")]  # type: ignore[misc]
        if schema["type"] == "object":
            return self._object(schema, name)
        if schema.get("format") == "date":
            return datetime.date
        return self._bounded(self.SCALARS[schema["type"]], schema)

    def _bounded(self, scalar: Any, schema: dict[str, Json]) -> Any:
        from typing import Annotated

        from pydantic import Field

        bounds = {ours: schema[theirs] for theirs, ours in self.BOUNDS.items() if theirs in schema}
        return Annotated[scalar, Field(**bounds)] if bounds else scalar

    def _object(self, schema: dict[str, Json], name: str) -> Any:
        from pydantic import ConfigDict, create_model

        if "properties" not in schema:
            return dict[str, self.of(schema["additionalProperties"], name)]  # type: ignore[misc]
        required = schema.get("required", [])
        fields: dict[str, Any] = {
            key: self._field(part, f"{name}_{key}", key in required) for key, part in schema["properties"].items()
        }
        self.models[name] = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
        return self.models[name]

    def _field(self, schema: dict[str, Json], name: str, required: bool) -> tuple[Any, Any]:
        kind = self.of(schema, name)
        return (kind, ...) if required else (self._union([kind, None]), None)

    def _reference(self, name: str) -> Any:
        from typing import ForwardRef

        if name in self.models:
            return ForwardRef(name)
        self.models[name] = None  # met again below: a forward reference
        return self.of(self.schema["$defs"][name], name)

    @staticmethod
    def _union(kinds: list[Any]) -> Any:
        from typing import Union

        return Union[tuple(kinds)]  # noqa: UP007 (the parts are known at run time only)


PEERS: dict[str, Callable[[], Reader]] = {
    "json_repair": lambda: json_repair_reader(guided=False),
    "json_repair(schema=)": lambda: json_repair_reader(guided=True),
    "instructor+jsonschema": lambda: instructor_reader(typed=False),
    "instructor+pydantic": lambda: instructor_reader(typed=True),
}
