"""Connections that keep an end: each use of the socket takes no longer than what is left.

httpx's timeouts are per read, so a server that sends a byte now and then is never late. Here a request carries one
`ShrinkingTimeout`. httpcore hands it on to each use of the socket, where it is asked what is left; headers that drip
are bounded by that as well. What is not: name resolution in a sync request.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable

from llmguard.core.canonical import Json
from llmguard.models.transport.http_libraries import httpcore

_WRITE_SIZE = 16_384
"""Bytes that are written before the clock is looked at again: one TLS record."""


class ShrinkingTimeout(float):
    """A timeout in seconds that began when it was made.

    It is the one object of ours that the SDK hands through to the transport. So it also carries `heard`, which is told
    each piece of a streamed reply's body and returns False where no more is wanted.
    """

    __slots__ = ("ends_at", "heard")
    ends_at: float
    heard: Callable[[bytes], bool] | None

    def __new__(cls, seconds: float, heard: Callable[[bytes], bool] | None = None) -> ShrinkingTimeout:
        timeout = super().__new__(cls, seconds)
        timeout.ends_at, timeout.heard = time.monotonic() + seconds, heard
        return timeout


def left_s(timeout: float | None) -> float | None:
    """What is left now; raises httpcore's timeout where nothing is."""
    if not isinstance(timeout, ShrinkingTimeout):
        return timeout
    left = timeout.ends_at - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("no time left")
    return left


class BoundedStream(httpcore.NetworkStream):
    """A connection whose every use takes no longer than what is left.

    Head and body of a request leave together, when the reply is read: two packets cost both sides more CPU than one.
    """

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._unsent: list[bytes] = []

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._unsent:
            self._send(timeout)
        return self._stream.read(max_bytes, left_s(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._unsent.append(buffer)

    def _send(self, timeout: float | None) -> None:
        buffer = b"".join(self._unsent)
        self._unsent.clear()
        try:
            for start in range(0, len(buffer), _WRITE_SIZE):
                self._stream.write(buffer[start : start + _WRITE_SIZE], left_s(timeout))
        except httpcore.WriteError:  # a server may answer and close before it has read all; its answer is read then
            return

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return BoundedStream(self._stream.start_tls(ssl_context, server_hostname, left_s(timeout)))

    def get_extra_info(self, info: str) -> Json:
        return self._stream.get_extra_info(info)


class BoundedBackend(httpcore.SyncBackend):
    """Opens connections that are bounded."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in _addresses(host, port):  # the library's own loop would give each address the full timeout
            try:
                return BoundedStream(super().connect_tcp(address, port, left_s(timeout), local_address, socket_options))
            except httpcore.ConnectError as error:
                failure = error
        raise failure


def _addresses(host: str, port: int) -> list[str]:
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise httpcore.ConnectError(f"{host}: {error}") from error


class AsyncBoundedStream(httpcore.AsyncNetworkStream):
    """The same on an event loop; there a write is bounded as a whole already."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._unsent: list[bytes] = []

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._unsent:
            await self._send(timeout)
        return await self._stream.read(max_bytes, left_s(timeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._unsent.append(buffer)

    async def _send(self, timeout: float | None) -> None:
        buffer = b"".join(self._unsent)
        self._unsent.clear()
        try:
            await self._stream.write(buffer, left_s(timeout))
        except httpcore.WriteError:
            return

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return AsyncBoundedStream(await self._stream.start_tls(ssl_context, server_hostname, left_s(timeout)))

    def get_extra_info(self, info: str) -> Json:
        return self._stream.get_extra_info(info)


class AsyncBoundedBackend(httpcore.AnyIOBackend):
    """Opens connections that are bounded."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await super().connect_tcp(host, port, left_s(timeout), local_address, socket_options)
        return AsyncBoundedStream(stream)
