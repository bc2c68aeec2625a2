"""Perform effects: the only module that knows sync from async.

A driver sends a flow its answers until it returns. It keeps the deadline, evaluates waits, runs users' functions where
they belong, and tells the recorder every answer before the flow hears it.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from threading import Event
from typing import TypeVar, cast

from llmguard.canonical import crossed
from llmguard.effects import Answer, Answers, Batch, Call, Crashed, Effect, Flow, Invoke, Returned, Wait
from llmguard.messages import ModelAnswer, ModelFailure, Usage
from llmguard.record import Step
from llmguard.redaction import redact_text
from llmguard.replay import Recorded
from llmguard.workers import Job, start_async, submit

T = TypeVar("T")
NEVER = float("inf")
Hear = Callable[[Step], None]
Price = Callable[[str, Usage], float | None]


class TimeLeft:
    """A deadline as adapters see it: the time left, and the news that nobody waits any more."""

    __slots__ = ("_at", "_closers", "_stopped")

    def __init__(self, at: float) -> None:
        self._at = at
        self._stopped: Event | None = None
        self._closers: list[Callable[[], object]] = []

    def remaining_s(self) -> float:
        """Seconds, 0 where it has passed, infinity where there is none."""
        return max(0.0, self._at - time.monotonic())

    def passed(self) -> bool:
        return (self._stopped is not None and self._stopped.is_set()) or time.monotonic() >= self._at

    def on_stop(self, close: Callable[[], object]) -> None:
        self._closers.append(close)

    def stoppable(self) -> TimeLeft:
        self._stopped = Event()
        return self

    def stop(self) -> None:
        if self._stopped is not None:
            self._stopped.set()
        for close in self._closers:
            try:
                close()
            except Exception:  # a connection that is gone already
                continue

    def pause(self, seconds: float) -> bool:
        """Wait; False if nobody waits for the request any more."""
        seconds = min(seconds, self.remaining_s())
        if self._stopped is not None:
            return not self._stopped.wait(seconds)
        if seconds > 0:
            time.sleep(seconds)
        return True


@dataclass(slots=True)
class Run:
    """One guarded call in progress: what its driver knows of it."""

    deadline_at: float = NEVER
    hear: Hear | None = None
    recorded: Recorded | None = None
    price: Price | None = None
    hard_deadline: bool = False
    waits: bool = True
    """False: back-off is evaluated and recorded, and not waited for (tests)."""
    waited: dict[str, float] = field(default_factory=dict)

    def known(self, effect: Effect) -> Answer | None:
        """An answer that needs nobody: from the record, or that no time is left."""
        if self.recorded is not None and (answer := self.recorded.answer(effect)) is not None:
            return answer
        if self.deadline_at != NEVER and time.monotonic() >= self.deadline_at and not _graced(effect):
            return self.heard(effect, too_late(effect))
        if isinstance(effect, Call) and effect.wait is not None:
            return self._refused_wait(effect)
        return None

    def _refused_wait(self, effect: Call) -> Answer | None:
        """Evaluates the wait; one that is longer than the time left is not begun."""
        wait = cast(Wait, effect.wait)
        try:
            seconds = max(float(wait.strategy(wait.state)), wait.at_least_s)
        except Exception as error:  # a strategy of the user's
            return self.heard(effect, replace(cast(ModelFailure, failed(effect, error)), sent=False))
        left = self.deadline_at - time.monotonic()
        if seconds >= left:
            said = f"a retry was due in {seconds:.1f} s, with {max(0.0, left):.1f} s left"
            return self.heard(effect, ModelFailure("timeout", said, sent=False))
        self.waited[effect.address] = seconds
        return None

    def pause_before(self, effect: Effect) -> float:
        return self.waited.get(effect.address, 0.0) if self.waits and self.waited else 0.0

    def limit(self, effect: Effect) -> float:
        if isinstance(effect, Call):
            return self.deadline_at
        own = time.monotonic() + effect.timeout_s if effect.timeout_s is not None else NEVER
        return own if effect.grace else min(own, self.deadline_at)

    def heard(self, effect: Effect, answer: Answer) -> Answer:
        """Every answer passes here, once."""
        if self.price is not None and isinstance(effect, Call):
            answer = _priced(effect, cast(ModelAnswer, answer), self.price)
        if self.hear is not None:
            waited_s = self.waited.get(effect.address, 0.0) if self.waited else 0.0
            self.hear(Step(effect.address, effect.digest(), answer, waited_s))
        return answer


def _graced(effect: Effect) -> bool:
    return isinstance(effect, Invoke) and effect.grace


def _priced(effect: Call, answer: ModelAnswer, price: Price) -> ModelAnswer:
    cost = price(effect.model.name, answer.usage) if answer.cost_usd is None else answer.cost_usd
    return replace(answer, cost_usd=cost)


def too_late(effect: Effect) -> Answer:
    if isinstance(effect, Call):
        return ModelFailure("deadline", "no answer came within the deadline")
    return Crashed("deadline", "no time was left")


def overdue(effect: Effect, run: Run) -> Answer:
    """A job that did not answer in time: by the call's deadline, or by its own timeout."""
    if isinstance(effect, Call) or (time.monotonic() >= run.deadline_at and not effect.grace):
        return too_late(effect)
    return Crashed("timeout", f"no answer within timeout_s={effect.timeout_s}")


