"""A guard: prompt, schema, checks, ladder, budget and log bound into one immutable thing that is called."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Generic, TypeVar, Unpack, cast, overload

from llmguard.core.canonical import EncodingError, Json
from llmguard.core.errors import GuardRejected, UsageError
from llmguard.core.outcome import Attempt, Outcome
from llmguard.core.prices import cost_usd
from llmguard.engine.policy import Policy, describe_policy
from llmguard.guard.build import build_policy, policy_warnings
from llmguard.guard.importing import guard_at, importable_name
from llmguard.guard.loaders import PromptSource, SchemaSource
from llmguard.guard.options import Options, guard_options
from llmguard.log import MemoryLog, OutcomeStore, open_log
from llmguard.log.protocol import refuse_incomplete_store
from llmguard.runtime.observers import Observer
from llmguard.runtime.session import Session, inputs_as_json, resumable
from llmguard.runtime.stream import AsyncStream, Stream

T = TypeVar("T")


class Guard(Generic[T]):
    """Validates a model's output and falls back where it cannot be trusted.

    Args:
        name: names the guard in log, review and replay: `[a-z0-9_.-]{1,64}`.
        prompt: a file (Prompty), a template (Jinja2), or a function of inputs that returns messages.
        schema: a JSON Schema (file, dict, text) or a Python type; the value comes back as that type.
        models: names or models, tried in order; `rung(...)` overrides the options below.
        checks: functions of (value, inputs) that return what is wrong.
        reasks: how often a model is asked again with what was wrong, at each rung.
        retry: when a request is tried again after a transport failure (tenacity's strategies).
        deadline_s: seconds for requests and checks; None: no bound.
        hard_deadline: run every request in a thread, so that even name resolution is bounded.
        budget_requests, budget_tokens, budget_usd: the most that one call may spend, over all rungs.
        consistency: take several samples and vote, at each model rung.
        audit: the share of calls that is drawn at random for review; such a call draws all its `n_max` samples.
        accept: `certified(alpha, delta)`: accept automatically only what a certificate of this guard covers.
        repairs: what may be mended in a reply: kinds ("lossless", "extracted", "syntactic", "lossy") and single repairs by
            name; a name with "-" before it is forbidden. Two that leave something out are made only where they are given by name:
            "drop_unknown" (members that a closed object does not know) and "salvage_items" (items that do not fit).
        field_repairs: the same for the field at a JSON Pointer and all below it: `{"/total": ()}`.
        allow_truncated: a reply that was cut off gives those of its members that are whole, each cut marked as a repair.
        max_depth: levels of brackets that a reply may have, at most 512.
        fallback: what answers where no model does: functions of (inputs), `constant`, `last_good`, `salvage`, `escalate`.
        observers: get the start and end of calls and steps (`llmguard.runtime.observers.Observer`), after the log.
        log: a database URL, an open log, or None for one in memory.

    Raises:
        UsageError: what was given cannot work; the message says how to mend it.

    >>> from llmguard.testing import ScriptedModel
    >>> age = Guard("age", prompt="How old is {{ who }}?", schema=int, models=[ScriptedModel(["about 36", "36"])], log=None)
    >>> age(who="Ada")
    36
    """

    @overload
    def __init__(
        self: Guard[T], name: str, *, prompt: PromptSource, schema: type[T], **options: Unpack[Options]
    ) -> None: ...
    @overload
    def __init__(
        self: Guard[Json], name: str, *, prompt: PromptSource, schema: SchemaSource, **options: Unpack[Options]
    ) -> None: ...
    def __init__(self, name: str, *, prompt: PromptSource, schema: SchemaSource, **options: Unpack[Options]) -> None:
        settings = guard_options(options)
        self.log = store_for(settings.log, name)
        self.policy = build_policy(name, prompt, schema, settings, self.log)
        self._hard_deadline, self._observers = settings.hard_deadline, complete_observers(settings.observers, name)
        self._typed = self.policy.schema.python_type is not None
        for warning in (*self.policy.schema.warnings, *self.policy.prompt.warnings, *policy_warnings(self.policy)):
            warnings.warn(f"guard {name!r}: {warning}", stacklevel=2)
        self.log.guard(self.policy.fingerprint, name, describe_policy(self.policy))
        if settings.audit > 0:
            _ = self.log.secret  # read once: a log that cannot be read is an error when the guard is built

    @property
    def name(self) -> str:
        return self.policy.name

    @property
    def fingerprint(self) -> str:
        """Names everything that decides an outcome; another fingerprint is another guard."""
        return self.policy.fingerprint

    def run(self, *, meta: Mapping[str, Json] | None = None, **inputs: object) -> Outcome[T]:
        """The outcome of one call, which is in the log when this returns. `meta` is stored and searchable."""
        session = self._session(inputs, meta)
        session.open()
        return self._outcome(session.decide())

    async def arun(self, *, meta: Mapping[str, Json] | None = None, **inputs: object) -> Outcome[T]:
        """`run` on the running event loop."""
        session = self._session(inputs, meta)
        session.open()
        return self._outcome(await session.adecide())

    def stream(self, *, meta: Mapping[str, Json] | None = None, **inputs: object) -> Stream[T]:
        """Show the value while it grows: `with guard.stream(...) as stream: for said in stream: ...`, then `.outcome`."""
        session = self._session(inputs, meta, streamed=True)
        return Stream(session, self._outcome)

    def astream(self, *, meta: Mapping[str, Json] | None = None, **inputs: object) -> AsyncStream[T]:
        """`stream` on the running event loop: `async with`, `async for`."""
        session = self._session(inputs, meta, streamed=True)
        return AsyncStream(session, self._outcome)

    def resume(self, outcome_id: str) -> Outcome[T]:
        """Finish a call whose process died. What was answered is not requested again; the deadline starts again."""
        record = resumable(self.log, outcome_id, self.policy)
        if record.outcome is not None and record.outcome.status != "interrupted":
            return self._outcome(record.outcome)
        session = self._session(record.opening.inputs, record.opening.meta)
        session.resume(record)
        return self._outcome(session.decide())

    def __call__(self, *, meta: Mapping[str, Json] | None = None, **inputs: object) -> T:
        """The value, or `GuardRejected`, which carries the outcome."""
        return value_of(self.run(meta=meta, **inputs))

    async def acall(self, *, meta: Mapping[str, Json] | None = None, **inputs: object) -> T:
        """`guard(...)` on the running event loop."""
        return value_of(await self.arun(meta=meta, **inputs))

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        """In another process a guard is the one at `module:name`: what it is bound to (clients, a log, functions) stays."""
        return guard_at, (importable_name(self, self.name),)

    def __copy__(self) -> Guard[T]:
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self, memo: object) -> Guard[T]:
        """Itself: a guard is immutable."""
        return self

    def __repr__(self) -> str:
        rungs = ", ".join(rung.label for rung in self.policy.ladder)
        return f"Guard({self.name!r}, {rungs}, fingerprint={self.fingerprint[:8]})"

    def _session(
        self, inputs: Mapping[str, object], meta: Mapping[str, Json] | None, *, streamed: bool = False
    ) -> Session:
        checked = checked_inputs(self.policy, inputs)
        policy = replace(self.policy, streamed=True) if streamed else self.policy
        return Session(
            policy,
            self.log,
            checked,
            meta=meta,
            price=cost_usd,
            hard_deadline=self._hard_deadline,
            observers=self._observers,
        )

    def _outcome(self, outcome: Outcome[Json]) -> Outcome[T]:
        value = outcome.json
        if self._typed and (outcome.has_value or value is not None):
            value = self.policy.schema.load(value)
        return cast("Outcome[T]", replace(outcome, value=value, _priced=total_cost))


def store_for(log: str | OutcomeStore | None, name: str) -> OutcomeStore:
    """The store of `log=`; UsageError where it is none."""
    if log is None:
        return MemoryLog()
    if isinstance(log, str):
        return open_log(log)
    refuse_incomplete_store(log, f"guard {name!r}")
    return log


def complete_observers(observers: Sequence[Observer], name: str) -> tuple[Observer, ...]:
    """The observers; UsageError for one that lacks a method, before a call is made."""
    for each in observers:
        if isinstance(each, type) or not isinstance(each, Observer):
            raise UsageError(
                f"observers= of guard {name!r}: expected objects derived from llmguard.runtime.observers.Observer, got {each!r}."
            )
    return tuple(observers)


def value_of(outcome: Outcome[T]) -> T:
    if not outcome.has_value:
        raise GuardRejected(outcome)
    return outcome.value


def checked_inputs(policy: Policy, inputs: Mapping[str, object]) -> Json:
    """The inputs as JSON, if they are what the prompt asks for."""
    if missing := policy.prompt.missing(inputs):
        raise UsageError(f"guard {policy.name!r} misses the input {', '.join(map(repr, missing))}. Give it by name.")
    if unknown := policy.prompt.unknown(inputs):
        expected = ", ".join(sorted(policy.prompt.variables or ())) or "none"
        raise UsageError(
            f"guard {policy.name!r} does not know the input {', '.join(map(repr, unknown))}; its prompt takes: {expected}."
        )
    try:
        return inputs_as_json(inputs)
    except EncodingError as error:
        raise UsageError(
            f"an input of guard {policy.name!r} is no JSON value: {error}. Inputs are recorded as JSON."
        ) from None


def total_cost(attempts: tuple[Attempt, ...]) -> float | None:
    """US dollars of all attempts, or None where one model's price is not known."""
    costs = [each.cost_usd if each.cost_usd is not None else cost_usd(each.rung, each.usage) for each in attempts]
    return None if None in costs else sum(cast("list[float]", costs))
