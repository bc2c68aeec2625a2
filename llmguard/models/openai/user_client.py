"""Requests over a client that the user passed in, with its own settings; only retries and redirects are off.

A client belongs to the process that created it, and an async one to the event loop that first used it; it is refused
elsewhere. A function that creates one is called in each process and loop.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import weakref
from collections.abc import Callable
from typing import TypeAlias, cast

import openai

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelFailure
from llmguard.models.openai.sdk_transport import ClientPerLoop, OnChunk, SendResult, result_from_sdk_error
from llmguard.models.transport.exchange import CappedBody, HTTPExchange
from llmguard.models.transport.failures import exception_text, redacted_line
from llmguard.models.transport.http_libraries import httpx

UserClient: TypeAlias = "openai.OpenAI | Callable[[], openai.OpenAI] | None"
UserAsyncClient: TypeAlias = "openai.AsyncOpenAI | Callable[[], openai.AsyncOpenAI] | None"

_TIMED_OUT = ModelFailure("timeout", "no whole reply came in time")


class UserClientTransport:
    """Sends over the user's client. Only the client's own timeouts end a request whose headers arrive byte by byte."""

    def __init__(
        self, client: UserClient, async_client: UserAsyncClient, max_reply_bytes: int, *, process: int
    ) -> None:
        self._user_client, self._user_async_client = client, async_client
        self._max_reply_bytes, self._process = max_reply_bytes, process
        self._clients: dict[int, openai.OpenAI] = {}
        self._async_per_loop = ClientPerLoop(async_client) if callable(async_client) else None
        self._loop: Callable[[], asyncio.AbstractEventLoop | None] = lambda: None

    def post(self, path: str, body: Json, left_s: float, on_chunk: OnChunk = None) -> SendResult:
        ends_at, client = time.monotonic() + left_s, self._client()
        try:
            response = cast(
                httpx.Response, client.post(path, **_single_request_options(body, left_s), stream_cls=openai.Stream)
            )
            try:
                return self._read(response, ends_at, on_chunk)
            finally:
                response.close()
        except Exception as error:
            return _result_from_error(error)

    async def apost(self, path: str, body: Json, left_s: float, on_chunk: OnChunk = None) -> SendResult:
        ends_at, client = time.monotonic() + left_s, await self._client_on_loop()
        try:
            pending = client.post(path, **_single_request_options(body, left_s), stream_cls=openai.AsyncStream)
            response = cast(httpx.Response, await pending)
            try:
                return await self._aread(response, ends_at, on_chunk)
            finally:
                await response.aclose()
        except Exception as error:
            return _result_from_error(error)

    def _read(self, response: httpx.Response, ends_at: float, on_chunk: OnChunk) -> SendResult:
        body = self._start_body(response)
        if not response.is_stream_consumed:
            for chunk in response.iter_raw():
                if not body.add(chunk) or (on_chunk is not None and not on_chunk(body.latest)):
                    break
                if time.monotonic() >= ends_at:
                    return _TIMED_OUT
        return HTTPExchange(response.status_code, response.headers, body.content(), body.incomplete_reason)

    async def _aread(self, response: httpx.Response, ends_at: float, on_chunk: OnChunk) -> SendResult:
        body = self._start_body(response)
        if not response.is_stream_consumed:
            async for chunk in response.aiter_raw():
                if not body.add(chunk) or (on_chunk is not None and not on_chunk(body.latest)):
                    break
                if time.monotonic() >= ends_at:
                    return _TIMED_OUT
        return HTTPExchange(response.status_code, response.headers, body.content(), body.incomplete_reason)

    def _start_body(self, response: httpx.Response) -> CappedBody:
        """The body to collect; a transport of the user's may return a response that is read already."""
        if not response.is_stream_consumed:
            return CappedBody(response.headers.get("content-encoding", ""), self._max_reply_bytes)
        body = CappedBody("", self._max_reply_bytes)
        body.add(response.content)
        return body

    def _client(self) -> openai.OpenAI:
        process = os.getpid()
        if self._user_client is None:
            raise UsageError("only async_client= was given, and the guard was run in sync. Pass client= as well.")
        if callable(self._user_client):
            return self._clients.get(process) or self._clients.setdefault(process, self._user_client())
        if process != self._process:
            raise UsageError(_foreign_client_message("process", "client=lambda: OpenAI(...)"))
        return self._user_client

    async def _client_on_loop(self) -> openai.AsyncOpenAI:
        if self._user_async_client is None:
            raise UsageError("only client= was given, and the guard was awaited. Pass async_client= as well.")
        if self._async_per_loop is not None:
            return await self._async_per_loop.client()
        if os.getpid() != self._process:
            raise UsageError(_foreign_client_message("process", "async_client=lambda: AsyncOpenAI(...)"))
        loop = asyncio.get_running_loop()
        if (self._loop() or loop) is not loop:
            raise UsageError(_foreign_client_message("event loop", "async_client=lambda: AsyncOpenAI(...)"))
        self._loop = weakref.ref(loop)
        return cast(openai.AsyncOpenAI, self._user_async_client)


def _single_request_options(body: Json, left_s: float) -> Json:
    """Options of one request that return the response unread."""
    options = {
        "timeout": left_s,
        "max_retries": 0,
        "follow_redirects": False,
        "headers": {"Accept-Encoding": "identity"},
    }
    return {"cast_to": httpx.Response, "body": body, "options": options, "stream": True}


def _result_from_error(error: Exception) -> SendResult:
    """A failure of the network or the server as a result; any other exception is raised again."""
    if isinstance(error, openai.OpenAIError):
        return result_from_sdk_error(error)
    if isinstance(error, _http_exceptions("TimeoutException")):
        return _TIMED_OUT
    if isinstance(error, _http_exceptions("HTTPError")):
        return ModelFailure("connection", redacted_line(exception_text(error)))
    if isinstance(error, UnicodeEncodeError):
        message = "the request holds a lone surrogate, which a client that was passed in cannot send"
        return ModelFailure("bad_request", message, sent=False)
    raise error


def _http_exceptions(name: str) -> tuple[type[Exception], ...]:
    """An exception of httpx or httpx2: a client passed in may use either."""
    return tuple(getattr(sys.modules[module], name) for module in ("httpx", "httpx2") if module in sys.modules)


def _foreign_client_message(owner: str, fix: str) -> str:
    return (
        f"the client that was passed in belongs to another {owner}: two that share its connections get each other's"
        f" replies. Pass a function that makes one, {fix}, or build the model here."
    )
