"""Candidates and a schema to a value with receipts; never a value where the reply leaves a doubt."""

from __future__ import annotations

import datetime
import json
import time

import pydantic
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import Reading, ReadingRules, read
from llmguard.parsing.syntax import same_json
from llmguard.schema import compile_schema


def an_object(**properties: object) -> dict[str, object]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def reading(text: str, schema: object, finish_reason: str = "stop", **rules: object) -> Reading:
    return read(ModelReply(text, finish_reason=finish_reason), compile_schema(schema), ReadingRules(**rules))


def member(text: str, schema: object) -> object:
    """What a field with this schema is read as, when the model wrote `text` there as a JSON string."""
    found = reading(json.dumps({"x": text}), an_object(x=schema))
    return found.value["x"] if found.failure is None else found.violations[0].rule


TEXT, NUMBER, INTEGER, TRUTH = {"type": "string"}, {"type": "number"}, {"type": "integer"}, {"type": "boolean"}
COLOUR = {"type": "string", "enum": ["RED", "DARK_BLUE"]}
DATE = {"type": "string", "format": "date"}
PERSON = an_object(name=TEXT, age=INTEGER)
ADA = {"name": "Ada", "age": 36}


# Without backspaces and form feeds, whose escapes before a letter are refused: they are LaTeX or a path (principle 14).
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\b\f")


@given(st.dictionaries(st.text(LETTERS, max_size=5), st.integers() | st.text(LETTERS) | st.booleans() | st.none()))
def test_a_valid_reply_is_exactly_json_loads(value: object) -> None:
    """No repair, no violation, the same value in the same order, but for dots, which stand for what was left out (16)."""
    assume("..." not in json.dumps(value))
    found = reading(json.dumps(value), {"type": "object"})
    assert (json.dumps(found.value), found.repairs, found.failure) == (json.dumps(value), (), None)


@pytest.mark.parametrize(
    ("text", "finish_reason", "failure"),
    [
        ('{"name": "Ada", "age": 36}', "length", "truncated"),
        ('{"name": "Ada", "age": 36}', "content_filter", "content_filter"),
        ("", "stop", "empty"),
        (" \n\ufeff", "stop", "empty"),
        ("I'm sorry, but I can't help with that.", "stop", "refusal"),
        ("There is no such person.", "stop", "unparsable"),
        ('{"name": "Ada"}', "stop", "schema"),
        ('{"name": "Ada", "age": 36, "age": 37}', "stop", "unparsable"),
        ('{"name": "Ada", "age": NaN}', "stop", "unparsable"),
        ('{"name": "Ada", "age": 36} or {"name": "Eve", "age": 3}', "stop", "ambiguous"),
        ("[" * 1000, "stop", "unparsable"),
        ("x" * 100, "stop", "malformed"),
    ],
)
def test_a_reply_without_a_value_has_its_kind_of_failure(text: str, finish_reason: str, failure: str) -> None:
    """Each way of failing has its kind, and at least one violation that says why."""
    found = reading(text, PERSON, finish_reason, max_chars=99 if failure == "malformed" else 10_000)
    assert (found.failure, found.value) == (failure, None)
    assert found.violations


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<think>six times seven</think>42", 42),
        ("<think>6 * 7 = 40?</think>\n42", 42),
        ("First 40.</think>\n\n42", 42),
        ("<think>41</think>```\n42\n```", 42),
        ("<think>40</think><think>41</think>42", 42),
        ("<think>42</think>", None),
        ("<think>42", None),
    ],
)
def test_a_bare_value_after_a_thought_is_read(text: str, value: int | None) -> None:
    """A number without brackets counts where it is the whole reply but for thoughts; one inside a thought does not."""
    assert reading(text, INTEGER).value == value


@pytest.mark.parametrize(
    "text",
    [
        'Draft: {"name": "Ada", "age": 35}\nFinal: {"name": "Ada", "age": 36}',
        '<think>{"name": "Eve", "age": 3}</think>{"name": "Ada", "age": 36}',
        '{"name": "Ada", "age": 36}\n\n{"name": "Ada", "age": 36}',
        '{"result": {"name": "Ada", "age": 36}}',
        '[{"name": "Ada", "age": 36}]',
        '{"Name": "Ada", "AGE": "36"}',
        '"{\\"name\\": \\"Ada\\", \\"age\\": 36}"',
        '{"type": "function", "arguments": {"name": "Ada", "age": 36}}',
        "dict(name='Ada', age=36)",
    ],
)
def test_the_answer_is_found_and_unwrapped(text: str) -> None:
    """Drafts, thoughts, wrappers and another case of keys leave one reading, with receipts."""
    found = reading(text, PERSON)
    assert (found.value, found.failure) == (ADA, None)
    assert found.repairs


