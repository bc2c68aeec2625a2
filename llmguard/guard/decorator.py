"""`@guarded` around an existing function that calls a model and returns its text: any SDK, any framework."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar, Token
from functools import update_wrapper
from typing import Generic, ParamSpec, TypeVar, Unpack

from llmguard.core.canonical import EncodingError, Json, encode, json_roundtrip
from llmguard.core.errors import UsageError
from llmguard.core.messages import Message, ModelAnswer, ModelFailure, ModelReply, ModelRequest
from llmguard.core.model import Deadline, ModelDefaults
from llmguard.core.outcome import Outcome
from llmguard.engine.check import runs_on_of
from llmguard.guard.guard import Guard, value_of
from llmguard.guard.loaders import SchemaSource
from llmguard.guard.options import Options
from llmguard.prompts.function import FINGERPRINT

P = ParamSpec("P")
T = TypeVar("T")

_bound: ContextVar[inspect.BoundArguments] = ContextVar("llmguard_bound_arguments")
"""The live arguments of the call in progress: clients and sessions among them are used, and never recorded."""

FEEDBACK = "feedback"
"""A parameter of this name gets what was wrong with the last reply; its default must be None."""


class WrappedFunction(ModelDefaults):
    """A user's function as a model: its arguments are the prompt, what it returns is the reply."""

    def __init__(self, function: Callable[..., object], name: str, timeout_s: float | None) -> None:
        self.function, self.name = function, name
        self.runs_on = runs_on_of(function, timeout_s)
        self._feedback = FEEDBACK in inspect.signature(function).parameters

    def call(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        return _reply(self.name, self._call(request))

    async def acall(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        result = self._call(request)
        return _reply(self.name, await result if inspect.isawaitable(result) else result)

    def _call(self, request: ModelRequest) -> object:
        bound = _bound.get()
        again = {FEEDBACK: request.messages[-1].content} if self._feedback and len(request.messages) > 1 else {}
        return self.function(*bound.args, **{**bound.kwargs, **again})


def _reply(name: str, result: object) -> ModelAnswer:
    if isinstance(result, ModelReply | ModelFailure):
        return result
    if isinstance(result, str):
        return ModelReply(result, model=name, raw=result.encode("utf-8", "surrogatepass"))
    raise TypeError(f"{name} returned {type(result).__name__}; a guarded function returns the model's text")


class Guarded(Generic[P, T]):
    """The function with a guard around it: call it for the value, `run` it for the outcome."""

    def __init__(self, function: Callable[P, object], guard: Guard[T]) -> None:
        self.guard = guard
        self._signature = inspect.signature(function)
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        return value_of(self.run(*args, **kwargs))

    def run(self, *args: P.args, **kwargs: P.kwargs) -> Outcome[T]:
        inputs, token = self._bind(args, kwargs)
        try:
            return self.guard.run(**inputs)
        finally:
            _bound.reset(token)

    async def arun(self, *args: P.args, **kwargs: P.kwargs) -> Outcome[T]:
        inputs, token = self._bind(args, kwargs)
        try:
            return await self.guard.arun(**inputs)
        finally:
            _bound.reset(token)

    def _bind(
        self, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> tuple[dict[str, Json], Token[inspect.BoundArguments]]:
        bound = self._signature.bind(*args, **kwargs)
        inputs = {name: _recordable(value) for name, value in bound.arguments.items()}
        return inputs, _bound.set(bound)


class AsyncGuarded(Guarded[P, T]):
    """The same around an `async def`."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:  # type: ignore[override]
        return value_of(await self.arun(*args, **kwargs))


def _recordable(value: object) -> Json:
    """The argument as JSON; what is none (a client, a session) is recorded by its type's name."""
    try:
        return json_roundtrip(value)
    except EncodingError:
        return f"<{type(value).__qualname__}>"


def _arguments_as_prompt(inputs: Mapping[str, Json]) -> tuple[Message, ...]:
    return (Message("user", encode(dict(inputs)).decode()),)


# As it was first recorded, in fingerprints of guards that are in logs. Another message needs another source (DECISIONS 43).
setattr(
    _arguments_as_prompt,
    FINGERPRINT,
    {"function": "llmguard.wrap._arguments_as_prompt", "source": "62b4916110be6ba639bd876c4f7794f2"},
)


def guarded(
    *, schema: SchemaSource, name: str | None = None, timeout_s: float | None = None, **options: Unpack[Options]
) -> Callable[[Callable[P, str | Awaitable[str]]], Guarded[P, Json]]:
    """Guard a function that returns a model's text: the decorated function returns the value.

    A parameter `feedback=None`, if the function has one, gets what was wrong when it is called again.

    >>> @guarded(schema=int, log=None)
    ... def age(question: str) -> str:
    ...     return "36"
    >>> age("How old is Ada?")
    36
    """
    if "models" in options:
        raise UsageError(
            "@guarded takes no models=: the decorated function is the model. Use Guard for a ladder of models."
        )

    def decorate(function: Callable[P, str | Awaitable[str]]) -> Guarded[P, Json]:
        called = name or function.__name__.strip("_").lower()
        model = WrappedFunction(function, called, timeout_s)
        options["models"] = [model]
        guard: Guard[Json] = Guard(called, prompt=_arguments_as_prompt, schema=schema, **options)
        kind = AsyncGuarded if inspect.iscoroutinefunction(function) else Guarded
        return kind(function, guard)

    return decorate
