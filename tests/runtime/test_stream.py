"""A call that is shown while it runs: partials, what voids them, and the outcome, sync and async."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from llmguard import FunctionModel, Guard, ModelFailure, OpenAIModel, UsageError, constant
from llmguard.core.outcome import Outcome, Partial, StreamEvent, Void
from llmguard.testing import ScriptedModel
from tests.support.fault_server import FaultServer, Script, hang

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "maximum": 150}, "tags": {"type": "array"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
GOOD = '{"name": "Ada", "age": 36, "tags": ["a", "b"]}'
FIRST, SECOND = "r0/s0/a1/t1", "r0/s0/a2/t1"


def guard(*replies: object, **more: object) -> Guard:
    return Guard("p", prompt="p", schema=PERSON, models=[ScriptedModel(list(replies))], audit=0.0, log=None, **more)


def streamed(made: Guard) -> tuple[list[StreamEvent], Outcome]:
    with made.stream() as stream:
        said = list(stream)
    return said, stream.outcome


def astreamed(made: Guard) -> tuple[list[StreamEvent], Outcome]:
    async def main() -> tuple[list[StreamEvent], Outcome]:
        async with made.astream() as stream:
            said = [each async for each in stream]
        return said, stream.outcome

    return asyncio.run(main())


BOTH = pytest.mark.parametrize("ways", [streamed, astreamed])
Ways = Callable[[Guard], tuple[list[StreamEvent], Outcome]]


@BOTH
def test_the_last_partial_is_the_value(ways: Ways) -> None:
    """It grows member by member, and the outcome is that of an ordinary call."""
    said, outcome = ways(guard(GOOD))
    assert (outcome.status, outcome.value) == ("accepted", json.loads(GOOD))
    assert said[-1] == Partial(FIRST, outcome.value)
    assert outcome == guard(GOOD).run()


def test_a_partial_does_not_change_under_its_viewers_hands() -> None:
    """Each is a value of its own, though what is whole is shared."""
    watcher = guard(GOOD).policy
    from llmguard.parsing.stream import JsonStreamValidator

    made, seen = JsonStreamValidator(watcher.schema.json_schema), []
    for letter in GOOD:
        if made.feed(letter):
            seen.append((made.snapshot(), json.dumps(made.snapshot())))
    assert len(seen) >= 4
    assert all(json.dumps(value) == text for value, text in seen)
    assert json.loads(seen[-1][1]) == json.loads(GOOD)


@BOTH
def test_a_reask_voids_what_was_shown(ways: Ways) -> None:
    """Before the first partial of the next attempt."""
    said, outcome = ways(guard('{"name": "Bob", "age": 200}', GOOD))
    assert outcome.status == "recovered"
    void = said.index(Void(FIRST))
    assert {each.address for each in said[:void]} == {FIRST}
    assert {each.address for each in said[void + 1 :]} == {SECOND}


@BOTH
def test_an_answer_of_a_fallback_voids_what_was_shown(ways: Ways) -> None:
    """The viewer is told that what it saw is not the outcome."""
    made = guard('{"name": "Bob", "age": "x y"}', reasks=0, fallback=[constant({"name": "x", "age": 0})])
    said, outcome = ways(made)
    assert (outcome.status, said[-1]) == ("fallback", Void(FIRST))


@BOTH
def test_what_no_continuation_can_mend_stops_the_request(ways: Ways) -> None:
    """The model is asked again at once, and the attempt says what was spent."""
    endless = '{"name": "Ada", "age": 200, "tags": [' + '"x", ' * 10_000
    said, outcome = ways(guard(endless, GOOD))
    assert (outcome.status, outcome.value) == ("recovered", json.loads(GOOD))
    assert len(outcome.attempts[0].text) < 100
    assert "stopped after about" in outcome.attempts[0].violations[0].message
    assert said[-1] == Partial(SECOND, outcome.value)


@BOTH
def test_a_failure_shows_nothing(ways: Ways) -> None:
    """And voids nothing."""
    said, outcome = ways(guard(ModelFailure("auth"), fallback=[constant({"name": "x", "age": 0})]))
    assert (said, outcome.status) == ([], "fallback")


@BOTH
def test_a_model_that_cannot_stream_is_shown_at_once(ways: Ways) -> None:
    """Its reply is one piece."""
    made = Guard("p", prompt="p", schema=PERSON, models=[FunctionModel(lambda request: GOOD)], log=None)
    said, outcome = ways(made)
    assert said == [Partial(FIRST, json.loads(GOOD))]
    assert outcome.status == "accepted"


def test_the_outcome_is_there_when_the_stream_has_ended() -> None:
    """Asked before, it says so."""
    made = guard(GOOD)
    with made.stream() as stream:
        with pytest.raises(UsageError, match="has not ended"):
            stream.outcome
        list(stream)
    assert stream.outcome.status == "accepted"


def test_a_stream_that_is_left_is_interrupted() -> None:
    """In the log too; begun or not."""
    made = guard(GOOD, GOOD)
    with made.stream() as stream:
        next(iter(stream))
    with made.stream() as unread:
        pass
    assert (stream.outcome.status, unread.outcome.status) == ("interrupted", "interrupted")
    assert {row.status for row in made.log.find()} == {"interrupted"}


def test_an_async_stream_that_is_left_is_interrupted() -> None:
    """The same on a loop."""
    made = guard(GOOD)

    async def main() -> Outcome:
        async with made.astream() as stream:
            async for _ in stream:
                break
        return stream.outcome

    assert asyncio.run(main()).status == "interrupted"


# ------------------------------------------------------------------------------------------------- a real server


def events(*texts: str, finish: str | None = "stop", done: bool = True, key: str = "content") -> Script:
    """A streamed chat completion, cut into odd packets."""

    def send(connection, request) -> None:
        assert request.body["stream"] is True
        deltas = [{"choices": [{"index": 0, "delta": {key: text}}]} for text in texts]
        deltas.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "model": "served"})
        usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
        body = "".join(f"data: {json.dumps(each)}\n\n" for each in [*deltas, usage]) + "data: [DONE]\n\n" * done
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        whole = (head + ": a comment\n\n" + body).encode()
        for start in range(0, len(whole), 37):
            connection.sendall(whole[start : start + 37])
        connection.close()

    return send


def served(*scripts: Script, **more: object) -> tuple[list[StreamEvent], Outcome, int]:
    with FaultServer(list(scripts)) as server:
        model = OpenAIModel("m", base_url=server.base_url, api_key="x")
        made = Guard("p", prompt="p", schema=PERSON, models=[model], log=None, **more)
        return *streamed(made), len(server.requests)


PIECES = [GOOD[start : start + 4] for start in range(0, len(GOOD), 4)]


@pytest.mark.loopback
@BOTH
def test_a_server_is_read_as_it_speaks(ways: Ways) -> None:
    """Partials, value, usage and finish reason come from the events."""
    with FaultServer([events(*PIECES)]) as server:
        model = OpenAIModel("m", base_url=server.base_url, api_key="x")
        said, outcome = ways(Guard("p", prompt="p", schema=PERSON, models=[model], log=None))
    assert (outcome.status, outcome.value, outcome.usage.total_tokens) == ("accepted", json.loads(GOOD), 7)
    assert said[-1] == Partial(FIRST, json.loads(GOOD))


@pytest.mark.loopback
def test_a_stream_that_is_cut_is_a_connection_failure() -> None:
    """It is tried again, and what was shown is void."""
    said, outcome, requests = served(events(*PIECES[:6], finish=None, done=False), events(*PIECES))
    assert (outcome.status, requests) == ("recovered", 2)
    assert outcome.attempts[0].failure == "connection"
    assert Void(FIRST) in said


@pytest.mark.loopback
def test_a_stream_that_cannot_be_mended_is_closed_at_once() -> None:
    """The server is not read to its end."""
    endless = ['{"name": "Ada", "age": 200', ', "tags": ['] + ['"x", '] * 5_000
    _, outcome, requests = served(events(*endless), events(*PIECES))
    assert (outcome.status, requests) == ("recovered", 2)
    assert len(outcome.attempts[0].text) < 1_000


@pytest.mark.loopback
def test_a_server_that_hangs_amid_a_stream_ends_at_the_deadline() -> None:
    """The fallback answers."""

    def stuck(connection, request) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        connection.sendall(b'data: {"choices": [{"delta": {"content": "{\\"name\\": \\"Ada\\", "}}]}\n\n')
        hang(connection, request)

    said, outcome, _ = served(stuck, deadline_s=0.5, fallback=[constant({"name": "x", "age": 0})])
    assert (outcome.status, outcome.attempts[0].failure) == ("fallback", "deadline")
    assert said == [Partial(FIRST, {"name": "Ada"}), Void(FIRST)]


@pytest.mark.loopback
def test_a_server_that_does_not_stream_is_read_all_the_same() -> None:
    """Its whole reply is one piece."""
    from tests.support.fault_server import answer, chat

    said, outcome, _ = served(answer(200, chat(GOOD)))
    assert said == [Partial(FIRST, json.loads(GOOD))]
    assert outcome.status == "accepted"
