"""The calls that wait for a review, as a reviewer may see them: blind, without anything on how sure the model was."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Unpack

from llmguard.core.canonical import Json
from llmguard.core.record import Record
from llmguard.log import OutcomeStore
from llmguard.log.query import Query, QueryOptions, query_of
from llmguard.log.reviews import judged_value
from llmguard.operations.outcome_json import iso_time

TASK_KEYS = ("id", "guard", "started_at", "inputs", "candidate")
"""Keys of a task beside those of the review that is to be filled in."""

UNREVIEWED = 'reason=audit and review=""'
"""The condition that matches calls drawn for an audit and not reviewed yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewTask:
    """One call to review. It has neither status, votes nor other attempts: these would tell how sure the model was.

    `candidate` is the value to judge, as a tuple of one; empty where the call gave none.
    """

    id: str
    guard: str
    started_at: float
    inputs: Json
    candidate: tuple[Json, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """A line that `llmguard log review --from` accepts once its verdict is filled in."""
        return {
            "id": self.id,
            "guard": self.guard,
            "started_at": iso_time(self.started_at),
            "inputs": self.inputs,
            **({"candidate": self.candidate[0]} if self.candidate else {}),
            "verdict": None,
            "blind": True,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewQueue:
    """Calls to review, the oldest first."""

    tasks: tuple[ReviewTask, ...]

    def to_json(self) -> list[dict[str, Json]]:
        """What `llmguard log list --unreviewed --json` prints, one line each."""
        return [task.to_json() for task in self.tasks]


def review_queue(
    log: OutcomeStore, query: Query | None = None, *, limit: int = 20, **options: Unpack[QueryOptions]
) -> ReviewQueue:
    """The oldest calls that match, were drawn for an audit, have a value to judge and no review yet.

    `options`: the fields of a `Query`.

    >>> from llmguard import Guard
    >>> from llmguard.testing import ScriptedModel
    >>> guard = Guard("size", prompt="?", schema={"enum": ["S", "L"]}, models=[ScriptedModel(['"L"'])], audit=1.0, log=None)
    >>> accepted = guard.run()
    >>> [task.candidate for task in review_queue(guard.log).tasks]
    [('L',)]
    """
    query = query_of(query, options)
    where = f"{query.where} and {UNREVIEWED}" if query.where else UNREVIEWED
    records = (log.get(row.id) for row in log.find(query, where=where, limit=None, newest_first=False))
    tasks = (review_task(each) for each in records if each and each.outcome)
    return ReviewQueue(tasks=tuple(islice((task for task in tasks if task.candidate), limit)))


def review_task(record: Record) -> ReviewTask:
    """What a reviewer of this call may see."""
    opening = record.opening
    return ReviewTask(
        id=opening.id,
        guard=opening.guard,
        started_at=opening.started_at,
        inputs=opening.inputs,
        candidate=judged_value(record.outcome) if record.outcome else (),
    )
