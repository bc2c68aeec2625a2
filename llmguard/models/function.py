"""A function as a model: any SDK, any framework, or a few rules, behind the same seam."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeAlias, cast

from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelAnswer, ModelFailure, ModelReply, ModelRequest
from llmguard.core.model import Deadline, ModelDefaults
from llmguard.models.scripted import build_answer
from llmguard.runtime.threads import Job, submit

FunctionReply: TypeAlias = "str | ModelReply | ModelFailure"
ModelFunction: TypeAlias = (
    "Callable[[ModelRequest], FunctionReply] | Callable[[ModelRequest], Awaitable[FunctionReply]]"
)
"""(request) -> a text, a ModelReply or a ModelFailure; sync, or `async def`."""

_MAX_TIMEOUT_S = 86_400.0
"""A day; timers of operating systems overflow somewhere above."""


class FunctionModel(ModelDefaults):
    """A model that answers by a function of the request.

    Args:
        function: `(request) -> text`, or a `ModelReply` or `ModelFailure`; sync or `async def`. What it raises is
            recorded as `crashed`, and the guard goes on to the next rung.
        name: the model's name; the function's, if None.
        timeout_s: seconds for one answer. A sync function then runs in a daemon thread, which is left behind after this
            time or at the deadline. Without it, it runs in the caller's thread and nothing bounds its time.

    >>> def loud(request):
    ...     return request.messages[-1].content.upper()
    >>> FunctionModel(loud).name, FunctionModel(loud).runs_on
    ('loud', 'inline')
    """

    def __init__(self, function: ModelFunction, *, name: str | None = None, timeout_s: float | None = None) -> None:
        if not callable(function):
            raise UsageError(
                f"FunctionModel takes a function of the request, got {type(function).__name__}. Fixed replies are"
                " ScriptedModel([...])."
            )
        if timeout_s is not None and not 0 < timeout_s <= _MAX_TIMEOUT_S:
            raise UsageError(f"timeout_s={timeout_s!r} of FunctionModel: expected seconds, above 0 and at most 86,400.")
        self._function, self._timeout_s = function, timeout_s
        # With `timeout_s`, `call` keeps the deadline by itself.
        self.runs_on = "loop" if inspect.iscoroutinefunction(function) else "inline"
        self._name: str = name or getattr(function, "__name__", "") or type(function).__name__

    @property
    def name(self) -> str:
        return self._name

    def call(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        if self._timeout_s is None:
            return build_answer(cast(FunctionReply, self._function(request)), request)
        job, future = self._start(request)
        try:
            reply = future.result(timeout=min(self._timeout_s, deadline.remaining_s()))
        except TimeoutError:
            if future.done():  # the function raised it
                raise
            job.leave()
            return self._timeout_failure(deadline)
        return build_answer(reply, request)

    async def acall(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        job: Job | None = None
        if inspect.iscoroutinefunction(self._function):
            pending: asyncio.Future[FunctionReply] = asyncio.ensure_future(self._function(request))
        elif self._timeout_s is None:
            return self.call(request, deadline)
        else:
            job, future = self._start(request)
            pending = asyncio.wrap_future(future)
        try:
            left_s = min(self._timeout_s or _MAX_TIMEOUT_S, deadline.remaining_s())
            await asyncio.wait((pending,), timeout=left_s)
            return build_answer(pending.result(), request) if pending.done() else self._timeout_failure(deadline)
        finally:
            if not pending.done():
                pending.cancel()
                if job is not None:
                    job.leave()

    def _start(self, request: ModelRequest) -> tuple[Job, Future[FunctionReply]]:
        """Start the function in a daemon thread, in a copy of the caller's context variables."""
        future: Future[FunctionReply] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                reply = cast(FunctionReply, self._function(request))
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(reply)

        return submit(work), future

    def _timeout_failure(self, deadline: Deadline) -> ModelFailure:
        if deadline.passed():
            return ModelFailure("deadline", f"{self._name} gave no answer within the deadline")
        return ModelFailure("timeout", f"{self._name} gave no answer within timeout_s={self._timeout_s:g}")
