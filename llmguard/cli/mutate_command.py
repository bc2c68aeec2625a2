"""`llmguard mutate`: errors planted into accepted outcomes, to learn which of them schema and checks would catch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import nsmallest
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from llmguard.cli.arguments import AsJson, BaseUrl, GuardName, Model
from llmguard.cli.log_commands import Meta, Since, Until, Where, search
from llmguard.cli.terminal import NEGATIVE, columns, emit, say, styled
from llmguard.core.canonical import Json, digest
from llmguard.core.errors import LogError, UsageError
from llmguard.core.outcome import MODEL_STATUSES, Violations
from llmguard.core.record import Record
from llmguard.core.safe_text import safe_line
from llmguard.engine.budget import Budget, Purse
from llmguard.engine.check import Check
from llmguard.engine.flow import outside
from llmguard.engine.verdict import heard
from llmguard.guard.guard import Guard
from llmguard.log import MemoryLog, OutcomeLog
from llmguard.operations.datasets import Answer, Reviewed, answer_of
from llmguard.operations.find_guard import Target, find_guard
from llmguard.operations.logged_calls import Search, reviews_of, rows
from llmguard.operations.logs import existing_log
from llmguard.operations.mutation import Report, Tried, mutants, objections_to
from llmguard.operations.mutation.report import Ask, Tally
from llmguard.runtime.execution import CallExecution
from llmguard.runtime.sync_driver import drive

SHOWN_FIELDS = 40
SHOWN_EXAMPLES = 3


def mutate(
    target: Annotated[
        str,
        typer.Argument(
            help="module:attribute, or a folder with prompts/ and schemas/.", metavar="GUARD", show_default=False
        ),
    ],
    sample: Annotated[int, typer.Option("--sample", metavar="N", min=1, help="At most so many outcomes.")] = 200,
    since: Since = None,
    until: Until = None,
    meta: Meta = None,
    where: Where = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Draws the outcomes and the errors.")] = 0,
    at_least: Annotated[
        float | None, typer.Option("--at-least", metavar="SHARE", help="Exit status 1 if fewer errors are caught.")
    ] = None,
    effects: Annotated[bool, typer.Option("--effects", help="Also effect checks and judges: they run.")] = False,
    name: GuardName = None,
    model: Model = None,
    base_url: BaseUrl = None,
    log: Annotated[
        str | None,
        typer.Option(
            "--log", envvar="LLMGUARD_LOG", metavar="URL", help="Where the outcomes are; else the guard's own."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Plant errors into accepted outcomes, and report which of them schema and checks catch.

    Nothing is sent to a model and nothing is written to the log.
    """
    if at_least is not None and not 0 <= at_least <= 1:
        raise UsageError(f"--at-least {at_least!r}: expected a share from 0 to 1, such as 0.8.")
    asked = search(since, until, meta, list(MODEL_STATUSES), None, where)
    named = existing_log(log) if log else None  # before the guard would make it
    guard = find_guard(Target(named=target, name=name, model=model, base_url=base_url, log=log))
    asked["guard"], opened = guard.name, named or guard.log
    found = Mutations(guard, seed, asking if effects else None)
    for record in _sampled(opened, asked, sample, seed):
        found.plant(record, reviews_of(opened, record.opening.id))
    _refuse_nothing(found, guard)
    if as_json:
        emit(_as_json(found, guard))
    else:
        say(*_view(found, guard))
    if at_least is not None and (found.report.whole.rate or 0.0) < at_least:
        raise typer.Exit(NEGATIVE)


def asking(check: Check, value: Json, inputs: Json) -> Violations:
    """An effect check asked where it runs in a guarded call: inline, in a thread or on a loop; a judge asks its model."""
    return heard(check, drive(outside(check, value, inputs, "mutate", Purse(Budget())), CallExecution()))


class Mutations:
    """Outcomes with errors planted into them, one after the other."""

    def __init__(self, guard: Guard[Json], seed: int, ask: Ask | None) -> None:
        self.report = Report.of(guard.policy, effects=ask is not None)
        self._policy, self._seed, self._ask = guard.policy, seed, ask
        self.used = self.refused = self.not_right = 0

    def plant(self, record: Record, reviews: Sequence[Reviewed]) -> None:
        """What a reviewer called wrong is no right value, and in what is refused today no error can be told."""
        answer = answer_of(record.outcome, reviews) if record.outcome else "not finished"
        if not isinstance(answer, Answer):
            self.not_right += 1
            return
        inputs = record.opening.inputs
        already = objections_to(self._policy, answer.value, inputs, self._ask)
        if already.refusing:
            self.refused += 1
            return
        self.used += 1
        for mutant in mutants(answer.value, self._policy.schema, self._seed):
            said = objections_to(self._policy, mutant.value, inputs, self._ask).without(already.names)
            self.report.add(Tried(id=record.opening.id, mutant=mutant, objections=said))


def _sampled(log: OutcomeLog | MemoryLog, asked: Search, size: int, seed: int) -> Iterator[Record]:
    """Outcomes drawn by the seed from all that match, each as likely as any other."""
    drawn = nsmallest(size, ((digest([seed, row.id]), row.id) for row in rows(log, asked)))
    for _, call_id in sorted(drawn, key=lambda each: each[1]):
        record = log.get(call_id)
        if record is not None:
            yield record