def failed(effect: Effect, error: BaseException) -> Answer:
    """What a function or an adapter raised, as an answer."""
    said = redact_text(f"{type(error).__name__}: {error}")[:500]
    return ModelFailure("crashed", said) if isinstance(effect, Call) else Crashed("crashed", said)


def timed(answer: Answer, began: float) -> Answer:
    return replace(answer, latency_s=time.monotonic() - began)


# ------------------------------------------------------------------------------------------------- sync


def drive(flow: Flow[T], run: Run) -> T:
    """Run a flow in the caller's thread."""
    answers: Answers | None = None
    try:
        while True:
            try:
                batch = flow.send(cast(Answers, answers))
            except StopIteration as done:
                return cast(T, done.value)
            answers = perform(batch, run)
    finally:
        flow.close()


def perform(batch: Batch, run: Run) -> Answers:
    if len(batch) == 1:
        effect = batch[0]
        answer = run.known(effect)
        if answer is None and _place(effect, run, alone=True) == "inline":
            answer = run.heard(effect, inline(effect, run))
        if answer is not None:
            return (answer,)
        return Together(batch, run, known=(None,)).answers()
    return Together(batch, run, known=tuple(run.known(effect) for effect in batch)).answers()


def _place(effect: Effect, run: Run, alone: bool) -> str:
    if isinstance(effect, Invoke):
        return effect.place
    place = effect.model.place
    return "thread" if place == "inline" and (run.hard_deadline or not alone) else place


def here(effect: Effect, left: TimeLeft, pause: float, caught: type[BaseException] = Exception) -> Answer | None:
    """Perform an effect in this thread, after a pause. None: nobody waits for it any more."""
    if not left.pause(pause):
        return None
    began = time.monotonic()
    try:
        if isinstance(effect, Call):
            answer: Answer = effect.model.call(effect.request, left)
        else:
            answer = Returned(crossed(effect.function(*effect.arguments)))
    except caught as error:
        answer = failed(effect, error)
    return timed(answer, began)


def inline(effect: Effect, run: Run) -> Answer:
    """In the caller's own thread, where its thread-locals and connections work; nothing here bounds it."""
    return cast(Answer, here(effect, TimeLeft(run.deadline_at), run.pause_before(effect)))


class Together:
    """A batch whose effects run at the same time: threads, the background loop, and what is inline meanwhile."""

    def __init__(self, batch: Batch, run: Run, known: Iterable[Answer | None]) -> None:
        self.batch, self.run = batch, run
        self.found = {number: answer for number, answer in enumerate(known) if answer is not None}
        self.inbox: SimpleQueue[tuple[int, Answer]] = SimpleQueue()
        self.stops: dict[int, Callable[[], object]] = {}
        self.limits: dict[int, float] = {}

    def answers(self) -> Answers:
        try:
            for number in self.begin():
                self.settle(number, inline(self.batch[number], self.run))
            while len(self.found) < len(self.batch):
                self.wait()
        except BaseException:  # Ctrl-C, or a closed stream: nobody waits any more
            for stop in self.stops.values():
                stop()
            raise
        return tuple(self.found[number] for number in range(len(self.batch)))

    def begin(self) -> list[int]:
        """Starts what runs elsewhere; returns what is to run here."""
        here = []
        for number, effect in enumerate(self.batch):
            if number in self.found:
                continue
            place = _place(effect, self.run, alone=len(self.batch) == 1)
            if place == "inline":
                here.append(number)
                continue
            self.limits[number] = self.run.limit(effect)
            try:
                self.stops[number] = (self.on_loop if place == "loop" else self.in_thread)(number, effect)
            except Exception as error:
                self.settle(number, failed(effect, error))
        return here

    def in_thread(self, number: int, effect: Effect) -> Callable[[], object]:
        left = TimeLeft(self.limits[number]).stoppable()
        job = submit(lambda: self.work(number, effect, left))
        return lambda: _abandon(job, left)

    def work(self, number: int, effect: Effect, left: TimeLeft) -> None:
        """In a thread of ours, where SystemExit ends nothing but the job."""
        answer = here(effect, left, self.run.pause_before(effect), BaseException)
        if answer is not None:
            self.inbox.put((number, answer))

    def on_loop(self, number: int, effect: Effect) -> Callable[[], object]:
        left = TimeLeft(self.limits[number]).stoppable()

        def done(future: Future[Answer]) -> None:
            try:
                answer = future.result()
            except BaseException as error:  # CancelledError: it was stopped, or cancelled itself
                answer = failed(effect, error)
            self.inbox.put((number, answer))

        return start_async(_aanswer(effect, left, self.run.pause_before(effect)), done)

    def wait(self) -> None:
        """For the next answer, or for the next limit."""
        due = min((at for number, at in self.limits.items() if number not in self.found), default=NEVER)
        try:
            number, answer = self.inbox.get(timeout=None if due == NEVER else max(0.0, due - time.monotonic()))
        except Empty:
            self.give_up()
        else:
            if number not in self.found:
                self.settle(number, answer)

    def give_up(self) -> None:
        now = time.monotonic()
        for number, at in self.limits.items():
            if number not in self.found and at <= now:
                self.settle(number, overdue(self.batch[number], self.run))
                self.stops[number]()

    def settle(self, number: int, answer: Answer) -> None:
        self.found[number] = self.run.heard(self.batch[number], answer)


