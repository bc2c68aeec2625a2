"""What a reply was read as: a value with receipts, or a failure with what is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from llmguard.core.canonical import Json
from llmguard.core.messages import FailureKind
from llmguard.core.outcome import Repair, Violation, Violations


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reply says. `failure` is None where `value` fits the schema; `candidate` is what was parsed either way, as
    a tuple of one value, or empty."""

    value: Json = None
    violations: Violations = ()
    repairs: tuple[Repair, ...] = ()
    failure: FailureKind | None = None
    candidate: tuple[Json, ...] = ()


def found(value: Json, repairs: tuple[Repair, ...] = ()) -> Reading:
    """A value that fits."""
    return Reading(value, (), repairs, None, (value,))


def none(failure: FailureKind, *violations: Violation, candidate: tuple[Json, ...] = ()) -> Reading:
    """No value."""
    return Reading(violations=violations, failure=failure, candidate=candidate)
