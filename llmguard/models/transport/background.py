"""Work that cannot be stopped (a name look-up, an import), done in a thread that no caller waits for past its time.

Callers that want the same at the same time share one thread, so a slow name server is asked once, not once for each call.

Nothing here holds a lock, and the thread that works is never a caller's: an exception that a task queue raises in a caller's
thread at any point (Dramatiq's time limits, `stopit`) leaves nothing behind on which a later call could wait.
"""

from __future__ import annotations

import asyncio
import os
from _thread import start_new_thread
from collections.abc import Callable, Hashable
from contextvars import Context, copy_context
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar, cast

T = TypeVar("T")

_running: dict[Hashable, _Work[object]] = {}
"""By key and process: in a forked child the parent's threads do not exist."""


class _Ended(Generic[T]):
    """What the work returned, or raised."""

    def __init__(self, value: T | None = None, error: BaseException | None = None) -> None:
        self.value, self.error = value, error

    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return cast(T, self.value)


class _Work(Generic[T]):
    """One piece of work in progress, and who is to be told when it has ended."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self.told: list[Callable[[_Ended[T]], object]] = []
        self.ended: _Ended[T] | None = None

    def run(self, key: Hashable, context: Context) -> None:
        _running[key] = cast("_Work[object]", self)
        try:
            ended = _Ended(context.run(self._function))
        except Exception as error:
            ended = _Ended(error=error)
        finally:
            _running.pop(key, None)
        self.ended = ended
        for tell in self.told:  # who joins from now on finds `ended`
            tell(self.ended)


def _join(key: Hashable, function: Callable[[], T], tell: Callable[[_Ended[T]], object]) -> None:
    """Have `tell` called, in whichever thread, with what `function` gives, or what the same work in progress gives. It may be
    called twice."""
    key = (os.getpid(), key)
    work = cast("_Work[T] | None", _running.get(key))
    if work is None:
        work = _Work(function)
        work.told.append(tell)
        start_new_thread(work.run, (key, copy_context()))
        return
    work.told.append(tell)
    if work.ended is not None:
        tell(work.ended)


def run_within(seconds: float, key: Hashable, function: Callable[[], T]) -> T:
    """What `function` returns or raises; TimeoutError after `seconds`. What has the same key at the same time is done once."""
    inbox: SimpleQueue[_Ended[T]] = SimpleQueue()
    _join(key, function, inbox.put)
    try:
        return inbox.get(timeout=max(0.0, seconds)).result()
    except Empty:
        raise TimeoutError from None


async def arun_within(seconds: float, key: Hashable, function: Callable[[], T]) -> T:
    """The same on an event loop, whose own threads are not used: `asyncio.run` waits for those at its end."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[_Ended[T]] = loop.create_future()

    def settle(ended: _Ended[T]) -> None:
        if not arrived.done():
            arrived.set_result(ended)

    def tell(ended: _Ended[T]) -> None:
        try:
            loop.call_soon_threadsafe(settle, ended)
        except RuntimeError:  # the loop is closed: no one waits any more
            return

    _join(key, function, tell)
    await asyncio.wait((arrived,), timeout=max(0.0, seconds))
    if not arrived.done():
        raise TimeoutError
    return arrived.result().result()
