"""Scores of single samples that are fixed in advance: what an acceptance policy may compare with a threshold.

A score is a function of (value, inputs) to a number from 0 to 1 with a `name` and a `description()` for the fingerprint.
Like agreement between samples it ranks values; only a certificate says how many of those above a threshold are wrong.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from llmguard.core.canonical import Json, json_roundtrip
from llmguard.core.errors import UsageError
from llmguard.core.outcome import FieldSupport
from llmguard.prompts.function import describe_function
from llmguard.schema.keywords import as_pointer
from llmguard.voting.comparators import ComparatorOrName, comparator, exact
from llmguard.voting.votes import ABSENT, Ballot, Comparator

EXACT = exact()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreesWith:
    """The share of a rule's fields on which a value agrees with it. Made by `agrees_with`."""

    rule: Callable[..., object]
    name: str
    fields: Mapping[str, Comparator] = field(default_factory=dict)
    version: str = ""

    def __call__(self, value: Json, inputs: Json) -> float:
        """From 0 to 1. Where the rule raises or returns None the score is 0; this method never raises."""
        try:
            expected = json_roundtrip(self.rule(inputs))
            compared = [] if expected is None else [self._agrees(*both) for both in self._pairs(expected, value)]
        except Exception:  # the user's own function
            return 0.0
        return sum(compared) / len(compared) if compared else 0.0

    def description(self) -> Json:
        """Rule, comparators and their versions: a changed rule is another score."""
        return {
            "score": "agrees_with",
            "name": self.name,
            "rule": self.version or describe_function(self.rule),
            "fields": {pointer: one.description() for pointer, one in sorted(self.fields.items())},
            "default": EXACT.description(),
        }

    def _pairs(self, expected: Json, value: Json) -> Iterator[tuple[str, Json, Ballot]]:
        """Each field of the rule's answer: its pointer, the rule's value, and the model's."""
        left: list[tuple[str, Json, Ballot]] = [("", expected, value)]
        while left:
            pointer, expected, actual = left.pop()
            if not isinstance(expected, dict) or not expected or pointer in self.fields:
                yield pointer, expected, actual
                continue
            items = actual if isinstance(actual, dict) else {}
            left += [(pointer + as_pointer((key,)), each, items.get(key, ABSENT)) for key, each in expected.items()]

    def _agrees(self, pointer: str, expected: Json, actual: Ballot) -> bool:
        """Whether the field's comparator has the two as the same answer: a vote of both is unanimous."""
        return self.fields.get(pointer, EXACT).vote([expected, actual]).votes == 2


def agrees_with(
    rule: Callable[..., object],
    *,
    fields: Mapping[str, ComparatorOrName] | None = None,
    name: str | None = None,
    version: str = "",
) -> AgreesWith:
    """A score: the share of the fields of `rule(inputs)` on which a model's value agrees.

    Args:
        rule: a pure function of the inputs to a value like the model's, or to a part of its fields; None, or an
            exception, where it has no answer: the score is then 0. Objects are compared field by field, lists as a whole.
        fields: comparators by JSON Pointer, as in `SelfConsistency`; "exact" for the others.
        name: the rule's own name if None.
        version: stands for the rule's source in the guard's fingerprint.

    >>> score = agrees_with(lambda inputs: {"total": 12.5, "currency": "EUR"}, fields={"/total": "money"})
    >>> score({"total": 12.499999, "currency": "USD", "note": "x"}, {})
    0.5
    """
    if not callable(rule):
        raise UsageError(f"agrees_with(rule): expected a function of (inputs), got {type(rule).__name__}.")
    if inspect.iscoroutinefunction(rule) or inspect.iscoroutinefunction(type(rule).__call__):
        raise UsageError("agrees_with(rule): expected a pure function that need not be awaited, got an async function.")
    if any(pointer and not pointer.startswith("/") for pointer in fields or ()):
        raise UsageError(
            f"agrees_with(fields=...): expected JSON Pointers such as '/total', got {sorted(fields or ())}."
        )
    comparators = {pointer: comparator(each) for pointer, each in (fields or {}).items()}
    rule_name = str(getattr(rule, "__name__", type(rule).__name__))
    return AgreesWith(rule=rule, name=name or rule_name, fields=comparators, version=version)


def least_confidence(fields: Mapping[str, FieldSupport]) -> float | None:
    """The smallest confidence of any field, from 0 to 1; None where one has none, or there is no field.

    >>> least_confidence({"/a": FieldSupport(confidence=0.9), "/b": FieldSupport(confidence=0.4)})
    0.4
    >>> least_confidence({"/a": FieldSupport(confidence=0.9), "/b": FieldSupport()}) is None
    True
    """
    known = [each.confidence for each in fields.values() if each.confidence is not None]
    return min(known) if known and len(known) == len(fields) else None
