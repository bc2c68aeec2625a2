"""What a scalar says: units, likeness, spellings, digits and escapes, as fields of a reply (docs/reading.md)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import AliasChoices, BaseModel, BeforeValidator, Field

from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import read
from llmguard.schema import compile_schema

NUMBER, INTEGER, TEXT = {"type": "number"}, {"type": "integer"}, {"type": "string"}
DATE = {"type": "string", "format": "date"}


def an_object(**properties: Any) -> dict[str, Any]:
    """An object whose properties are all required."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def one_of(*members: str) -> dict[str, Any]:
    """An enum."""
    return {"enum": list(members)}


def value_or_rule(schema: Any, reply: str) -> Any:
    """The one member of the value, or the rule of the first violation."""
    result = read(ModelReply(reply), compile_schema(schema))
    return result.violations[0].rule if result.failure else next(iter(result.value.values()))


def member(name: str, schema: Any, text: str) -> Any:
    """The same for a text in a field of this name."""
    return value_or_rule(an_object(**{name: schema}), json.dumps({name: text}, ensure_ascii=False))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("height_m", "1.8 m", 1.8), ("heightCm", "180 cm", 180), ("duration_min", "45 min", 45), ("mass_g", "250 g", 250),
        ("temperature_c", "-3 °C", -3), ("speed_kmh", "30 km/h", 30), ("discount_percent", "12%", 12), ("price_usd", "$5", 5),
        ("price_usd", "US$ 1,250", 1250), ("fare_nok", "NOK 85", 85), ("fare_nok", "85 kr", 85), ("fee_cents", "700 cents", 700),
        ("age_years", "34 years", 34), ("guests", "3 guests", 3), ("revenue_millions", "5.2 million", 5.2),
        ("power_mw", "3 MW", 3), ("height_ft", "6'", 6),
        ("weight_kg", "3 KG", 3), ("price", "€ 19,90", 19.9), ("usd_amount", "12 USD", 12),
        ("mass_g", "3 kg", "unit"), ("height_m", "6 ft", "unit"), ("duration_ms", "30 s", "unit"), ("fee_cents", "$7", "unit"),
        ("price_usd", "€5", "unit"), ("price_usd", "$5.2 million", "unit"), ("price_per_kg", "5 kg", "unit"),
        ("power_mw", "3 mW", "unit"), ("fare", "85 NOK", "unit"), ("fare", "85 kr", "unit"), ("age", "34 years", "unit"),
        ("rate", "40%", "percent"), ("profit", "1.7 million", "magnitude"), ("x", '7"', "unit"), ("x", "6'", "unit"),
        ("x", "> 60", "approximation"), ("x", "5 min", "approximation"),
    ],
)  # fmt: skip
def test_the_name_of_a_field_says_its_unit(name: str, text: str, expected: Any) -> None:
    """Principle 9: its unit is read, another one is refused, and so is any where the name says none."""
    assert member(name, NUMBER, text) == expected


@pytest.mark.parametrize(
    ("about", "text", "expected"),
    [
        ("Length in metres; convert feet", "12 feet", "unit"),
        ("A fraction, not percent", "40%", "percent"),
        ("Amount in GBP; USD must be converted", "$30", "unit"),
        ("Price in euros", "12 EUR", "unit"),
        ("Price in euros", "€12", 12),
        ("Price in cents", "$12", "unit"),
        ("What all of them cost", "$12", 12),
    ],
)
def test_a_word_of_the_description_is_no_unit(about: str, text: str, expected: Any) -> None:
    """It may only make a sign of money doubtful."""
    assert member("amount", {**NUMBER, "description": about}, text) == expected


def test_x_unit_says_the_unit_in_any_word() -> None:
    """Also one that no table has; then it is the word itself."""
    assert member("length", {**NUMBER, "x-unit": "cm"}, "12 centimetres") == 12
    assert member("length", {**NUMBER, "x-unit": "cm"}, "12 mm") == "unit"
    assert member("load", {**NUMBER, "x-unit": "pallets"}, "12 pallets") == 12


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ('{"cost": "19.90 EUR", "currency": "EUR"}', 19.9),
        ('{"cost": "€19.90", "currency": "EUR"}', 19.9),
        ('{"cost": "19.90 CHF", "currency": "EUR"}', "unit"),
        ('{"cost": "12 kg", "unit": "kg"}', 12),
        ('{"cost": "12 lb", "unit": "kg"}', "unit"),
        ('{"cost": "12 kg", "size_unit": "kg"}', "unit"),
        ('{"cost": "12 kg", "cost_unit": "kg"}', 12),
        ('{"cost": "$12", "note": "or €11"}', "unit"),
    ],
)
def test_a_sibling_may_name_the_unit_and_never_contradict_it(reply: str, expected: Any) -> None:
    """`currency` and `unit` for every number of the object, `cost_unit` for one."""
    assert value_or_rule(an_object(cost=NUMBER), reply) == expected


