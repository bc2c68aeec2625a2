"""Requests over the user's own clients, as they are: only retries and redirects are off.

A client belongs to the process that made it, and an async one to the event loop that first used it; elsewhere it is
refused. A function that makes one is called where one is needed.
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
from llmguard.models.openai.sdk_transport import Heard, PerLoop, Sent, sent_in_vain
from llmguard.models.transport.exchange import CappedBody, Exchange
from llmguard.models.transport.failures import short, words_of
from llmguard.models.transport.http_libraries import httpx

GivenClient: TypeAlias = "openai.OpenAI | Callable[[], openai.OpenAI] | None"
GivenAsyncClient: TypeAlias = "openai.AsyncOpenAI | Callable[[], openai.AsyncOpenAI] | None"

_LATE = ModelFailure("timeout", "no whole reply came in time")


class GivenWire:
    """Sends over what the user gave. Nothing but the client's own timeouts ends a request whose headers drip."""

    def __init__(
        self, client: GivenClient, async_client: GivenAsyncClient, max_reply_bytes: int, *, process: int
    ) -> None:
        self._given, self._given_async = client, async_client
        self._max_reply_bytes, self._process = max_reply_bytes, process
        self._clients: dict[int, openai.OpenAI] = {}
        self._made_async = PerLoop(async_client) if callable(async_client) else None
        self._loop: Callable[[], asyncio.AbstractEventLoop | None] = lambda: None

    def post(self, path: str, body: Json, left_s: float, heard: Heard = None) -> Sent:
        ends_at, client = time.monotonic() + left_s, self._client()
        try:
            response = cast(httpx.Response, client.post(path, **_once(body, left_s), stream_cls=openai.Stream))
            try:
                return self._read(response, ends_at, heard)
            finally:
                response.close()
        except Exception as error:
            return _answered(error)

    async def apost(self, path: str, body: Json, left_s: float, heard: Heard = None) -> Sent:
        ends_at, client = time.monotonic() + left_s, await self._client_on_loop()
        try:
            asked = client.post(path, **_once(body, left_s), stream_cls=openai.AsyncStream)
            response = cast(httpx.Response, await asked)
            try:
                return await self._aread(response, ends_at, heard)
            finally:
                await response.aclose()
        except Exception as error:
            return _answered(error)

    def _read(self, response: httpx.Response, ends_at: float, heard: Heard) -> Sent:
        body = self._started(response)
        if not response.is_stream_consumed:
            for chunk in response.iter_raw():
                if not body.add(chunk) or (heard is not None and not heard(body.latest)):
                    break
                if time.monotonic() >= ends_at:
                    return _LATE
        return Exchange(response.status_code, response.headers, body.taken(), body.trouble)

    async def _aread(self, response: httpx.Response, ends_at: float, heard: Heard) -> Sent:
        body = self._started(response)
        if not response.is_stream_consumed:
            async for chunk in response.aiter_raw():
                if not body.add(chunk) or (heard is not None and not heard(body.latest)):
                    break
                if time.monotonic() >= ends_at:
                    return _LATE
        return Exchange(response.status_code, response.headers, body.taken(), body.trouble)

    def _started(self, response: httpx.Response) -> CappedBody:
        """A transport of the user's may hand over a response that is read already."""
        if not response.is_stream_consumed:
            return CappedBody(response.headers.get("content-encoding", ""), self._max_reply_bytes)
        body = CappedBody("", self._max_reply_bytes)
        body.add(response.content)
        return body

    def _client(self) -> openai.OpenAI:
        process = os.getpid()
        if self._given is None:
            raise UsageError("only async_client= was given, and the guard was run in sync. Pass client= as well.")
        if callable(self._given):
            return self._clients.get(process) or self._clients.setdefault(process, self._given())
        if process != self._process:
            raise UsageError(_of_another("process", "client=lambda: OpenAI(...)"))
        return self._given

    async def _client_on_loop(self) -> openai.AsyncOpenAI:
        if self._given_async is None:
            raise UsageError("only client= was given, and the guard was awaited. Pass async_client= as well.")
        if self._made_async is not None:
            return await self._made_async.client()
        if os.getpid() != self._process:
            raise UsageError(_of_another("process", "async_client=lambda: AsyncOpenAI(...)"))
        loop = asyncio.get_running_loop()
        if (self._loop() or loop) is not loop:
            raise UsageError(_of_another("event loop", "async_client=lambda: AsyncOpenAI(...)"))
        self._loop = weakref.ref(loop)
        return cast(openai.AsyncOpenAI, self._given_async)


def _once(body: Json, left_s: float) -> Json:
    """The response itself, not read yet."""
    options = {
        "timeout": left_s,
        "max_retries": 0,
        "follow_redirects": False,
        "headers": {"Accept-Encoding": "identity"},
    }
    return {"cast_to": httpx.Response, "body": body, "options": options, "stream": True}


def _answered(error: Exception) -> Sent:
    """A network's or a server's trouble as an answer; what is neither is raised on."""
    if isinstance(error, openai.OpenAIError):
        return sent_in_vain(error)
    if isinstance(error, _of_http("TimeoutException")):
        return _LATE
    if isinstance(error, _of_http("HTTPError")):
        return ModelFailure("connection", short(words_of(error)))
    if isinstance(error, UnicodeEncodeError):
        said = "the request holds a lone surrogate, which a client that was passed in cannot send"
        return ModelFailure("bad_request", said, sent=False)
    raise error


def _of_http(name: str) -> tuple[type[Exception], ...]:
    """An exception of httpx or httpx2: a client passed in may speak through either."""
    return tuple(getattr(sys.modules[module], name) for module in ("httpx", "httpx2") if module in sys.modules)


def _of_another(what: str, mend: str) -> str:
    return (
        f"the client that was passed in belongs to another {what}: two that share its connections get each other's"
        f" replies. Pass a function that makes one, {mend}, or build the model here."
    )
