"""The sync driver: in the caller's thread where it can be, else in daemon threads and on the background loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar, cast

from llmguard.core.effects import Answer, Answers, Batch, Call, Effect, Flow
from llmguard.core.outcome import Partial, StreamEvent
from llmguard.runtime.async_driver import perform_on_loop
from llmguard.runtime.execution import (
    NEVER,
    CallExecution,
    StreamingReply,
    TimeLeft,
    answer_for_error,
    is_streamed,
    performed_on,
    timeout_answer,
    void_displayed,
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


def events(flow: Flow[T], execution: CallExecution) -> Generator[StreamEvent, None, T]:
    """`drive` that yields what streamed replies display, between its steps. Closing it stops what runs."""
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
            yield from void_displayed(execution)
            answers = yield from ConcurrentBatch(
                batch, execution, at_once=(execution.answer_at_once(batch[0]),)
            ).events()
    finally:
        flow.close()


def perform_batch(batch: Batch, execution: CallExecution) -> Answers:
    """The answers to a batch: a single effect in this thread where it can be, several at the same time."""
    if len(batch) == 1:
        effect = batch[0]
        answer = execution.answer_at_once(effect)
        if answer is None and performed_on(effect, execution, alone=True) == "inline":
            answer = execution.record_answer(effect, perform_inline(effect, execution))
        if answer is not None:
            return (answer,)
        return ConcurrentBatch(batch, execution, at_once=(None,)).answers()
    return ConcurrentBatch(
        batch, execution, at_once=tuple(execution.answer_at_once(effect) for effect in batch)
    ).answers()


class ConcurrentBatch:
    """A batch whose effects run at the same time: in threads, on the background loop, and inline meanwhile."""

    def __init__(self, batch: Batch, execution: CallExecution, at_once: Iterable[Answer | None]) -> None:
        self.batch, self.execution = batch, execution
        self.results = {number: answer for number, answer in enumerate(at_once) if answer is not None}
        self.inbox: SimpleQueue[tuple[int, Answer | StreamingReply]] = SimpleQueue()
        self.streamed = is_streamed(batch)
        self.stops: dict[int, Callable[[], object]] = {}
        self.limits: dict[int, float] = {}

    def answers(self) -> Answers:
        stream = self.events()
        while True:
            try:
                next(stream)
            except StopIteration as done:
                return cast(Answers, done.value)

    def events(self) -> Generator[Partial, None, Answers]:
        """The answers, and before them what a streamed reply displays."""
        try:
            for number in self.begin():
                self.settle(number, perform_inline(self.batch[number], self.execution))
            while len(self.results) < len(self.batch):
                if (growing := self.wait()) is not None:
                    self.execution.displayed = growing.displayed
                    yield growing.partial()
        except BaseException:  # Ctrl-C, or a closed stream: no one waits any more
            for stop in self.stops.values():
                stop()
            raise
        finally:
            self.stops.clear()  # they hold the batch, and with it the model and its connections
        return tuple(self.results[number] for number in range(len(self.batch)))

    def begin(self) -> list[int]:
        """Starts what runs elsewhere; returns the numbers of what runs in this thread."""
        inline = []
        for number, effect in enumerate(self.batch):
            if number in self.results:
                continue
            runs_on = performed_on(effect, self.execution, alone=len(self.batch) == 1 and not self.streamed)
            if runs_on == "inline":
                inline.append(number)
                continue
            self.limits[number] = self.execution.limit(effect)
            try:
                self.stops[number] = (self.on_loop if runs_on == "loop" else self.in_thread)(number, effect)
            except Exception as error:
                self.settle(number, answer_for_error(effect, error))
        return inline

    def in_thread(self, number: int, effect: Effect) -> Callable[[], object]:
        left = TimeLeft(self.limits[number]).stoppable()
        job = submit(lambda: self.work(number, effect, left))
        return lambda: cancel(job, left)

    def work(self, number: int, effect: Effect, left: TimeLeft) -> None:
        """In a thread of ours, where SystemExit ends nothing but the job."""
        answer = perform(effect, left, self.execution.pause_before(effect), BaseException, self.growing(number, effect))
        if answer is not None:  # None: the caller no longer waits
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
                answer = answer_for_error(effect, error)
            self.inbox.put((number, answer))

        growing = self.growing(number, effect)
        return start_async(perform_on_loop(effect, left, self.execution.pause_before(effect), growing), done)

    def wait(self) -> StreamingReply | None:
        """Waits for the next answer or limit; returns a reply that grew meanwhile."""
        due_at = min((limit for number, limit in self.limits.items() if number not in self.results), default=NEVER)
        try:
            number, answer = self.inbox.get(timeout=None if due_at == NEVER else max(0.0, due_at - time.monotonic()))
        except Empty:
            self.give_up()
            return None
        if isinstance(answer, StreamingReply):
            return answer if number not in self.results else None
        if number not in self.results:
            self.settle(number, answer)
        return None

    def give_up(self) -> None:
        now = time.monotonic()
        for number, limit in self.limits.items():
            if number not in self.results and limit <= now:
                self.settle(number, timeout_answer(self.batch[number], self.execution))
                self.stops[number]()

    def settle(self, number: int, answer: Answer) -> None:
        self.results[number] = self.execution.record_answer(self.batch[number], answer)
