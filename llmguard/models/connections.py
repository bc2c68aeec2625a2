"""Connections that this process is about to open: a listener sees each one and may refuse it.

The interpreter raises an audit event (PEP 578) before it looks up a name or connects, whichever library does so. So
nothing is patched, and a mocked transport, which opens no connection, is not affected. What opens sockets without Python
(uvloop, a C extension) is not noticed. An audit hook cannot be removed; without a listener it returns at once.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class ConnectionAttempt:
    """A connection about to be opened, or a name about to be looked up for one."""

    host: str
    is_lookup: bool
    is_loopback: bool


Listener: TypeAlias = Callable[[ConnectionAttempt], None]
"""Called before the connection is opened. What it raises is raised where the connection is opened."""

_LOOKUPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})
_SENDERS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_listeners: list[Listener] = []
_hooked: list[bool] = []


@contextmanager
def listen_to_connections(listener: Listener) -> Iterator[None]:
    """Call `listener` for each connection of any thread until the block ends."""
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(_audit)
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def is_loopback(host: object) -> bool:
    """Whether a host, a name or an address as text or bytes, is this machine; None is the wildcard of a local server.

    >>> is_loopback("127.0.0.1"), is_loopback("::1%lo"), is_loopback("localhost"), is_loopback("8.8.8.8")
    (True, True, True, False)
    """
    name = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else host
    if name is None or name in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(name).split("%")[0]).is_loopback
    except ValueError:
        return False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _listeners or not event.startswith("socket."):
        return
    attempt = _connection_attempt(event, arguments)
    if attempt is not None:
        for listener in tuple(_listeners):
            listener(attempt)


vars(_audit)["__cantrace__"] = True  # otherwise a debugger or coverage would not trace it


def _connection_attempt(event: str, arguments: tuple[Any, ...]) -> ConnectionAttempt | None:
    """None for other events, and for what is not an internet address (a path, a packet on a connected socket)."""
    if event in _LOOKUPS:
        host = arguments[0]
    elif event in _SENDERS and isinstance(arguments[1], tuple) and arguments[1]:
        host = arguments[1][0]
    else:
        return None
    name = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host or "")
    return ConnectionAttempt(name, is_lookup=event in _LOOKUPS, is_loopback=is_loopback(host))