def test_a_currency_goes_for_the_objects_below() -> None:
    """A line's price is in the currency of its invoice."""
    schema = an_object(lines={"type": "array", "items": an_object(price=NUMBER)})
    assert value_or_rule(schema, '{"lines": [{"price": "€5"}], "currency": "EUR"}') == [{"price": 5}]
    assert value_or_rule(schema, '{"lines": [{"price": "$5"}], "currency": "EUR"}') == "unit"


@pytest.mark.parametrize(
    ("members", "text", "expected"),
    [
        (("ON_HOLD", "DONE"), "on hold", "ON_HOLD"), (("IN_PROGRESS",), "InProgress", "IN_PROGRESS"),
        (("in-house",), "in house", "in-house"),
        (("in-house",), "in\u2011house", "in-house"), (("San Juan",), "San\u00a0Juan", "San Juan"),
        (("Zürich",), "Zu\u0308rich", "Zürich"),
        (("Zürich",), "Zurich", "Zürich"), (("A", "A-"), "a-", "A-"), (("don't know",), "Don’t know", "don't know"),
        (("positive",), "**Positive**.", "positive"), (("5 mg", "25 mg"), "25mg", "25 mg"), (("V1.0",), "v1.0", "V1.0"),
        (("5 mg", "25 mg"), "2.5 mg", "not_a_member"), (("1", "2"), "-1", "not_a_member"), (("A", "B"), "A-", "not_a_member"),
        (("A", "B"), "A+", "not_a_member"), (("NA", "EU"), "n/a", "not_a_member"), (("v10",), "v1.0", "not_a_member"),
        (("10", "100"), "1 0", "not_a_member"), (("1-2", "12"), "1 2", "not_a_member"), (("C", "D"), "C#", "not_a_member"),
        (("net",), ".NET", "not_a_member"), (("5",), ">5", "not_a_member"), (("yes",), "yes?", "not_a_member"),
        (("3 MW",), "3 mW", "not_a_member"), (("resume", "résumé"), "Résume", "ambiguous_member"),
        (("Zürich",), "Zur\u0456ch", "not_a_member"),
    ],
)  # fmt: skip
def test_likeness_drops_no_digit_and_no_mark(members: tuple[str, ...], text: str, expected: str) -> None:
    """Principle 8: case, white space, `_`, a hyphen between letters and accents are folded, and nothing else."""
    assert member("x", one_of(*members), text) == expected


@pytest.mark.parametrize(
    ("name", "key", "read_as"),
    [
        ("first_name", "First Name", True), ("firstName", "first_name", True), ("first_name", "first-name", True),
        ("v20", "v2.0", False), ("x1", "x-1", False), ("ab", "a/b", False), ("temp", "-temp", False), ("temp", "temp?", False),
    ],
)  # fmt: skip
def test_keys_are_likened_as_members_are(name: str, key: str, read_as: bool) -> None:
    """The same likeness for the names of properties."""
    assert value_or_rule(an_object(**{name: TEXT}), json.dumps({key: "a"})) == ("a" if read_as else "required")


def test_a_letter_that_looks_alike_is_named() -> None:
    """A person and a model see no difference, so the message gives the code point."""
    result = read(ModelReply('{"x": "Zur\u0456ch"}'), compile_schema(an_object(x=one_of("Zurich"))))
    assert "U+0456" in result.violations[0].message


@pytest.mark.parametrize(
    "spelling", ["+4930123456", "0x2A", "1_000", "1e3", "1.50", "-5", "12345678901234567890", "007", ".5"]
)
def test_a_number_for_a_text_keeps_its_spelling(spelling: str) -> None:
    """Principle 10: the text that stood in the reply; the digits within other texts do not count."""
    assert value_or_rule(an_object(x=TEXT), f'{{"x": {spelling}}}') == spelling
    assert value_or_rule(an_object(x=TEXT, y=TEXT), '{"x": 42, "y": "room 0042, 042"}') == "42"


def test_a_decimal_keeps_every_digit() -> None:
    """Principle 11: strict or repaired; a float keeps what floats keep, and two spellings of one float are refused."""

    class Payment(BaseModel):
        total: Decimal
        weight: float = 0.0

    schema = compile_schema(Payment)
    for reply in ('{"total": 98765432109876543.21}', "{'total': 98765432109876543.21,}"):
        assert schema.load(read(ModelReply(reply), schema).value).total == Decimal("98765432109876543.21")  # type: ignore[attr-defined]
    exact = read(ModelReply('{"total": 0.49999999999999999, "weight": 0.10000000000000000555}'), schema).value
    assert exact == {"total": "0.49999999999999999", "weight": 0.1}
    plain = read(ModelReply('{"total": 12.5, "weight": 0.1}'), schema)
    assert (plain.value, plain.repairs) == ({"total": 12.5, "weight": 0.1}, ())
    two = read(ModelReply('{"total": 98765432109876543.21, "weight": 98765432109876543.20}'), schema)
    assert two.violations[0].rule == "digits"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("12345678901234567891", 12345678901234567891), ("12345678901234567891.0", 12345678901234567891)],
)
def test_a_whole_number_in_a_text_keeps_every_digit(text: str, expected: int) -> None:
    """It never goes by way of a float."""
    assert member("n", INTEGER, text) == expected
    assert member("n", NUMBER, "98765432109876543.21") == "digits"


