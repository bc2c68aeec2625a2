"""Recorded exchanges with nineteen servers that speak OpenAI's protocol: each body is read, and none raises."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from llmguard.core.canonical import encode
from llmguard.core.messages import ModelAnswer, ModelFailure, ModelReply
from llmguard.models.openai.api_formats import API_FORMATS
from llmguard.models.openai.server_capabilities import RequestFeatures, ServerCapabilities
from llmguard.models.openai.stream_events import StreamReader
from llmguard.models.transport.exchange import HTTPExchange, parse_json_body
from llmguard.models.transport.failures import failure_from_status, parse_error_details
from tests.support.asking import request
from tests.support.streaming import chat_events, chunks_of, event_bytes, response_events

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
            found = API_FORMATS[row["api"]].read_reply(parse_json_body(body_of(row)), request(), capabilities, {})
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


def read(row: Any, body: Any) -> ModelAnswer:
    return API_FORMATS[row["api"]].read_reply(body, request(), ServerCapabilities("json_schema"), {})


def read_events(row: Any, sent: Iterable[bytes]) -> ModelAnswer:
    """The answer to a stream, as a model reads it."""
    reader = StreamReader(API_FORMATS[row["api"]].collector(), lambda text: True)
    for chunk in sent:
        if not reader.add(chunk):
            break
    reader.finish()
    assert reader.is_whole, row["id"]
    assert not reader.damage, row["id"]
    return read(row, reader.collector.whole_reply())


def test_whole_and_streamed_say_the_same() -> None:
    """Each recorded reply that came whole, and each error, is read the same when it is cut into events in any way."""
    events_of = {"chat": chat_events, "responses": response_events}
    for row in exchanges():
        if row["stream"] and row["status"] == 200:
            continue
        whole, random = parse_json_body(body_of(row)), Random(row["id"])
        for _ in range(12):
            events = events_of[row["api"]](whole, random)
            assert read_events(row, chunks_of(event_bytes(events, random), random)) == read(row, whole), row["id"]


def test_a_recorded_stream_is_read_however_it_is_cut() -> None:
    """Nearly all are replies, and where the bytes are cut makes no difference."""
    kinds: Counter[str] = Counter()
    for row in exchanges():
        if not row["stream"] or row["status"] != 200:
            continue
        body, random = body_of(row), Random(row["id"])
        found = read_events(row, [body])
        assert all(read_events(row, chunks_of(body, random)) == found for _ in range(3)), row["id"]
        kinds[getattr(found, "kind", "reply")] += 1
    assert kinds == {
        "reply": 45,
        "malformed": 2,
        "empty": 1,
    }  # two tool calls that Groq refused, one search without a text
