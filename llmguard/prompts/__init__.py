"""Prompts from a Prompty file, a template or a function, compiled once and rendered for every call.

A template is Jinja2 in a sandbox, rendered once: `{{ }}` in the inputs stays text. Roles are lines of their own
(`system:`, `user:`, `assistant:`) and are read from the template, never from the rendered text, so such a line in an input
stays text. Text before the first role is the system's, as in Prompty; a template without any role is one user message. To
have such a line as text, write `{{ "user:" }}`.

`{{ value }}` gives a string as it is, None as nothing, and all else as compact JSON; `{{ value | tojson }}` quotes
strings too, and `tojson(2)` indents.

Reading order: this module (`Prompt`, `compile_prompt`), `front_matter`, `template`, `function`, `tokens` (estimates).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from llmguard.core.canonical import Json, digest
from llmguard.core.errors import UsageError
from llmguard.core.messages import PROVIDERS_DEFAULTS, Message, Sampling
from llmguard.prompts.front_matter import Declared, read_front_matter, split_front_matter
from llmguard.prompts.function import PromptFunction, call_prompt_function, describe_function, refuse_function
from llmguard.prompts.template import Template, compile_template

MAX_PROMPT_CHARACTERS = 4_000_000
"""Of a rendered prompt: no model accepts more, and a loop over an input could make any number."""
MAX_TEMPLATE_CHARACTERS = 1_000_000
"""Of a template's source: a longer one holds data that belongs in inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Makes messages from inputs. `variables` are the inputs it reads; None for a function, where they are not known.

    `description` is part of the guard's fingerprint, and `digest` is its digest. `sample` are the front matter's inputs
    to try the prompt with; they never replace a missing one (`defaults` do). `known` and `required` are the names that
    inputs may and must have.
    """

    name: str
    variables: frozenset[str] | None
    description: Json = field(repr=False)
    digest: str = field(repr=False)
    warnings: tuple[str, ...] = ()
    sampling: Sampling = PROVIDERS_DEFAULTS
    defaults: Mapping[str, Json] = field(default_factory=dict, repr=False)
    sample: Mapping[str, Json] = field(default_factory=dict, repr=False)
    known: frozenset[str] = field(default=frozenset(), repr=False)
    required: frozenset[str] = field(default=frozenset(), repr=False)
    make: Callable[[Mapping[str, Json]], tuple[Message, ...]] = field(repr=False, compare=False)

    def render(self, inputs: Mapping[str, Json]) -> tuple[Message, ...]:
        """The messages for `inputs`.

        Raises what a function prompt raises, jinja2.UndefinedError for a missing name, ValueError where it is too long.
        """
        return self.make({**self.defaults, **inputs} if self.defaults else inputs)

    def missing(self, inputs: Iterable[str]) -> tuple[str, ...]:
        """Required names that are not among `inputs`."""
        return tuple(sorted(self.required.difference(inputs)))

    def unknown(self, inputs: Iterable[str]) -> tuple[str, ...]:
        """Names among `inputs` that the prompt neither reads nor declares."""
        return () if self.variables is None else tuple(sorted(set(inputs) - self.known))


def compile_prompt(
    source: str | PromptFunction,
    *,
    name: str,
    where: str = "",
    is_file: bool = False,
    max_characters: int = MAX_PROMPT_CHARACTERS,
) -> Prompt:
    """A template's text, or a function of inputs, as a Prompt; UsageError with the line and how to correct it.

    >>> prompt = compile_prompt("system:\\nBe brief.\\nuser:\\nWho wrote {{ title }}?", name="author")
    >>> prompt.render({"title": "Emma"})[1]
    Message(role='user', content='Who wrote Emma?')
    >>> prompt.missing({"titel": "Emma"}), prompt.unknown({"titel": "Emma"})
    (('title',), ('titel',))
    """
    where = where or f"prompt {name!r}"
    if isinstance(source, str):
        return _of_text(source, name, where, is_file, max_characters)
    if callable(source):
        return _of_function(source, name, where, max_characters)
    raise UsageError(f"{where} is of type {type(source).__name__}. Give a template as text, or a function of inputs.")


def _of_text(text: str, name: str, where: str, is_file: bool, max_characters: int) -> Prompt:
    if len(text) > MAX_TEMPLATE_CHARACTERS:
        raise UsageError(
            f"{where} has {len(text):,} characters, the most is {MAX_TEMPLATE_CHARACTERS:,}. Move data into inputs."
        )
    front, body = split_front_matter(text, where, is_file)
    if not body.strip():
        raise UsageError(f"{where} is empty: there is nothing to send. Write the prompt's text.")
    declared = read_front_matter(front, where)
    template = compile_template(body, where, is_file or bool(front))
    warnings = (*declared.warnings, *template.warnings, *_mismatches(declared, template))
    description = {
        "template": body.strip(),
        "defaults": dict(declared.defaults),
        "sampling": declared.sampling.set_fields(),
    }
    return Prompt(
        name=name,
        variables=template.variables,
        description=description,
        digest=digest(description),
        warnings=tuple(f"{where}: {warning}" for warning in warnings),
        sampling=declared.sampling,
        defaults=declared.defaults,
        sample=declared.sample,
        known=template.variables | declared.names,
        required=template.required.difference(declared.defaults),
        make=partial(template.render, max_characters=max_characters),
    )


def _mismatches(declared: Declared, template: Template) -> Iterator[str]:
    """Where front matter and template name different inputs. A front matter without inputs is not compared."""
    if declared.names:
        for name in sorted(template.variables - declared.names):
            yield f"the template reads {name!r}, which the front matter's inputs do not declare"
        for name in sorted(declared.names - template.variables):
            yield f"the front matter declares the input {name!r}, which the template does not read"


def _of_function(function: PromptFunction, name: str, where: str, max_characters: int) -> Prompt:
    refuse_function(function, where)
    description = describe_function(function)
    return Prompt(
        name=name,
        variables=None,
        description=description,
        digest=digest(description),
        make=partial(call_prompt_function, function, where=where, max_characters=max_characters),
    )
