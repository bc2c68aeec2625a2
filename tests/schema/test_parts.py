"""Salvage and failed parts: what is right is kept, only what is wrong is dropped or asked for again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from llmguard.core.outcome import Repair, Violation
from llmguard.schema import compile_schema, failed_part, merged, salvage_value

ORDER = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "note": {"type": "string", "maxLength": 5},
        "phone": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
        "currency": {"enum": ["EUR", "USD"], "default": "EUR"},
        "address": {"$ref": "#/$defs/address"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
    },
    "required": ["id", "lines"],
    "additionalProperties": False,
    "$defs": {
        "address": {"type": "object", "properties": {"zip": {"type": "string"}, "city": {}}, "required": ["zip"]},
        "line": {
            "type": "object",
            "properties": {"sku": {"$ref": "#/$defs/sku"}, "n": {"default": 1, "minimum": 1}},
            "required": ["sku"],
        },
        "sku": {"type": "string"},
        "unused": {},
    },
}  # fmt: skip
GOOD = {"id": 1, "lines": [{"sku": "a"}]}


def lossy(path: str, before: Any, after: Any, how: str) -> Repair:
    return Repair(path, before, after, "lossy", f"salvage: {how}")


@pytest.mark.parametrize(
    ("wrong", "kept", "repairs"),
    [
        ({"note": "too long"}, {}, [lossy("/note", "too long", None, "dropped")]),
        ({"phone": "n/a"}, {"phone": None}, [lossy("/phone", "n/a", None, "replaced")]),
        ({"currency": "Euro"}, {"currency": "EUR"}, [lossy("/currency", "Euro", "EUR", "replaced")]),
        ({"address": {"city": "X"}}, {}, [lossy("/address", {"city": "X"}, None, "dropped")]),
        ({"address": {"zip": 1}}, {}, [lossy("/address", {"zip": 1}, None, "dropped")]),
        ({"totl": 1}, {}, [lossy("/totl", 1, None, "dropped")]),
        (
            {"lines": [{"sku": "a", "n": 0}, {"sku": "b", "n": 2}]},
            {"lines": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}]},
            [lossy("/lines/0/n", 0, 1, "replaced")],
        ),
    ],
)
def test_a_failed_optional_property_becomes_its_default_or_null_or_goes(wrong: Any, kept: Any, repairs: Any) -> None:
    """The nearest optional property around what is wrong, and each change is told as lossy."""
    schema = compile_schema(ORDER)
    value = {**GOOD, **wrong}
    assert salvage_value(schema, value, schema.violations(value)) == ({**GOOD, **kept}, tuple(repairs))


def test_a_required_property_that_may_be_null_becomes_null() -> None:
    """Strict providers want every property required; what may be absent is spelled as null there."""
    schema = compile_schema(
        {
            "type": "object",
            "properties": {"id": {"type": "integer"}, "note": {"type": ["string", "null"], "default": "none"}},
            "required": ["id", "note"],
            "additionalProperties": False,
        }
    )
    value = {"id": 5, "note": ["x"]}
    salvaged = salvage_value(schema, value, schema.violations(value))
    assert salvaged == ({"id": 5, "note": None}, (lossy("/note", ["x"], None, "replaced"),))


@pytest.mark.parametrize(
    "value",
    [
        {"id": "x", "lines": []},
        {"lines": []},
        {**GOOD, "lines": [{"sku": "a"}, {"sku": 1}]},
        [],
        None,
        {**GOOD, "id": None},
    ],
    ids=str,
)
def test_what_is_needed_cannot_be_salvaged(value: Any) -> None:
    """A required property that is wrong, and an item of a list, which is never dropped."""
    schema = compile_schema(ORDER)
    assert salvage_value(schema, value, schema.violations(value)) is None


def test_several_wrong_properties_are_salvaged_together() -> None:
    """One repair each, more of them than a violation list tells."""
    names = [f"p{number}" for number in range(40)]
    schema = compile_schema(
        {"properties": {name: {"type": "integer"} for name in names} | {"k": {}}, "required": ["k"]}
    )
    value = {**dict.fromkeys(names, "x"), "k": 1}
    kept, repairs = salvage_value(schema, value, schema.violations(value)) or (None, ())
    assert (kept, len(repairs)) == ({"k": 1}, 40)


def test_salvage_gives_up_after_a_bounded_number_of_trials() -> None:
    """Hundreds of wrong properties are not salvaged."""
    names = [f"p{number}" for number in range(300)]
    schema = compile_schema({"properties": {name: {"type": "integer"} for name in names}})
    value = dict.fromkeys(names, "x")
    assert salvage_value(schema, value, schema.violations(value)) is None


def test_an_objection_to_a_fitting_value_takes_out_its_place() -> None:
    """A check's violation cannot be tried again here, so the optional property it names becomes its default, or goes."""
    schema = compile_schema(ORDER)
    value = {**GOOD, "note": "ok", "currency": "USD"}
    checks = (
        Violation("/note", "polite", "is rude"),
        Violation("/note", "short", "is long"),
        Violation("/currency", "c", "no"),
    )
    assert salvage_value(schema, value, checks) == (
        {**GOOD, "currency": "EUR"},
        (lossy("/note", "ok", None, "dropped"), lossy("/currency", "USD", "EUR", "replaced")),
    )
    assert salvage_value(schema, value, (Violation("", "adds_up", "does not add up"),)) is None
    assert salvage_value(schema, value, (Violation("/id", "known", "is unknown"),)) is None
    assert salvage_value(schema, value, ()) is None


