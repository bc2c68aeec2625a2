"""What a guard relies on in a model, as an assertion for the tests of any adapter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import get_args

from llmguard.core.canonical import EncodingError, encode
from llmguard.core.errors import UsageError
from llmguard.core.messages import FailureKind, Message, ModelAnswer, ModelFailure, ModelReply, ModelRequest, Sampling
from llmguard.core.model import Emit, Model, RunsOn, missing_members
from llmguard.core.safe_text import safe
from llmguard.runtime.execution import TimeLeft

DEADLINE_S = 30.0
"""For a request that is answered: long enough for a real server."""
SHORT_DEADLINE_S = 0.3
"""For a request that is not answered."""
TOLERANCE_S = 1.0
"""How late an answer may be after its deadline; a busy machine schedules a thread late."""
MAX_BLOCKED_S = 0.1
"""How long a coroutine may keep the event loop from other tasks: asyncio's own `slow_callback_duration`."""


def assert_model_contract(
    model: Model,
    *,
    failing: Model | None = None,
    hanging: Model | None = None,
    count_requests: Callable[[], int] | None = None,
    request: ModelRequest | None = None,
) -> None:
    """Assert that a model does what a guard relies on, for each of its methods that drivers call (see `Model.runs_on`).

    Call it outside of an event loop.

    Args:
        model: gives every request the same reply.
        failing: the same adapter, where every request fails: its server answers with an error, or is not there. Each
            method has to return a `ModelFailure`.
        hanging: the same adapter, where no answer comes within 5 seconds. Each method has to keep the deadline, or, on
            an event loop, to end when it is cancelled.
        count_requests: the number of requests that `model` has sent so far. Each method has to send exactly one.
        request: what is sent; a short question if None.

    Raises:
        AssertionError: the message lists everything that is wrong.

    >>> from llmguard.testing import ScriptedModel
    >>> double = ScriptedModel(["It is seven."], repeat=True)
    >>> assert_model_contract(double, count_requests=lambda: len(double.requests))
    """
    __tracebackhide__ = True
    breaches = list(_member_breaches(model))
    if not breaches:
        sent = request or ModelRequest(
            model=model.name, messages=(Message("user", "How many days has a week?"),), sampling=model.defaults
        )
        breaches += _reply_breaches(model, sent, count_requests)
        breaches += _failure_breaches(failing, sent) if failing is not None else ()
        breaches += _deadline_breaches(hanging, sent) if hanging is not None else ()
    if breaches:
        lines = [f"{type(model).__name__} breaks the contract of a model:", *(f"  {each}" for each in breaches)]
        raise AssertionError(safe("\n".join(lines)))


# --- members


def _member_breaches(model: Model) -> Iterator[str]:
    if missing := missing_members(model):
        yield f"no {', '.join(missing)}; derive it from ModelDefaults or WrappedModel of llmguard.models"
        return
    if not isinstance(model.name, str) or not model.name:
        yield f"name: expected a text that is not empty, got {model.name!r}"
    if model.runs_on not in get_args(RunsOn):
        yield f"runs_on: expected one of {', '.join(map(repr, get_args(RunsOn)))}, got {model.runs_on!r}"
    if not isinstance(model.defaults, Sampling):
        yield f"defaults: expected a Sampling, got {model.defaults!r}"
    if not isinstance(model.max_parallel, int) or model.max_parallel < 1:
        yield f"max_parallel: expected a whole number of 1 or more, got {model.max_parallel!r}"
    if not isinstance(model.streams, bool):
        yield f"streams: expected True or False, got {model.streams!r}"
    yield from _settings_breaches(model)
    try:
        model.prepare()
    except UsageError as error:
        yield f"prepare: raised {error}"


def _settings_breaches(model: Model) -> Iterator[str]:
    """They are part of a guard's fingerprint."""
    try:
        if encode(model.settings, sort_keys=True) != encode(model.settings, sort_keys=True):
            yield "settings: two reads differ, so that a guard would have another fingerprint in each process"
    except EncodingError as error:
        yield f"settings: expected JSON, got {model.settings!r} ({error})"


# --- replies


@dataclass(slots=True)
class _MethodResult:
    """What one call of one method returned or raised. `pieces`: what it passed to `emit`."""

    method: str
    answer: ModelAnswer | Exception | None = None
    pieces: list[str] = field(default_factory=list)
    sent: int | None = None
    duration_s: float = 0.0
    blocked_s: float = 0.0
    is_cancelled: bool = False


def _methods(model: Model) -> tuple[str, ...]:
    """Those that drivers call."""
    by_driver: dict[str, tuple[str, ...]] = {"thread": ("call", "stream"), "loop": ("acall", "astream")}
    return by_driver.get(model.runs_on, ("call", "stream", "acall", "astream"))


def _reply_breaches(model: Model, request: ModelRequest, count_requests: Callable[[], int] | None) -> Iterator[str]:
    results = [_send(model, method, request, count_requests=count_requests) for method in _methods(model)]
    for result in results:
        yield from _single_reply_breaches(result)
    texts = {result.method: result.answer.text for result in results if isinstance(result.answer, ModelReply)}
    if len(set(texts.values())) > 1:
        yield f"expected the same reply from each method, got {', '.join(f'{m}: {t!r:.60}' for m, t in texts.items())}"
    if model.streams:
        for method in (method for method in _methods(model) if method in ("stream", "astream")):
            yield from _stopped_breaches(_send(model, method, request, goes_on=False, count_requests=count_requests))


