"""A scalar in a sentence is read where nothing beside it makes it another one."""

from __future__ import annotations

from typing import Any

import pytest

from llmguard.core.canonical import Json
from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import read
from llmguard.schema import compile_schema

INTEGER: Json = {"type": "integer"}
DATE: Json = {"type": "string", "format": "date"}
TEAM: Json = {"enum": ["billing", "shipping", "other"]}
TRUTH: Json = {"type": "boolean"}


@pytest.mark.parametrize(
    ("schema", "reply"),
    [
        (INTEGER, "About **9** devices were received."),
        (INTEGER, "At least **9** devices were received."),
        (INTEGER, "More than **9** devices were received."),
        (INTEGER, "**9** or more devices."),
        (INTEGER, "The answer is >9"),
        (INTEGER, "> 9"),
        (INTEGER, "Answer:\n~9"),
        (INTEGER, "Up to **9** people."),
        (INTEGER, "It is **9** thousand."),
        (INTEGER, "A total of **9**% were received."),
        (INTEGER, "Es waren mindestens **9** Personen."),
        (INTEGER, "Il y avait environ **9** personnes."),
        (INTEGER, "Había más de **9** personas."),
        (INTEGER, "约**9**人"),
        (INTEGER, 'Answer:\n"≠ 9"'),
        (INTEGER, "If you count children, the answer is **9**."),
        (DATE, "The contract ends before **2024-05-01**."),
        (DATE, "It was after 2024-05-01."),
        (DATE, "Sometime around **2024-05-01**."),
        (DATE, "The deadline was moved from **2024-05-01**."),
        (DATE, 'Answer:\n"2024-05-01?"'),
        (DATE, 'Answer:\n"2024-05-01 (tentative)"'),
        (TEAM, "Answer: !billing"),
        (TEAM, "The category is ~billing"),
        (TEAM, "Anything other than **billing**."),
        (TEAM, "Used to be **billing**."),
        (TEAM, "Close to **billing**."),
        (TRUTH, "That would be **true** if it were paid."),
    ],
)
def test_a_scalar_that_is_bounded_estimated_or_supposed_is_refused(schema: Json, reply: str) -> None:
    """In bold or not, in several languages, by a word or by a sign."""
    assert read(ModelReply(reply), compile_schema(schema)).failure is not None


@pytest.mark.parametrize(
    ("schema", "reply", "value"),
    [
        (INTEGER, "A total of **9** devices were received.", 9),
        (INTEGER, "The document lists **23** participants.", 23),
        (INTEGER, "✅ 9", 9),
        (INTEGER, "<answer>9</answer>", 9),
        (DATE, "The meeting takes place on **2024-05-01**.", "2024-05-01"),
        (TEAM, "This is about **billing**.", "billing"),
        (TEAM, "👉 billing", "billing"),
        (TRUTH, "The answer is **true**.", True),
        (TRUTH, "```json\ntrue\n```\n\nI hope this helps.", True),
        (INTEGER, "Answer:\n71554\n\nI hope this helps.", 71554),
        (INTEGER, '<think>\nA draft: {"draft": true}.\n</think>\n\n33', 33),
        (DATE, '"2012-06-15"\n\n**Explanation:** The day is written there.', "2012-06-15"),
    ],
)
def test_a_scalar_that_is_said_plainly_is_read(schema: Json, reply: str, value: Any) -> None:
    """Also after a picture, within a tag of markup, after thoughts that hold JSON, and before what models add."""
    reading = read(ModelReply(reply), compile_schema(schema))
    assert (reading.failure, reading.value) == (None, value)


@pytest.mark.parametrize(
    "reply",
    [
        '"b": 1},\n  {"a": 2}\n]',
        'tail"}, {"a": 2}]',
        "s}']",
        ',\n{"a": 2}\n]',
    ],
)
def test_what_follows_a_missing_beginning_is_a_part(reply: str) -> None:
    """A closing bracket or a comma before the first value ends something that is not there (principle 5)."""
    schema = compile_schema({"type": "array", "items": {"type": ["object", "string"]}})
    assert read(ModelReply(reply), schema).failure == "unparsable"


@pytest.mark.parametrize("remark", ["The number should be 56.", "The second entry must be 19."])
def test_what_a_value_should_be_is_not_what_it_is(remark: str) -> None:
    """Also where the remark names no field."""
    schema = compile_schema({"type": "object", "properties": {"counts": {"type": "array", "items": INTEGER}}})
    assert read(ModelReply('{"counts": [55, 18]}\n\n' + remark), schema).failure == "ambiguous"
