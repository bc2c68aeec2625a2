"""`llmguard schema check`: what a schema means, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmguard.build import load_schema
from llmguard.canonical import Json
from llmguard.cli.arguments import AsJson
from llmguard.cli.schema_outline import outline
from llmguard.cli.terminal import NEGATIVE, emit, fail, say, styled
from llmguard.errors import UsageError

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
    errors: list[str] = []
    warnings: list[str] = []
    try:
        schema = load_schema(file, file.stem)
        meaning, warnings = outline(schema.json_schema), list(schema.warnings)
    except UsageError as error:
        errors.append(str(error))
    found: Json = {"file": str(file), "ok": not errors + warnings, "errors": errors, "warnings": warnings}
    if as_json:
        emit({**found, "meaning": meaning})
    else:
        _show(file, meaning, errors, warnings)
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
