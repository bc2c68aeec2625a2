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
from llmguard.prompts.function import describe as describe_function
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
        """From 0 to 1. A rule that raises, or has no answer, agrees with nothing; it never raises here."""
        try:
            wanted = json_roundtrip(self.rule(inputs))
            compared = [] if wanted is None else [self._agrees(*both) for both in self._pairs(wanted, value)]
        except Exception:
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

    def _pairs(self, wanted: Json, value: Json) -> Iterator[tuple[str, Json, Ballot]]:
        """Each field of the rule's answer: its pointer, what the rule says, and what the value says there."""
        left: list[tuple[str, Json, Ballot]] = [("", wanted, value)]
        while left:
            pointer, rules, models = left.pop()
            if not isinstance(rules, dict) or not rules or pointer in self.fields:
                yield pointer, rules, models
                continue
            said = models if isinstance(models, dict) else {}
            left += [(pointer + as_pointer((key,)), item, said.get(key, ABSENT)) for key, item in rules.items()]

    def _agrees(self, pointer: str, rules: Json, models: Ballot) -> bool:
        """Whether a vote of the two is unanimous: what "the same answer" means to the field's comparator."""
        return self.fields.get(pointer, EXACT).vote([rules, models]).votes == 2


def agrees_with(
    rule: Callable[..., object],
    *,
    fields: Mapping[str, ComparatorOrName] | None = None,
    name: str | None = None,
    version: str = "",
) -> AgreesWith:
    """A score: the share of the fields of `rule(inputs)` on which a model's value says the same.

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
        raise UsageError(f"agrees_with(rule) wants a function of (inputs), found {type(rule).__name__}.")
    if inspect.iscoroutinefunction(rule) or inspect.iscoroutinefunction(type(rule).__call__):
        raise UsageError(
            "agrees_with(rule): the rule is an async function, expected a pure one that is not waited for."
        )
    if any(pointer and not pointer.startswith("/") for pointer in fields or ()):
        raise UsageError(f"agrees_with(fields=...) wants JSON Pointers such as '/total', found {sorted(fields or ())}.")
    compared = {pointer: comparator(given) for pointer, given in (fields or {}).items()}
    own = name or str(getattr(rule, "__name__", type(rule).__name__))
    return AgreesWith(rule=rule, name=own, fields=compared, version=version)


def least_confidence(fields: Mapping[str, FieldSupport]) -> float | None:
    """The smallest confidence of any field, from 0 to 1; None where one has none, or there is no field.

    >>> least_confidence({"/a": FieldSupport(confidence=0.9), "/b": FieldSupport(confidence=0.4)})
    0.4
    >>> least_confidence({"/a": FieldSupport(confidence=0.9), "/b": FieldSupport()}) is None
    True
    """
    known = [each.confidence for each in fields.values() if each.confidence is not None]
    return min(known) if known and len(known) == len(fields) else None
