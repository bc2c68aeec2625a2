"""What strict decoding takes of everyday types and schemas, and that its replies are read by the original."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import jsonschema
import pytest
from pydantic import BaseModel, ConfigDict, Field, HttpUrl
from typing_extensions import TypedDict

from llmguard import Guard
from llmguard.models.openai.strict_schema import build_server_schema
from llmguard.schema import compile_schema
from llmguard.schema.strict_form import StrictForm, strict_form
from llmguard.testing import ScriptedModel
from tests.schema.test_providers import an_object


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Person(BaseModel):
    """A person."""

    name: str
    age: int


class Address(BaseModel):
    street: str
    city: str = Field(description="The town, without its postcode.")
    country: str = "DE"


class Customer(BaseModel):
    name: str
    address: Address
    second_address: Address | None = None


class Note(BaseModel):
    text: str
    author: str | None = None


class Defaults(BaseModel):
    title: str = "untitled"
    pages: int = 1
    rating: float | None = None


class Ticket(BaseModel):
    team: Literal["billing", "shipping"]
    urgent: bool
    colour: Colour = Colour.RED


class Levelled(BaseModel):
    level: Level
    mixed: Literal[1, "one"]


class Event(BaseModel):
    day: date
    begins: datetime
    at: time | None = None
    lasts: timedelta


class Tags(BaseModel):
    tags: list[str]
    scores: list[float] = Field(default_factory=list, max_length=5)
    unique: set[str] = set()


class Order(BaseModel):
    lines: list[Person]
    total: Decimal = Field(ge=0)


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


class Owner(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Either(BaseModel):
    value: int | str | list[int]


class Bounded(BaseModel):
    code: str = Field(min_length=2, max_length=8, pattern="^[A-Z]+$")
    share: float = Field(gt=0, lt=1, examples=[0.5])
    count: int = Field(1, ge=1, multiple_of=2)


class Link(BaseModel):
    url: HttpUrl
    id: UUID


class Tree(BaseModel):
    label: str
    children: list[Tree] = []


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int


class Aliased(BaseModel):
    first_name: str = Field(alias="firstName")


class Looking(BaseModel):
    word: str = Field(description="A word.")
    model_config = ConfigDict(json_schema_extra={"x-owner": "ann"})


class Point(NamedTuple):
    x: float
    y: float


class Shape(BaseModel):
    corner: tuple[int, int]
    label: tuple[str, int]
    points: list[Point]


@dataclass
class Payment:
    amount: float
    currency: Literal["EUR", "USD"]
    memo: str = ""


class Movie(TypedDict):
    title: str
    year: int


class Empty(BaseModel):
    pass


class Counts(BaseModel):
    counts: dict[str, int]


class Free(BaseModel):
    anything: Any


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Bag(BaseModel):
    extra: dict[str, str] = {}
    name: str


EVERYDAY: dict[str, tuple[Any, Any]] = {
    "person": (Person, {"name": "Ada", "age": 36}),
    "nested": (
        Customer,
        {"name": "A", "address": {"street": "s", "city": "c", "country": None}, "second_address": None},
    ),
    "optional": (Note, {"text": "t", "author": None}),
    "defaults": (Defaults, {"title": None, "pages": None, "rating": None}),
    "enums": (Ticket, {"team": "billing", "urgent": True, "colour": None}),
    "integer enums": (Levelled, {"level": 2, "mixed": "one"}),
    "dates": (Event, {"day": "2026-01-31", "begins": "2026-01-31T09:00:00", "at": None, "lasts": "PT1H"}),
    "lists": (Tags, {"tags": ["a"], "scores": None, "unique": None}),
    "a list of objects": (Order, {"lines": [{"name": "A", "age": 1}], "total": "12.50"}),
    "a discriminated union": (Owner, {"pet": {"kind": "dog", "name": "Rex"}}),
    "a union": (Either, {"value": [1, 2]}),
    "bounds": (Bounded, {"code": "AB", "share": 0.5, "count": None}),
    "formats": (Link, {"url": "https://a.example/", "id": "123e4567-e89b-12d3-a456-426614174000"}),
    "recursion": (Tree, {"label": "a", "children": [{"label": "b", "children": None}]}),
    "closed": (Closed, {"a": 1}),
    "an alias": (Aliased, {"firstName": "Ada"}),
    "notes of its own": (Looking, {"word": "w"}),
    "tuples": (Shape, {"corner": [1, 2], "label": ["a", 1], "points": [[0.0, 1.0]]}),
    "a dataclass": (Payment, {"amount": 1.5, "currency": "EUR", "memo": None}),
    "a TypedDict": (Movie, {"title": "M", "year": 1931}),
    "no members": (Empty, {}),
    "a list": (list[Person], [{"name": "A", "age": 1}]),
    "an optional model": (Note | None, None),
}
AS_A_HINT = {
    "a dict": (Counts, "#/properties/counts: names of members that are not known beforehand"),
    "an optional dict": (Bag, "#/properties/extra: names of members that are not known beforehand"),
    "anything": (Free, "#/properties/anything: nothing says what type the value has"),
    "open": (Open, "#: names of members that are not known beforehand"),
}


@pytest.mark.parametrize("name", EVERYDAY)
def test_everyday_types_are_sent_as_strict(name: str) -> None:
    """23 of 27: every object closed, every member required; a reply of that form has a value of the type."""
    source, reply = EVERYDAY[name]
    schema = compile_schema(source)
    sent = build_server_schema(schema.response_format("thing"))
    assert (sent.is_strict, sent.obstacles) == (True, ())
    wrapped = {"value": reply} if sent.is_wrapped else reply
    jsonschema.Draft202012Validator(sent.json_schema).validate(wrapped)
    outcome = guard_of(source, reply).run()
    assert (outcome.status, outcome.repairs) == ("accepted", ())
    assert isinstance(outcome.json, type(reply))


@pytest.mark.parametrize("name", AS_A_HINT)
def test_what_strict_decoding_cannot_say_is_a_hint(name: str) -> None:
    """Names that are not known beforehand, and values of any type; the place is named."""
    source, obstacle = AS_A_HINT[name]
    sent = build_server_schema(compile_schema(source).response_format("thing"))
    assert (sent.is_strict, sent.obstacles) == (False, (obstacle,))


def guard_of(source: Any, reply: Any, **options: Any) -> Any:
    return Guard(
        "strict",
        prompt="Extract.",
        schema=source,
        models=[ScriptedModel([json.dumps(reply)])],
        log=None,
        reasks=0,
        **options,
    )


def test_null_for_what_may_be_left_out_is_absent() -> None:
    """It is what the form asks for: no repair, also where no repair is allowed. Where null is a value, it stays one."""
    outcome = guard_of(Customer, EVERYDAY["nested"][1], repairs=()).run()
    assert (outcome.status, outcome.json["address"]) == ("accepted", {"street": "s", "city": "c"})
    assert outcome.value.address.country == "DE"
    assert guard_of(Note, {"text": "t", "author": None}).run().json == {"text": "t", "author": None}
    assert guard_of(Note, {"text": None}).run().status == "rejected"


def tightened(schema: Any, *, closes: bool = False) -> StrictForm:
    return strict_form(schema, closes=closes)


def test_an_open_object_is_closed_for_a_type_only() -> None:
    """A JSON Schema whose object is open takes other members, which a closed form would forbid."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    assert tightened(schema).obstacles == ("#: an object is open to other properties",)
    assert tightened(schema, closes=True).json_schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        ({"type": "string", "minLength": 1, "maxLength": 5}, {"type": "string", "description": "1 to 5 characters"}),
        (
            {"type": "string", "format": "date-time", "description": "When."},
            {"type": "string", "description": 'When (format "date-time")'},
        ),
        ({"type": "string", "pattern": "(?=a)b"}, {"type": "string", "description": 'pattern "(?=a)b"'}),
        ({"type": "number", "x-unit": "kg"}, {"type": "number", "description": "in kg"}),
        ({"enum": [1, None]}, {"enum": [1, None], "type": ["integer", "null"]}),
        ({"const": "a", "default": "a"}, {"const": "a", "type": "string", "description": 'by default "a"'}),
        (
            {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            {"type": "array", "items": {"type": "string"}, "description": "each item once"},
        ),
        ({"allOf": [{"type": "string"}], "default": "a"}, {"type": "string", "description": 'by default "a"'}),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    ],
)
def test_what_a_form_cannot_say_stands_in_words(schema: Any, written: Any) -> None:
    """Formats, lengths and the like go to the description; the schema itself judges the reply."""
    outer = an_object(a=schema, b={"type": "string", "default": "so that a form is written"})
    assert tightened(outer).json_schema["properties"]["a"] == written


