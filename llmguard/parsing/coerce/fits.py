"""A part of a value to be fitted to the schema, and the result: a fit, with its repairs or with violations."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from llmguard.core.canonical import Json
from llmguard.core.outcome import Repair, Violation, Violations
from llmguard.parsing.syntax.notes import cut_middle
from llmguard.values.rejection import Rejection


class FitRequest(NamedTuple):
    """A part of a value, to be fitted to the schema at `pointer`. `path` is where the part is in the value; `name` the
    property it belongs to; `unit` what a sibling of it says its unit is, and `currency` what one of it or of an object around
    it says its currency is; `nested` in how many strings of JSON it is."""

    value: Json
    pointer: str
    path: str
    name: str = ""
    currency: str = ""
    unit: str = ""
    nested: int = 0


class Fit(NamedTuple):
    """What a part was read as. `violations` say why it, or a part of it, could not be read; it is then left as it was."""

    value: Json
    repairs: tuple[Repair, ...] = ()
    violations: Violations = ()

    def after(self, *repairs: Repair) -> Fit:
        """The same, with repairs that were made before."""
        return Fit(self.value, (*repairs, *self.repairs), self.violations)


Fitting: TypeAlias = Generator[FitRequest, Fit, Fit]
"""A step of a descent: yields the parts to be fitted, is sent their fits, returns its own."""

Fittings: TypeAlias = Generator[FitRequest, Fit, list[Fit]]
"""The same, for a step that may have several results."""


_EXTRACTED = frozenset(("currency_symbol",))
"""Repairs after which something that the text says is not in the value: a sign of money whose currency nothing names."""


def conversion_fit(request: FitRequest, read: Json | Rejection, rule: str) -> Fit:
    """A scalar read as another one, or why it was not."""
    if isinstance(read, Rejection):
        return rejected_fit(request, read)
    repair = lossless_repair(request.path, cut_middle(request.value), read, rule)
    return Fit(read, (replace(repair, kind="extracted") if rule in _EXTRACTED else repair,))


def rejected_fit(request: FitRequest, rejection: Rejection) -> Fit:
    """The part as it was, with the reason."""
    actual = receipt_value(request.value)
    return Fit(request.value, (), (Violation(request.path, rejection.rule, rejection.message, None, actual),))


def container_fit(
    value: Json, parts: list[Fit], repairs: Iterable[Repair] = (), violations: Iterable[Violation] = ()
) -> Fit:
    """A container with its own repairs and violations, and those of its parts."""
    all_repairs = (*repairs, *(repair for part in parts for repair in part.repairs))
    return Fit(value, all_repairs, (*violations, *(violation for part in parts for violation in part.violations)))


def lossless_repair(path: str, before: Json, after: Json, rule: str) -> Repair:
    return Repair(path, before, after, "lossless", rule)


def receipt_value(value: Json) -> Json:
    """A value as repairs and violations show it: containers by their size."""
    if isinstance(value, dict):
        return f"object of {len(value)}"
    return f"list of {len(value)}" if isinstance(value, list) else cut_middle(value)
