"""`llmguard log`: what became of past calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, get_args

import typer
from rich.text import Text

from llmguard.cli.arguments import LOG_URL, AsJson, LogUrl, pairs
from llmguard.cli.log_views import row_json, row_line, rows_view, stats_json, stats_view
from llmguard.cli.outcome_view import first_violation, record_view, rung_names
from llmguard.cli.review_command import review
from llmguard.cli.review_view import reviews_block, work_json, work_list, work_view
from llmguard.cli.terminal import console, emit, say
from llmguard.core.canonical import Json
from llmguard.core.errors import LogError, UsageError
from llmguard.core.outcome import Status
from llmguard.log import OutcomeLog
from llmguard.log.rows import RUNNING, Row
from llmguard.operations.logged_calls import CallsOfGuard, Search
from llmguard.operations.logs import existing_log, full_id
from llmguard.operations.outcome_json import record_json, review_json
from llmguard.operations.points_in_time import parse_time

log_app = typer.Typer(no_args_is_help=True, help="Look at past calls.")

STATUSES = (*get_args(Status), RUNNING)
POLL_S = 0.5
LATE_S = 10.0
"""An outcome may come into the log so long after it was decided, and is still seen by `tail -f`."""

Since = Annotated[str | None, typer.Option("--since", metavar="TIME", help="A date, an age (2h, 3d), or today.")]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="The same; a date takes that day in.")]
Meta = Annotated[
    list[str] | None, typer.Option("--meta", metavar="KEY=VALUE", help="Calls with this meta; several: all.")
]
OfStatus = Annotated[list[str] | None, typer.Option("--status", metavar="STATUS", help="Several: any of them.")]
OfGuard = Annotated[str | None, typer.Option("--guard", metavar="NAME", help="Calls of this guard.")]
Where = Annotated[
    str | None, typer.Option("--where", metavar="CONDITIONS", help="Such as: failure=timeout and tokens>2000")
]


def search(
    since: str | None,
    until: str | None,
    meta: list[str] | None,
    status: list[str] | None,
    guard: str | None,
    where: str | None,
) -> Search:
    """The options' texts read; UsageError names the one that cannot be."""
    return Search(guard=guard, **calls_of_guard(since, until, meta, status, where))


def calls_of_guard(
    since: str | None, until: str | None, meta: list[str] | None, status: list[str] | None, where: str | None
) -> CallsOfGuard:
    """The same for a command whose guard is known."""
    now = datetime.now()
    for each in status or ():
        if each not in STATUSES:
            raise UsageError(f"--status {each!r} is none. A status is one of: {', '.join(STATUSES)}.")
    return CallsOfGuard(
        since=parse_time(since, now) if since else None,
        until=parse_time(until, now, end_of_day=True) if until else None,
        meta=pairs(meta or (), "--meta"),
        status=status or [],
        where=where,
    )


@log_app.command("list", epilog="Example: llmguard log list --since 2h --status fallback --where 'failure=timeout'")
def list_calls(
    since: Since = None,
    until: Until = None,
    meta: Meta = None,
    status: OfStatus = None,
    guard: OfGuard = None,
    where: Where = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the newest.")] = 20,
    unreviewed: Annotated[
        bool, typer.Option("--unreviewed", help="What was drawn for audit and nobody reviewed yet: a reviewer's work.")
    ] = False,
    log: LogUrl = LOG_URL,
    as_json: AsJson = False,
) -> None:
    """List calls, the newest first.

    With --unreviewed the oldest first, with what came in and what is to be judged, and nothing of how sure the model was.
    """
    asked = search(since, until, meta, status, guard, where)
    opened = existing_log(log)
    if unreviewed:
        _list_work(opened, asked, limit, as_json)
        return
    rows = opened.find(**asked, limit=limit)
    if as_json:
        for row in rows:
            emit(row_json(row))
        return
    out = console()
    for line in rows_view(rows, [_wrong_first(opened, row) for row in rows], out):
        out.print(line)
    if not rows:
        say(Text("no such calls", "dim"), stderr=True)
    elif len(rows) == limit:
        say(Text(f"the newest {limit}; --limit shows more", "dim"), stderr=True)


UNREVIEWED = 'reason=audit and review=""'


