"""`llmguard replay`: today's guard over yesterday's log, without a model; or the same inputs, answered anew by one."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, cast, get_args

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from llmguard.canonical import Json, digest
from llmguard.cli.arguments import AsJson, BaseUrl, GuardName, Model
from llmguard.cli.find_guard import Target, find_guard
from llmguard.cli.log_commands import Meta, OfStatus, Since, Until, Where, search
from llmguard.cli.logs import existing_log
from llmguard.cli.replay_view import summary_json, summary_view
from llmguard.cli.rerun import LiveOptions, rerun
from llmguard.cli.terminal import NEGATIVE, console, emit, say, styled
from llmguard.errors import UsageError
from llmguard.guard import DEFAULT_LOG, Guard
from llmguard.outcome_log import OutcomeLog
from llmguard.outcome_log.reading import PAGE
from llmguard.rejudge.judging import DECIDED, Judged, Kind, Same, judged_page, lost
from llmguard.rejudge.pool import Pool
from llmguard.rejudge.state import State, judged_from_json, judged_to_json
from llmguard.rejudge.summary import Summary, Tally

FailOn = Literal["newly-failing", "changed", "undetermined", "worse"]
PLACES = 10_000
"""Ids that one look at the log brings."""
FEW = 1_000
"""Calls that are judged in this process: starting others takes a second."""
MAX_WORKERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be judged again, by what, and how: the options as they were given."""

    target: Target
    log: str
    query: Json
    window: Json
    same: Same
    fresh: tuple[str, ...]
    workers: int | None
    timeout_s: float
    state: Path | None
    restart: bool


