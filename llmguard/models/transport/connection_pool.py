"""The connections of one process to one server, kept and used again, without a lock.

httpcore's own pool keeps requests and connections in lists under a lock that is written in Python. Task queues end a
thread by raising an exception in it (Dramatiq's time limits, `stopit`, `PyThreadState_SetAsyncExc`). Where that lands between
the lock's own lines, the lock stays taken, and every later call of the process hangs, whatever its deadline. Here a
connection belongs to the one thread that took it, and taking and giving back are each one step of the interpreter: a thread
that ends takes its own connection with it and nothing else.
"""

from __future__ import annotations

from collections import deque

from llmguard.core.canonical import Json
from llmguard.models.transport.http_libraries import httpcore

MAX_IDLE = 100
"""Connections that are kept: the SDK's own limit."""


class LockFreePool:
    """Makes connections as `factory` does, whose own pool stays empty."""

    def __init__(self, factory: httpcore.ConnectionPool) -> None:
        self._factory = factory
        self._idle: deque[Json] = deque()

    def acquire(self, origin: httpcore.Origin) -> Json:
        """The connection that was used last, if its server still holds it open; else a new one, not yet opened."""
        while (connection := self._pop()) is not None:
            if connection.is_available() and not connection.has_expired():
                return connection
            connection.close()
        return self._factory.create_connection(origin)

    def release(self, connection: Json) -> None:
        """Keep it for the next request, if its reply was read to the end; it closes with one that waited too long."""
        if not connection.is_idle():
            connection.close()
            return
        self._idle.append(connection)
        if len(self._idle) > 1 and (len(self._idle) > MAX_IDLE or self._oldest_has_expired()):
            oldest = self._pop_oldest()
            if oldest is not None:
                oldest.close()

    def close(self) -> None:
        while (connection := self._pop()) is not None:
            connection.close()

    def _pop(self) -> Json:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _oldest_has_expired(self) -> bool:
        try:
            return bool(self._idle[0].has_expired())
        except IndexError:  # another thread took it
            return False

    def _pop_oldest(self) -> Json:
        try:
            return self._idle.popleft()
        except IndexError:
            return None
