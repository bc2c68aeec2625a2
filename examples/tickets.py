"""Support tickets: a guard with files from `prompts/` and `schemas/`, a check, and keyword rules as its fallback.

    python examples/tickets.py                                                          a scripted model
    LLMGUARD_EXAMPLE_MODEL=gpt-5-mini OPENAI_API_KEY=… python examples/tickets.py       a real model
    llmguard run examples.tickets:triage --input ticket='My parcel is lost.'            the same guard, from a shell

`OPENAI_BASE_URL` names another server with OpenAI's API.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmguard import Guard, OpenAIModel, check, escalate
from llmguard.testing import ScriptedModel

ROOT = Path(__file__).parent.parent
TICKETS = [
    "I was charged twice this month. Please refund one of the payments.",
    "My parcel has not arrived, and the tracking page shows nothing.",
    "The courier left the box in the rain.",
    "Good morning! Who may I talk to?",
]
SAID = [
    '{"category": "billing", "urgent": false}',
    'Sure!\n```json\n{"category": "bug", "urgent": false}\n```',  # the check refuses this reply,
    '{"category": "delivery", "urgent": false}',  # and the model corrects it after a re-ask
    '{"category": "rain", "urgent": false}',
    '{"category": "rain", "urgent": false}',  # the same violation again: no third request, the rules answer
    "I am sorry, I cannot tell.",
    "I am sorry, I cannot tell.",  # no rule applies either: the call goes to a person
]
PARCEL = re.compile(r"\b(parcel|courier|tracking)\b")


@check
def parcels_are_delivery(value: dict[str, Any], inputs: Mapping[str, Any]) -> str | None:
    """A ticket about a parcel is not a bug report."""
    if PARCEL.search(inputs["ticket"]) and value["category"] == "bug":
        return "the ticket speaks of a parcel, so it is no bug"
    return None


def by_keyword(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword rules: the fallback. An exception means that no rule applies, and the next rung is tried."""
    if PARCEL.search(inputs["ticket"]):
        return {"category": "delivery", "urgent": False}
    raise LookupError("no rule for this ticket")


name = os.environ.get("LLMGUARD_EXAMPLE_MODEL")
triage = Guard(
    "triage",
    prompt=ROOT / "prompts" / "triage.prompty",
    schema=ROOT / "schemas" / "triage.json",
    models=[OpenAIModel(name, timeout_s=30) if name else ScriptedModel(SAID)],
    checks=[parcels_are_delivery],
    fallback=[by_keyword, escalate()],
    log=os.environ.get("LLMGUARD_LOG", "sqlite:///llmguard.db"),
)

if __name__ == "__main__":
    for ticket in TICKETS:
        outcome = triage.run(ticket=ticket, meta={"example": "tickets"})
        print(f"{outcome.status:10} {outcome.source:14} {outcome.value}   {ticket}")
