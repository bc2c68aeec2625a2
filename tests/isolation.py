"""Keeps every test off the network, and away from the keys and proxies of whoever runs it.

A test marked `loopback` or `real_model` may connect to this machine, no test to any other. A refused attempt fails the
test even where the code under test takes the error for a network's trouble and goes on.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

LOOPBACK_MARKERS = ("loopback", "real_model")
FOREIGN_ENVIRONMENT = ("OPENAI_", "AZURE_OPENAI_", "LLMGUARD_LOG")
PROXY_SUFFIX = "_PROXY"


class NetworkBlocked(RuntimeError):
    """A test reached for the network."""


def is_loopback(host: object) -> bool:
    """Whether a host, a name or an address as text or bytes, is this machine; None is the wildcard of a local server.

    >>> is_loopback("127.0.0.1"), is_loopback("::1%lo"), is_loopback("localhost"), is_loopback("8.8.8.8")
    (True, True, True, False)
    """
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name is None or name in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(name).split("%")[0]).is_loopback
    except ValueError:
        return False


def refusal(target: object, *, may_use_loopback: bool) -> str | None:
    """Why a connection to this target is refused; None where it is allowed. Only internet addresses are tuples."""
    if not isinstance(target, tuple):
        return None
    if not is_loopback(target[0]):
        return (
            f"a test tried to reach {target!r}. No test may leave this machine: use a scripted model or a local server."
        )
    if not may_use_loopback:
        return f"a test tried to reach {target!r} unmarked. If it is meant to, mark it @pytest.mark.loopback."
    return None


def _checked(
    method: Callable[..., Any], may_use_loopback: bool, refused: list[str], target_at: int
) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        reason = refusal(args[target_at], may_use_loopback=may_use_loopback)
        if reason is not None:
            refused.append(reason)
            raise NetworkBlocked(reason)
        return method(*args, **kwargs)

    return call


@pytest.fixture(autouse=True)
def refused_connections(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The sentences of the connections that were refused so far; one that is left at the end fails the test."""
    marked = any(request.node.get_closest_marker(name) for name in LOOPBACK_MARKERS)
    refused: list[str] = []
    for name, target_at in (("connect", 1), ("connect_ex", 1), ("sendto", -1)):
        method = getattr(socket.socket, name)
        monkeypatch.setattr(socket.socket, name, _checked(method, marked, refused, target_at))
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        _checked(lambda target: None, True, refused, 0)((host,))
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield refused
    if refused:
        pytest.fail(f"{len(refused)} connection(s) refused; the first: {refused[0]}", pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def environment_of_nobody() -> Iterator[None]:
    """No key, no base URL and no proxy of the person who runs the tests reaches a test."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in list(os.environ):
            if name.startswith(FOREIGN_ENVIRONMENT) or name.upper().endswith(PROXY_SUFFIX):
                monkeypatch.delenv(name)
        yield
