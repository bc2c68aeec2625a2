"""Output schemas from JSON: what is accepted, what a violation says, and what stays cheap."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.core.errors import UsageError
from llmguard.core.outcome import Violation
from llmguard.schema import compile_schema, describe_schema

TWO_PROPERTIES = ": must have at least 2 properties; got an object with 1 property"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
INVOICE = {
    "type": "object",
    "properties": {
        "vendor": {"type": "string", "minLength": 1},
        "total": {"type": "number", "minimum": 0},
        "currency": {"enum": ["EUR", "USD"]},
        "date": {"type": "string", "format": "date"},
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"text": {"type": "string"}, "amount": {"type": "number"}},
                "required": ["text", "amount"],
            },
        },
    },
    "required": ["vendor", "total", "currency"],
    "additionalProperties": False,
}
GOOD = {"vendor": "ACME", "total": 12.5, "currency": "EUR", "lines": [{"text": "a", "amount": 12.5}]}


def said(schema: Any, value: Any) -> list[str]:
    """What is wrong, each as 'path: message'."""
    return [f"{found.path}: {found.message}" for found in compile_schema(schema).violations(value)]


def test_a_value_that_fits_has_no_violation() -> None:
    """A fitting value is passed with an empty tuple, whichever way the schema was given."""
    text = '{"type": "object", "required": ["vendor"], "properties": {"total": {"maximum": 13}}}'
    assert compile_schema(INVOICE).violations(GOOD) == ()
    assert compile_schema(text).violations(GOOD) == ()
    assert compile_schema(True).violations(GOOD) == ()


def test_a_violation_is_data() -> None:
    """Path, rule, one clause, what was allowed and what came."""
    (found,) = compile_schema(INVOICE).violations({**GOOD, "currency": "Eur"})
    assert found == Violation(
        "/currency", "enum", "must be one of 'EUR', 'USD'; got 'Eur'", expected=["EUR", "USD"], actual="Eur"
    )


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "integer"}, "12", ": must be an integer; got '12'"),
        ({"type": ["integer", "null"]}, [], ": must be an integer or null; got a list with 0 items"),
        ({"type": "boolean"}, None, ": must be true or false; got null"),
        ({"type": "string"}, {"a": 1}, ": must be a string; got an object with 1 property"),
        ({"required": ["total"]}, {}, ": required property 'total' is missing"),
        ({"required": ["total"]}, {"totl": 1}, ": required property 'total' is missing (is it 'totl'?)"),
        ({"const": 3}, 4, ": must be 3; got 4"),
        ({"minimum": 0}, -1.5, ": must be at least 0; got -1.5"),
        ({"exclusiveMaximum": 5}, 5, ": must be below 5; got 5"),
        ({"multipleOf": 0.01}, 1.005, ": must be a multiple of 0.01; got 1.005"),
        ({"minLength": 1}, "", ": must have at least 1 character; got ''"),
        ({"maxItems": 2}, [1, 2, 3], ": must have at most 2 items; got a list with 3 items"),
        ({"minProperties": 1}, {}, ": must have at least 1 property; got an object with 0 properties"),
        ({"pattern": r"^\d+$"}, "x", r": must match the pattern '^\d+$'; got 'x'"),
        ({"format": "date"}, "31.1.26", ": must be in the format 'date', such as '2026-01-31'; got '31.1.26'"),
        ({"uniqueItems": True}, [1, 1.0], ": must have no two equal items; got a list with 2 items"),
        ({"contains": {"type": "string"}}, [1], ": must have at least 1 fitting 'contains'; 0 do"),
        ({"contains": {"type": "string"}, "maxContains": 1}, ["a", "b"], ": must have at most 1 fitting 'contains'; 2 do"),
        ({"not": {"type": "null"}}, None, ": must not fit what 'not' describes; got null"),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, ": property 'b' is required where 'a' is present"),
        ({"propertyNames": {"maxLength": 1}}, {"ab": 1}, ": property name 'ab': must have at most 1 character; got 'ab'"),
        ({"properties": {"a": False}}, {"a": 1}, "/a: must not be there"),
        ({"prefixItems": [{}], "items": False}, [1, 2], "/1: must not be there"),
        ({"patternProperties": {"^x": {"type": "null"}}}, {"xa": 1}, "/xa: must be null; got 1"),
        ({"additionalProperties": {"type": "null"}}, {"a": 1}, "/a: must be null; got 1"),
        ({"if": {"minimum": 5}, "then": {"multipleOf": 5}, "else": False}, 7, ": must be a multiple of 5; got 7"),
        ({"if": {"minimum": 5}, "then": {}, "else": {"maximum": 1}}, 3, ": must be at most 1; got 3"),
        ({"dependentSchemas": {"a": {"minProperties": 2}}}, {"a": 1}, TWO_PROPERTIES),
        ({"allOf": [{"minimum": 3}], "$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}, 2, ": must be at least 3; got 2"),
    ],
)  # fmt: skip
def test_each_keyword_says_in_one_clause_what_was_expected(schema: Any, value: Any, expected: str) -> None:
    """One violation, with the place, in words that a person and a model understand."""
    assert said(schema, value) == [expected]


def test_older_drafts_are_read_by_their_own_rules() -> None:
    """Draft 4's flags, draft 7's lists of items and what stands beside its `$ref`."""
    four, seven = "http://json-schema.org/draft-04/schema#", DRAFT_7
    assert said({"$schema": four, "minimum": 5, "exclusiveMinimum": True}, 5) == [": must be above 5; got 5"]
    assert said({"$schema": seven, "items": [{"type": "null"}], "additionalItems": False}, [1, 2]) == [
        "/0: must be null; got 1",
        "/1: must not be there",
    ]
    beside = {"$schema": seven, "definitions": {"a": {"type": "null"}}, "$ref": "#/definitions/a", "maximum": 0}
    assert said(beside, 1) == [": must be null; got 1"]
    assert said({"$schema": seven, "dependencies": {"a": ["b"], "c": {"minProperties": 2}}}, {"c": 1}) == [
        ": must have at least 2 properties; got an object with 1 property"
    ]
    assert said({"$schema": seven, "contentEncoding": "base64"}, "%") == [": must be encoded in 'base64'; got '%'"]


def test_an_unexpected_property_is_named_with_the_one_that_was_probably_meant() -> None:
    """One violation for each unexpected property, at its own path."""
    value = {"vendor": "A", "totl": 3, "currency": "EUR", "zzz": 1}
    assert said(INVOICE, value) == [
        ": required property 'total' is missing (is it 'totl'?)",
        "/totl: unexpected property 'totl' (did you mean 'total'?)",
        "/zzz: unexpected property 'zzz'",
    ]
    patterns = {"patternProperties": {"^x-": {}}, "additionalProperties": False}
    assert said(patterns, {"x-a": 1, "y": 2}) == ["/y: unexpected property 'y'"]
    unevaluated = {"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": False}
    assert said(unevaluated, {"a": 1, "b": 2}) == ["/b: unexpected property 'b'"]
    assert said({"prefixItems": [{}], "unevaluatedItems": False}, [1, 2]) == [
        ": must have no item that no other keyword describes; got a list with 2 items"
    ]


def test_shallow_violations_come_first() -> None:
    """Type and missing properties at the top before what is deep below."""
    value = {"vendor": "", "currency": "EUR", "lines": [{"text": 1}], "extra": 1}
    assert [(found.path, found.rule) for found in compile_schema(INVOICE).violations(value)] == [
        ("", "required"),
        ("/vendor", "minLength"),
        ("/extra", "additionalProperties"),
        ("/lines/0", "required"),
        ("/lines/0/text", "type"),
    ]


def test_paths_are_json_pointers() -> None:
    """RFC 6901: a slash in a name is ~1, a tilde ~0."""
    assert said({"additionalProperties": {"type": "null"}}, {"a/b~c": 1}) == ["/a~1b~0c: must be null; got 1"]


SHAPE = {
    "oneOf": [
        {"type": "object", "properties": {"kind": {"const": "circle"}, "r": {"type": "number"}}, "required": ["kind", "r"]},
        {"type": "object", "properties": {"kind": {"const": "box"}, "w": {"type": "number"}}, "required": ["kind", "w"]},
        {"type": "null"},
    ]
}  # fmt: skip


def test_of_several_alternatives_the_one_that_was_meant_is_explained() -> None:
    """By type, by the property that tells them apart, else by what fits best."""
    assert said(SHAPE, "round") == [": must be an object or null; got 'round'"]
    assert said(SHAPE, {"kind": "box", "w": "3"}) == ["/w: must be a number; got '3'"]
    assert said(SHAPE, {"kind": "cone"}) == ["/kind: must be one of 'circle', 'box'; got 'cone'"]
    assert said(SHAPE, {"w": "3"}) == [": required property 'kind' is missing", "/w: must be a number; got '3'"]
    assert said({"anyOf": [{"type": "string", "maxLength": 1}, {"type": "array"}]}, "ab") == [
        ": must have at most 1 character; got 'ab'"
    ]
    assert said({"anyOf": [{"const": "a"}, {"enum": ["b", "c"]}]}, "d") == [": must be one of 'a', 'b', 'c'; got 'd'"]
    lists = {"anyOf": [{"items": {"type": "integer"}}, {"items": {"type": "string"}, "minItems": 4}]}
    assert said(lists, [1, 2, "x"]) == ["/2: must be an integer; got 'x'"]
    assert said({"oneOf": [{"minimum": 1, "title": "big"}, {"maximum": 9, "title": "small"}]}, 5) == [
        ": must fit exactly one alternative; fits 2: 'big', 'small'"
    ]
    assert said({"anyOf": [False, False]}, 5) == [": does not fit the schema at '#'; got 5"]


def test_a_message_never_holds_the_value() -> None:
    """Long strings are cut, containers told by their size, and what does not print is escaped."""
    secret = "4111111111111111 " * 20_000
    for schema in ({"type": "integer"}, {"maxLength": 3}, {"enum": ["a"]}, {"not": {}}):
        (found,) = compile_schema(schema).violations(secret)
        assert len(found.message) < 200
        assert len(str(found.actual)) <= 200
    assert said({"type": "null"}, "\x1b[2J\u202e\u200b") == [r": must be null; got '\x1b[2J\u202e\u200b'"]
    (found,) = compile_schema({"additionalProperties": False}).violations({"n" * 100_000: 1})
    assert (len(found.path), len(found.message)) < (250, 250)
    many = compile_schema({"enum": [f"option {number}" for number in range(500)]}).violations("option 4z")
    assert many[0].message.endswith("(500 in all) (did you mean 'option 4'?); got 'option 4z'")
    assert len(str(many[0].expected)) < 400


def test_whole_numbers_are_exact_at_any_size() -> None:
    """Python's integers are judged as they are, not by 64 bits, and 1.0 is an integer as JSON Schema says."""
    assert said({"type": "integer", "maximum": 2**70}, 2**70) == []
    assert said({"maximum": 2**70}, 2**70 + 1) == [f": must be at most {2**70}; got {2**70 + 1}"]
    assert said({"const": 2**70}, 2**70 + 1) == [f": must be {2**70}; got {2**70 + 1}"]
    assert said({"multipleOf": 3}, 3 * 2**70) == []
    assert said({"type": "integer"}, 1.0) == []
    assert said({"type": "integer"}, 10**400) == []
    assert said({"maximum": 1}, 10**400) == [": must be at most 1; got an integer of about 401 digits"]
    assert said({"type": "integer"}, True) == [": must be an integer; got true"]
    assert said({"enum": [1]}, True) == [": must be one of 1; got true"]


