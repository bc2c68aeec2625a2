"""What tests of guards need: a model with scripted replies, and an assertion about an outcome.

>>> from llmguard import Guard
>>> model = ScriptedModel(["about 36", "36"])
>>> guard = Guard("age", prompt="How old is {{ who }}?", schema=int, models=[model], log=None)
>>> guard(who="Ada")
36
>>> assert_outcome(guard.run(who="Ada"), status="rejected", violations=["crashed"])

`pytest` finds more with llmguard installed: docs/testing.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from llmguard.core.canonical import EncodingError, Json, json_roundtrip
from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelFailure, ModelReply
from llmguard.core.outcome import Outcome, Status, Violation
from llmguard.core.safe_text import safe
from llmguard.models.scripted import ScriptedModel
from llmguard.parsing.syntax.strict import same_json

__all__ = ["ModelFailure", "ModelReply", "ScriptedModel", "assert_outcome"]

ANYTHING: Json = object()
"""The default of `assert_outcome(value=)`: any value."""


def assert_outcome(
    outcome: Outcome[Any],
    *,
    status: Status | Collection[Status] | None = None,
    value: object = ANYTHING,
    source: str | None = None,
    violations: Collection[str] | None = None,
    attempts: int | None = None,
) -> None:
    """Assert what an outcome is; the error lists everything that differs.

    Args:
        status: the status, or several of which it must be one.
        value: what the outcome's value must equal, as its Python type or as JSON (where 1 is 1.0, and neither is true).
        source: the label of the rung that gave the value.
        violations: each a path (JSON Pointer) or a rule that a violation must have, in the end or at any attempt; an
            empty list: there was no violation.
        attempts: the number of requests.

    Raises:
        AssertionError: something differs; the message lists it and ends with `outcome.explain()`.

    >>> assert_outcome(Outcome(status="rejected"), status="accepted", attempts=1)
    Traceback (most recent call last):
    AssertionError: the outcome is not what was expected:
      status: 'rejected', expected 'accepted'
      attempts: 0, expected 1
    the guard ended rejected
    """
    __tracebackhide__ = True
    if not isinstance(outcome, Outcome):
        raise UsageError(f"assert_outcome expects an outcome, got {type(outcome).__name__}. Use guard.run(...).")
    differing = [
        *_of_status(outcome, status),
        *_of_value(outcome, value),
        *_of(outcome.source, source, "source"),
        *_of_violations(outcome, violations),
        *_of(len(outcome.attempts), attempts, "attempts"),
    ]
    if differing:
        lines = ["the outcome is not what was expected:", *(f"  {each}" for each in differing), outcome.explain()]
        raise AssertionError(safe("\n".join(lines)))


def _of_status(outcome: Outcome[Any], expected: Status | Collection[Status] | None) -> Iterator[str]:
    if expected is None or isinstance(expected, str):
        yield from _of(outcome.status, expected, "status")
    elif outcome.status not in expected:
        yield f"status: {outcome.status!r}, expected one of {', '.join(map(repr, expected))}"


def _of_value(outcome: Outcome[Any], expected: object) -> Iterator[str]:
    if expected is not ANYTHING and not _equals(outcome, expected):
        yield f"value: {outcome.value!r}, expected {expected!r}"


def _equals(outcome: Outcome[Any], expected: object) -> bool:
    """Equal as JSON; where it is not a JSON value, by Python's ==."""
    try:
        return same_json(outcome.json, json_roundtrip(expected))
    except EncodingError:
        return bool(outcome.value == expected)


def _of(actual: object, expected: object, name: str) -> Iterator[str]:
    if expected is not None and actual != expected:
        yield f"{name}: {actual!r}, expected {expected!r}"


def _of_violations(outcome: Outcome[Any], expected: Collection[str] | None) -> Iterator[str]:
    if expected is None:
        return
    if isinstance(expected, str):
        raise UsageError(f"violations= of assert_outcome takes a list of paths and rules. Write [{expected!r}].")
    actual = _all_violations(outcome)
    listed = ", ".join(sorted({f"{each.path or '(whole value)'} [{each.rule}]" for each in actual})) or "none"
    names = {name for each in actual for name in (each.path, each.rule)}
    for name in expected:
        if name not in names:
            yield f"violations: {listed}, expected {name!r} among them"
    if not expected and actual:
        yield f"violations: {listed}, expected none"


def _all_violations(outcome: Outcome[Any]) -> list[Violation]:
    of_attempts = [each for attempt in outcome.attempts for each in attempt.violations]
    return [*outcome.violations, *outcome.flags, *of_attempts]
