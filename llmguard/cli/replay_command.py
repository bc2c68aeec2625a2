"""`llmguard replay`: today's guard over yesterday's log, without a model. `llmguard compare`: the same inputs, new replies."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typer.core import TyperCommand

from llmguard.cli.arguments import (
    AsJson,
    BaseUrl,
    GuardArgument,
    GuardName,
    Meta,
    Model,
    OfStatus,
    Since,
    Until,
    Where,
    calls_of_guard,
)
from llmguard.cli.outcome_view import dollars
from llmguard.cli.replay_view import backtest_view, comparison_view
from llmguard.cli.terminal import NEGATIVE, console, emit, say, styled
from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.safe_text import safe_line
from llmguard.operations.backtest import (
    CostEstimate,
    ProgressOptions,
    ReplaySummary,
    WorkerOptions,
    backtest,
    check_gates,
    compare,
)
from llmguard.operations.backtest.backtesting import STORED_MATCH, OnProgress
from llmguard.operations.backtest.gates import GATES, Gate, gates_of
from llmguard.operations.find_guard import Target, find_guard, find_guard_and_log, openai_model
from llmguard.replay.what_if import Match

WITHOUT_A_MODEL: tuple[Gate, ...] = tuple(gate for gate in GATES if gate != "worse")
"""The gates of `replay`: `worse` is about a model, so it is for `compare`."""
MATCHES: dict[str, Match] = {word: match for match, word in STORED_MATCH.items()}

ReplayedLog = Annotated[
    str | None,
    typer.Option("--log", envvar="LLMGUARD_LOG", metavar="URL", help="The log to replay; else the guard's own."),
]
FailOn = Annotated[list[str] | None, typer.Option("--fail-on", metavar="KIND", help=f"Repeatable: {', '.join(GATES)}.")]
Listed = Annotated[int, typer.Option("--list", min=0, metavar="N", help="List N of each kind.")]
Restart = Annotated[bool, typer.Option("--restart", help="Do not go on with the results of an earlier run.")]


class ReplayCommand(TyperCommand):
    """`replay`, which had the options of `compare` when it was `replay --live`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--live" in args:
            raise UsageError("--live is a command of its own: `llmguard compare GUARD`, with the same options.")
        return super().parse_args(ctx, args)


def replay(
    target: GuardArgument,
    since: Since = None,
    until: Until = None,
    meta: Meta = None,
    status: OfStatus = None,
    where: Where = None,
    log: ReplayedLog = None,
    match: Annotated[
        str, typer.Option("--same", metavar="request|slot", help="slot: also a reply to another request.")
    ] = "request",
    rerun: Annotated[
        list[str] | None, typer.Option("--fresh", metavar="NAME", help="Run this check or function again. Repeatable.")
    ] = None,
    fail_on: FailOn = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=0, max=64, help="Processes; 0: this one.", show_default=False)
    ] = None,
    timeout_s: Annotated[float, typer.Option("--timeout-s", min=0.01, help="Seconds for one call, in a worker.")] = 60,
    state: Annotated[
        Path | None, typer.Option("--state", metavar="FILE", help="Save the results so far here.", show_default=False)
    ] = None,
    restart: Restart = False,
    listed: Listed = 20,
    model: Model = None,
    base_url: BaseUrl = None,
    name: GuardName = None,
    as_json: AsJson = False,
) -> None:
    """Replay logged calls with today's guard: newly failing, newly passing, changed, undetermined.

    No model is asked. Exit status 1 if something that --fail-on names was found. A replay that was interrupted goes on
    where it was when the same command is given again.
    """
    gates = gates_of(fail_on or (), WITHOUT_A_MODEL)
    calls = calls_of_guard(since, until, meta, status, where)
    if match not in MATCHES:
        raise UsageError(f"--same {match!r} is unknown. It is request or slot.")
    options = Target(named=target, name=name, model=model, base_url=base_url)
    guard, opened = find_guard_and_log(options, log)
    query: Json = [since, until, sorted(meta or []), sorted(status or []), where]
    with progress("replaying") as on_progress:
        report = backtest(
            guard,
            opened,
            match=MATCHES[match],
            rerun=rerun or (),
            listed=listed,
            workers=WorkerOptions(target=options, count=workers, timeout_s=timeout_s),
            progress=ProgressOptions(query=query, path=state, restart=restart),
            on_progress=on_progress,
            **calls,
        )
    show(report.to_json(), backtest_view(report), as_json)
    end(report.summary, gates)


