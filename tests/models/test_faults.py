"""A guard against a real server that misbehaves: every fault a typed outcome, every request counted and logged once."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from tenacity import stop_after_attempt, wait_none

from llmguard import Guard, OpenAIModel, Retry, constant
from tests.support.fault_server import FaultServer, Script, answer, chat, reset

KEY = "sk-proj-" + "a1B2c3D4" * 5
FAULTS: list[tuple[str, Script, str, int]] = [
    ("429", answer(429, {"error": {"message": "slow down"}}, retry_after="0.01"), "rate_limited", 2),
    ("500", answer(500, {"error": {"message": "oops"}}), "server_error", 2),
    ("503", answer(503, "busy"), "overloaded", 2),
    ("reset", reset, "connection", 2),
    ("html", answer(200, b"<html>hello</html>"), "malformed", 1),
    ("choices null", answer(200, {"choices": None}), "malformed", 1),
    (
        "arguments null",
        answer(200, chat(None, tool_calls=[{"function": {"name": "x", "arguments": None}}])),
        "empty",
        1,
    ),
    ("empty body", answer(200, b""), "malformed", 1),
    ("refusal", answer(200, chat(None, refusal="I will not")), "refusal", 1),
    ("length", answer(200, chat('{"x": 1', finish_reason="length")), "truncated", 1),
    ("content filter", answer(200, chat("", finish_reason="content_filter")), "content_filter", 1),
    ("401", answer(401, {"error": {"message": f"Incorrect API key provided: {KEY}."}}), "auth", 1),
    ("404", answer(404, {"error": {"message": "no such model"}}), "not_found", 1),
]


def run(guard: Guard, how: str):
    return guard.run(it="x") if how == "sync" else asyncio.run(guard.arun(it="x"))


@pytest.mark.loopback
@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize(("name", "script", "failure", "tries"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_every_fault_is_a_typed_outcome(
    name: str, script: Script, failure: str, tries: int, how: str, tmp_path: Path
) -> None:
    """The constant answers; requests sent, attempts told and steps logged are the same number; the key is nowhere."""
    with FaultServer([script]) as server:
        guard = Guard(
            "test",
            prompt="Say {{ it }}",
            schema={"type": "object"},
            models=[OpenAIModel("m", base_url=server.base_url, api_key=KEY, output="json_schema")],
            retry=Retry(stop=stop_after_attempt(2), wait=wait_none()),
            reasks=0,
            fallback=[constant({})],
            log=f"sqlite:///{tmp_path}/log.db",
        )
        outcome = run(guard, how)
        assert len(server.requests) == tries
    assert outcome.status == "fallback"
    assert [attempt.failure for attempt in outcome.attempts] == [failure] * tries
    record = guard.log.get(outcome.id)
    assert len(record.steps) == tries
    assert record.outcome.attempts == outcome.attempts
    guard.log.close()
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.iterdir())
    assert KEY not in outcome.explain()


@pytest.mark.loopback
@pytest.mark.parametrize("how", ["sync", "async"])
def test_retry_after_is_honoured_up_to_the_deadline(how: str) -> None:
    """Then the next rung answers at once."""
    slow = answer(429, {"error": {"message": "slow down"}}, retry_after="3600")
    with FaultServer([slow]) as server:
        model = OpenAIModel("m", base_url=server.base_url, api_key="x", output="json_schema")
        guard = Guard(
            "test", prompt="{{ it }}", schema=int, models=[model], fallback=[constant(0)], deadline_s=5, log=None
        )
        outcome = run(guard, how)
        assert (outcome.value, len(server.requests)) == (0, 1)
    assert [attempt.failure for attempt in outcome.attempts] == ["rate_limited", "timeout"]


@pytest.mark.loopback
@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_server_that_refuses_a_technique_is_asked_more_simply(how: str, tmp_path: Path) -> None:
    """The downgrade is a further try; the second call begins where the first ended."""

    def script(connection, request) -> None:
        refused = {"error": {"message": "response_format json_schema is not supported"}}
        refuses = "response_format" in request.body or "tools" in request.body
        (answer(400, refused) if refuses else answer(200, chat('{"x": 1}')))(connection, request)

    with FaultServer([script]) as server:
        model = OpenAIModel("m", base_url=server.base_url, api_key="x")
        guard = Guard(
            "test", prompt="{{ it }}", schema={"type": "object"}, models=[model], log=f"sqlite:///{tmp_path}/l.db"
        )
        first, second = run(guard, how), run(guard, how)
        assert (first.status, first.value, second.status) == ("recovered", {"x": 1}, "accepted")
        assert len(server.requests) == len(first.attempts) + 1


@pytest.mark.loopback
def test_the_log_holds_what_was_received(tmp_path: Path) -> None:
    """The body as bytes with its hash, beside the text that was read from it."""
    with FaultServer([answer(200, chat('{"x": 1}'))]) as server:
        model = OpenAIModel("m", base_url=server.base_url, api_key="x")
        guard = Guard("test", prompt="p", schema={"type": "object"}, models=[model], log=f"sqlite:///{tmp_path}/l.db")
        outcome = guard.run()
    guard.log.close()
    with sqlite3.connect(tmp_path / "l.db") as connection:
        (raw, hashed) = connection.execute("select raw, raw_hash from steps").fetchone()
    assert b'"choices"' in raw
    assert hashed.startswith("sha256:")
    assert guard.log.get(outcome.id).steps[0].answer.text == '{"x": 1}'