def _list_work(log: OutcomeLog, asked: Search, limit: int, as_json: bool) -> None:
    asked["where"] = f"{asked['where']} and {UNREVIEWED}" if asked["where"] else UNREVIEWED
    records = work_list(log, log.find(**asked, limit=None, newest_first=False), limit)
    for record in records:
        if as_json:
            emit(work_json(record))
        else:
            say(*work_view(record))
    if not as_json:
        told = "nothing is to be reviewed" if not records else "llmguard log review ID right|wrong|unsure --blind"
        say(Text(told, "dim"), stderr=True)


def _wrong_first(log: OutcomeLog, row: Row) -> str:
    record = log.get(row.id) if row.failures or row.rules else None
    return first_violation(record.outcome) if record and record.outcome else ""


@log_app.command("show", epilog="Example: llmguard log show 1a206f9cd51f333e")
def show_call(
    call_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="An outcome's id, or as much of its beginning as is unique.", show_default=False
        ),
    ],
    full: Annotated[bool, typer.Option("--full", help="Do not clip inputs and replies.")] = False,
    blind: Annotated[
        bool, typer.Option("--blind", help="Only what a reviewer judges, not how sure the model was.")
    ] = False,
    log: LogUrl = LOG_URL,
    as_json: AsJson = False,
) -> None:
    """Show everything that happened in one call, in its order, and what people said of it."""
    opened = existing_log(log)
    found = full_id(opened, call_id)
    record = opened.get(found)
    if record is None:
        raise LogError(f"the call {found!r} is no longer in the log.")
    if blind:
        if as_json:
            emit(work_json(record))
        else:
            say(*work_view(record, full=full))
        return
    row = _row_of(opened, found)
    finished_at = row.finished_at if row else None
    reviews = opened.reviews_of(found)
    if as_json:
        emit(record_json(record, finished_at) | {"reviews": [review_json(each) for each in reviews]})
        return
    explained = opened.explain(record.opening.fingerprint)
    rungs = rung_names(explained["description"]) if explained else []
    said = reviews_block(record.outcome, reviews)
    say(*record_view(record, finished_at, rungs=rungs, reviews=said, full=full))


log_app.command("review", epilog="Example: llmguard log review 1a206f9cd51f333e wrong --correction '{\"total\": 5}'")(
    review
)


def _row_of(log: OutcomeLog, call_id: str) -> Row | None:
    rows = log.find(where=f'id="{call_id}"', limit=1)
    return rows[0] if rows else None


@log_app.command("tail", epilog="Example: llmguard log tail -f --guard triage")
def tail(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new outcomes until Ctrl-C.")] = False,
    number: Annotated[int, typer.Option("--lines", "-n", min=0, help="Begin with so many of the newest.")] = 10,
    meta: Meta = None,
    status: OfStatus = None,
    guard: OfGuard = None,
    where: Where = None,
    log: LogUrl = LOG_URL,
    as_json: AsJson = False,
) -> None:
    """Show the newest outcomes, one on a line, the newest last."""
    asked = search(None, None, meta, status, guard, where)
    opened = existing_log(log)
    seen = {row.id for row in _decided_since(opened, asked, time.time() - LATE_S)} if follow else set()
    rows = opened.find(**asked, limit=number) if number else []
    for row in reversed(rows):
        _tell(row, as_json)
    if follow:
        seen.update(row.id for row in rows if row.finished_at)
        try:
            for row in _following(opened, asked, seen):
                _tell(row, as_json)
        except KeyboardInterrupt:
            return


def _following(log: OutcomeLog, asked: Search, seen: set[str]) -> Iterator[Row]:
    """Outcomes as they come into the log, each once: those of a moving window that were not in it before."""
    while True:
        rows = _decided_since(log, asked, time.time() - LATE_S)
        yield from (row for row in rows if row.id not in seen)
        seen = {row.id for row in rows}
        time.sleep(POLL_S)


def _decided_since(log: OutcomeLog, asked: Search, moment: float) -> list[Row]:
    return log.find(**asked, finished_since=moment, newest_first=False, limit=None)


def _tell(row: Row, as_json: bool) -> None:
    if as_json:
        emit(row_json(row))
    else:
        console().print(row_line(row), soft_wrap=True)


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
    """Sum up calls by guard: how they ended, what failed, requests, tokens, cost, latency."""
    found = existing_log(log).stats(**search(since, until, meta, status, guard, where))
    if as_json:
        by_guard: list[Json] = [stats_json(each) for each in found]
        emit({"guards": by_guard})
        return
    for each in found:
        say(*stats_view(each))
    if not found:
        say(Text("no such calls", "dim"), stderr=True)
