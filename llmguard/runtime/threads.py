"""Daemon threads and one background event loop, for what must not run in the caller's thread.

`ThreadPoolExecutor` is not usable here: the interpreter's exit joins its threads, so one hung function would hang it.
A thread cannot be ended. One whose function overran its time is left behind, a bounded number of them per process.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from queue import SimpleQueue

from llmguard.core.canonical import Json

MAX_LEFT_BEHIND = 64
"""Overrun functions that may hang at one time in a process."""


class Job:
    """One function that runs in a daemon thread."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._state = "running"

    def execute(self) -> None:
        try:
            self._work()
        finally:
            with _lock:
                if self._state == "left":
                    _left.discard(self)
                self._state = "done"

    def leave(self) -> None:
        """The caller no longer waits for it."""
        with _lock:
            if self._state == "running":
                self._state = "left"
                _left.add(self)


_idle: list[SimpleQueue[Callable[[], None]]] = []
_left: set[Job] = set()
_loop: asyncio.AbstractEventLoop | None = None
_lock = threading.Lock()


class TooManyLeftBehind(RuntimeError):
    """So many overrun functions hang in this process that no other is started in a thread."""


def submit(work: Callable[[], None]) -> Job:
    """Run `work` in a daemon thread, in a copy of the caller's context. `work` handles its own errors."""
    if len(_left) >= MAX_LEFT_BEHIND:
        raise TooManyLeftBehind(f"{len(_left)} functions that overran their time still hang in this process")
    job, context = Job(work), contextvars.copy_context()
    try:
        inbox = _idle.pop()
    except IndexError:
        inbox = SimpleQueue()
        threading.Thread(target=_serve, args=(inbox,), daemon=True, name="llmguard-worker").start()
    inbox.put(lambda: context.run(job.execute))
    return job


def _serve(inbox: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        work = inbox.get()
        work()
        del work  # what it holds may be large, and the next one may be long in coming
        _idle.append(inbox)


def background_loop() -> asyncio.AbstractEventLoop:
    """For async functions under the sync driver, whether or not the caller's thread runs a loop of its own."""
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, daemon=True, name="llmguard-loop").start()
        return _loop


def start_async(coroutine: Coroutine[Json, Json, Json], done: Callable[[Json], None]) -> Callable[[], object]:
    """Start it on the background loop, in the caller's context; returns its cancel."""
    future = asyncio.run_coroutine_threadsafe(coroutine, background_loop())
    future.add_done_callback(done)
    return future.cancel


def _forget() -> None:
    """In a forked child the parent's threads do not exist."""
    global _loop, _lock
    _idle.clear()
    _left.clear()
    _loop, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
