"""What both drivers share: the execution of one call, the time that is left, and trouble as answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from threading import Event, Lock
from typing import TypeAlias, cast

from llmguard.core.canonical import Json
from llmguard.core.effects import Answer, Batch, Call, Crashed, Effect, Invoke, StreamValidator, Wait
from llmguard.core.messages import ModelAnswer, ModelFailure, Usage
from llmguard.core.model import RunsOn
from llmguard.core.outcome import Partial, Void
from llmguard.core.record import Step
from llmguard.core.redaction import redact_text
from llmguard.runtime.recorded import Recorded

NEVER = float("inf")
Price: TypeAlias = Callable[[str, Usage], float | None]
"""(model, tokens) -> US dollars, or None where no price is known."""

MAX_ERROR_CHARS = 500
"""Of an exception's text in an answer: the whole of nearly every message, and no flood in the log."""


class TimeLeft:
    """A deadline as adapters see it: the time left, and whether the caller still waits."""

    __slots__ = ("_at", "_stopped")

    def __init__(self, at: float) -> None:
        self._at = at
        self._stopped: Event | None = None

    def remaining_s(self) -> float:
        """Seconds, 0 where it has passed, infinity where there is none."""
        return max(0.0, self._at - time.monotonic())

    def passed(self) -> bool:
        return (self._stopped is not None and self._stopped.is_set()) or time.monotonic() >= self._at

    def stoppable(self) -> TimeLeft:
        self._stopped = Event()
        return self

    def stop(self) -> None:
        if self._stopped is not None:
            self._stopped.set()

    def pause(self, seconds: float) -> bool:
        """Wait; False if the caller no longer waits for the request."""
        seconds = min(seconds, self.remaining_s())
        if self._stopped is not None:
            return not self._stopped.wait(seconds)
        if seconds > 0:
            time.sleep(seconds)
        return True


@dataclass(frozen=True, slots=True)
class DisplayedReply:
    """A reply of which partials were displayed. Holds nothing of the batch that it was requested in."""

    address: str
    _validator: StreamValidator

    def value(self) -> Json:
        """What was displayed last, once the reply has ended."""
        return self._validator.snapshot()


class StreamingReply:
    """A streamed reply, between the adapter that reads it and the viewer. A slow viewer misses steps, not the last one."""

    def __init__(self, effect: Call, tell: Callable[[StreamingReply], None]) -> None:
        self.address = effect.address
        self._validator = cast(Callable[[], StreamValidator], effect.stream_validator)()
        self._tell, self._lock, self._is_pending = tell, Lock(), False

    def on_progress(self, way: Callable[[Callable[[StreamingReply], None]], object]) -> None:
        """Tells its viewer through `way`: on an event loop, from a thread."""
        tell = self._tell
        self._tell = lambda growing: cast(None, way(tell))

    def emit(self, delta: str) -> bool:
        with self._lock:
            is_new = self._validator.feed(delta) and not self._is_pending
            self._is_pending |= is_new
            goes_on = self._validator.violation is None
        if is_new:
            self._tell(self)
        return goes_on

    @property
    def displayed(self) -> DisplayedReply:
        return DisplayedReply(self.address, self._validator)

    def partial(self) -> Partial:
        with self._lock:
            self._is_pending = False
            return Partial(self.address, self._validator.snapshot())


