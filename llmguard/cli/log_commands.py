"""`llmguard log`: list, show, follow and sum up past calls."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from llmguard.cli.arguments import (
    LOG_URL,
    AsJson,
    LogUrl,
    Meta,
    OfGuard,
    OfStatus,
    Since,
    Until,
    Where,
    query,
)
from llmguard.cli.export_command import export
from llmguard.cli.log_views import row_line, rows_view, totals_view
from llmguard.cli.outcome_view import record_view
from llmguard.cli.review_command import ID_HELP, review
from llmguard.cli.review_view import reviews_block, task_view
from llmguard.cli.terminal import console, emit, say
from llmguard.log import OutcomeStore
from llmguard.log.query import Query
from llmguard.log.rows import Row
from llmguard.operations.calls import (
    CallReport,
    call_json,
    first_problem,
    follow_calls,
    list_calls,
    recorded_call,
    show_call,
    total_calls,
)
from llmguard.operations.logs import existing_log, full_id
from llmguard.operations.review_queue import ReviewTask, review_queue, review_task

log_app = typer.Typer(no_args_is_help=True, help="Read past calls, and review them.")


@log_app.command("list", epilog="Example: llmguard log list --since 2h --status fallback --where 'failure=timeout'")
def list_command(
    since: Since = None,
    until: Until = None,
    meta: Meta = None,
    status: OfStatus = None,
    guard: OfGuard = None,
    where: Where = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="List at most so many calls.")] = 20,
    unreviewed: Annotated[
        bool, typer.Option("--unreviewed", help="List calls that were drawn for an audit and have no review yet.")
    ] = False,
    log: LogUrl = LOG_URL,
    as_json: AsJson = False,
) -> None:
    """List calls, the newest first.

    With --unreviewed, list the oldest first, with the inputs and the value to judge, but nothing of how sure the model
    was.
    """
    calls = query(since, until, meta, status, guard, where)
    opened = existing_log(log)
    if unreviewed:
        _show_queue(opened, calls, limit, as_json)
        return
    listed = list_calls(opened, calls, limit=limit)
    if as_json:
        for line in listed.to_json():
            emit(line)
    else:
        _show_list(opened, listed.rows, limit)


def _show_list(log: OutcomeStore, rows: tuple[Row, ...], limit: int) -> None:
    out = console()
    for line in rows_view(rows, [first_problem(log, row) for row in rows], out):
        out.print(line)
    if not rows:
        say(Text("no calls match", "dim"), stderr=True)
    elif len(rows) == limit:
        say(Text(f"the newest {limit}; --limit shows more", "dim"), stderr=True)


def _show_queue(log: OutcomeStore, calls: Query, limit: int, as_json: bool) -> None:
    queue = review_queue(log, calls, limit=limit)
    for task in queue.tasks:
        _show_task(task, as_json)
    if not as_json:
        hint = "llmguard log review ID right|wrong|unsure --blind" if queue.tasks else "no call waits for a review"
        say(Text(hint, "dim"), stderr=True)


def _show_task(task: ReviewTask, as_json: bool, *, full: bool = False) -> None:
    if as_json:
        emit(task.to_json())
    else:
        say(*task_view(task, full=full))


@log_app.command("show", epilog="Example: llmguard log show 1a206f9cd51f333e")
def show_command(
    call_id: Annotated[str, typer.Argument(metavar="ID", help=ID_HELP, show_default=False)],
    full: Annotated[bool, typer.Option("--full", help="Do not shorten inputs and replies.")] = False,
    blind: Annotated[
        bool, typer.Option("--blind", help="Show only what a reviewer judges, not how sure the model was.")
    ] = False,
    log: LogUrl = LOG_URL,
    as_json: AsJson = False,
) -> None:
    """Show everything that happened in one call, in order, with its reviews."""
    opened = existing_log(log)
    call_id = full_id(opened, call_id)
    if blind:
        _show_task(review_task(recorded_call(opened, call_id)), as_json, full=full)
        return
    report = show_call(opened, call_id)
    if as_json:
        emit(report.to_json())
    else:
        _show_report(report, full)


def _show_report(report: CallReport, full: bool) -> None:
    reviews = reviews_block(report.record.outcome, report.reviews)
    say(*record_view(report.record, report.finished_at, rungs=report.rungs, reviews=reviews, full=full))


log_app.command("review", epilog="Example: llmguard log review 1a206f9cd51f333e wrong --correction '{\"total\": 5}'")(
    review
)
log_app.command("export", epilog="Example: llmguard log export --format sft --guard triage --split 0.1 --out data")(
    export
)


@log_app.command("tail", epilog="Example: llmguard log tail -f --guard triage")
def tail(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new outcomes until Ctrl-C.")] = False,
    number: Annotated[int, typer.Option("--lines", "-n", min=0, help="Begin with so many of the newest calls.")] = 10,
    meta: Meta = None,
    status: OfStatus = None,
    guard: OfGuard = None,
    where: Where = None,
    log: LogUrl = LOG_URL,
    as_json: AsJson = False,
) -> None:
    """Print the newest calls, one per line, the newest last."""
    calls = query(None, None, meta, status, guard, where)
    opened = existing_log(log)
    try:
        for row in follow_calls(opened, calls, backlog=number) if follow else _newest(opened, calls, number):
            if as_json:
                emit(call_json(row))
            else:
                console().print(row_line(row), soft_wrap=True)
    except KeyboardInterrupt:
        return


def _newest(log: OutcomeStore, calls: Query, number: int) -> tuple[Row, ...]:
    return list_calls(log, calls, limit=number).rows[::-1] if number else ()


@log_app.command("stats", epilog="Example: llmguard log stats --since 7d")
def stats(
    since: Since = None,
    until: Until = None,
    meta: Meta = None,
    status: OfStatus = None,
    guard: OfGuard = None,
    where: Where = None,
    log: LogUrl = LOG_URL,
    as_json: AsJson = False,
) -> None:
    """Sum up calls by guard: statuses, failures, requests, tokens, cost and latency."""
    totals = total_calls(existing_log(log), query(since, until, meta, status, guard, where))
    if as_json:
        emit(totals.to_json())
        return
    for each in totals.guards:
        say(*totals_view(each))
    if not totals.guards:
        say(Text("no calls match", "dim"), stderr=True)
