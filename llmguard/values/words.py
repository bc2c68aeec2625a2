"""Words that mean a value: members of a choice by case, punctuation or label, yes and no, and words for nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from llmguard.core.canonical import Json
from llmguard.core.patterns import Pattern
from llmguard.values.rejection import Rejection

TRUTH = {"true": True, "yes": True, "false": False, "no": False}
NOTHING = frozenset(("null", "none", "nil", "n/a"))
ABSENT = frozenset(("", "null", "none", "nil", "n/a", "na", "-", "--", "unknown", "not specified", "not applicable"))
"""Texts that may mean that there is no value; wider than `NOTHING`, which is read as null."""

_EDGES = " \t\r\n\"'`*“”‘’«»[]"
_SEPARATORS = Pattern(r"[\s_\-./]++")
_CAMEL = Pattern(r"(?<=[a-z0-9])(?=[A-Z])")


def trimmed(text: str) -> str:
    """Without white space, quotes and Markdown stars around it, and without the point or comma after it."""
    return text.strip(_EDGES).rstrip(".,;:!").strip(_EDGES)


def normalized_words(name: str) -> str:
    """A name with one separator and without case: `firstName`, `First Name` and `first-name` are one.

    >>> normalized_words("firstName"), normalized_words("First Name"), normalized_words("API_KEY")
    ('first name', 'first name', 'api key')
    """
    return _SEPARATORS.sub(" ", _CAMEL.sub(" ", name)).strip().casefold()


def normalized_key(name: str) -> str:
    """A name without case and separators: `firstname` is `first_name` too."""
    return _SEPARATORS.sub("", name).casefold()


_LEVELS: tuple[Callable[[str], str], ...] = (
    str.strip,
    trimmed,
    lambda text: trimmed(text).casefold(),
    lambda text: normalized_words(trimmed(text)),
    lambda text: normalized_key(trimmed(text)),
)
"""Ways to compare a text with a member, the strictest first: the first that has a match decides."""


def read_truth(text: str) -> bool | Rejection:
    """Exact words only: "not true" is no truth.

    >>> read_truth("Yes."), read_truth("not true").rule
    (True, 'not_a_boolean')
    """
    truth = TRUTH.get(trimmed(text).lower())
    return Rejection("not_a_boolean", f"{text[:60]!r} is not yes or no") if truth is None else truth


def read_member(text: str, members: Sequence[Json], labels: Mapping[str, Json]) -> Json | Rejection:
    """The one member that `text` names: as it is written, else without case, separators and marks, or by a label.

    >>> read_member("Billing.", ["BILLING", "SALES"], {})
    'BILLING'
    >>> read_member("anything but BILLING", ["BILLING", "SALES"], {}).rule
    'not_a_member'
    """
    for level in _LEVELS:
        normalized = level(text)
        matches = {member for member in members if isinstance(member, str) and level(member) == normalized}
        matches |= {member for label, member in labels.items() if level(label) == normalized}
        if len(matches) == 1:
            return matches.pop()
        if matches:
            return Rejection("ambiguous_member", f"{text[:60]!r} may be {' or '.join(sorted(map(str, matches)))}")
    return Rejection("not_a_member", f"{text[:60]!r} is not one of the allowed values")
