"""OpenAIModel against a real server on this machine: every fault is one typed answer, and no request is late or sent twice."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

import pytest

from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelAnswer, ModelFailure, ModelReply, Sampling, Usage
from llmguard.models.openai.model import OpenAIModel
from llmguard.runtime.execution import TimeLeft
from tests.support.asking import Ask, ask_async, ask_sync, form, request
from tests.support.fault_server import (
    FaultServer,
    Request,
    Script,
    answer,
    call_of,
    chat,
    drip,
    error,
    hang,
    message,
    raw,
    reset,
    response,
)

pytestmark = pytest.mark.loopback
KEY = "sk-proj-4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c"
LATE_BY_S = 0.25
HTML = b"<!doctype html><html><body>Bad gateway</body></html>"


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    found: Ask = request.param
    return found


def model_at(server: FaultServer, **options: Any) -> OpenAIModel:
    return OpenAIModel("m", **{"base_url": server.base_url, "api_key": KEY, **options})


def asked_once(ask: Ask, script: Script, **options: Any) -> ModelAnswer:
    """The answer to one call, which came of exactly one request."""
    with FaultServer([script]) as server:
        found = ask(model_at(server, **options))
        assert len(server.requests) == 1
    return found


# --- every fault is a typed answer

FAULTS: dict[str, tuple[Script, str, int | None]] = {
    "429": (answer(429, error("slow down", code="rate_limit_exceeded"), retry_after="7"), "rate_limited", 429),
    "429 without quota": (answer(429, error("no quota", code="insufficient_quota")), "auth", 429),
    "500": (answer(500, error("oops", type="server_error")), "server_error", 500),
    "502 of a proxy": (answer(502, HTML, content_type="text/html"), "server_error", 502),
    "503": (answer(503, error("busy")), "overloaded", 503),
    "504": (answer(504, b""), "server_error", 504),
    "529": (answer(529, error("busy", type="overloaded_error")), "overloaded", 529),
    "reset": (reset, "connection", None),
    "closed without a word": (raw(b""), "connection", None),
    "no HTTP": (raw(b"SSH-2.0-OpenSSH_9.7\r\n\r\n"), "connection", None),
    "body cut by the network": (raw(message(200, chat())[:-9]), "connection", None),
    "chunked body cut": (raw(message(200, chat(), chunked=True)[:-9]), "connection", None),
    "HTML": (answer(200, HTML, content_type="text/html"), "malformed", None),
    "no body": (answer(200, b""), "malformed", None),
    "cut JSON": (answer(200, b'{"choices": [{"mess'), "malformed", None),
    "deep JSON": (answer(200, b"[" * 100_000), "malformed", None),
    "no UTF-8": (answer(200, b'{"choices": "\xff"}'), "malformed", None),
    "null": (answer(200, b"null"), "malformed", None),
    "choices null": (answer(200, {**chat(), "choices": None}), "malformed", None),
    "no choices": (answer(200, {"id": "c-1"}), "malformed", None),
    "no choice": (answer(200, {"choices": []}), "malformed", None),
    "choice is a number": (answer(200, {"choices": [1]}), "malformed", None),
    "message null": (answer(200, {"choices": [{"message": None}]}), "malformed", None),
    "content is a number": (answer(200, chat(5)), "malformed", None),
    "unasked brotli": (answer(200, b"\x0b\x02\x80hi\x03", content_encoding="br"), "malformed", None),
    "no gzip at all": (answer(200, b"plainly not", content_encoding="gzip"), "malformed", None),
    "content null": (answer(200, chat(None)), "empty", None),
    "content empty": (answer(200, chat(" \n")), "empty", None),
    "arguments null": (answer(200, call_of(None)), "empty", None),
    "refusal": (answer(200, chat(None, refusal="I cannot help with that.")), "refusal", None),
    "error with 200": (answer(200, error("overloaded", code=503)), "overloaded", None),
    "error in the choice": (answer(200, {"choices": [{"message": {}, "error": {"code": 429}}]}), "rate_limited", None),
    "broken off": (answer(200, chat("{", finish_reason="error")), "server_error", None),
    "401": (answer(401, error(f"Incorrect API key provided: {KEY}", code="invalid_api_key")), "auth", 401),
    "403": (answer(403, error("no access")), "auth", 403),
    "402": (answer(402, error("Insufficient Balance")), "auth", 402),
    "404": (answer(404, error("The model `m` does not exist", code="model_not_found")), "not_found", 404),
    "400 for the model": (answer(400, error("no such model", code="model_not_found")), "not_found", 400),
    "400": (answer(400, error("messages: too few")), "bad_request", 400),
    "418": (answer(418, b"teapot"), "bad_request", 418),
    "400 too long": (answer(400, error("This model's maximum context length is 8 tokens")), "context_length", 400),
    "400 by code": (answer(400, error("no", code="context_length_exceeded")), "context_length", 400),
    "413": (answer(413, error("Request too large", code="rate_limit_exceeded")), "context_length", 413),
    "400 filtered": (answer(400, error("filtered", code="content_filter")), "content_filter", 400),
    "Groq's form failure": (answer(400, error("no JSON", code="json_validate_failed")), "malformed", 400),
    "408": (answer(408, b""), "timeout", 408),
    "409": (answer(409, error("conflict")), "server_error", 409),
    "redirect": (answer(307, b"", location="https://elsewhere.example/v1"), "not_found", 307),
}


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Garbage of other tests is not collected in the depth of a recursion, where its finalizers would fail under a tracer."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_failure_of_its_kind(fault: str, ask: Ask) -> None:
    """Whatever a server does, the call gives a failure of one kind after one request, and raises nothing."""
    script, kind, status = FAULTS[fault]
    found = asked_once(ask, script)
    assert isinstance(found, ModelFailure)
    assert (found.kind, found.status, found.sent, found.downgraded) == (kind, status, True, False)
    assert 0 < len(found.message) <= 300
    assert "\n" not in found.message


def test_a_refused_connection_is_a_failure(ask: Ask, free_port: int) -> None:
    """Where nobody listens, the kind is `connection`."""
    found = ask(OpenAIModel("m", base_url=f"http://127.0.0.1:{free_port}/v1", api_key=KEY))
    assert isinstance(found, ModelFailure)
    assert found.kind == "connection"


@pytest.mark.parametrize("key", [KEY, "gate-way-token-of-no-known-shape"])
def test_an_echoed_key_does_not_leak(ask: Ask, key: str) -> None:
    """A 401 that echoes the key leaves it neither in the message nor in the evidence, whatever shape it has."""
    found = asked_once(ask, answer(401, error(f"Incorrect API key provided: {key}.")), api_key=key)
    assert isinstance(found, ModelFailure)
    assert found.message.startswith("HTTP 401: Incorrect API key provided: [redacted")
    assert (key in repr(found), key.encode() in found.raw) == (False, False)


def test_a_key_in_a_reply_does_not_leak(ask: Ask) -> None:
    """With status 200 it leaks no more: neither from an error nor from a text."""
    key = "gate-way-token-of-no-known-shape"
    for body in (error(f"Incorrect API key provided: {key}."), chat(f"The key is {key}.")):
        found = asked_once(ask, answer(200, body), api_key=key)
        assert (key in repr(found), key.encode() in found.raw) == (False, False)


def test_a_refusal_keeps_its_words_and_its_tokens(ask: Ask) -> None:
    """What the model said to refuse is the message, and its tokens are counted."""
    found = asked_once(ask, answer(200, chat(None, refusal="I cannot help with that.")))
    assert found == ModelFailure("refusal", "I cannot help with that.", usage=Usage(input_tokens=11, output_tokens=7))


def test_the_wait_that_the_server_asks_for_is_kept(ask: Ask) -> None:
    """Retry-After stands in the failure, in seconds."""
    found = asked_once(ask, answer(429, error("slow down"), retry_after="7"))
    assert isinstance(found, ModelFailure)
    assert found.retry_after_s == 7.0


# --- replies


def test_a_reply_has_text_tokens_and_evidence(ask: Ask) -> None:
    """A reply is the content, with the provider's own count, the name of the model that answered, and the body's bytes."""
    body = json.dumps(chat('{"x": 1}'), indent=1).encode()
    found = asked_once(ask, answer(200, body))
    assert found == ModelReply('{"x": 1}', model="served", usage=Usage(input_tokens=11, output_tokens=7))
    assert found.raw == body


@pytest.mark.parametrize("finish_reason", ["length", "content_filter"])
def test_a_cut_reply_says_so(ask: Ask, finish_reason: str) -> None:
    """A reply that ended early is no failure here: its text and the reason are handed on, also where it is empty."""
    for content in ('{"x": ', None):
        found = asked_once(ask, answer(200, chat(content, finish_reason=finish_reason)))
        assert isinstance(found, ModelReply)
        assert (found.text, found.finish_reason) == (content or "", finish_reason)


def test_hostile_text_arrives_as_it_is(ask: Ask) -> None:
    """NUL, a lone surrogate and eight megabytes are text like any other; what a model is asked may hold them too."""
    for text in ("\x00\ud800", "x" * 8_000_000):
        with FaultServer([answer(200, chat(text))]) as server:
            found = ask(model_at(server), request(text, form()))
            assert server.requests[0].body["messages"][1]["content"] == text
        assert isinstance(found, ModelReply)
        assert found.text == text


def test_uncounted_tokens_are_estimated(ask: Ask) -> None:
    """Where a server counts nothing, or nonsense, the usage is estimated and says so."""
    for usage in (None, {}, {"prompt_tokens": "many", "completion_tokens": -1}, {"prompt_tokens": 10**30}, [1]):
        found = asked_once(ask, answer(200, {**chat("word " * 100), "usage": usage}))
        assert found.usage.estimated
        assert 90 <= found.usage.output_tokens <= 110
        assert 5 <= found.usage.input_tokens <= 40


def test_a_compressed_reply_is_read(ask: Ask) -> None:
    """gzip and deflate are read though they were not asked for."""
    text = json.dumps(chat()).encode()
    for encoding, packed in (("gzip", gzip.compress(text)), ("deflate", zlib.compress(text))):
        with FaultServer([answer(200, packed, content_encoding=encoding)]) as server:
            found = ask(model_at(server))
            assert server.requests[0].headers["accept-encoding"] == "identity"
        assert isinstance(found, ModelReply)
        assert found.raw == text


# --- limits


def test_a_reply_over_the_limit_is_malformed(ask: Ask) -> None:
    """Of a body over the limit the first 64 KB are kept, and the message says how much was read and its digest."""
    found = asked_once(ask, answer(200, b"x" * 300_000), max_reply_bytes=100_000)
    assert isinstance(found, ModelFailure)
    assert found.kind == "malformed"
    assert found.message.startswith("too_large: the body is over 100000 bytes; kept are the first 65536 of the ")
    assert found.raw == b"x" * 65_536


@cache
def bomb(encoding: str) -> bytes:
    """200 MB of zeros in 200 KB."""
    return gzip.compress(bytes(200_000_000), 9) if encoding == "gzip" else zlib.compress(bytes(200_000_000), 9)


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_does_not_explode(ask: Ask, encoding: str, status: int) -> None:
    """200 KB that inflate to 200 MB take a few times the limit of memory, as a reply and as an error."""
    with FaultServer([answer(200, chat()), answer(status, bomb(encoding), content_encoding=encoding)]) as server:
        model = model_at(server, max_reply_bytes=1_000_000)
        ask(model)
        tracemalloc.start()
        found = ask(model)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert isinstance(found, ModelFailure)
    assert found.kind == ("malformed" if status == 200 else "server_error")
    assert peak < 8_000_000


def test_an_early_answer_is_read() -> None:
    """A server may refuse a large request by its head, and close before it has read the body: its words are heard.
    On an event loop they are lost, for asyncio drops a connection that it could not write to."""
    refusal = message(413, error("the body is over 1 MB"))

    def refuse(connection: socket.socket) -> None:
        with connection:
            connection.recv(1_000)
            connection.sendall(refusal)
            connection.shutdown(socket.SHUT_WR)
            time.sleep(0.1)  # until the client has read it; closed at once, the connection would be reset

    with FaultServer([answer(200, chat())]) as server:
        server._serve = refuse  # type: ignore[method-assign]
        found = ask_sync(model_at(server), request("x" * 20_000_000))
        lost = ask_async(model_at(server), request("x" * 20_000_000))
    assert isinstance(found, ModelFailure)
    assert (found.kind, found.message) == ("context_length", "HTTP 413: the body is over 1 MB")
    assert isinstance(lost, ModelFailure)
    assert lost.kind in ("connection", "context_length")


def test_a_claimed_length_reserves_nothing(ask: Ask) -> None:
    """Three claimed gigabytes of which little comes end with the time, not with the memory."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 3000000000\r\n\r\n{"
    found = asked_once(ask, drip(head + b" " * 99, after=len(head)), timeout_s=0.3)
    assert isinstance(found, ModelFailure)
    assert found.kind == "timeout"


