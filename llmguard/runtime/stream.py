"""A guarded call that is shown while it runs: iterate over `Partial` and `Void`, then read the outcome."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Generic, TypeVar

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.outcome import Outcome, StreamEvent
from llmguard.runtime.session import Session

T = TypeVar("T")


class _Shown(Generic[T]):
    def __init__(self, session: Session, finished: Callable[[Outcome[Json]], Outcome[T]]) -> None:
        self._session, self._finished = session, finished

    @property
    def outcome(self) -> Outcome[T]:
        """The outcome, once the stream has ended; of one that was left early it is `interrupted`."""
        if self._session.outcome is None:
            raise UsageError("the stream has not ended: iterate to its end, or leave its `with` block, first.")
        return self._finished(self._session.outcome)


class Stream(_Shown[T]):
    """`with guard.stream(...) as stream: for said in stream: ...`; leaving early stops the request.

    >>> from llmguard import Guard
    >>> from llmguard.testing import ScriptedModel
    >>> guard = Guard("age", prompt="p", schema={"type": "object"}, models=[ScriptedModel(['{"age": 36}'])], log=None)
    >>> with guard.stream() as stream:
    ...     for said in stream:
    ...         print(said)
    Partial(address='r0/s0/a1/t1', value={'age': 36})
    >>> stream.outcome.value
    {'age': 36}
    """

    def __enter__(self) -> Stream[T]:
        self._session.open()
        self._events: Generator[StreamEvent, None, None] = self._session.events()
        return self

    def __iter__(self) -> Iterator[StreamEvent]:
        return self._events

    def __exit__(self, *exception: object) -> None:
        self._events.close()
        self._session.leave()


class AsyncStream(_Shown[T]):
    """`async with guard.astream(...) as stream: async for said in stream: ...`"""

    async def __aenter__(self) -> AsyncStream[T]:
        self._session.open()
        self._events: AsyncGenerator[StreamEvent, None] = self._session.aevents()
        return self

    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        return self._events

    async def __aexit__(self, *exception: object) -> None:
        await self._events.aclose()
        self._session.leave()
