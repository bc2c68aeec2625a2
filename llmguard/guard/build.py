"""What a user hands to `Guard` into a policy: files are read here, and every mistake is named here."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import TypeAlias

from llmguard.core.canonical import Json, digest
from llmguard.core.errors import UsageError
from llmguard.core.messages import Sampling
from llmguard.engine.acceptance_policy import Acceptance
from llmguard.engine.budget import Budget
from llmguard.engine.check import Check, CheckFunction, as_check
from llmguard.engine.ladder import (
    EscalateRung,
    FallbackRung,
    Ladder,
    ModelRung,
    Retry,
    RungBinding,
    SalvageRung,
    default_retry,
    fallback,
)
from llmguard.engine.policy import Policy, fingerprint
from llmguard.guard.certificate_lookup import bound_promise
from llmguard.guard.loaders import PromptSource, SchemaSource, load_prompt, load_schema
from llmguard.guard.rungs import ModelSource, Usual, merge_sampling, model_rung
from llmguard.log.protocol import OutcomeStore
from llmguard.parsing.coerce import STANDARD, ReadingRules
from llmguard.schema import Schema
from llmguard.voting import SelfConsistency, refuse_unknown_fields

RungSource: TypeAlias = "Callable[..., object] | FallbackRung"

_NAME = re.compile(r"(?!\.)[a-z0-9_.-]{1,64}(?<!\.)\Z")


def build_policy(
    name: str,
    *,
    prompt: PromptSource,
    schema: SchemaSource,
    models: Sequence[ModelSource],
    checks: Sequence[Check | CheckFunction],
    reasks: int,
    retry: Retry | None,
    sampling: Sampling,
    fallbacks: Sequence[RungSource],
    budget: Budget,
    deadline_s: float | None,
    log: OutcomeStore,
    reading: ReadingRules = STANDARD,
    consistency: SelfConsistency | None = None,
    audit: float = 0.0,
    accept: Acceptance | None = None,
) -> Policy:
    _refuse_numbers(name, reasks, deadline_s, budget, audit)
    compiled = load_schema(schema, name)
    words = load_prompt(prompt, name)
    usual = Usual(name, words, reasks, retry or default_retry(), merge_sampling(words.sampling, sampling), consistency)
    asked = [model_rung(each, usual) for each in models]
    binding = RungBinding(name, compiled, last_good_in(log))
    ladder: Ladder = (*asked, *(_fallback_rung(each, binding) for each in fallbacks))
    _refuse_ladder(name, ladder)
    _refuse_votes(name, asked, compiled, budget)
    bound_checks = tuple(_bound_check(as_check(each), compiled) for each in checks)
    _refuse_twins(name, bound_checks)
    policy = Policy(
        name=name,
        prompt=words,
        schema=compiled,
        output=compiled.output_form(name),
        ladder=ladder,
        checks=bound_checks,
        reading=reading,
        budget=budget,
        deadline_s=deadline_s,
        audit=audit,
    )
    if accept is not None:
        policy = replace(policy, accept=bound_promise(accept, policy, log))
    return replace(policy, fingerprint=fingerprint(policy))


def _refuse_votes(name: str, asked: Sequence[ModelRung], schema: Schema, budget: Budget) -> None:
    for each in asked:
        if each.consistency is None:
            continue
        refuse_unknown_fields(each.consistency, schema.json_schema)
        if each.consistency.n_max > budget.requests:
            raise UsageError(
                f"consistency of guard {name!r} may draw n_max={each.consistency.n_max} samples, and budget_requests="
                f"{budget.requests} allows fewer requests. Raise the budget, or lower n_max."
            )


def doubts(policy: Policy) -> list[str]:
    """What is likely not meant, though it can run."""
    rungs = [each for each in policy.model_rungs if each.consistency is not None]
    cold = [each for each in rungs if not each.variants and each.sampling.temperature == 0]
    return [
        f"{each.label} votes at temperature 0, where all samples are the same and agreement means nothing. Give"
        " sampling=Sampling(temperature=...) above 0, or variants."
        for each in cold
    ]


def _fallback_rung(given: RungSource, binding: RungBinding) -> FallbackRung:
    """The rung of what stands in `fallback=`, bound to its guard; an unknown kind is an error."""
    if isinstance(given, FallbackRung):
        return given.bind(binding)
    if isinstance(given, type) and issubclass(given, FallbackRung):
        raise UsageError(
            f"fallback= of guard {binding.guard!r} has the class {given.__name__}. Write an instance: {given.__name__}()."
        )
    if callable(given):
        return fallback(given).bind(binding)
    if hasattr(given, "describe") or hasattr(given, "answer") or hasattr(given, "label"):
        raise UsageError(
            f"fallback= of guard {binding.guard!r} has a {type(given).__name__}, which is no FallbackRung. Derive it from"
            " llmguard.engine.ladder.FallbackRung, with label, describe() and answer(request)."
        )
    raise UsageError(
        f"fallback= of guard {binding.guard!r} takes functions and rungs, found {given!r}. A fixed value is"
        f" constant({given!r})."
    )


def last_good_in(log: OutcomeStore) -> Callable[[str, Json, float], Json]:
    """Looks in a log for the newest good value of a guard for the same inputs."""

    def last_good(guard: str, inputs: Json, max_age_s: float) -> Json:
        return log.last_good(guard, digest(inputs), time.time() - max_age_s)

    return last_good


def _bound_check(check: Check, schema: Schema) -> Check:
    """A check sees the value as the schema's Python type."""
    if schema.python_type is None:
        return check
    function = check.function
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def aloaded(value: Json, inputs: Json) -> object:
            return await function(schema.load(value), inputs)

        return replace(check, function=aloaded)

    @wraps(function)
    def loaded(value: Json, inputs: Json) -> object:
        return function(schema.load(value), inputs)

    return replace(check, function=loaded)


