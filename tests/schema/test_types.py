"""Output schemas from Python types: the value comes back as the type, and nothing is coerced on the way."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import sys
import typing
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal, Optional

import pytest
import typing_extensions
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, computed_field, field_validator, model_validator

from llmguard.core.canonical import EncodingError, json_roundtrip
from llmguard.core.errors import UsageError
from llmguard.core.outcome import Violation
from llmguard.schema import compile_schema, describe_schema


class Currency(enum.Enum):
    EUR = "EUR"
    USD = "USD"


class Line(BaseModel):
    text: str
    amount: Decimal


class Invoice(BaseModel):
    total: Decimal
    date: dt.date
    currency: Currency = Currency.EUR
    sent: dt.datetime | None = None
    lines: list[Line] = []
    kind: Literal["a", "b"] | None = None
    pair: tuple[int, str] | None = None

    @field_validator("total")
    @classmethod
    def above_zero(cls, total: Decimal) -> Decimal:
        if total <= 0:
            raise ValueError("must be above zero")
        return total

    @model_validator(mode="after")
    def adds_up(self) -> Invoice:
        if self.lines and sum(line.amount for line in self.lines) != self.total:
            raise AssertionError("the lines\n do not add up")
        return self


GOOD = {
    "total": "12.50",
    "date": "2026-01-31",
    "sent": "2026-01-31T09:30:00",
    "lines": [{"text": "x", "amount": 12.5}],
    "pair": [1, "a"],
}


@dataclasses.dataclass
class Point:
    x: int
    y: int = 7


class Node(BaseModel):
    value: int
    kids: list[Node] = []


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    amount: int = Field(alias="Amount")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def twice(self) -> int:
        return 2 * self.amount


class OldTyped(typing.TypedDict):
    a: int
    b: typing.NotRequired[list[dt.date]]


class OldNested(typing.TypedDict, total=False):
    inner: typing.Required[Annotated[list[OldTyped], "with a note"]]
    maybe: Optional[OldTyped]  # noqa: UP045


class NewTyped(typing_extensions.TypedDict):
    a: int


def said(given: Any, value: Any) -> list[str]:
    return [f"{found.path}: {found.message}" for found in compile_schema(given).violations(value)]


def test_a_model_comes_back_as_itself() -> None:
    """Decimals, dates, enums, tuples, nested models and defaults, from JSON as it was said."""
    schema = compile_schema(Invoice)
    assert schema.violations(GOOD) == ()
    assert schema.load(GOOD) == Invoice(
        total=Decimal("12.50"),
        date=dt.date(2026, 1, 31),
        currency=Currency.EUR,
        sent=dt.datetime(2026, 1, 31, 9, 30),
        lines=[Line(text="x", amount=Decimal("12.5"))],
        kind=None,
        pair=(1, "a"),
    )
    assert (schema.python_type, schema.warnings) == (Invoice, ())


@pytest.mark.parametrize(
    ("given", "value", "expected"),
    [
        (int, 2**70, 2**70),
        (int, 3.0, 3),
        (float, 1, 1.0),
        (bool, True, True),
        (str, "1", "1"),
        (type(None), None, None),
        (Any, {"a": [1]}, {"a": [1]}),
        (Literal["a", 1], 1, 1),
        (int | None, None, None),
        (Optional[dt.date], "2026-01-31", dt.date(2026, 1, 31)),  # noqa: UP045
        (list[int], [1, 2], [1, 2]),
        (set[int], [2, 1], {1, 2}),
        (tuple[int, ...], [1], (1,)),
        (dict[str, Decimal], {"a": "1.10"}, {"a": Decimal("1.10")}),
        (int | str, "1", "1"),
        (dt.time, "09:30", dt.time(9, 30)),
        (dt.timedelta, "P1D", dt.timedelta(days=1)),
        (uuid.UUID, str(uuid.UUID(int=5)), uuid.UUID(int=5)),
        (Annotated[int, Field(ge=3)], 3, 3),
        (Currency, "USD", Currency.USD),
        (Point, {"x": 1}, Point(1, 7)),
        (Node, {"value": 1, "kids": [{"value": 2}]}, Node(value=1, kids=[Node(value=2)])),
        (NewTyped, {"a": 1}, {"a": 1}),
        (OldTyped, {"a": 1, "b": ["2026-01-31"]}, {"a": 1, "b": [dt.date(2026, 1, 31)]}),
        (OldNested, {"inner": [{"a": 1}], "maybe": None}, {"inner": [{"a": 1}], "maybe": None}),
        (dict[str, OldTyped], {"k": {"a": 1}}, {"k": {"a": 1}}),
        (OldTyped | None, {"a": 1}, {"a": 1}),
        (TypeAdapter(list[bool]), [True], [True]),
    ],
)
def test_any_type_that_json_can_carry_is_a_schema(given: Any, value: Any, expected: Any) -> None:
    """The value has no violations, comes back as the type, and goes to JSON that fits again."""
    schema = compile_schema(given)
    assert schema.violations(value) == ()
    loaded = schema.load(value)
    assert (loaded, type(loaded)) == (expected, type(expected))
    assert schema.violations(json_roundtrip(schema.dump(loaded))) == ()


@pytest.mark.parametrize(
    ("given", "value", "expected"),
    [
        (int, "1", ": must be an integer; got '1'"),
        (int, True, ": must be an integer; got true"),
        (bool, 1, ": must be true or false; got 1"),
        (str, 1, ": must be a string; got 1"),
        (float, "1.5", ": must be a number; got '1.5'"),
        (dt.date, 20260131, ": must be a string; got 20260131"),
        (dt.date, "2026-02-31", ": must be in the format 'date', such as '2026-01-31'; got '2026-02-31'"),
        (dt.datetime, "1704067200", ": must be in the format 'date-time', such as '2026-01-31T09:30:00Z'; got '1704067200'"),
        (dt.datetime, "2026-02-31T10:00:00", ": Input should be a valid datetime or date, day value is outside expected range"),
        (dt.time, "930", ": must be in the format 'time', such as '09:30:00Z'; got '930'"),
        (int | None, "x", ": must be an integer or null; got 'x'"),
        (Literal["a", "b"], "c", ": must be one of 'a', 'b'; got 'c'"),
        (set[int], [1, "x"], "/1: must be an integer; got 'x'"),
        (OldNested, {"inner": [{}]}, "/inner/0: required property 'a' is missing"),
    ],
)  # fmt: skip
def test_nothing_is_coerced(given: Any, value: Any, expected: str) -> None:
    """A string is no number, a number no date, 1 not true."""
    assert said(given, value) == [expected]


def test_what_a_types_own_validators_say_is_a_violation() -> None:
    """Rule `python_type`, the validator's words, and the place of the field."""
    schema = compile_schema(Invoice)
    assert schema.violations({"total": -1, "date": "2026-01-31"}) == (
        Violation("/total", "python_type", "must be above zero", "value_error", -1),
    )
    short = {**GOOD, "total": 5}
    assert said(Invoice, short) == [": the lines do not add up"]
    assert said(Invoice, {**GOOD, "lines": [{"text": "x", "amount": "many"}]}) == [
        "/lines/0/amount: Input should be a valid decimal"
    ]


