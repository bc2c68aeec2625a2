"""The sync driver: in the caller's thread what can be, in daemon threads and on the background loop what must."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar, cast

from llmguard.core.effects import Answer, Answers, Batch, Call, Effect, Flow
from llmguard.core.outcome import Partial, Said
from llmguard.runtime.async_driver import perform_on_loop
from llmguard.runtime.execution import (
    NEVER,
    CallExecution,
    StreamingReply,
    TimeLeft,
    failed,
    is_streamed,
    runs_on_of,
    timed_out,
    voided,
)
from llmguard.runtime.inline import cancel, perform, perform_inline
from llmguard.runtime.threads import start_async, submit

T = TypeVar("T")


def drive(flow: Flow[T], execution: CallExecution) -> T:
    """Run a flow in the caller's thread."""
    answers: Answers | None = None
    try:
        while True:
            try:
                batch = flow.send(cast(Answers, answers))
            except StopIteration as done:
                return cast(T, done.value)
            answers = perform_batch(batch, execution)
    finally:
        flow.close()


def events(flow: Flow[T], execution: CallExecution) -> Generator[Said, None, T]:
    """`drive` that hands out what streamed replies show, between its steps. Closed, it stops what runs."""
    answers: Answers | None = None
    try:
        while True:
            try:
                batch = flow.send(cast(Answers, answers))
            except StopIteration as done:
                return cast(T, done.value)
            if not is_streamed(batch):
                answers = perform_batch(batch, execution)
                continue
            yield from voided(execution)
            answers = yield from Together(batch, execution, known=(execution.known(batch[0]),)).events()
    finally:
        flow.close()


def perform_batch(batch: Batch, execution: CallExecution) -> Answers:
    if len(batch) == 1:
        effect = batch[0]
        answer = execution.known(effect)
        if answer is None and runs_on_of(effect, execution, alone=True) == "inline":
            answer = execution.heard(effect, perform_inline(effect, execution))
        if answer is not None:
            return (answer,)
        return Together(batch, execution, known=(None,)).answers()
    return Together(batch, execution, known=tuple(execution.known(effect) for effect in batch)).answers()


class Together:
    """A batch whose effects run at the same time: threads, the background loop, and what is inline meanwhile."""

    def __init__(self, batch: Batch, execution: CallExecution, known: Iterable[Answer | None]) -> None:
        self.batch, self.execution = batch, execution
        self.found = {number: answer for number, answer in enumerate(known) if answer is not None}
        self.inbox: SimpleQueue[tuple[int, Answer | StreamingReply]] = SimpleQueue()
        self.streamed = is_streamed(batch)
        self.stops: dict[int, Callable[[], object]] = {}
        self.limits: dict[int, float] = {}

    def answers(self) -> Answers:
        said = self.events()
        while True:
            try:
                next(said)
            except StopIteration as done:
                return cast(Answers, done.value)

    def events(self) -> Generator[Partial, None, Answers]:
        """The answers, and before them what a streamed reply shows."""
        try:
            for number in self.begin():
                self.settle(number, perform_inline(self.batch[number], self.execution))
            while len(self.found) < len(self.batch):
                if (growing := self.wait()) is not None:
                    self.execution.shown = growing.address
                    yield growing.partial()
        except BaseException:  # Ctrl-C, or a closed stream: nobody waits any more
            for stop in self.stops.values():
                stop()
            raise
        return tuple(self.found[number] for number in range(len(self.batch)))

    def begin(self) -> list[int]:
        """Starts what runs elsewhere; returns what is to run here."""
        inline = []
        for number, effect in enumerate(self.batch):
            if number in self.found:
                continue
            runs_on = runs_on_of(effect, self.execution, alone=len(self.batch) == 1 and not self.streamed)
            if runs_on == "inline":
                inline.append(number)
                continue
            self.limits[number] = self.execution.limit(effect)
            try:
                self.stops[number] = (self.on_loop if runs_on == "loop" else self.in_thread)(number, effect)
            except Exception as error:
                self.settle(number, failed(effect, error))
        return inline

    def in_thread(self, number: int, effect: Effect) -> Callable[[], object]:
        left = TimeLeft(self.limits[number]).stoppable()
        job = submit(lambda: self.work(number, effect, left))
        return lambda: cancel(job, left)

    def work(self, number: int, effect: Effect, left: TimeLeft) -> None:
        """In a thread of ours, where SystemExit ends nothing but the job."""
        answer = perform(effect, left, self.execution.pause_before(effect), BaseException, self.growing(number, effect))
        if answer is not None:
            self.inbox.put((number, answer))

    def growing(self, number: int, effect: Effect) -> StreamingReply | None:
        if not self.streamed:
            return None
        return StreamingReply(cast(Call, effect), lambda growing: self.inbox.put((number, growing)))

    def on_loop(self, number: int, effect: Effect) -> Callable[[], object]:
        left = TimeLeft(self.limits[number]).stoppable()

        def done(future: Future[Answer]) -> None:
            try:
                answer = future.result()
            except BaseException as error:  # CancelledError: it was stopped, or cancelled itself
                answer = failed(effect, error)
            self.inbox.put((number, answer))

        growing = self.growing(number, effect)
        return start_async(perform_on_loop(effect, left, self.execution.pause_before(effect), growing), done)

    def wait(self) -> StreamingReply | None:
        """For the next answer or limit; what grew meanwhile is returned."""
        due = min((at for number, at in self.limits.items() if number not in self.found), default=NEVER)
        try:
            number, answer = self.inbox.get(timeout=None if due == NEVER else max(0.0, due - time.monotonic()))
        except Empty:
            self.give_up()
            return None
        if isinstance(answer, StreamingReply):
            return answer if number not in self.found else None
        if number not in self.found:
            self.settle(number, answer)
        return None

    def give_up(self) -> None:
        now = time.monotonic()
        for number, at in self.limits.items():
            if number not in self.found and at <= now:
                self.settle(number, timed_out(self.batch[number], self.execution))
                self.stops[number]()

    def settle(self, number: int, answer: Answer) -> None:
        self.found[number] = self.execution.heard(self.batch[number], answer)
