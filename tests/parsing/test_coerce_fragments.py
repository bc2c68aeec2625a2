"""A fragment of a broken value is never the answer, whatever the name it stands under."""

from __future__ import annotations

import pytest

from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import read
from llmguard.schema import compile_schema

SCHEMA = compile_schema({"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]})


@pytest.mark.parametrize("key", ["data", "result", "answer", "final", "corrected", "output"])
@pytest.mark.parametrize("broken", ['"lines": [{"kind", "ab"]}', '"lines": [{"kind" "ab"]}', "oops"])
@pytest.mark.parametrize("around", ["%s", "Here it is: %s", "```json\n%s\n```"])
def test_a_member_of_an_object_that_cannot_be_read_is_no_answer(key: str, broken: str, around: str) -> None:
    """Its key is no word of the model's: found by a fuzz of the watcher, where `{"total": 1}` came out in silence."""
    text = around % f'{{"total": 5, {broken}, "{key}": {{"total": 1}}}}'
    reading = read(ModelReply(text), SCHEMA)
    assert (reading.value, reading.failure) in ((None, "unparsable"), (None, "ambiguous"))
