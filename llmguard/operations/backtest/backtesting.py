"""Replay the calls of a log with today's guard, in this process or in others, and sum up. No model is asked."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias, Unpack

from llmguard.core.canonical import Json, digest, encode
from llmguard.core.errors import UsageError
from llmguard.guard.guard import Guard
from llmguard.log import OutcomeStore
from llmguard.log.positions import PAGE
from llmguard.operations.backtest.progress import Progress, ProgressFile, UnsavedProgress
from llmguard.operations.backtest.replay_result import DECIDED, ReplayResult, lost_result, replay_page
from llmguard.operations.backtest.summary import ReplaySummary, SummaryBuilder
from llmguard.operations.backtest.worker_pool import WorkerPool
from llmguard.operations.find_guard import Target
from llmguard.operations.logged_calls import CallsOfGuard
from llmguard.operations.outcome_json import iso_time
from llmguard.replay.what_if import Match, rerun_names

IDS = 10_000
"""Ids of one look at the log: about a megabyte."""
FEW = 1_000
"""Calls that are replayed in this process: starting others takes a second."""
MAX_WORKERS = 4
"""More processes gain little: SQLite and this process's sums become the limit."""
FOLDER = Path(".llmguard")
"""Where progress files are, if nothing else is said."""
IS_A_CALL = "reason!=drift"
"""A drift alarm is an outcome too, but no request was made that could be replayed."""
STORED_MATCH: dict[Match, str] = {"request": "request", "position": "slot"}
"""Its words on the command line and in progress files."""

OnProgress: TypeAlias = Callable[[int, int], object]
"""Called with the number of calls that are done and of all calls: at the beginning, and after each page."""


def ignore_progress(done: int, total: int) -> None:
    """The `OnProgress` of a caller that shows nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """Replay in other processes, which find the guard by its `target`. `count` None: as many as are of use, 0: none.

    A call that kills its process, or takes more than `timeout_s` seconds, is undetermined.
    """

    target: Target
    count: int | None = None
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressOptions:
    """Save the progress, so that an interrupted backtest is continued by the same call, until it is finished.

    `query`: which calls are meant, as the caller wrote it (`7d`, not a moment), so that the same words find the same file.
    `path` None: a file in `.llmguard/`. `restart`: what was saved before is thrown away.
    """

    query: Json
    path: Path | None = None
    restart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestReport:
    """Today's guard, the calls that were replayed (`since` and `until` in seconds since the epoch), and their results."""

    guard: str
    fingerprint: str
    since: float | None
    until: float
    summary: ReplaySummary

    def to_json(self) -> dict[str, Json]:
        """What `llmguard replay --json` prints."""
        return {
            "guard": self.guard,
            "fingerprint": self.fingerprint,
            "since": iso_time(self.since) if self.since else None,
            "until": iso_time(self.until),
            **self.summary.to_json(),
        }


def backtest(
    guard: Guard[Any],
    log: OutcomeStore | None = None,
    *,
    match: Match = "request",
    rerun: Collection[str] = (),
    listed: int = 20,
    workers: WorkerOptions | None = None,
    progress: ProgressOptions | None = None,
    on_progress: OnProgress = ignore_progress,
    **calls: Unpack[CallsOfGuard],
) -> BacktestReport:
    """Replay the logged calls of a guard, without a model: what would `guard` do today with what was answered then?

    Args:
        guard: today's guard; its logged calls are found by its name.
        log: of the calls; else the guard's own.
        match: "position" lets a reply answer another request at its address; such results are no evidence.
        rerun: names of effect checks and functions to run now, instead of taking their recorded answers.
        listed: how many results of each kind the report lists.
        workers: replay in other processes.
        progress: save the progress, to go on after an interruption.
        calls: `since=`, `until=`, `meta=`, `status=`, `where=`; all calls that have an outcome, if not given.

    Raises:
        UsageError: an argument is invalid.
        LogError: there is no log, or the progress cannot be saved.

    >>> from llmguard import Guard, check
    >>> from llmguard.testing import ScriptedModel
    >>> @check(version="1")
    ... def not_negative(value, inputs):
    ...     return "an age is not negative" if value < 0 else None
    >>> def age(*checks):
    ...     model = ScriptedModel(["36", "-5"])
    ...     return Guard("age", prompt="How old is {{ who }}?", schema=int, models=[model], checks=checks, reasks=0, log=None)
    >>> yesterday = age()
    >>> [yesterday(who=who) for who in ("Ada", "Bob")]
    [36, -5]
    >>> report = backtest(age(not_negative), yesterday.log)
    >>> dict(report.summary.evidence.kinds)
    {'same': 1, 'newly_failing': 1}
    >>> report.to_json()["reasons"]
    {'newly_failing': {'not_negative at the whole value': 1}}
    """
    log = guard.log if log is None else log
    _check_rerun(rerun, guard)
    task = _Task(guard, log, match, tuple(sorted(rerun)), workers)
    saved = _progress_of(task, replayable(calls), progress)
    finished = False
    try:
        window = {**saved.window, "guard": guard.name}
        _replay_rest(task, saved, list(ids_of(log, window)), on_progress)
        summary = SummaryBuilder(listed)
        for each in saved.results():
            summary.add(each)
        finished = True
    finally:
        saved.close(finished=finished)
    return BacktestReport(
        guard=guard.name,
        fingerprint=guard.fingerprint,
        since=window["since"],
        until=window["until"],
        summary=summary.summary(),
    )


