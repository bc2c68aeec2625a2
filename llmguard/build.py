"""What a user hands to `Guard` into a policy: files are read here, and every mistake is named here."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import wraps
from pathlib import Path
from typing import Protocol, TypeAlias, cast

from llmguard.acceptance import Acceptance, bound_acceptance
from llmguard.budget import Budget
from llmguard.canonical import EncodingError, Json, crossed, decode, digest
from llmguard.certify import Certificate, Kept, knob
from llmguard.checks import Check, CheckFunction, as_check
from llmguard.consistency import SelfConsistency, refuse_unknown_fields
from llmguard.effects import Model
from llmguard.errors import UsageError
from llmguard.ladder import (
    ConstantRung,
    EscalateRung,
    FunctionRung,
    LastGoodRung,
    ModelRung,
    Retry,
    Rung,
    SalvageRung,
    default_retry,
    fallback,
)
from llmguard.messages import Sampling
from llmguard.models.openai import OpenAIModel
from llmguard.policy import Policy, fingerprint
from llmguard.prompts import Prompt, compile_prompt
from llmguard.reading import STANDARD, ReadingRules
from llmguard.schema import Schema, compile_schema

PromptSource: TypeAlias = "str | Path | Callable[..., object]"
SchemaSource: TypeAlias = "str | Path | Mapping[str, Json] | object"
ModelSource: TypeAlias = "str | Model | PartialRung"
VariantSource: TypeAlias = "ModelSource | Sampling"
RungSource: TypeAlias = (
    "Callable[..., object] | FunctionRung | ConstantRung | LastGoodRung | SalvageRung | EscalateRung"
)

_NAME = re.compile(r"(?!\.)[a-z0-9_.-]{1,64}(?<!\.)\Z")
_PROMPT_FILES = (".prompty", ".j2", ".jinja", ".jinja2", ".txt", ".md")


class Unset(Enum):
    """An argument that was not given, where None says something."""

    UNSET = "unset"


UNSET = Unset.UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialRung:
    """A model rung with what differs from the guard's defaults; `rung(...)` makes it."""

    model: str | Model | None = None
    reasks: int | None = None
    retry: Retry | None = None
    sampling: Sampling | None = None
    prompt: PromptSource | None = None
    consistency: SelfConsistency | Unset | None = UNSET


def rung(
    model: str | Model | None = None,
    *,
    reasks: int | None = None,
    retry: Retry | None = None,
    sampling: Sampling | None = None,
    prompt: PromptSource | None = None,
    consistency: SelfConsistency | Unset | None = UNSET,
) -> PartialRung:
    """A model rung that overrides what stands on the guard: `models=["small", rung("large", reasks=0)]`.

    `consistency=None` takes one sample where the guard votes. Without a model it is a variant of a vote:
    `SelfConsistency(variants=[rung(prompt="..."), rung(sampling=Sampling(temperature=1.0))])`.
    """
    return PartialRung(
        model=model, reasks=reasks, retry=retry, sampling=sampling, prompt=prompt, consistency=consistency
    )


class Log(Protocol):
    """What a guard's ladder asks of a log: good values, and certificates."""

    def last_good(self, guard: str, inputs_digest: str, not_before: float) -> Json: ...
    def certificates(self, guard: str, certified: str | None = None) -> Sequence[Kept]: ...


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
    log: Log,
    reading: ReadingRules = STANDARD,
    consistency: SelfConsistency | None = None,
    audit: float = 0.0,
    accept: Acceptance | None = None,
) -> Policy:
    _refuse_numbers(name, reasks, deadline_s, budget, audit)
    compiled = load_schema(schema, name)
    words = load_prompt(prompt, name)
    usual = Usual(name, words, reasks, retry or default_retry(), merge_sampling(words.sampling, sampling), consistency)
    asked = [_model_rung(each, usual) for each in models]
    ladder = (*asked, *(_fallback_rung(each, compiled, log, name) for each in fallbacks))
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
        policy = replace(policy, accept=_acceptance(accept, policy, log))
    return replace(policy, fingerprint=fingerprint(policy))


def load_schema(given: SchemaSource, name: str) -> Schema:
    """A schema from a file (its siblings may be referred to), JSON text, a dict or a Python type."""
    if isinstance(given, Schema):
        return given
    if isinstance(given, str) and given.lstrip().startswith("{"):
        return compile_schema(given, where=f"schema of guard {name!r}")
    if isinstance(given, str | Path):
        path = Path(given)
        text = _read(path, "schema")
        return compile_schema(text, registry=_siblings(path), where=str(path))
    return compile_schema(given, where=f"schema of guard {name!r}")


