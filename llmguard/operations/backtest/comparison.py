"""The same inputs, new replies: a sample of logged calls answered anew by another model or prompt, and compared.

The sample is drawn by a hash of seed and id: the same whatever else is in the log. Values are compared field by field,
by the guard's own comparators, exactly where it has none. A pair counts once, so the test of the share that passes is
the paired one.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from llmguard.core.canonical import Json, digest_bytes, encode
from llmguard.core.messages import TRANSPORT
from llmguard.core.outcome import Outcome
from llmguard.core.record import Record
from llmguard.engine.ladder import ModelRung
from llmguard.engine.policy import Policy
from llmguard.guard.guard import Guard, price_of
from llmguard.operations.backtest.backtesting import WHY_CHARS, Kind, Rejudged, explained
from llmguard.operations.backtest.summary import Rate
from llmguard.replay.what_if import WhatIf
from llmguard.voting import vote_on
from llmguard.voting.record_vote import Groups
from llmguard.voting.votes import Comparator

UNHEARD = TRANSPORT | {"auth", "not_found", "deadline", "budget"}
"""A call whose requests all ended so says nothing of the model: it is no evidence."""

REPLAY_OF = "replay_of"
"""The key in a new call's meta under which the id of the logged one stands."""


def drawn(ids: Iterable[str], size: int, seed: int) -> list[str]:
    """`size` of the ids, each as likely as any other; a call is drawn or not whatever is logged beside it, but for the
    last places.

    >>> drawn(["a", "b", "c", "d"], 2, seed=1) == drawn(["d", "c", "b", "a"], 2, seed=1)
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

    def alike(self, one: Json, other: Json) -> dict[str, bool]:
        """For each field, by JSON Pointer, whether both values say the same.

        >>> Comparators().alike({"a": 1, "b": "x"}, {"a": 1, "b": "y"})
        {'/a': True, '/b': False}
        """
        votes = vote_on((one, other), self.fields, self.together).fields
        return {pointer: vote.votes == 2 for pointer, vote in votes.items()}


@dataclass(slots=True)
class Fields:
    """In how many pairs, of those that passed both times, a field said the same."""

    seen: Counter[str] = field(default_factory=Counter)
    same: Counter[str] = field(default_factory=Counter)

    def add(self, alike: Mapping[str, bool]) -> None:
        self.seen.update(alike.keys())
        self.same.update(pointer for pointer, is_alike in alike.items() if is_alike)

    def rates(self) -> dict[str, Rate]:
        """Least alike first."""
        rates = {pointer: Rate(self.same[pointer], seen) for pointer, seen in self.seen.items()}
        return dict(sorted(rates.items(), key=lambda item: (item[1].share or 0.0, item[0])))


def paired(record: Record, after: Outcome[Json], comparators: Comparators) -> tuple[Rejudged, dict[str, bool]]:
    """A logged call and its new outcome, and which fields are alike where both passed."""
    before = record.outcome
    assert before is not None, "only a finished call can be compared"
    passed = before.is_from_model and after.is_from_model
    alike = comparators.alike(before.json, after.json) if passed else {}
    kind = _kind(before, after, alike)
    why, reason = _unheard(after) if kind == "undetermined" else explained(kind, before, WhatIf(outcome=after))
    judged = Rejudged(
        id=record.opening.id,
        started_at=record.opening.started_at,
        kind=kind,
        before=before.status,
        after="" if kind == "undetermined" else after.status,
        why=why,
        reason=reason,
        cost_before=price_of(before.attempts),
        cost_after=price_of(after.attempts),
        same_guard=record.opening.fingerprint == after.fingerprint,
    )
    return judged, alike


def _kind(before: Outcome[Json], after: Outcome[Json], alike: Mapping[str, bool]) -> Kind:
    passed, passes = before.is_from_model, after.is_from_model
    if not passes and after.attempts and all(each.failure in UNHEARD for each in after.attempts):
        return "undetermined"
    if passed != passes:
        return "newly_failing" if passed else "newly_passing"
    same = all(alike.values()) if passed else before.status == after.status
    return "same" if same else "changed"


def _unheard(after: Outcome[Json]) -> tuple[str, str]:
    last = after.attempts[-1]
    return f"the model did not answer: {last.failure}: {last.message}"[:WHY_CHARS], f"no reply: {last.failure}"


# ------------------------------------------------------------------------------------------------- asking


@dataclass(slots=True)
class Allowance:
    """What may be spent, in US dollars, and what is: a call begins only if the dearest so far, for it and for each that
    is under way, would still be within the limit."""

    limit_usd: float | None
    dearest_usd: float
    spent_usd: float = 0.0
    under_way: int = 0

    def take(self) -> bool:
        if self.limit_usd is not None and self.spent_usd + (self.under_way + 1) * self.dearest_usd > self.limit_usd:
            return False
        self.under_way += 1
        return True

    def pay(self, usd: float | None) -> None:
        self.under_way -= 1
        self.spent_usd += usd or 0.0
        self.dearest_usd = max(self.dearest_usd, usd or 0.0)


def answered(
    guard: Guard[Json],
    records: Sequence[Record],
    allowance: Allowance,
    parallel: int,
    done: Callable[[Record, Outcome[Json]], object],
) -> int:
    """Calls `guard` with the inputs of each record, `parallel` at a time; how many it was not called for, to keep within
    the allowance. Each new call is in the guard's log, with the id of the old one."""
    waiting = iter(records)
    left = asyncio.run(_serve_all(guard, waiting, allowance, parallel, done))
    return left + sum(1 for _ in waiting)


async def _serve_all(
    guard: Guard[Json],
    waiting: Iterator[Record],
    allowance: Allowance,
    parallel: int,
    done: Callable[[Record, Outcome[Json]], object],
) -> int:
    async def serve() -> int:
        for record in waiting:
            if not allowance.take():
                return 1
            outcome = await guard.arun(meta={REPLAY_OF: record.opening.id}, **record.opening.inputs)
            allowance.pay(price_of(outcome.attempts))
            done(record, replace(outcome, value=outcome.json))
        return 0

    return sum(await asyncio.gather(*(serve() for _ in range(parallel))))
