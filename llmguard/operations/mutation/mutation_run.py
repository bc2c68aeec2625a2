"""Mutation testing over a log: which outcomes are used, and the report on all their mutants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nsmallest
from typing import Unpack

from llmguard.core.canonical import Json, digest
from llmguard.core.errors import LogError
from llmguard.core.outcome import MODEL_STATUSES, Violations
from llmguard.core.record import Record
from llmguard.engine.budget import Budget, BudgetTracker
from llmguard.engine.check import Check
from llmguard.engine.effect_checks import result_violations, run_effect_check
from llmguard.guard.guard import Guard
from llmguard.log import OutcomeStore, Review
from llmguard.log.query import Query
from llmguard.operations.datasets import Answer, answer_of
from llmguard.operations.logged_calls import CallsOfGuard, rows
from llmguard.operations.mutation.mutant_generation import mutants
from llmguard.operations.mutation.report import (
    MutationCounts,
    RunEffectCheck,
    TestedMutant,
    objections_to,
)
from llmguard.runtime.execution import CallExecution
from llmguard.runtime.sync_driver import drive


@dataclass(frozen=True, slots=True, kw_only=True)
class MutationReport:
    """What became of all mutants. `outcomes` were used; `refused` were not, because today's schema or checks refuse
    them without any error put in; `not_right` were not, because a reviewer did not call them right."""

    guard: str
    fingerprint: str
    outcomes: int
    refused: int
    not_right: int
    counts: MutationCounts

    @property
    def kill_rate(self) -> float | None:
        """The share of the errors that was caught, None where there were none."""
        return self.counts.whole.rate

    def to_json(self) -> dict[str, Json]:
        """What `llmguard mutate --json` prints."""
        return {
            "guard": self.guard,
            "fingerprint": self.fingerprint,
            "outcomes": self.outcomes,
            "refused_as_they_stand": self.refused,
            "reviewed_not_right": self.not_right,
            **self.counts.to_json(),
        }


def mutate(
    guard: Guard[Json],
    log: OutcomeStore,
    *,
    sample: int = 200,
    seed: int = 0,
    effects: bool = False,
    **calls: Unpack[CallsOfGuard],
) -> MutationReport:
    """Put errors into values that the guard accepted, and report which of them its schema and checks catch.

    Nothing is sent to a model and nothing is written to the log. At most `sample` outcomes are used, drawn by `seed`,
    which draws the errors too. `effects`: effect checks and judges run as well. `calls`: which outcomes.

    >>> from llmguard import Guard, check
    >>> from llmguard.testing import ScriptedModel
    >>> @check
    ... def is_polite(value, inputs):
    ...     return None if value["greeting"].startswith("Dear") else "expected a polite greeting"
    >>> schema = {"type": "object", "properties": {"greeting": {"type": "string"}, "urgent": {"type": "boolean"}}}
    >>> reply = '{"greeting": "Dear Ann", "urgent": false}'
    >>> guard = Guard("letter", prompt="?", schema=schema, models=[ScriptedModel([reply])], checks=[is_polite], log=None)
    >>> accepted = guard.run()
    >>> report = mutate(guard, guard.log)
    >>> report.outcomes, report.counts.unprotected
    (1, ['/urgent'])

    Raises:
        LogError: no outcome of the guard could be used.
    """
    accepted: CallsOfGuard = {**calls, "status": MODEL_STATUSES}
    query = Query(guard=guard.name, **accepted)
    run = _MutationRun(guard, seed, _run_effect_check if effects else None)
    for record in _sampled(log, query, sample, seed):
        run.add(record, log.reviews_of(record.opening.id))
    return run.report()


class _MutationRun:
    """Mutants of one outcome after the other."""

    def __init__(self, guard: Guard[Json], seed: int, run_effect_check: RunEffectCheck | None) -> None:
        self._guard, self._policy, self._seed = guard, guard.policy, seed
        self._run_effect_check = run_effect_check
        self._counts = MutationCounts.of(guard.policy, effects=run_effect_check is not None)
        self._used = self._refused = self._not_right = 0

    def add(self, record: Record, reviews: list[Review]) -> None:
        """An outcome that is not known to be right has no use: no error in it can be told from those it has already."""
        answer = answer_of(record.outcome, reviews) if record.outcome else "not finished"
        if not isinstance(answer, Answer):
            self._not_right += 1
            return
        inputs = record.opening.inputs
        before = objections_to(self._policy, answer.value, inputs, self._run_effect_check)
        if before.refusing:
            self._refused += 1
            return
        self._used += 1
        for mutant in mutants(answer.value, self._policy.schema, self._seed):
            objections = objections_to(self._policy, mutant.value, inputs, self._run_effect_check)
            tested = TestedMutant(id=record.opening.id, mutant=mutant, objections=objections.without(before.names))
            self._counts.add(tested)

    def report(self) -> MutationReport:
        if self._used:
            return MutationReport(
                guard=self._guard.name,
                fingerprint=self._guard.fingerprint,
                outcomes=self._used,
                refused=self._refused,
                not_right=self._not_right,
                counts=self._counts,
            )
        if self._refused:
            raise LogError(
                f"today's schema or checks of guard {self._guard.name!r} object to all {self._refused} outcomes before any"
                " error is put in, so that no error could be told apart. Use newer outcomes: --since."
            )
        raise LogError(f"there is no accepted outcome of guard {self._guard.name!r} in the log to put errors into.")


def _run_effect_check(check: Check, value: Json, inputs: Json) -> Violations:
    """The check runs as in a guarded call: inline, in a thread or on a loop. A judge sends requests to its model."""
    budget = BudgetTracker(Budget())
    flow = run_effect_check(check, value, inputs, "mutate", budget)
    return result_violations(check, drive(flow, CallExecution()))


def _sampled(log: OutcomeStore, query: Query, size: int, seed: int) -> Iterator[Record]:
    """Outcomes drawn by the seed from all that match, each as likely as any other."""
    chosen = nsmallest(size, ((digest([seed, row.id]), row.id) for row in rows(log, query)))
    for _, call_id in sorted(chosen, key=lambda each: each[1]):
        record = log.get(call_id)
        if record is not None:
            yield record
