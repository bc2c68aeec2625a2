"""`llmguard replay --live`: the inputs of a sample of logged calls, answered anew by a model, and compared."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import typer

from llmguard.cli.outcome_view import dollars
from llmguard.cli.rejudging import STATES, guard_and_log, ids_of, progress
from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.messages import NO_USAGE
from llmguard.core.outcome import Outcome
from llmguard.core.prices import cost_usd
from llmguard.core.record import Record
from llmguard.core.safe_text import safe_line
from llmguard.engine.ladder import Ladder, ModelRung
from llmguard.engine.policy import fingerprint
from llmguard.guard.guard import Guard
from llmguard.log import OutcomeLog
from llmguard.log.sqlite.database import path_of
from llmguard.models.openai.model import OpenAIModel
from llmguard.operations.backtest.backtesting import DECIDED, inputs_refused
from llmguard.operations.backtest.comparison import REPLAY_OF, Allowance, Comparators, Fields, answered, drawn, paired
from llmguard.operations.backtest.summary import Rate, Summary, Tally
from llmguard.operations.find_guard import Target, find_guard, logging_to


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """Who answers anew, how many calls, and what that may cost."""

    model: str | None = None
    base_url: str | None = None
    against: str | None = None
    sample: int = 200
    seed: int = 1
    log_to: str | None = None
    max_usd: float | None = None
    parallel: int = 4
    yes: bool = False
    restart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """What became of it. `refused` calls had inputs that the guard does not take; `left` were not made, to keep within
    --max-usd; `earlier` had been answered by a run before."""

    guard: Guard[Json]
    log: str
    summary: Summary
    fields: dict[str, Rate]
    spent_usd: float
    refused: int
    left: int
    earlier: int


@dataclass(slots=True)
class _Pairs:
    """Adds up pairs as they come."""

    comparators: Comparators
    tally: Tally
    fields: Fields = field(default_factory=Fields)

    def add(self, record: Record, outcome: Outcome[Json]) -> None:
        judged, alike = paired(record, outcome, self.comparators)
        self.tally.add(judged)
        self.fields.add(alike)


def rerun(target: Target, log_url: str | None, window: Json, live: Live, keep: int) -> Rerun:
    """A random sample of the calls that are looked at, answered anew."""
    old, log = guard_and_log(_asking_of(target, live), log_url)
    records = _sample(log, {**window, "guard": old.name}, live)
    new = _answering(old, live, log)
    fit = [record for record in records if not inputs_refused(new.policy, record.opening.inputs)]
    pairs = _Pairs(Comparators.of(old.policy), Tally(keep))
    told = {} if live.restart else _told_before(new)
    for record in fit:
        if record.opening.id in told:
            pairs.add(record, told[record.opening.id])
    to_ask = [record for record in fit if record.opening.id not in told]
    spent_usd, left = _ask(new, to_ask, live, pairs) if to_ask else (0.0, 0)
    return Rerun(
        guard=new,
        log=f"sqlite:///{_log_of(new).path}",
        summary=pairs.tally.summary(),
        fields=pairs.fields.rates(),
        spent_usd=spent_usd,
        refused=len(records) - len(fit),
        left=left,
        earlier=len(fit) - len(to_ask),
    )


def _sample(log: OutcomeLog, window: Json, live: Live) -> list[Record]:
    ids = drawn(ids_of(log, window), live.sample, live.seed)
    return log.records_of(ids, evidence=False)


def _log_of(guard: Guard[Json]) -> OutcomeLog:
    assert isinstance(guard.log, OutcomeLog), "the new calls have a log on the disk"
    return guard.log


# ------------------------------------------------------------------------------------------------- who answers


def _answering(old: Guard[Json], live: Live, log: OutcomeLog) -> Guard[Json]:
    """The guard that answers anew, with a log of its own."""
    url = live.log_to or _default_log(old)
    if path_of(url).resolve() == log.path.resolve():
        raise UsageError("--log-to names the log that is replayed: the new calls need one of their own.")
    if live.against is not None:
        return logging_to(find_guard(_asking_of(Target(named=live.against), live)), url)
    return logging_to(asking(old, live.model, live.base_url) if live.model else old, url)


def _asking_of(target: Target, live: Live) -> Target:
    """A folder's guard has the model that it is given; one of a module has its own."""
    return target if ":" in target.named else replace(target, model=live.model, base_url=live.base_url)


