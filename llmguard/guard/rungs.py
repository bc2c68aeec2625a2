"""Model rungs as a user gives them: names, models, and what differs from the guard's defaults."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias, cast

from llmguard.core.errors import UsageError
from llmguard.core.messages import Sampling
from llmguard.core.model import Model
from llmguard.engine.ladder import ModelRung, Retry
from llmguard.guard.loaders import PromptSource, load_prompt
from llmguard.models.registry import resolve_model
from llmguard.prompts import Prompt
from llmguard.voting import SelfConsistency

ModelSource: TypeAlias = "str | Model | PartialRung"


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
    """A model rung that overrides the guard's options: `models=["small", rung("large", reasks=0)]`.

    `consistency=None` takes one sample where the guard votes. Without a model it is a variant of a vote:
    `SelfConsistency(variants=[rung(prompt="..."), rung(sampling=Sampling(temperature=1.0))])`.
    """
    return PartialRung(
        model=model, reasks=reasks, retry=retry, sampling=sampling, prompt=prompt, consistency=consistency
    )


def merge_sampling(base: Sampling, over: Sampling) -> Sampling:
    return replace(base, **over.set_fields())


@dataclass(frozen=True, slots=True)
class RungDefaults:
    """What the guard says for every model rung."""

    name: str
    prompt: Prompt
    reasks: int
    retry: Retry
    sampling: Sampling
    consistency: SelfConsistency | None


def build_model_rung(source: ModelSource, defaults: RungDefaults) -> ModelRung:
    """The rung for an item of `models=`; UsageError where it cannot work."""
    part = source if isinstance(source, PartialRung) else PartialRung(model=source)
    if part.model is None:
        raise UsageError(
            f"models= of guard {defaults.name!r} has a rung(...) without a model. Name one: rung('gpt-5', ...)."
        )
    rung = _single_sample_rung(part, defaults, resolve_model(part.model))
    votes = defaults.consistency if isinstance(part.consistency, Unset) else part.consistency
    if votes is None:
        return rung
    variants = tuple(_variant(each, rung, defaults) for each in votes.variants)
    return replace(rung, consistency=votes, variants=variants)


def _single_sample_rung(part: PartialRung, defaults: RungDefaults, model: Model) -> ModelRung:
    """A rung that takes one sample."""
    prompt = None if part.prompt is None else _same_inputs(load_prompt(part.prompt, defaults.name), defaults)
    base = merge_sampling(defaults.sampling, model.defaults)
    return ModelRung(
        model=model,
        reasks=defaults.reasks if part.reasks is None else part.reasks,
        retry=part.retry or defaults.retry,
        sampling=merge_sampling(base, part.sampling or Sampling()),
        prompt=prompt,
    )


def _variant(source: object, rung: ModelRung, defaults: RungDefaults) -> ModelRung:
    """What takes a turn in a vote: the rung itself with another model, prompt or temperature."""
    part = PartialRung(sampling=source) if isinstance(source, Sampling) else source
    part = part if isinstance(part, PartialRung) else PartialRung(model=cast("str | Model", part))
    if not isinstance(part.consistency, Unset):
        raise UsageError(
            f"variants= of guard {defaults.name!r}: a variant takes samples for a vote, and has none of its own."
        )
    own = replace(defaults, sampling=rung.sampling, reasks=rung.reasks, retry=rung.retry)
    variant = _single_sample_rung(part, own, rung.model if part.model is None else resolve_model(part.model))
    return variant if part.prompt is not None else replace(variant, prompt=rung.prompt)


def _same_inputs(prompt: Prompt, defaults: RungDefaults) -> Prompt:
    """A prompt in the place of the guard's: it is given the same inputs."""
    own, others = prompt.variables, defaults.prompt.variables
    if own is not None and others is not None and (more := set(own) - set(others)):
        raise UsageError(
            f"a prompt of a rung or variant of guard {defaults.name!r} asks for {', '.join(map(repr, sorted(more)))}, which the"
            f" guard's own prompt does not take ({', '.join(sorted(others)) or 'no inputs'}). Use the same inputs."
        )
    return prompt
