"""The models without a server: replies that are written down, and functions."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelFailure, ModelReply, ModelRequest, Usage
from llmguard.models.function import FunctionModel
from llmguard.models.scripted import ScriptedModel
from llmguard.runtime import threads
from llmguard.runtime.execution import TimeLeft
from tests.support.asking import Ask, ask_async, ask_sync, request

BUSY = ModelFailure("overloaded", "busy", retry_after_s=2.0)


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    found: Ask = request.param
    return found


# --- scripted


def test_replies_come_in_order(ask: Ask) -> None:
    """Texts, replies, failures and functions of the request, one for each request, which is remembered."""
    given = ModelReply("given", usage=Usage(input_tokens=1), raw=b"the body")
    script = ["said", given, BUSY, lambda asked: asked.messages[-1].content, lambda asked: lambda again: BUSY]
    model = ScriptedModel(script, name="double")
    asked = [request(f"question {number}") for number in range(5)]
    found = [ask(model, each) for each in asked]
    assert [getattr(each, "text", each) for each in found] == ["said", "given", BUSY, "question 3", BUSY]
    assert (found[1], found[1].raw) == (given, b"the body")
    assert (model.requests, model.name, model.runs_on) == (asked, "double", "inline")


def test_a_written_text_is_a_whole_reply(ask: Ask) -> None:
    """It has its bytes as evidence, surrogates included, the model's name, and an estimated usage that is marked so."""
    found = ask(ScriptedModel(["one two three \ud800"]), request("a b c", model="double"))
    assert isinstance(found, ModelReply)
    assert (found.model, found.finish_reason, found.raw) == ("double", "stop", b"one two three \xed\xa0\x80")
    assert found.usage.estimated
    assert found.usage.output_tokens >= 3
    assert ask(ScriptedModel([ModelReply("bare")])).raw == b"bare"


def test_one_request_too_many_says_how_many_there_are(ask: Ask) -> None:
    """The error names both numbers and the mend; with repeat=True the script begins again."""
    model = ScriptedModel(["only"])
    ask(model)
    with pytest.raises(UsageError, match=r"has 1 reply and was asked 2 times.*repeat=True"):
        ask(model)
    with pytest.raises(UsageError, match=r"has 0 replies and was asked 1 times"):
        ask(ScriptedModel([], repeat=True))
    again = ScriptedModel(["a", "b"], repeat=True)
    assert [ask(again).text for _ in range(5)] == ["a", "b", "a", "b", "a"]


def test_a_function_of_the_request_depends_on_no_order(ask: Ask) -> None:
    """by_request answers equal requests alike, however many came before."""
    model = ScriptedModel.by_request(lambda asked: str(asked.sample), name="by")
    assert [ask(model).text for _ in range(3)] == ["0", "0", "0"]
    assert model.name == "by"


def test_threads_get_each_reply_once() -> None:
    """Eight threads share one script: nothing is lost, nothing is given twice."""
    model = ScriptedModel([str(number) for number in range(400)])
    found: list[str] = []

    def take() -> None:
        for _ in range(50):
            found.append(ask_sync(model).text)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found, key=int) == [str(number) for number in range(400)]
    assert len(model.requests) == 400


@pytest.mark.parametrize("replies", ["one text", [{"total": 7}], [None], [b"bytes"]])
def test_what_is_no_reply_is_named(replies: Any) -> None:
    """A dict is not a text that a model says: the mistake is named when the model is made."""
    with pytest.raises(UsageError, match=r"Write \[text\]|expected a text, a ModelReply"):
        ScriptedModel(replies)


def test_a_function_that_returns_no_reply_is_named(ask: Ask) -> None:
    """The same, where it shows only when the function was asked."""
    with pytest.raises(UsageError, match=r"the function of the request returned \{.total.: 7\}, a dict"):
        ask(ScriptedModel([lambda asked: {"total": 7}]))  # type: ignore[list-item, dict-item, arg-type, return-value]


# --- functions


def loud(asked: ModelRequest) -> str:
    return str(asked.messages[-1].content).upper()


async def loud_later(asked: ModelRequest) -> str:
    await asyncio.sleep(0)
    return loud(asked)


def test_a_function_answers(ask: Ask) -> None:
    """A text, a reply or a failure of its own is the answer; its name is the model's, unless another is given."""
    model = FunctionModel(loud)
    found = ask(model, request("hello"))
    assert (found.text, model.name, model.runs_on) == ("HELLO", "loud", "inline")
    assert FunctionModel(loud, name="rules").name == "rules"
    assert ask(FunctionModel(lambda asked: BUSY)) == BUSY
    assert ask(FunctionModel(loud, timeout_s=5.0), request("hello")).text == "HELLO"


