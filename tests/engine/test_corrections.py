"""What a model answers when it is asked again for some fields: these, or the whole object, or something between."""

from __future__ import annotations

import json

import pytest

from llmguard import Guard
from llmguard.core.canonical import Json
from llmguard.core.outcome import Outcome
from llmguard.testing import ScriptedModel

TEXT, INTEGER = {"type": "string"}, {"type": "integer"}
PROPERTIES = {"name": TEXT, "city": TEXT, "age": INTEGER, "tags": {"type": "array", "items": TEXT}}
CLOSED = {
    "type": "object",
    "properties": PROPERTIES,
    "required": ["name", "city", "age"],
    "additionalProperties": False,
}
OPEN = {"type": "object", "properties": PROPERTIES, "required": ["name", "city", "age"]}
OPTIONAL = {"type": "object", "properties": PROPERTIES, "additionalProperties": False}
RIGHT = {"name": "Ada", "city": "London", "age": 36, "tags": ["a"]}
FIRST = json.dumps({**RIGHT, "age": "thirty-six"})


def asked(schema: Json, *replies: str, **options: object) -> tuple[Outcome[Json], list[Json]]:
    """The outcome, and the schema of each request."""
    model = ScriptedModel([FIRST, *replies])
    guard = Guard("p", prompt="Who?", schema=schema, models=[model], reasks=len(replies), log=None, **options)
    outcome = guard.run()
    return outcome, [request.output.schema for request in model.requests if request.output]


@pytest.mark.parametrize("schema", [CLOSED, OPEN, OPTIONAL])
@pytest.mark.parametrize(
    "reply",
    [
        json.dumps(RIGHT),
        json.dumps({"age": 36}),
        json.dumps({"name": "Ada", "age": 36}),
        json.dumps({"age": 36, "name": "Ada", "city": "London"}),
        json.dumps({"Name": "Ada", "City": "London", "AGE": 36, "Tags": ["a"]}),
        "```json\n" + json.dumps(RIGHT, indent=2) + "\n```",
        json.dumps(RIGHT).replace('"', "'"),
    ],
)
def test_the_fields_alone_the_whole_and_what_lies_between_are_one_answer(schema: Json, reply: str) -> None:
    """What was right is kept where the reply leaves it out."""
    outcome, requested = asked(schema, reply)
    assert (outcome.status, outcome.json) == ("recovered", RIGHT)
    assert list(requested[1]["properties"]) == ["age"]


@pytest.mark.parametrize("schema", [CLOSED, OPEN])
def test_a_whole_object_that_fits_is_the_answer_also_where_it_changes_more(schema: Json) -> None:
    """It is the model's last word on all fields."""
    outcome, _ = asked(schema, json.dumps({**RIGHT, "age": 37, "city": "Ockham"}))
    assert outcome.json == {**RIGHT, "age": 37, "city": "Ockham"}


@pytest.mark.parametrize("reply", [{"name": "Eve", "age": 36}, {"name": "Ada", "age": "36 or 37"}, {"age": "old"}])
def test_neither_the_fields_nor_the_whole_is_no_answer(reply: Json) -> None:
    """Another name beside the field that was asked for is no mend of the value before."""
    outcome, _ = asked(CLOSED, json.dumps(reply))
    assert outcome.status == "rejected"


def test_an_unknown_field_beside_those_asked_for_is_refused_where_the_schema_is_closed() -> None:
    """And passed over where it is open, as it is in a first reply that is asked for in part."""
    reply = json.dumps({"age": 36, "note": "corrected"})
    assert asked(CLOSED, reply)[0].status == "rejected"
    assert asked(OPEN, reply)[0].json == RIGHT


@pytest.mark.parametrize("city", ["...", "…", "<unchanged>", "(as before)", "[same]"])
def test_a_whole_object_that_abbreviates_is_refused(city: str) -> None:
    """Marks, or words in brackets, that stand for what was there fit a text, and are none."""
    outcome, _ = asked(CLOSED, json.dumps({**RIGHT, "city": city}))
    assert [violation.path for violation in outcome.violations] == ["/city"]
    assert outcome.status == "rejected"


def test_the_part_that_failed_is_never_the_schema_that_is_asked_for_next() -> None:
    """A whole object with another fault is a whole object; where the reply is neither, the whole is asked for."""
    outcome, requested = asked(CLOSED, json.dumps({**RIGHT, "city": None}), json.dumps({"city": "London"}))
    assert outcome.json == RIGHT
    assert list(requested[2]["properties"]) == ["city"]
    outcome, requested = asked(CLOSED, json.dumps({"age": 36, "note": "x"}), json.dumps(RIGHT))
    assert outcome.json == RIGHT
    assert requested[2] == CLOSED


def test_the_violations_of_a_part_are_those_of_the_whole() -> None:
    """What the model reads names the fields of the whole, not only those that were asked for."""
    outcome, _ = asked(CLOSED, json.dumps({"age": 36, "note": "x"}))
    (violation,) = outcome.violations
    assert (violation.path, violation.rule) == ("/note", "additionalProperties")
    assert violation.expected == ["name", "city", "age", "tags"]


def test_a_streamed_reply_to_a_part_may_be_the_whole() -> None:
    """It is not stopped at the first field that was not asked for, and shows nothing that was wrong before."""
    model = ScriptedModel([FIRST, json.dumps(RIGHT)])
    guard = Guard("p", prompt="Who?", schema=CLOSED, models=[model], reasks=1, log=None)
    with guard.stream() as stream:
        shown = [event.value for event in stream if getattr(event, "address", "").endswith("a2/t1")]
    assert stream.outcome.json == RIGHT
    assert shown[-1] == RIGHT
    assert all(isinstance(value.get("age", 0), int) for value in shown)


def test_extra_properties_of_another_type_do_not_hide_the_whole() -> None:
    """`additionalProperties` of a part is about what the whole does not name."""
    schema = {"type": "object", "properties": {"age": INTEGER, "name": TEXT}, "additionalProperties": INTEGER}
    model = ScriptedModel(['{"age": "x", "name": "Ada"}', '{"name": "Ada", "age": 36}'])
    outcome = Guard("p", prompt="Who?", schema=schema, models=[model], reasks=1, log=None).run()
    assert outcome.json == {"age": 36, "name": "Ada"}
