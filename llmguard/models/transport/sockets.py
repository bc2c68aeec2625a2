"""Connections that keep a deadline: no use of the socket takes longer than the time that is left.

httpx's timeouts are per read, so a server that sends a byte now and then is never late. Here a request carries one
`ShrinkingTimeout`. httpcore passes it to each use of the socket, which asks it for the time left; that also bounds
headers that arrive byte by byte. Names are resolved elsewhere (`names`), and no request waits for that past its time.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable
from functools import partial

from llmguard.core.canonical import Json
from llmguard.models.transport.background import arun_within, run_within
from llmguard.models.transport.http_libraries import SyncStream, httpcore
from llmguard.models.transport.names import Address, literal_address, resolve_name

_WRITE_SIZE = 16_384
"""Bytes written before the clock is read again: one TLS record."""

_ATTEMPT_S = 2.0
"""For one address of a name that has others: the longest that RFC 8305 (section 8) waits before the next one is tried."""
_UNBOUNDED_S = 86_400.0
"""A day; timers of operating systems overflow somewhere above."""


class ShrinkingTimeout(float):
    """A timeout in seconds that begins when it is created.

    It is the one object of ours that the SDK passes on to the transport. So it also carries `on_chunk`, which gets each
    chunk of a streamed reply's body and returns False where no more are needed.
    """

    __slots__ = ("ends_at", "on_chunk")
    ends_at: float
    on_chunk: Callable[[bytes], bool] | None

    def __new__(cls, seconds: float, on_chunk: Callable[[bytes], bool] | None = None) -> ShrinkingTimeout:
        timeout = super().__new__(cls, seconds)
        timeout.ends_at, timeout.on_chunk = time.monotonic() + seconds, on_chunk
        return timeout


def seconds_left(timeout: float | None) -> float | None:
    """The seconds left now; raises httpcore's timeout if there are none."""
    if not isinstance(timeout, ShrinkingTimeout):
        return timeout
    left = timeout.ends_at - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("no time left")
    return left


class BoundedStream(httpcore.NetworkStream):
    """A connection of which no use takes longer than the time left.

    Head and body of a request are sent together, when the reply is read: two packets cost both sides more CPU than one.
    """

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._unsent: list[bytes] = []

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._unsent:
            self._send(timeout)
        return self._stream.read(max_bytes, seconds_left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._unsent.append(buffer)

    def _send(self, timeout: float | None) -> None:
        buffer = b"".join(self._unsent)
        self._unsent.clear()
        try:
            for start in range(0, len(buffer), _WRITE_SIZE):
                self._stream.write(buffer[start : start + _WRITE_SIZE], seconds_left(timeout))
        except (
            httpcore.WriteError
        ):  # a server may reply and close before it has read everything; the reply is read next
            return

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return BoundedStream(self._stream.start_tls(ssl_context, server_hostname, seconds_left(timeout)))

    def get_extra_info(self, info: str) -> Json:
        return self._stream.get_extra_info(info)


class BoundedBackend(httpcore.SyncBackend):
    """Opens bounded connections."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        left = _attempt_s(timeout)
        try:
            addresses = literal_address(host, port) or run_within(left, (host, port), partial(resolve_name, host, port))
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"{host} was not resolved in time") from None
        except (OSError, RuntimeError) as error:  # RuntimeError: no thread can be started
            raise httpcore.ConnectError(f"{host}: {error}") from error
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for number, address in enumerate(addresses, 1):
            try:
                seconds = _attempt_s(timeout, is_last=number == len(addresses))
                return BoundedStream(SyncStream(_connected(address, seconds, local_address, socket_options or ())))
            except TimeoutError as error:
                failure = httpcore.ConnectTimeout(str(error))
            except OSError as error:
                failure = httpcore.ConnectError(f"{host}: {error}")
        raise failure


def _connected(
    address: Address, seconds: float, local_address: str | None, options: Iterable[httpcore.SOCKET_OPTION]
) -> socket.socket:
    """A socket that is connected to a resolved address. `socket.create_connection` would look the address up again."""
    opened = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        opened.settimeout(seconds)
        if local_address is not None:
            opened.bind((local_address, 0))
        opened.connect(address.socket_address)
        for option in (*options, (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)):
            opened.setsockopt(*option)
    except BaseException:
        opened.close()
        raise
    return opened


def _attempt_s(timeout: float | None, *, is_last: bool = True) -> float:
    """Seconds for one attempt to connect: all that are left for the last address of a name, a bounded part for the others."""
    left = seconds_left(timeout)
    if left is None:
        left = _UNBOUNDED_S
    return left if is_last else min(left, _ATTEMPT_S)


class AsyncBoundedStream(httpcore.AsyncNetworkStream):
    """The same on an event loop, where httpcore bounds a write as a whole."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._unsent: list[bytes] = []

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._unsent:
            await self._send(timeout)
        return await self._stream.read(max_bytes, seconds_left(timeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._unsent.append(buffer)

    async def _send(self, timeout: float | None) -> None:
        buffer = b"".join(self._unsent)
        self._unsent.clear()
        try:
            await self._stream.write(buffer, seconds_left(timeout))
        except httpcore.WriteError:
            return

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return AsyncBoundedStream(await self._stream.start_tls(ssl_context, server_hostname, seconds_left(timeout)))

    def get_extra_info(self, info: str) -> Json:
        return self._stream.get_extra_info(info)


class AsyncBoundedBackend(httpcore.AnyIOBackend):
    """Opens bounded connections."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        if literal_address(host, port):
            return AsyncBoundedStream(
                await super().connect_tcp(host, port, seconds_left(timeout), local_address, socket_options)
            )
        try:
            addresses = await arun_within(_attempt_s(timeout), (host, port), partial(resolve_name, host, port))
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"{host} was not resolved in time") from None
        except (OSError, RuntimeError) as error:
            raise httpcore.ConnectError(f"{host}: {error}") from error
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for number, address in enumerate(addresses, 1):
            try:
                seconds = _attempt_s(timeout, is_last=number == len(addresses))
                stream = await super().connect_tcp(address.host, port, seconds, local_address, socket_options)
                return AsyncBoundedStream(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure
