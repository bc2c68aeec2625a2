"""What a flow may ask of the world, and what it may be told.

A flow is a generator. It yields a *batch*: a tuple of effects that may be performed at the same time. It is sent a
tuple of answers, one per effect, in the batch's order. Nothing is ever thrown into it: a deadline, a crash and a lost
connection are answers. A cancelled flow is closed and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar, cast

from llmguard.core.canonical import Json, digest_bytes, encode
from llmguard.core.messages import ModelAnswer, ModelFailure, ModelReply, ModelRequest
from llmguard.core.outcome import Violation
from llmguard.core.redaction import redact

T = TypeVar("T")

RunsOn: TypeAlias = Literal["inline", "thread", "loop"]
"""Where a function runs: in the caller's thread, in a daemon thread, or on an event loop. Fixed when the guard is built."""


class Deadline(Protocol):
    """The time left for one request, and the news that nobody waits for it any more. Drivers make it, adapters ask it."""

    def remaining_s(self) -> float: ...
    def passed(self) -> bool: ...
    def on_stop(self, close: Callable[[], object]) -> None: ...


class Model(Protocol):
    """The one seam to a language model: exactly one request per call, no retry, no sleep, no exception for trouble.

    `runs_on` is "inline" if `call` keeps the deadline by itself, "thread" if it has to be left behind when it does not.
    """

    @property
    def name(self) -> str: ...
    @property
    def runs_on(self) -> RunsOn: ...
    def call(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer: ...
    async def acall(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer: ...


class StreamValidator(Protocol):
    """Reads a reply while it grows: pure and incremental. `violation` is set once no continuation can mend it."""

    @property
    def violation(self) -> Violation | None: ...
    def feed(self, delta: str) -> bool:
        """Whether the value shows something new."""

    def snapshot(self) -> Json:
        """The value so far, which later text does not change."""


Emit: TypeAlias = Callable[[str], bool]
"""Takes the next piece of a streamed reply; False: end the request here."""


class StreamingModel(Model, Protocol):
    """A model that can hand on its reply while it grows; what `emit` refused to go on with is a reply `stopped`."""

    def stream(self, request: ModelRequest, deadline: Deadline, emit: Emit) -> ModelAnswer: ...
    async def astream(self, request: ModelRequest, deadline: Deadline, emit: Emit) -> ModelAnswer: ...


@dataclass(frozen=True, slots=True)
class RetryState:
    """What tenacity's stop and wait strategies read of a call that is being retried (they need no more than this)."""

    attempt_number: int
    seconds_since_start: float = 0.0
    idle_for: float = 0.0
    upcoming_sleep: float = 0.0


@dataclass(frozen=True, slots=True)
class Wait:
    """The pause before a retry: tenacity's `strategy` for `state`, and no less than the server asked for."""

    strategy: Callable[[RetryState], float]
    state: RetryState
    at_least_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """Send one request to one model, after `wait`; streamed, and shown as it grows, where there is a `stream_validator`."""

    address: str
    model: Model
    request: ModelRequest
    wait: Wait | None = None
    stream_validator: Callable[[], StreamValidator] | None = None

    def digest(self) -> str:
        """Names what is asked: waits and deadlines left out, secrets redacted as in the record."""
        return request_digest(self.request)


def request_digest(request: ModelRequest) -> str:
    """What stands in a step for the request it answers."""
    return digest_bytes(redact(encode(request.to_json(), sort_keys=True)))


@dataclass(frozen=True, slots=True)
class Invoke(Generic[T]):
    """Run one function of the user's. `ignores_deadline`: a deterministic rung, which may run after the deadline."""

    address: str
    name: str
    function: Callable[..., object]
    arguments: tuple[Json, ...]
    timeout_s: float | None = None
    runs_on: RunsOn = "inline"
    ignores_deadline: bool = False
    decode: Callable[[Json], T] = cast("Callable[[Json], T]", lambda value: value)

    def digest(self) -> str:
        return digest_bytes(redact(encode([self.name, self.arguments], sort_keys=True)))


@dataclass(frozen=True, slots=True)
class Returned:
    """What a function gave, already through strict JSON: the flow sees live what replay will show it."""

    value: Json
    latency_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Crashed:
    """A function that gave nothing: it raised, ran out of its own time, or came after the deadline."""

    kind: Literal["crashed", "timeout", "deadline"]
    error: str
    latency_s: float = field(default=0.0, compare=False)


Effect: TypeAlias = Call | Invoke[Json]
Answer: TypeAlias = ModelReply | ModelFailure | Returned | Crashed
Batch: TypeAlias = tuple[Effect, ...]
Answers: TypeAlias = tuple[Answer, ...]
Flow: TypeAlias = Generator[Batch, Answers, T]


def call(effect: Call) -> Flow[ModelAnswer]:
    (answer,) = yield (effect,)
    return cast(ModelAnswer, answer)


def invoke(effect: Invoke[T]) -> Flow[T | Crashed]:
    (answer,) = yield (effect,)
    if isinstance(answer, Crashed):
        return answer
    return effect.decode(cast(Returned, answer).value)


def together(*flows: Flow[T], on_answers: Callable[[Answers], object] | None = None) -> Flow[list[T]]:
    """Run sub-flows in step: their batches are merged, so a driver may perform them concurrently. Results in order.
    `on_answers` is told the answers of each step before any sub-flow goes on."""
    results: dict[int, T] = {}
    waiting: dict[int, Batch] = {}

    def advance(index: int, answers: Answers | None) -> None:
        try:
            waiting[index] = flows[index].send(cast(Answers, answers))
        except StopIteration as done:
            results[index] = done.value

    for index in range(len(flows)):
        advance(index, None)
    while waiting:
        turn = list(waiting.items())
        waiting.clear()
        answers = yield tuple(effect for _, batch in turn for effect in batch)
        if on_answers is not None:
            on_answers(answers)
        start = 0
        for index, batch in turn:
            advance(index, answers[start : start + len(batch)])
            start += len(batch)
    return [results[index] for index in range(len(flows))]
