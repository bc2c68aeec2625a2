"""Drivers perform what a flow asks: places, deadlines, crashes and waits, sync and async."""

from __future__ import annotations

import asyncio
import contextvars
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from llmguard.core.canonical import Json
from llmguard.core.effects import Answer, Call, Crashed, Effect, Invoke, RetryState, Returned, Wait
from llmguard.core.messages import Message, ModelFailure, ModelReply, ModelRequest
from llmguard.core.model import ModelDefaults
from llmguard.runtime.async_driver import adrive
from llmguard.runtime.execution import CallExecution
from llmguard.runtime.sync_driver import drive

REQUEST = ModelRequest(model="m", messages=(Message("user", "hello"),))


class EchoModel(ModelDefaults):
    """Says what it was asked; waits before it does, if told to."""

    name = "echo"

    def __init__(self, runs_on: str = "inline", wait_s: float = 0.0) -> None:
        self.runs_on, self.wait_s = runs_on, wait_s
        self.threads: list[int] = []

    def call(self, request, deadline):
        self.threads.append(threading.get_ident())
        time.sleep(self.wait_s)
        return ModelReply(request.messages[0].content)

    async def acall(self, request, deadline):
        self.threads.append(threading.get_ident())
        await asyncio.sleep(self.wait_s)
        return ModelReply(request.messages[0].content)


def asking(*effects: Effect):
    """A flow of one batch."""
    return (yield effects)


def both(run: Callable[[], CallExecution], *effects: Effect) -> list[tuple[Answer, ...]]:
    return [drive(asking(*effects), run()), asyncio.run(adrive(asking(*effects), run()))]


def invoke(function: Callable[..., object], *arguments: Json, runs_on: str = "inline", **more: object) -> Invoke[Json]:
    return Invoke("r0", "f", function, arguments, runs_on=runs_on, **more)


def test_a_value_crosses_as_strict_json() -> None:
    """A tuple comes back as the list that a replay would show."""
    for (answer,) in both(CallExecution, invoke(lambda: {"a": (1, 2)})):
        assert answer == Returned({"a": [1, 2]})


@pytest.mark.parametrize("runs_on", ["inline", "thread"])
@pytest.mark.parametrize("value", [float("nan"), object(), {1: 2}])
def test_what_is_no_json_is_a_crash_that_says_so(runs_on: str, value: object) -> None:
    """Nothing is changed silently on its way."""
    for (answer,) in both(CallExecution, invoke(lambda: value, runs_on=runs_on)):
        assert isinstance(answer, Crashed)
        assert answer.kind == "crashed"
        assert "is not JSON" in answer.error or "JSON keys" in answer.error


@pytest.mark.parametrize("runs_on", ["inline", "thread"])
@pytest.mark.parametrize("error", [ValueError("boom"), StopIteration("boom"), TimeoutError("boom")])
def test_an_exception_is_an_answer(runs_on: str, error: Exception) -> None:
    """A function that raises crashes its step, not the call."""

    def raises() -> None:
        raise error

    for (answer,) in both(CallExecution, invoke(raises, runs_on=runs_on)):
        assert isinstance(answer, Crashed)
        assert "boom" in answer.error


def test_a_secret_in_an_exception_is_redacted() -> None:
    """What an SDK puts into its error does not get into the record."""
    secret = "sk-proj-" + "a1B2" * 10

    def raises() -> None:
        raise ValueError(f"wrong key {secret}")

    for (answer,) in both(CallExecution, invoke(raises)):
        assert secret not in answer.error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_passes_unchanged(error: type[BaseException]) -> None:
    """Ctrl-C is the caller's, not an answer."""

    def raises() -> None:
        raise error

    with pytest.raises(error):
        drive(asking(invoke(raises)), CallExecution())


def test_an_inline_function_runs_in_the_callers_thread() -> None:
    """Its thread-locals and its database connection work."""
    with sqlite3.connect(":memory:") as connection:
        for (answer,) in both(CallExecution, invoke(lambda: connection.execute("select 7").fetchone()[0])):
            assert answer == Returned(7)


def test_a_thread_sees_the_callers_context() -> None:
    """Context variables (a trace, a user) reach a function that runs in a thread."""
    who = contextvars.ContextVar("who", default="nobody")
    who.set("Ada")
    for (answer,) in both(CallExecution, invoke(who.get, runs_on="thread")):
        assert answer == Returned("Ada")


def test_an_async_function_runs_inside_a_running_loop() -> None:
    """As in a notebook: the sync driver does not need the caller's loop."""

    async def answer() -> int:
        await asyncio.sleep(0)
        return 7

    async def notebook():
        return drive(asking(invoke(answer, runs_on="loop")), CallExecution())

    assert asyncio.run(notebook()) == (Returned(7),)


@pytest.mark.parametrize("runs_on", ["thread", "loop"])
def test_an_overrun_function_is_left_behind(runs_on: str) -> None:
    """`timeout_s` answers in time, whatever the function does."""
    release = threading.Event()

    async def hangs_async() -> None:
        await asyncio.sleep(60)

    function = hangs_async if runs_on == "loop" else lambda: release.wait(60)
    began = time.monotonic()
    for (answer,) in both(CallExecution, invoke(function, runs_on=runs_on, timeout_s=0.05)):
        assert answer == Crashed("timeout", "no answer within timeout_s=0.05")
    assert time.monotonic() - began < 5
    release.set()