def test_a_coroutine_function_runs_on_a_loop() -> None:
    """Its place is the loop, with or without a timeout."""
    for model in (FunctionModel(loud_later), FunctionModel(loud_later, timeout_s=5.0)):
        assert model.runs_on == "loop"
        assert ask_async(model, request("hello")).text == "HELLO"


def test_a_function_runs_in_the_callers_thread_unless_it_is_bounded() -> None:
    """With timeout_s it runs in a daemon thread, without where its thread-locals are."""
    seen: list[threading.Thread] = []

    def note(asked: ModelRequest) -> str:
        seen.append(threading.current_thread())
        return "noted"

    ask_sync(FunctionModel(note))
    ask_sync(FunctionModel(note, timeout_s=5.0))
    assert (seen[0] is threading.current_thread(), seen[1] is threading.current_thread()) == (True, False)
    assert seen[1].daemon


@pytest.mark.parametrize(("timeout_s", "deadline_s", "kind"), [(0.1, 9.0, "timeout"), (9.0, 0.1, "deadline")])
def test_a_function_that_hangs_is_left_in_time(ask: Ask, timeout_s: float, deadline_s: float, kind: str) -> None:
    """By its own limit or by the deadline, whichever is nearer, and the kind says which."""
    let_go = threading.Event()

    def hang(asked: ModelRequest) -> str:
        let_go.wait(10)
        return "late"

    began = time.monotonic()
    found = ask(FunctionModel(hang, timeout_s=timeout_s), deadline_s=deadline_s)
    assert time.monotonic() - began <= 0.1 + 0.25
    assert isinstance(found, ModelFailure)
    assert found.kind == kind
    let_go.set()


def test_functions_that_were_left_behind_are_counted(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process keeps a bounded number of overrun functions; the next one is not started."""
    monkeypatch.setattr(threads, "_left", set())
    monkeypatch.setattr(threads, "MAX_LEFT_BEHIND", 1)
    let_go = threading.Event()
    model = FunctionModel(lambda asked: str(let_go.wait(10)), timeout_s=0.05)
    assert ask(model).kind == "timeout"
    with pytest.raises(threads.TooManyLeftBehind):
        ask(model)
    let_go.set()


@pytest.mark.parametrize("timeout_s", [None, 0.1])
def test_a_coroutine_that_hangs_is_cancelled_in_time(timeout_s: float | None) -> None:
    """The same on a loop, where the function learns of it."""
    ended: list[str] = []

    async def hang(asked: ModelRequest) -> str:
        try:
            await asyncio.sleep(10)
        finally:
            ended.append("cancelled")
        return "late"

    async def ask() -> Any:
        ends = TimeLeft(time.monotonic() + (9.0 if timeout_s else 0.1))
        found = await FunctionModel(hang, timeout_s=timeout_s).acall(request(), ends)
        await asyncio.sleep(0)  # the loop's end would cancel it as well
        return found, list(ended)

    found, ended_then = asyncio.run(ask())
    assert (found.kind, ended_then) == ("timeout" if timeout_s else "deadline", ["cancelled"])


@pytest.mark.parametrize("timeout_s", [None, 5.0])
def test_what_a_function_raises_is_raised(ask: Ask, timeout_s: float | None) -> None:
    """An exception, a TimeoutError of its own included, is the driver's to record as crashed."""

    def fail(asked: ModelRequest) -> str:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        ask(FunctionModel(fail, timeout_s=timeout_s))


def test_a_cancelled_caller_leaves_nothing_behind() -> None:
    """A task that is cancelled cancels the coroutine it waits for."""
    ended: list[str] = []

    async def hang(asked: ModelRequest) -> str:
        try:
            await asyncio.sleep(10)
        finally:
            ended.append("cancelled")
        return "late"

    async def cancel() -> None:
        ends = TimeLeft(time.monotonic() + 10)
        task = asyncio.ensure_future(FunctionModel(hang).acall(request(), ends))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    asyncio.run(cancel())
    assert ended == ["cancelled"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"function": "text"}, "takes a function of the request, got str"),
        ({"function": loud, "timeout_s": 0}, "timeout_s=0 of FunctionModel"),
        ({"function": loud, "timeout_s": float("inf")}, "timeout_s=inf of FunctionModel"),
    ],
)
def test_a_mistake_is_named_when_the_model_is_made(arguments: dict[str, Any], said: str) -> None:
    """The message says what was found and what was expected."""
    with pytest.raises(UsageError, match=said):
        FunctionModel(**arguments)