def test_the_words_of_a_validator_are_cut() -> None:
    """A validator that quotes the value does not put all of it into the message."""

    class Loud(BaseModel):
        text: str

        @field_validator("text")
        @classmethod
        def never(cls, text: str) -> str:
            raise ValueError(f"bad: {text}")

    (found,) = compile_schema(Loud).violations({"text": "x" * 5_000})
    assert (len(found.message), len(found.actual)) == (300, 200)


def test_a_validator_that_crashes_is_not_hidden() -> None:
    """Only ValueError and AssertionError are verdicts; any other exception is the flow's to record."""

    class Broken(BaseModel):
        text: str

        @field_validator("text")
        @classmethod
        def broken(cls, text: str) -> str:
            raise KeyError(text)

    with pytest.raises(KeyError):
        compile_schema(Broken).violations({"text": "x"})


def test_half_a_character_is_a_violation_of_a_type_too() -> None:
    """A lone surrogate has a form in JSON and none in pydantic."""
    (found,) = compile_schema(str).violations("\ud800")
    assert found.rule in ("text", "python_type")


def test_a_function_may_return_the_type_or_its_json() -> None:
    """`dump` takes an instance, JSON as it is, and mixtures; aliases are JSON's names, computed fields stay out."""
    schema = compile_schema(Invoice)
    loaded = schema.load(GOOD)
    assert schema.dump(loaded) == {
        "total": "12.50",
        "date": "2026-01-31",
        "currency": "EUR",
        "sent": "2026-01-31T09:30:00",
        "lines": [{"text": "x", "amount": "12.5"}],
        "kind": None,
        "pair": [1, "a"],
    }
    assert schema.dump(GOOD) == GOOD
    assert compile_schema(list[Point]).dump([Point(1), {"x": 2}]) == [{"x": 1, "y": 7}, {"x": 2}]
    assert compile_schema(Aliased).dump(Aliased(amount=3)) == {"Amount": 3}
    assert compile_schema(Aliased).load({"Amount": 3}) == Aliased(amount=3)