def compare_models(
    target: GuardArgument,
    since: Since = None,
    until: Until = None,
    meta: Meta = None,
    status: OfStatus = None,
    where: Where = None,
    log: ReplayedLog = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="The model to ask, instead of the guard's.")
    ] = None,
    base_url: BaseUrl = None,
    name: GuardName = None,
    against: Annotated[str | None, typer.Option("--against", metavar="GUARD", help="Another guard to call.")] = None,
    sample: Annotated[int, typer.Option("--sample", min=1, metavar="N", help="Make N calls.")] = 200,
    seed: Annotated[int, typer.Option("--seed", help="Another seed is another sample.")] = 1,
    log_to: Annotated[str | None, typer.Option("--log-to", metavar="URL", help="The log of the new calls.")] = None,
    max_usd: Annotated[float | None, typer.Option("--max-usd", min=0.0, help="Spend at most this.")] = None,
    parallel: Annotated[int, typer.Option("--parallel", min=1, max=64, help="Calls at a time.")] = 4,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it starts.")] = False,
    restart: Restart = False,
    fail_on: FailOn = None,
    listed: Listed = 20,
    as_json: AsJson = False,
) -> None:
    """Ask a model again with the inputs of a sample of logged calls, and compare the outcomes.

    Exit status 1 if something that --fail-on names was found; `worse` is the exact paired test at 5 %. A second run makes
    only the calls that are missing in the log of the new calls.
    """
    gates = gates_of(fail_on or ())
    calls = calls_of_guard(since, until, meta, status, where)
    guard, opened = find_guard_and_log(_asking(Target(named=target, name=name), model, base_url), log)
    with progress("asking") as on_progress:
        report = compare(
            guard,
            opened,
            model=openai_model(model, base_url) if model and not against else None,
            against=find_guard(_asking(Target(named=against), model, base_url)) if against else None,
            sample=sample,
            seed=seed,
            log_to=log_to,
            max_usd=max_usd,
            parallel=parallel,
            restart=restart,
            listed=listed,
            approve=None if yes else _ask_for_approval,
            on_progress=on_progress,
            **calls,
        )
    show(report.to_json(), comparison_view(report), as_json)
    end(report.summary, gates)


def _asking(target: Target, model: str | None, base_url: str | None) -> Target:
    """A folder's guard needs a model; one of a module has its own."""
    return target if ":" in target.named else replace(target, model=model, base_url=base_url)


def _ask_for_approval(estimate: CostEstimate) -> None:
    """Asks the person at the terminal; where there is none, --yes is needed."""
    about = f", about {dollars(estimate.usd)} by the tokens of the logged calls" if estimate.usd else ""
    limit = f", at most {dollars(estimate.max_usd)}" if estimate.max_usd is not None else ""
    models = ", ".join(estimate.models) or "no model"
    question = f"{estimate.calls:,} calls of guard {estimate.guard!r} to {models}{about}{limit}"
    if not sys.stdin.isatty():
        raise UsageError(f"this would make {question}. Add --yes where no one can be asked.")
    typer.confirm(f"{safe_line(question)}. Go on?", abort=True, err=True)


def show(data: Json, lines: Iterable[RenderableType], as_json: bool) -> None:
    if as_json:
        emit(data)
    else:
        say(*lines)


def end(summary: ReplaySummary, gates: Sequence[Gate]) -> None:
    """Exit status 1 where a gate failed."""
    result = check_gates(summary, gates)
    if result.without_evidence:
        names = ", ".join(f"--fail-on {gate}" for gate in result.without_evidence)
        say(styled(f"no result is evidence, so {names} cannot be decided: exit status 1", "red"), stderr=True)
    if result.failed:
        raise typer.Exit(NEGATIVE)


@contextmanager
def progress(label: str) -> Iterator[OnProgress]:
    """A bar on standard error, where that is a terminal, from the first call of what it yields."""
    parts = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*parts, console=console(stderr=True), transient=True)
    task = bar.add_task(label, total=None)
    begun = False

    def on_progress(done: int, total: int) -> None:
        nonlocal begun
        if not begun and done:
            say(styled(f"going on after {done:,} of {total:,} calls; --restart begins again", "dim"), stderr=True)
        if not begun and sys.stderr.isatty():
            bar.start()
        begun = True
        bar.update(task, completed=done, total=total)

    try:
        yield on_progress
    finally:
        if bar.live.is_started:
            bar.stop()
