"""`llmguard replay` without a model: opens log and state, judges what is left, sums up."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from llmguard.cli.terminal import console, say, styled
from llmguard.core.canonical import Json, digest, encode
from llmguard.core.errors import UsageError
from llmguard.guard.guard import DEFAULT_LOG, Guard
from llmguard.log import OutcomeLog
from llmguard.log.sqlite.paging import PAGE
from llmguard.operations.backtest.backtesting import Rejudged, judged_page, lost
from llmguard.operations.backtest.progress import State, judged_from_json, judged_to_json
from llmguard.operations.backtest.summary import Summary, Tally
from llmguard.operations.backtest.worker_pool import Pool
from llmguard.operations.find_guard import Target, find_guard
from llmguard.operations.logs import existing_log
from llmguard.replay.what_if import Same, fresh_names

PLACES = 10_000
"""Ids that one look at the log brings."""
FEW = 1_000
"""Calls that are judged in this process: starting others takes a second."""
MAX_WORKERS = 4
STATES = Path(".llmguard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be judged again, by what, and how. `query` is as it was typed, `window` what it means at this moment."""

    target: Target
    log: str | None = None
    query: Json
    window: Json
    same: Same = "request"
    fresh: tuple[str, ...] = ()
    workers: int | None = None
    timeout_s: float = 60.0
    state: Path | None = None
    restart: bool = False


def rejudge(asked: Asked, keep: int) -> tuple[Guard[Json], Json, Summary]:
    """Today's guard, the calls that were looked at, and what they came to. What is ended in between goes on there when
    it is asked for again."""
    guard, log = guard_and_log(asked.target, asked.log)
    _refuse_unknown(asked.fresh, guard)
    asked = replace(asked, log=f"sqlite:///{log.path}")
    key = _key(guard, asked)
    path = asked.state or STATES / f"replay-{guard.name}-{guard.fingerprint[:8]}-{digest(key)[:8]}.jsonl"
    state = State.open(path, key, asked.window, restart=asked.restart)
    finished = False
    try:
        window = {**state.window, "guard": guard.name}
        _judge_rest(guard, log, asked, state, list(ids_of(log, window)))
        tally = Tally(keep)
        for each in state.judged():
            tally.add(each)
        finished = True
    finally:
        state.close(finished=finished)
    return guard, window, tally.summary()


def _refuse_unknown(fresh: Sequence[str], guard: Guard[Json]) -> None:
    known = fresh_names(guard.policy)
    for each in fresh:
        if each not in known:
            names = ", ".join(known) or "none"
            raise UsageError(
                f"--fresh {each!r} is no effect check or function of guard {guard.name!r}. It has: {names}."
            )


def guard_and_log(target: Target, url: str | None) -> tuple[Guard[Json], OutcomeLog]:
    """The guard, and the log that is named, else the guard's own, else the default one."""
    is_folder = ":" not in target.named
    guard = find_guard(replace(target, log=url) if is_folder else target)
    if url is None and isinstance(guard.log, OutcomeLog):
        return guard, guard.log
    return guard, existing_log(url or DEFAULT_LOG)


def ids_of(log: OutcomeLog, window: Json) -> Iterator[str]:
    """The ids of the calls that are looked at, by start."""
    after = None
    while found := log.positions(**window, after=after, limit=PLACES):
        yield from (place.id for place in found)
        after = found[-1]


def _key(guard: Guard[Json], asked: Asked) -> Json:
    """What makes two replays the same one."""
    return {
        "guard": guard.name,
        "fingerprint": guard.fingerprint,
        "log": asked.log,
        "query": asked.query,
        "same": asked.same,
        "fresh": list(asked.fresh),
    }


def _judge_rest(guard: Guard[Json], log: OutcomeLog, asked: Asked, state: State, ids: Sequence[str]) -> None:
    """What the state does not have yet."""
    done = {each.id for each in state.judged()}
    left = [each for each in ids if each not in done]
    if done:
        say(styled(f"going on after {len(done):,} of {len(ids):,} calls; --restart begins anew", "dim"), stderr=True)
    pages = [left[start : start + PAGE] for start in range(0, len(left), PAGE)]
    with (
        progress("judging", len(ids), len(ids) - len(left)) as advance,
        closing(_judged(guard, log, asked, pages)) as found,
    ):
        for page in found:
            state.add(page)
            advance(len(page))


def _judged(
    guard: Guard[Json], log: OutcomeLog, asked: Asked, pages: Sequence[Sequence[str]]
) -> Generator[list[Rejudged], None, None]:
    """Pages as they are done: here where they are few, else by processes."""
    workers = _workers(asked.workers, sum(map(len, pages)))
    if not workers:
        for page in pages:
            yield list(judged_page(guard.policy, log, page, same=asked.same, fresh=asked.fresh))
        return
    pool = Pool(
        [sys.executable, "-m", "llmguard.cli.replay_worker", _order(asked)],
        workers,
        timeout_s=asked.timeout_s,
        ready=_expecting(guard),
        lost=lambda call_id, why: judged_to_json(lost(call_id, why)),
    )
    with closing(pool.judge(pages)) as answers:
        for said in answers:
            yield [judged_from_json(each) for each in said]


def _workers(given: int | None, calls: int) -> int:
    """How many processes; 0: this one. On Windows pipes cannot be waited for together, so it is always this one."""
    if sys.platform == "win32" or (given is None and calls <= FEW):
        return 0
    return min(MAX_WORKERS, os.cpu_count() or 1) if given is None else given


def _order(asked: Asked) -> str:
    """What a worker is told at its start."""
    target = {name: value for name, value in asdict(asked.target).items() if value is not None}
    order = {"target": target, "log": asked.log, "same": asked.same, "fresh": list(asked.fresh)}
    return encode(order).decode()


def _expecting(guard: Guard[Json]) -> Callable[[Json], None]:
    """Looks at a worker's first line: it has to have built the same guard."""

    def look(said: Json) -> None:
        if said["fingerprint"] != guard.fingerprint:
            raise UsageError(
                f"the guard {guard.name!r} has another fingerprint in each process ({guard.fingerprint[:8]},"
                f" {said['fingerprint'][:8]}): something random or of this process is part of it. Judge with --workers 0."
            )

    return look


@contextmanager
def progress(what: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal; what it yields moves it on."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    shown = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*shown, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, completed=done)
        yield lambda count: bar.advance(task, count)
