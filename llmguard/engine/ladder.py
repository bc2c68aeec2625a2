"""The rungs of a guard as frozen data, tried in order: models first, then what answers without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias, cast

from llmguard.core.canonical import Json
from llmguard.core.effects import RetryState
from llmguard.core.errors import UsageError
from llmguard.core.messages import PROVIDERS_DEFAULTS, Sampling
from llmguard.core.model import Model, RunsOn
from llmguard.engine.check import runs_on_of
from llmguard.prompts import Prompt
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


def default_retry(tries: int = 3) -> Retry:
    """At most `tries` requests, with full jitter from half a second up to eight (AWS, "Exponential Backoff And Jitter")."""
    from tenacity import stop_after_attempt, wait_random_exponential

    return Retry(
        stop=cast(Stop, stop_after_attempt(tries)),
        wait=cast(Strategy, wait_random_exponential(multiplier=0.5, max=8)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRung:
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
    def label(self) -> str:
        return self.model.name

    def variant(self, number: int) -> ModelRung:
        return self.variants[number % len(self.variants)] if self.variants else self

    def drawing(self, number: int) -> ModelRung:
        """The rung that draws sample `number` of its vote, from 0. Its seed moves on: one seed, one reply."""
        rung = self.variant(number)
        assert self.consistency is not None
        reasks = rung.reasks if self.consistency.on_invalid == "reask" else 0
        seed = None if rung.sampling.seed is None else rung.sampling.seed + number
        return replace(rung, reasks=reasks, sampling=replace(rung.sampling, seed=seed), consistency=None, variants=())

    def batch(self, first: int, count: int) -> list[int]:
        """The samples to draw at the same time, of `count` from `first` on: no more of a model than it bears at once."""
        load: dict[str, int] = {}
        for number in range(first, first + count):
            model = self.variant(number).model
            load[model.name] = load.get(model.name, 0) + 1
            if load[model.name] > max(1, model.max_parallel):
                return list(range(first, number))
        return list(range(first, first + count))


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionRung:
    """A function of (inputs) whose value answers in the model's place."""

    function: Callable[..., object]
    name: str
    timeout_s: float | None = None

    @property
    def label(self) -> str:
        return self.name

    @property
    def runs_on(self) -> RunsOn:
        return runs_on_of(self.function, self.timeout_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantRung:
    """One fixed value."""

    value: Json
    label: str = "constant"


def _no_log(guard: str, inputs: Json, max_age_s: float) -> Json:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastGoodRung:
    """The newest value a model gave for the same inputs, if it is not older than `max_age_s`.

    `lookup` is bound by the guard: (guard name, digest of the inputs, max_age_s) -> {"value": …} or None.
    """

    max_age_s: float
    lookup: Callable[..., object] = _no_log
    label: str = "last_good"


@dataclass(frozen=True, slots=True, kw_only=True)
class SalvageRung:
    """What is right in the last reply: failed optional fields become their default or go."""

    label: str = "salvage"


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalateRung:
    """Hand over to a person: the call ends `escalated`."""

    label: str = "escalate"


DeterministicRung: TypeAlias = FunctionRung | ConstantRung | LastGoodRung | SalvageRung | EscalateRung
Rung: TypeAlias = ModelRung | DeterministicRung


def constant(value: Json) -> ConstantRung:
    """The last resort that never fails: a value known when the guard is built, which is validated then."""
    return ConstantRung(value=value)


def last_good(max_age_s: float) -> LastGoodRung:
    """The newest accepted value for the same inputs, no older than `max_age_s` seconds."""
    if not max_age_s > 0:
        raise UsageError(f"last_good(max_age_s=...) wants seconds above 0, found {max_age_s!r}.")
    return LastGoodRung(max_age_s=max_age_s)


def salvage() -> SalvageRung:
    """Keep the fields of the last reply that are right; the failed optional ones become their default or go."""
    return SalvageRung()


def escalate() -> EscalateRung:
    """Wait for a person: the outcome is `escalated`, and its value provisional or missing."""
    return EscalateRung()


def name_of(function: Callable[..., object]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def fallback(
    function: Callable[..., object], *, name: str | None = None, timeout_s: float | None = None
) -> FunctionRung:
    """A function of (inputs) as a rung, with a bound on its time. A plain function in `fallback=` is the same without."""
    if not callable(function):
        raise UsageError(f"a fallback is a function of (inputs) or a rung, found {type(function).__name__}.")
    return FunctionRung(function=function, name=name or name_of(function), timeout_s=timeout_s)
