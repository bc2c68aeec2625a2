"""One guarded call from start to outcome: the record is opened, the flow driven, and the record closed, whatever happens."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from dataclasses import replace

from llmguard.certification import is_drawn
from llmguard.core.canonical import Json, digest, json_roundtrip
from llmguard.core.effects import Flow
from llmguard.core.errors import LogError
from llmguard.core.outcome import Outcome, StreamEvent, Void
from llmguard.core.record import CallStart, Record, interrupted
from llmguard.engine.acceptance import RECHECK
from llmguard.engine.call import guarded_call
from llmguard.engine.policy import Policy
from llmguard.parsing.syntax import same_json
from llmguard.runtime.async_driver import adrive, aevents
from llmguard.runtime.execution import NEVER, CallExecution, Price, void_displayed
from llmguard.runtime.observers import CallLog, CallObservers, LogObserver, Observer
from llmguard.runtime.recorded import Recorded
from llmguard.runtime.sync_driver import drive, events


def new_id() -> str:
    """26 hexadecimal digits: milliseconds since the epoch, then 64 random bits; sorts by time."""
    return f"{time.time_ns() // 1_000_000:010x}{os.urandom(8).hex()}"


class Session:
    """One call in progress: its identity, its execution, and its observers."""

    def __init__(
        self,
        policy: Policy,
        log: CallLog,
        inputs: Json,
        *,
        meta: Json = None,
        price: Price | None = None,
        hard_deadline: bool = False,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.policy, self.log, self.inputs = policy, log, inputs
        self.id = new_id()
        self.meta = meta or {}
        self.outcome: Outcome[Json] | None = None
        self._observers = CallObservers(LogObserver(log), observers, self.id)
        self._execution = CallExecution(
            on_step_end=self._observers.step_ends,
            on_step_start=self._observers.step_starts if observers else None,
            price=price if policy.budget.usd is not None else None,
            hard_deadline=hard_deadline,
        )

    def open(self) -> None:
        """The call is in the log before its first request."""
        self._observers.call_starts(
            CallStart(
                id=self.id,
                guard=self.policy.name,
                fingerprint=self.policy.fingerprint,
                inputs=self.inputs,
                inputs_digest=digest(self.inputs),
                meta=self.meta,
                started_at=time.time(),
            )
        )

    def resume(self, record: Record) -> None:
        """Go on with a call whose process died: with its id and its steps. What was answered is not requested again, except
        whether the certificate still holds."""
        start = record.opening
        self.id, self.inputs, self.meta = start.id, start.inputs, start.meta
        self._observers.call_id = start.id
        self._observers.steps = [step for step in record.steps if not step.address.endswith(f"/{RECHECK}")]
        self._execution.recorded = Recorded(self._observers.steps)
        self._observers.call_starts(start)  # from here on the call is this process's, for all readers of the log

    def decide(self) -> Outcome[Json]:
        """Drive the flow in this thread; the outcome is on the disk when it returns."""
        self._set_deadline()
        try:
            outcome = self._identify(drive(self._flow(), self._execution))
        except BaseException:
            self.interrupt()
            raise
        self._observers.call_ends(outcome, time.time())
        return outcome

    async def adecide(self) -> Outcome[Json]:
        """`decide` on the running event loop."""
        self._set_deadline()
        try:
            outcome = self._identify(await adrive(self._flow(), self._execution))
        except BaseException:
            self.interrupt()
            raise
        await self._observers.acall_ends(outcome, time.time())
        return outcome

    def events(self) -> Generator[StreamEvent, None, None]:
        """`decide` that yields what streamed replies display; `outcome` is set when it ends, also when it is closed."""
        self._set_deadline()
        try:
            outcome = self._identify((yield from events(self._flow(), self._execution)))
        except BaseException:
            self.interrupt()
            raise
        self._observers.call_ends(outcome, time.time())
        self.outcome = outcome
        yield from self._void_at_end(outcome)

    async def aevents(self) -> AsyncGenerator[StreamEvent, None]:
        """`events` on the running event loop."""
        self._set_deadline()
        results: list[Outcome[Json]] = []
        stream = aevents(self._flow(), self._execution, results.append)
        try:
            async for event in stream:
                yield event
        except BaseException:
            await stream.aclose()
            self.interrupt()
            raise
        outcome = self._identify(results[0])
        await self._observers.acall_ends(outcome, time.time())
        self.outcome = outcome
        for void in self._void_at_end(outcome):
            yield void

    def interrupt(self) -> None:
        """The caller left: the record is closed with what was paid for."""
        self.outcome = self._identify(interrupted(self._observers.steps))
        self._observers.call_ends(self.outcome, time.time())

    def leave(self) -> None:
        """The end of a stream, also of one that was never begun."""
        if self.outcome is None:
            self.interrupt()

    def _void_at_end(self, outcome: Outcome[Json]) -> Iterator[Void]:
        """Where the outcome is not what was displayed last, that is void: another answer came, or the value was repaired."""
        displayed = self._execution.displayed
        if displayed is None:
            return
        own = [attempt.address for attempt in outcome.attempts if "/c:" not in attempt.address]  # and no judge's
        is_displayed = outcome.is_from_model and own[-1] == displayed.address
        if not (is_displayed and same_json(displayed.value(), outcome.value)):
            yield from void_displayed(self._execution)

    def _flow(self) -> Flow[Outcome[Json]]:
        """Whether the call is drawn for an audit is known before anything is requested."""
        audit = self.policy.audit
        audited = audit > 0 and is_drawn(self.log.secret, self.id, audit)
        return guarded_call(self.policy, self.inputs, audited=audited)

    def _set_deadline(self) -> None:
        bound = self.policy.deadline_s
        self._execution.deadline_at = NEVER if bound is None else time.monotonic() + bound

    def _identify(self, outcome: Outcome[Json]) -> Outcome[Json]:
        return replace(outcome, id=self.id, guard=self.policy.name, fingerprint=self.policy.fingerprint)


def resumable(log: CallLog, call_id: str, policy: Policy) -> Record:
    """The record of a call that may be resumed; LogError where there is none, or it is another guard's."""
    record = log.get(call_id)
    if record is None:
        raise LogError(f"no call {call_id!r} in the log. `llmguard log list` shows the ids.")
    if record.opening.guard != policy.name:
        raise LogError(f"call {call_id!r} is of guard {record.opening.guard!r}, not of {policy.name!r}.")
    return record


def inputs_as_json(inputs: Mapping[str, object]) -> Json:
    """A user's inputs as JSON; EncodingError names the one that is not JSON."""
    return json_roundtrip(dict(inputs))
