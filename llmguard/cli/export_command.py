"""`llmguard log export`: past calls as rows to fine-tune or evaluate a model with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from rich.text import Text

from llmguard.cli.arguments import LOG_URL, AsJson, LogUrl, Meta, OfGuard, OfStatus, Since, Until, Where, query
from llmguard.cli.terminal import NEGATIVE, emit, say
from llmguard.core.errors import UsageError
from llmguard.operations.datasets import Format
from llmguard.operations.export import ExportOptions, ExportReport, export_to, export_to_folder
from llmguard.operations.find_guard import Target, find_guard
from llmguard.operations.logs import existing_log

STANDARD_OUTPUT = "-"
FEWEST_ROWS = 10
"""Of a training file for OpenAI's fine-tuning (its guide "Supervised fine-tuning")."""


def export(
    form: Annotated[str, typer.Option("--format", metavar="sft|dpo|evals", help="Format of the rows.")] = "sft",
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FOLDER", help="Folder of the files; - prints the rows.")
    ] = STANDARD_OUTPUT,
    split: Annotated[
        float, typer.Option("--split", metavar="SHARE", help="Share of the inputs that goes to validation, e.g. 0.1.")
    ] = 0.0,
    since: Since = None,
    until: Until = None,
    meta: Meta = None,
    status: OfStatus = None,
    guard: OfGuard = None,
    where: Where = None,
    with_guard: Annotated[
        list[str] | None,
        typer.Option("--with-guard", metavar="MODULE:GUARD", help="A guard whose prompt is a function. Repeatable."),
    ] = None,
    keep_redacted: Annotated[bool, typer.Option("--keep-redacted", help="Keep rows with a redacted secret.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    log: LogUrl = LOG_URL,
    as_json: AsJson = False,
) -> None:
    """Write past calls as datasets: sft and dpo for OpenAI's fine-tuning, evals for OpenAI's open evals.

    A row has the messages that were sent and the value that passed, or a reviewer's correction. Rows of evals have their
    outcome's id; fine-tuning accepts no other keys, so for sft and dpo FORMAT.ids.jsonl has the id of each line.

    Exit status 1 if there is no row.
    """
    options = ExportOptions(
        form=_format(form),
        split=split,
        keep_redacted=keep_redacted,
        guards=(find_guard(Target(named=each)) for each in with_guard or ()),
    )
    if out == STANDARD_OUTPUT and (split or as_json):
        raise UsageError(
            f"{'--split' if split else '--json'} and --out - both use standard output. Give a folder: --out FOLDER."
        )
    calls, opened = query(since, until, meta, status, guard, where), existing_log(log)
    if out == STANDARD_OUTPUT:
        report = export_to(sys.stdout.buffer.write, opened, calls, options)
        sys.stdout.buffer.flush()
    else:
        report = export_to_folder(opened, calls, Path(out), options, force=force)
    if as_json:
        emit(report.to_json())
    else:
        say(*_summary(report, options), stderr=True)
    if not report.row_count:
        raise typer.Exit(NEGATIVE)


def _format(text: str) -> Format:
    if text not in get_args(Format):
        raise UsageError(f"--format {text!r} is unknown. A format is one of: {', '.join(get_args(Format))}.")
    return cast(Format, text)


def _summary(report: ExportReport, options: ExportOptions) -> Iterator[Text]:
    by_side = ", ".join(f"{count} {side}" for side, count in sorted(report.rows.items()) if count)
    yield Text(f"{report.row_count} rows" + (f" ({by_side})" if options.split else ""), "bold")
    yield from (Text(f"  {name}", "dim") for name in report.files)
    if report.left_out:
        yield Text(f"left out: {sum(report.left_out.values())}")
        by_count = sorted(report.left_out.items(), key=lambda item: -item[1])
        yield from (Text(f"{count:8}  {reason}") for reason, count in by_count)
    if report.left_out.get("not the request that was sent"):
        yield Text("The guard may render such a request where the prompt in the log does not: --with-guard.", "dim")
    if options.form != "evals" and 0 < report.rows.get("train", 0) < FEWEST_ROWS:
        yield Text(f"OpenAI needs at least {FEWEST_ROWS} rows to fine-tune a model.", "yellow")
