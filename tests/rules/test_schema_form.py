"""The instruction for a model that cannot be constrained: short, complete, and in the order of the schema."""

from __future__ import annotations

from typing import Any

from llmguard.messages import OutputForm
from llmguard.schema import compile_schema

OPENING = "Answer with one JSON value and nothing else, no explanation and no code fence: "


def told(schema: Any) -> str:
    return compile_schema(schema).output_form("x").instruction.removeprefix(OPENING)


def test_an_output_form_carries_the_schema_and_its_name() -> None:
    """Name, schema and digest as the request needs them."""
    schema = compile_schema({"type": "integer"})
    form = schema.output_form("age")
    assert form == OutputForm(
        name="age", schema={"type": "integer"}, instruction=OPENING + "an integer", digest=schema.digest
    )


def test_an_object_is_told_property_by_property() -> None:
    """Name, whether it is required, what it means, its type and bounds."""
    schema = {
        "type": "object",
        "properties": {
            "total": {"type": "number", "minimum": 0, "description": "with\n tax"},
            "currency": {"enum": ["EUR", "USD"], "default": "EUR"},
            "date": {"type": ["string", "null"], "format": "date"},
            "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
            "pair": {"prefixItems": [{"type": "integer"}, {"const": "a"}], "type": "array"},
            "other": {"additionalProperties": {"type": "boolean"}, "type": "object"},
            "any": True,
        },
        "required": ["total"],
        "$defs": {"line": {"properties": {"text": {"type": "string", "minLength": 1}}, "required": ["text"]}},
    }
    assert told(schema) == (
        "an object with\n"
        '- "total" (required, with tax): a number (at least 0)\n'
        '- "currency" (optional, "EUR" if left out): one of "EUR", "USD"\n'
        '- "date" (optional): a string (format "date") or null\n'
        '- "tags" (optional): a list of strings (3 or fewer)\n'
        '- "lines" (optional): a list, each item an object with\n'
        '  - "text" (required): a string (1 or more characters)\n'
        '- "pair" (optional): a list of, in this order, an integer, "a"\n'
        '- "other" (optional): an object with\n'
        "  - any other name: true or false\n"
        '- "any" (optional): anything'
    )


def test_alternatives_and_recursion_are_told() -> None:
    """Side by side where they are short, one by one where they are not; what is open already is not told again."""
    node = {"type": "object", "properties": {"kid": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}}}
    assert told({"$defs": {"n": node}, "$ref": "#/$defs/n"}) == (
        'an object with\n- "kid" (optional): again what is described above or null'
    )
    assert told({"anyOf": [{"type": "integer"}, {"type": "object", "properties": {"a": {"type": "null"}}}]}) == (
        'one of these:\n* an integer\n* an object with\n  - "a" (optional): null'
    )


def test_what_cannot_be_said_in_words_is_said_by_the_schema() -> None:
    """Combinations, foreign references, depth, and what would be too long."""
    assert told({"type": "object", "patternProperties": {"^x": {}}}) == (
        'an object\nIt must fit this JSON Schema: {"type":"object","patternProperties":{"^x":{}}}'
    )
    meta = {"$ref": "https://json-schema.org/draft/2020-12/schema"}
    assert told(meta).startswith("a value\nIt must fit this JSON Schema: ")
    both = {"properties": {"a": {}}, "anyOf": [{"required": ["a"]}, {"maxProperties": 0}]}
    assert told(both).startswith('an object with\n- "a" (optional): any JSON value\nIt must fit this JSON Schema: ')
    deep: Any = {"type": "integer"}
    for _ in range(9):
        deep = {"type": "object", "properties": {"c": deep}}
    assert "a value\nIt must fit" in told(deep)
    wide = {"properties": {f"name{number}": {"type": "string"} for number in range(1_000)}}
    assert (
        compile_schema(wide).output_form("x").instruction.startswith(OPENING[:-2] + ". It must fit this JSON Schema: {")
    )
    assert told({"properties": {"a": False}}) == 'an object with\n- "a" (optional): nothing'
