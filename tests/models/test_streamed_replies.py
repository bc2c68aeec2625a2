"""One reader: a reply that is streamed is the same as if it had come whole, however it is cut into events and chunks."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard import Guard, OpenAIModel
from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelAnswer, ModelFailure, ModelReply
from llmguard.core.outcome import Partial, Void
from llmguard.models.openai.api_formats import API_FORMATS
from llmguard.models.openai.server_capabilities import ServerCapabilities
from llmguard.models.openai.stream_events import StreamReader
from llmguard.models.transport.exchange import parse_json_body
from tests.support.asking import ask_async, ask_sync, request
from tests.support.fault_server import FaultServer, answer, call_of, chat, hang, message, response
from tests.support.streaming import chat_events, chunks_of, event_bytes, response_events

TOTAL = {
    "type": "object",
    "properties": {"total": {"type": "integer"}},
    "required": ["total"],
    "additionalProperties": False,
}


def read(body: Any, api: Any = "chat", technique: Any = "prompted", finish_reasons: Any = None) -> Any:
    return API_FORMATS[api].read_reply(body, request(), ServerCapabilities(technique), finish_reasons or {})


def collect(events: bytes, random: Random, api: Any = "chat") -> Any:
    """The body that a stream is collected into."""
    reader = StreamReader(API_FORMATS[api].collector(), lambda text: True)
    for chunk in chunks_of(events, random):
        if not reader.add(chunk):
            break
    reader.finish()
    assert (reader.damage, reader.is_whole) == ("", True)
    return reader.collector.whole_reply()


def call(arguments: Any, **more: Any) -> Any:
    return {"id": "t-1", "type": "function", "function": {"name": "thing", "arguments": arguments}, **more}


# --- any cutting gives the same answer

texts = st.text(max_size=40) | st.sampled_from(['{"total": 4}', "-81", "", " ", '{"total": ', "日本 \N{GRINNING FACE}"])
parts = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, texts),
    st.builds(lambda text: {"type": "thinking", "thinking": [{"type": "text", "text": text}]}, texts),
    st.sampled_from([{"type": "refusal", "refusal": "No."}, {"type": "image_url", "image_url": {}}]),
)
calls = st.lists(texts | st.fixed_dictionaries({"total": st.integers()}), max_size=3).map(
    lambda given_: [call(arguments, id=f"t-{number}") for number, arguments in enumerate(given_)]
)
reasons = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "abort", "error", None])
messages = st.fixed_dictionaries(
    {"content": st.none() | texts | st.lists(parts, min_size=1, max_size=3)},
    optional={"refusal": texts, "reasoning_content": texts, "tool_calls": calls},
)
completions = st.lists(st.tuples(messages, reasons), min_size=1, max_size=2).map(
    lambda given_: {
        "model": "served",
        "usage": {"prompt_tokens": 11, "completion_tokens": 7},
        "choices": [
            {"index": number, "message": {"role": "assistant", **said}, "finish_reason": reason}
            for number, (said, reason) in enumerate(given_)
        ],
    }
)


@given(completions, st.sampled_from(["tool", "prompted"]), st.randoms(use_true_random=False))
def test_a_completion_is_the_same_in_events(body: Any, technique: Any, random: Random) -> None:
    """Texts, parts, tool calls, reasoning, refusals and two choices, whose chunks alternate."""
    collected = collect(event_bytes(chat_events(body, random), random), random)
    assert read(collected, technique=technique) == read(body, technique=technique)


items = st.one_of(
    st.builds(
        lambda said, phase: {"type": "message", "status": "completed", "content": said, **phase},
        st.lists(
            st.builds(lambda text: {"type": "output_text", "text": text}, texts)
            | st.builds(lambda text: {"type": "refusal", "refusal": text}, texts),
            max_size=2,
        ),
        st.sampled_from([{}, {"phase": "commentary"}, {"phase": "final_answer"}]),
    ),
    st.builds(lambda text: {"type": "function_call", "name": "thing", "call_id": "c", "arguments": text}, texts),
    st.just({"type": "reasoning", "summary": []}),
)
ends = st.sampled_from(["completed", "incomplete", "failed", "queued"])


@given(st.lists(items, max_size=3), ends, st.sampled_from(["tool", "prompted"]), st.randoms(use_true_random=False))
def test_a_response_is_the_same_in_events(output: Any, status: str, technique: Any, random: Random) -> None:
    """Messages, calls and reasoning, also where the last event holds no output."""
    body = response(*output, status=status)
    collected = collect(event_bytes(response_events(body, random), random), random, "responses")
    assert read(collected, "responses", technique) == read(body, "responses", technique)


def test_the_digits_of_arguments_are_kept() -> None:
    """Also where they are sent as an object, with an integer of more than 64 bits."""
    body = parse_json_body(
        b'{"choices": [{"message": {"tool_calls": [{"function": {"arguments": {"a": 123456789012345678901}}}]}}]}'
    )
    assert read(body, technique="tool").text == '{"a":123456789012345678901}'


# --- choices and calls


def choice(index: Any, content: Any, **more: Any) -> Any:
    return {"index": index, "message": {"content": content, **more}, "finish_reason": "stop"}


@pytest.mark.parametrize(
    ("choices", "technique", "expected"),
    [
        ([choice(1, "8"), choice(0, "")], "prompted", "8"),
        ([choice(0, "5"), choice(1, " 5\n")], "prompted", "5"),
        ([choice(1, "8"), choice(0, "5")], "prompted", "ambiguous"),
        ([choice(0, "5"), choice(0, "8")], "prompted", "ambiguous"),
        ([choice(0, "Let me see."), choice(1, None, tool_calls=[call("{}")])], "tool", "{}"),
        ([choice(1, None, tool_calls=[call("{}")]), choice(0, "Let me see.")], "tool", "{}"),
        ([choice(0, None, tool_calls=[call("1")]), choice(1, None, tool_calls=[call("2")])], "tool", "1\n2"),
        ([{"index": 0, "text": "5"}], "prompted", "5"),
    ],
)
def test_choices_are_one_message_or_candidates(choices: Any, technique: Any, expected: str) -> None:
    """A message may be split over two; two that both answer are two candidates, in whatever order they come."""
    found = read({"choices": choices}, technique=technique)
    assert (found.text if isinstance(found, ModelReply) else found.kind) == expected


def fragment(text: Any, index: Any = None, **more: Any) -> Any:
    named = {"name": more.pop("name")} if "name" in more else {}
    place = {} if index is None else {"index": index}
    called = {**place, **more, "function": {"arguments": text, **named}}
    return {"choices": [{"index": 0, "delta": {"tool_calls": [called]}}]}


@pytest.mark.parametrize(
    ("fragments", "expected"),
    [
        ([fragment("{", 0), fragment("{", 1), fragment("4}", 0), fragment("9}", 1)], "{4}\n{9}"),
        ([fragment("{9}", 1), fragment("{4}", 0)], "{4}\n{9}"),
        ([fragment("{4}", 0, id="a", name="t"), fragment("{9}", 0, id="b", name="t")], "{4}\n{9}"),
        ([fragment("{4", 0, id="a", name="t"), fragment("9}", 0, id="b")], "{49}"),
        ([fragment("{4", 0, id="a", name="t"), fragment("9}", 0, id="a", name="t")], "{49}"),
        (
            [fragment("{4", id="a"), fragment("{9", id="b", name="t"), fragment("}", id="a"), fragment("}", id="b")],
            "{4}\n{9}",
        ),
        ([fragment("{4", name="t"), fragment("9}")], "{49}"),
        ([fragment("{4}", name="t"), fragment("{9}", name="t")], "{4}\n{9}"),
        ([fragment({"a": 1}, 0)], '{"a":1}'),
    ],
)
def test_fragments_belong_to_their_call(fragments: Any, expected: str) -> None:
    """By index, by id where the index is missing or the same for all, and to the last call where there is neither."""
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    body = collect(event_bytes([*fragments, end], Random(0)), Random(0))
    assert read(body, technique="tool").text == expected


@pytest.mark.parametrize(
    ("contents", "expected"),
    [(["4", "42"], "42"), (['{"a', '": 1}'], '{"a": 1}'), (["42", "42"], "42"), (["", "42", ""], "42")],
)
def test_whole_messages_in_events_are_read(contents: list[str], expected: str) -> None:
    """Where chunks have a message for a delta, each may be a piece, or the whole so far."""
    events = [{"choices": [{"index": 0, "message": {"content": content}}]} for content in contents]
    body = collect(event_bytes(events, Random(0)), Random(0))
    assert read(body).text == expected


# --- texts in other shapes, and ends


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([{"type": "output_text", "text": "7"}], "7"),
        (["7", "8"], "78"),
        ([{"text": "7"}], "7"),
        ({"type": "text", "text": "7"}, "7"),
        ([{"type": "text", "text": {"value": "7"}}], "7"),
        ([{"type": "thinking", "text": "6"}, {"type": "text", "text": "7"}], "7"),
        ([{"type": "mystery", "text": "7"}], "malformed"),
        ([{"type": "text", "text": 7}], "malformed"),
        ([7], "malformed"),
        ([{"type": "image_url"}], "empty"),
    ],
)
def test_a_content_is_read_or_the_failure_names_it(content: Any, expected: str) -> None:
    """Nothing that may be a part of the answer is left out."""
    found = read(chat(content))
    assert (found.text if isinstance(found, ModelReply) else found.kind) == expected
    if expected != "7" and isinstance(found, ModelFailure):
        assert "part" in found.message


def test_a_reply_of_reasoning_alone_says_so() -> None:
    """Empty beside reasoning; truncated where the limit was used up by it."""
    thought = {"reasoning_content": "Let me count."}
    empty, cut = read(chat("", **thought)), read(chat("", finish_reason="length", **thought))
    assert (empty.kind, "13 characters of reasoning" in empty.message) == ("empty", True)
    assert (cut.kind, "token limit" in cut.message) == ("truncated", True)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"a": "}"}', "unknown"),
        ("[1, 2]", "unknown"),
        ('"done"', "unknown"),
        ('```json\n{"a": 1}\n```', "unknown"),
        ('Here you are: {"a": [1]}', "unknown"),
        ("81", "truncated"),
        ("true", "truncated"),
        ("A word", "truncated"),
        ('{"a": 1', "truncated"),
        ('{"a": "}', "truncated"),
        ('{"a": 1} and', "truncated"),
        ('"done', "truncated"),
        ("", "empty"),
    ],
)
def test_after_an_unknown_end_only_what_ends_by_itself_is_read(text: str, kind: str) -> None:
    """And the word that would have to be known is named."""
    found = read(chat(text, finish_reason="abort"))
    assert (found.finish_reason if isinstance(found, ModelReply) else found.kind) == kind
    assert isinstance(found, ModelReply) or "'abort'" in found.message
    known = read(chat(text or "1", finish_reason="Abort"), finish_reasons={"abort": "stop"})
    assert (known.text, known.finish_reason) == (text or "1", "stop")


@pytest.mark.parametrize("details", [None, {}, {"reason": None}])
def test_details_without_a_reason_are_no_cut(details: Any) -> None:
    """The status of a response decides, and its details with a reason."""
    assert read(response("1", incomplete_details=details), "responses").finish_reason == "stop"
    cut = response("1", incomplete_details={"reason": "max_output_tokens"})
    assert read(cut, "responses").finish_reason == "length"
    assert read(response("1", status="expired"), "responses").kind == "truncated"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"object": "error", "message": "The queue is full", "code": 503}, "overloaded"),
        ({"detail": "The queue is full"}, "server_error"),
        ({"detail": [{"loc": ["body"], "msg": "The queue is full"}]}, "server_error"),
        ({"code": 1305, "msg": "The queue is full"}, "server_error"),
        ({"error_code": 18, "error_msg": "The queue is full"}, "server_error"),
        ({"errors": [{"message": "The queue is full"}]}, "server_error"),
        ({"base_resp": {"status_code": 1, "status_msg": "The queue is full"}}, "server_error"),
        ({"success": False, "message": "The queue is full"}, "server_error"),
        ([{"error": {"code": 429, "message": "The queue is full"}}], "rate_limited"),
        ({"error": "The queue is full", **chat("1")}, "server_error"),
    ],
)
def test_an_error_with_status_200_is_the_servers(body: Any, kind: str) -> None:
    """In any shape, for either API, and in its words; the model is not told."""
    for api in ("chat", "responses"):
        found = read(body, api)
        assert (found.kind, "queue is full" in found.message) == (kind, True)


# --- over a connection


def guard_over(server: FaultServer, schema: Any = TOTAL, **options: Any) -> Guard:
    model = OpenAIModel("m", base_url=server.base_url, api_key="x", output="prompted", **options)
    return Guard("g", prompt="p", schema=schema, models=[model], reasks=0, log=None, audit=0.0, deadline_s=5)


def streaming(body: bytes, *, stays_open: bool = False) -> Any:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"

    def send(connection: Any, request: Any) -> None:
        connection.sendall(head + body)
        if stays_open:
            hang(connection, request)
        connection.close()

    return send


def sent(body: Any, *, done: bool = True) -> bytes:
    random = Random(1)
    return event_bytes(chat_events(body, random), random, done=done)


@pytest.mark.loopback
@pytest.mark.parametrize("ask", [ask_sync, ask_async])
def test_a_stream_that_nobody_asked_for_is_read(ask: Any) -> None:
    """So is JSON with the end of a stream behind it; a request says that it wants no stream."""
    behind = message(200, b'{"choices": [{"message": {"content": "1"}}]}\n\ndata: [DONE]\n\n')
    for script in (streaming(sent(chat("1"))), lambda connection, _: connection.sendall(behind)):
        with FaultServer([script]) as server:
            found: ModelAnswer = ask(OpenAIModel("m", base_url=server.base_url, api_key="x"))
            assert server.requests[0].body["stream"] is False
        assert isinstance(found, ModelReply)
        assert found.text == "1"


@pytest.mark.loopback
def test_nothing_is_waited_for_after_the_end() -> None:
    """Where the server leaves the connection open, the call ends at [DONE], long before its deadline."""
    with FaultServer([streaming(sent(chat('{"total": 4}')), stays_open=True)]) as server:
        guard, began = guard_over(server), time.monotonic()
        with guard.stream() as stream:
            list(stream)
        unasked = guard.run()
    assert (stream.outcome.value, unasked.value, time.monotonic() - began < 4) == ({"total": 4}, {"total": 4}, True)


@pytest.mark.loopback
def test_a_closed_value_after_an_unknown_end_is_flagged() -> None:
    """It is accepted, and goes to review; the server's word can be taught."""
    body = chat('{"total": 4}', finish_reason="abort")
    with FaultServer([answer(200, body)]) as server:
        flagged, known = guard_over(server).run(), guard_over(server, finish_reasons={"abort": "stop"}).run()
    assert (flagged.value, [flag.rule for flag in flagged.flags]) == ({"total": 4}, ["unknown_finish_reason"])
    assert (known.value, known.flags) == ({"total": 4}, ())


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("reply", "is_void"), [('{"total": 4}', False), ('{"total": "4"}', True), ('{"Total": 4}', True)]
)
def test_what_was_shown_is_void_where_the_outcome_is_another_value(reply: str, is_void: bool) -> None:
    """A repair at the end changes the value that was shown before it (principle 30)."""
    with FaultServer([streaming(sent(chat(reply)))]) as server, guard_over(server).stream() as stream:
        shown = list(stream)
    assert stream.outcome.value == {"total": 4}
    partials = [event for event in shown if isinstance(event, Partial)]
    assert (shown[-1:] == [Void("r0/s0/a1/t1")]) == (is_void and bool(partials))
    assert is_void or partials[-1].value == {"total": 4}


def test_finish_reasons_are_a_setting_where_they_are_given() -> None:
    """They decide what is read; without them the fingerprint stays as it was."""
    model = OpenAIModel("m", api_key="x", finish_reasons={"Done.OK": "stop"})
    assert model.settings["finish_reasons"] == {"ok": "stop"}
    assert "finish_reasons" not in OpenAIModel("m", api_key="x").settings
    for wrong in ({"done": "finished"}, {"": "stop"}, ["done"]):
        with pytest.raises(UsageError, match=r"finish_reasons=.* of OpenAIModel: expected"):
            OpenAIModel("m", finish_reasons=wrong)  # type: ignore[arg-type]


def test_a_call_in_a_reply_of_another_shape_is_no_exception() -> None:
    """What is no call in a stream is read as it is in a whole reply."""
    for calls_ in (5, [5], [{"function": 5}], {"function": {"arguments": "1"}}):
        delta = {"choices": [{"index": 0, "delta": {"tool_calls": calls_}, "finish_reason": "stop"}]}
        found = read(collect(event_bytes([delta], Random(0)), Random(0)), technique="tool")
        assert isinstance(found, ModelReply | ModelFailure)
    assert read(call_of('{"x": 1}'), technique="tool").text == '{"x": 1}'