@dataclass(slots=True)
class CallExecution:
    """One guarded call in progress: what its driver knows of it."""

    deadline_at: float = NEVER
    on_step_start: Callable[[Effect], None] | None = None
    on_step_end: Callable[[Step], None] | None = None
    recorded: Recorded | None = None
    price: Price | None = None
    hard_deadline: bool = False
    waits: bool = True
    """False: back-off is evaluated and recorded, and not waited for (tests)."""
    waited: dict[str, float] = field(default_factory=dict)
    displayed: DisplayedReply | None = None
    """The reply whose partials were displayed last and are not void."""
    display: Callable[[StreamingReply | Void], None] | None = None
    """Where the async driver puts what is to be displayed."""

    def answer_at_once(self, effect: Effect) -> Answer | None:
        """From the record, or that no time is left. None: the effect is to be performed, and starts here."""
        if self.recorded is not None and (answer := self.recorded.answer(effect)) is not None:
            return answer
        if self.deadline_at != NEVER and time.monotonic() >= self.deadline_at and not _ignores_deadline(effect):
            return self.record_answer(effect, deadline_answer(effect))
        refusal = self._refuse_wait(effect) if isinstance(effect, Call) and effect.wait is not None else None
        if refusal is None and self.on_step_start is not None:
            self.on_step_start(effect)
        return refusal

    def _refuse_wait(self, effect: Call) -> Answer | None:
        """Evaluates the wait; one that is longer than the time left is not begun."""
        wait = cast(Wait, effect.wait)
        try:
            seconds = max(float(wait.strategy(wait.state)), wait.at_least_s)
        except Exception as error:  # a strategy of the user's
            return self.record_answer(effect, replace(cast(ModelFailure, answer_for_error(effect, error)), sent=False))
        left = self.deadline_at - time.monotonic()
        if seconds >= left:
            message = f"a retry was due in {seconds:.1f} s, with {max(0.0, left):.1f} s left"
            return self.record_answer(effect, ModelFailure("timeout", message, sent=False))
        self.waited[effect.address] = seconds
        return None

    def pause_before(self, effect: Effect) -> float:
        return self.waited.get(effect.address, 0.0) if self.waits and self.waited else 0.0

    def limit(self, effect: Effect) -> float:
        if isinstance(effect, Call):
            return self.deadline_at
        own = time.monotonic() + effect.timeout_s if effect.timeout_s is not None else NEVER
        return own if effect.ignores_deadline else min(own, self.deadline_at)

    def record_answer(self, effect: Effect, answer: Answer) -> Answer:
        """Every answer passes here, once: it gets its price, and the observers get the step."""
        if self.price is not None and isinstance(effect, Call):
            answer = _priced(effect, cast(ModelAnswer, answer), self.price)
        if self.on_step_end is not None:
            waited_s = self.waited.get(effect.address, 0.0) if self.waited else 0.0
            self.on_step_end(Step(effect.address, effect.digest(), answer, waited_s))
        return answer


def void_displayed(execution: CallExecution) -> Iterator[Void]:
    """What was displayed is void."""
    if execution.displayed is not None:
        yield Void(execution.displayed.address)
        execution.displayed = None


def _ignores_deadline(effect: Effect) -> bool:
    return isinstance(effect, Invoke) and effect.ignores_deadline


def _priced(effect: Call, answer: ModelAnswer, price: Price) -> ModelAnswer:
    cost = price(effect.model.name, answer.usage) if answer.cost_usd is None else answer.cost_usd
    return replace(answer, cost_usd=cost)


def deadline_answer(effect: Effect) -> Answer:
    if isinstance(effect, Call):
        return ModelFailure("deadline", "no answer came within the deadline")
    return Crashed("deadline", "no time was left")


def timeout_answer(effect: Effect, execution: CallExecution) -> Answer:
    """A job that did not answer in time: by the call's deadline, or by its own timeout."""
    if isinstance(effect, Call) or (time.monotonic() >= execution.deadline_at and not effect.ignores_deadline):
        return deadline_answer(effect)
    return Crashed("timeout", f"no answer within timeout_s={effect.timeout_s}")


def answer_for_error(effect: Effect, error: BaseException) -> Answer:
    """What a function or an adapter raised, as an answer."""
    message = redact_text(f"{type(error).__name__}: {error}")[:MAX_ERROR_CHARS]
    return ModelFailure("crashed", message) if isinstance(effect, Call) else Crashed("crashed", message)


def with_latency(answer: Answer, began: float) -> Answer:
    return replace(answer, latency_s=time.monotonic() - began)


def is_streamed(batch: Batch) -> bool:
    """Only a request that is alone can be shown as it grows: of several, it is not known yet which one counts."""
    return len(batch) == 1 and isinstance(batch[0], Call) and batch[0].stream_validator is not None


def performed_on(effect: Effect, execution: CallExecution, alone: bool) -> RunsOn:
    """Where an effect is performed: a request that is not alone, or has a hard deadline, leaves the caller's thread."""
    if isinstance(effect, Invoke):
        return effect.runs_on
    runs_on = effect.model.runs_on
    return "thread" if runs_on == "inline" and (execution.hard_deadline or not alone) else runs_on
