"""Requests through the official SDK over clients of our own: exactly one for each call.

Loaded at the first request. A client of our own belongs to one process, and an async one to one event loop: over a
connection that two processes share, one gets the other's reply.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncGenerator, Callable
from typing import Protocol, TypeAlias
from weakref import WeakKeyDictionary

import openai

from llmguard.core.canonical import Json, encode
from llmguard.core.messages import ModelFailure
from llmguard.models.openai.server import Server
from llmguard.models.transport.clients import AsyncBoundedClient, BoundedClient
from llmguard.models.transport.exchange import Exchange
from llmguard.models.transport.failures import short, words_of
from llmguard.models.transport.http_libraries import httpx
from llmguard.models.transport.sockets import ShrinkingTimeout

Sent: TypeAlias = Exchange | ModelFailure
Heard: TypeAlias = Callable[[bytes], bool] | None
"""Told each piece of a streamed reply's body; False: no more is wanted."""

# openai 2.0 has no `content`; later versions deprecate bytes as `body`.
_BYTES_AS = "content" if "content" in inspect.signature(openai.OpenAI.post).parameters else "body"


class Wire(Protocol):
    """Sends the body of a request to `path`, and hands back what came within `left_s`."""

    def post(self, path: str, body: Json, left_s: float, heard: Heard = None) -> Sent: ...
    async def apost(self, path: str, body: Json, left_s: float, heard: Heard = None) -> Sent: ...


class OwnWire:
    """Over clients of our own: the end is kept at every use of the socket."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._clients: dict[int, openai.OpenAI] = {}  # by process; a fork leaves its parent's open
        self._async_clients = PerLoop(self._async_client)

    def post(self, path: str, body: Json, left_s: float, heard: Heard = None) -> Sent:
        timeout = ShrinkingTimeout(left_s, heard)
        client = self._clients.get(os.getpid()) or self._client()
        try:
            response = client.post(path, cast_to=httpx.Response, options={"timeout": timeout}, **_as_content(body))
            return exchange_of(response)
        except openai.OpenAIError as error:
            return sent_in_vain(error)

    async def apost(self, path: str, body: Json, left_s: float, heard: Heard = None) -> Sent:
        timeout = ShrinkingTimeout(left_s, heard)
        client = await self._async_clients.client()
        try:
            response = await client.post(
                path, cast_to=httpx.Response, options={"timeout": timeout}, **_as_content(body)
            )
            return exchange_of(response)
        except openai.OpenAIError as error:
            return sent_in_vain(error)

    def _client(self) -> openai.OpenAI:
        server = self._server
        client = openai.OpenAI(
            api_key=server.api_key,
            base_url=server.base_url,
            default_headers=server.headers,
            max_retries=0,
            http_client=BoundedClient(server.base_url, server.max_reply_bytes),
        )
        return self._clients.setdefault(os.getpid(), client)

    def _async_client(self) -> openai.AsyncOpenAI:
        server = self._server
        return openai.AsyncOpenAI(
            api_key=server.api_key,
            base_url=server.base_url,
            default_headers=server.headers,
            max_retries=0,
            http_client=AsyncBoundedClient(server.base_url, server.max_reply_bytes),
        )


class PerLoop:
    """One async client for each event loop of this process, made where it is first asked for and closed with its loop."""

    def __init__(self, make: Callable[[], openai.AsyncOpenAI]) -> None:
        self._make = make
        self._kept: dict[int, WeakKeyDictionary[asyncio.AbstractEventLoop, _Kept]] = {}

    async def client(self) -> openai.AsyncOpenAI:
        loops, loop = self._kept.setdefault(os.getpid(), WeakKeyDictionary()), asyncio.get_running_loop()
        kept = loops.get(loop)
        if kept is None:
            for ended in [each for each in loops if each.is_closed()]:
                del loops[ended]
            kept = loops[loop] = _Kept(self._make())
            await kept.open()
        return kept.client


class _Kept:
    """A client that closes with its event loop: a loop that ends in order closes its async generators first."""

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self.client = client
        self._until_the_end = self._closing()

    async def open(self) -> None:
        await anext(self._until_the_end)

    async def _closing(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.client.close()


def _as_content(body: Json) -> Json:
    return {_BYTES_AS: encode(body)}


def exchange_of(response: httpx.Response) -> Exchange:
    """What a client of our own brought, read already."""
    return Exchange(response.status_code, response.headers, response.content, response.extensions.get("trouble", ""))


def sent_in_vain(error: openai.OpenAIError) -> Sent:
    """What the SDK raised: a status is an answer too."""
    if isinstance(error, openai.APIStatusError):
        return exchange_of(error.response)
    if isinstance(error, openai.APITimeoutError):
        return ModelFailure("timeout", "no whole reply came in time")
    if isinstance(error, openai.APIConnectionError):
        return ModelFailure("connection", short(words_of(error.__cause__ or error)))
    return ModelFailure("auth", short(f"the client could not sign the request: {error}"))