@pytest.mark.parametrize(
    "reply", [r'{"x": "$\frac{3}{4}$"}', r'{"x": "D:\backup"}', r"{'x': '\frac'}", r'{"\bx": "a", "x": "b"}']
)
def test_an_escape_that_makes_a_control_character_before_a_letter_is_refused(reply: str) -> None:
    """Principle 14, also in strictly valid text."""
    assert value_or_rule(an_object(x=TEXT), reply) == "ambiguous_escape"


@pytest.mark.parametrize(
    ("reply", "flagged"),
    [
        (r'{"x": "\theta"}', True), (r'{"x": "a \neq b"}', True), (r'{"x": "C:\temp"}', True), (r'{"x": "one\nother"}', False),
        (r'{"x": "\\theta"}', False), (r'{"x": "a\tb"}', False), (r'{"x": "\\frac"}', False),
    ],
)  # fmt: skip
def test_a_tab_or_line_feed_that_may_be_a_backslash_is_flagged(reply: str, flagged: bool) -> None:
    """The value comes out, with a doubt beside it."""
    result = read(ModelReply(reply), compile_schema(an_object(x=TEXT)))
    assert result.value == json.loads(reply)
    assert [each.rule for each in result.flags] == (["doubtful_escape"] if flagged else [])


@pytest.mark.parametrize("draft", ["04", "06", "07"])
@pytest.mark.parametrize(("name", "text"), [("uuid", "zzz"), ("duration", "soon"), ("relative-json-pointer", "x")])
def test_formats_are_asserted_alike_under_every_draft(draft: str, name: str, text: str) -> None:
    """What an older draft did not know yet is checked as the latest does."""
    schema = {
        "$schema": f"http://json-schema.org/draft-{draft}/schema#",
        **an_object(x={"type": "string", "format": name}),
    }
    assert value_or_rule(schema, json.dumps({"x": text})) == "format"


class Parcel(BaseModel):
    """A type that takes more than its JSON Schema says."""

    kg: Annotated[float, BeforeValidator(lambda value: float(str(value).removesuffix("kg")))]
    label: str = Field(validation_alias=AliasChoices("label", "title"))
    count: int = 1
    tags: set[str] = set()


@pytest.mark.parametrize(
    ("reply", "fits"),
    [
        ('{"kg": "12 kg", "label": "a"}', True),
        ('{"kg": 12, "title": "a", "tags": ["x", "x"]}', True),
        ('{"kg": "a dozen", "label": "a"}', False),
        ('{"kg": "12 kg", "label": "a", "count": "1,5"}', False),
        ('{"kg": 12}', False),
    ],
)
def test_a_type_judges_what_its_own_validators_take(reply: str, fits: bool) -> None:
    """Where a validator runs before the type, an alias or a set is; elsewhere the JSON Schema has the word."""
    schema = compile_schema(Parcel)
    result = read(ModelReply(reply), schema)
    assert (result.failure is None) == fits
    if fits:
        assert schema.load(result.value) == Parcel.model_validate_json(reply)


@pytest.mark.parametrize(
    "text", ["sunset May 12, 2024", "friendship May 10, 2024", "before May 12, 2024", "May 12, 2024?"]
)
def test_a_date_with_another_word_is_no_date(text: str) -> None:
    """A word that begins like a weekday is none."""
    assert member("when", DATE, text) == "not_a_date"


@pytest.mark.parametrize(
    "reply",
    [
        "> 60",
        ">60",
        ">= 60",
        "x >= 60",
        "< 5",
        "≥ 5",
        "~5",
        "≈ 5",
        "± 5",
        "- 5",
        "- $5",
        "5+",
        '7"',
        "6'",
        "¬5",
        "The answer is > 60",
    ],
)
def test_a_bound_is_no_number(reply: str) -> None:
    """A sign of comparison or doubt before a digit is part of what is said, and marks of quotation come off in pairs."""
    assert read(ModelReply(reply), compile_schema(NUMBER)).failure is not None


@pytest.mark.parametrize(
    ("reply", "number"), [('"60"', 60), ("**60**", 60), ("`60`", 60), ("60.", 60), ("+5", 5), ("-5", -5), ("✅ 5", 5)]
)
def test_marks_around_a_number_in_pairs_say_nothing(reply: str, number: int) -> None:
    """Quotation, emphasis, code, a full stop and an emoji."""
    assert read(ModelReply(reply), compile_schema(NUMBER)).value == number
