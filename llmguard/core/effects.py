"""What a flow may ask of the world, and the answers it may get.

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
from llmguard.core.model import Model, RunsOn
from llmguard.core.outcome import Violation
from llmguard.core.redaction import redact

T = TypeVar("T")


class StreamValidator(Protocol):
    """Reads a reply while it grows: pure and incremental. `violation` is set once no continuation can mend it."""

    @property
    def violation(self) -> Violation | None: ...
    def feed(self, delta: str) -> bool:
        """Takes more text; True if `snapshot()` changed."""

    def snapshot(self) -> Json:
        """A copy of the value so far."""


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
    """Names the request in the step that answers it."""
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


def together(*flows: Flow[T], on_answers: Callable[[Batch, Answers], object] | None = None) -> Flow[list[T]]:
    """Run sub-flows in step: their batches are merged, so a driver may perform them concurrently. Results in order.
    `on_answers` gets the batch and the answers of each step before any sub-flow goes on."""
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
        merged = tuple(effect for _, batch in turn for effect in batch)
        answers = yield merged
        if on_answers is not None:
            on_answers(merged, answers)
        start = 0
        for index, batch in turn:
            advance(index, answers[start : start + len(batch)])
            start += len(batch)
    return [results[index] for index in range(len(flows))]
