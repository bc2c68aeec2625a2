"""`llmguard run`: one guarded call from the command line."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from llmguard.cli.arguments import (
    AsJson,
    BaseUrl,
    GuardArgument,
    GuardLog,
    GuardName,
    InputPairs,
    InputsFile,
    Model,
    inputs_of,
    pairs,
)
from llmguard.cli.json_view import pretty
from llmguard.cli.outcome_view import ending_view, events_view
from llmguard.cli.terminal import NEGATIVE, emit, say, styled
from llmguard.core.canonical import Json
from llmguard.core.outcome import Outcome
from llmguard.operations.find_guard import Target, find_guard
from llmguard.operations.outcome_json import outcome_json


def run(
    target: GuardArgument,
    inputs: InputPairs = None,
    inputs_file: InputsFile = None,
    meta: Annotated[
        list[str] | None,
        typer.Option("--meta", metavar="KEY=VALUE", help="Stored with the outcome; log list --meta finds it."),
    ] = None,
    name: GuardName = None,
    model: Model = None,
    base_url: BaseUrl = None,
    log: GuardLog = None,
    full: Annotated[bool, typer.Option("--full", help="Do not shorten replies.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make one guarded call. Prints the value to standard output, and what happened to standard error.

    Exit status 1 if the call ends without a value, rejected or escalated.
    """
    arguments = inputs_of(inputs or (), inputs_file)
    guard = find_guard(Target(named=target, name=name, model=model, base_url=base_url, log=log))
    outcome = guard.run(meta=dict(pairs(meta or (), "--meta")), **arguments)
    plain = replace(outcome, value=outcome.json)
    if as_json:
        emit(outcome_json(plain))
    else:
        _show(plain, full)
    if not outcome.has_value:
        raise typer.Exit(NEGATIVE)


def _show(outcome: Outcome[Json], full: bool) -> None:
    """Only the value goes to standard output, so that it can be piped."""
    say(events_view((), outcome, full=full), *ending_view(outcome), stderr=True)
    if outcome.has_value:
        say(styled(pretty(outcome.json)))