def test_patterns_are_those_of_json_schema_and_not_of_python() -> None:
    """`$` does not match before a newline, and letters have properties."""
    assert said({"pattern": "^a$"}, "a\n") == [r": must match the pattern '^a$'; got 'a\n'"]
    assert said({"pattern": r"^\p{L}+$"}, "é") == []


def test_half_a_character_is_said_to_be_one() -> None:
    """A lone surrogate is no text that a validator could take in."""
    assert said({"type": "string", "maxLength": 9}, "a\ud800") == [
        ": holds half of a surrogate pair, which is no character"
    ]
    assert said({"properties": {"a": {"pattern": "x"}}}, {"a": "\udfff"}) == [
        "/a: holds half of a surrogate pair, which is no character"
    ]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"requird": []}, "#: unknown keyword 'requird' is ignored; did you mean 'required'?"),
        ({"items": {"maxlength": 3}}, "#/items: unknown keyword 'maxlength' is ignored; did you mean 'maxLength'?"),
        ({"properties": {"a": {"ref": "#"}}}, "#/properties/a: unknown keyword 'ref' is ignored; did you mean '$ref'?"),
        ({"format": "datetime"}, "#: unknown format 'datetime' is not checked (did you mean 'date-time'?)"),
        ({"nullable": True}, "#: 'nullable' is OpenAPI, not JSON Schema, and is ignored: write 'type': [..., 'null']"),
        (
            {"properties": {"total": {}}, "required": ["totl"]},
            "#: 'required' names 'totl', which is no property; did you mean 'total'?",
        ),
        (
            {"$schema": DRAFT_7, "prefixItems": []},
            "#: keyword 'prefixItems' is not in draft 7 and is ignored",
        ),
        (
            {"$schema": DRAFT_7, "$ref": "#/definitions/a", "minimum": 1, "definitions": {"a": {}}},
            "#: draft 7 ignores what stands beside '$ref': 'minimum'",
        ),
    ],
)  # fmt: skip
def test_what_is_hardly_meant_is_warned_of(schema: Any, expected: str) -> None:
    """A schema that is valid and says less than its writer thinks."""
    assert compile_schema(schema).warnings == (expected,)


