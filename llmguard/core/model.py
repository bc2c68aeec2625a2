"""The one seam to a language model: `Model` is all that a guard uses of it.

An adapter derives from `ModelDefaults` and writes what is its own. What wraps another model (a counter, a limiter, a
circuit breaker) derives from `WrappedModel` and keeps everything of the model inside. docs/adapters.md shows both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from llmguard.core.canonical import Json
from llmguard.core.messages import PROVIDERS_DEFAULTS, ModelAnswer, ModelReply, ModelRequest, Sampling

RunsOn: TypeAlias = Literal["inline", "thread", "loop"]
"""Where a function runs: in the caller's thread, in a daemon thread, or on an event loop. Fixed when the guard is built."""

Emit: TypeAlias = Callable[[str], bool]
"""Takes the next piece of a streamed reply; False: end the request now."""

MAX_PARALLEL = 8
"""Requests of one call that a model gets at the same time, unless it says otherwise: few enough for the rate limit of
a small account, and for a local server."""


class Deadline(Protocol):
    """The time left for one request. Drivers make it, adapters read it."""

    def remaining_s(self) -> float:
        """Seconds; 0 once it has passed, infinity where there is no deadline."""

    def passed(self) -> bool:
        """Whether the time is over, or no one waits for the answer any more."""


class Model(Protocol):
    """A language model: exactly one request per call, no retry, no sleep.

    A failure of the model or the network is returned as a `ModelFailure`. An exception means a mistake in the adapter
    and is recorded as the failure `crashed`.
    """

    @property
    def name(self) -> str:
        """Names the model in requests, records and prices."""

    @property
    def runs_on(self) -> RunsOn:
        """Which methods are called, and who keeps the deadline.

        "inline": `call` in the caller's thread and `acall` on an event loop; both keep the deadline themselves.
        "thread": `call` only, in a thread that is left behind at the deadline.
        "loop": `acall` only, as a task that is cancelled at the deadline.
        `stream` is called where `call` would be, and `astream` where `acall` would be.
        """

    @property
    def defaults(self) -> Sampling:
        """The model's own sampling. A guard puts it into each request, below what a rung says; the adapter adds nothing."""

    @property
    def settings(self) -> Json:
        """What else decides the replies (address, output technique, ...), as JSON for the guard's fingerprint. No secrets."""

    @property
    def max_parallel(self) -> int:
        """The number of requests of one guarded call that the model gets at the same time."""

    @property
    def streams(self) -> bool:
        """Whether `stream` and `astream` pass on the reply while it grows; if not, they pass it on once, when it is whole."""

    def prepare(self) -> None:
        """Called when a guard is built. Raises UsageError for what cannot work (a missing key); sends nothing."""

    def call(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        """Send the request and return the answer."""

    async def acall(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        """The same on an event loop, without blocking it."""

    def stream(self, request: ModelRequest, deadline: Deadline, emit: Emit) -> ModelAnswer:
        """`call` that passes each new piece of the reply's text to `emit`. Where `emit` returns False, the request is ended;
        the text so far is the reply, with the finish reason `stopped`."""

    async def astream(self, request: ModelRequest, deadline: Deadline, emit: Emit) -> ModelAnswer:
        """The same on an event loop."""


MODEL_MEMBERS = tuple(name for name in vars(Model) if not name.startswith("_"))
"""The names of all members that a model has."""


def missing_members(candidate: object) -> list[str]:
    """The members of `Model` that an object lacks."""
    return [name for name in MODEL_MEMBERS if not hasattr(candidate, name)]


class ModelDefaults(ABC):
    """Base class of a plain adapter, which adds `name` and `call`.

    The rest has values that are right for a blocking client: it runs in a thread, has no sampling and no settings of its
    own, and passes a reply on when it is whole. An adapter overrides what differs, with a class or instance attribute.
    An adapter whose `runs_on` is "inline" or "loop" also writes `acall`.

    >>> class Echo(ModelDefaults):
    ...     name = "echo"
    ...
    ...     def call(self, request, deadline):
    ...         return ModelReply(request.messages[-1].content)
    >>> Echo().runs_on, Echo().max_parallel, missing_members(Echo())
    ('thread', 8, [])
    """

    runs_on: RunsOn = "thread"
    defaults: Sampling = PROVIDERS_DEFAULTS
    settings: Json = None
    max_parallel: int = MAX_PARALLEL
    streams: bool = False

    def prepare(self) -> None:
        """Nothing to check."""

    @abstractmethod
    def call(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        """Send the request and return the answer."""

    async def acall(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        return self.call(request, deadline)

    def stream(self, request: ModelRequest, deadline: Deadline, emit: Emit) -> ModelAnswer:
        return _emit_whole(self.call(request, deadline), emit)

    async def astream(self, request: ModelRequest, deadline: Deadline, emit: Emit) -> ModelAnswer:
        return _emit_whole(await self.acall(request, deadline), emit)


def _emit_whole(answer: ModelAnswer, emit: Emit) -> ModelAnswer:
    """Nothing is left to end when the reply is there, so what `emit` returns does not matter."""
    if isinstance(answer, ModelReply):
        emit(answer.text)
    return answer


class WrappedModel:
    """Base class of a model around another one, `inner`, which answers. Everything is the inner model's until overridden.

    Requests come in through four methods: what happens around each request is written for `call`, `acall`, `stream` and
    `astream`. To change a property, override it with a property or a class attribute.
    """

    def __init__(self, inner: Model) -> None:
        self.inner = inner

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def runs_on(self) -> RunsOn:
        return self.inner.runs_on

    @property
    def defaults(self) -> Sampling:
        return self.inner.defaults

    @property
    def settings(self) -> Json:
        return self.inner.settings

    @property
    def max_parallel(self) -> int:
        return self.inner.max_parallel

    @property
    def streams(self) -> bool:
        return self.inner.streams

    def prepare(self) -> None:
        self.inner.prepare()

    def call(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        return self.inner.call(request, deadline)

    async def acall(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        return await self.inner.acall(request, deadline)

    def stream(self, request: ModelRequest, deadline: Deadline, emit: Emit) -> ModelAnswer:
        return self.inner.stream(request, deadline, emit)

    async def astream(self, request: ModelRequest, deadline: Deadline, emit: Emit) -> ModelAnswer:
        return await self.inner.astream(request, deadline, emit)