# --- time

WHOLE = message(200, chat())
SLOW: dict[str, Script] = {
    "hangs": hang,
    "drips its headers": drip(WHOLE),
    "drips its body": drip(WHOLE, after=WHOLE.index(b"\r\n\r\n") + 4),
    "drips interim responses": drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 9),
}


@pytest.mark.parametrize("way", SLOW)
def test_a_slow_server_is_left_in_time(way: str, ask: Ask) -> None:
    """Whether it hangs or sends a byte now and then, the call ends by its own limit, or the deadline if that is nearer."""
    import_module("llmguard.models.openai.sdk_transport")  # takes half a second
    for timeout_s, deadline_s, kind in ((0.2, 9.0, "timeout"), (9.0, 0.2, "deadline")):
        with FaultServer([SLOW[way]]) as server:
            began = time.monotonic()
            found = ask(model_at(server, timeout_s=timeout_s), deadline_s=deadline_s)
            took = time.monotonic() - began
        assert isinstance(found, ModelFailure)
        assert found.kind == kind
        assert 0.19 <= took <= 0.2 + LATE_BY_S


def test_a_server_that_reads_slowly_is_left_in_time(ask: Ask) -> None:
    """A request of many megabytes, of which the server takes one now and then, ends by its limit."""
    import_module("llmguard.models.openai.sdk_transport")  # takes half a second
    stop = threading.Event()

    def sip(connection: socket.socket) -> None:
        with connection:
            while not stop.wait(0.1):
                taken = 0
                while taken < 1_000_000:
                    if not (chunk := connection.recv(65_536)):
                        return
                    taken += len(chunk)

    with FaultServer([answer(200, chat())]) as server:
        server._serve = sip  # type: ignore[method-assign]
        asked = request("x" * 40_000_000)
        began = time.monotonic()
        found = ask(model_at(server, timeout_s=0.5), asked)
        took = time.monotonic() - began
        stop.set()
    assert isinstance(found, ModelFailure)
    assert found.kind == "timeout"
    assert took <= 0.5 + LATE_BY_S + 0.25  # to encode 40 MB is not to wait


