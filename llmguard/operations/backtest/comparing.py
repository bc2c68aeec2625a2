"""Ask a model again with the inputs of logged calls, and compare: what a new prompt, model or guard would change."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Unpack

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.messages import NO_USAGE
from llmguard.core.model import Model
from llmguard.core.outcome import Outcome
from llmguard.core.prices import cost_usd
from llmguard.core.record import Record
from llmguard.engine.ladder import Ladder, ModelRung
from llmguard.engine.policy import fingerprint
from llmguard.guard.guard import Guard
from llmguard.log import OutcomeStore, locate
from llmguard.operations.backtest.backtesting import FOLDER, OnProgress, ids_of, ignore_progress, replayable
from llmguard.operations.backtest.comparison import (
    REPLAY_OF,
    Allowance,
    Comparators,
    FieldAgreement,
    call_again,
    compare_pair,
    sample_ids,
)
from llmguard.operations.backtest.replay_result import DECIDED, input_error
from llmguard.operations.backtest.summary import ExactRate, ReplaySummary, SummaryBuilder
from llmguard.operations.find_guard import logging_to
from llmguard.operations.logged_calls import CallsOfGuard


@dataclass(frozen=True, slots=True, kw_only=True)
class CostEstimate:
    """The new calls before they are made. `usd` is what the first model would cost for the tokens of the logged calls,
    `highest_usd` that of the dearest call; 0 where no price is known."""

    guard: str
    calls: int
    models: tuple[str, ...]
    usd: float
    highest_usd: float
    max_usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonReport:
    """The guard that was called, the log of the new calls, and their results. `refused_inputs` calls had inputs that the
    guard does not take; `left_out` were not made, to keep within `max_usd`; `answered_earlier` had been made before."""

    guard: str
    fingerprint: str
    log: str
    spent_usd: float
    refused_inputs: int
    left_out: int
    answered_earlier: int
    fields: dict[str, ExactRate]
    summary: ReplaySummary

    def to_json(self) -> dict[str, Json]:
        """What `llmguard compare --json` prints: `before` is what was logged, `today` the new outcome."""
        return {
            "guard": self.guard,
            "fingerprint": self.fingerprint,
            "log": self.log,
            "spent_usd": self.spent_usd,
            "refused_inputs": self.refused_inputs,
            "left_out": self.left_out,
            "answered_earlier": self.answered_earlier,
            "fields": {pointer: rate.to_json() for pointer, rate in self.fields.items()},
            **self.summary.to_json(),
        }


@dataclass(slots=True)
class _Pairs:
    """Adds up pairs as they come."""

    comparators: Comparators
    summary: SummaryBuilder
    fields: FieldAgreement = field(default_factory=FieldAgreement)

    def add(self, record: Record, outcome: Outcome[Json]) -> None:
        result, fields = compare_pair(record, outcome, self.comparators)
        self.summary.add(result)
        self.fields.add(fields)


def compare(
    guard: Guard[Any],
    log: OutcomeStore | None = None,
    *,
    model: Model | None = None,
    against: Guard[Any] | None = None,
    sample: int = 200,
    seed: int = 1,
    log_to: str | None = None,
    max_usd: float | None = None,
    parallel: int = 4,
    restart: bool = False,
    listed: int = 20,
    approve: Callable[[CostEstimate], object] | None = None,
    on_progress: OnProgress = ignore_progress,
    **calls: Unpack[CallsOfGuard],
) -> ComparisonReport:
    """Call a guard with the inputs of a random sample of logged calls, and compare the outcomes. This asks its models.

    Args:
        guard: its logged calls are found by its name.
        log: of the logged calls; else the guard's own.
        model: the new calls ask it instead of the guard's model rungs.
        against: the guard that makes the new calls, instead of `guard`.
        sample: how many calls, chosen by `seed`.
        log_to: URL of the log of the new calls; calls that are there already are not made again, unless `restart`.
        max_usd: spend no more.
        parallel: how many calls at a time.
        listed: how many results of each kind the report lists.
        approve: called with the estimate before the first call; it may raise.
        calls: `since=`, `until=`, `meta=`, `status=`, `where=`; all calls that have an outcome, if not given.

    Raises:
        UsageError: an argument is invalid, or `max_usd` is given and a price is not known.

    >>> from llmguard import Guard
    >>> from llmguard.testing import ScriptedModel
    >>> guard = Guard("age", prompt="How old is {{ who }}?", schema=int, models=[ScriptedModel(["36", "41"])],
    ...               log=None)
    >>> [guard(who=who) for who in ("Ada", "Bob")]
    [36, 41]
    >>> report = compare(guard, model=ScriptedModel(["36", "36"], name="small"), parallel=1, log_to="sqlite:///ages.db")
    >>> report.fields[""].count, report.fields[""].total, dict(report.summary.evidence.kinds)["same"]
    (1, 2, 1)
    """
    log = guard.log if log is None else log
    window = {**replayable(calls), "guard": guard.name}
    records = log.records_of(sample_ids(ids_of(log, window), sample, seed), evidence=False)
    new = _logging_apart(_answering(guard, model, against), log_to or _default_log(guard), log)
    fit = [record for record in records if not input_error(new.policy, record.opening.inputs)]
    previous = {} if restart else _previous_outcomes(new)
    pairs = _Pairs(Comparators.of(guard.policy), SummaryBuilder(listed))
    for record in fit:
        if record.opening.id in previous:
            pairs.add(record, previous[record.opening.id])
    missing = [record for record in fit if record.opening.id not in previous]
    allowance, left = Allowance(max_usd, 0.0), 0
    if missing:
        estimate = _estimate(new, missing, max_usd)
        if approve is not None:
            approve(estimate)
        allowance.highest_usd = estimate.highest_usd
        left = _call(new, missing, allowance, parallel, pairs, on_progress)
    return ComparisonReport(
        guard=new.name,
        fingerprint=new.fingerprint,
        log=_url_of(new),
        summary=pairs.summary.summary(),
        fields=pairs.fields.rates(),
        spent_usd=allowance.spent_usd,
        refused_inputs=len(records) - len(fit),
        left_out=left,
        answered_earlier=len(fit) - len(missing),
    )


def _url_of(guard: Guard[Any]) -> str:
    assert guard.log.url is not None, "the new calls have a log on the disk"
    return guard.log.url


# ------------------------------------------------------------------------------------------------- the guard that answers


def _answering(guard: Guard[Any], model: Model | None, against: Guard[Any] | None) -> Guard[Any]:
    if against is not None:
        return against
    return guard if model is None else with_model(guard, model)


def _logging_apart(guard: Guard[Any], url: str, log: OutcomeStore) -> Guard[Any]:
    if log.url is not None and locate(url) == locate(log.url):
        raise UsageError("--log-to names the log that is replayed: the new calls need one of their own.")
    return logging_to(guard, url)


def _default_log(guard: Guard[Any]) -> str:
    FOLDER.mkdir(exist_ok=True)
    return f"sqlite:///{FOLDER}/replay-{guard.name}-live.db"


def with_model(guard: Guard[Any], model: Model) -> Guard[Any]:
    """The same guard with one model rung, its first, which asks `model`; the rungs without a model stay."""
    ladder = guard.policy.ladder
    first = next((rung for rung in ladder if isinstance(rung, ModelRung)), None)
    if first is None:
        raise UsageError(f"guard {guard.name!r} has no model rung that --model {model.name!r} could replace.")
    rungs: Ladder = (
        replace(first, model=model, variants=()),
        *(rung for rung in ladder if not isinstance(rung, ModelRung)),
    )
    changed, policy = copy.copy(guard), replace(guard.policy, ladder=rungs)
    changed.policy = replace(policy, fingerprint=fingerprint(policy))
    return changed


# ------------------------------------------------------------------------------------------------- the new calls


def _estimate(guard: Guard[Any], records: Sequence[Record], max_usd: float | None) -> CostEstimate:
    models = tuple(rung.model.name for rung in guard.policy.ladder if isinstance(rung, ModelRung))
    unpriced = next((name for name in models if cost_usd(name, NO_USAGE) is None), None)
    if max_usd is not None and unpriced is not None:
        raise UsageError(
            f"--max-usd cannot be kept: no price is known for {unpriced!r}. Leave it out; --sample bounds it."
        )
    usages = [record.outcome.usage for record in records if record.outcome]
    costs = [cost_usd(models[0], usage) or 0.0 for usage in usages] if models else []
    return CostEstimate(
        guard=guard.name,
        calls=len(records),
        models=models,
        usd=sum(costs),
        highest_usd=max(costs, default=0.0),
        max_usd=max_usd,
    )


def _call(
    guard: Guard[Any],
    records: Sequence[Record],
    allowance: Allowance,
    parallel: int,
    pairs: _Pairs,
    on_progress: OnProgress,
) -> int:
    """How many of the records were left out to keep within the allowance."""
    done = 0
    on_progress(done, len(records))

    def on_outcome(record: Record, outcome: Outcome[Json]) -> None:
        nonlocal done
        pairs.add(record, outcome)
        done += 1
        on_progress(done, len(records))

    return call_again(guard, records, allowance, parallel, on_outcome)


def _previous_outcomes(guard: Guard[Any]) -> dict[str, Outcome[Json]]:
    """What this guard answered in an earlier run, by the id of the logged call."""
    log = guard.log
    rows = log.find(
        guard=guard.name, where=f"fingerprint={guard.fingerprint}", status=DECIDED, limit=None, newest_first=False
    )
    ids = {row.id: row.meta[REPLAY_OF] for row in rows if REPLAY_OF in (row.meta or {})}
    return {ids[each.opening.id]: each.outcome for each in log.records_of(list(ids)) if each.outcome}
