"""The rungs of a guard as frozen data, tried in order: models first, then what answers without one.

A rung of your own is a class derived from `FallbackRung` with `label`, `describe` and `answer`; it goes into `fallback=`.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import ClassVar, Literal, TypeAlias, cast

from llmguard.core.canonical import EncodingError, Json, json_roundtrip
from llmguard.core.effects import Crashed, Invoke, RetryState
from llmguard.core.errors import UsageError
from llmguard.core.messages import PROVIDERS_DEFAULTS, Sampling
from llmguard.core.model import Model, RunsOn
from llmguard.core.outcome import Repair, Violations
from llmguard.engine.check import runs_on_of
from llmguard.prompts import Prompt
from llmguard.prompts.function import describe_function
from llmguard.schema import Schema, salvage_value
from llmguard.voting import SelfConsistency

Strategy: TypeAlias = Callable[[RetryState], float]
Stop: TypeAlias = Callable[[RetryState], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When to try a request again after a transport failure, in tenacity's terms.

    `stop` and `wait` are tenacity strategies (`stop_after_attempt(3)`, `wait_random_exponential(max=8)`), or any function
    of a retry state. They decide by attempt and by seconds, never by exception: a failure is no exception here.
    """

    stop: Stop
    wait: Strategy

    def describe(self) -> Json:
        return {"stop": _describe_strategy(self.stop), "wait": _describe_strategy(self.wait)}


def _describe_strategy(strategy: object) -> Json:
    """tenacity's strategies have no repr; their type and numbers say what they do."""
    if inspect.isfunction(strategy):
        return describe_function(strategy)
    return [_qualified_name(type(strategy)), {name: _plain(value) for name, value in sorted(vars(strategy).items())}]


def _plain(value: object) -> Json:
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _describe_strategy(value) if hasattr(value, "__dict__") else str(type(value))


def _qualified_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def default_retry(tries: int = 3) -> Retry:
    """At most `tries` requests, with full jitter from half a second up to eight (AWS, "Exponential Backoff And Jitter")."""
    from tenacity import stop_after_attempt, wait_random_exponential

    return Retry(
        stop=cast(Stop, stop_after_attempt(tries)),
        wait=cast(Strategy, wait_random_exponential(multiplier=0.5, max=8)),
    )


@dataclass(frozen=True, slots=True)
class RungNote:
    """A line of `llmguard doctor` about a rung: `ok`, or `note` where its user may regret the choice."""

    level: Literal["ok", "note"]
    text: str


class Rung(ABC):
    """One thing that may answer: a `ModelRung` or a `FallbackRung`."""

    __slots__ = ()
    label: str
    """Names the rung in outcomes and violations: `outcome.source`."""

    @abstractmethod
    def describe(self) -> Json:
        """Everything that decides what it answers, for the guard's fingerprint."""

    def notes(self) -> tuple[RungNote, ...]:
        """For `llmguard doctor`."""
        return ()

    def ending_note(self, guard_has_checks: bool) -> RungNote | None:
        """For `llmguard doctor`, where the ladder ends with this rung: does it always answer?"""
        return None


# ------------------------------------------------------------------------------------------------- models


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRung(Rung):
    """Ask a model: once, or as often as `consistency` says, and vote. `prompt` None: the guard's.

    `variants` of a vote take turns, sample by sample: other models, prompts or temperatures.
    """

    model: Model
    reasks: int = 2
    retry: Retry = field(default_factory=default_retry)
    sampling: Sampling = PROVIDERS_DEFAULTS
    prompt: Prompt | None = None
    consistency: SelfConsistency | None = None
    variants: tuple[ModelRung, ...] = ()

    @property
    def label(self) -> str:  # type: ignore[override]
        return self.model.name

    def describe(self) -> Json:
        description = {
            "model": self.model.name,
            "settings": self.model.settings,
            "reasks": self.reasks,
            "retry": self.retry.describe(),
            "sampling": self.sampling.set_fields(),
        }
        if self.prompt is not None:
            description["prompt"] = self.prompt.description
        if self.consistency is not None:
            description["consistency"] = self.consistency.description()
            description["variants"] = [each.describe() for each in self.variants]
        return description

    def ending_note(self, guard_has_checks: bool) -> RungNote | None:
        return RungNote("note", "ends with a model: when no model can be trusted, guard(...) raises GuardRejected")

    def variant(self, number: int) -> ModelRung:
        return self.variants[number % len(self.variants)] if self.variants else self

    def for_sample(self, number: int) -> ModelRung:
        """The rung that draws sample `number` of its vote, from 0. Its seed moves on: one seed, one reply."""
        rung = self.variant(number)
        assert self.consistency is not None
        reasks = rung.reasks if self.consistency.on_invalid == "reask" else 0
        seed = None if rung.sampling.seed is None else rung.sampling.seed + number
        return replace(rung, reasks=reasks, sampling=replace(rung.sampling, seed=seed), consistency=None, variants=())

    def batch(self, first: int, count: int) -> list[int]:
        """The samples to draw at the same time, of `count` from `first` on: no more of a model than it serves at once."""
        load: dict[str, int] = {}
        for number in range(first, first + count):
            model = self.variant(number).model
            load[model.name] = load.get(model.name, 0) + 1
            if load[model.name] > max(1, model.max_parallel):
                return list(range(first, number))
        return list(range(first, first + count))