def test_no_request_is_sent_after_the_deadline(ask: Ask) -> None:
    """A call that comes too late sends nothing and says so."""
    with FaultServer([answer(200, chat())]) as server:
        found = ask(model_at(server), deadline_s=-1.0)
        assert server.requests == []
    assert found == ModelFailure("deadline", "no time was left to send the request", sent=False)


# --- what is sent


def test_nothing_is_added_to_a_request(ask: Ask) -> None:
    """Only what the request says is sent, and that no stream is wanted, since some servers stream unless they are told (principle
    22): the model's defaults are the guard's to put in, and extra_body is the user's."""
    with FaultServer([answer(200, chat())]) as server:
        model = model_at(server, temperature=0.5, headers={"X-Team": "blue"}, extra_body={"reasoning_effort": "low"})
        assert model.defaults == Sampling(temperature=0.5)
        ask(model, request("How many?", seed=3, max_tokens=5, stop=("\n",)))
        (sent,) = server.requests
    assert sent.target == "/v1/chat/completions"
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.headers["x-team"] == "blue"
    assert sent.body == {
        "model": "m",
        "messages": [{"role": "system", "content": "You count."}, {"role": "user", "content": "How many?"}],
        "seed": 3,
        "max_tokens": 5,
        "stop": ["\n"],
        "stream": False,
        "reasoning_effort": "low",
    }