@pytest.mark.parametrize(
    "text",
    [
        '<think>{"name": "Ada", "age": 36}',
        'Example: {"name": "Ada", "age": 36}',
        'A draft, to be checked: {"name": "Ada", "age": 36}',
        'For example {"name": "string", "age": 0}. Answer: {"name": "Ada", "age": 36}',  # two that fit: never one of them
        '{"name": "Ada", "age": 36}\nWait, that is wrong.',
        '{"name": "Ada", "age": 35}\nFinal: {"name": "Ada", "age": "old"}',
        '[{"name": "Ada", "age": 36}, {"name": "Eve", "age": 3}]',
        '{"name": "<string>", "age": 36}',
        '{"type": "object", "properties": {"name": {"type": "string"}}}',
        '{"name": "Ada", "age": 36, "Age": 37}',
        '{"example": {"name": "Ada", "age": 36}}',
        '{"name": "Ada", "age": 36, "mood": "good"}',
        '[{"name": "Ada", "age": 36}, ...]',
        '{"name": "Ada", "age": 36} "name": "Eve"}, "b": {}',
    ],
)
def test_what_is_no_answer_gives_no_value(text: str) -> None:
    """Drafts, examples, echoes, what was taken back and what would lose a part are refused."""
    found = reading(text, PERSON)
    assert found.failure is not None
    assert found.value is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("36", 36), ("-1.5", -1.5), ("1e3", 1000.0), ("$1,250.40", 1250.4), ("1.250,40 €", 1250.4),
        ("1 250,40", 1250.4),
        ("1,234,567", 1234567), ("12,5", 12.5), ("0,234", 0.234), ("12,34,567.50", 1234567.5),
        ("1'000.5", 1000.5),
        ("−3", -3), ("-$5.00", -5.0), ("$1,250", 1250),
    ],
)  # fmt: skip
def test_a_number_in_words_of_its_own_is_read(text: str, number: float) -> None:
    """Currency, thousands and decimal marks, where they leave one reading."""
    assert member(text, NUMBER) == number


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("(12.50)", "parentheses"), ("12.5k", "magnitude"), ("~12", "approximation"), ("about 12", "approximation"),
        ("10-12", "range"), ("1/2", "range"), ("12 kg", "unit"), ("12%", "percent"),
        ("USD 5", "unit"), ("5 francs", "unit"),  # principle 9: a currency that the field does not name
        ("1,250", "ambiguous_number"),
        ("1.250", "ambiguous_number"), ("not 12", "negation"), ("12 or 13", "range"), ("5-", "parentheses"),
        ("1e400", "non_finite"),
        ("twelve", "not_a_number"), ("007", "ambiguous_number"), ("1,2,3", "ambiguous_number"), ("", "not_a_number"),
        ("1.2 million", "magnitude"), (">5", "approximation"), ("1,23.4", "ambiguous_number"), ("NaN", "not_a_number"),
    ],
)  # fmt: skip
def test_a_number_that_says_more_is_refused(text: str, rule: str) -> None:
    """An approximation, a range, a unit, a percent, parentheses or a size word is a violation, never a value."""
    assert member(text, NUMBER) == rule


def test_the_schema_may_name_the_unit() -> None:
    """A percent, a unit or a currency that the field's name says is no doubt; another one is."""
    schema = an_object(change_pct=NUMBER, weight_kg=NUMBER, price_usd=NUMBER)
    assert reading('{"change_pct": "4%", "weight_kg": "2 kg", "price_usd": "$5"}', schema).value == {
        "change_pct": 4, "weight_kg": 2, "price_usd": 5,
    }  # fmt: skip
    assert reading('{"change_pct": 4, "weight_kg": 2, "price_usd": "€5"}', schema).violations[0].rule == "unit"


def test_a_whole_number_is_one() -> None:
    """2.0 is an integer by JSON Schema, 2.7 is none, and no true is a number."""
    assert reading('{"x": 2.0}', an_object(x=INTEGER)).repairs == ()
    assert [reading(f'{{"x": {text}}}', an_object(x=INTEGER)).failure for text in ("2.7", "true", '"2.7"')] == [
        "schema"
    ] * 3
    assert member("1,250", INTEGER) == 1250


@pytest.mark.parametrize(
    ("text", "value"), [("yes", True), ("No.", False), ("TRUE", True), ("not true", None), ("1", None), ("maybe", None)]
)
def test_only_exact_words_are_yes_or_no(text: str, value: object) -> None:
    """Anything beside the word leaves a doubt."""
    assert member(text, TRUTH) == (value if value is not None else "not_a_boolean")


