"""Observers of calls: the log first, then the user's own, such as a tracer.

An observer changes nothing of a call. What the log raises ends the call, because a record would be missing; what any other
observer raises is logged as a warning, and the call goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from llmguard.core.canonical import Json
from llmguard.core.effects import Effect
from llmguard.core.outcome import Outcome
from llmguard.core.record import CallStart, Record, Step

logger = logging.getLogger("llmguard")


class Observer:
    """The start and end of calls and steps, in the order in which they happen. Override what you need.

    Methods run in the call's own thread (or on its event loop), and should return quickly. `inputs`, `outcome` and the answer
    of a step are the call's own: read them, and do not change them. An answer that comes from a record (a resumed call) is no
    step that starts or ends here.
    """

    def on_call_start(self, start: CallStart) -> None:
        """A call begins: nothing has been requested."""

    def on_step_start(self, call_id: str, effect: Effect) -> None:
        """A request to a model, or a function of the user's, is about to run."""

    def on_step_end(self, call_id: str, step: Step) -> None:
        """It was answered; trouble is an answer, too."""

    def on_call_end(self, call_id: str, outcome: Outcome[Json], ended_at: float) -> None:
        """The call has its outcome, which is in the log. `ended_at`: seconds since the epoch, UTC."""


class CallLog(Protocol):
    """What one call needs of a store; `llmguard.log.OutcomeStore` says what each must guarantee.

    The runtime knows no more of it, so that reviews, queries and certificates may change without it.
    """

    @property
    def secret(self) -> bytes: ...
    def begin(self, opening: CallStart) -> None: ...
    def step(self, call_id: str, step: Step) -> None: ...
    def finish(self, call_id: str, outcome: Outcome[Json], finished_at: float) -> None: ...
    async def afinish(self, call_id: str, outcome: Outcome[Json], finished_at: float) -> None: ...
    def get(self, call_id: str) -> Record | None: ...


class LogObserver(Observer):
    """Writes a call to a log; at its end the record is as durable as the log makes it."""

    def __init__(self, log: CallLog) -> None:
        self._log = log

    def on_call_start(self, start: CallStart) -> None:
        self._log.begin(start)

    def on_step_end(self, call_id: str, step: Step) -> None:
        self._log.step(call_id, step)

    def on_call_end(self, call_id: str, outcome: Outcome[Json], ended_at: float) -> None:
        self._log.finish(call_id, outcome, ended_at)

    async def aon_call_end(self, call_id: str, outcome: Outcome[Json], ended_at: float) -> None:
        """The same without blocking the event loop."""
        await self._log.afinish(call_id, outcome, ended_at)


class CallObservers:
    """The observers of one call, and its steps so far."""

    __slots__ = ("call_id", "log", "others", "steps")

    def __init__(self, log: LogObserver, others: Sequence[Observer], call_id: str) -> None:
        self.log, self.others, self.call_id = log, others, call_id
        self.steps: list[Step] = []

    def call_starts(self, start: CallStart) -> None:
        self.log.on_call_start(start)
        for each in self.others:
            _tell(each.on_call_start, start)

    def step_starts(self, effect: Effect) -> None:
        for each in self.others:
            _tell(each.on_step_start, self.call_id, effect)

    def step_ends(self, step: Step) -> None:
        self.steps.append(step)
        self.log.on_step_end(self.call_id, step)
        for each in self.others:
            _tell(each.on_step_end, self.call_id, step)

    def call_ends(self, outcome: Outcome[Json], ended_at: float) -> None:
        self.log.on_call_end(self.call_id, outcome, ended_at)
        self._tell_others_of_end(outcome, ended_at)

    async def acall_ends(self, outcome: Outcome[Json], ended_at: float) -> None:
        await self.log.aon_call_end(self.call_id, outcome, ended_at)
        self._tell_others_of_end(outcome, ended_at)

    def _tell_others_of_end(self, outcome: Outcome[Json], ended_at: float) -> None:
        for each in self.others:
            _tell(each.on_call_end, self.call_id, outcome, ended_at)


def _tell(method: Callable[..., None], *arguments: object) -> None:
    try:
        method(*arguments)
    except Exception:
        logger.warning("an observer raised, and the call went on: %s", _name_of(method), exc_info=True)


def _name_of(method: Callable[..., None]) -> str:
    return f"{type(getattr(method, '__self__', None)).__qualname__}.{getattr(method, '__name__', '?')}"
