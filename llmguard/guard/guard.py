"""A guard: prompt, schema, checks, ladder, budget and log bound into one immutable thing that is called."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Generic, TypedDict, TypeVar, Unpack, cast, overload

from llmguard.core.canonical import EncodingError, Json
from llmguard.core.errors import GuardRejected, UsageError
from llmguard.core.messages import PROVIDERS_DEFAULTS, Sampling
from llmguard.core.outcome import Attempt, Outcome
from llmguard.core.prices import cost_usd
from llmguard.engine.acceptance_policy import Acceptance
from llmguard.engine.budget import Budget
from llmguard.engine.check import Check, CheckFunction
from llmguard.engine.ladder import Retry
from llmguard.engine.policy import Policy, describe_policy
from llmguard.guard.build import RungSource, build_policy, doubts
from llmguard.guard.loaders import PromptSource, SchemaSource
from llmguard.guard.rungs import ModelSource
from llmguard.log import MemoryLog, OutcomeStore, open_log
from llmguard.log.protocol import refuse_incomplete_store
from llmguard.parsing.coerce import USUAL, reading_rules
from llmguard.parsing.syntax import MAX_DEPTH
from llmguard.runtime.session import Session, inputs_of, resumable
from llmguard.runtime.stream import AsyncStream, Stream
from llmguard.voting import SelfConsistency

T = TypeVar("T")
DEFAULT_LOG = "sqlite:///llmguard.db"


class Options(TypedDict, total=False):
    """The keyword arguments of `Guard` beside name, prompt and schema."""

    models: Sequence[ModelSource]
    checks: Sequence[Check | CheckFunction]
    reasks: int
    retry: Retry | None
    sampling: Sampling
    deadline_s: float | None
    hard_deadline: bool
    budget_requests: int
    budget_tokens: int | None
    budget_usd: float | None
    consistency: SelfConsistency | None
    audit: float
    accept: Acceptance | None
    repairs: Sequence[str]
    field_repairs: Mapping[str, Sequence[str]] | None
    allow_truncated: bool
    max_depth: int
    fallback: Sequence[RungSource]
    log: str | OutcomeStore | None


class Guard(Generic[T]):
    """Validates a model's output and falls back where it cannot be trusted.

    Args:
        name: names the guard in log, review and replay: `[a-z0-9_.-]{1,64}`.
        prompt: a file (Prompty), a template (Jinja2), or a function of inputs that returns messages.
        schema: a JSON Schema (file, dict, text) or a Python type; the value comes back as that type.
        models: names or models, tried in order; `rung(...)` overrides what stands here.
        checks: functions of (value, inputs) that return what is wrong.
        reasks: how often a model is told what was wrong, at each rung.
        retry: when a request is tried again after a transport failure (tenacity's strategies).
        deadline_s: seconds for requests and checks; None: no bound.
        hard_deadline: run every request in a thread, so that even name resolution is bounded.
        budget_requests, budget_tokens, budget_usd: the most that one call may spend, over all rungs.
        consistency: take several samples and vote, at each model rung.
        audit: the share of calls that is drawn at random for review; such a call draws all its `n_max` samples.
        accept: `certified(alpha, delta)`: accept automatically only what a certificate of this guard covers.
        repairs: what may be mended in a reply: kinds ("lossless", "syntactic", "lossy") and single repairs by name; a name
            with "-" before it is forbidden.
        field_repairs: the same for the field at a JSON Pointer and all below it: `{"/total": ()}`.
        allow_truncated: a reply that was cut off gives those of its members that are whole, each cut marked as a repair.
        max_depth: levels of brackets that a reply may have, at most 512.
        fallback: what answers where no model does: functions of (inputs), `constant`, `last_good`, `salvage`, `escalate`.
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
    def __init__(
        self,
        name: str,
        *,
        prompt: PromptSource,
        schema: SchemaSource,
        models: Sequence[ModelSource] = (),
        checks: Sequence[Check | CheckFunction] = (),
        reasks: int = 2,
        retry: Retry | None = None,
        sampling: Sampling = PROVIDERS_DEFAULTS,
        deadline_s: float | None = 120.0,
        hard_deadline: bool = False,
        budget_requests: int = 50,
        budget_tokens: int | None = None,
        budget_usd: float | None = None,
        consistency: SelfConsistency | None = None,
        audit: float = 0.05,
        accept: Acceptance | None = None,
        repairs: Sequence[str] = USUAL,
        field_repairs: Mapping[str, Sequence[str]] | None = None,
        allow_truncated: bool = False,
        max_depth: int = MAX_DEPTH,
        fallback: Sequence[RungSource] = (),
        log: str | OutcomeStore | None = DEFAULT_LOG,
    ) -> None:
        self.log = _store(log, name)
        self.policy = build_policy(
            name,
            prompt=prompt,
            schema=schema,
            models=models,
            checks=checks,
            reasks=reasks,
            retry=retry,
            sampling=sampling,
            fallbacks=fallback,
            budget=Budget(requests=budget_requests, tokens=budget_tokens, usd=budget_usd),
            deadline_s=deadline_s,
            log=self.log,
            consistency=consistency,
            audit=audit,
            accept=accept,
            reading=reading_rules(repairs, field_repairs, allow_truncated=allow_truncated, max_depth=max_depth),
        )
        self._hard_deadline = hard_deadline
        self._typed = self.policy.schema.python_type is not None
        for warning in (*self.policy.schema.warnings, *self.policy.prompt.warnings, *doubts(self.policy)):
            warnings.warn(f"guard {name!r}: {warning}", stacklevel=2)
        self.log.guard(self.policy.fingerprint, name, describe_policy(self.policy))
        if audit > 0:
            _ = self.log.secret  # read once, here: a log that cannot be read is told when the guard is built

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
        """Finish a call whose process died. What was answered is not asked for again; the deadline begins anew."""
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

    def __repr__(self) -> str:
        rungs = ", ".join(rung.label for rung in self.policy.ladder)
        return f"Guard({self.name!r}, {rungs}, fingerprint={self.fingerprint[:8]})"

    def _session(
        self, inputs: Mapping[str, object], meta: Mapping[str, Json] | None, *, streamed: bool = False
    ) -> Session:
        checked = checked_inputs(self.policy, inputs)
        policy = replace(self.policy, streamed=True) if streamed else self.policy
        return Session(policy, self.log, checked, meta=meta, price=cost_usd, hard=self._hard_deadline)

    def _outcome(self, outcome: Outcome[Json]) -> Outcome[T]:
        value = outcome.json
        if self._typed and (outcome.has_value or value is not None):
            value = self.policy.schema.load(value)
        return cast("Outcome[T]", replace(outcome, value=value, _priced=price_of))


def _store(log: str | OutcomeStore | None, name: str) -> OutcomeStore:
    if log is None:
        return MemoryLog()
    if isinstance(log, str):
        return open_log(log)
    refuse_incomplete_store(log, f"guard {name!r}")
    return log


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
        return inputs_of(inputs)
    except EncodingError as error:
        raise UsageError(
            f"an input of guard {policy.name!r} is no JSON value: {error}. Inputs are recorded as JSON."
        ) from None


def price_of(attempts: tuple[Attempt, ...]) -> float | None:
    """US dollars of all attempts, or None where one model's price is not known."""
    costs = [each.cost_usd if each.cost_usd is not None else cost_usd(each.rung, each.usage) for each in attempts]
    return None if None in costs else sum(cast("list[float]", costs))
