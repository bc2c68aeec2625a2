"""What is asked of a part of a value and what it was read as: a fit, with receipts or with doubts."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import NamedTuple, TypeAlias

from llmguard.core.canonical import Json
from llmguard.core.outcome import Repair, Violation, Violations
from llmguard.parsing.syntax.notes import clipped
from llmguard.values.rejection import Rejection


class Ask(NamedTuple):
    """A part to be fitted to a place of the schema. `path` is where it stands in the value; `currency` what the object
    around it names; `nested` how many times JSON stood in a string around it."""

    value: Json
    place: str
    path: str
    name: str = ""
    currency: str = ""
    nested: int = 0


class Fit(NamedTuple):
    """What a part was read as. `doubts` say why it, or a part of it, could not be read; it then stands as it was."""

    value: Json
    repairs: tuple[Repair, ...] = ()
    doubts: Violations = ()

    def after(self, *repairs: Repair) -> Fit:
        """The same, with repairs that were made before."""
        return Fit(self.value, (*repairs, *self.repairs), self.doubts)


Fitting: TypeAlias = Generator[Ask, Fit, Fit]
"""A step of a descent: yields the parts it wants fitted, is sent their fits, returns its own."""

Fittings: TypeAlias = Generator[Ask, Fit, list[Fit]]
"""The same, of a step that has several readings."""


def converted(ask: Ask, read: Json | Rejection, rule: str) -> Fit:
    """A scalar read as another one, or the doubt why not."""
    if isinstance(read, Rejection):
        return doubted(ask, read)
    return Fit(read, (lossless(ask.path, clipped(ask.value), read, rule),))


def doubted(ask: Ask, doubt: Rejection) -> Fit:
    return Fit(ask.value, (), (Violation(ask.path, doubt.rule, doubt.message, None, brief(ask.value)),))


def joined(value: Json, parts: list[Fit], repairs: Iterable[Repair] = (), doubts: Iterable[Violation] = ()) -> Fit:
    """A container with what was noted of it and of its parts."""
    noted = (*repairs, *(repair for part in parts for repair in part.repairs))
    return Fit(value, noted, (*doubts, *(doubt for part in parts for doubt in part.doubts)))


def lossless(path: str, before: Json, after: Json, rule: str) -> Repair:
    return Repair(path, before, after, "lossless", rule)


def brief(value: Json) -> Json:
    """A value for a receipt: containers by their size."""
    if isinstance(value, dict):
        return f"object of {len(value)}"
    return f"list of {len(value)}" if isinstance(value, list) else clipped(value)