def _abandon(job: Job, left: TimeLeft) -> None:
    job.leave()
    left.stop()


# ------------------------------------------------------------------------------------------------- async


async def adrive(flow: Flow[T], run: Run) -> T:
    """Run a flow on the running event loop."""
    answers: Answers | None = None
    try:
        while True:
            try:
                batch = flow.send(cast(Answers, answers))
            except StopIteration as done:
                return cast(T, done.value)
            answers = await aperform(batch, run)
    finally:
        flow.close()


async def aperform(batch: Batch, run: Run) -> Answers:
    found: dict[int, Answer] = {}
    tasks: dict[int, asyncio.Task[Answer]] = {}
    try:
        for number, effect in enumerate(batch):
            answer = run.known(effect)
            if answer is not None:
                found[number] = answer
            else:
                tasks[number] = asyncio.create_task(bounded(effect, run))
        if tasks:
            await asyncio.wait(tasks.values())
    finally:
        await end(tasks.values())
    return tuple(found[number] if number in found else tasks[number].result() for number in range(len(batch)))


async def bounded(effect: Effect, run: Run) -> Answer:
    """One effect within its limit; what it leaves behind is cancelled, and not waited for long."""
    limit = run.limit(effect)
    task = asyncio.create_task(_ashielded(effect, run, limit))
    try:
        await asyncio.wait((task,), timeout=None if limit == NEVER else max(0.0, limit - time.monotonic()))
        if task.cancelled():  # a function that cancels itself; where the caller was cancelled, the wait above raised
            answer = failed(effect, RuntimeError("it cancelled itself"))
        else:
            answer = task.result() if task.done() else overdue(effect, run)
    finally:
        await end((task,))
    return run.heard(effect, answer)


async def _ashielded(effect: Effect, run: Run, limit: float) -> Answer:
    left, pause = TimeLeft(limit), run.pause_before(effect)
    if _place(effect, run, alone=True) == "thread":
        return await _in_thread(effect, left, pause)
    return await _aanswer(effect, left, pause)


async def _aanswer(effect: Effect, left: TimeLeft, pause: float) -> Answer:
    if pause:
        await asyncio.sleep(pause)
    began = time.monotonic()
    try:
        if isinstance(effect, Call):
            answer: Answer = await effect.model.acall(effect.request, left)
        else:
            value = effect.function(*effect.arguments)
            answer = Returned(crossed(await value if inspect.isawaitable(value) else value))
    except Exception as error:
        answer = failed(effect, error)
    return timed(answer, began)


async def _in_thread(effect: Effect, left: TimeLeft, pause: float) -> Answer:
    """In a daemon thread: the loop's own executor is joined when the loop closes, and would hang with its function."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Answer] = loop.create_future()
    left.stoppable()

    def settle(answer: Answer | None) -> None:
        if answer is not None and not future.done():
            future.set_result(answer)

    def work() -> None:
        answer = here(effect, left, pause, BaseException)
        try:
            loop.call_soon_threadsafe(settle, answer)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    job = submit(work)
    try:
        return await future
    except BaseException:
        _abandon(job, left)
        raise


async def end(tasks: Iterable[asyncio.Task[Answer]], grace_s: float = 0.5) -> None:
    """Cancel what still runs; a function that ignores its cancellation is not waited for longer than `grace_s`."""
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=grace_s)