# ------------------------------------------------------------------------------------------------- without a model


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackRequest:
    """What a deterministic rung may look at.

    `candidate` is the last value that could be parsed from a reply, as a tuple of one, and `violations` what is wrong with
    it; both are empty where there was none.
    """

    address: str
    guard: str
    inputs: Json
    schema: Schema
    candidate: tuple[Json, ...] = ()
    violations: Violations = ()


@dataclass(frozen=True, slots=True)
class FallbackValue:
    """A deterministic rung's value, before it is validated."""

    value: Json
    repairs: tuple[Repair, ...] = ()


FallbackAnswer: TypeAlias = FallbackValue | Crashed | Invoke[Json] | Invoke["FallbackValue | Crashed"]
"""A value, the reason why there is none, or a function to run, whose result is the value."""


@dataclass(frozen=True, slots=True)
class RungBinding:
    """What a rung is bound to when its guard is built. `last_good`: (guard, inputs, max_age_s) -> {"value": …} or None."""

    guard: str
    schema: Schema
    last_good: Callable[[str, Json, float], Json]


class FallbackRung(Rung):
    """A rung that answers without a model. Derive a rung of your own from it; it has to be immutable.

    >>> class Nearest(FallbackRung):
    ...     label = "nearest"
    ...
    ...     def describe(self):
    ...         return {"nearest": 1}
    ...
    ...     def answer(self, request):
    ...         return FallbackValue(len(request.inputs["word"]))
    >>> from llmguard import Guard
    >>> Guard("length", prompt="{{ word }}", schema=int, fallback=[Nearest()], log=None)(word="four")
    4
    """

    __slots__ = ()
    invokes: ClassVar[bool] = False
    """Whether it runs a function, which a what-if replay may run again."""

    @abstractmethod
    def answer(self, request: FallbackRequest) -> FallbackAnswer:
        """The value, why there is none (`Crashed`), or the function to run for it. Pure: no clock, no file, no network."""

    def bind(self, binding: RungBinding) -> FallbackRung:
        """The rung for one guard; UsageError where it cannot work there."""
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionRung(FallbackRung):
    """A function of (inputs) whose value answers in the model's place."""

    function: Callable[..., object]
    name: str
    timeout_s: float | None = None
    invokes: ClassVar[bool] = True

    @property
    def label(self) -> str:  # type: ignore[override]
        return self.name

    @property
    def runs_on(self) -> RunsOn:
        return runs_on_of(self.function, self.timeout_s)

    def describe(self) -> Json:
        return {"function": describe_function(self.function), "timeout_s": self.timeout_s}

    def answer(self, request: FallbackRequest) -> FallbackAnswer:
        arguments = (request.inputs,)
        return Invoke(request.address, self.name, self.function, arguments, self.timeout_s, self.runs_on, True)

    def bind(self, binding: RungBinding) -> FunctionRung:
        return replace(self, function=returning_json(self.function, binding.schema))

    def notes(self) -> tuple[RungNote, ...]:
        if self.timeout_s is not None:
            return ()
        text = f"fallback {self.name!r} has no timeout_s: it may run for ever, after the deadline too"
        return (RungNote("note", text),)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantRung(FallbackRung):
    """One fixed value."""

    value: Json
    label: str = "constant"

    def describe(self) -> Json:
        return {"constant": self.value}

    def answer(self, request: FallbackRequest) -> FallbackAnswer:
        return FallbackValue(self.value)

    def bind(self, binding: RungBinding) -> ConstantRung:
        try:
            value = json_roundtrip(binding.schema.dump(self.value))
        except (EncodingError, TypeError, ValueError) as error:
            raise UsageError(f"constant of guard {binding.guard!r} is no JSON value: {error}.") from None
        if violations := binding.schema.violations(value):
            raise UsageError(
                f"constant of guard {binding.guard!r} breaks its own schema at {violations[0]}. Give a value that fits."
            )
        return replace(self, value=value)

    def ending_note(self, guard_has_checks: bool) -> RungNote | None:
        return None if guard_has_checks else RungNote("ok", "ends with a constant: guard(...) never raises")


