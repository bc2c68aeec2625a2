"""The result of reading a reply: a value with its repairs, or a failure with what is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from llmguard.core.canonical import Json
from llmguard.core.messages import FailureKind
from llmguard.core.outcome import Repair, Violation, Violations


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reply was read as. `failure` is None where `value` fits the schema; `candidate` is what was parsed either way, as
    a tuple of one value, or empty. `flags` are doubts that do not refuse it."""

    value: Json = None
    violations: Violations = ()
    repairs: tuple[Repair, ...] = ()
    failure: FailureKind | None = None
    candidate: tuple[Json, ...] = ()
    flags: Violations = ()


def valid_reading(value: Json, repairs: tuple[Repair, ...] = ()) -> Reading:
    """A value that fits."""
    return Reading(value, (), repairs, None, (value,))


def no_reading(failure: FailureKind, *violations: Violation, candidate: tuple[Json, ...] = ()) -> Reading:
    """No value, and why."""
    return Reading(violations=violations, failure=failure, candidate=candidate)