def load_prompt(given: PromptSource, name: str) -> Prompt:
    """A prompt from a file, a template or a function."""
    if isinstance(given, Path) or (isinstance(given, str) and _names_a_file(given)):
        path = Path(given)
        return compile_prompt(_read(path, "prompt"), name=path.stem, where=str(path), is_file=path.suffix == ".prompty")
    if not isinstance(given, str) and not callable(given):
        raise UsageError(
            f"prompt of guard {name!r} is a {type(given).__name__}. Give a file name, a template, or a function of inputs."
        )
    return compile_prompt(given, name=name, where=f"prompt of guard {name!r}")


def _names_a_file(text: str) -> bool:
    return "\n" not in text and "{{" not in text and text.endswith(_PROMPT_FILES)


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(
            f"{what} file {str(path)!r} does not exist (looked in {str(Path.cwd())!r}). Give its path from there."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{what} file {str(path)!r} cannot be read as UTF-8 text: {error}.") from None


def _siblings(path: Path) -> dict[str, Json]:
    """The other schemas of the folder, by name, for local references; what is no JSON is not a schema."""
    found = {}
    for other in sorted(path.parent.glob("*.json")):
        if other.name != path.name:
            try:
                found[other.name] = decode(other.read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError):
                continue
    return found


def merge_sampling(base: Sampling, over: Sampling) -> Sampling:
    return replace(base, **over.given())


@dataclass(frozen=True, slots=True)
class Usual:
    """What stands on the guard, for every model rung."""

    name: str
    prompt: Prompt
    reasks: int
    retry: Retry
    sampling: Sampling
    consistency: SelfConsistency | None


def _model_rung(given: ModelSource, usual: Usual) -> ModelRung:
    part = given if isinstance(given, PartialRung) else PartialRung(model=given)
    if part.model is None:
        raise UsageError(
            f"models= of guard {usual.name!r} has a rung(...) without a model. Name one: rung('gpt-5', ...)."
        )
    made = _drawing(part, usual, _model(part.model))
    votes = usual.consistency if isinstance(part.consistency, Unset) else part.consistency
    if votes is None:
        return made
    variants = tuple(_variant(each, made, usual) for each in votes.variants)
    return replace(made, consistency=votes, variants=variants)


def _drawing(part: PartialRung, usual: Usual, model: Model) -> ModelRung:
    """A rung that takes one sample."""
    prompt = None if part.prompt is None else _same_inputs(load_prompt(part.prompt, usual.name), usual)
    base = merge_sampling(usual.sampling, getattr(model, "defaults", Sampling()))
    return ModelRung(
        model=model,
        reasks=usual.reasks if part.reasks is None else part.reasks,
        retry=part.retry or usual.retry,
        sampling=merge_sampling(base, part.sampling or Sampling()),
        prompt=prompt,
    )


def _variant(given: object, rung: ModelRung, usual: Usual) -> ModelRung:
    """What takes a turn in a vote: the rung itself with another model, prompt or temperature."""
    part = PartialRung(sampling=given) if isinstance(given, Sampling) else given
    part = part if isinstance(part, PartialRung) else PartialRung(model=cast("str | Model", part))
    if not isinstance(part.consistency, Unset):
        raise UsageError(
            f"variants= of guard {usual.name!r}: a variant takes samples for a vote, and has none of its own."
        )
    own = replace(usual, sampling=rung.sampling, reasks=rung.reasks, retry=rung.retry)
    made = _drawing(part, own, rung.model if part.model is None else _model(part.model))
    return made if part.prompt is not None else replace(made, prompt=rung.prompt)


def _model(given: str | Model) -> Model:
    model = OpenAIModel(given) if isinstance(given, str) else given
    if not (hasattr(model, "call") and hasattr(model, "acall") and hasattr(model, "name")):
        raise UsageError(
            f"models= takes names and models, found {type(model).__name__}. A model has name, call and acall."
        )
    if prepare := getattr(model, "prepare", None):
        prepare()
    return model


def _same_inputs(prompt: Prompt, usual: Usual) -> Prompt:
    """A prompt in the place of the guard's: it is given the same inputs."""
    own, others = prompt.variables, usual.prompt.variables
    if own is not None and others is not None and (more := set(own) - set(others)):
        raise UsageError(
            f"a prompt of a rung or variant of guard {usual.name!r} asks for {', '.join(map(repr, sorted(more)))}, which the"
            f" guard's own prompt does not take ({', '.join(sorted(others)) or 'no inputs'}). Use the same inputs."
        )
    return prompt


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
    rungs = [each for each in policy.ladder if isinstance(each, ModelRung) and each.consistency is not None]
    cold = [each for each in rungs if not each.variants and each.sampling.temperature == 0]
    return [
        f"{each.label} votes at temperature 0, where all samples are the same and agreement means nothing. Give"
        " sampling=Sampling(temperature=...) above 0, or variants."
        for each in cold
    ]


# ------------------------------------------------------------------------------------------------- acceptance


def _acceptance(given: object, policy: Policy, log: Log) -> Acceptance:
    name = policy.name
    if not isinstance(given, Acceptance):
        raise UsageError(f"accept= of guard {name!r} wants certified(alpha, delta), found {given!r}.")
    models = [each for each in policy.ladder if isinstance(each, ModelRung)]
    if len(models) != 1:
        raise UsageError(
            f"accept=certified(...) of guard {name!r} is a promise about one model rung, and the guard has {len(models)}."
            " Put further models into SelfConsistency(variants=...), or into a guard of their own."
        )
    accept = bound_acceptance(given, models[0].consistency)
    return replace(accept, lookup=certificate_lookup(log, name, accept, accept.promise(policy.certified)))


def certificate_lookup(log: Log, name: str, accept: Acceptance, promise: str) -> Callable[[], Json]:
    """Looks for the newest certificate of this promise that holds now; what it finds is recorded with the call."""

    def lookup() -> Json:
        known = log.certificates(name)
        found = [each for each in known if _covers(each.certificate, accept)]
        own = next((each for each in found if each.certificate.fingerprint == promise), None)
        if own is None:
            return {"void": _none_yet(name, accept, changed=bool(found))}
        why = own.certificate.why_void(promise, time.time()) or _too_old(own.certificate, accept, time.time())
        if why or any(_is_alarm_for(own.certificate, each) for each in known):
            return {"void": f"certificate {own.certificate.id} does not hold: {why or 'drift was found'}"}
        return {"certificate": own.certificate.id, **knob(accept, own.certificate.policy)}

    return lookup


def _is_alarm_for(certificate: Certificate, other: Kept) -> bool:
    """Whether drift that was found under `other` speaks against it: what is more often wrong than some share is more often
    wrong than a smaller one, too."""
    if other.suspended_at is None or other.certificate.fingerprint != certificate.fingerprint:
        return False
    later = certificate.issued_at is None or certificate.issued_at <= other.suspended_at
    return other.certificate.id == certificate.id or (later and certificate.alpha <= other.certificate.alpha)


def _too_old(certificate: Certificate, accept: Acceptance, now: float) -> str | None:
    """A certificate that does not say when it was issued is too old for a guard that asks."""
    if accept.max_age_s is None:
        return None
    issued_at = certificate.issued_at
    return None if issued_at is not None and now < issued_at + accept.max_age_s else "it is older than max_age_s"


def _covers(certificate: Certificate, accept: Acceptance) -> bool:
    return certificate.alpha <= accept.alpha and certificate.delta <= accept.delta


def _none_yet(name: str, accept: Acceptance, *, changed: bool) -> str:
    why = (
        "the guard changed since it was certified (prompt, schema, model, sampling, comparators, checks or plans)"
        if changed
        else "there is no certificate for this guard"
    )
    return f"{why}; review its audits, then: llmguard certify GUARD --alpha {accept.alpha:g} --delta {accept.delta:g}"


def _fallback_rung(given: RungSource, schema: Schema, log: Log, name: str) -> Rung:
    if isinstance(given, ConstantRung):
        return _valid_constant(given, schema, name)
    if isinstance(given, LastGoodRung):
        return replace(given, lookup=_lookup(log))
    if isinstance(given, SalvageRung | EscalateRung):
        return given
    if isinstance(given, FunctionRung):
        return replace(given, function=_dumping(given.function, schema))
    if callable(given):
        return _fallback_rung(fallback(given), schema, log, name)
    raise UsageError(
        f"fallback= of guard {name!r} takes functions and rungs, found {given!r}. A fixed value is constant({given!r})."
    )


def _valid_constant(given: ConstantRung, schema: Schema, name: str) -> ConstantRung:
    try:
        value = crossed(schema.dump(given.value))
    except (EncodingError, TypeError, ValueError) as error:
        raise UsageError(f"constant of guard {name!r} is no JSON value: {error}.") from None
    if found := schema.violations(value):
        raise UsageError(f"constant of guard {name!r} breaks its own schema at {found[0]}. Give a value that fits.")
    return replace(given, value=value)


def _lookup(log: Log) -> Callable[[str, Json, float], Json]:
    def last_good(guard: str, inputs: Json, max_age_s: float) -> Json:
        return log.last_good(guard, digest(inputs), time.time() - max_age_s)

    return last_good


def _dumping(function: Callable[..., object], schema: Schema) -> Callable[..., object]:
    """A fallback may return the schema's Python type; what crosses is its JSON."""
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def adumped(inputs: Json) -> Json:
            return schema.dump(await function(inputs))

        return adumped

    @wraps(function)
    def dumped(inputs: Json) -> Json:
        return schema.dump(function(inputs))

    return dumped


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


def _refuse_ladder(name: str, ladder: tuple[Rung, ...]) -> None:
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