def test_without_a_type_objects_are_made_json_where_that_is_plain() -> None:
    """A dataclass or a pydantic model returned for a JSON Schema; anything else is left for the encoder to judge."""
    schema = compile_schema({"type": "object"})
    assert schema.dump(Point(1)) == {"x": 1, "y": 7}
    assert schema.dump(Line(text="a", amount=Decimal("1.0"))) == {"text": "a", "amount": "1.0"}
    assert schema.dump({"a": 1}) == {"a": 1}
    assert schema.load({"a": 1}) == {"a": 1}


def test_what_is_no_json_is_refused_by_the_encoder_and_never_changed() -> None:
    """NaN does not become null, and an object without a JSON form is an error."""
    with pytest.raises(EncodingError):
        json_roundtrip(compile_schema(float).dump(float("nan")))
    with pytest.raises(EncodingError):
        compile_schema(Invoice).dump(object())


class Undefined(BaseModel):
    field: Missing  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (typing.Callable[[int], int], "Callable cannot be an output schema: Cannot generate a JsonSchema"),
        (Undefined, "Undefined cannot be an output schema: "),
        (complex(1, 2), "(1+2j) cannot be an output schema: Unable to generate pydantic-core schema"),
        (Point(1), "is an instance of Point. Give the class itself."),
        (Line(text="", amount=Decimal(1)), "is an instance of Line. Give the class itself."),
        (len, "is len. Expected a JSON Schema as dict or JSON text, or a Python type."),
        (42, "is 42. Expected a JSON Schema as dict or JSON text, or a Python type."),
    ],
)
def test_what_is_no_type_for_json_is_refused(given: Any, expected: str) -> None:
    """With the guard's name, pydantic's reason, and what would do."""
    with pytest.raises(UsageError) as refused:
        compile_schema(given, where="schema of guard 'x'")
    assert str(refused.value).startswith("schema of guard 'x'")
    assert expected in str(refused.value)


def test_the_description_names_the_type() -> None:
    """By module and name, without addresses that change from run to run."""
    assert describe_schema(compile_schema(Invoice))["python_type"] == f"{__name__}.Invoice"
    assert describe_schema(compile_schema(int | None))["python_type"] == "int | None"
    bound = Annotated[int, lambda: 0]
    assert " at 0x" not in describe_schema(compile_schema(bound))["python_type"]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pydantic takes typing's TypedDict since Python 3.12")
def test_a_typed_dict_within_a_model_is_pydantics_to_refuse() -> None:
    """With pydantic's own words for the mend."""

    class Holder(BaseModel):
        model_config = ConfigDict(defer_build=True)
        inner: OldTyped

    with pytest.raises(UsageError, match=r"use `typing_extensions\.TypedDict`"):
        compile_schema(Holder)