def _no_log(guard: str, inputs: Json, max_age_s: float) -> Json:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastGoodRung(FallbackRung):
    """The newest value a model gave for the same inputs, if it is not older than `max_age_s`.

    `lookup` is bound when the guard is built: (guard, inputs, max_age_s) -> {"value": …} or None.
    """

    max_age_s: float
    lookup: Callable[..., object] = _no_log
    label: str = "last_good"
    invokes: ClassVar[bool] = True

    def describe(self) -> Json:
        return {"last_good": self.max_age_s}

    def answer(self, request: FallbackRequest) -> FallbackAnswer:
        arguments = (request.guard, request.inputs, self.max_age_s)
        return Invoke(
            request.address, self.label, self.lookup, arguments, ignores_deadline=True, decode=_last_good_value
        )

    def bind(self, binding: RungBinding) -> LastGoodRung:
        return replace(self, lookup=binding.last_good)

    def ending_note(self, guard_has_checks: bool) -> RungNote | None:
        return RungNote("note", "ends with last_good: guard(...) raises GuardRejected for inputs never answered before")


def _last_good_value(row: Json) -> FallbackValue | Crashed:
    return FallbackValue(row["value"]) if row else Crashed("crashed", "no good value in the log")


@dataclass(frozen=True, slots=True, kw_only=True)
class SalvageRung(FallbackRung):
    """What is right in the last reply: failed optional fields become their default or go."""

    label: str = "salvage"

    def describe(self) -> Json:
        return {"salvage": True}

    def answer(self, request: FallbackRequest) -> FallbackAnswer:
        if not request.candidate:
            return Crashed("crashed", "no reply could be parsed")
        salvaged = salvage_value(request.schema, request.candidate[0], request.violations)
        return FallbackValue(*salvaged) if salvaged else Crashed("crashed", "what is wrong is not optional")


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalateRung(FallbackRung):
    """Hand over to a person: the call ends `escalated`."""

    label: str = "escalate"

    def describe(self) -> Json:
        return {"escalate": True}

    def answer(self, request: FallbackRequest) -> FallbackAnswer:
        return Crashed("crashed", "a person answers")  # the flow ends the call here, and asks nothing

    def ending_note(self, guard_has_checks: bool) -> RungNote | None:
        return RungNote("ok", "ends with a person: guard(...) raises GuardRejected until there is an answer")


def returning_json(function: Callable[..., object], schema: Schema) -> Callable[..., object]:
    """A fallback may return the schema's Python type; what the flow gets is its JSON."""
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def async_json(inputs: Json) -> Json:
            return schema.dump(await function(inputs))

        return async_json

    @wraps(function)
    def sync_json(inputs: Json) -> Json:
        return schema.dump(function(inputs))

    return sync_json


Ladder: TypeAlias = tuple[ModelRung | FallbackRung, ...]


def describe_rung(rung: Rung) -> Json:
    """A rung for the fingerprint; one that is not llmguard's own with its class and source, too."""
    kind = type(rung)
    if kind.__module__ == __name__:
        return rung.describe()
    return {"rung": describe_function(kind), "settings": rung.describe()}


# ------------------------------------------------------------------------------------------------- as a user gives them


def constant(value: Json) -> ConstantRung:
    """The last resort that never fails: a value known when the guard is built, which is validated then."""
    return ConstantRung(value=value)


def last_good(max_age_s: float) -> LastGoodRung:
    """The newest accepted value for the same inputs, no older than `max_age_s` seconds."""
    if not max_age_s > 0:
        raise UsageError(f"last_good(max_age_s=...): expected seconds above 0, got {max_age_s!r}.")
    return LastGoodRung(max_age_s=max_age_s)


def salvage() -> SalvageRung:
    """Keep the fields of the last reply that are right; the failed optional ones become their default or go."""
    return SalvageRung()


def escalate() -> EscalateRung:
    """Wait for a person: the outcome is `escalated`, and its value provisional or missing."""
    return EscalateRung()


def function_name(function: Callable[..., object]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def fallback(
    function: Callable[..., object], *, name: str | None = None, timeout_s: float | None = None
) -> FunctionRung:
    """A function of (inputs) as a rung, with a bound on its time. A plain function in `fallback=` is the same without."""
    if not callable(function):
        raise UsageError(f"a fallback is a function of (inputs) or a rung, got {type(function).__name__}.")
    return FunctionRung(function=function, name=name or function_name(function), timeout_s=timeout_s)