def replayable(calls: CallsOfGuard) -> CallsOfGuard:
    """The calls among these that have an outcome, until this moment if no other is given."""
    status, where = calls.get("status") or DECIDED, calls.get("where")
    for each in status:
        if each not in DECIDED:
            raise UsageError(
                f"status {each!r}: such a call has no outcome to compare. Expected one of: {', '.join(DECIDED)}."
            )
    return CallsOfGuard(
        since=calls.get("since"),
        until=calls.get("until") or time.time(),
        meta=calls.get("meta") or {},
        status=list(status),
        where=f"{where} and {IS_A_CALL}" if where else IS_A_CALL,
    )


def ids_of(log: OutcomeStore, window: Json) -> Iterator[str]:
    """The ids of the calls, by start."""
    after = None
    while page := log.positions(**window, after=after, limit=IDS):
        yield from (position.id for position in page)
        after = page[-1]


def _check_rerun(rerun: Collection[str], guard: Guard[Any]) -> None:
    known = rerun_names(guard.policy)
    for each in rerun:
        if each not in known:
            names = ", ".join(known) or "none"
            raise UsageError(
                f"{each!r} cannot be run again: guard {guard.name!r} has no such effect check or function. It has: {names}."
            )


@dataclass(frozen=True, slots=True)
class _Task:
    """What is replayed, and how."""

    guard: Guard[Any]
    log: OutcomeStore
    match: Match
    rerun: tuple[str, ...]
    workers: WorkerOptions | None


def _progress_of(task: _Task, window: CallsOfGuard, options: ProgressOptions | None) -> Progress:
    if options is None:
        return UnsavedProgress(window)
    guard = task.guard
    key: Json = {  # what makes two backtests the same one
        "guard": guard.name,
        "fingerprint": guard.fingerprint,
        "log": task.log.url,
        "query": options.query,
        "same": STORED_MATCH[task.match],
        "fresh": list(task.rerun),
    }
    path = options.path or FOLDER / f"replay-{guard.name}-{guard.fingerprint[:8]}-{digest(key)[:8]}.jsonl"
    return ProgressFile.open(path, key, window, restart=options.restart)


def _replay_rest(task: _Task, progress: Progress, ids: Sequence[str], on_progress: OnProgress) -> None:
    """Replays the calls that have no result yet."""
    done = {each.id for each in progress.results()}
    left = [each for each in ids if each not in done]
    pages = [left[start : start + PAGE] for start in range(0, len(left), PAGE)]
    count = len(ids) - len(left)
    on_progress(count, len(ids))
    with closing(_replay_pages(task, pages)) as finished:
        for page in finished:
            progress.add(page)
            count += len(page)
            on_progress(count, len(ids))


def _replay_pages(task: _Task, pages: Sequence[Sequence[str]]) -> Generator[list[ReplayResult], None, None]:
    """The results of each page, as pages are finished: in this process where they are few, else in others."""
    count = _worker_count(task.workers, sum(map(len, pages)))
    if task.workers is None or task.log.url is None or not count:  # no other process can read this log
        for page in pages:
            yield list(replay_page(task.guard.policy, task.log, page, match=task.match, rerun=task.rerun))
        return
    pool = WorkerPool(
        [sys.executable, "-m", "llmguard.operations.backtest.worker", _order(task, task.workers.target)],
        count,
        timeout_s=task.workers.timeout_s,
        check_ready=lambda line: _check_fingerprint(task.guard, line["fingerprint"]),
        lost=lambda call_id, why: lost_result(call_id, why).to_json(),
    )
    with closing(pool.results_of(pages)) as finished:
        for results in finished:
            yield [ReplayResult.from_json(each) for each in results]


def _worker_count(workers: WorkerOptions | None, calls: int) -> int:
    """How many processes; 0: this one. Windows cannot wait for several pipes, so there it is always this one."""
    if workers is None or sys.platform == "win32" or (workers.count is None and calls <= FEW):
        return 0
    return min(MAX_WORKERS, os.cpu_count() or 1) if workers.count is None else workers.count


def _order(task: _Task, target: Target) -> str:
    """A worker's argument."""
    options = {name: value for name, value in asdict(target).items() if value is not None}
    return encode({"target": options, "log": task.log.url, "match": task.match, "rerun": list(task.rerun)}).decode()


def _check_fingerprint(guard: Guard[Any], fingerprint: str) -> None:
    """A worker must have built the same guard."""
    if fingerprint != guard.fingerprint:
        raise UsageError(
            f"the guard {guard.name!r} has another fingerprint in each process ({guard.fingerprint[:8]},"
            f" {fingerprint[:8]}): something random or of this process is part of it. Use --workers 0."
        )
