"""A prompt, and the messages that it renders for given inputs: `llmguard prompt show`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.messages import Message
from llmguard.guard.loaders import load_prompt
from llmguard.models.token_counts import counter
from llmguard.operations.find_guard import Target, choose_guard, find_guard, prompt_file
from llmguard.prompts import Prompt
from llmguard.prompts.tokens import count_messages, estimate

PROMPT_SUFFIXES = (".prompty", ".j2", ".jinja", ".jinja2", ".txt", ".md")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptPreview:
    """Without messages where inputs are `missing`. `tokens` of all messages, `estimated` without an exact counter."""

    prompt: Prompt
    messages: tuple[Message, ...] = ()
    missing: tuple[str, ...] = ()
    tokens: int = 0
    estimated: bool = True

    def to_json(self) -> dict[str, Json]:
        """What `llmguard prompt show --json` prints."""
        prompt = self.prompt
        return {
            "name": prompt.name,
            "digest": prompt.digest,
            "variables": None if prompt.variables is None else sorted(prompt.variables),
            "defaults": dict(prompt.defaults),
            "sampling": prompt.sampling.set_fields(),
            "warnings": list(prompt.warnings),
            "missing": list(self.missing),
            "messages": [{"role": each.role, "content": content_json(each)} for each in self.messages],
            "tokens": self.tokens if self.messages else None,
            "tokens_estimated": self.estimated,
        }


def content_json(message: Message) -> Json:
    """A message's text, or its parts."""
    return message.content if isinstance(message.content, str) else list(message.content)


def preview_prompt(prompt: Prompt, inputs: Mapping[str, Json] | None = None, *, model: str = "") -> PromptPreview:
    """The messages for these inputs, over the sample inputs of the prompt's front matter. `model`: whose tokens count.

    >>> from llmguard.prompts import compile_prompt
    >>> preview = preview_prompt(compile_prompt("Colour of {{ thing }}?", name="colour"), {"thing": "fire"})
    >>> preview.messages[0].content, preview.missing
    ('Colour of fire?', ())

    Raises:
        UsageError: the prompt does not take an input, or cannot render these.
    """
    inputs = inputs or {}
    if unknown := prompt.unknown(inputs):
        expected = ", ".join(sorted(prompt.variables or ())) or "none"
        raise UsageError(f"unknown input of the prompt: {', '.join(map(repr, unknown))}. Its inputs: {expected}.")
    inputs = {**prompt.sample, **inputs}
    if missing := prompt.missing(inputs):
        return PromptPreview(prompt=prompt, missing=missing)
    try:
        messages = prompt.render(inputs)
    except Exception as error:  # a prompt function of the user's, or a template that cannot render these inputs
        raise UsageError(f"the prompt raised {type(error).__name__} for these inputs: {error}.") from None
    exact = counter(model) if model else None
    tokens = count_messages(messages, exact or estimate)
    return PromptPreview(prompt=prompt, messages=messages, tokens=tokens, estimated=exact is None)


def find_prompt(target: str, name: str | None = None) -> tuple[Prompt, str]:
    """The prompt of a file, a folder or a guard, and the first model of the guard, or an empty text."""
    if target.endswith(PROMPT_SUFFIXES) and not Path(target).is_dir():
        return load_prompt(Path(target), Path(target).stem), ""
    folder, _, chosen = target.partition("#")
    if Path(folder).is_dir():
        name = choose_guard(Path(folder), name or chosen or None)
        return load_prompt(prompt_file(Path(folder), name), name), ""
    policy = find_guard(Target(named=target, name=name)).policy
    models = [rung.model.name for rung in policy.model_rungs]
    return policy.prompt, models[0] if models else ""
