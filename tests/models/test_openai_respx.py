"""OpenAIModel over clients that the user passed in: seen from the client's side by respx, and from a real server."""

from __future__ import annotations

import asyncio
import gzip
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
import respx

from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelAnswer, ModelFailure, ModelReply, Usage
from llmguard.models.openai.model import OpenAIModel
from llmguard.runtime.execution import TimeLeft
from tests.support.asking import ask_async, ask_sync, form, request
from tests.support.fault_server import FaultServer, answer, call_of, chat, drip, error, hang, message, response

BASE = "https://llm.example/v1"
KEY = "sk-proj-4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c"
HTML = "<html>Bad gateway</html>"
Sides = tuple[str, Callable[..., ModelAnswer]]


def client(**options: Any) -> openai.OpenAI:
    """With httpx below it, whatever the SDK speaks through: that is what respx sees. The SDK's own retries stay on."""
    return openai.OpenAI(**{"api_key": KEY, "base_url": BASE, "http_client": httpx.Client(), **options})


def async_client(**options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(**{"api_key": KEY, "base_url": BASE, "http_client": httpx.AsyncClient(), **options})


@pytest.fixture(params=["sync", "async"])
def side(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def asked(side: str, *, asking: Any = None, deadline_s: float = 10.0, model: Any = None, **options: Any) -> ModelAnswer:
    """The answer to one call, through a client made for it and closed after it."""
    return timed(side, asking=asking, deadline_s=deadline_s, model=model, **options)[0]


def timed(
    side: str, *, asking: Any = None, deadline_s: float = 10.0, model: Any = None, **options: Any
) -> tuple[ModelAnswer, float]:
    """The same, with the seconds that the call took."""
    if side == "sync":
        with client(**options) as own:
            began = time.monotonic()
            found = ask_sync(OpenAIModel("m", client=own, **(model or {})), asking, deadline_s)
            return found, time.monotonic() - began

    async def ask() -> tuple[ModelAnswer, float]:
        async with async_client(**options) as own:
            given, began = OpenAIModel("m", async_client=own, **(model or {})), time.monotonic()
            found = await given.acall(asking or request(output=form()), TimeLeft(began + deadline_s))
            return found, time.monotonic() - began

    return asyncio.run(ask())


@pytest.fixture
def server() -> Iterator[respx.MockRouter]:
    with respx.mock(base_url=BASE, assert_all_called=False) as router:
        yield router


FAULTS: dict[str, tuple[Any, str, int | None]] = {
    "429": (httpx.Response(429, json=error("slow down"), headers={"retry-after": "7"}), "rate_limited", 429),
    "500": (httpx.Response(500, json=error("oops")), "server_error", 500),
    "reset": (httpx.ReadError("Connection reset by peer"), "connection", None),
    "refused": (httpx.ConnectError("Connection refused"), "connection", None),
    "slow": (httpx.ReadTimeout("The read operation timed out"), "timeout", None),
    "HTML": (httpx.Response(200, html=HTML), "malformed", None),
    "choices null": (httpx.Response(200, json={**chat(), "choices": None}), "malformed", None),
    "arguments null": (httpx.Response(200, json=call_of(None)), "empty", None),
    "no body": (httpx.Response(200), "malformed", None),
    "refusal": (httpx.Response(200, json=chat(None, refusal="No.")), "refusal", None),
    "401": (httpx.Response(401, json=error(f"Incorrect API key provided: {KEY}")), "auth", 401),
    "redirect": (httpx.Response(302, headers={"location": "https://elsewhere.example/"}), "not_found", 302),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_failure_after_one_request(fault: str, side: str, server: respx.MockRouter) -> None:
    """Over a client of the user's, too, each fault is one failure, without the SDK's retries and without the key."""
    said, kind, status = FAULTS[fault]
    route = server.post("/chat/completions").mock(
        **({"side_effect": said} if isinstance(said, Exception) else {"return_value": said})
    )
    found = asked(side)
    assert isinstance(found, ModelFailure)
    assert (found.kind, found.status, route.call_count) == (kind, status, 1)
    assert (KEY in repr(found), KEY.encode() in found.raw) == (False, False)


def test_a_reply_is_read(side: str, server: respx.MockRouter) -> None:
    """Text, usage and evidence are those of the body; a cut reply says that it is cut."""
    body = chat('{"x": 1}', finish_reason="length")
    server.post("/chat/completions").respond(json=body)
    found = asked(side)
    usage = Usage(input_tokens=11, output_tokens=7)
    assert found == ModelReply('{"x": 1}', finish_reason="length", model="served", usage=usage)
    assert found.raw.startswith(b'{"id":')


def test_the_client_signs_the_request_its_own_way(side: str, server: respx.MockRouter) -> None:
    """Key, headers and query of the client are what is sent; compression is not asked for."""
    route = server.post("/chat/completions").respond(json=chat())
    asked(side, default_headers={"X-Team": "blue"}, default_query={"tier": "2"})
    sent = route.calls[0].request
    assert (sent.headers["authorization"], sent.headers["x-team"]) == (f"Bearer {KEY}", "blue")
    assert (sent.url.query, sent.headers["accept-encoding"]) == (b"tier=2", "identity")


def test_azure_finds_its_deployment(server: respx.MockRouter) -> None:
    """AzureOpenAI puts the model into the path, and its models are asked as OpenAI's are."""
    with respx.mock(base_url="https://blue.openai.azure.com") as azure:
        route = azure.post("/openai/deployments/m/chat/completions").respond(json=chat())
        with openai.AzureOpenAI(
            azure_endpoint="https://blue.openai.azure.com",
            api_key=KEY,
            api_version="2025-04-01",
            http_client=httpx.Client(),
        ) as own:
            found = ask_sync(OpenAIModel("m", client=own), request(max_tokens=9))
        assert route.calls[0].request.headers["api-key"] == KEY
        assert b'"max_completion_tokens":9' in route.calls[0].request.content.replace(b": ", b":")
    assert found.text == '{"x": 1}'


def test_the_responses_api_goes_over_a_given_client(side: str, server: respx.MockRouter) -> None:
    """api="responses" sends to its own path."""
    server.post("/responses").respond(json=response('{"x": 1}'))
    assert asked(side, model={"api": "responses"}).text == '{"x": 1}'


def test_a_response_that_was_read_already_is_taken(side: str) -> None:
    """A transport of the user's (a cache, a test) may hand over a response that is no stream any more."""

    def serve(sent: httpx.Request) -> httpx.Response:
        found = httpx.Response(200, content=gzip.compress(b'{"choices": null}'), headers={"content-encoding": "gzip"})
        found.read()
        return found

    kind = httpx.Client if side == "sync" else httpx.AsyncClient
    found = asked(side, http_client=kind(transport=httpx.MockTransport(serve)))
    assert found.raw == b'{"choices": null}'


def test_a_network_that_breaks_in_mid_reply_is_a_failure(side: str) -> None:
    """What the SDK no longer translates, because it handed over the stream, is a failure all the same."""

    class Breaking(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __init__(self, error: Exception) -> None:
            self.error = error

        def __iter__(self) -> Iterator[bytes]:
            yield b'{"choices'
            raise self.error

        async def __aiter__(self) -> Any:
            yield b'{"choices'
            raise self.error

    for incomplete_reason, kind in ((httpx.ReadError("reset"), "connection"), (httpx.ReadTimeout("slow"), "timeout")):
        transport = httpx.MockTransport(lambda sent, said=incomplete_reason: httpx.Response(200, stream=Breaking(said)))
        own = httpx.Client if side == "sync" else httpx.AsyncClient
        found = asked(side, http_client=own(transport=transport))
        assert isinstance(found, ModelFailure)
        assert found.kind == kind


def test_a_lone_surrogate_is_refused_by_a_given_client(side: str, server: respx.MockRouter) -> None:
    """The SDK's own encoder cannot send it: a bad request, no exception, and nothing is sent."""
    route = server.post("/chat/completions").respond(json=chat())
    found = asked(side, asking=request("\ud800"))
    assert isinstance(found, ModelFailure)
    assert (found.kind, found.sent, route.call_count) == ("bad_request", False, 0)


def test_a_mistake_in_the_users_transport_is_raised(side: str) -> None:
    """What is neither the network's nor the server's trouble is not hidden: the driver records it as crashed."""

    def serve(sent: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError("mine")

    kind = httpx.Client if side == "sync" else httpx.AsyncClient
    try:
        found = asked(side, http_client=kind(transport=httpx.MockTransport(serve)))
    except ZeroDivisionError:
        return
    assert isinstance(found, ModelFailure)  # openai 2.x takes every error for the connection's
    assert found.kind == "connection"


# --- against a real server


@pytest.mark.loopback
@pytest.mark.parametrize("speaks", ["httpx", "the SDK's own"])
def test_a_bomb_does_not_explode_over_a_given_client(side: str, speaks: str) -> None:
    """Compressed replies are capped while they are read, not by httpx's decoders after."""
    import tracemalloc

    with FaultServer([answer(200, gzip.compress(bytes(100_000_000), 9), content_encoding="gzip")]) as server:
        options: dict[str, Any] = {"base_url": server.base_url}
        if speaks != "httpx":
            options["http_client"] = None
        tracemalloc.start()
        found = asked(side, model={"max_reply_bytes": 1_000_000}, **options)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert isinstance(found, ModelFailure)
    assert found.message.startswith("too_large")
    assert peak < 30_000_000


@pytest.mark.loopback
def test_a_dripping_or_hanging_server_is_left_in_time_over_a_given_client(side: str) -> None:
    """Bodies that drip and servers that hang end with the time left; only headers that drip are left to the driver."""
    whole = message(200, chat())
    for script in (hang, drip(whole, after=whole.index(b"\r\n\r\n") + 4)):
        with FaultServer([script]) as server:
            found, took = timed(side, deadline_s=0.4, base_url=server.base_url)
        assert isinstance(found, ModelFailure)
        assert found.kind == "deadline"
        assert took <= 0.4 + 0.25


# --- whose client it is


def test_a_given_client_runs_where_it_can_be_left_behind() -> None:
    """A sync client goes to a thread; an async one alone, to a loop."""
    model = OpenAIModel("m", client=client)
    model.prepare()  # without OPENAI_API_KEY: the client has its own
    assert model.runs_on == "thread"
    assert OpenAIModel("m", client=client, async_client=async_client).runs_on == "thread"
    assert OpenAIModel("m", async_client=async_client).runs_on == "loop"


def test_the_side_without_a_client_says_what_is_missing() -> None:
    """Who gave one client and asks on the other side is told which to pass as well."""
    with pytest.raises(UsageError, match="Pass async_client= as well"):
        ask_async(OpenAIModel("m", client=client))
    with pytest.raises(UsageError, match="Pass client= as well"):
        ask_sync(OpenAIModel("m", async_client=async_client))


def test_an_async_client_serves_one_loop(server: respx.MockRouter) -> None:
    """On a second loop a client is refused with the mend, which works: a function makes one for each."""
    server.post("/chat/completions").respond(json=chat())
    model = OpenAIModel("m", async_client=async_client())
    loops = [asyncio.new_event_loop(), asyncio.new_event_loop()]
    ends = TimeLeft(time.monotonic() + 10)
    assert loops[0].run_until_complete(model.acall(request(), ends)).text == '{"x": 1}'
    with pytest.raises(UsageError, match=r"another event loop.*async_client=lambda: AsyncOpenAI"):
        loops[1].run_until_complete(model.acall(request(), ends))
    made = OpenAIModel("m", async_client=async_client)
    texts = [loop.run_until_complete(made.acall(request(), ends)).text for loop in (*loops, *loops)]
    for loop in loops:
        loop.close()
    assert texts == ['{"x": 1}'] * 4


@pytest.mark.loopback
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_given_client_is_refused_in_a_fork() -> None:
    """A fork that shared its connections would read another's replies: it is refused, and a function that makes one works."""
    echo = answer(200, lambda request: chat(request.body["messages"][1]["content"]))
    with FaultServer([echo]) as server, client(base_url=server.base_url) as own:
        given = OpenAIModel("m", client=own)
        made: list[openai.OpenAI] = []

        def make() -> openai.OpenAI:
            made.append(client(base_url=server.base_url))
            return made[-1]

        making = OpenAIModel("m", client=make)
        assert [ask_sync(model, request("parent")).text for model in (given, making)] == ["parent"] * 2
        child = os.fork()
        if not child:
            os._exit(_in_child(given, making))
        assert [ask_sync(model, request("again")).text for model in (given, making)] == ["again"] * 2
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(made) == 1
        made[0].close()


def _in_child(given: OpenAIModel, making: OpenAIModel) -> int:
    try:
        ask_sync(given)
    except UsageError as refused:
        right = "another process" in str(refused) and "client=lambda: OpenAI(...)" in str(refused)
        return 0 if right and ask_sync(making, request("child")).text == "child" else 1
    return 2
