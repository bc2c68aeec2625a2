"""`llmguard mutate`: errors put into accepted values, to learn which of them schema and checks catch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from llmguard.cli.arguments import (
    AsJson,
    BaseUrl,
    GuardArgument,
    GuardLog,
    GuardName,
    Meta,
    Model,
    Since,
    Until,
    Where,
    calls_of_guard,
)
from llmguard.cli.terminal import NEGATIVE, columns, emit, say, styled
from llmguard.core.errors import UsageError
from llmguard.core.safe_text import safe_line
from llmguard.operations import mutation
from llmguard.operations.find_guard import Target, find_guard
from llmguard.operations.logs import existing_log
from llmguard.operations.mutation import MutationReport, TestedMutant
from llmguard.operations.mutation.report import MutantCounts, MutationCounts

SHOWN_FIELDS = 40
SHOWN_EXAMPLES = 3
"""Of the fields, and of the errors in an unprotected field: what a person reads at once. --json has all."""


def mutate(
    target: GuardArgument,
    sample: Annotated[int, typer.Option("--sample", metavar="N", min=1, help="Use at most N outcomes.")] = 200,
    since: Since = None,
    until: Until = None,
    meta: Meta = None,
    where: Where = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed for drawing outcomes and errors.")] = 0,
    at_least: Annotated[
        float | None,
        typer.Option("--at-least", metavar="SHARE", help="Exit with 1 if fewer errors are caught, e.g. 0.8."),
    ] = None,
    effects: Annotated[bool, typer.Option("--effects", help="Run effect checks and judges as well.")] = False,
    name: GuardName = None,
    model: Model = None,
    base_url: BaseUrl = None,
    log: GuardLog = None,
    as_json: AsJson = False,
) -> None:
    """Put errors into accepted values, and report which of them the guard's schema and checks catch.

    Nothing is sent to a model and nothing is written to the log.
    """
    if at_least is not None and not 0 <= at_least <= 1:
        raise UsageError(f"--at-least {at_least!r}: expected a share from 0 to 1, such as 0.8.")
    recorded_at = existing_log(log) if log else None  # opened first: finding the guard would create the file
    guard = find_guard(Target(named=target, name=name, model=model, base_url=base_url, log=log))
    calls = calls_of_guard(since, until, meta, None, where)
    report = mutation.mutate(guard, recorded_at or guard.log, sample=sample, seed=seed, effects=effects, **calls)
    if as_json:
        emit(report.to_json())
    else:
        say(*_report_view(report))
    if at_least is not None and (report.kill_rate or 0.0) < at_least:
        raise typer.Exit(NEGATIVE)


def _report_view(report: MutationReport) -> Iterator[RenderableType]:
    whole = report.counts.whole
    yield Text.assemble(
        (safe_line(report.guard), "bold"),
        f"  {whole.planted} errors in {report.outcomes} outcomes, {whole.caught} caught ({_share(whole)})"
        + (f", {whole.flagged} of them only flagged" if whole.flagged else ""),
    )
    if report.refused:
        yield Text(f"not used: {report.refused} outcomes that today's schema or checks refuse", "yellow")
    if report.not_right:
        yield Text(f"not used: {report.not_right} outcomes that were not reviewed as right", "dim")
    yield from (
        Text(""),
        _by_kind(report.counts),
        Text(""),
        _by_field(report.counts),
        Text(""),
        _by_check(report.counts),
    )
    yield from _unprotected(report.counts)


def _by_kind(counts: MutationCounts) -> Table:
    table = columns("error", "made", "caught", "share", right=("made", "caught", "share"))
    for kind, each in sorted(counts.kinds.items(), key=lambda item: (item[1].rate, item[0])):
        table.add_row(Text(kind), Text(str(each.planted)), Text(str(each.caught)), Text(_share(each)))
    return table


def _by_field(counts: MutationCounts) -> Table:
    """The least protected fields first. Wrong values that fit the schema can be caught by checks only."""
    numbers = ("made", "caught", "share", "fits schema", "caught by checks")
    table = columns("field", *numbers, "not caught", right=numbers)
    ordered = sorted(counts.fields.items(), key=lambda item: (item[1].rate, item[0]))
    for name, each in ordered[:SHOWN_FIELDS]:
        cells = [each.planted, each.caught, _share(each), each.fitting, each.caught_by_checks]
        survived = ", ".join(f"{kind} {count}" for kind, count in each.survived.most_common())
        style = "red" if name in counts.unprotected else ""
        table.add_row(styled(_field_name(name), style), *(Text(str(cell)) for cell in cells), Text(survived, "dim"))
    if len(ordered) > SHOWN_FIELDS:
        table.add_row(Text(f"and {len(ordered) - SHOWN_FIELDS} more (--json lists all)", "dim"))
    return table


def _by_check(counts: MutationCounts) -> Table:
    table = columns("check", "caught", "alone", "", right=("caught", "alone"))
    for name, each in counts.checks.items():
        note = Text("" if each.caught else "caught nothing", "yellow")
        table.add_row(styled(safe_line(name)), Text(str(each.caught)), Text(str(each.alone)), note)
    return table


def _unprotected(counts: MutationCounts) -> Iterator[Text]:
    """Each of these fields needs a check."""
    for name in counts.unprotected[:SHOWN_FIELDS]:
        yield styled(
            f"\nno check protects {_field_name(name)}: a wrong value that fits the schema is accepted, such as",
            "bold red",
        )
        examples = [each for (field, _), each in sorted(counts.survivors.items()) if field == name]
        yield from (_example(each) for each in examples[:SHOWN_EXAMPLES])


def _example(survivor: TestedMutant) -> Text:
    mutant = survivor.mutant
    description = safe_line(f"{mutant.kind}: {mutant.path}  {mutant.what}")
    return Text.assemble(f"  {description}", (f"   in {survivor.id}", "dim"))


def _field_name(name: str) -> str:
    return safe_line(name) or "(whole value)"


def _share(counts: MutantCounts) -> str:
    return "-" if counts.rate is None else f"{100 * counts.rate:.1f} %"
