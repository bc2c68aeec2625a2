"""Which failures are the same: what went wrong and where, without the numbers of list items and without values."""

from __future__ import annotations

import re

from llmguard.core.canonical import digest
from llmguard.core.outcome import Attempt, Outcome, Violation
from llmguard.core.record import Record

_NO_SLUG = re.compile("[^a-z0-9]+")
SLUG_WORDS = 60
"""Characters before the id's digits."""
ID_DIGITS = 6
"""The last ones of an id: its first ones are the time."""


def failure_key(record: Record) -> str:
    """32 hexadecimal digits: equal for calls of one guard that failed alike. A call in which nothing failed is like
    those with the same inputs only."""
    opening, outcome = record.opening, record.outcome
    patterns = sorted({_pattern(*each) for each in _failures(outcome)}) if outcome else []
    return digest([opening.guard, patterns or opening.inputs_digest or digest(opening.inputs)])


def slug_of(record: Record) -> str:
    """A file's name that says what failed first: `schema-lines-total-minimum-1a206f`."""
    outcome = record.outcome
    failures = _failures(outcome) if outcome else []
    kind, violation = failures[0] if failures else (outcome.status if outcome else "running", None)
    words = [
        kind,
        *(_without_numbers(violation.path).split("/") if violation else ()),
        violation.rule if violation else "",
    ]
    if len(words) > 1 and words[-1] == kind:
        words.pop()
    name = _NO_SLUG.sub("-", "-".join(words).lower()).strip("-")[:SLUG_WORDS].strip("-")
    return "-".join(part for part in (name or "call", _NO_SLUG.sub("", record.opening.id.lower())[-ID_DIGITS:]) if part)


def _failures(outcome: Outcome[object]) -> list[tuple[str, Violation | None]]:
    """Each thing that was wrong, with the failure kind of its attempt, in the order in which it was found."""
    failures = [each for attempt in outcome.attempts if attempt.failure for each in _of_attempt(attempt)]
    listed = [violation for _, violation in failures]  # no set: a violation may hold a list or an object
    rest = [("flag" if each.severity == "flag" else "end", each) for each in (*outcome.violations, *outcome.flags)]
    return failures + [(kind, each) for kind, each in rest if each not in listed]


def _of_attempt(attempt: Attempt) -> list[tuple[str, Violation | None]]:
    kind = attempt.failure or ""
    return [(kind, violation) for violation in attempt.violations] or [(kind, None)]


def _pattern(kind: str, violation: Violation | None) -> tuple[str, str, str]:
    return (kind, _without_numbers(violation.path), violation.rule) if violation else (kind, "", "")


def _without_numbers(path: str) -> str:
    """A JSON Pointer without the numbers of list items.

    >>> _without_numbers("/lines/12/total")
    '/lines/*/total'
    """
    return "/".join("*" if part.isdecimal() else part for part in path.split("/"))