@pytest.mark.parametrize(
    ("text", "value"),
    [("red", "RED"), ("Dark blue.", "DARK_BLUE"), ("**RED**", "RED"), ("darkBlue", "DARK_BLUE"), ("not RED", None),
     ("RED or DARK_BLUE", None),
     ("anything but RED", None), ("RED?", None), ("", None)],
)  # fmt: skip
def test_an_enum_member_is_read_by_case_and_marks(text: str, value: object) -> None:
    """A member in another spelling is that member; a member in a sentence is none."""
    assert member(text, COLOUR) == (value or "not_a_member")


def test_labels_are_read_as_their_members() -> None:
    """`x-aliases`, and the titles of `oneOf` constants, name members; on a property they name keys."""
    assert member("Crimson", COLOUR | {"x-aliases": {"RED": ["crimson"]}}) == "RED"
    assert member("first", {"oneOf": [{"const": "A", "title": "First"}, {"const": "B", "title": "Second"}]}) == "A"
    assert reading('{"years": 3}', an_object(age=INTEGER | {"x-aliases": ["years"]})).value == {"age": 3}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("March 5, 2024", "2024-03-05"), ("5th of March 2024", "2024-03-05"), ("Tue, 5 Mar 2024", "2024-03-05"),
        ("2024/3/5", "2024-03-05"),
        ("20240305", "2024-03-05"), ("25.12.2024", "2024-12-25"), ("2024-03-05T00:00:00Z", "2024-03-05"),
        ("03/04/2024", None),
        ("5.3.24", None), ("Mon 5 Mar 2024", None), ("2024-02-30", None), ("March 2024", None),
        ("2024-03-05T10:00:00Z", None),
    ],
)  # fmt: skip
def test_a_date_is_read_where_one_day_is_meant(text: str, value: object) -> None:
    """Month names, year first, or a day over 12; two readings, or a weekday that does not fit, are refused."""
    found = member(text, DATE)
    assert found == value if value else found in ("not_a_date", "ambiguous_date")


def test_null_stands_for_an_absent_optional_field() -> None:
    """Where a field may be absent and may not be null, null is left out; a required one is a violation."""
    schema = {"type": "object", "properties": {"a": TEXT, "b": INTEGER}, "required": ["a"]}
    assert reading('{"a": "x", "b": null}', schema).value == {"a": "x"}
    assert reading('{"a": null, "b": 1}', schema).failure == "schema"
    assert member("null", {"type": ["integer", "null"]}) is None


def test_one_for_a_list_and_a_list_for_one() -> None:
    """One value stands for a list of one, unless it may be several; objects in lines are a list."""
    assert reading('{"x": "red"}', an_object(x={"type": "array", "items": TEXT})).value == {"x": ["red"]}
    assert reading('{"x": "red, blue"}', an_object(x={"type": "array", "items": TEXT})).failure == "schema"
    assert reading('{"a": 1}\n{"a": 2}', {"type": "array", "items": an_object(a=INTEGER)}).value == [{"a": 1}, {"a": 2}]


def test_a_union_takes_the_branch_that_fits() -> None:
    """An exact fit wins; two fits that differ are in doubt."""
    assert member("5", {"anyOf": [INTEGER, TEXT]}) == "5"
    assert member("5", {"anyOf": [INTEGER, TRUTH]}) == 5
    assert member("20240305", {"anyOf": [INTEGER, DATE]}) == "ambiguous_union"
    pets = {"oneOf": [an_object(kind={"const": "cat"}, lives=INTEGER), an_object(kind={"const": "dog"}, age=INTEGER)]}
    assert reading('{"kind": "Cat", "lives": "9"}', pets).value == {"kind": "cat", "lives": 9}


