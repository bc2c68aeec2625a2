"""The same inputs, new replies: a sample of logged calls, each compared with the outcome of a new call.

The sample is chosen by a hash of seed and id: the same whatever else is in the log. Values are compared field by field,
by the guard's own comparators, exactly where it has none. A pair counts once, so the test of the share that passes is
the paired one.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llmguard.core.canonical import Json, digest_bytes, encode
from llmguard.core.messages import TRANSPORT
from llmguard.core.outcome import Outcome
from llmguard.core.record import Record
from llmguard.engine.ladder import ModelRung
from llmguard.engine.policy import Policy
from llmguard.guard.guard import Guard, total_cost
from llmguard.operations.backtest.replay_result import WHY_CHARS, Kind, ReplayResult, explain_result
from llmguard.operations.backtest.summary import ExactRate
from llmguard.replay.what_if import WhatIf
from llmguard.voting import vote_on
from llmguard.voting.record_vote import Groups
from llmguard.voting.votes import Comparator

NO_REPLY = TRANSPORT | {"auth", "not_found", "deadline", "budget"}
"""A call whose requests all ended so says nothing of the model: it is no evidence."""

REPLAY_OF = "replay_of"
"""The key in a new call's meta whose value is the id of the logged one."""


def sample_ids(ids: Iterable[str], size: int, seed: int) -> list[str]:
    """`size` of the ids, each as likely as any other. Which they are depends little on what else is in the log: another
    call with a smaller hash takes the place of the one with the largest.

    >>> sample_ids(["a", "b", "c", "d"], 2, seed=1) == sample_ids(["d", "c", "b", "a"], 2, seed=1)
    True
    """
    return heapq.nsmallest(size, ids, key=lambda each: digest_bytes(encode([seed, each])))


@dataclass(frozen=True, slots=True)
class Comparators:
    """How two values of a guard are compared."""

    fields: Mapping[str, Comparator] = field(default_factory=dict)
    together: Groups = ()

    @classmethod
    def of(cls, policy: Policy) -> Comparators:
        """Those of its first model rung that votes; exact where none does."""
        for rung in policy.ladder:
            consistency = getattr(rung, "consistency", None) if isinstance(rung, ModelRung) else None
            if consistency is not None:
                return cls(consistency.comparators, consistency.groups)
        return cls()

    def compare(self, one: Json, other: Json) -> dict[str, bool]:
        """For each field, by JSON Pointer, whether both values are equivalent.

        >>> Comparators().compare({"a": 1, "b": "x"}, {"a": 1, "b": "y"})
        {'/a': True, '/b': False}
        """
        votes = vote_on((one, other), self.fields, self.together).fields
        return {pointer: vote.votes == 2 for pointer, vote in votes.items()}


@dataclass(slots=True)
class FieldAgreement:
    """In how many pairs, of those that passed both times, a field was equivalent."""

    total: Counter[str] = field(default_factory=Counter)
    equivalent: Counter[str] = field(default_factory=Counter)

    def add(self, fields: Mapping[str, bool]) -> None:
        self.total.update(fields.keys())
        self.equivalent.update(pointer for pointer, is_equivalent in fields.items() if is_equivalent)

    def rates(self) -> dict[str, ExactRate]:
        """Least agreement first."""
        rates = {pointer: ExactRate(self.equivalent[pointer], total) for pointer, total in self.total.items()}
        return dict(sorted(rates.items(), key=lambda item: (item[1].share or 0.0, item[0])))


def compare_pair(
    record: Record, after: Outcome[Json], comparators: Comparators
) -> tuple[ReplayResult, dict[str, bool]]:
    """A logged call and its new outcome, and which fields are equivalent where both passed."""
    before = record.outcome
    assert before is not None, "only a finished call can be compared"
    passed = before.is_from_model and after.is_from_model
    fields = comparators.compare(before.json, after.json) if passed else {}
    kind = _kind(before, after, fields)
    why, reason = _no_reply(after) if kind == "undetermined" else explain_result(kind, before, WhatIf(outcome=after))
    result = ReplayResult(
        id=record.opening.id,
        started_at=record.opening.started_at,
        kind=kind,
        before=before.status,
        after="" if kind == "undetermined" else after.status,
        why=why,
        reason=reason,
        cost_before=total_cost(before.attempts),
        cost_after=total_cost(after.attempts),
        same_guard=record.opening.fingerprint == after.fingerprint,
    )
    return result, fields


def _kind(before: Outcome[Json], after: Outcome[Json], fields: Mapping[str, bool]) -> Kind:
    passed, passes = before.is_from_model, after.is_from_model
    if not passes and after.attempts and all(each.failure in NO_REPLY for each in after.attempts):
        return "undetermined"
    if passed != passes:
        return "newly_failing" if passed else "newly_passing"
    is_same = all(fields.values()) if passed else before.status == after.status
    return "same" if is_same else "changed"


def _no_reply(after: Outcome[Json]) -> tuple[str, str]:
    last = after.attempts[-1]
    return f"the model did not answer: {last.failure}: {last.message}"[:WHY_CHARS], f"no reply: {last.failure}"


# ------------------------------------------------------------------------------------------------- new calls


@dataclass(slots=True)
class Allowance:
    """What may be spent, in US dollars, and what is spent. A call begins only if the highest cost so far, for it and for
    each that is under way, would still be within the limit."""

    limit_usd: float | None
    highest_usd: float
    spent_usd: float = 0.0
    under_way: int = 0

    def reserve(self) -> bool:
        if self.limit_usd is not None and self.spent_usd + (self.under_way + 1) * self.highest_usd > self.limit_usd:
            return False
        self.under_way += 1
        return True

    def charge(self, usd: float | None) -> None:
        self.under_way -= 1
        self.spent_usd += usd or 0.0
        self.highest_usd = max(self.highest_usd, usd or 0.0)


def call_again(
    guard: Guard[Any],
    records: Sequence[Record],
    allowance: Allowance,
    parallel: int,
    on_outcome: Callable[[Record, Outcome[Json]], object],
) -> int:
    """Calls `guard` with the inputs of each record, `parallel` at a time; returns for how many it was not called, to keep
    within the allowance. Each new call is in the guard's log, with the id of the old one."""
    waiting = iter(records)
    left = asyncio.run(_call_all(guard, waiting, allowance, parallel, on_outcome))
    return left + sum(1 for _ in waiting)


async def _call_all(
    guard: Guard[Any],
    waiting: Iterator[Record],
    allowance: Allowance,
    parallel: int,
    on_outcome: Callable[[Record, Outcome[Json]], object],
) -> int:
    async def call_next() -> int:
        for record in waiting:
            if not allowance.reserve():
                return 1
            outcome = await guard.arun(meta={REPLAY_OF: record.opening.id}, **record.opening.inputs)
            allowance.charge(total_cost(outcome.attempts))
            on_outcome(record, replace(outcome, value=outcome.json))
        return 0

    return sum(await asyncio.gather(*(call_next() for _ in range(parallel))))
