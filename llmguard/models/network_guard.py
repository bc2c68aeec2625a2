"""Blocks live model calls while `block_live_calls` is active, as it is in a test run.

A live call is a request to a model on another machine. It is blocked at the name lookup or the connection, so a server on
this machine, a mocked transport and a cassette work as usual. A blocked request is an answer (`crashed`, not sent, not
retried), and the guard goes on to its next rung; so `on_blocked` is called, and the test can fail all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from llmguard.core.canonical import Json
from llmguard.core.messages import ModelFailure
from llmguard.models.connections import ConnectionAttempt, is_loopback, listen_to_connections

if TYPE_CHECKING:
    from llmguard.models.openai.sdk_transport import OnChunk, SendResult, Transport

OnBlocked: TypeAlias = Callable[[str], None]
"""Called with the model and its host: `the model 'gpt-5-mini' at api.openai.com`."""

_NOT_SENT = ModelFailure("connection", "not sent", sent=False)


class LiveCallRefused(ConnectionError):
    """Raised where a blocked request opens its connection; the adapter turns it into an answer."""


@dataclass(slots=True, eq=False)
class _RequestInProgress:
    """One request in progress. `looked_up_host`: a name of another machine that was looked up meanwhile, by any thread."""

    host: str
    through_proxy: bool
    on_loop: bool
    blocked_host: str = ""
    looked_up_host: str = ""

    def is_to_other_machine(self, attempt: ConnectionAttempt) -> bool:
        """A proxy on this machine forwards to others."""
        return self.through_proxy or not attempt.is_loopback

    def find_blocked_host(self, result: SendResult) -> str:
        """The machine that the request was kept from, or failed to reach; empty where there is none."""
        failed = isinstance(result, ModelFailure) and result.kind in ("connection", "timeout")
        return self.blocked_host or (self.looked_up_host if failed else "")


@dataclass(frozen=True, slots=True, eq=False)
class _NetworkBlock:
    on_blocked: OnBlocked
    in_progress: list[_RequestInProgress] = field(default_factory=list)

    def listen(self, attempt: ConnectionAttempt) -> None:
        request = _current_request.get()
        if request in self.in_progress and request is not None:
            if request.is_to_other_machine(attempt):
                request.blocked_host = request.host or attempt.host
                raise LiveCallRefused(
                    f"{request.blocked_host} is another machine, and live model calls are refused here"
                )
        elif attempt.is_lookup and not attempt.is_loopback:  # an event loop looks names up in a thread of its own
            for each in self.in_progress:
                each.looked_up_host = attempt.host if each.on_loop else ""

    @contextmanager
    def track(self, request: _RequestInProgress) -> Iterator[None]:
        self.in_progress.append(request)
        token = _current_request.set(request)
        try:
            yield
        finally:
            _current_request.reset(token)
            self.in_progress.remove(request)


_blocks: list[_NetworkBlock] = []
_current_request: ContextVar[_RequestInProgress | None] = ContextVar("llmguard_live_request", default=None)


@contextmanager
def block_live_calls(on_blocked: OnBlocked) -> Iterator[None]:
    """Block live model calls of this process until the `with` block ends. Of nested blocks, the innermost counts."""
    block = _NetworkBlock(on_blocked)
    _blocks.append(block)
    try:
        with listen_to_connections(block.listen):
            yield
    finally:
        _blocks.remove(block)


def guard_transport(transport: Transport, model: str, url: str) -> Transport:
    """The transport itself, or one that sends nothing to other machines while live calls are blocked.

    `url` is the server's; empty where only the client knows it.
    """
    return _GuardedTransport(transport, model, url, _blocks[-1]) if _blocks else transport


class _GuardedTransport:
    """A transport whose connections are tracked while it sends."""

    def __init__(self, transport: Transport, model: str, url: str, block: _NetworkBlock) -> None:
        self._transport, self._model, self._block = transport, model, block
        self._host = urlsplit(url).hostname or ""

    def post(self, path: str, body: Json, left_s: float, on_chunk: OnChunk = None) -> SendResult:
        request = self._begin(on_loop=False)
        with self._block.track(request):
            result = self._transport.post(path, body, left_s, on_chunk)
        return self._end(request, result)

    async def apost(self, path: str, body: Json, left_s: float, on_chunk: OnChunk = None) -> SendResult:
        request = self._begin(on_loop=True)
        if self._is_unobservable():
            request.blocked_host = self._host  # uvloop opens connections without Python, so no audit event is raised
            return self._end(request, _NOT_SENT)
        with self._block.track(request):
            result = await self._transport.apost(path, body, left_s, on_chunk)
        return self._end(request, result)

    def _is_unobservable(self) -> bool:
        """Whether a blocked request would be sent without an audit event."""
        import asyncio  # late, because every test run loads this module

        is_blocked = self._block in _blocks and not is_loopback(self._host)
        return is_blocked and not isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop)

    def _begin(self, *, on_loop: bool) -> _RequestInProgress:
        from urllib.request import getproxies, proxy_bypass

        proxied = not is_loopback(self._host) and bool(getproxies()) and not proxy_bypass(self._host)
        return _RequestInProgress(self._host, proxied, on_loop)

    def _end(self, request: _RequestInProgress, result: SendResult) -> SendResult:
        host = request.find_blocked_host(result)
        if not host:
            return result
        self._block.on_blocked(f"the model {self._model!r} at {host}")
        return ModelFailure("crashed", f"refused: a live model call, to {host}", sent=False)
