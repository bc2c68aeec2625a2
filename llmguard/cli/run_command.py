"""`llmguard run`: one guarded call from the command line."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from llmguard.cli.arguments import AsJson, BaseUrl, GuardName, InputPairs, Model, inputs_of, pairs
from llmguard.cli.json_view import pretty
from llmguard.cli.outcome_view import ending_view, events_view
from llmguard.cli.terminal import NEGATIVE, emit, say, styled
from llmguard.core.canonical import Json
from llmguard.core.outcome import Outcome
from llmguard.operations.find_guard import Target, find_guard
from llmguard.operations.outcome_json import outcome_json


def run(
    target: Annotated[
        str,
        typer.Argument(
            help="module:attribute, or a folder with prompts/ and schemas/.", metavar="GUARD", show_default=False
        ),
    ],
    inputs: InputPairs = None,
    inputs_file: Annotated[
        str | None, typer.Option("--inputs", metavar="FILE", help="A JSON object of inputs; - is standard input.")
    ] = None,
    meta: Annotated[
        list[str] | None, typer.Option("--meta", metavar="KEY=VALUE", help="Stored with the outcome, and searchable.")
    ] = None,
    name: GuardName = None,
    model: Model = None,
    base_url: BaseUrl = None,
    log: Annotated[
        str | None,
        typer.Option("--log", envvar="LLMGUARD_LOG", metavar="URL", help="Where to log; else where the guard says."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Do not clip what the model said.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make one guarded call: the value goes to standard output, what happened to standard error.

    Exit status 1 if it ends without a value: rejected, or escalated.
    """
    given = inputs_of(inputs or (), inputs_file)
    guard = find_guard(Target(named=target, name=name, model=model, base_url=base_url, log=log))
    outcome = guard.run(meta=dict(pairs(meta or (), "--meta")), **given)
    plain = replace(outcome, value=outcome.json)
    if as_json:
        emit(outcome_json(plain))
    else:
        _show(plain, full)
    if not outcome.has_value:
        raise typer.Exit(NEGATIVE)


def _show(outcome: Outcome[Json], full: bool) -> None:
    """The value alone goes to standard output, so that it can be piped on."""
    say(events_view((), outcome, full=full), *ending_view(outcome), stderr=True)
    if outcome.has_value:
        say(styled(pretty(outcome.json)))