def _refuse_numbers(name: str, reasks: int, deadline_s: float | None, budget: Budget, audit: float) -> None:
    if not _NAME.match(str(name)):
        raise UsageError(
            f"guard name {name!r}: expected 1 to 64 of a-z 0-9 _ . - without a dot at either end (it names"
            f" files, rows and replay cases)."
        )
    if reasks < 0:
        raise UsageError(f"reasks={reasks!r} of guard {name!r}: expected a whole number, 0 or more.")
    if deadline_s is not None and not deadline_s > 0:
        raise UsageError(
            f"deadline_s={deadline_s!r} of guard {name!r}: expected seconds above 0, or None for no bound."
        )
    if isinstance(audit, bool) or not isinstance(audit, int | float) or not 0 <= audit <= 1:
        raise UsageError(
            f"audit={audit!r} of guard {name!r}: expected a share from 0 to 1; 0.05 is one call in twenty."
        )
    for what, amount in (("requests", budget.requests), ("tokens", budget.tokens), ("usd", budget.usd)):
        if amount is not None and not amount > 0:
            raise UsageError(f"budget_{what}={amount!r} of guard {name!r}: expected more than 0, or None for no bound.")


def _refuse_ladder(name: str, ladder: Ladder) -> None:
    if not ladder:
        raise UsageError(f"guard {name!r} has neither models= nor fallback=: nothing could ever answer.")
    if any(isinstance(each, EscalateRung) for each in ladder[:-1]):
        raise UsageError(f"escalate() of guard {name!r} is not its last rung: those after it would never be tried.")
    if isinstance(ladder[0], SalvageRung):
        raise UsageError(f"salvage() of guard {name!r} stands before any model: there is no reply to salvage.")


def _refuse_twins(name: str, checks: tuple[Check, ...]) -> None:
    names = [check.name for check in checks]
    for each in names:
        if names.count(each) > 1:
            raise UsageError(f"guard {name!r} has two checks named {each!r}. Give one another name: @check(name=...).")
