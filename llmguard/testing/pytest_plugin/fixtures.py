"""What the plugin's fixtures do: replay a case against a guard, a fresh log, and no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from llmguard.core.errors import UsageError
from llmguard.core.outcome import Outcome
from llmguard.core.record import Record
from llmguard.core.safe_text import safe
from llmguard.guard.decorator import Guarded
from llmguard.guard.guard import Guard
from llmguard.log import OutcomeLog
from llmguard.models.connections import ConnectionAttempt, listen_to_connections
from llmguard.replay.case_result import judge_case
from llmguard.replay.cases import Case
from llmguard.replay.cases.files import read_case
from llmguard.replay.what_if import what_if
from llmguard.testing.pytest_plugin.case_run import failure_message

Replayable: TypeAlias = "Case | Record | str | PathLike[str]"
"""A case, the path of a case file (from pytest's rootdir), or a record of a log."""
Replaying: TypeAlias = Callable[["Guard[Any] | Guarded[..., Any]", Replayable], Outcome[Any]]


class NetworkRefused(ConnectionError):
    """A test with the fixture `no_network` opened a connection to another machine."""


def replaying(rootdir: Path) -> Replaying:
    def guard_replay(guard: Guard[Any] | Guarded[..., Any], recorded: Replayable) -> Outcome[Any]:
        __tracebackhide__ = True
        bound = guard.guard if isinstance(guard, Guarded) else guard
        if isinstance(recorded, Record):
            return of_record(bound, recorded)
        case = recorded if isinstance(recorded, Case) else read_case(rootdir / recorded)
        return of_case(bound, case)

    return guard_replay


def of_case(guard: Guard[Any], case: Case) -> Outcome[Any]:
    """The outcome of a case that holds."""
    __tracebackhide__ = True
    if case.guard != guard.name:
        raise UsageError(f"the case {case.id} is of guard {case.guard!r}, and was passed to {guard.name!r}.")
    result = judge_case(case, guard.policy)
    if message := failure_message(case, result):
        raise AssertionError(safe(message))
    if result.outcome is None:
        pytest.fail(f"the case holds, and has no outcome to look at:\n{safe(result.explanation)}", pytrace=False)
    return typed(guard, result.outcome)


def of_record(guard: Guard[Any], record: Record) -> Outcome[Any]:
    """Today's outcome of a record, whatever it is."""
    __tracebackhide__ = True
    audited = record.outcome is not None and record.outcome.review_reason == "audit"
    result = what_if(guard.policy, record.steps, record.opening.inputs, match="position", audited=audited)
    if result.outcome is None:
        raise AssertionError(
            safe(
                f"undetermined: the guard would ask {result.needed} at {result.undetermined_at}, which is not recorded"
            )
        )
    return typed(guard, result.outcome)


def typed(guard: Guard[Any], outcome: Outcome[Any]) -> Outcome[Any]:
    """With its value as the schema's Python type, as `guard.run` gives it."""
    schema = guard.policy.schema
    if schema.python_type is None or not (outcome.has_value or outcome.json is not None):
        return outcome
    return replace(outcome, value=schema.load(outcome.json))


def fresh_log(folder: Path) -> Iterator[OutcomeLog]:
    log = OutcomeLog.open(f"sqlite:///{folder / 'llmguard.db'}")
    try:
        yield log
    finally:
        log.close()


def without_network() -> Iterator[list[str]]:
    """The hosts that were refused so far; one that is left at the end fails the test, also where the code under test caught
    the refusal as a network error and went on."""
    refused: list[str] = []

    def refuse(attempt: ConnectionAttempt) -> None:
        if not attempt.is_loopback:
            refused.append(attempt.host)
            raise NetworkRefused(f"the test may not reach {attempt.host!r}: it uses the fixture no_network")

    with listen_to_connections(refuse):
        yield refused
    if refused:
        pytest.fail(f"{len(refused)} connection(s) refused by no_network; the first: to {refused[0]!r}", pytrace=False)
