"""`llmguard replay`: today's guard over yesterday's log, without a model; or the same inputs, answered anew by one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, cast, get_args

import typer
from rich.console import RenderableType

from llmguard.cli.arguments import AsJson, BaseUrl, GuardName, Model
from llmguard.cli.log_commands import Meta, OfStatus, Since, Until, Where, search
from llmguard.cli.rejudging import Asked, rejudge
from llmguard.cli.replay_view import replay_json, replay_view, rerun_json, rerun_view
from llmguard.cli.rerunning import Live, rerun
from llmguard.cli.terminal import NEGATIVE, emit, say, styled
from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.operations.backtest.backtesting import DECIDED
from llmguard.operations.backtest.summary import Summary
from llmguard.operations.find_guard import Target
from llmguard.replay.what_if import Same

Gate: TypeAlias = Literal["newly-failing", "changed", "undetermined", "assumed-failing", "worse"]
A_CALL = "reason!=drift"
"""A drift alarm is an outcome too, but nothing was asked that could be judged again."""

OF_EVIDENCE: frozenset[Gate] = frozenset(("newly-failing", "changed", "worse"))
SIGNIFICANT = 0.05


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
        typer.Option(
            "--fail-on", metavar="KIND", help="newly-failing, changed, undetermined, assumed-failing; --live: worse."
        ),
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
    window = _window(since, until, meta, status, where)
    if live:
        told = rerun(
            Target(named=target, name=name),
            log,
            window,
            Live(
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
            ),
            listed,
        )
        summary = told.summary
        _tell(as_json, rerun_json(told), rerun_view(told))
    else:
        _refuse_without_live(against=against, log_to=log_to, max_usd=max_usd)
        asked = Asked(
            target=Target(named=target, name=name, model=model, base_url=base_url),
            log=log,
            query=[since, until, sorted(meta or []), sorted(status or []), where],
            window=window,
            same=_same(same),
            fresh=tuple(sorted(fresh or ())),
            workers=workers,
            timeout_s=timeout_s,
            state=state,
            restart=restart,
        )
        guard, looked_at, summary = rejudge(asked, listed)
        _tell(as_json, replay_json(guard, looked_at, summary), replay_view(guard, looked_at, summary))
    if _closed(summary, gates):
        raise typer.Exit(NEGATIVE)


def _gates(given: Sequence[str], live: bool) -> tuple[Gate, ...]:
    known = [each for each in get_args(Gate) if live or each != "worse"]
    for each in given:
        if each not in known:
            raise UsageError(f"--fail-on {each!r} is none. It takes: {', '.join(known)}.")
    return cast("tuple[Gate, ...]", tuple(given))


def _same(given: str) -> Same:
    if given not in get_args(Same):
        raise UsageError(f"--same {given!r} is none. It is request or slot.")
    return cast(Same, given)


def _refuse_without_live(**given: object) -> None:
    for name, value in given.items():
        if value is not None:
            raise UsageError(f"--{name.replace('_', '-')} goes with --live, which asks a model.")


def _window(
    since: str | None, until: str | None, meta: list[str] | None, status: list[str] | None, where: str | None
) -> Json:
    """Which calls are looked at, with their moments fixed: of a replay that goes on, those of its first run."""
    found = search(since, until, meta, status, None, where)
    for each in found["status"]:
        if each not in DECIDED:
            raise UsageError(
                f"--status {each!r}: such a call has no outcome to compare. There is: {', '.join(DECIDED)}."
            )
    return {
        **found,
        "status": found["status"] or list(DECIDED),
        "until": found["until"] or time.time(),
        "where": f"{found['where']} and {A_CALL}" if found["where"] else A_CALL,
    }


def _tell(as_json: bool, data: Json, lines: Iterable[RenderableType]) -> None:
    if as_json:
        emit(data)
    else:
        say(*lines)


def _closed(summary: Summary, gates: Sequence[Gate]) -> bool:
    """Whether a gate found what it is there for. One that looks for evidence, and has none to look at, is closed too."""
    kinds = summary.evidence.kinds
    found: dict[Gate, int] = {
        "newly-failing": kinds["newly_failing"],
        "changed": kinds["changed"],
        "undetermined": summary.undetermined,
        "assumed-failing": summary.assumed.kinds["newly_failing"],
        "worse": is_worse(summary),
    }
    if summary.total and not summary.evidence.total and set(gates) & OF_EVIDENCE:
        blind = ", ".join(f"--fail-on {gate}" for gate in gates if gate in OF_EVIDENCE)
        say(
            styled(f"nothing was judged for certain, so {blind} has nothing to go by: exit status 1", "red"),
            stderr=True,
        )
        return True
    return any(found[gate] for gate in gates)


def is_worse(summary: Summary) -> bool:
    """Whether fewer pass, and not by chance (exact paired test, two-sided, 5 %)."""
    kinds = summary.evidence.kinds
    return kinds["newly_failing"] > kinds["newly_passing"] and summary.evidence.p_value < SIGNIFICANT
