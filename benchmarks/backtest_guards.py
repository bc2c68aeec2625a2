"""The guard whose log is replayed with `benchmarks.backtest`, and the stricter one that judges it."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from llmguard import Guard, check, constant
from llmguard.core.canonical import encode
from llmguard.core.messages import ModelRequest
from llmguard.testing import ScriptedModel

PROMPT = "Extract the invoice from this text:\n\n{{ document }}"
FALLBACK = {"number": "unknown", "currency": "EUR", "total": 0, "lines": [], "note": ""}


LINE = {
    "type": "object",
    "required": ["sku", "text", "amount"],
    "properties": {"sku": {"type": "string"}, "text": {"type": "string"}, "amount": {"type": "number"}},
}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["number", "currency", "total", "lines"],
    "properties": {
        "number": {"type": "string", "minLength": 1, "maxLength": 40},
        "currency": {"enum": ["EUR", "USD", "CHF"]},
        "total": {"type": "number", "minimum": 0},
        "lines": {"type": "array", "items": LINE, "maxItems": 50},
        "note": {"type": "string"},
    },
}


@check(version="1")
def adds_up(value: Any, inputs: Mapping[str, Any]) -> str | None:
    """The lines make up the total."""
    off = abs(sum(line["amount"] for line in value["lines"]) - value["total"])
    return None if off < 0.005 else "the lines do not add up to the total"


def reply(request: ModelRequest) -> str:
    """About 1 KB: mostly right at once; every fifth reply is wrong at first, every twentieth for ever."""
    asked = " ".join(str(message.content) for message in request.messages)
    number = int(asked.partition("Invoice no. ")[2].partition(" ")[0])
    rng = Random(number)
    lines = [
        {
            "sku": f"A-{rng.randrange(10_000)}",
            "text": "Consulting, travel and material as agreed",
            "amount": rng.randrange(500),
        }
        for _ in range(8)
    ]
    total = sum(line["amount"] for line in lines)
    wrong = number % 5 == 0 and (len(request.messages) == 1 or number % 20 == 0)
    value = {"number": f"R{number}", "currency": "EURO" if wrong else "EUR", "total": total, "lines": lines}
    text = encode({**value, "note": "Payable within 30 days. " * 6}).decode()
    return f"Here is the invoice:\n```json\n{text}\n```" if number % 3 == 0 else text


@check(version="1")
def is_small(value: Any, inputs: Mapping[str, Any]) -> str | None:
    """What yesterday's guard let pass."""
    return None if value["total"] < 2_500 else "the total is suspiciously large"


def made(*checks: Any) -> Guard[Any]:
    return Guard(
        "bench-invoice",
        prompt=PROMPT,
        schema=SCHEMA,
        models=[ScriptedModel.by_request(reply)],
        checks=[adds_up, *checks],
        reasks=1,
        fallback=[constant(FALLBACK)],
        log=None,
    )


guard = made()
changed = made(is_small)
"""Judges with one check more: what it refuses at once would be asked again, so that is undetermined."""
