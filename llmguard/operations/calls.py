"""Past calls of a log: a list, the newest as they arrive, one in full, and totals by guard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Unpack

from llmguard.core.canonical import Json
from llmguard.core.errors import LogError
from llmguard.core.outcome import Outcome
from llmguard.core.prices import cost_usd
from llmguard.core.record import Record
from llmguard.core.safe_text import safe_line
from llmguard.log import GuardStats, OutcomeStore, Review
from llmguard.log.query import Query, QueryOptions, query_of
from llmguard.log.rows import Row
from llmguard.operations.outcome_json import iso_time, record_json, review_json, usage_json

POLL_S = 0.5
"""Between two looks at a log that is followed: what a person takes for at once."""
LATE_S = 10.0
"""How long after its decision an outcome may be written, and is still noticed when a log is followed."""
PROBLEM_CHARS = 200

# ------------------------------------------------------------------------------------------------- lists


@dataclass(frozen=True, slots=True, kw_only=True)
class CallList:
    """Calls as a list shows them."""

    rows: tuple[Row, ...]

    def to_json(self) -> list[dict[str, Json]]:
        """What `llmguard log list --json` prints, one line each."""
        return [call_json(row) for row in self.rows]


def list_calls(
    log: OutcomeStore, query: Query | None = None, *, limit: int | None = 20, **options: Unpack[QueryOptions]
) -> CallList:
    """The newest calls that match, the newest first. `options`: the fields of a `Query`.

    >>> from llmguard import Guard, constant
    >>> guard = Guard("ask", prompt="?", schema={"type": "integer"}, models=[], fallback=[constant(0)], log=None)
    >>> answered = guard.run()
    >>> [call["status"] for call in list_calls(guard.log, guard="ask").to_json()]
    ['fallback']
    """
    return CallList(rows=tuple(log.find(query, limit=limit, **options)))


def call_json(row: Row) -> dict[str, Json]:
    """One call of a list."""
    return {
        "id": row.id,
        "guard": row.guard,
        "status": row.status,
        "source": row.source,
        "started_at": iso_time(row.started_at),
        "duration_s": row.duration_s,
        "requests": row.requests,
        "usage": usage_json(row.usage),
        "cost_usd": cost_of_call(row),
        "failures": list(row.failures),
        "rules": list(row.rules),
        "models": list(row.models),
        "meta": row.meta,
        "value": row.value,
        "review_probability": row.review_probability,
        "review_reason": row.review_reason,
        "review": row.review,
        "fingerprint": row.fingerprint,
    }


def cost_of_call(row: Row) -> float | None:
    """US dollars: what the provider reported, else the present price of the call's model; None where it is unknown."""
    if row.cost_usd is not None or not row.requests:
        return row.cost_usd or 0.0
    return cost_usd(row.models[0], row.usage) if len(row.models) == 1 else None


def first_problem(log: OutcomeStore, row: Row) -> str:
    """The first thing that went wrong in a call, on one line; empty where nothing did."""
    record = log.get(row.id) if row.failures or row.rules else None
    return _first_problem(record.outcome) if record and record.outcome else ""


def _first_problem(outcome: Outcome[Json]) -> str:
    failed = next((attempt for attempt in outcome.attempts if attempt.failure is not None), None)
    if failed is not None:
        problem = str(failed.violations[0]) if failed.violations else failed.message or failed.failure or ""
        return safe_line(problem, PROBLEM_CHARS)
    return safe_line(str(outcome.violations[0]), PROBLEM_CHARS) if outcome.violations else ""


def follow_calls(
    log: OutcomeStore,
    query: Query | None = None,
    *,
    backlog: int = 10,
    sleep: Callable[[float], None] = time.sleep,
    **options: Unpack[QueryOptions],
) -> Iterator[Row]:
    """The newest calls, at most `backlog`, the newest last; then each outcome as it is written, without end.

    Looks at the outcomes of the last seconds again and again, and yields those that were not there before, because an
    outcome may be written some time after it was decided.

    >>> from llmguard import Guard, constant
    >>> guard = Guard("ask", prompt="?", schema={"type": "integer"}, models=[], fallback=[constant(0)], log=None)
    >>> answered = guard.run()
    >>> next(follow_calls(guard.log)).status
    'fallback'
    """
    query = query_of(query, options)
    known = {row.id for row in _recently_decided(log, query)}
    rows = log.find(query, limit=backlog) if backlog else []
    yield from reversed(rows)
    known.update(row.id for row in rows if row.finished_at)
    while True:
        recent = _recently_decided(log, query)
        yield from (row for row in recent if row.id not in known)
        known = {row.id for row in recent}
        sleep(POLL_S)


