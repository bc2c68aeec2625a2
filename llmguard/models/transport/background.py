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
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar, cast

T = TypeVar("T")

_running: dict[Hashable, _Work[object]] = {}
"""By key and process: in a forked child the parent's threads do not exist."""


class _Result(Generic[T]):
    """What the work returned, or raised."""

    def __init__(self, value: T | None = None, error: BaseException | None = None) -> None:
        self._value, self._error = value, error

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return cast(T, self._value)


class _Work(Generic[T]):
    """One piece of work in progress, and who is to be told when it has finished."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self.waiting: list[Callable[[_Result[T]], object]] = []
        self.finished: _Result[T] | None = None

    def execute(self, key: Hashable) -> None:
        _running[key] = cast("_Work[object]", self)
        try:
            finished = _Result(self._function())
        except Exception as error:
            finished = _Result(error=error)
        finally:
            _running.pop(key, None)
        self.finished = finished
        for tell in self.waiting:  # who joins from now on finds `finished`
            tell(self.finished)


def _join(key: Hashable, function: Callable[[], T], tell: Callable[[_Result[T]], object]) -> None:
    """Have `tell` called, in whichever thread, with what `function` gives, or what the same work in progress gives. It may be
    called twice."""
    key = (os.getpid(), key)
    work = cast("_Work[T] | None", _running.get(key))
    if work is None:
        work = _Work(function)
        work.waiting.append(tell)
        start_new_thread(copy_context().run, (work.execute, key))
        return
    work.waiting.append(tell)
    if work.finished is not None:
        tell(work.finished)


def run_within(seconds: float, key: Hashable, function: Callable[[], T]) -> T:
    """What `function` returns or raises; TimeoutError after `seconds`. What has the same key at the same time is done once."""
    inbox: SimpleQueue[_Result[T]] = SimpleQueue()
    _join(key, function, inbox.put)
    try:
        return inbox.get(timeout=max(0.0, seconds)).result()
    except Empty:
        raise TimeoutError from None


async def arun_within(seconds: float, key: Hashable, function: Callable[[], T]) -> T:
    """The same on an event loop, whose own threads are not used: `asyncio.run` waits for those at its end."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[_Result[T]] = loop.create_future()

    def settle(finished: _Result[T]) -> None:
        if not arrived.done():
            arrived.set_result(finished)

    def tell(finished: _Result[T]) -> None:
        try:
            loop.call_soon_threadsafe(settle, finished)
        except RuntimeError:  # the loop is closed: no one waits any more
            return

    _join(key, function, tell)
    await asyncio.wait((arrived,), timeout=max(0.0, seconds))
    if not arrived.done():
        raise TimeoutError
    return arrived.result().result()
