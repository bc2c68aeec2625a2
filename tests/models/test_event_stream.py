"""Server-sent events by the standard (WHATWG HTML, 9.2), and the replies that they carry."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.core.messages import ModelReply
from llmguard.models.openai.api_formats import API_FORMATS
from llmguard.models.openai.server_capabilities import ServerCapabilities
from llmguard.models.openai.stream_events import StreamReader
from llmguard.models.transport.event_stream import EventStreamParser, ServerSentEvent
from tests.support.asking import request
from tests.support.streaming import chunks_of

STANDARD: list[tuple[bytes, list[tuple[bytes, str]]]] = [
    (b"data: 1\n\n", [(b"1", "")]),
    (b"data: 1\r\n\r\n", [(b"1", "")]),
    (b"data: 1\r\r", [(b"1", "")]),
    (b"data: 1\r\n\n", [(b"1", "")]),
    (b"data: 1\n\rdata: 2\r\n\n", [(b"1", ""), (b"2", "")]),
    (b"data:1\n\n", [(b"1", "")]),
    (b"data:  1\n\n", [(b" 1", "")]),
    (b"data: a: b\n\n", [(b"a: b", "")]),
    (b"data: 1\ndata: 2\n\n", [(b"1\n2", "")]),
    (b"data: 1\rdata: 2\r\n\r", [(b"1\n2", "")]),
    (b"data\n\n", [(b"", "")]),
    (b"data:\n\n", [(b"", "")]),
    (b"data\ndata\n\n", [(b"\n", "")]),
    (b"\n\n\n", []),
    (b": a comment\n\n", []),
    (b":\n:data: 1\n\n", []),
    (b"data: 1\n: between\ndata: 2\n\n", [(b"1\n2", "")]),
    (b"event: ping\n\n", []),
    (b"event: ping\n\ndata: 1\n\n", [(b"1", "")]),
    (b"event: add\ndata: 1\n\n", [(b"1", "add")]),
    (b"data: 1\nevent: add\n\ndata: 2\n\n", [(b"1", "add"), (b"2", "")]),
    (b"event: a\nevent: b\ndata: 1\n\n", [(b"1", "b")]),
    (b"id: 7\nretry: 500\ndata: 1\n\n", [(b"1", "")]),
    (b"other: x\ndata: 1\n\n", [(b"1", "")]),
    (b"Data: 1\n\n", []),
    (b" data: 1\n\n", []),
    (b"\xef\xbb\xbfdata: 1\n\n", [(b"1", "")]),
    (b"\xef\xbb\xbf: a comment\ndata: 1\n\n", [(b"1", "")]),
    (b"data: \xef\xbb\xbf1\n\n", [(b"\xef\xbb\xbf1", "")]),
    (b"data: \xc2\x85\xe2\x80\xa8\x0b\x0c\n\n", [(b"\xc2\x85\xe2\x80\xa8\x0b\x0c", "")]),
    (b"data: 1", []),
    (b"data: 1\n", []),
]


@pytest.mark.parametrize(("stream", "events"), STANDARD, ids=range(len(STANDARD)))
def test_events_are_those_of_the_standard(stream: bytes, events: list[tuple[bytes, str]]) -> None:
    """Line ends, several data lines, comments, names and the byte order mark; byte by byte it is the same."""
    expected = [ServerSentEvent(data, name) for data, name in events]
    assert EventStreamParser().feed(stream) == expected
    parser = EventStreamParser()
    assert [event for byte in stream for event in parser.feed(bytes([byte]))] == expected


def test_what_a_stream_ends_in_the_middle_of_is_kept_apart() -> None:
    """The standard discards it; the caller sees whether it is whole."""
    for stream in (b"data: 1", b"data: 1\n", b"event: x\ndata: 1"):
        parser = EventStreamParser()
        assert parser.feed(stream) == []
        assert [event.data for event in parser.finish()] == [b"1"]
        assert parser.finish() == []


@given(
    st.lists(st.text(alphabet="ab:{} \n\r", max_size=12).map(str.encode), max_size=8), st.randoms(use_true_random=False)
)
def test_where_bytes_are_cut_makes_no_difference(lines: list[bytes], random: Random) -> None:
    """Any bytes, in any chunks."""
    stream = b"data:".join(lines)
    parser, whole = EventStreamParser(), EventStreamParser()
    cut = [event for chunk in chunks_of(stream, random) for event in parser.feed(chunk)]
    assert (cut, parser.finish()) == (whole.feed(stream), whole.finish())


# --- the replies that events carry


def chunk(delta: Any, finish: str | None = None, index: int = 0) -> Any:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def event(value: Any) -> bytes:
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def read_stream(*parts: Any, api: Any = "chat", technique: Any = "prompted") -> Any:
    """The answer in events, each an object or bytes as they stand; "cut" where the end is missing."""
    reader = StreamReader(API_FORMATS[api].collector(), lambda text: True)
    for part in parts:
        if not reader.add(part if isinstance(part, bytes) else event(part)):
            break
    reader.finish()
    if reader.damage:
        return "malformed"
    if not reader.is_whole:
        return "cut"
    return API_FORMATS[api].read_reply(reader.collector.whole_reply(), request(), ServerCapabilities(technique), {})


FIRST, SECOND, END, DONE = chunk({"content": "4"}), chunk({"content": "2"}), chunk({}, "stop"), b"data: [DONE]\n\n"
CARRIED: dict[str, tuple[tuple[Any, ...], str]] = {
    "usual": ((FIRST, SECOND, END, DONE), "42"),
    "no end but the last event": ((FIRST, SECOND, END), "42"),
    "no finish reason but [DONE]": ((FIRST, SECOND, DONE), "42"),
    "neither": ((FIRST, SECOND), "cut"),
    "nothing after [DONE]": ((FIRST, END, DONE, SECOND), "4"),
    "[DONE] in other spacing": ((FIRST, SECOND, b"data:  [DONE] \n\n", SECOND), "42"),
    "[DONE] without its empty line": ((FIRST, SECOND, b"data: [DONE]"), "42"),
    "an end without its empty line": ((FIRST, SECOND, event(END).rstrip()), "42"),
    "an event that is cut": ((FIRST, END, event(SECOND)[:-9]), "cut"),
    "a damaged event": ((FIRST, event(SECOND).replace(b'"2"', b'"2'), END, DONE), "malformed"),
    "a damaged field": ((FIRST, event(SECOND).replace(b"data", b"dat"), END, DONE), "malformed"),
    "an event of words": ((FIRST, event(b"oops"), SECOND, END, DONE), "malformed"),
    "an event that is no object": ((FIRST, event(b"[2]"), SECOND, END, DONE), "malformed"),
    "an event of no UTF-8": ((FIRST, event(b'{"choices": "\xff"}'), SECOND, END, DONE), "malformed"),
    "an empty event": ((FIRST, b"data:\n\n", SECOND, END, DONE), "42"),
    "a ping": ((FIRST, b"event: ping\ndata: 2026\n\n", SECOND, END, DONE), "42"),
    "a ping as an object": ((FIRST, {"type": "ping"}, SECOND, END, DONE), "42"),
    "an unknown field": ((FIRST, b"trace: 5\n\n", SECOND, END, DONE), "42"),
    "no empty lines": ((b"".join(event(each)[:-1] for each in (FIRST, SECOND, END)) + b"data: [DONE]\n\n",), "42"),
    "choices null": ((FIRST, {"choices": None}, SECOND, {"choices": [], "usage": {}}, END, DONE), "42"),
    "choices of another shape": ((FIRST, {"choices": {"0": 1}}, END, DONE), "malformed"),
    "a delta of another shape": ((FIRST, {"choices": [{"index": 0, "delta": "2"}]}, END, DONE), "malformed"),
}


@pytest.mark.parametrize("case", CARRIED)
def test_a_stream_is_read_whole_or_not_at_all(case: str) -> None:
    """No event that cannot be read is skipped, and nothing counts after the end."""
    parts, expected = CARRIED[case]
    found = read_stream(*parts)
    assert (found.text if isinstance(found, ModelReply) else found) == expected


def test_an_error_in_a_stream_is_the_servers() -> None:
    """In any shape, and under any field, with the server's words and the kind that they say."""
    errors: list[tuple[Any, str]] = [
        ({"error": {"message": "Too busy", "code": 503}}, "overloaded"),
        ({"error": "Too busy"}, "server_error"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Too busy"}}, "overloaded"),
        ({"object": "error", "message": "Too busy", "code": 429}, "rate_limited"),
        ({"detail": "Too busy"}, "server_error"),
        ({"code": "rate_limit_exceeded", "msg": "Too busy"}, "rate_limited"),
        (b'event: error\ndata: {"message": "Too busy"}\n\n', "server_error"),
        (b"event: error\ndata: Too busy\n\n", "server_error"),
        (b'error: {"code": 503, "message": "Too busy"}\n\n', "overloaded"),
        (b'{"error": {"message": "Too busy"}}\n', "server_error"),
    ]
    for sent, kind in errors:
        found = read_stream(FIRST, sent)
        assert (found.kind, "Too busy" in found.message) == (kind, True), sent
    assert read_stream(FIRST, {"type": "error", "message": "Too busy"}, api="responses").kind == "server_error"


def test_a_benign_event_is_no_error() -> None:
    """A code of success, a null error, and an error that says nothing."""
    for sent in ({"code": 0, "msg": "ok"}, {**FIRST, "error": None}, {**FIRST, "error": {"code": 0, "message": ""}}):
        first = () if "choices" in sent else (FIRST,)
        assert read_stream(*first, sent, SECOND, END, DONE).text == "42"
