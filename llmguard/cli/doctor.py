"""`llmguard doctor`: what on this machine, and in a guard, will not work as expected."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from llmguard.cli.arguments import LOG_URL, AsJson, BaseUrl, GuardName, LogUrl, Model
from llmguard.cli.terminal import NEGATIVE, columns, emit, say, styled
from llmguard.models.token_counts import fetch_vocabulary
from llmguard.operations.diagnosis import ENCODING_MODEL, Diagnosis, Level, diagnose
from llmguard.operations.find_guard import Target

LEVEL_STYLES: dict[Level, str] = {"ok": "green", "note": "yellow", "bad": "bold red"}


def doctor(
    target: Annotated[
        str | None, typer.Argument(help="A guard to examine as well.", metavar="[GUARD]", show_default=False)
    ] = None,
    log: LogUrl = LOG_URL,
    name: GuardName = None,
    model: Model = None,
    base_url: BaseUrl = None,
    fetch: Annotated[
        bool, typer.Option("--fetch-vocabulary", help="Download tiktoken's vocabulary first (3 MB).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Examine versions, log, API key and local model, and a guard. Exit status 1 if something will not work."""
    if fetch:
        fetch_vocabulary(ENCODING_MODEL)
    guard = Target(named=target, name=name, model=model, base_url=base_url) if target else None
    diagnosis = diagnose(log, guard)
    if as_json:
        emit(diagnosis.to_json())
    else:
        _show(diagnosis)
    if not diagnosis.is_ok:
        raise typer.Exit(NEGATIVE)


def _show(diagnosis: Diagnosis) -> None:
    table = columns("", "", "")
    table.show_header = False
    table.columns[2].overflow = "fold"
    for finding in diagnosis.findings:
        table.add_row(Text(finding.level, LEVEL_STYLES[finding.level]), styled(finding.subject), styled(finding.text))
    say(table)