def test_the_deadline_answers_for_what_is_late() -> None:
    """Replies that came in time are kept; the others are `deadline`."""
    effects = (Call("a", EchoModel(), REQUEST), Call("b", EchoModel(wait_s=30), REQUEST))
    for said in both(lambda: CallExecution(deadline_at=time.monotonic() + 0.3), *effects):
        assert said[0] == ModelReply("hello")
        assert said[1].kind == "deadline"


def test_after_the_deadline_only_grace_is_performed() -> None:
    """No request is sent, no check runs; a deterministic rung's function does."""
    model = EchoModel()
    effects = (Call("a", model, REQUEST), invoke(lambda: 1), invoke(lambda: 2, ignores_deadline=True))
    for said in both(lambda: CallExecution(deadline_at=time.monotonic() - 1), *effects):
        assert [said[0].kind, said[1].kind, said[2]] == ["deadline", "deadline", Returned(2)]
    assert model.threads == []


def test_one_request_runs_in_the_callers_thread_and_several_do_not() -> None:
    """A single request needs no thread; a batch has one for each, and `hard_deadline` always."""
    model = EchoModel()
    drive(asking(Call("a", model, REQUEST)), CallExecution())
    assert model.threads == [threading.get_ident()]
    drive(asking(Call("a", model, REQUEST), Call("b", model, REQUEST)), CallExecution())
    drive(asking(Call("a", model, REQUEST)), CallExecution(hard_deadline=True))
    assert threading.get_ident() not in model.threads[1:]


def test_a_batch_takes_as_long_as_its_slowest() -> None:
    """Effects of one batch run at the same time."""
    effects = tuple(Call(f"a{number}", EchoModel(wait_s=0.1), REQUEST) for number in range(10))
    for driver in (
        lambda: drive(asking(*effects), CallExecution()),
        lambda: asyncio.run(adrive(asking(*effects), CallExecution())),
    ):
        began = time.monotonic()
        driver()
        assert time.monotonic() - began < 0.8


def test_a_wait_is_evaluated_once_and_recorded() -> None:
    """No shorter than the server asked for; its seconds stand in the step."""
    heard = []
    wait = Wait(lambda state: state.attempt_number / 100, RetryState(3), at_least_s=0.05)
    drive(asking(Call("a", EchoModel(), REQUEST, wait)), CallExecution(on_step_end=heard.append))
    assert [step.waited_s for step in heard] == [0.05]


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    """`Retry-After: 3600` ends the rung now, without a request."""
    model = EchoModel()
    call = Call("a", model, REQUEST, Wait(lambda state: 0.0, RetryState(1), at_least_s=3600))
    for (answer,) in both(lambda: CallExecution(deadline_at=time.monotonic() + 5), call):
        assert isinstance(answer, ModelFailure)
        assert (answer.kind, answer.sent, answer.retryable) == ("timeout", False, False)
    assert model.threads == []


def test_a_wait_strategy_that_raises_is_an_answer() -> None:
    """It is the user's function, like any other."""
    call = Call("a", EchoModel(), REQUEST, Wait(lambda state: 1 / 0, RetryState(1)))
    for (answer,) in both(CallExecution, call):
        assert (answer.kind, answer.sent) == ("crashed", False)


def test_a_cancelled_call_stops_its_effects() -> None:
    """Cancelling the caller's task cancels what runs for it."""
    ended = []

    async def works() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def main() -> None:
        task = asyncio.create_task(adrive(asking(invoke(works, runs_on="loop")), CallExecution()))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended == [True]


def test_a_function_that_cancels_itself_has_crashed() -> None:
    """Only the caller's own cancellation passes."""

    async def cancels() -> None:
        raise asyncio.CancelledError

    for (answer,) in both(CallExecution, invoke(cancels, runs_on="loop")):
        assert isinstance(answer, Crashed)


HUNG = """
import time
from llmguard.runtime.execution import CallExecution
from llmguard.runtime.sync_driver import drive
from llmguard.core.effects import Invoke
def flow():
    return (yield (Invoke("r0", "hangs", lambda: time.sleep(3600), (), timeout_s=0.1, runs_on="thread"),))
print(drive(flow(), CallExecution())[0].kind)
"""


def test_a_hung_function_does_not_keep_the_interpreter_from_exiting() -> None:
    """The thread is left behind, and the process ends."""
    ended = subprocess.run([sys.executable, "-c", HUNG], capture_output=True, text=True, timeout=20)
    assert (ended.stdout, ended.returncode) == ("timeout\n", 0)


FULL = """
import time
from llmguard.runtime.execution import CallExecution
from llmguard.runtime.sync_driver import drive
from llmguard.core.effects import Invoke
from llmguard.runtime.threads import MAX_LEFT_BEHIND
def flow(count):
    return (yield tuple(
        Invoke(f"r{number}", "hangs", lambda: time.sleep(3600), (), timeout_s=1.0, runs_on="thread") for number in range(count)
    ))
print({answer.kind for answer in drive(flow(MAX_LEFT_BEHIND), CallExecution())}, drive(flow(1), CallExecution())[0].kind)
"""


def test_threads_left_behind_are_bounded() -> None:
    """When too many hang, the next is `crashed` at once."""
    ended = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, timeout=20)
    assert ended.stdout == "{'timeout'} crashed\n"