def test_what_is_meant_is_not_warned_of() -> None:
    """Extensions, annotations, property names that look like keywords, and constants that look like schemas."""
    schema = {
        "x-order": 1,
        "example": 1,
        "discriminator": {"propertyName": "kind"},
        "properties": {"requird": {"const": {"tipe": 1}}, "type": {"type": "string"}},
        "unit": "EUR",
    }
    assert compile_schema(schema).warnings == ()


def test_warnings_are_few() -> None:
    """At most twenty and a count of the others."""
    warnings = compile_schema({"properties": {str(number): {"tipe": 1} for number in range(50)}}).warnings
    assert (len(warnings), warnings[-1]) == (21, "and 30 more warnings")


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (
            {"properties": {"total": {"type": "nubmer"}}},
            "'/properties/total/type' must be one of 'array', 'boolean', 'integer', 'null', 'number', 'object', 'string';"
            " got 'nubmer' (did you mean 'number'?). Correct the schema: it is read by draft 2020-12.",
        ),
        (
            {"properties": {"total": {"required": True}}},
            "'/properties/total/required' must be a list; got true. List the names of required properties on the object"
            " that holds them: 'required': ['name'].",
        ),
        (
            {"items": [{}]},
            "'/items' must be an object or true or false; got a list with 1 item. Since draft 2020-12 a list of schemas,"
            " one for each position, is called 'prefixItems'.",
        ),
        (
            {"properties": {"a": {"pattern": "("}}},
            "'/properties/a/pattern' is '(', which is no regular expression of JSON Schema. Expected the syntax of ECMA-262:"
            " no '\\A', '\\Z', '(?P<name>'. Rewrite it.",
        ),
        ({"minLength": -1}, "'/minLength' must be at least 0; got -1. Correct the schema: it is read by draft 2020-12."),
        (
            {"$schema": "https://example.com/mine"},
            "'$schema' is 'https://example.com/mine', and no meta-schema is fetched. Expected"
            " 'https://json-schema.org/draft/2020-12/schema', 'https://json-schema.org/draft/2019-09/schema',"
            " 'http://json-schema.org/draft-07/schema', 'http://json-schema.org/draft-06/schema' or"
            " 'http://json-schema.org/draft-04/schema'. Name one of these, or leave '$schema' out for 2020-12.",
        ),
    ],
)  # fmt: skip
def test_a_wrong_schema_is_refused_with_place_and_mend(schema: Any, expected: str) -> None:
    """Where it is, what was found, what was expected, and what to do."""
    with pytest.raises(UsageError) as refused:
        compile_schema(schema, where="schemas/invoice.json")
    assert str(refused.value) == f"schemas/invoice.json: {expected}"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{'type': 1}", "s is not JSON: Expecting property name enclosed in double quotes"),
        ("17", "s is 17. Expected a JSON Schema"),
        ('{"type": "object", "type": "array"}', "s: the key 'type' is twice in one object"),
        ({"const": float("nan")}, "s is not JSON: NaN at '/const' is not JSON"),
        ({"enum": {1, 2}}, "s is not JSON: set at '/enum' is not JSON"),
        ({"const": "\ud800"}, "s: the schema cannot be compiled"),
        (None, "s is None. Expected a JSON Schema as dict or JSON text, or a Python type."),
        ([1], "s is [1]. Expected a JSON Schema as dict or JSON text, or a Python type."),
    ],
)
def test_what_is_no_schema_is_refused(given: Any, expected: str) -> None:
    """Text that is no JSON, JSON that is no schema, and objects that are neither."""
    with pytest.raises(UsageError) as refused:
        compile_schema(given, where="s")
    assert str(refused.value).startswith(expected)