def _single_reply_breaches(result: _MethodResult) -> Iterator[str]:
    if not isinstance(result.answer, ModelReply):
        yield f"{result.method}: expected a ModelReply, got {_describe(result.answer)}"
        return
    if result.method in ("stream", "astream") and "".join(result.pieces) != result.answer.text:
        pieces = f"{''.join(result.pieces)!r:.60}"
        yield f"{result.method}: expected the text of the reply passed to emit, {result.answer.text!r:.60}, got {pieces}"
    yield from _count_breaches(result)


def _stopped_breaches(result: _MethodResult) -> Iterator[str]:
    """`emit` returned False at the first piece."""
    answer = result.answer
    if len(result.pieces) != 1:
        yield f"{result.method}: expected no further piece after emit returned False, got {len(result.pieces)} in all"
    elif not isinstance(answer, ModelReply) or answer.finish_reason != "stopped" or answer.text != result.pieces[0]:
        expected = f"a ModelReply with the text {result.pieces[0]!r:.60} and finish_reason 'stopped'"
        yield f"{result.method}: expected {expected} after emit returned False, got {_describe(answer)}"
    yield from _count_breaches(result)


def _count_breaches(result: _MethodResult) -> Iterator[str]:
    if result.sent is not None and result.sent != 1:
        yield f"{result.method}: expected exactly one request, got {result.sent}"


# --- failures and deadlines


def _failure_breaches(failing: Model, request: ModelRequest) -> Iterator[str]:
    for method in _methods(failing):
        answer = _send(failing, method, request).answer
        if not isinstance(answer, ModelFailure):
            yield f"{method}: expected a ModelFailure where the request fails, got {_describe(answer)}"
        elif answer.kind not in _failure_kinds():
            yield f"{method}: unknown kind of ModelFailure {answer.kind!r}"


def _failure_kinds() -> frozenset[str]:
    return frozenset(kind for group in get_args(FailureKind) for kind in (get_args(group) or (group,)))


def _deadline_breaches(hanging: Model, request: ModelRequest) -> Iterator[str]:
    """In a thread, `call` is left behind at the deadline, and need not keep it."""
    if hanging.runs_on == "thread":
        return
    for method in _methods(hanging):
        result = _send(hanging, method, request, deadline_s=SHORT_DEADLINE_S)
        if result.duration_s > SHORT_DEADLINE_S + TOLERANCE_S:
            yield f"{method}: expected an answer within the deadline of {SHORT_DEADLINE_S} s, it took {result.duration_s:.1f}"
        elif not isinstance(result.answer, ModelFailure) and not result.is_cancelled:
            yield f"{method}: expected a ModelFailure at the deadline, got {_describe(result.answer)}"
        if result.blocked_s > MAX_BLOCKED_S:
            yield f"{method}: blocked the event loop for {result.blocked_s:.1f} s; await, or run in a thread"


def _describe(answer: ModelAnswer | Exception | None) -> str:
    if isinstance(answer, Exception):
        return f"the exception {type(answer).__name__}: {answer}"
    return repr(answer)[:200]


# --- one call


def _send(
    model: Model,
    method: str,
    request: ModelRequest,
    *,
    deadline_s: float = DEADLINE_S,
    goes_on: bool = True,
    count_requests: Callable[[], int] | None = None,
) -> _MethodResult:
    result = _MethodResult(method)

    def emit(piece: str) -> bool:
        result.pieces.append(piece)
        return goes_on

    before, began = count_requests() if count_requests else 0, time.monotonic()
    try:
        if method in ("acall", "astream"):
            asyncio.run(_send_on_loop(model, request, deadline_s, emit, result))
        else:
            result.answer = _send_blocking(model, request, deadline_s, emit, result)
    except Exception as error:
        result.answer = error
    result.duration_s = time.monotonic() - began
    result.sent = count_requests() - before if count_requests else None
    return result


def _send_blocking(
    model: Model, request: ModelRequest, deadline_s: float, emit: Emit, result: _MethodResult
) -> ModelAnswer:
    deadline = TimeLeft(time.monotonic() + deadline_s)
    return model.call(request, deadline) if result.method == "call" else model.stream(request, deadline, emit)


async def _send_on_loop(
    model: Model, request: ModelRequest, deadline_s: float, emit: Emit, result: _MethodResult
) -> None:
    """As the async driver does it: a task that is cancelled when it is late. A second task notices a blocked loop."""
    deadline = TimeLeft(time.monotonic() + deadline_s)
    sending = model.acall(request, deadline) if result.method == "acall" else model.astream(request, deadline, emit)
    noticing = asyncio.ensure_future(_notice_blocking(result))
    task = asyncio.ensure_future(sending)
    await asyncio.wait((task,), timeout=deadline_s + TOLERANCE_S / 2)
    if not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=TOLERANCE_S)
        result.is_cancelled = task.done()
    await asyncio.sleep(0.01)
    noticing.cancel()
    if task.done() and not task.cancelled():
        result.answer = task.result()


async def _notice_blocking(result: _MethodResult) -> None:
    with suppress(asyncio.CancelledError):
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            result.blocked_s = max(result.blocked_s, time.monotonic() - began - 0.01)
