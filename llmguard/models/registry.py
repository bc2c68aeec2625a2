"""Names resolved to models: a text names a model of OpenAI's API, anything else has to be a model."""

from __future__ import annotations

from llmguard.core.errors import UsageError
from llmguard.core.model import Model, missing_members
from llmguard.models.openai.model import OpenAIModel


def resolve_model(source: str | Model) -> Model:
    """The model, prepared. Raises UsageError where it is not a complete model, or cannot work."""
    model = OpenAIModel(source) if isinstance(source, str) else source
    _refuse_incomplete(model)
    model.prepare()
    return model


def _refuse_incomplete(model: object) -> None:
    """What a wrapper forgets to pass on (sampling, settings, ...) would be lost without a sign."""
    if missing := missing_members(model):
        raise UsageError(
            f"models= takes names and models, got {type(model).__name__}, which has no {', '.join(missing)}. Derive an"
            " adapter from llmguard.models.ModelDefaults, and what wraps another model from llmguard.models.WrappedModel."
        )
