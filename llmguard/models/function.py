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
from llmguard.models.scripted import scripted_answer
from llmguard.runtime.threads import Job, submit

Said: TypeAlias = "str | ModelReply | ModelFailure"
ModelFunction: TypeAlias = "Callable[[ModelRequest], Said] | Callable[[ModelRequest], Awaitable[Said]]"
"""(request) -> a text, a ModelReply or a ModelFailure; sync, or `async def`."""

_MAX_TIMEOUT_S = 86_400.0


class FunctionModel(ModelDefaults):
    """A model that answers by a function of the request.

    Args:
        function: `(request) -> text`, or a `ModelReply` or `ModelFailure`; sync or `async def`. What it raises is
            recorded as `crashed`, and the next rung is tried.
        name: the model's name; the function's, if None.
        timeout_s: seconds for one answer. A sync function then runs in a daemon thread, and is left behind when they or
            the deadline have passed. Without it, it runs in the caller's thread and nothing bounds it.

    >>> def loud(request):
    ...     return request.messages[-1].content.upper()
    >>> FunctionModel(loud).name, FunctionModel(loud).runs_on
    ('loud', 'inline')
    """

    def __init__(self, function: ModelFunction, *, name: str | None = None, timeout_s: float | None = None) -> None:
        if not callable(function):
            raise UsageError(
                f"FunctionModel takes a function of the request, found {type(function).__name__}. Fixed replies are"
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
            return scripted_answer(cast(Said, self._function(request)), request)
        job, future = self._started(request)
        try:
            said = future.result(timeout=min(self._timeout_s, deadline.remaining_s()))
        except TimeoutError:
            if future.done():  # the function's own
                raise
            job.leave()
            return self._late(deadline)
        return scripted_answer(said, request)

    async def acall(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        job: Job | None = None
        if inspect.iscoroutinefunction(self._function):
            asked: asyncio.Future[Said] = asyncio.ensure_future(self._function(request))
        elif self._timeout_s is None:
            return self.call(request, deadline)
        else:
            job, future = self._started(request)
            asked = asyncio.wrap_future(future)
        try:
            left_s = min(self._timeout_s or _MAX_TIMEOUT_S, deadline.remaining_s())
            await asyncio.wait((asked,), timeout=left_s)
            return scripted_answer(asked.result(), request) if asked.done() else self._late(deadline)
        finally:
            if not asked.done():
                asked.cancel()
                if job is not None:
                    job.leave()

    def _started(self, request: ModelRequest) -> tuple[Job, Future[Said]]:
        """In a daemon thread, in a copy of the caller's context."""
        future: Future[Said] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                said = cast(Said, self._function(request))
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(said)

        return submit(work), future

    def _late(self, deadline: Deadline) -> ModelFailure:
        if deadline.passed():
            return ModelFailure("deadline", f"{self._name} gave no answer within the deadline")
        return ModelFailure("timeout", f"{self._name} gave no answer within timeout_s={self._timeout_s:g}")
