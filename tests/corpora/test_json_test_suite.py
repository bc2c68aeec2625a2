"""nst/JSONTestSuite: strict reading accepts what is JSON and refuses what is not; nothing raises on any of it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import read
from llmguard.parsing.syntax import parse_candidates, parse_strict
from llmguard.schema import compile_schema
from tests.corpora.rows import needs_corpora, rows

pytestmark = needs_corpora


def texts(verdict: str = "") -> list[tuple[str, str]]:
    """(id, text); bytes that are no UTF-8 come as the lone surrogates a careless decoder makes of them."""
    return [(row["id"], text_of(row)) for row in rows("json_test_suite.jsonl.gz") if row["verdict"].startswith(verdict)]


def text_of(row: dict[str, Any]) -> str:
    if "input" in row:
        return str(row["input"])
    return base64.b64decode(row["input_b64"]).decode("utf-8", "surrogateescape")


def test_all_that_must_parse_parses_exactly() -> None:
    """The value of `json.loads`, with the same types and the same order."""
    accepted = texts("accept")
    assert len(accepted) >= 40
    for name, text in accepted:
        value, violations = parse_strict(text)
        expected = json.loads(text)
        if "duplicated_key.json" in name:  # the one that hardening names
            assert [found.rule for found in violations] == ["duplicate_key"], name
        else:
            assert (json.dumps(value), violations) == (json.dumps(expected), ()), name


def test_all_that_must_be_refused_is_refused() -> None:
    """By strict reading; what repair makes of it is another matter."""
    refused = texts("reject")
    assert len(refused) >= 76
    assert [name for name, text in refused if not parse_strict(text)[1]] == []


@pytest.mark.parametrize("schema", [True, {"type": "array"}, {"type": "string"}, {"type": "object"}])
def test_nothing_raises(schema: Any) -> None:
    """Strictly, tolerantly, and with a schema at hand."""
    compiled = compile_schema(schema)
    for _, text in texts():
        parse_strict(text)
        parse_candidates(text)
        parse_candidates(text, cut=True)
        read(ModelReply(text), compiled)
