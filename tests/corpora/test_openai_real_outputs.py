"""Real tool calls and JSON contents of 21 models: valid as they are, so they come out unchanged."""

from __future__ import annotations

import json

from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import read
from llmguard.schema import compile_schema
from tests.corpora.rows import needs_corpora, rows

pytestmark = needs_corpora


def test_each_is_accepted_unchanged() -> None:
    """The value is the expected one, to the last type, without a repair."""
    found = rows("openai_real_outputs.jsonl.gz")
    assert len(found) >= 51
    for row in found:
        reading = read(ModelReply(row["input"]), compile_schema(row["schema"]))
        assert (reading.failure, reading.repairs) == (None, ()), row["id"]
        assert json.dumps(reading.value) == json.dumps(row["expected"]), row["id"]
