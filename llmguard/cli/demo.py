"""`llmguard demo`: three guards with a real, very small model, or with its recorded replies."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from llmguard.cli.arguments import LOG_URL, AsJson, LogUrl
from llmguard.cli.demo_guards import DATA, INPUT_NAMES, Models, demo_guards, way_of_asking
from llmguard.cli.outcome_view import duration, repair_text, violation_text
from llmguard.cli.playback import playback, recorded_replies
from llmguard.cli.terminal import columns, console, emit, status_text, styled
from llmguard.core.canonical import Json, decode
from llmguard.core.outcome import Attempt, Outcome
from llmguard.core.safe_text import safe_json, safe_line
from llmguard.guard.guard import Guard
from llmguard.guard.options import DEFAULT_LOG
from llmguard.log import OutcomeStore, open_log
from llmguard.models.local import MODEL, LocalModelUnavailable, local_model
from llmguard.models.openai.model import OpenAIModel
from llmguard.operations.outcome_json import outcome_json

REPLY_CHARS, DOCUMENT_CHARS = 200, 160
MEANING = {
    "accepted": "a reply passed everything, at the first attempt",
    "recovered": "a reply passed after a repair, after a re-ask, or at a later rung",
    "fallback": "a rule or a constant answered instead of the model",
    "escalated": "waits for a person",
    "rejected": "no rung gave a value",
}
ANSWERED_BY = {"escalated": "no one yet: it waits for a person", "rejected": "no one", "interrupted": "no one"}
VIOLATIONS_SHOWN = 2
SHORTEST_SHOWN_S = 0.01
"""Shorter times are those of playback."""
NARROW = 80
"""Columns below which the table has no column of meanings."""


@dataclass(frozen=True, slots=True)
class Document:
    """One input text, and the guard that it is for."""

    id: str
    guard: str
    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """The models of the demo, and one sentence on where their replies come from."""

    models: Models
    description: str


DemoResult = tuple[Document, Outcome[Json]]


def demo(
    played_back: Annotated[bool, typer.Option("--playback", help="Use recorded replies instead of a model.")] = False,
    each: Annotated[int, typer.Option("--each", metavar="N", min=1, help="At most N documents for each guard.")] = 99,
    log: LogUrl = LOG_URL,
    as_json: AsJson = False,
    record: Annotated[Path | None, typer.Option("--record", hidden=True)] = None,
) -> None:
    """Run twenty documents through three guards, with a real model of 135 million parameters on this machine.

    Where the model cannot run, its recorded replies are used. Every outcome is written to the log.
    """
    out = console(stderr=as_json)
    documents = documents_for_each(each)
    outcomes: list[DemoResult] = []
    with ExitStack() as stack:
        source = stack.enter_context(replies_played_back() if played_back else replies_of_a_model(out))
        out.print(Text(source.description), Text(""), sep="\n")
        outcome_log = open_log(log)
        guards = demo_guards(source.models, outcome_log)
        began = time.monotonic()
        for document, outcome in _with_progress(run_all(guards, documents), len(documents), out):
            outcomes.append((document, outcome))
            if as_json:
                emit({"document": document.id, **outcome_json(outcome)})
            else:
                show_outcome(out, document, outcome)
        took_s = time.monotonic() - began
        if record is not None:
            _record(record, outcome_log, outcomes)
    if not as_json:
        show_summary(out, outcomes, took_s, log)


# ------------------------------------------------------------------------------------------------- where replies come from


@contextmanager
def replies_of_a_model(out: Console) -> Iterator[Source]:
    """The local model, with the schema in its prompt and then enforced; or its recorded replies where it cannot run."""
    with ExitStack() as stack:
        try:
            with out.status("starting the local model …") if out.is_terminal else ExitStack():
                server = stack.enter_context(local_model())
        except LocalModelUnavailable as unavailable:
            yield _recorded(f"The local model is not available: {unavailable}\n")
            return
        models = Models(
            prompted=OpenAIModel(server.model, base_url=server.base_url, api_key="none", output="prompted"),
            enforced=OpenAIModel(server.model, base_url=server.base_url, api_key="none", output="json_schema"),
        )
        description = (
            f"{server.model}, a model of 135 million parameters, answers on this machine at {server.base_url}."
        )
        yield Source(models, description)


@contextmanager
def replies_played_back() -> Iterator[Source]:
    yield _recorded("")


def _recorded(why: str) -> Source:
    model = playback(MODEL, _data("replies.json"))
    description = f"{why}Playing back replies of {MODEL} that were recorded before; everything else is real."
    return Source(Models(prompted=model, enforced=model), description)


def _data(name: str) -> Json:
    return decode((DATA / name).read_text(encoding="utf-8"))


def _record(path: Path, log: OutcomeStore, outcomes: Sequence[DemoResult]) -> None:
    """Write the file of `--playback`: `llmguard demo --record llmguard/cli/demo_data/replies.json`."""
    lines = []
    for document, outcome in outcomes:
        made = log.get(outcome.id)
        lines.append(f"{safe_json(document.text)}: {safe_json(recorded_replies(made.steps if made else ()))}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


# ------------------------------------------------------------------------------------------------- the run


def documents_for_each(most: int) -> list[Document]:
    """The first `most` documents of each guard, in order."""
    documents = [Document(**each) for each in _data("documents.json")]
    return [each for each in documents if int(each.id.rpartition("-")[2]) <= most]


def run_all(guards: Mapping[str, Guard[Json]], documents: Sequence[Document]) -> Iterator[DemoResult]:
    for document in documents:
        inputs = {INPUT_NAMES[document.guard]: document.text}
        yield document, guards[document.guard].run(meta={"demo": document.id}, **inputs)


def _with_progress(results: Iterator[DemoResult], total: int, out: Console) -> Iterator[DemoResult]:
    """With a progress bar below the output, on a terminal only."""
    if not out.is_terminal:
        yield from results
        return
    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*parts, console=out, transient=True) as progress:
        task = progress.add_task("documents", total=total)
        for each in results:
            yield each
            progress.advance(task)


# ------------------------------------------------------------------------------------------------- what is shown


def show_outcome(out: Console, document: Document, outcome: Outcome[Json]) -> None:
    """The document, each reply and what was wrong with it, and the answer with its rung."""
    out.print(Text.assemble((document.guard, "bold"), "  ", (safe_line(document.text, DOCUMENT_CHARS), "italic")))
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for attempt in outcome.attempts:
        grid.add_row(way_of_asking(document.guard, attempt.address), _attempt_text(attempt))
    for flag in outcome.flags:
        grid.add_row("flagged", violation_text(flag, facts=False))
    grid.add_row(status_text(outcome.status), _answer(outcome))
    out.print(Padding(grid, (0, 0, 1, 2), expand=False))


def _attempt_text(attempt: Attempt) -> Text:
    """The reply, its repairs, and its violations."""
    lines = [styled(safe_line(attempt.text, REPLY_CHARS), "cyan")] if attempt.text else []
    lines += [repair_text(repair) for repair in attempt.repairs]
    lines += [violation_text(violation, facts=False) for violation in attempt.violations[:VIOLATIONS_SHOWN]]
    if attempt.failure and not attempt.violations:
        lines.append(styled(safe_line(f"{attempt.failure}: {attempt.message}", REPLY_CHARS), "red"))
    return Text("\n").join(lines)


def _answer(outcome: Outcome[Json]) -> Text:
    took_s = sum(attempt.latency_s for attempt in outcome.attempts)
    value = safe_json(outcome.json) if outcome.has_value else ANSWERED_BY[outcome.status]
    by = f"  by {safe_line(outcome.source)}" if outcome.source and outcome.has_value else ""
    took = f"  {duration(took_s)}" if took_s >= SHORTEST_SHOWN_S else ""
    return Text.assemble((value, "bold"), by, (took, "dim"))


def show_summary(out: Console, outcomes: Sequence[DemoResult], took_s: float, log: str) -> None:
    """Outcomes by status and guard, the flagged ones, and which commands to try next."""
    guards = list(dict.fromkeys(document.guard for document, _ in outcomes))
    counts: Counter[tuple[str, str]] = Counter((outcome.status, document.guard) for document, outcome in outcomes)
    table = columns("status", *guards, "all", *(["meaning"] if out.width >= NARROW else []), right=(*guards, "all"))
    for status, meaning in MEANING.items():
        numbers = [counts[status, guard] for guard in guards]
        if sum(numbers):
            cells = [status_text(status), *(Text(str(number or "")) for number in (*numbers, sum(numbers)))]
            table.add_row(*[*cells, Text(meaning, "dim")][: len(table.columns)])
    out.print(table, Text(""), sep="\n")
    requests = sum(len(outcome.attempts) for _, outcome in outcomes)
    flagged = sum(bool(outcome.flags) for _, outcome in outcomes)
    totals = (
        f"{len(outcomes)} documents, {requests} requests to the model, {took_s:.1f} s; {flagged} flagged for review."
    )
    out.print(Text(f"{totals} Every outcome is in {safe_line(log.removeprefix('sqlite:///'))}. Look at it:"))
    for command in next_commands(outcomes, log):
        out.print(Text(f"  {command}", "bold"), soft_wrap=True)


def next_commands(outcomes: Sequence[DemoResult], log: str) -> list[str]:
    """Two commands: one lists the outcomes that needed help, one shows one of them in full."""
    order = ("fallback", "escalated", "recovered", "rejected", "accepted")
    example = min((outcome for _, outcome in outcomes), key=lambda outcome: order.index(outcome.status))
    where = "" if log == DEFAULT_LOG else f" --log {shlex.quote(log)}"
    return [f"llmguard log list --status {example.status}{where}", f"llmguard log show {example.id}{where}"]
