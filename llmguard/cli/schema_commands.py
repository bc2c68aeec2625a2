"""`llmguard schema`: what a schema means, what is wrong with it, and whom a change of it breaks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from llmguard.cli.arguments import LOG_URL, AsJson, LogUrl
from llmguard.cli.log_commands import Since, Until, search
from llmguard.cli.replay_view import edit_json, edit_view
from llmguard.cli.terminal import NEGATIVE, emit, fail, say, styled
from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.outcome import MODEL_STATUSES
from llmguard.guard.loaders import load_schema
from llmguard.operations.backtest.schema_impact import Edit, edit_of
from llmguard.operations.logs import existing_log
from llmguard.schema import Schema
from llmguard.schema.diff import diff as changes_between
from llmguard.schema.outline import outline
from llmguard.schema.providers import NAMES, PROVIDERS, refusals

schema_app = typer.Typer(no_args_is_help=True, help="Look at output schemas.")


@schema_app.command("check", epilog="Example: llmguard schema check schemas/invoice.json")
def check(
    file: Annotated[Path, typer.Argument(help="A JSON Schema.", metavar="FILE", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show what a schema means; exit status 1 if it has an error or a warning."""
    if not file.is_file():
        fail(f"schema file {str(file)!r} does not exist.")
    meaning: list[str] = []
    refused: dict[str, list[str]] = {}
    errors: list[str] = []
    warnings: list[str] = []
    try:
        schema = load_schema(file, file.stem)
        meaning, warnings = outline(schema.json_schema), list(schema.warnings)
        refused = {each: [str(found) for found in refusals(schema, each)] for each in PROVIDERS}
    except UsageError as error:
        errors.append(str(error))
    found: Json = {"file": str(file), "ok": not errors + warnings, "errors": errors, "warnings": warnings}
    if as_json:
        emit({**found, "meaning": meaning, "refused_in_strict_decoding": refused})
    else:
        _show(file, meaning, errors, warnings)
        _show_refusals(refused)
    if errors or warnings:
        raise typer.Exit(NEGATIVE)


def _show(file: Path, meaning: list[str], errors: list[str], warnings: list[str]) -> None:
    for line in meaning:
        say(styled(line))
    if meaning:
        say("")
    for error in errors:
        say(styled(f"error: {error}", "red"))
    for warning in warnings:
        say(styled(f"warning: {warning}", "yellow"))
    if not errors and not warnings:
        say(styled(f"{file}: nothing to object to", "green"))


def _show_refusals(refused: Mapping[str, list[str]]) -> None:
    """No mistakes of the schema: where strict decoding does not take it, llmguard sends it as a hint and judges alone."""
    for provider, name in NAMES.items():
        found = refused.get(provider, [])
        if found:
            say(styled(f"{name} will refuse:", "dim"))
        for each in found[:SHOWN_REFUSALS]:
            say(styled(f"  {each}", "dim"))
        if len(found) > SHOWN_REFUSALS:
            say(styled(f"  and {len(found) - SHOWN_REFUSALS} more (--json lists all)", "dim"))


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
    before, after = load_schema(old, old.stem), load_schema(new, new.stem)
    changes = changes_between(before, after)
    breaking = [change for change in changes if change.kind != "compatible"]
    edit = _edit(before, after, guard, since, until, log)
    if as_json:
        rows = [{"kind": change.kind, "path": change.path, "what": change.what} for change in changes]
        logged = {"accepted_values": edit_json(edit)} if edit else {}
        emit({"old": str(old), "new": str(new), "ok": not breaking, "changes": rows, **logged})
    for change in () if as_json else changes:
        say(styled(str(change), _COLOURS[change.kind]))
    if not changes and not as_json:
        say(styled("the two say the same", "green"))
    if edit and not as_json:
        say(*edit_view(edit, guard or ""))
    if breaking or (edit and edit.refused):
        raise typer.Exit(NEGATIVE)


def _edit(old: Schema, new: Schema, guard: str | None, since: str | None, until: str | None, log: str) -> Edit | None:
    """What the edit would have done to the logged values, if that is asked for."""
    if guard is None:
        if since or until:
            fail("--since and --until say which logged values to try: add --guard NAME.")
        return None
    window = search(since, until, None, list(MODEL_STATUSES), guard, None)
    return edit_of(existing_log(log).records(**window, evidence=False), old, new)
