"""Live model calls where they are refused: nothing leaves this machine, whoever asks is answered, whoever refuses is told."""

from __future__ import annotations

import _socket
import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import respx

from llmguard import Guard, constant
from llmguard.core.messages import ModelAnswer, ModelFailure, ModelReply
from llmguard.models.connections import ConnectionAttempt, listen_to_connections
from llmguard.models.network_guard import block_live_calls
from llmguard.models.openai.model import OpenAIModel
from llmguard.runtime.execution import NEVER, TimeLeft
from tests.support.asking import Ask, ask_async, ask_sync, form, request
from tests.support.fault_server import FaultServer, answer, chat

pytestmark = pytest.mark.loopback
FOREIGN = "http://llm.example/v1"
NOBODY = "http://192.0.2.1/v1"  # TEST-NET-1, RFC 5737
KEY = "sk-proj-4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c"
REAL_LOOKUP = socket.getaddrinfo
REFUSED = ModelFailure("crashed", "refused: a live model call, to llm.example", sent=False)
TOLD = "the model 'm' at llm.example"


@pytest.fixture
def own_sockets(refused_connections: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets without this suite's own guard: what is under test must refuse, or nothing does."""
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, getattr(_socket.socket, name))
    monkeypatch.setattr(socket, "getaddrinfo", REAL_LOOKUP)


@pytest.fixture
def on_blocked(own_sockets: None) -> Iterator[list[str]]:
    """Live calls are refused; what was heard of them."""
    on_chunk: list[str] = []
    with block_live_calls(on_chunk.append):
        yield on_chunk


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    found: Ask = request.param
    return found


def given(ask: Ask, **options: Any) -> OpenAIModel:
    """A model over a client that the user made, with httpx below it."""
    options = {"api_key": KEY, "base_url": FOREIGN, **options}
    if ask is ask_sync:
        return OpenAIModel("m", client=lambda: openai.OpenAI(**{"http_client": httpx.Client(), **options}))
    return OpenAIModel("m", async_client=lambda: openai.AsyncOpenAI(**{"http_client": httpx.AsyncClient(), **options}))


def test_a_call_to_another_machine_is_refused(ask: Ask, on_blocked: list[str]) -> None:
    """The answer is one that no retry repeats, and whoever refuses knows model and server."""
    assert ask(OpenAIModel("m", base_url=FOREIGN, api_key=KEY)) == REFUSED
    assert on_blocked == [TOLD]
    assert not REFUSED.retryable


def test_an_address_is_no_way_around(ask: Ask, on_blocked: list[str]) -> None:
    """A server without a name is another machine all the same."""
    found = ask(OpenAIModel("m", base_url=NOBODY, api_key=KEY))
    assert isinstance(found, ModelFailure)
    assert found.kind == "crashed"
    assert on_blocked == ["the model 'm' at 192.0.2.1"]


def test_a_server_on_this_machine_answers(ask: Ask, on_blocked: list[str]) -> None:
    """A connection to loopback is no live call."""
    with FaultServer([answer(200, chat())]) as server:
        assert isinstance(ask(OpenAIModel("m", base_url=server.base_url)), ModelReply)
        with openai.OpenAI(api_key=KEY, base_url=server.base_url) as client:
            assert isinstance(ask_sync(OpenAIModel("m", client=client)), ModelReply)
    assert on_blocked == []


def test_a_client_passed_in_is_refused_as_well(ask: Ask, on_blocked: list[str]) -> None:
    """Also where only a function knows its server."""
    found = ask(given(ask))
    assert isinstance(found, ModelFailure)
    assert (found.kind, on_blocked) == ("crashed", [TOLD])


def test_a_mocked_transport_is_no_live_call(ask: Ask, on_blocked: list[str]) -> None:
    """A client whose transport opens no connection is left alone, and so is what respx answers."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=chat()))
    kind: Any = httpx.Client if ask is ask_sync else httpx.AsyncClient
    assert isinstance(ask(given(ask, http_client=kind(transport=transport))), ModelReply)
    with respx.mock(base_url=FOREIGN) as router:
        router.post("/chat/completions").respond(json=chat())
        assert isinstance(ask(given(ask)), ModelReply)
    assert on_blocked == []


def test_a_failure_that_a_mock_plays_is_no_refusal(ask: Ask, on_blocked: list[str]) -> None:
    """`connection` from a mocked transport stays `connection`."""
    with respx.mock(base_url=FOREIGN) as router:
        router.post("/chat/completions").mock(side_effect=httpx.ConnectError("refused"))
        found = ask(given(ask))
    assert isinstance(found, ModelFailure)
    assert (found.kind, on_blocked) == ("connection", [])


def test_a_proxy_on_this_machine_passes_nothing_on(
    ask: Ask, on_blocked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection to a local proxy would leave this machine behind it."""
    with FaultServer([answer(200, chat())]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url.removesuffix("/v1"))
        assert ask(OpenAIModel("m", base_url=FOREIGN, api_key=KEY)) == REFUSED
        assert (proxy.requests, on_blocked) == ([], [TOLD])


