"""Guards for the commands: their models answer by what they are asked, and their log is the one of the working folder."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from llmguard import Guard, ModelRequest, check, constant, escalate
from llmguard.testing import ScriptedModel
from tests.golden.desk import desk

SCHEMA = {
    "type": "object",
    "properties": {
        "team": {"enum": ["billing", "shipping", "other"]},
        "urgent": {"type": "boolean"},
        "amount": {"type": "number", "minimum": 0},
        "word": {"type": "string"},
    },
    "required": ["team", "urgent"],
    "additionalProperties": False,
}
STRICTER = {**SCHEMA, "properties": {**SCHEMA["properties"], "team": {"enum": ["billing", "other"]}}}
SAID = {
    "charged": '{"team": "billing", "urgent": false, "amount": 12.5, "word": "charged"}',
    "parcel": '{"team": "shipping", "urgent": true, "word": "parcel"}',
    "fence": 'Here you are:\n```json\n{\'team\': \'billing\', "urgent": false, "amount": "7.00"}\n```',
    "mend": '{"team": "payments", "urgent": false}',
    "never": '{"team": "nobody", "urgent": "perhaps"}',
    "invented": '{"team": "billing", "urgent": false, "word": "nonsense"}',
}
WORD_IN_TICKET = "the word is not in the ticket"


def answer(request: ModelRequest) -> str:
    """Says what stands in SAID for the ticket; what is to be mended is right when it is asked again."""
    ticket = str(request.messages[0].content)
    if "die" in ticket:
        time.sleep(0.3)
        os._exit(9)
    said = next((reply for word, reply in SAID.items() if word in ticket), "I do not know.")
    return SAID["charged"].replace("charged", "mend") if "mend" in ticket and len(request.messages) > 1 else said


@check
def word_is_there(value: Mapping[str, Any], inputs: Mapping[str, Any]) -> str | None:
    return WORD_IN_TICKET if value.get("word", "") not in inputs["ticket"] else None


@check(severity="flag")
def large_amount(value: Mapping[str, Any], inputs: Mapping[str, Any]) -> str | None:
    return "is above ten" if value.get("amount", 0) > 10 else None


def made(name: str = "triage", schema: Any = SCHEMA, **options: Any) -> Guard[Any]:
    given = {"models": [ScriptedModel.by_request(answer)], "checks": [word_is_there, large_amount], "audit": 0.0}
    return Guard(name, prompt="Which team? {{ ticket }}", schema=schema, **{**given, **options})


triage = made(reasks=1, fallback=[constant({"team": "other", "urgent": False})])
stricter = made(schema=STRICTER, reasks=1, fallback=[constant({"team": "other", "urgent": False})])
unchecked = made(checks=[])
asking = made("asking", reasks=0, fallback=[escalate()])
loan = desk()
