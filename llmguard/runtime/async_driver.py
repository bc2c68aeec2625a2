"""The async driver: each effect a task, bounded by its limit."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import TypeVar, cast

from llmguard.core.canonical import json_roundtrip
from llmguard.core.effects import Answer, Answers, Batch, Call, Effect, Flow, Returned
from llmguard.core.messages import ModelAnswer
from llmguard.core.outcome import StreamEvent, Void
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
    with_latency,
)
from llmguard.runtime.inline import cancel, perform
from llmguard.runtime.threads import submit

T = TypeVar("T")


async def adrive(flow: Flow[T], execution: CallExecution) -> T:
    """Run a flow on the running event loop."""
    answers: Answers | None = None
    try:
        while True:
            try:
                batch = flow.send(cast(Answers, answers))
            except StopIteration as done:
                return cast(T, done.value)
            if execution.display is not None and is_streamed(batch):
                for void in void_displayed(execution):
                    execution.display(void)
            answers = await aperform(batch, execution)
    finally:
        flow.close()


async def aevents(
    flow: Flow[T], execution: CallExecution, finish: Callable[[T], None]
) -> AsyncGenerator[StreamEvent, None]:
    """`events` on the running loop. The driver runs in a task of its own: no cancel scope is open across a yield
    (PEP 789). `finish` gets the flow's result."""
    inbox: asyncio.Queue[StreamingReply | Void | None] = asyncio.Queue()
    execution.display = inbox.put_nowait
    task = asyncio.create_task(adrive(flow, execution))
    task.add_done_callback(lambda _: inbox.put_nowait(None))
    try:
        while (item := await inbox.get()) is not None:
            yield item.partial() if isinstance(item, StreamingReply) else item
        finish(task.result())
    finally:
        await end([task])


async def aperform(batch: Batch, execution: CallExecution) -> Answers:
    answers: dict[int, Answer] = {}
    tasks: dict[int, asyncio.Task[Answer]] = {}
    try:
        for number, effect in enumerate(batch):
            answer = execution.answer_at_once(effect)
            if answer is not None:
                answers[number] = answer
            else:
                tasks[number] = asyncio.create_task(
                    perform_within_limit(effect, execution, streaming_reply(batch, execution))
                )
        if tasks:
            await asyncio.wait(tasks.values())
    finally:
        await end(tasks.values())
    return tuple(answers[number] if number in answers else tasks[number].result() for number in range(len(batch)))


def streaming_reply(batch: Batch, execution: CallExecution) -> StreamingReply | None:
    """The reply that the viewer of an async stream sees grow, where there is a viewer."""
    display = execution.display
    if display is None or not is_streamed(batch):
        return None

    def tell(growing: StreamingReply) -> None:
        execution.displayed = growing.displayed
        display(growing)

    return StreamingReply(cast(Call, batch[0]), tell)


async def perform_within_limit(
    effect: Effect, execution: CallExecution, growing: StreamingReply | None = None
) -> Answer:
    """One effect within its limit. What still runs then is cancelled, and not waited for long."""
    limit = execution.limit(effect)
    task = asyncio.create_task(_perform_where_it_runs(effect, execution, limit, growing))
    try:
        await asyncio.wait((task,), timeout=None if limit == NEVER else max(0.0, limit - time.monotonic()))
        if task.cancelled():  # a function that cancels itself; where the caller was cancelled, the wait above raised
            answer = answer_for_error(effect, RuntimeError("it cancelled itself"))
        else:
            answer = task.result() if task.done() else timeout_answer(effect, execution)
    finally:
        await end((task,))
    return execution.record_answer(effect, answer)


async def _perform_where_it_runs(
    effect: Effect, execution: CallExecution, limit: float, growing: StreamingReply | None
) -> Answer:
    left, pause = TimeLeft(limit), execution.pause_before(effect)
    if performed_on(effect, execution, alone=True) == "thread":
        return await _in_thread(effect, left, pause, growing)
    return await perform_on_loop(effect, left, pause, growing)


async def perform_on_loop(
    effect: Effect, left: TimeLeft, pause: float, growing: StreamingReply | None = None
) -> Answer:
    """One effect on the current loop; what it raises is an answer."""
    if pause:
        await asyncio.sleep(pause)
    began = time.monotonic()
    try:
        if isinstance(effect, Call):
            answer: Answer = await _acall_model(effect, left, growing)
        else:
            value = effect.function(*effect.arguments)
            answer = Returned(json_roundtrip(await value if inspect.isawaitable(value) else value))
    except Exception as error:
        answer = answer_for_error(effect, error)
    return with_latency(answer, began)


async def _acall_model(effect: Call, left: TimeLeft, growing: StreamingReply | None) -> ModelAnswer:
    if growing is None:
        return await effect.model.acall(effect.request, left)
    return await effect.model.astream(effect.request, left, growing.emit)


async def _in_thread(effect: Effect, left: TimeLeft, pause: float, growing: StreamingReply | None) -> Answer:
    """In a daemon thread: the loop's own executor is joined when the loop closes, and would hang with its function."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Answer] = loop.create_future()
    left.stoppable()

    def settle(answer: Answer | None) -> None:
        if answer is not None and not future.done():
            future.set_result(answer)

    def work() -> None:
        answer = perform(effect, left, pause, BaseException, growing and _from_thread(growing, loop))
        try:
            loop.call_soon_threadsafe(settle, answer)
        except RuntimeError:  # the loop is closed: no one waits any more
            return

    job = submit(work)
    try:
        return await future
    except BaseException:
        cancel(job, left)
        raise


def _from_thread(growing: StreamingReply, loop: asyncio.AbstractEventLoop) -> StreamingReply:
    """Tells its viewer on the loop, whichever thread it grows in."""
    growing.on_progress(lambda tell: loop.call_soon_threadsafe(tell, growing))
    return growing


async def end(tasks: Iterable[asyncio.Task[T]], grace_s: float = 0.5) -> None:
    """Cancel what still runs; a function that ignores its cancellation is not waited for longer than `grace_s`."""
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=grace_s)