@pytest.mark.parametrize(
    ("schema", "nullable"),
    [
        ({"type": "string"}, {"type": ["string", "null"]}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"enum": ["a"]}, {"anyOf": [{"enum": ["a"], "type": "string"}, {"type": "null"}]}),
        ({"enum": ["a", None]}, {"enum": ["a", None], "type": ["string", "null"]}),
        ({"$ref": "#/$defs/S"}, {"anyOf": [{"$ref": "#/$defs/S"}, {"type": "null"}]}),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]},
         {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    ],
)  # fmt: skip
def test_an_optional_member_may_be_null(schema: Any, nullable: Any) -> None:
    """Each kind of schema in its own way; what takes null already is left."""
    outer = {**an_object(required=False, a=schema), "$defs": {"S": {"type": "string"}}}
    form = tightened(outer).json_schema
    assert (form["properties"]["a"], form["required"]) == (nullable, ["a"])


@pytest.mark.parametrize(
    "inner",
    [
        {"type": "object", "patternProperties": {"^a": {"type": "string"}}, "additionalProperties": False},
        {**an_object(b={"type": "string"}), "dependentRequired": {"a": ["b"]}},
        {"not": {"type": "string"}, "type": "integer"},
        {"allOf": [{"type": "string"}, {"minLength": 2}]},
        {"anyOf": [{"type": "string"}], "properties": {"a": {"type": "string"}}},
        {"enum": [{"a": 1}]},
        {"$ref": "#/properties/b", "default": "a"},
        {"type": "array"},
        {},
        True,
        False,
    ],
)  # fmt: skip
def test_what_words_would_say_badly_is_a_hint(inner: Any) -> None:
    """The schema itself is sent then, unchanged, and the obstacle names its place."""
    outer = an_object(a=inner, b={"type": "string"})
    form = tightened(outer)
    assert (form.json_schema, form.changes) == (outer, ())
    assert form.obstacles and form.obstacles[0].startswith("#/properties/a")


def test_a_definition_that_nothing_uses_is_no_obstacle() -> None:
    """The schema of the fields that are asked for again holds the definitions of all fields."""
    free, plain = {"type": "object"}, an_object(n={"$ref": "#/$defs/N"})
    definitions = {"Free": free, "Plain": plain, "N": {"type": "integer", "default": 1}}
    form = tightened({**an_object(a={"$ref": "#/$defs/Plain"}), "$defs": definitions})
    assert (form.obstacles, list(form.json_schema["$defs"])) == ((), ["Plain", "N"])
    used = tightened({**an_object(a={"$ref": "#/$defs/Free"}), "$defs": definitions})
    assert used.obstacles == ("#/$defs/Free: an object is open to other properties",)
