"""From the arguments of `Guard` to its policy. Files are read here, and every mistake is an error here."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps

from llmguard.core.canonical import Json, digest
from llmguard.core.errors import UsageError
from llmguard.engine.budget import Budget
from llmguard.engine.check import Check, as_check
from llmguard.engine.ladder import (
    EscalateRung,
    FallbackRung,
    Ladder,
    ModelRung,
    RungBinding,
    SalvageRung,
    default_retry,
    fallback,
)
from llmguard.engine.policy import Policy, fingerprint
from llmguard.guard.certificate_lookup import bind_acceptance
from llmguard.guard.loaders import PromptSource, SchemaSource, load_prompt, load_schema
from llmguard.guard.options import GuardOptions, RungSource
from llmguard.guard.rungs import RungDefaults, build_model_rung, merge_sampling
from llmguard.log.protocol import OutcomeStore
from llmguard.schema import Schema
from llmguard.voting import refuse_unknown_fields

_NAME = re.compile(r"(?!\.)[a-z0-9_.-]{1,64}(?<!\.)\Z")


def build_policy(
    name: str, prompt: PromptSource, schema: SchemaSource, options: GuardOptions, log: OutcomeStore
) -> Policy:
    """UsageError names the first thing that cannot work, and how to mend it."""
    budget = options.budget
    _refuse_numbers(name, options.reasks, options.deadline_s, budget, options.audit)
    compiled = load_schema(schema, name)
    loaded = load_prompt(prompt, name)
    defaults = RungDefaults(
        name=name,
        prompt=loaded,
        reasks=options.reasks,
        retry=options.retry or default_retry(),
        sampling=merge_sampling(loaded.sampling, options.sampling),
        consistency=options.consistency,
    )
    model_rungs = [build_model_rung(each, defaults) for each in options.models]
    binding = RungBinding(name, compiled, last_good_in(log))
    ladder: Ladder = (*model_rungs, *(_fallback_rung(each, binding) for each in options.fallback))
    _refuse_ladder(name, ladder)
    _refuse_votes(name, model_rungs, compiled, budget)
    checks = tuple(_bound_check(as_check(each), compiled) for each in options.checks)
    _refuse_twins(name, checks)
    policy = Policy(
        name=name,
        prompt=loaded,
        schema=compiled,
        output=compiled.response_format(name),
        ladder=ladder,
        checks=checks,
        reading=replace(options.coercion_rules(), name=name),
        budget=budget,
        deadline_s=options.deadline_s,
        audit=options.audit,
    )
    if options.accept is not None:
        policy = replace(policy, accept=bind_acceptance(options.accept, policy, log))
    return replace(policy, fingerprint=fingerprint(policy))


def _refuse_votes(name: str, rungs: Sequence[ModelRung], schema: Schema, budget: Budget) -> None:
    for each in rungs:
        if each.consistency is None:
            continue
        refuse_unknown_fields(each.consistency, schema.json_schema)
        if each.consistency.n_max > budget.requests:
            raise UsageError(
                f"consistency of guard {name!r} may draw n_max={each.consistency.n_max} samples, and budget_requests="
                f"{budget.requests} allows fewer requests. Raise the budget, or lower n_max."
            )


def policy_warnings(policy: Policy) -> list[str]:
    """What is likely not meant, though it can run."""
    rungs = [each for each in policy.model_rungs if each.consistency is not None]
    cold = [each for each in rungs if not each.variants and each.sampling.temperature == 0]
    return [
        f"{each.label} votes at temperature 0, where all samples are the same and agreement means nothing. Give"
        " sampling=Sampling(temperature=...) above 0, or variants."
        for each in cold
    ]


def _fallback_rung(source: RungSource, binding: RungBinding) -> FallbackRung:
    """The rung for an item of `fallback=`, bound to its guard; an unknown kind is an error."""
    if isinstance(source, FallbackRung):
        return source.bind(binding)
    if isinstance(source, type) and issubclass(source, FallbackRung):
        raise UsageError(
            f"fallback= of guard {binding.guard!r} has the class {source.__name__}. Write an instance: {source.__name__}()."
        )
    if callable(source):
        return fallback(source).bind(binding)
    if hasattr(source, "describe") or hasattr(source, "answer") or hasattr(source, "label"):
        raise UsageError(
            f"fallback= of guard {binding.guard!r} has a {type(source).__name__}, which is no FallbackRung. Derive it from"
            " llmguard.engine.ladder.FallbackRung, with label, describe() and answer(request)."
        )
    raise UsageError(
        f"fallback= of guard {binding.guard!r} takes functions and rungs, got {source!r}. A fixed value is"
        f" constant({source!r})."
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
        raise UsageError(f"salvage() of guard {name!r} comes before any model: there is no reply to salvage.")


def _refuse_twins(name: str, checks: tuple[Check, ...]) -> None:
    names = [check.name for check in checks]
    for each in names:
        if names.count(each) > 1:
            raise UsageError(f"guard {name!r} has two checks named {each!r}. Give one another name: @check(name=...).")