def test_the_responses_api_is_asked_and_read(ask: Ask) -> None:
    """With api="responses" the same request and the same reply go by the other API."""
    with FaultServer([answer(200, response('{"x": 1}'))]) as server:
        found = ask(model_at(server, api="responses"), request(output=form(), max_tokens=50))
        (sent,) = server.requests
    assert sent.target == "/v1/responses"
    assert (sent.body["text"]["format"]["strict"], sent.body["max_output_tokens"]) == (True, 50)
    assert found == ModelReply('{"x": 1}', model="served", usage=Usage(input_tokens=11, output_tokens=7))


def test_a_value_that_is_no_object_is_wrapped_on_its_way(ask: Ask) -> None:
    """For an integer the server is asked for {"value": …}, and the reply's text is the integer as the model wrote it."""
    with FaultServer([answer(200, chat('{"value": 12345678901234567890123}'))]) as server:
        found = ask(model_at(server), request(output=form({"type": "integer"})))
        (sent,) = server.requests
    assert sent.body["response_format"]["json_schema"]["schema"]["properties"] == {"value": {"type": "integer"}}
    assert found.text == "12345678901234567890123"


def test_output_forms_are_kept_in_bounds(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many schemas a model is asked for, each is sent as it is, and few are kept."""
    monkeypatch.setattr("llmguard.models.openai.model._CACHED_SCHEMAS", 2)
    with FaultServer([answer(200, chat())]) as server:
        model = model_at(server)
        for name in ("a", "b", "c", "a"):
            ask(model, request(output=form(name=name)))
        sent = [each.body["response_format"]["json_schema"]["name"] for each in server.requests]
    assert (sent, len(model._schemas)) == (["a", "b", "c", "a"], 2)


def test_the_http_client_below_serves_other_requests_too() -> None:
    """What the SDK may send beside our requests goes as httpx sends it."""
    transport = import_module("llmguard.models.transport.clients")
    with FaultServer([answer(200, {"data": []})]) as server:
        client = transport.BoundedClient(server.base_url, 1_000)
        assert client.get(f"{server.base_url}/models", params={"limit": 2}, timeout=5).json() == {"data": []}
        assert server.requests[0].target == "/v1/models?limit=2"


def test_connections_are_kept_and_used_again() -> None:
    """A second request goes over the connection of the first."""
    ports = []

    def answering(connection: Any, request: Any) -> None:
        ports.append(connection.getpeername()[1])
        answer(200, chat())(connection, request)

    with FaultServer([answering]) as server:
        model = model_at(server)
        assert [ask_sync(model).text for _ in range(3)] == ['{"x": 1}'] * 3
    assert len(set(ports)) == 1


# --- what a server does not understand

NO_SCHEMA = error("'response_format' of type 'json_schema' is not supported with this model", param="response_format")
NO_TOOLS = error("registry.example/m does not support tools")
NO_OBJECT = error("Extra inputs are not permitted: response_format")


def test_the_technique_gets_simpler_until_the_server_takes_it(ask: Ask) -> None:
    """Each refusal is one failure that asks for another try; the last way is words alone, and it is remembered."""
    refusals = [answer(400, NO_SCHEMA), answer(400, NO_TOOLS), answer(422, NO_OBJECT)]
    with FaultServer([*refusals, answer(200, chat())]) as server:
        model = model_at(server)
        found = [ask(model) for _ in range(5)]
        bodies = [sent.body for sent in server.requests]
    assert [(each.kind, each.downgraded, each.retryable) for each in found[:3]] == [("bad_request", True, True)] * 3
    assert [each.text for each in found[3:]] == ['{"x": 1}'] * 2
    assert [sorted(set(body) - {"model", "messages", "stream"}) for body in bodies] == [
        ["response_format"],
        ["tool_choice", "tools"],
        ["response_format"],
        [],
        [],
    ]
    said = [body["messages"][-1]["content"] for body in bodies]
    assert said == ["How many?"] * 2 + ["How many?\n\nAnswer with JSON."] * 3


def test_a_grammar_that_a_server_fails_on_is_a_refusal(ask: Ask) -> None:
    """llama.cpp says 500 where it cannot make a grammar of the schema: that is no reason to ask the same again."""
    found = asked_once(ask, answer(500, error("failed to parse grammar", type="server_error", code=500)))
    assert (found.kind, found.downgraded) == ("bad_request", True)


def test_only_what_was_wrapped_is_unwrapped(ask: Ask) -> None:
    """Asked by words alone, a model that writes {"value": 1} for an integer has not written an integer."""
    for output, text in (("json_object", "1"), ("prompted", '{"value": 1}')):
        with FaultServer([answer(200, chat('{"value": 1}'))]) as server:
            assert ask(model_at(server, output=output), request(output=form({"type": "integer"}))).text == text


def test_a_tool_call_is_read_as_the_reply(ask: Ask) -> None:
    """Asked by a tool, the arguments of the call are the text."""
    with FaultServer([answer(400, NO_SCHEMA), answer(200, call_of('{"x": 2}'))]) as server:
        model = model_at(server)
        ask(model)
        assert ask(model).text == '{"x": 2}'


@pytest.mark.parametrize("output", ["json_schema", "tool", "json_object", "prompted"])
def test_a_chosen_technique_stays(ask: Ask, output: Any) -> None:
    """Who names a technique gets it: its refusal is a bad request, and no other is tried."""
    with FaultServer([answer(400, NO_SCHEMA)]) as server:
        model = model_at(server, output=output)
        found = [ask(model) for _ in range(2)]
        assert server.requests[0].body == server.requests[1].body
    assert [(each.kind, each.downgraded) for each in found] == [("bad_request", False)] * 2


def test_what_is_refused_for_another_reason_is_not_downgraded(ask: Ask) -> None:
    """A wrong key, a busy server and a text that is too long say nothing about the technique, even if they name it."""
    for status, text in (
        (502, NO_SCHEMA),
        (401, NO_SCHEMA),
        (429, NO_SCHEMA),
        (503, NO_SCHEMA),
        (400, error("response_format: too many tokens")),
    ):
        found = asked_once(ask, answer(status, text))
        assert not found.downgraded


def test_unsupported_sampling_is_left_out(ask: Ask) -> None:
    """A parameter that the model refuses is not sent again; max_tokens is tried under its other name first."""
    said = [
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported.",
        "Unknown parameter: 'max_completion_tokens'.",
    ]
    with FaultServer([*(answer(400, error(text)) for text in said), answer(200, chat())]) as server:
        model = model_at(server)
        asked = request(max_tokens=9, temperature=0.2, seed=1)
        found = [ask(model, asked) for _ in range(4)]
        sent = [{name for name in each.body if name not in ("model", "messages", "stream")} for each in server.requests]
    assert [isinstance(each, ModelFailure) and each.downgraded for each in found] == [True, True, True, False]
    assert sent == [
        {"max_tokens", "temperature", "seed"},
        {"max_completion_tokens", "temperature", "seed"},
        {"max_completion_tokens", "seed"},
        {"seed"},
    ]


def test_a_wrong_value_is_not_left_out_silently(ask: Ask) -> None:
    """A temperature of -1 is the user's mistake: it is refused as often as it is asked."""
    refusal = error("Invalid 'temperature': decimal below minimum value. Expected a value >= 0, but got -1 instead.")
    with FaultServer([answer(400, refusal)]) as server:
        model = model_at(server)
        found = [ask(model, request(temperature=-1.0)) for _ in range(2)]
        assert [each.body["temperature"] for each in server.requests] == [-1.0, -1.0]
    assert [(each.kind, each.downgraded) for each in found] == [("bad_request", False)] * 2


def test_a_late_refusal_takes_nothing_back() -> None:
    """A thread that learns late what others learned long ago is told to try again, the simple way they found."""
    slow = threading.Event()

    def refuse_late(connection: socket.socket, request: Request) -> None:
        slow.wait(5)
        answer(400, NO_SCHEMA)(connection, request)

    refusals = [answer(400, NO_SCHEMA), answer(400, NO_TOOLS), answer(422, NO_OBJECT)]
    with FaultServer([refuse_late, *refusals, answer(200, chat())]) as server:
        model = model_at(server)
        late: list[ModelAnswer] = []
        thread = threading.Thread(target=lambda: late.append(ask_sync(model)))
        thread.start()
        while not server.requests:
            time.sleep(0.01)
        assert [ask_sync(model).kind for _ in range(3)] == ["bad_request"] * 3
        slow.set()
        thread.join()
        assert late[0].downgraded
        ask_sync(model)
        assert sorted(server.requests[-1].body) == ["messages", "model", "stream"]


# --- processes and loops


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_gets_its_own_replies() -> None:
    """Children of a process whose connections are open and in use read their own replies over connections of their own."""
    echo = answer(200, lambda request: chat(request.body["messages"][1]["content"]))
    with FaultServer([echo]) as server:
        model = model_at(server)
        assert ask_sync(model, request("parent")).text == "parent"
        children = [_child(model, number) for number in range(6)]
        for number in range(20):
            assert ask_sync(model, request(f"parent {number}")).text == f"parent {number}"
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 6


def _child(model: OpenAIModel, number: int) -> int:
    child = os.fork()
    if child:
        return child
    try:
        texts = [f"child {number} {turn}" for turn in range(20)]
        right = [ask_sync(model, request(text)).text for text in texts] == texts
        os._exit(0 if right and ask_async(model, request("loop")).text == "loop" else 1)
    finally:
        os._exit(2)


def test_many_tasks_of_one_loop_share_a_client() -> None:
    """Forty requests at once on one loop each get their own reply."""
    echo = answer(200, lambda request: chat(request.body["messages"][1]["content"]))

    async def ask_all(model: OpenAIModel) -> list[str]:
        ends = TimeLeft(time.monotonic() + 10)
        found = await asyncio.gather(*(model.acall(request(str(number)), ends) for number in range(40)))
        return [each.text for each in found if isinstance(each, ModelReply)]

    with FaultServer([echo]) as server:
        model = model_at(server)
        for _ in range(2):
            assert asyncio.run(ask_all(model)) == [str(number) for number in range(40)]


def test_a_cancelled_request_is_not_waited_for() -> None:
    """A task that is cancelled in mid-request ends at once, and the model serves the next one."""

    async def cancel(model: OpenAIModel) -> ModelAnswer:
        ends = TimeLeft(time.monotonic() + 10)
        task = asyncio.ensure_future(model.acall(request(), ends))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await model.acall(request(), ends)

    with FaultServer([answer(200, chat()), hang, answer(200, chat())]) as server:
        model = model_at(server)
        ask_async(model)
        assert asyncio.run(cancel(model)).text == '{"x": 1}'


def test_clients_close_with_their_owners() -> None:
    """Interpreter, model and loop leave no connection open behind them, of which Python would warn."""
    script = (
        "import logging, sys\n"
        "logging.disable()  # of asyncio's remarks on what was slow\n"
        "from tests.support.asking import ask_async, ask_sync\n"
        "from llmguard.models.openai.model import OpenAIModel\n"
        "model = OpenAIModel('m', base_url=sys.argv[1])\n"
        "print(ask_sync(model).text, ask_async(model).text, ask_async(model).text)\n"
    )
    with FaultServer([answer(200, chat("1"))]) as server:
        command = [sys.executable, "-W", "error", "-c", script, server.base_url]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=os.getcwd(), timeout=60)
    assert (ended.stdout, ended.stderr) == ("1 1 1\n", "")


