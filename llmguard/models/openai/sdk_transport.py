"""Requests through the official SDK over clients of our own: exactly one HTTP request per call.

Loaded at the first request. A client belongs to one process, and an async one to one event loop: over a connection that
two processes share, one gets the other's reply.
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
from llmguard.models.transport.exchange import HTTPExchange
from llmguard.models.transport.failures import exception_text, redacted_line
from llmguard.models.transport.http_libraries import httpx
from llmguard.models.transport.sockets import ShrinkingTimeout

SendResult: TypeAlias = HTTPExchange | ModelFailure
OnChunk: TypeAlias = Callable[[bytes], bool] | None
"""Gets each chunk of a streamed reply's body; returns False where no more are needed."""

# openai 2.0 has no `content`; later versions deprecate bytes as `body`.
_BODY_OPTION = "content" if "content" in inspect.signature(openai.OpenAI.post).parameters else "body"


class Transport(Protocol):
    """Sends the body of a request to `path` and returns what arrived within `left_s` seconds."""

    def post(self, path: str, body: Json, left_s: float, on_chunk: OnChunk = None) -> SendResult: ...
    async def apost(self, path: str, body: Json, left_s: float, on_chunk: OnChunk = None) -> SendResult: ...


class SDKTransport:
    """Over clients of our own, which keep the deadline at every use of the socket."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._clients: dict[int, openai.OpenAI] = {}  # by process; a fork leaves its parent's open
        self._async_clients = ClientPerLoop(self._async_client)

    def post(self, path: str, body: Json, left_s: float, on_chunk: OnChunk = None) -> SendResult:
        timeout = ShrinkingTimeout(left_s, on_chunk)
        client = self._clients.get(os.getpid()) or self._client()
        try:
            response = client.post(path, cast_to=httpx.Response, options={"timeout": timeout}, **_body_options(body))
            return exchange_from_response(response)
        except openai.OpenAIError as error:
            return result_from_sdk_error(error)

    async def apost(self, path: str, body: Json, left_s: float, on_chunk: OnChunk = None) -> SendResult:
        timeout = ShrinkingTimeout(left_s, on_chunk)
        client = await self._async_clients.client()
        try:
            response = await client.post(
                path, cast_to=httpx.Response, options={"timeout": timeout}, **_body_options(body)
            )
            return exchange_from_response(response)
        except openai.OpenAIError as error:
            return result_from_sdk_error(error)

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


class ClientPerLoop:
    """One async client for each event loop of this process, created when first needed and closed with its loop."""

    def __init__(self, make: Callable[[], openai.AsyncOpenAI]) -> None:
        self._make = make
        self._by_process: dict[int, WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopClient]] = {}

    async def client(self) -> openai.AsyncOpenAI:
        loops, loop = self._by_process.setdefault(os.getpid(), WeakKeyDictionary()), asyncio.get_running_loop()
        loop_client = loops.get(loop)
        if loop_client is None:
            for closed in [each for each in loops if each.is_closed()]:
                del loops[closed]
            loop_client = loops[loop] = _LoopClient(self._make())
            await loop_client.open()
        return loop_client.client


class _LoopClient:
    """A client that closes with its event loop: `asyncio.run` closes async generators before the loop."""

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self.client = client
        self._closer = self._close_with_loop()

    async def open(self) -> None:
        await anext(self._closer)

    async def _close_with_loop(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.client.close()


def _body_options(body: Json) -> Json:
    return {_BODY_OPTION: encode(body)}


def exchange_from_response(response: httpx.Response) -> HTTPExchange:
    """The reply over a client of our own, which has read it already."""
    return HTTPExchange(
        response.status_code, response.headers, response.content, response.extensions.get("incomplete_reason", "")
    )


def result_from_sdk_error(error: openai.OpenAIError) -> SendResult:
    """An exception of the SDK as a result: an error status is a reply too."""
    if isinstance(error, openai.APIStatusError):
        return exchange_from_response(error.response)
    if isinstance(error, openai.APITimeoutError):
        return ModelFailure("timeout", "no whole reply came in time")
    if isinstance(error, openai.APIConnectionError):
        return ModelFailure("connection", redacted_line(exception_text(error.__cause__ or error)))
    return ModelFailure("auth", redacted_line(f"the client could not sign the request: {error}"))