def _refuse_nothing(found: Mutations, guard: Guard[Json]) -> None:
    if found.used:
        return
    if found.refused:
        raise LogError(
            f"today's schema or checks of guard {guard.name!r} object to all {found.refused} outcomes as they stand: an error in"
            " them could not be told. Take newer ones: --since."
        )
    raise LogError(f"there is no accepted outcome of guard {guard.name!r} in the log to plant errors into.")


# ------------------------------------------------------------------------------------------------- machines


def _as_json(found: Mutations, guard: Guard[Json]) -> Json:
    report = found.report
    survivors = [
        {
            "outcome": each.id,
            "field": name,
            "kind": kind,
            "path": each.mutant.path,
            "what": each.mutant.what,
        }
        for (name, kind), each in sorted(report.survivors.items())
    ]
    return {
        "guard": guard.name,
        "fingerprint": guard.fingerprint,
        "outcomes": found.used,
        "refused_as_they_stand": found.refused,
        "reviewed_not_right": found.not_right,
        **_tally_json(report.whole),
        "kinds": {kind: _tally_json(tally) for kind, tally in sorted(report.kinds.items())},
        "fields": {name: _tally_json(tally) for name, tally in sorted(report.fields.items())},
        "checks": {name: {"caught": caught.caught, "alone": caught.alone} for name, caught in report.checks.items()},
        "unprotected": list(report.unprotected),
        "survivors": survivors,
    }


def _tally_json(tally: Tally) -> dict[str, Json]:
    return {
        "planted": tally.planted,
        "caught": tally.caught,
        "kill_rate": tally.rate,
        "only_flagged": tally.flagged,
        "fitting_schema": tally.fitting,
        "caught_by_checks": tally.caught_by_checks,
        "survived": dict(sorted(tally.survived.items())),
    }


# ------------------------------------------------------------------------------------------------- people


def _view(found: Mutations, guard: Guard[Json]) -> Iterator[RenderableType]:
    report = found.report
    yield Text.assemble(
        (safe_line(guard.name), "bold"),
        f"  {report.whole.planted} errors planted into {found.used} outcomes, {report.whole.caught} caught"
        f" ({_share(report.whole)})"
        + (f", {report.whole.flagged} of them only flagged" if report.whole.flagged else ""),
    )
    yield from _not_used(found)
    yield from (Text(""), _by_kind(report), Text(""), _by_field(report), Text(""), _by_check(report))
    yield from _unprotected(report)


def _not_used(found: Mutations) -> Iterator[Text]:
    if found.refused:
        yield Text(f"{found.refused} more outcomes are refused today as they stand, and were left alone.", "yellow")
    if found.not_right:
        yield Text(f"{found.not_right} more were reviewed as not right, and were left alone.", "dim")


def _by_kind(report: Report) -> Table:
    table = columns("error", "planted", "caught", "share", right=("planted", "caught", "share"))
    for kind, tally in sorted(report.kinds.items(), key=lambda each: (each[1].rate, each[0])):
        table.add_row(Text(kind), Text(str(tally.planted)), Text(str(tally.caught)), Text(_share(tally)))
    return table


def _by_field(report: Report) -> Table:
    """The least protected first. A wrong value that fits the schema is what only checks can catch."""
    numbers = ("planted", "caught", "share", "fits schema", "caught by checks")
    table = columns("field", *numbers, "not caught", right=numbers)
    ordered = sorted(report.fields.items(), key=lambda each: (each[1].rate, each[0]))
    for name, tally in ordered[:SHOWN_FIELDS]:
        cells = [tally.planted, tally.caught, _share(tally), tally.fitting, tally.caught_by_checks]
        survived = ", ".join(f"{kind} {count}" for kind, count in tally.survived.most_common())
        style = "red" if name in report.unprotected else ""
        table.add_row(styled(_named(name), style), *(Text(str(cell)) for cell in cells), Text(survived, "dim"))
    if len(ordered) > SHOWN_FIELDS:
        table.add_row(Text(f"and {len(ordered) - SHOWN_FIELDS} more (--json lists all)", "dim"))
    return table


def _by_check(report: Report) -> Table:
    table = columns("check", "caught", "alone", "", right=("caught", "alone"))
    for name, caught in report.checks.items():
        said = "" if caught.caught else "caught nothing"
        table.add_row(styled(safe_line(name)), Text(str(caught.caught)), Text(str(caught.alone)), Text(said, "yellow"))
    return table


def _unprotected(report: Report) -> Iterator[Text]:
    """What to do next: a check for each of these."""
    for name in report.unprotected[:SHOWN_FIELDS]:
        yield styled(
            f"\nnothing protects {_named(name)}: a wrong value that fits the schema is accepted, such as", "bold red"
        )
        examples = [each for (field, _), each in sorted(report.survivors.items()) if field == name]
        yield from (_example(each) for each in examples[:SHOWN_EXAMPLES])


def _example(each: Tried) -> Text:
    said = safe_line(f"{each.mutant.kind}: {each.mutant.path}  {each.mutant.what}")
    return Text.assemble(f"  {said}", (f"   in {each.id}", "dim"))


def _named(name: str) -> str:
    return safe_line(name) or "(whole value)"


def _share(tally: Tally) -> str:
    return "-" if tally.rate is None else f"{100 * tally.rate:.1f} %"
