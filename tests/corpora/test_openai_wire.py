"""Recorded exchanges with nineteen servers that speak OpenAI's protocol: each body is read, and none raises."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llmguard.core.canonical import encode
from llmguard.core.messages import ModelFailure, ModelReply
from llmguard.models.openai.api_formats import API_FORMATS
from llmguard.models.openai.server_capabilities import RequestFeatures, ServerCapabilities
from llmguard.models.transport.exchange import HTTPExchange, parse_json_body
from llmguard.models.transport.failures import failure_from_status, parse_error_details
from tests.support.asking import request

FOLDER = os.environ.get("LLMGUARD_CORPORA", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="LLMGUARD_CORPORA names no folder")


def exchanges() -> list[Any]:
    with gzip.open(Path(FOLDER, "openai_wire_vcr.jsonl.gz")) as file:
        return [json.loads(line) for line in file]


def body_of(row: Any) -> bytes:
    said = row["response"]
    return said.encode() if isinstance(said, str) else encode(said)


def test_every_recorded_reply_is_read() -> None:
    """Each whole reply gives its text, or an empty or malformed one where it holds none; usage is the provider's."""
    kinds: Counter[str] = Counter()
    for row in exchanges():
        if row["status"] != 200 or row["stream"]:
            continue
        for technique in ("json_schema", "tool", "prompted"):
            capabilities = ServerCapabilities(technique)  # type: ignore[arg-type]
            found = API_FORMATS[row["api"]].read_reply(parse_json_body(body_of(row)), request(), capabilities)
            assert isinstance(found, ModelReply | ModelFailure), row["id"]
            if isinstance(found, ModelReply):
                assert found.text, row["id"]
                assert not found.usage.estimated, row["id"]
                assert found.finish_reason == "stop", row["id"]
        kinds[getattr(found, "kind", "reply")] += 1
    assert kinds["reply"] >= 0.95 * kinds.total(), kinds


def test_every_recorded_error_has_its_kind() -> None:
    """Each recorded 400 is a bad request, a model that is not there, or a form that the model missed."""
    for row in exchanges():
        if row["status"] == 200:
            continue
        exchange = HTTPExchange(row["status"], {}, body_of(row))
        details = parse_error_details(exchange.body)
        found = failure_from_status(exchange, details, datetime(2026, 11, 23, tzinfo=UTC))
        expected = {"model_not_found": "not_found", "tool_use_failed": "malformed"}.get(details.code[0], "bad_request")
        assert (found.kind, found.status) == (expected, row["status"]), row["id"]
        features = RequestFeatures(row["request"]["model"], request().sampling, has_schema=False)
        assert ServerCapabilities("json_schema").simplify(row["status"], details, features) is None, row["id"]


def test_a_recorded_stream_is_no_reply() -> None:
    """Where a server streams unasked, the events are malformed and not guessed at."""
    for row in exchanges():
        if row["stream"] and row["status"] == 200:
            with pytest.raises(ValueError, match=r"\w"):
                parse_json_body(body_of(row))