def test_recursive_types_are_read_at_any_depth() -> None:
    """A chain of 100 nodes, each with a number in quotes, is read without Python's recursion."""
    node = {
        "type": "object",
        "properties": {"n": INTEGER, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["n"],
    }
    text, value = '{"n": "1"}', {"n": 1}
    for _ in range(100):
        text, value = f'{{"n": "1", "next": {text}}}', {"n": 1, "next": value}
    assert same_json(reading(text, node).value, value)


def test_a_missing_inner_closer_needs_the_schema() -> None:
    """The schema says where the members belong, or the reply is refused."""
    inner = an_object(x=INTEGER, y=INTEGER)
    text = '{"a": {"x": 1, "y": 2}'
    assert reading(text, an_object(a=inner)).value == {"a": {"x": 1, "y": 2}}
    open_schema = {"type": "object", "properties": {"a": {"type": "object"}, "y": INTEGER}}
    assert reading(text, open_schema).violations[0].rule == "ambiguous_brackets"


def test_a_truncated_reply_gives_its_whole_members_where_allowed() -> None:
    """Only what is complete survives, and the cut is marked."""
    schema = an_object(items={"type": "array", "items": an_object(n=INTEGER)})
    found = reading('{"items": [{"n": 1}, {"n": 2}, {"n": 34', schema, "length", allow_truncated=True)
    assert found.value == {"items": [{"n": 1}, {"n": 2}]}
    assert "truncated" in {repair.rule for repair in found.repairs}


def test_the_last_candidate_is_kept_for_salvage() -> None:
    """A value that does not fit is no value, but is there to take the right fields from."""
    found = reading('{"name": "Ada", "age": "old"}', PERSON)
    assert (found.value, found.candidate) == (None, ({"name": "Ada", "age": "old"},))


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "A\ud800", "age": 3}',
        '{"name": "A\ud800", "age": 3} Done.',
        '{"name": "A\\ud800", "age": 3,}',
        "\ud800",
    ],
)
def test_half_a_character_is_a_violation(text: str) -> None:
    """A lone surrogate, raw or escaped, with or without words around the value, is refused and never raises."""
    assert reading(text, PERSON).failure == "unparsable"


def test_what_was_parsed_is_told_from_what_was_not() -> None:
    """A parsed null is a candidate; a reply without a value has none."""
    assert reading("null", PERSON).candidate == (None,)
    assert reading("no value at all", PERSON).candidate == ()
    assert reading("{'name': 'Ada', 'name': 'Eve'}", PERSON).candidate == ()


def test_a_python_type_is_read_and_judged_by_its_own_rules() -> None:
    """Times without a zone fit, which plain JSON Schema refuses; validators of the type are asked last."""

    class Visit(pydantic.BaseModel):
        at: datetime.datetime
        guests: int

        @pydantic.field_validator("guests")
        @classmethod
        def some(cls, guests: int) -> int:
            if guests < 1:
                raise ValueError("nobody came")
            return guests

    schema = compile_schema(Visit)
    good = read(ModelReply('{"At": "2024-03-05T10:00", "guests": "2"}'), schema)
    assert good.value == {"at": "2024-03-05T10:00", "guests": 2}
    bad = read(ModelReply('{"at": "2024-03-05T10:00", "guests": "0"}'), schema)
    assert (bad.failure, [found.message for found in bad.violations]) == ("schema", ["nobody came"])


@pytest.mark.slow
def test_a_recursive_schema_that_asks_for_wrappers_without_end_ends() -> None:
    """Two ways on at every level would take for ever; the steps are bounded."""
    schema = {
        "anyOf": [
            {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
            {"type": "object", "properties": {"x": {"$ref": "#"}}, "required": ["x"], "additionalProperties": False},
        ]
    }
    began = time.thread_time()
    assert reading("[5]", schema).failure == "schema"
    assert time.thread_time() - began < 2


def test_draft_7_lists_and_definitions_are_read() -> None:
    """Positional items, `definitions`, and a reference that stands alone."""
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"n": {"type": "integer"}},
        "type": "object",
        "properties": {"pair": {"type": "array", "items": [{"$ref": "#/definitions/n"}, {"type": "boolean"}]}},
        "required": ["pair"],
    }
    assert reading('{"pair": ["3", "yes"]}', schema).value == {"pair": [3, True]}


def test_placeholders_are_no_values() -> None:
    """A field that is its own name in brackets, its description, and lists that end in "and so on" are refused; a common
    word or markup is a value (principle 1 of reading: strictly valid text is its value)."""
    described = an_object(name={**TEXT, "description": "Full name of the person"})
    for schema, text in (
        (PERSON, '{"name": "<name>", "age": 36}'),
        (PERSON, '{"name": "<string>", "age": 36}'),
        (described, '{"name": "Full name of the person"}'),
        ({**described, "examples": [{"name": "Eve Green"}]}, '{"name": "Eve Green"}'),
    ):
        assert reading(text, schema).violations[0].rule == "placeholder"
    for name in ("string", "Lorem ipsum", "<br>", "<b>name</b>", "Your own"):
        assert reading(f'{{"name": "{name}", "age": 0}}', PERSON).value == {"name": name, "age": 0}
    assert reading('{"x": ["a", "and so on"]}', an_object(x={"type": "array", "items": TEXT})).failure == "schema"
    assert reading('{"name": "More text", "age": 36}', PERSON).value == {"name": "More text", "age": 36}
    assert reading('{"x": "value"}', an_object(x={"enum": ["value", "growth"]})).value == {"x": "value"}
