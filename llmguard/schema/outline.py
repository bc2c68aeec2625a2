"""What a JSON Schema means in a few lines: one line per field."""

from __future__ import annotations

from collections.abc import Iterator

from llmguard.core.canonical import Json
from llmguard.core.safe_text import clip, safe_json

MAX_DEPTH = 6
MAX_WORDS = 100

_BOUNDS = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "above {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "below {}"),
    ("multipleOf", "a multiple of {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("pattern", "matching {}"),
    ("format", "format {}"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("uniqueItems", "all different"),
    ("minProperties", "at least {} fields"),
    ("maxProperties", "at most {} fields"),
)


def outline(schema: Json) -> list[str]:
    """One line for the whole value, then one per field, indented by its depth; `?` marks an optional field.

    >>> print(*outline({"type": "object", "required": ["total"], "additionalProperties": False, "properties": {
    ...     "total": {"type": "number", "minimum": 0}, "note": {"type": ["string", "null"]}}}), sep=chr(10))
    object, no other fields
      total   number, at least 0
      note ?  string or null
    """
    return [meaning(schema), *_fields(schema, 1)]


def meaning(schema: Json) -> str:
    """One schema in words, without its fields."""
    if isinstance(schema, bool) or not isinstance(schema, dict):
        return "nothing at all" if schema is False else "anything"
    if "$ref" in schema:
        return f"as {schema['$ref']}"
    if "const" in schema:
        return f"exactly {safe_json(schema['const'])}"
    if isinstance(schema.get("enum"), list):
        return clip("one of " + ", ".join(safe_json(value) for value in schema["enum"]), MAX_WORDS)
    return ", ".join(part for part in (_kind(schema), *_bounds(schema)) if part)


def _kind(schema: dict[str, Json]) -> str:
    for keyword, word in (("anyOf", " or "), ("oneOf", " or else "), ("allOf", " and ")):
        if isinstance(schema.get(keyword), list):
            return clip(word.join(meaning(one) for one in schema[keyword]), MAX_WORDS)
    types = schema.get("type", "object" if "properties" in schema else "anything")
    names = types if isinstance(types, list) else [types]
    return " or ".join(f"list of {meaning(schema['items'])}" if _is_list(name, schema) else str(name) for name in names)


def _is_list(name: Json, schema: dict[str, Json]) -> bool:
    return name == "array" and "items" in schema


def _bounds(schema: dict[str, Json]) -> Iterator[str]:
    for keyword, words in _BOUNDS:
        if keyword in schema and schema[keyword] is not False:
            bound = words.format(schema[keyword])
            yield bound.removesuffix("s") if bound.split()[-2:-1] == ["1"] else bound
    if schema.get("additionalProperties") is False and "properties" in schema:
        yield "no other fields"


def _fields(schema: Json, depth: int) -> list[str]:
    """The fields of an object, or of the objects in a list."""
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return []
    fields, required = schema.get("properties"), schema.get("required", ())
    if not isinstance(fields, dict):
        return _fields(schema["items"], depth) if "items" in schema else _definitions(schema, depth)
    names = {name: name if name in required else f"{name} ?" for name in fields}
    width = max(map(len, names.values()), default=0)
    lines = []
    for name, field in fields.items():
        lines.append(f"{'  ' * depth}{names[name]:{width}}  {meaning(field)}")
        lines += _fields(field, depth + 1)
    return [*lines, *_definitions(schema, depth)]


def _definitions(schema: dict[str, Json], depth: int) -> list[str]:
    """The targets of `$ref`, once each, at the end."""
    lines = []
    for keyword in ("$defs", "definitions"):
        definitions = schema.get(keyword)
        for name, part in definitions.items() if isinstance(definitions, dict) else ():
            lines += [f"{'  ' * (depth - 1)}#/{keyword}/{name}: {meaning(part)}", *_fields(part, depth)]
    return lines