class ForeignLoop(asyncio.AbstractEventLoop):
    """A loop that is not Python's own, as uvloop's is: it has just enough to be the running one."""

    def run(self, work: Coroutine[Any, Any, ModelAnswer]) -> ModelAnswer:
        asyncio._set_running_loop(self)
        try:
            work.send(None)
        except StopIteration as done:
            answer: ModelAnswer = done.value
            return answer
        finally:
            asyncio._set_running_loop(None)
        raise AssertionError("it waited for something")


def test_a_loop_whose_connections_are_not_heard_sends_nothing(on_blocked: list[str]) -> None:
    """Where the connection could not be seen, the server's name decides, before anything is sent."""
    asking = OpenAIModel("m", base_url=FOREIGN, api_key=KEY).acall(request(output=form()), TimeLeft(NEVER))
    assert (ForeignLoop().run(asking), on_blocked) == (REFUSED, [TOLD])


def test_a_guard_goes_on_to_its_next_rung(on_blocked: list[str]) -> None:
    """The flow ends as after any trouble, at once and without a retry: so whoever refuses has to make it heard."""
    model = OpenAIModel("m", base_url=FOREIGN, api_key=KEY)
    guard = Guard("team", prompt="Which?", schema=str, models=[model], fallback=[constant("other")], log=None)
    outcome = guard.run()
    assert (outcome.status, len(outcome.attempts), on_blocked) == ("fallback", 1, [TOLD])


def test_what_others_look_up_meanwhile_is_theirs(on_blocked: list[str]) -> None:
    """A name that another thread looks up is not refused, and does not make an answered request a refused one."""

    async def both(port: int) -> ModelAnswer:
        loop = asyncio.get_running_loop()
        model = OpenAIModel("m", base_url=f"http://127.0.0.1:{port}/v1")
        asking = loop.create_task(model.acall(request(output=form()), TimeLeft(NEVER)))
        await asyncio.sleep(0)
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("name.invalid", 80, family=socket.AF_UNSPEC)
        return await asking

    with FaultServer([answer(200, chat())]) as server:
        assert isinstance(asyncio.run(both(server.port)), ModelReply)
    assert on_blocked == []


def test_refusing_ends_with_its_block(own_sockets: None) -> None:
    """A model that was asked inside is asked as ever outside."""
    on_chunk: list[str] = []
    with FaultServer([answer(200, chat())]) as server:
        model = OpenAIModel("m", base_url=server.base_url)
        with block_live_calls(on_chunk.append):
            assert isinstance(ask_sync(model), ModelReply)
        assert isinstance(ask_sync(model), ModelReply)
    assert on_chunk == []


# --- connections


def test_a_listener_hears_what_is_looked_up_and_connected(own_sockets: None, tmp_path: Path) -> None:
    """Names, addresses and packets, as text or bytes, each before it happens; no path, and nothing after the block."""
    on_chunk: list[ConnectionAttempt] = []

    def refuse(opening: ConnectionAttempt) -> None:
        on_chunk.append(opening)
        raise ConnectionError("no")

    def attempts() -> Iterator[Callable[[], object]]:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            yield lambda: socket.getaddrinfo(b"llm.example", 443)
            yield lambda: socket.getaddrinfo(None, 443)
            yield lambda: socket.gethostbyname("localhost")
            yield lambda: tcp.connect(("192.0.2.1", 80))
            yield lambda: udp.sendto(b"x", ("192.0.2.1", 80))
            yield lambda: udp.sendmsg([b"x"], [], 0, ("127.0.0.1", 9))

    with listen_to_connections(refuse):
        for attempt in attempts():
            with pytest.raises(ConnectionError, match="no"):
                attempt()
        with socket.socket(socket.AF_UNIX) as local, pytest.raises(FileNotFoundError):
            local.connect(str(tmp_path / "no.sock"))
    assert socket.gethostbyname("localhost") == "127.0.0.1"
    assert [(each.host, each.is_lookup, each.is_loopback) for each in on_chunk] == [
        ("llm.example", True, False),
        ("", True, True),
        ("localhost", True, True),
        ("192.0.2.1", False, False),
        ("192.0.2.1", False, False),
        ("127.0.0.1", False, True),
    ]