# --- addresses


def test_the_proxy_of_the_environment_is_used(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request goes through HTTP_PROXY, unless NO_PROXY names the server."""
    with FaultServer([answer(200, chat())]) as proxy, FaultServer([answer(200, chat())]) as server:
        monkeypatch.setenv("http_proxy", f"http://ada:love%20lace@127.0.0.1:{proxy.port}")
        assert isinstance(ask(model_at(server)), ModelReply)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert isinstance(ask(model_at(server)), ModelReply)
        assert [each.target for each in proxy.requests] == [f"{server.base_url}/chat/completions"]
        assert proxy.requests[0].headers["proxy-authorization"] == "Basic YWRhOmxvdmUgbGFjZQ=="
        assert [each.target for each in server.requests] == ["/v1/chat/completions"]


def test_a_socks_proxy_is_refused_with_the_mend(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is not spoken to is named, and so is what to do."""
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(UsageError, match=r"socks5 proxy .*NO_PROXY, or pass client="):
        ask(OpenAIModel("m", base_url="http://127.0.0.1:1/v1"))


@pytest.mark.skipif(not hasattr(select, "poll"), reason="needs poll")
def test_a_proxy_tunnels_what_is_encrypted(
    ask: Ask, certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTPS_PROXY is asked to connect, the rest goes through it encrypted, and the deadline holds there too."""
    monkeypatch.setenv("SSL_CERT_FILE", certificate[0])
    with FaultServer([tunnel]) as proxy, FaultServer([answer(200, chat()), drip(WHOLE)]) as server:
        encrypt(server, certificate)
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        model = model_at(server, base_url=f"https://127.0.0.1:{server.port}/v1", timeout_s=5.0)
        assert isinstance(ask_sync(model), ModelReply)
        began = time.monotonic()
        assert ask(model, deadline_s=0.3).kind == "deadline"
        assert time.monotonic() - began <= 0.3 + LATE_BY_S
        assert {each.target for each in proxy.requests} == {f"127.0.0.1:{server.port}"}


def tunnel(connection: socket.socket, request: Request) -> None:
    """Hands bytes to and fro until one side has enough."""
    host, _, port = request.target.partition(":")
    with socket.create_connection((host, int(port))) as far:
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        other = {connection: far, far: connection}
        while True:
            for side in select.select(list(other), [], [])[0]:
                if not (chunk := side.recv(65_536)):
                    return
                other[side].sendall(chunk)


def test_every_address_of_a_name_is_tried(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name may have an address where nobody listens, as `localhost` has ::1: the next one is tried."""

    resolve = socket.getaddrinfo

    def two_addresses(host: Any, port: int, *arguments: Any, **options: Any) -> Any:
        if host not in ("two.example", b"two.example"):
            return resolve(host, port, *arguments, **options)
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

    with FaultServer([answer(200, chat())]) as server:
        monkeypatch.setattr(socket, "getaddrinfo", two_addresses)
        found = ask(model_at(server, base_url=f"http://two.example:{server.port}/v1"))
    assert isinstance(found, ModelReply)


def test_a_name_without_an_address_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a name cannot be resolved, the kind is `connection` and the message names it."""

    def unknown(*arguments: Any, **options: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    found = ask_sync(OpenAIModel("m", base_url="http://nowhere.example/v1", api_key=KEY))
    assert isinstance(found, ModelFailure)
    assert found.kind == "connection"
    assert "nowhere.example" in found.message


def test_key_and_address_come_from_the_environment(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """OPENAI_API_KEY and OPENAI_BASE_URL are read when the first request is sent."""
    with FaultServer([answer(200, chat())]) as server:
        model = OpenAIModel("m")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        model.prepare()
        assert isinstance(ask(model), ModelReply)
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_server_on_this_machine_needs_no_key() -> None:
    """For 127.0.0.1 and localhost a missing key is none."""
    with FaultServer([answer(200, chat())]) as server:
        model = OpenAIModel("m", base_url=server.base_url)
        model.prepare()
        assert isinstance(ask_sync(model), ModelReply)
        assert server.requests[0].headers["authorization"] == "Bearer none"


# --- over TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for 127.0.0.1 and its key, made by openssl for this run."""
    folder = tmp_path_factory.mktemp("tls")
    paths = str(folder / "cert.pem"), str(folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run([*command, "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no certificate can be made here: {error}")
    return paths


def encrypt(server: FaultServer, certificate: tuple[str, str]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    serve = server._serve

    def encrypted(connection: socket.socket) -> None:
        serve(context.wrap_socket(connection, server_side=True))

    server._serve = encrypted  # type: ignore[method-assign]


@pytest.mark.parametrize("slow", [False, True])
def test_a_deadline_holds_over_tls(
    ask: Ask, certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    """Encrypted, a reply is read and a dripping one is left in time."""
    monkeypatch.setenv("SSL_CERT_FILE", certificate[0])
    with FaultServer([answer(200, chat()), drip(WHOLE) if slow else answer(200, chat())]) as server:
        encrypt(server, certificate)
        model = model_at(server, base_url=f"https://127.0.0.1:{server.port}/v1", timeout_s=5.0)
        assert isinstance(ask(model), ModelReply)
        began = time.monotonic()
        found = ask(model, deadline_s=0.4)
        assert time.monotonic() - began <= 0.4 + LATE_BY_S
    assert isinstance(found, ModelFailure) == slow
    if slow:
        assert found.kind == "deadline"


def test_a_handshake_that_hangs_is_left_in_time(ask: Ask) -> None:
    """A server that never answers the TLS handshake is left at the deadline."""
    with FaultServer([hang]) as server:
        model = model_at(server, base_url=f"https://127.0.0.1:{server.port}/v1")
        model.call(request(), TimeLeft(time.monotonic() + 0.01))
        began = time.monotonic()
        found = ask(model, deadline_s=0.4)
        assert time.monotonic() - began <= 0.4 + LATE_BY_S
    assert found.kind == "deadline"


# --- mistakes are named when the model is made, or when a guard prepares it


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": ""}, "model name ''"),
        ({"model": " gpt-5"}, "without spaces around it"),
        ({"model": "gpt\n5"}, "model name"),
        ({"api": "completions"}, "api='completions' of OpenAIModel: expected one of 'chat', 'responses'"),
        ({"output": "xml"}, "output='xml' of OpenAIModel: expected one of 'auto', 'json_schema'"),
        ({"timeout_s": 0}, "timeout_s=0 of OpenAIModel"),
        ({"timeout_s": float("inf")}, "timeout_s=inf of OpenAIModel"),
        ({"timeout_s": "5"}, "timeout_s='5' of OpenAIModel"),
        ({"max_reply_bytes": 0}, "max_reply_bytes=0 of OpenAIModel"),
        ({"client": 5}, "client= of OpenAIModel is a int"),
        ({"client": dict, "api_key": KEY}, "was given a client and api_key="),
    ],
)
def test_a_mistake_is_named_when_the_model_is_made(options: dict[str, Any], said: str) -> None:
    """The message names what was found and what was expected."""
    with pytest.raises(UsageError) as caught:
        OpenAIModel(**{"model": "m", **options})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "the variable OPENAI_API_KEY is not set"),
        ({"base_url": "https://llm.example/v1"}, "the variable OPENAI_API_KEY is not set"),
        ({"api_key": f"{KEY}\n"}, "holds a space, a line break"),
        ({"base_url": "llm.example/v1", "api_key": KEY}, "base_url of model 'm' is 'llm.example/v1'"),
        ({"base_url": "http://", "api_key": KEY}, "expected http:// or https:// with a host"),
        ({"base_url": "http://[::1", "api_key": KEY}, "expected http:// or https:// with a host"),
        ({"base_url": "https://ada:lovelace@llm.example", "api_key": KEY}, "without a password"),
    ],
)
def test_a_missing_key_is_named_when_a_guard_prepares_the_model(options: dict[str, Any], said: str) -> None:
    """The variable is named, and neither a key nor a password is shown."""
    with pytest.raises(UsageError) as caught:
        OpenAIModel("m", **options).prepare()
    assert said in str(caught.value)
    assert KEY not in str(caught.value)
    assert "lovelace" not in str(caught.value)


def test_making_a_model_loads_no_sdk() -> None:
    """Import, construction and preparation leave the SDK and HTTP unloaded."""
    script = (
        "import sys; from llmguard.models.openai.model import OpenAIModel\n"
        "OpenAIModel('m', api_key='k-123').prepare()\n"
        "print({'openai', 'httpx', 'httpx2', 'pydantic'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=os.getcwd(), check=True)
    assert ended.stdout == "set()\n"


def test_another_port_of_this_machine_is_the_same_model() -> None:
    """A local server gets a new port at each start; the guard is the same. Another host is another model."""
    urls = ("http://localhost:8000/v1", "http://localhost:9000/v1", "http://[::1]:7/v1", "https://example.com:8000/v1")
    named = [OpenAIModel("m", api_key=KEY, base_url=url).settings["base_url"] for url in urls]
    assert named == ["http://localhost/v1", "http://localhost/v1", "http://[::1]/v1", "https://example.com:8000/v1"]


def test_a_model_shows_what_it_is_without_its_key() -> None:
    """Its repr tells one model from another, and its settings are JSON for a fingerprint."""
    model = OpenAIModel("m", api_key=KEY, output="tool", base_url="http://127.0.0.1:1/v1", seed=3)
    assert repr(model) == "OpenAIModel('m', output='tool', base_url='http://127.0.0.1:1/v1')"
    assert model.settings == {"api": "chat", "output": "tool", "base_url": "http://127.0.0.1/v1", "extra_body": {}}
    assert (model.name, model.runs_on) == ("m", "inline")