def test_the_default_of_a_model_is_what_salvage_puts_in() -> None:
    """Also where the type's own validators object."""

    class Reading(BaseModel):
        value: int
        unit: str = "m"

    schema = compile_schema(Reading)
    assert salvage_value(schema, {"value": 1, "unit": 5}, ()) == (
        {"value": 1, "unit": "m"},
        (lossy("/unit", 5, "m", "replaced"),),
    )


def test_defaults_are_found_through_references_and_alternatives() -> None:
    """A default that is stated once is used; two that differ are none."""
    once = {"properties": {"a": {"anyOf": [{"type": "integer", "default": 3}, {"type": "boolean"}]}}}
    assert salvage_value(compile_schema(once), {"a": "x"}, ()) == ({"a": 3}, (lossy("/a", "x", 3, "replaced"),))
    twice = {"properties": {"a": {"type": "integer", "default": 3}}, "allOf": [{"properties": {"a": {"default": 4}}}]}
    assert salvage_value(compile_schema(twice), {"a": "x"}, ()) == ({}, (lossy("/a", "x", None, "dropped"),))


LINES = st.fixed_dictionaries({}, optional={"sku": st.text(max_size=1) | st.none(), "n": st.integers(-1, 2)})
ORDERS = st.fixed_dictionaries(
    {"id": st.integers() | st.text(max_size=2), "lines": st.lists(LINES, max_size=2)},
    optional={
        "note": st.text(max_size=7),
        "phone": st.sampled_from(["1", "x", None]),
        "currency": st.text(max_size=3),
        "address": st.sampled_from([{}, {"zip": "1"}, {"zip": 1}]),
        "zz": st.none(),
    },
)


@given(value=ORDERS)
def test_what_is_salvaged_fits_and_holds_nothing_new(value: Any) -> None:
    """It fits the schema, its lists are as long as they were, and what was right is still there."""
    schema = compile_schema(ORDER)
    kept = salvage_value(schema, value, schema.violations(value))
    if schema.violations(value) and kept:
        assert schema.violations(kept[0]) == ()
        assert len(kept[0]["lines"]) == len(value["lines"])
        wrong = {repair.path.split("/")[1] for repair in kept[1]}
        assert {name: item for name, item in value.items() if name not in wrong}.items() <= kept[0].items()


