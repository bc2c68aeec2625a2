"""`llmguard prompt show`: the variables of a prompt, and its messages for given inputs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.padding import Padding

from llmguard.cli.arguments import AsJson, GuardName, InputPairs, InputsFile, inputs_of
from llmguard.cli.outcome_view import clipped
from llmguard.cli.terminal import NEGATIVE, emit, say, styled
from llmguard.operations.prompt_preview import PromptPreview, content_json, find_prompt, preview_prompt
from llmguard.prompts import Prompt

prompt_app = typer.Typer(no_args_is_help=True, help="Show prompts.")


@prompt_app.command(
    "show", epilog="Example: llmguard prompt show prompts/triage.prompty --input ticket='My parcel is lost.'"
)
def show(
    target: Annotated[
        str,
        typer.Argument(help="A prompt file, module:attribute, or a folder.", metavar="FILE|GUARD", show_default=False),
    ],
    inputs: InputPairs = None,
    inputs_file: InputsFile = None,
    name: GuardName = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help="Count tokens for this model.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Do not shorten long messages.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a prompt's variables, its messages for some inputs, and their number of tokens.

    Exit status 1 if inputs are given and some are missing.
    """
    prompt, first_model = find_prompt(target, name)
    arguments = inputs_of(inputs or (), inputs_file)
    preview = preview_prompt(prompt, arguments, model=model or first_model)
    if as_json:
        emit(preview.to_json())
    else:
        _print(preview, full, from_sample=bool(prompt.sample) and not arguments)
    if arguments and preview.missing:
        raise typer.Exit(NEGATIVE)


def _print(preview: PromptPreview, full: bool, *, from_sample: bool) -> None:
    prompt = preview.prompt
    say(styled(f"{prompt.name}  ", "bold").append(_variables(prompt), "not bold"))
    for warning in prompt.warnings:
        say(styled(f"warning: {warning}", "yellow"))
    if preview.missing:
        say(styled(f"to see the messages, give --input for: {', '.join(preview.missing)}", "yellow"))
        return
    if from_sample:
        say(styled("with the sample inputs of its front matter", "dim"))
    for message in preview.messages:
        say("", styled(message.role, "bold cyan"))
        content = content_json(message)
        text = content if isinstance(content, str) else "\n".join(map(str, content))
        say(Padding(styled(clipped(text, full)), (0, 0, 0, 2), expand=False))
    say("", styled(f"{'about ' if preview.estimated else ''}{preview.tokens:,} tokens", "dim"))


def _variables(prompt: Prompt) -> str:
    if prompt.variables is None:
        return "takes the inputs of its function"
    return f"takes {', '.join(sorted(prompt.variables))}" if prompt.variables else "takes no inputs"
