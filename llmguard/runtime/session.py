"""One guarded call from opening to outcome: a record is opened, the flow driven, and the record closed, whatever happens."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from dataclasses import replace

from llmguard.certification import is_drawn
from llmguard.core.canonical import Json, digest, json_roundtrip
from llmguard.core.effects import Flow
from llmguard.core.errors import LogError
from llmguard.core.outcome import Outcome, Said, Void
from llmguard.core.record import CallStart, Record, Step, interrupted
from llmguard.engine.acceptance import RECHECK
from llmguard.engine.call import guarded_call
from llmguard.engine.policy import Policy
from llmguard.log.protocol import OutcomeStore
from llmguard.runtime.async_driver import adrive, aevents
from llmguard.runtime.execution import NEVER, CallExecution, Price, voided
from llmguard.runtime.recorded import Recorded
from llmguard.runtime.sync_driver import drive, events


def new_id() -> str:
    """26 hexadecimal digits: milliseconds since the epoch, then 64 random bits; sorts by time."""
    return f"{time.time_ns() // 1_000_000:010x}{os.urandom(8).hex()}"


class Hearing:
    """Keeps each step and has it logged. A thing of its own, so that a session holds no reference to itself and is gone
    when its call is, without the garbage collector."""

    __slots__ = ("_call_id", "_log", "_steps")

    def __init__(self, log: OutcomeStore, call_id: str, steps: list[Step]) -> None:
        self._log, self._call_id, self._steps = log, call_id, steps

    def __call__(self, step: Step) -> None:
        self._steps.append(step)
        self._log.step(self._call_id, step)


class Session:
    """One call in progress: its identity, its steps so far, and where they go."""

    def __init__(
        self,
        policy: Policy,
        log: OutcomeStore,
        inputs: Json,
        *,
        meta: Json = None,
        price: Price | None = None,
        hard: bool = False,
    ) -> None:
        self.policy, self.log, self.inputs = policy, log, inputs
        self.id = new_id()
        self.steps: list[Step] = []
        self.execution = CallExecution(
            hear=Hearing(log, self.id, self.steps),
            price=price if policy.budget.usd is not None else None,
            hard_deadline=hard,
        )
        self.meta = meta or {}
        self.outcome: Outcome[Json] | None = None

    def open(self) -> None:
        self.log.begin(
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
        """Go on with a call whose process died: its id and its steps; what was answered is not asked again, but for
        whether the certificate still holds."""
        self.id, self.inputs, self.meta = record.opening.id, record.opening.inputs, record.opening.meta
        self.steps = [step for step in record.steps if not step.address.endswith(f"/{RECHECK}")]
        self.execution.hear = Hearing(self.log, self.id, self.steps)
        self.execution.recorded = Recorded(self.steps)
        self.log.begin(record.opening)  # from here on the call is this process's, for whoever reads the log

    def decide(self) -> Outcome[Json]:
        """Drive the flow in this thread; the outcome is on the disk when it returns."""
        self._set_deadline()
        try:
            outcome = self._named(drive(self._flow(), self.execution))
        except BaseException:
            self.interrupt()
            raise
        self.log.finish(self.id, outcome, time.time())
        return outcome

    async def adecide(self) -> Outcome[Json]:
        self._set_deadline()
        try:
            outcome = self._named(await adrive(self._flow(), self.execution))
        except BaseException:
            self.interrupt()
            raise
        await self.log.afinish(self.id, outcome, time.time())
        return outcome

    def events(self) -> Generator[Said, None, None]:
        """`decide` that hands out what streamed replies show; `outcome` is set when it ends, also when it is closed."""
        self._set_deadline()
        try:
            outcome = self._named((yield from events(self._flow(), self.execution)))
        except BaseException:
            self.interrupt()
            raise
        self.log.finish(self.id, outcome, time.time())
        self.outcome = outcome
        yield from self._void_at_end(outcome)

    async def aevents(self) -> AsyncGenerator[Said, None]:
        self._set_deadline()
        found: list[Outcome[Json]] = []
        said = aevents(self._flow(), self.execution, found.append)
        try:
            async for each in said:
                yield each
        except BaseException:
            await said.aclose()
            self.interrupt()
            raise
        outcome = self._named(found[0])
        await self.log.afinish(self.id, outcome, time.time())
        self.outcome = outcome
        for void in self._void_at_end(outcome):
            yield void

    def interrupt(self) -> None:
        """The caller left: the record is closed with what was paid for."""
        self.outcome = self._named(interrupted(self.steps))
        self.log.finish(self.id, self.outcome, time.time())

    def leave(self) -> None:
        """The end of a stream; of one that was never begun, too."""
        if self.outcome is None:
            self.interrupt()

    def _void_at_end(self, outcome: Outcome[Json]) -> Iterator[Void]:
        """Where the outcome is not what was shown last, that is void."""
        own = [attempt.address for attempt in outcome.attempts if "/c:" not in attempt.address]  # and no judge's
        if not (outcome.is_from_model and own[-1] == self.execution.shown):
            yield from voided(self.execution)

    def _flow(self) -> Flow[Outcome[Json]]:
        """The story of this call; whether it is drawn for audit is known before anything is asked."""
        audit = self.policy.audit
        audited = audit > 0 and is_drawn(self.log.secret, self.id, audit)
        return guarded_call(self.policy, self.inputs, audited=audited)

    def _set_deadline(self) -> None:
        bound = self.policy.deadline_s
        self.execution.deadline_at = NEVER if bound is None else time.monotonic() + bound

    def _named(self, outcome: Outcome[Json]) -> Outcome[Json]:
        return replace(outcome, id=self.id, guard=self.policy.name, fingerprint=self.policy.fingerprint)


def resumable(log: OutcomeStore, call_id: str, policy: Policy) -> Record:
    """The record of a call that may be resumed; LogError where there is none, or it is another guard's."""
    record = log.get(call_id)
    if record is None:
        raise LogError(f"no call {call_id!r} in the log. `llmguard log list` shows the ids.")
    if record.opening.guard != policy.name:
        raise LogError(f"call {call_id!r} is of guard {record.opening.guard!r}, not of {policy.name!r}.")
    return record


def inputs_of(given: Mapping[str, object]) -> Json:
    """A user's inputs as JSON; EncodingError names the one that is none."""
    return json_roundtrip(dict(given))