def test_a_schema_is_its_own_copy() -> None:
    """What the caller does with the dict later changes nothing, and equal schemas have one digest."""
    given = {"properties": {"a": {"type": "integer"}}, "type": "object"}
    schema = compile_schema(given)
    given["properties"]["a"]["type"] = "string"
    assert schema.json_schema == {"properties": {"a": {"type": "integer"}}, "type": "object"}
    again = compile_schema({"type": "object", "properties": {"a": {"type": "integer"}}})
    assert (schema.digest, schema) == (again.digest, again)
    assert describe_schema(schema) == {"json_schema": schema.json_schema, "python_type": None}


@pytest.mark.slow
def test_a_json_schema_needs_no_pydantic() -> None:
    """Neither importing the package nor compiling and judging by a JSON Schema loads what only types or errors need."""
    script = f"""
import sys, types
package = types.ModuleType("llmguard")  # what its own __init__ imports is not under test here
package.__path__ = [{str(Path(__file__).parents[2] / "llmguard")!r}]
sys.modules["llmguard"] = package
from llmguard.schema import compile_schema
loaded = lambda: sorted({{"jsonschema", "jsonschema_rs", "pydantic", "referencing"}} & set(sys.modules))
print(loaded())
assert compile_schema({{"items": {{"$ref": "#"}}, "type": "array"}}).violations([1])
print(loaded())
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.split("\n") == ["[]", "['jsonschema_rs']", ""]


# --- a second opinion

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.5, 1.0, -2.5])
    | st.sampled_from(["", "a", "ab", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
TYPES = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
LEAVES = st.one_of(
    st.builds(lambda name: {"type": name}, TYPES),
    st.builds(lambda value: {"const": value}, JSON),
    st.builds(lambda values: {"enum": values}, st.lists(JSON, min_size=1, max_size=3)),
    st.builds(lambda n: {"minimum": n}, st.integers(-2, 2)),
    st.builds(lambda n: {"maxLength": n, "minItems": n}, st.integers(0, 2)),
    st.builds(lambda names: {"required": names}, st.lists(st.sampled_from("abc"), unique=True, max_size=2)),
    st.sampled_from([True, False, {}, {"$ref": "#/$defs/list"}, {"uniqueItems": True}, {"multipleOf": 2}]),
)  # fmt: skip


def _applied(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=2)
    return st.one_of(
        st.builds(
            lambda key, schemas: {key: schemas}, st.sampled_from(["allOf", "anyOf", "oneOf", "prefixItems"]), several
        ),
        st.builds(lambda key, schemas: {key: schemas}, st.sampled_from(["properties", "dependentSchemas"]), named),
        st.builds(
            lambda key, schema: {key: schema}, st.sampled_from(["not", "items", "contains", "propertyNames"]), inner
        ),
        st.builds(lambda a, b, c: {"if": a, "then": b, "else": c}, inner, inner, inner),
        st.builds(lambda a, b: {"properties": a, "additionalProperties": b}, named, inner),
        st.builds(lambda a: {"anyOf": a, "unevaluatedProperties": False, "unevaluatedItems": False}, several),
    )


SCHEMAS = st.recursive(LEAVES, _applied, max_leaves=8)
LIST = {"type": ["array", "null"], "items": {"$ref": "#/$defs/list"}}


@pytest.mark.slow
@given(schema=SCHEMAS, value=JSON)
def test_the_verdict_is_that_of_two_other_validators(schema: Any, value: Any) -> None:
    """No violations exactly where jsonschema and jsonschema-rs find none; each names a place at or above a real one."""
    import jsonschema  # takes a while to load

    whole = {"$defs": {"list": LIST}, "allOf": [schema]}
    found = compile_schema(whole).violations(value)
    assert (found == ()) is jsonschema_rs.validator_for(whole).is_valid(value)
    assert (found == ()) is jsonschema.Draft202012Validator(whole).is_valid(value)
    for violation in found:
        at = value
        for token in violation.path.split("/")[1:]:
            at = at[int(token)] if isinstance(at, list) else at[token]
        assert violation.message
