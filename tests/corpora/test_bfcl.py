"""The Berkeley function-calling leaderboard's gold answers: each is accepted, however a model would have written it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import read
from llmguard.parsing.syntax import same_json
from llmguard.schema import Schema, compile_schema
from tests.corpora.rows import needs_corpora, rows

pytestmark = needs_corpora


def gold() -> Iterator[tuple[str, Schema, Any]]:
    """(id, schema, arguments) of each gold call that fits its tool's own schema."""
    for row in rows("bfcl.jsonl.gz"):
        tools = {tool["name"]: tool["parameters"] for tool in row["tools"]}
        for call in (row["expected"] or ()) if row["verdict"] == "call" else ():
            try:
                schema = compile_schema(tools[call["name"]])
            except (UsageError, KeyError):
                continue
            if not schema.violations(call["arguments"]):
                yield row["id"], schema, call["arguments"]


def test_each_gold_call_is_accepted() -> None:
    """Compact, spread out, in a fence, and as Python prints it."""
    seen = 0
    for name, schema, arguments in gold():
        text, spread = json.dumps(arguments), json.dumps(arguments, indent=2, ensure_ascii=False)
        for reply in (text, spread, f"```json\n{text}\n```", str(arguments)):
            reading = read(ModelReply(reply), schema)
            assert reading.failure is None, (name, reply, reading.violations)
            assert same_json(reading.value, arguments), (name, reply, reading.value)
        seen += 1
    print(f"{seen} gold calls, four spellings each")
    assert seen >= 1000
