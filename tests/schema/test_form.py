"""The instruction for a model that cannot be constrained: short, complete, and in the order of the schema."""

from __future__ import annotations

from typing import Any

from benchmarks.forms import forms
from llmguard.core.messages import ResponseFormat
from llmguard.schema import compile_schema

OPENING = "Answer with one JSON value and nothing else, no explanation and no code fence: "


def told(schema: Any) -> str:
    return compile_schema(schema).response_format("x").instruction.removeprefix(OPENING)


def test_an_output_form_carries_the_schema_and_its_name() -> None:
    """Name, schema and digest as the request needs them."""
    schema = compile_schema({"type": "integer"})
    form = schema.response_format("age")
    assert form == ResponseFormat(
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
        '- "date" (optional): a date as YYYY-MM-DD or null\n'
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
        'n, which is an object with\n- "kid" (optional): another n or null'
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
        compile_schema(wide)
        .response_format("x")
        .instruction.startswith(OPENING[:-2] + ". It must fit this JSON Schema: {")
    )
    assert told({"properties": {"a": False}}) == 'an object with\n- "a" (optional): nothing'


def test_what_people_wrote_into_the_schema_is_told() -> None:
    """Descriptions of the whole, of properties and of the definitions they refer to; labels of choices; units."""
    schema = {
        "description": "One visit.",
        "type": "object",
        "properties": {
            "guest": {"$ref": "#/$defs/guest"},
            "mood": {"oneOf": [{"const": "A", "title": "Fine"}, {"const": "B", "description": "Not so fine"}]},
            "weight": {"type": "number", "x-unit": "kg", "minimum": 0, "maximum": 300},
        },
        "required": ["guest"],
        "additionalProperties": False,
        "$defs": {"guest": {"description": "Who came", "type": "string", "minLength": 1, "maxLength": 40}},
    }
    assert compile_schema(schema).response_format("x").instruction == (
        "Answer with one JSON value (One visit) and nothing else, no explanation and no code fence: an object with only\n"
        '- "guest" (required, Who came): a string (1 to 40 characters)\n'
        '- "mood" (optional): "A" (Fine) or "B" (Not so fine)\n'
        '- "weight" (optional, in kg): a number (0 to 300)'
    )


def test_formats_are_told_by_example() -> None:
    """A model knows YYYY-MM-DD; what has no such words keeps the standard's name."""
    formats = ["date", "date-time", "time", "email", "uri", "uuid", "hostname"]
    assert [told({"type": "string", "format": name}) for name in formats] == [
        "a date as YYYY-MM-DD",
        "a date and time as YYYY-MM-DDThh:mm:ssZ",
        "a time as hh:mm:ssZ",
        "an e-mail address",
        "a URI",
        "a UUID",
        'a string (format "hostname")',
    ]


def test_it_is_shorter_than_the_schema() -> None:
    """In tokens, for every schema of the corpus and of the registry, against the schema at its most compact."""
    for name, words, schema in forms():
        assert words < schema, name
