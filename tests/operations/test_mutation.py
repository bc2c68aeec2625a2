"""Planted errors: bounded, the same for a seed, each a wrong value; and a report that names what nothing protects."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmguard import Guard, check
from llmguard.core.canonical import Json, encode
from llmguard.core.outcome import Violation
from llmguard.engine.check import Check
from llmguard.engine.effect_checks import result_violations
from llmguard.engine.policy import Policy
from llmguard.operations.mutation import (
    MAX_MUTANTS,
    SCHEMA,
    Mutant,
    MutationCounts,
    Objections,
    TestedMutant,
    mutants,
    objections_to,
)
from llmguard.operations.mutation.mutant_generation import PER_FIELD
from llmguard.operations.mutation.mutation_operators import dates, in_other_unit, typo
from llmguard.schema import Schema, compile_schema
from llmguard.testing import ScriptedModel
from llmguard.voting.normal_forms import value_form

ANYTHING = compile_schema(True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=6),
    max_leaves=25,
)


def kinds(value: Json, schema: Json = True) -> dict[tuple[str, str], list[Json]]:
    """What is planted, by kind and path."""
    found: dict[tuple[str, str], list[Json]] = {}
    for seed in range(30):
        for mutant in mutants(value, schema if isinstance(schema, Schema) else compile_schema(schema), seed):
            said = found.setdefault((mutant.kind, mutant.path), [])
            said += [mutant.value] if mutant.value not in said else []
    return found


# ------------------------------------------------------------------------------------------------- always


@given(JSON, st.integers())
def test_every_mutant_is_another_value(value: Json, seed: int) -> None:
    """Not another spelling of the right one; JSON like it; and the right one is as it was."""
    before = encode(value)
    found = mutants(value, ANYTHING, seed)
    assert encode(value) == before
    assert len(found) <= MAX_MUTANTS
    for mutant in found:
        assert value_form(mutant.value) != value_form(value)
        assert mutant.what
        encode(mutant.value)


@given(JSON, st.integers())
def test_a_seed_plants_the_same_errors_each_time(value: Json, seed: int) -> None:
    """In the same order."""
    assert mutants(value, ANYTHING, seed) == mutants(value, ANYTHING, seed)


@given(JSON, st.integers())
def test_no_field_gets_more_of_a_kind_than_its_share(value: Json, seed: int) -> None:
    """So that a long list does not crowd out the fields beside it."""
    counts = Counter((mutant.kind, mutant.fields[0]) for mutant in mutants(value, ANYTHING, seed))
    assert max(counts.values(), default=0) <= PER_FIELD


@pytest.mark.parametrize(
    "value",
    [
        [{"price": number, "name": f"thing {number}", "on": "2024-03-01"} for number in range(2500)],
        {f"key {number}": number for number in range(8_000)},
        {"text": "lorem ipsum " * 9_000, "total": 3},
        [[[[number] * 20] * 20] * 20 for number in range(2)],
        [list(range(20_000))],
    ],
)
def test_a_large_value_gives_no_more_and_takes_no_long(value: Json) -> None:
    """Of 100 KB as of one line; the errors share what they do not change."""
    assert len(encode(value)) > 30_000
    began = time.process_time()
    assert 0 < len(mutants(value, ANYTHING)) <= MAX_MUTANTS
    assert time.process_time() - began < 2


def test_a_deep_value_is_looked_at_as_far_as_its_form_goes() -> None:
    """500 levels end neither the stack nor the search."""
    value: Json = 7
    for _ in range(250):
        value = [{"a": value}]
    assert 0 < len(mutants(value, ANYTHING)) <= MAX_MUTANTS


@pytest.mark.parametrize("value", [None, "", [], {}, [None, None], {"a": None, "b": None}["a"]])
def test_in_nothing_no_value_is_wrong(value: Json) -> None:
    """What is empty has nothing to be changed, unless it can be dropped."""
    assert [mutant.kind for mutant in mutants(value, ANYTHING)] == (["truncated"] if value else [])


# ------------------------------------------------------------------------------------------------- kinds


def test_a_choice_gives_its_other_members_only() -> None:
    """From `enum`, from `const` in branches, and behind references; never the member that stands there."""
    schema = {
        "$defs": {"size": {"anyOf": [{"const": "s"}, {"const": "l"}, {"type": "null"}]}},
        "properties": {"size": {"$ref": "#/$defs/size"}, "level": {"enum": [1, 2, "high"]}},
        "required": ["size", "level"],
    }
    found = kinds({"size": "s", "level": 1}, schema)
    assert found["other member", "/size"] == [{"size": "l", "level": 1}]
    assert {encode(each["level"]) for each in found["other member", "/level"]} == {b"2", b'"high"'}
    assert {kind for kind, _ in found} == {"other member", "dropped"}


def test_numbers_are_off_by_one_negated_and_of_another_unit() -> None:
    """In decimals as people reckon; whole where the schema wants whole numbers."""
    found = kinds({"cents": 1299, "euro": 306.1}, {"properties": {"cents": {"type": "integer"}}})
    assert {each["cents"] for each in found["off by one", "/cents"]} == {1298, 1300}
    assert {each["cents"] for each in found["wrong unit", "/cents"]} == {12990, 129900, 1299000, 129, 12, 1}
    assert {each["euro"] for each in found["wrong unit", "/euro"]} == {3061, 30610, 306100, 30.61, 3.061, 0.3061}
    assert found["negated", "/euro"] == [{"cents": 1299, "euro": -306.1}]
    assert in_other_unit(1250, "0.001", False) == 1.25
    assert in_other_unit(2**60 + 1, "0.1", False) == (2**60 + 1) // 10


def test_very_large_numbers_stay_json() -> None:
    """No infinity, and no integer that is too long to be written."""
    for value in (1.7e308, -1.7e308, 10**400, 5e-324):
        for mutant in mutants(value, ANYTHING):
            encode(mutant.value)


def test_zero_has_no_sign_and_no_unit() -> None:
    """What would be 0 again is no error."""
    assert {kind for kind, _ in kinds(0)} == {"off by one"}


def test_texts_get_typos_and_dates_are_shifted() -> None:
    """A date is no text in which letters are changed over: a day, a month or a year it is off."""
    found = kinds({"by": "Ada", "on": "2024-03-01T10:00:00Z", "at": "2024-02-30", "gone": "9999-12-31"})
    assert {each["by"] for each in found["typo", "/by"]} <= {"dAa", "Aad"}
    assert {each["on"][10:] for each in found["date shifted", "/on"]} == {"T10:00:00Z"}
    assert ("typo", "/on") not in found
    assert ("typo", "/at") in found  # there is no such day
    assert {each["gone"] for each in found["date shifted", "/gone"]} == {"9999-12-30"}
    assert list(dates("on 2024-03-01")) == []


@given(st.text(min_size=1), st.integers(min_value=0))
def test_a_typo_is_another_text(text: str, drawn: int) -> None:
    """Of any text, from any place on."""
    assert typo(text, drawn) != text


def test_like_members_and_items_are_swapped() -> None:
    """Members of one type; items with the next; and a member of an item with that of the next."""
    value = {"net": 10, "tax": 2, "by": "Ada", "lines": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}]}
    found = kinds(value)
    assert found["swapped", "/net"] == [{**value, "net": 2, "tax": 10}]
    assert ("swapped", "/tax") not in found
    assert found["swapped", "/lines/0"][0]["lines"] == [{"sku": "b", "n": 2}, {"sku": "a", "n": 1}]
    assert found["swapped", "/lines/0/n"][0]["lines"] == [{"sku": "a", "n": 2}, {"sku": "b", "n": 1}]
    assert found["truncated", "/lines"][0]["lines"] == [{"sku": "a", "n": 1}]


def test_the_order_of_a_set_is_no_error() -> None:
    """Where the schema says that items are unique, none is swapped with the next."""
    assert ("swapped", "/0") in kinds(["a", "b"])
    assert ("swapped", "/0") not in kinds(["a", "b"], {"uniqueItems": True})


def test_a_swap_spoils_two_fields() -> None:
    """Items of a list are one field, and so are names that are data."""
    schema = {"properties": {"amounts": {"additionalProperties": {"type": "number"}}}}
    (swapped,) = [
        each for each in mutants({"amounts": {"ada": 1, "bob": 2}}, compile_schema(schema)) if each.kind == "swapped"
    ]
    assert (swapped.fields, swapped.what) == (("/amounts/*",), "with /amounts/bob")
    (swapped,) = [each for each in mutants([{"a": 1, "b": 2}], ANYTHING) if each.kind == "swapped"]
    assert (swapped.path, swapped.fields) == ("/0/a", ("/*/a", "/*/b"))


def test_what_a_mutant_is_told_in_few_words() -> None:
    """Before and after, clipped."""
    (dropped,) = [each for each in mutants({"a": "x" * 90}, ANYTHING) if each.kind == "dropped"]
    assert dropped.what == '"' + "x" * 38 + "… left out"
    assert "true → false" in {each.what for each in mutants(True, ANYTHING)}


# ------------------------------------------------------------------------------------------------- who objects


@check
def adds_up(value: Mapping[str, Json], inputs: Mapping[str, Json]) -> str | None:
    return None if value["net"] + value["tax"] == value["total"] else "it does not add up"


@check
def is_in_the_text(value: Mapping[str, Json], inputs: Mapping[str, Json]) -> Violation | None:
    return None if str(value["total"]) in inputs["text"].split() else Violation("/total", "", "is not in the text")


@check(severity="flag")
def is_small(value: Mapping[str, Json], inputs: Mapping[str, Json]) -> str | None:
    return "it is large" if value["total"] > 100 else None


@check(effect=True)
def is_booked(value: Mapping[str, Json], inputs: Mapping[str, Json]) -> str | None:
    return None if value.get("by") == "Ada" else "nobody of this name"


@check
def spoils(value: dict[str, Json], inputs: Mapping[str, Json]) -> None:
    value.clear()


BILL = {"net": 10, "tax": 2, "total": 12, "by": "Ada", "paid": True}
INPUTS = {"text": "Ada paid 12 in all"}


def policy(*checks: Check) -> Policy:
    schema = {
        "type": "object",
        "properties": {
            "net": {"type": "integer", "minimum": 0},
            "tax": {"type": "integer", "minimum": 0},
            "total": {"type": "integer"},
            "by": {"type": "string"},
            "paid": {"type": "boolean"},
        },
        "required": ["net", "tax", "total"],
    }
    return Guard("bill", prompt="{{ text }}", schema=schema, models=[ScriptedModel([])], checks=checks, log=None).policy


def reported(*checks: Check, effects: bool = False) -> MutationCounts:
    guard = policy(*checks)
    report = MutationCounts.of(guard, effects=effects)
    ask = (lambda check, value, inputs: result_violations(check, check.function(value, inputs))) if effects else None
    for mutant in mutants(BILL, guard.schema):
        report.add(TestedMutant(id="1", mutant=mutant, objections=objections_to(guard, mutant.value, INPUTS, ask)))
    return report


def test_the_schema_is_asked_first_and_then_every_check() -> None:
    """Those that refuse and those that flag apart; what a check raises is an objection."""
    asked = policy(adds_up, is_small, is_in_the_text)
    assert objections_to(asked, {**BILL, "net": -1}, INPUTS) == Objections(refusing=(SCHEMA,))
    assert objections_to(asked, {**BILL, "total": 120}, INPUTS) == Objections(
        refusing=("adds_up", "is_in_the_text"), flagging=("is_small",)
    )
    assert objections_to(asked, BILL, {}) == Objections(refusing=("is_in_the_text",))
    assert objections_to(asked, BILL, INPUTS) == Objections()


def test_a_check_that_changes_its_value_harms_no_other_mutant() -> None:
    """Each mutant is judged as its own copy."""
    objections_to(policy(spoils), BILL, INPUTS)
    assert BILL["net"] == 10


def test_what_objects_to_the_right_value_too_counts_not() -> None:
    """A flag that stands anyhow does not catch an error."""
    found = Objections(refusing=("a", "b"), flagging=("c",))
    assert found.without(("a", "c")) == Objections(refusing=("b",))


def test_fields_that_nothing_protects_are_named() -> None:
    """With both checks the amounts are protected; the name and the truth value are not, whatever the schema refuses."""
    assert reported(adds_up, is_in_the_text).unprotected == ["/by", "/paid"]
    assert reported(is_in_the_text).unprotected == ["/by", "/net", "/paid", "/tax"]
    assert reported().unprotected == ["/by", "/net", "/paid", "/tax", "/total"]
    assert reported(adds_up, is_booked, effects=True).unprotected == ["/paid"]


def test_a_swap_protects_neither_of_its_fields() -> None:
    """The check that catches it may look at the other one alone."""
    report = reported(is_in_the_text)
    assert report.fields["/tax"].caught > 0
    assert report.fields["/tax"].caught_by_checks == 0


def test_a_report_counts_by_kind_field_and_check() -> None:
    """All that was planted, what was caught alone, and a check that caught nothing."""
    report = reported(adds_up, is_small, spoils)
    whole = report.whole
    assert whole.planted == sum(tally.planted for tally in report.kinds.values())
    assert whole.caught == sum(tally.caught for tally in report.kinds.values())
    assert whole.planted - whole.caught == sum(whole.survived.values())
    assert report.checks["spoils"].caught == 0
    assert report.checks["adds_up"].caught >= report.checks["adds_up"].alone > 0
    assert report.checks["is_small"].alone == 0
    assert {kind for _, kind in report.survivors} == set(whole.survived)
    assert MutationCounts().whole.rate is None
    assert whole.rate == whole.caught / whole.planted


def test_what_is_only_flagged_is_caught_and_counted_apart() -> None:
    """It would be accepted, and a person would look at it."""
    report = reported(is_small)
    assert report.whole.flagged == report.checks["is_small"].caught > 0


def test_removed_checks_show_as_gaps() -> None:
    """The kill rate falls and the fields appear, for each of two checks that are taken away."""
    full, less = reported(adds_up, is_in_the_text), reported(is_in_the_text)
    assert (full.whole.rate or 0) > (less.whole.rate or 0) > (reported().whole.rate or 0)
    assert set(less.unprotected) - set(full.unprotected) == {"/net", "/tax"}


@settings(max_examples=20)
@given(st.integers())
def test_gaps_do_not_hang_on_the_seed(seed: int) -> None:
    """Which errors are drawn changes, which fields nothing protects does not."""
    guard = policy(is_in_the_text)
    found = [each for each in mutants(BILL, guard.schema, seed) if isinstance(each, Mutant)]
    report = MutationCounts.of(guard)
    for mutant in found:
        report.add(TestedMutant(id="1", mutant=mutant, objections=objections_to(guard, mutant.value, INPUTS)))
    assert report.unprotected == ["/by", "/net", "/paid", "/tax"]
