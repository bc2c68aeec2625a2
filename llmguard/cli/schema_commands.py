"""`llmguard schema`: what a schema means, what is wrong with it, and whom a change of it breaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from llmguard.cli.arguments import LOG_URL, AsJson, LogUrl, Since, Until, calls_of_guard
from llmguard.cli.replay_view import impact_view
from llmguard.cli.terminal import NEGATIVE, emit, fail, say, styled
from llmguard.models.openai.strict_schema import ServerSchema
from llmguard.operations.logs import existing_log
from llmguard.operations.schemas import SchemaCheck, SchemaComparison, check_schema, compare_schemas
from llmguard.schema.providers import NAMES

schema_app = typer.Typer(no_args_is_help=True, help="Look at output schemas.")


@schema_app.command("check", epilog="Example: llmguard schema check schemas/invoice.json")
def check(
    file: Annotated[
        Path, typer.Argument(help="A JSON Schema, or a Python type: module:Type.", metavar="FILE", show_default=False)
    ],
    sent: Annotated[bool, typer.Option("--sent", help="Also print the schema in the form that is sent.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a schema means, and in which form it is sent to which provider; exit status 1 if it has an error or a
    warning."""
    result = check_schema(file)
    if as_json:
        emit(result.to_json())
    else:
        _show(result)
        if result.sent is not None:
            _show_sent(result.sent, result.refused)
            if sent:
                emit(result.sent.json_schema)
    if not result.ok:
        raise typer.Exit(NEGATIVE)


def _show(result: SchemaCheck) -> None:
    for line in result.meaning:
        say(styled(line))
    if result.meaning:
        say("")
    for error in result.errors:
        say(styled(f"error: {error}", "red"))
    for warning in result.warnings:
        say(styled(f"warning: {warning}", "yellow"))
    if result.ok:
        say(styled(f"{result.file}: nothing to object to", "green"))


def _show_sent(sent: ServerSchema, refused: Mapping[str, Sequence[str]]) -> None:
    """No mistakes of the schema: where strict decoding does not take it, llmguard sends it as a hint and validates alone."""
    say(styled(f"OpenAIModel: {sent.summary}", "dim"))
    for provider, name in NAMES.items():
        sentences = refused.get(provider, ())
        say(styled(f"{name} will refuse:" if sentences else f"{name} takes it", "dim"))
        for each in sentences[:SHOWN_REFUSALS]:
            say(styled(f"  {each}", "dim"))
        if len(sentences) > SHOWN_REFUSALS:
            say(styled(f"  and {len(sentences) - SHOWN_REFUSALS} more (--json lists all)", "dim"))


SHOWN_REFUSALS = 5
_COLOURS = {"breaking-for-callers": "red", "breaking-for-outcomes": "yellow", "compatible": "dim"}


@schema_app.command("diff", epilog="Example: llmguard schema diff old.json new.json --guard invoice --since 7d")
def diff(
    old: Annotated[Path, typer.Argument(help="The schema as it is.", metavar="OLD", show_default=False)],
    new: Annotated[Path, typer.Argument(help="The schema as it shall be.", metavar="NEW", show_default=False)],
    guard: Annotated[
        str | None, typer.Option("--guard", metavar="NAME", help="Try NEW on the values that this guard accepted.")
    ] = None,
    since: Since = None,
    until: Until = None,
    log: LogUrl = LOG_URL,
    as_json: AsJson = False,
) -> None:
    """Say which changes break callers (values they never met) or old outcomes (values that fit no more), and with
    --guard how many values in the log would have been refused; exit status 1 if a change breaks, or refuses, something."""
    if guard is None and (since or until):
        fail("--since and --until say which logged values to try: add --guard NAME.")
    opened = existing_log(log) if guard is not None else None
    result = compare_schemas(old, new, guard=guard, log=opened, **calls_of_guard(since, until, None, None, None))
    if as_json:
        emit(result.to_json())
    else:
        _show_comparison(result, guard or "")
    if not result.ok or (result.impact and result.impact.refused):
        raise typer.Exit(NEGATIVE)


def _show_comparison(result: SchemaComparison, guard: str) -> None:
    for change in result.changes:
        say(styled(str(change), _COLOURS[change.kind]))
    if not result.changes:
        say(styled("no difference", "green"))
    if result.impact:
        say(*impact_view(result.impact, guard))
