"""`llmguard prompt show`: what a prompt asks for, and what is sent for given inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.padding import Padding

from llmguard.cli.arguments import AsJson, GuardName, InputPairs, inputs_of
from llmguard.cli.outcome_view import clipped
from llmguard.cli.terminal import NEGATIVE, emit, say, styled
from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.messages import Message
from llmguard.engine.ladder import ModelRung
from llmguard.guard.loaders import load_prompt
from llmguard.models.token_counts import counter
from llmguard.operations.find_guard import Target, choose, find_guard, prompt_file
from llmguard.prompts import Prompt
from llmguard.prompts.tokens import count_messages, estimate

prompt_app = typer.Typer(no_args_is_help=True, help="Look at prompts.")
PROMPT_SUFFIXES = (".prompty", ".j2", ".jinja", ".jinja2", ".txt", ".md")


@dataclass(frozen=True, slots=True)
class Rendered:
    """What is sent for given inputs, or why nothing can be."""

    messages: tuple[Message, ...] = ()
    missing: tuple[str, ...] = ()
    tokens: int = 0
    estimated: bool = True


@prompt_app.command(
    "show", epilog="Example: llmguard prompt show prompts/triage.prompty --input ticket='My parcel is lost.'"
)
def show(
    target: Annotated[
        str,
        typer.Argument(help="A prompt file, module:attribute, or a folder.", metavar="FILE|GUARD", show_default=False),
    ],
    inputs: InputPairs = None,
    inputs_file: Annotated[
        str | None, typer.Option("--inputs", metavar="FILE", help="A JSON object of inputs; - is standard input.")
    ] = None,
    name: GuardName = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help="Count tokens for this model.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Do not clip long messages.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a prompt's variables, its messages for some inputs, and how many tokens these are."""
    prompt, models = _find(target, name)
    given = inputs_of(inputs or (), inputs_file)
    if unknown := prompt.unknown(given):
        expected = ", ".join(sorted(prompt.variables or ())) or "none"
        raise UsageError(f"the prompt does not know the input {', '.join(map(repr, unknown))}; it takes: {expected}.")
    rendered = _render(prompt, {**prompt.sample, **given}, model or models)
    if as_json:
        emit(_as_json(prompt, rendered))
    else:
        _print(prompt, rendered, full, from_sample=bool(prompt.sample) and not given)
    if given and rendered.missing:
        raise typer.Exit(NEGATIVE)


def _find(target: str, name: str | None) -> tuple[Prompt, str]:
    """The prompt, and the model it is first sent to where that is known."""
    if target.endswith(PROMPT_SUFFIXES) and not Path(target).is_dir():
        return load_prompt(Path(target), Path(target).stem), ""
    folder, _, chosen = target.partition("#")
    if Path(folder).is_dir():
        found = choose(Path(folder), name or chosen or None)
        return load_prompt(prompt_file(Path(folder), found), found), ""
    policy = find_guard(Target(named=target, name=name)).policy
    models = [rung.model.name for rung in policy.ladder if isinstance(rung, ModelRung)]
    return policy.prompt, models[0] if models else ""


def _render(prompt: Prompt, inputs: dict[str, Json], model: str) -> Rendered:
    if missing := prompt.missing(inputs):
        return Rendered(missing=missing)
    try:
        messages = prompt.render(inputs)
    except Exception as error:  # a prompt function of the user's, or a template that cannot render these inputs
        raise UsageError(f"the prompt raised {type(error).__name__} for these inputs: {error}.") from None
    exact = counter(model) if model else None
    return Rendered(messages, (), count_messages(messages, exact or estimate), exact is None)


def _as_json(prompt: Prompt, rendered: Rendered) -> Json:
    return {
        "name": prompt.name,
        "digest": prompt.digest,
        "variables": None if prompt.variables is None else sorted(prompt.variables),
        "defaults": dict(prompt.defaults),
        "sampling": prompt.sampling.set_fields(),
        "warnings": list(prompt.warnings),
        "missing": list(rendered.missing),
        "messages": [{"role": each.role, "content": _content(each)} for each in rendered.messages],
        "tokens": rendered.tokens if rendered.messages else None,
        "tokens_estimated": rendered.estimated,
    }


def _content(message: Message) -> Json:
    return message.content if isinstance(message.content, str) else list(message.content)


def _print(prompt: Prompt, rendered: Rendered, full: bool, *, from_sample: bool) -> None:
    say(styled(f"{prompt.name}  ", "bold").append(_variables(prompt), "not bold"))
    for warning in prompt.warnings:
        say(styled(f"warning: {warning}", "yellow"))
    if rendered.missing:
        say(styled(f"to see the messages, give --input for: {', '.join(rendered.missing)}", "yellow"))
        return
    if from_sample:
        say(styled("with the sample inputs of its front matter", "dim"))
    for message in rendered.messages:
        say("", styled(message.role, "bold cyan"))
        content = _content(message)
        text = content if isinstance(content, str) else "\n".join(map(str, content))
        say(Padding(styled(clipped(text, full)), (0, 0, 0, 2), expand=False))
    say("", styled(f"{'about ' if rendered.estimated else ''}{rendered.tokens:,} tokens", "dim"))


def _variables(prompt: Prompt) -> str:
    if prompt.variables is None:
        return "takes what its function takes"
    return f"takes {', '.join(sorted(prompt.variables))}" if prompt.variables else "takes no inputs"