# --- failed parts


def part(schema: Any, value: Any) -> Any:
    compiled = compile_schema(schema)
    found = failed_part(compiled, compiled.violations(value))
    return found and found.json_schema


def test_only_what_is_wrong_is_asked_for_again() -> None:
    """The schema of the failed properties, with what they need, and as required as they were."""
    assert part(ORDER, {"id": "x", "note": "too long", "lines": [{"sku": "a"}]}) == {
        "type": "object",
        "properties": {"id": {"type": "integer"}, "note": {"type": "string", "maxLength": 5}},
        "required": ["id"],
        "additionalProperties": False,
    }
    assert part(ORDER, {"id": 1, "lines": [{}]}) == {
        "type": "object",
        "properties": {"lines": ORDER["properties"]["lines"]},
        "required": ["lines"],
        "additionalProperties": False,
        "$defs": {"line": ORDER["$defs"]["line"], "sku": {"type": "string"}},
    }


def test_a_missing_property_is_a_part_that_failed() -> None:
    """It is asked for, and the others are kept."""
    assert part(ORDER, {"lines": []})["properties"] == {"id": {"type": "integer"}}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (ORDER, []),
        (ORDER, {"id": 1, "lines": 3, "extra": 1}),
        ({**ORDER, "if": {"required": ["note"]}, "then": {"required": ["phone"]}}, {"id": "x", "lines": []}),
        ({**ORDER, "allOf": [{}]}, {"id": "x", "lines": []}),
        ({**ORDER, "dependentRequired": {"id": ["note"]}}, {"id": "x", "lines": []}),
        ({"$defs": ORDER["$defs"], "oneOf": [{**ORDER, "$defs": {}}, {"type": "null"}]}, {"id": "x", "lines": []}),
        ({"$defs": ORDER["$defs"], "$ref": "#/$defs/address"}, {"zip": 3}),
        ({"type": "object", "properties": {"a": {"type": "null"}}}, {"a": 1}),
        ({"type": "object", "properties": {"a": {"$ref": "#/properties/b"}, "b": {"type": "null"}}}, {"a": 1}),
        ({"type": "object", "properties": {"a": {"$ref": "#"}, "b": {}}}, {"a": 1}),
        ({"type": "array", "items": {"type": "null"}}, [1]),
        (True, 1),
    ],
)
def test_where_the_rest_cannot_be_taken_as_right_all_is_asked_for_again(schema: Any, value: Any) -> None:
    """Keywords that look at several properties, a wrong whole, an unknown property, and where nothing would be spared."""
    assert part(schema, value) is None


def test_a_part_is_judged_as_the_whole_was() -> None:
    """Also with the formats of a Python type, whose times need no time zone."""

    class Meeting(BaseModel):
        at: __import__("datetime").datetime
        room: int

    schema = compile_schema(Meeting)
    found = failed_part(schema, schema.violations({"at": "tomorrow", "room": 1}))
    assert found is not None
    assert found.violations({"at": "2026-01-31T09:30:00"}) == ()
    assert [violation.path for violation in found.violations({"at": "soon"})] == ["/at"]


def test_a_part_is_merged_into_what_was_right() -> None:
    """In the place it had; what was asked for and left out goes; what was not asked for stays."""
    asked = compile_schema({"type": "object", "properties": {"b": {}, "c": {}}})
    base = {"a": 1, "b": "wrong", "c": "wrong", "d": 4}
    assert list(merged(base, {"b": 2, "a": 9}, asked).items()) == [("a", 1), ("b", 2), ("d", 4)]
    assert merged(base, {"c": 3, "e": 5}) == {"a": 1, "b": "wrong", "c": 3, "d": 4, "e": 5}
    assert merged(base, "no object", asked) == base
    assert merged([1], {"a": 1}, asked) == [1]
