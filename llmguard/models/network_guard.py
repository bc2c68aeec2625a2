"""Live model calls, and who may make them: everybody, unless whoever runs this process refuses them (a test run does).

A live call is a request to a model that leaves this machine. It is refused where it would: at the name lookup or the
connection, so that a server on loopback, a mocked transport and a cassette work as ever. A refused request is an answer
(`crashed`, not sent, not tried again), and whoever refuses is told, for the flow goes on to the next rung.
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
from llmguard.models.connections import ConnectionAttempt, is_loopback, listening

if TYPE_CHECKING:
    from llmguard.models.openai.sdk_transport import Heard, Sent, Wire

Told: TypeAlias = Callable[[str], None]
"""Told which model was asked, and where: `the model 'gpt-5-mini' at api.openai.com`."""


_UNSEEN = ModelFailure("connection", "not sent", sent=False)


class LiveCallRefused(ConnectionError):
    """What the connection of a refused request raises; the adapter turns it into an answer."""


@dataclass(slots=True, eq=False)
class _Asked:
    """One request in progress. `looked_up`: another machine's name that was looked up meanwhile, in whatever thread."""

    host: str
    through_proxy: bool
    on_loop: bool
    left_for: str = ""
    looked_up: str = ""

    def leaves(self, opening: ConnectionAttempt) -> bool:
        """A proxy on this machine passes on what it is sent."""
        return self.through_proxy or not opening.is_loopback

    def refused(self, sent: Sent) -> str:
        """The machine that the request was kept from, or that it failed to reach; empty where there is none."""
        failed = isinstance(sent, ModelFailure) and sent.kind in ("connection", "timeout")
        return self.left_for or (self.looked_up if failed else "")


@dataclass(frozen=True, slots=True, eq=False)
class _Refusal:
    told: Told
    in_progress: list[_Asked] = field(default_factory=list)

    def listen(self, opening: ConnectionAttempt) -> None:
        asked = _asked.get()
        if asked in self.in_progress and asked is not None:
            if asked.leaves(opening):
                asked.left_for = asked.host or opening.host
                raise LiveCallRefused(f"{asked.left_for} is another machine, and live model calls are refused here")
        elif opening.is_lookup and not opening.is_loopback:  # an event loop looks names up in a thread of its own
            for each in self.in_progress:
                each.looked_up = opening.host if each.on_loop else ""

    @contextmanager
    def watching(self, asked: _Asked) -> Iterator[None]:
        self.in_progress.append(asked)
        token = _asked.set(asked)
        try:
            yield
        finally:
            _asked.reset(token)
            self.in_progress.remove(asked)


_refusals: list[_Refusal] = []
_asked: ContextVar[_Asked | None] = ContextVar("llmguard_live_request", default=None)


@contextmanager
def refusing(told: Told) -> Iterator[None]:
    """Refuse live model calls of this process until the block ends. Of nested blocks, the innermost counts."""
    refusal = _Refusal(told)
    _refusals.append(refusal)
    try:
        with listening(refusal.listen):
            yield
    finally:
        _refusals.remove(refusal)


def kept_here(wire: Wire, model: str, url: str) -> Wire:
    """The wire as it is, or one that sends nothing to another machine, where that is refused now.

    `url` is the server's; empty where only the client knows it.
    """
    return _KeptHere(wire, model, url, _refusals[-1]) if _refusals else wire


class _KeptHere:
    """A wire that is watched while it sends."""

    def __init__(self, wire: Wire, model: str, url: str, refusal: _Refusal) -> None:
        self._wire, self._model, self._refusal = wire, model, refusal
        self._host = urlsplit(url).hostname or ""

    def post(self, path: str, body: Json, left_s: float, heard: Heard = None) -> Sent:
        asked = self._begun(on_loop=False)
        with self._refusal.watching(asked):
            sent = self._wire.post(path, body, left_s, heard)
        return self._ended(asked, sent)

    async def apost(self, path: str, body: Json, left_s: float, heard: Heard = None) -> Sent:
        asked = self._begun(on_loop=True)
        if self._is_unseen():
            asked.left_for = self._host  # uvloop and its like open connections without Python: none can be heard
            return self._ended(asked, _UNSEEN)
        with self._refusal.watching(asked):
            sent = await self._wire.apost(path, body, left_s, heard)
        return self._ended(asked, sent)

    def _is_unseen(self) -> bool:
        """Whether a refused request would go out unheard."""
        import asyncio  # here, for every test run loads this module

        refused = self._refusal in _refusals and not is_loopback(self._host)
        return refused and not isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop)

    def _begun(self, *, on_loop: bool) -> _Asked:
        from urllib.request import getproxies, proxy_bypass

        proxied = not is_loopback(self._host) and bool(getproxies()) and not proxy_bypass(self._host)
        return _Asked(self._host, proxied, on_loop)

    def _ended(self, asked: _Asked, sent: Sent) -> Sent:
        host = asked.refused(sent)
        if not host:
            return sent
        self._refusal.told(f"the model {self._model!r} at {host}")
        return ModelFailure("crashed", f"refused: a live model call, to {host}", sent=False)