def replay(
    target: Annotated[
        str,
        typer.Argument(
            help="module:attribute, or a folder with prompts/ and schemas/.", metavar="GUARD", show_default=False
        ),
    ],
    since: Since = None,
    until: Until = None,
    meta: Meta = None,
    status: OfStatus = None,
    where: Where = None,
    log: Annotated[
        str | None,
        typer.Option("--log", envvar="LLMGUARD_LOG", metavar="URL", help="The log to judge; else the guard's own."),
    ] = None,
    same: Annotated[
        str, typer.Option("--same", metavar="request|slot", help="slot: a reply to another request may stand in.")
    ] = "request",
    fresh: Annotated[
        list[str] | None, typer.Option("--fresh", metavar="NAME", help="A check or function to run, not to look up.")
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option("--fail-on", metavar="KIND", help="newly-failing, changed, undetermined; with --live also worse."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=0, max=64, help="Processes; 0: this one.", show_default=False)
    ] = None,
    timeout_s: Annotated[float, typer.Option("--timeout-s", min=0.01, help="Seconds for one call, in a worker.")] = 60,
    state: Annotated[
        Path | None, typer.Option("--state", metavar="FILE", help="Keeps what is judged so far.", show_default=False)
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Do not go on with what was judged before.")] = False,
    listed: Annotated[int, typer.Option("--list", min=0, metavar="N", help="List so many of each kind.")] = 20,
    live: Annotated[bool, typer.Option("--live", help="Ask a model anew, and compare.")] = False,
    model: Model = None,
    base_url: BaseUrl = None,
    name: GuardName = None,
    against: Annotated[
        str | None, typer.Option("--against", metavar="GUARD", help="With --live: the guard that answers anew.")
    ] = None,
    sample: Annotated[int, typer.Option("--sample", min=1, metavar="N", help="With --live: so many calls.")] = 200,
    seed: Annotated[int, typer.Option("--seed", help="With --live: another seed is another sample.")] = 1,
    log_to: Annotated[
        str | None, typer.Option("--log-to", metavar="URL", help="With --live: the log of the new calls.")
    ] = None,
    max_usd: Annotated[float | None, typer.Option("--max-usd", min=0.0, help="With --live: spend no more.")] = None,
    parallel: Annotated[int, typer.Option("--parallel", min=1, max=64, help="With --live: calls at a time.")] = 4,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --live: do not ask before it starts.")] = False,
    as_json: AsJson = False,
) -> None:
    """Judge logged calls again by today's guard: newly failing, newly passing, changed, undetermined.

    No model is asked, unless with --live. Exit status 1 if something that --fail-on names was found. A replay that was
    ended goes on where it was when the same command is given again.
    """
    gates = _gates(fail_on or [], live)
    asked = Asked(
        target=Target(named=target, name=name, model=None if live else model, base_url=None if live else base_url),
        log=log or "",
        query={"since": since, "until": until, "meta": sorted(meta or []), "status": sorted(status or []), "where": where},
        window=_window(since, until, meta, status, where),
        same=_same(same),
        fresh=tuple(sorted(fresh or ())),
        workers=workers,
        timeout_s=timeout_s,
        state=state,
        restart=restart,
    )
    if live:
        options = LiveOptions(
            model=model,
            base_url=base_url,
            against=against,
            sample=sample,
            seed=seed,
            log_to=log_to,
            max_usd=max_usd,
            parallel=parallel,
            yes=yes,
            restart=restart,
        )
        found = rerun(asked.target, log, asked.window, options, listed=listed, gates=gates, as_json=as_json)
    else:
        _refuse_live_options(against=against, log_to=log_to, max_usd=max_usd)
        found = _rejudge(asked, listed, gates, as_json)
    if found:
        raise typer.Exit(NEGATIVE)


def _gates(given: Sequence[str], live: bool) -> tuple[FailOn, ...]:
    known = [each for each in get_args(FailOn) if live or each != "worse"]
    for each in given:
        if each not in known:
            raise UsageError(f"--fail-on {each!r} is none. It takes: {', '.join(known)}.")
    return cast("tuple[FailOn, ...]", tuple(given))


def _same(given: str) -> Same:
    if given not in get_args(Same):
        raise UsageError(f"--same {given!r} is none. It is request or slot.")
    return cast(Same, given)


def _refuse_live_options(**given: object) -> None:
    for name, value in given.items():
        if value is not None:
            raise UsageError(f"--{name.replace('_', '-')} goes with --live, which asks a model.")


def _window(
    since: str | None, until: str | None, meta: list[str] | None, status: list[str] | None, where: str | None
) -> Json:
    """What is looked for, with its moments fixed: of a replay that goes on, those of its first run."""
    found = dict(search(since, until, meta, status, None, where))
    unfit = [each for each in status or () if each not in DECIDED]
    if unfit:
        raise UsageError(f"--status {unfit[0]!r}: such a call came to no outcome. Can be judged: {', '.join(DECIDED)}.")
    del found["guard"]
    return {**found, "status": found["status"] or list(DECIDED), "until": found["until"] or time.time()}


# ------------------------------------------------------------------------------------------------- judging


def _rejudge(asked: Asked, listed: int, gates: Sequence[FailOn], as_json: bool) -> bool:
    """Whether a gate is closed."""
    guard = find_guard(replace(asked.target, log=asked.log or None) if _is_folder(asked.target) else asked.target)
    log = log_of(guard, asked.log)
    asked = replace(asked, log=f"sqlite:///{log.path}")
    state = State.open(asked.state or _default_state(guard, asked), _key(guard, asked), asked.window, restart=asked.restart)
    finished = False
    try:
        window = {**state.window, "guard": guard.name}
        ids = list(ids_of(log, window))
        _judge_rest(guard, log, asked, state, ids)
        tally = Tally(keep=listed)
        for each in state.judged():
            tally.add(each)
        finished = True
    finally:
        state.close(finished=finished)
    summary = tally.summary()
    if as_json:
        emit(summary_json(guard, window, summary))
    else:
        say(*summary_view(guard, window, summary))
    return _closed(summary, gates)


def _is_folder(target: Target) -> bool:
    return ":" not in target.named


def log_of(guard: Guard[Json], url: str) -> OutcomeLog:
    """The log that is named, else the guard's own, else the default one."""
    if url or not isinstance(guard.log, OutcomeLog):
        return existing_log(url or DEFAULT_LOG)
    return guard.log


def _key(guard: Guard[Json], asked: Asked) -> Json:
    return {
        "guard": guard.name,
        "fingerprint": guard.fingerprint,
        "log": asked.log,
        "query": asked.query,
        "same": asked.same,
        "fresh": list(asked.fresh),
    }


def _default_state(guard: Guard[Json], asked: Asked) -> Path:
    key = digest(_key(guard, asked))
    return Path(".llmguard", f"replay-{guard.name}-{guard.fingerprint[:8]}-{key[:8]}.jsonl")


def ids_of(log: OutcomeLog, window: Json) -> Iterator[str]:
    after = None
    while found := log.places(**window, after=after, limit=PLACES):
        yield from (place.id for place in found)
        after = found[-1]


def _judge_rest(guard: Guard[Json], log: OutcomeLog, asked: Asked, state: State, ids: Sequence[str]) -> None:
    """What the state does not have yet."""
    done = {each.id for each in state.judged()}
    left = [each for each in ids if each not in done]
    if done and left:
        say(styled(f"going on after {len(done):,} of {len(ids):,} calls (--restart begins anew)", "dim"), stderr=True)
    pages = [left[start : start + PAGE] for start in range(0, len(left), PAGE)]
    with progress_of("judging", len(ids), len(ids) - len(left)) as advance:
        for page in _judged(guard, log, asked, pages):
            state.add(page)
            advance(len(page))


def _judged(
    guard: Guard[Json], log: OutcomeLog, asked: Asked, pages: Sequence[Sequence[str]]
) -> Iterator[list[Judged]]:
    few = sum(map(len, pages)) <= FEW
    workers = asked.workers if asked.workers is not None else 0 if few else min(MAX_WORKERS, os.cpu_count() or 1)
    if not workers:
        for page in pages:
            yield list(judged_page(guard.policy, log, page, same=asked.same, fresh=asked.fresh))
        return
    pool = Pool(
        [sys.executable, "-m", "llmguard.cli.replay_worker", _order(asked)],
        workers,
        timeout_s=asked.timeout_s,
        ready=_same_guard(guard),
        lost=lambda call_id, why: judged_to_json(lost(call_id, why)),
    )
    for said in pool.judge(pages):
        yield [judged_from_json(each) for each in said]