def _recently_decided(log: OutcomeStore, query: Query) -> list[Row]:
    return log.find(query, finished_since=time.time() - LATE_S, newest_first=False, limit=None)


# ------------------------------------------------------------------------------------------------- one call


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReport:
    """Everything that the log has of one call. `rungs`: the names of its guard's ladder."""

    record: Record
    finished_at: float | None
    reviews: tuple[Review, ...] = ()
    rungs: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """What `llmguard log show --json` prints."""
        reviews: list[Json] = [review_json(each) for each in self.reviews]
        return record_json(self.record, self.finished_at) | {"reviews": reviews}


def show_call(log: OutcomeStore, call_id: str) -> CallReport:
    """One call with its reviews.

    >>> from llmguard import Guard, constant
    >>> guard = Guard("ask", prompt="?", schema={"type": "integer"}, models=[], fallback=[constant(0)], log=None)
    >>> report = show_call(guard.log, guard.run().id)
    >>> report.rungs, report.to_json()["status"]
    (('constant',), 'fallback')

    Raises:
        LogError: the log has no such call.
    """
    record = recorded_call(log, call_id)
    rows = log.find(where=f'id="{call_id}"', limit=1)
    explained = log.explain(record.opening.fingerprint)
    return CallReport(
        record=record,
        finished_at=rows[0].finished_at if rows else None,
        reviews=tuple(log.reviews_of(call_id)),
        rungs=tuple(rung_names(explained["description"])) if explained else (),
    )


def recorded_call(log: OutcomeStore, call_id: str) -> Record:
    """The record of a call; LogError where the log has none."""
    record = log.get(call_id)
    if record is None:
        raise LogError(f"the call {call_id!r} is no longer in the log.")
    return record


def rung_names(description: Json) -> list[str]:
    """The ladder of a guard as the log describes it: `[{"model": "m", …}, {"function": {"function": "shop.rules", …}}]`."""
    return [_rung_name(rung) for rung in (description or {}).get("ladder", ())]


def _rung_name(rung: Json) -> str:
    kind = next(iter(rung), "")
    if kind == "function" and isinstance(rung[kind], dict):
        return str(rung[kind].get("function", kind)).rpartition(".")[2]
    return str(rung[kind]) if kind == "model" else kind


# ------------------------------------------------------------------------------------------------- totals


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardTotals:
    """The calls of one guard. Costs are at present prices; `unpriced_models` are those whose price is unknown."""

    stats: GuardStats
    requests: int
    cost_usd: float
    unpriced_models: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        stats = self.stats
        return {
            "guard": stats.guard,
            "calls": stats.calls,
            "statuses": stats.statuses,
            "failures": stats.failures,
            "requests": self.requests,
            "mean_requests": round(self.requests / stats.calls, 3) if stats.calls else 0.0,
            "usage": usage_json(stats.usage),
            "cost_usd": self.cost_usd,
            "unpriced_models": list(self.unpriced_models),
            "median_s": stats.median_s,
            "p95_s": stats.p95_s,
            "longest_s": stats.longest_s,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTotals:
    """Totals of all guards of a log."""

    guards: tuple[GuardTotals, ...]

    def to_json(self) -> dict[str, Json]:
        """What `llmguard log stats --json` prints."""
        guards: list[Json] = [each.to_json() for each in self.guards]
        return {"guards": guards}


def total_calls(log: OutcomeStore, query: Query | None = None, **options: Unpack[QueryOptions]) -> CallTotals:
    """Totals by guard: how calls ended, what failed, requests, tokens, cost and latency.

    >>> from llmguard import Guard, constant
    >>> guard = Guard("ask", prompt="?", schema={"type": "integer"}, models=[], fallback=[constant(0)], log=None)
    >>> answers = [guard.run(), guard.run()]
    >>> total_calls(guard.log).to_json()["guards"][0]["statuses"]
    {'fallback': 2}
    """
    return CallTotals(guards=tuple(map(_guard_totals, log.stats(query, **options))))


def _guard_totals(stats: GuardStats) -> GuardTotals:
    costs = {use.model: cost_usd(use.model, use.usage) for use in stats.models if use.usage.total_tokens}
    return GuardTotals(
        stats=stats,
        requests=sum(use.requests for use in stats.models),
        cost_usd=sum(cost for cost in costs.values() if cost is not None),
        unpriced_models=tuple(model for model, cost in costs.items() if cost is None),
    )