def _default_log(old: Guard[Json]) -> str:
    STATES.mkdir(exist_ok=True)
    return f"sqlite:///{STATES}/replay-{old.name}-live.db"


def asking(guard: Guard[Json], model: str, base_url: str | None) -> Guard[Json]:
    """The same guard with one model rung, its first, which asks `model`; the rungs without a model stay."""
    ladder = guard.policy.ladder
    first = next((rung for rung in ladder if isinstance(rung, ModelRung)), None)
    if first is None:
        raise UsageError(f"guard {guard.name!r} has no model rung, so --model {model!r} has nothing to stand in for.")
    asked = replace(first, model=prepared(model, base_url), variants=())
    rungs: Ladder = (asked, *(rung for rung in ladder if not isinstance(rung, ModelRung)))
    moved, policy = copy.copy(guard), replace(guard.policy, ladder=rungs)
    moved.policy = replace(policy, fingerprint=fingerprint(policy))
    return moved


def prepared(name: str, base_url: str | None) -> OpenAIModel:
    model = OpenAIModel(name, base_url=base_url)
    model.prepare()
    return model


# ------------------------------------------------------------------------------------------------- what it costs


def _ask(guard: Guard[Json], records: Sequence[Record], live: Live, pairs: _Pairs) -> tuple[float, int]:
    """US dollars spent, and how many of the records were left out to keep within --max-usd."""
    models = [rung.model.name for rung in guard.policy.ladder if isinstance(rung, ModelRung)]
    dearest, whole = _estimate(models, records)
    unknown = next((name for name in models if cost_usd(name, NO_USAGE) is None), None)
    if live.max_usd is not None and unknown is not None:
        raise UsageError(
            f"--max-usd cannot be kept: no price is known for {unknown!r}. Leave it out; --sample bounds it."
        )
    if not live.yes:
        _confirm(guard.name, len(records), models, whole, live.max_usd)
    allowance = Allowance(live.max_usd, dearest)
    with progress("asking", len(records)) as advance:

        def done(record: Record, outcome: Outcome[Json]) -> None:
            pairs.add(record, outcome)
            advance(1)

        left = answered(guard, records, allowance, live.parallel, done)
    return allowance.spent_usd, left


def _estimate(models: Sequence[str], records: Sequence[Record]) -> tuple[float, float]:
    """The dearest call and all of them, in US dollars, if the first model needs the tokens of the logged calls."""
    used = [record.outcome.usage for record in records if record.outcome]
    costs = [cost_usd(models[0], usage) or 0.0 for usage in used] if models else []
    return max(costs, default=0.0), sum(costs)


def _confirm(name: str, calls: int, models: Sequence[str], usd: float, max_usd: float | None) -> None:
    """Asks the person at the terminal; where there is none, --yes has to say it."""
    about = f", about {dollars(usd)} by the tokens of the logged calls" if usd else ""
    limit = f", at most {dollars(max_usd)}" if max_usd is not None else ""
    question = f"{calls:,} calls of guard {name!r} to {', '.join(models) or 'no model'}{about}{limit}"
    if not sys.stdin.isatty():
        raise UsageError(f"--live would make {question}. Say --yes where nobody can be asked.")
    typer.confirm(f"{safe_line(question)}. Go on?", abort=True, err=True)


def _told_before(guard: Guard[Json]) -> dict[str, Outcome[Json]]:
    """What this guard answered in an earlier run, by the id of the logged call."""
    log = _log_of(guard)
    rows = log.find(
        guard=guard.name, where=f"fingerprint={guard.fingerprint}", status=DECIDED, limit=None, newest_first=False
    )
    ids = {row.id: row.meta[REPLAY_OF] for row in rows if REPLAY_OF in (row.meta or {})}
    return {ids[found.opening.id]: found.outcome for found in log.records_of(list(ids)) if found.outcome}
