"""Checks: functions of (value, inputs) that return what is wrong with a value beyond its schema.

A check never acts; what happens next is the flow's decision alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, overload

from llmguard.core.canonical import Json
from llmguard.core.effects import Flow
from llmguard.core.errors import UsageError
from llmguard.core.model import RunsOn
from llmguard.core.outcome import Attempt, Judgement, Severity, Violation, Violations
from llmguard.engine.budget import BudgetTracker

CheckFunction: TypeAlias = Callable[..., object]
"""(value, inputs) -> None, a message, a Violation, or several of both. Sync or, for an effect check, `async def`."""


@dataclass(frozen=True, slots=True)
class JudgeResult:
    """A judge's verdict, what it objects to, and the requests it took. `late`: it could not be asked, because no time or
    budget was left."""

    judgement: Judgement
    violations: Violations = ()
    attempts: tuple[Attempt, ...] = ()
    late: bool = False


Judge: TypeAlias = Callable[[Json, Json, str, BudgetTracker], Flow[JudgeResult]]
"""(value, inputs, address, budget) -> a sub-flow: a guarded call to a model, of which `judge(...)` makes a check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A named rule. `effect`: it asks the world (a database, a service, or by `judge` a model), so it runs once, on the
    value to return, and its answer is recorded. `severity="flag"` accepts the value and sends it to review."""

    name: str
    function: CheckFunction
    effect: bool = False
    timeout_s: float | None = None
    severity: Severity = "reject"
    version: str = ""
    judge: Judge | None = None

    def __call__(self, value: Json, inputs: Mapping[str, Json]) -> object:
        """The function itself, so that a check can be tested as what it is."""
        return self.function(value, inputs)

    @property
    def runs_on(self) -> RunsOn:
        return runs_on_of(self.function, self.timeout_s)


def runs_on_of(function: Callable[..., object], timeout_s: float | None) -> RunsOn:
    """Where a function runs: a coroutine function on a loop, one with a timeout in a daemon thread, others inline."""
    if inspect.iscoroutinefunction(function):
        return "loop"
    return "inline" if timeout_s is None else "thread"


@overload
def check(function: CheckFunction, /) -> Check: ...
@overload
def check(
    *,
    name: str | None = None,
    effect: bool = False,
    timeout_s: float | None = None,
    severity: Severity = "reject",
    version: str = "",
) -> Callable[[CheckFunction], Check]: ...
def check(
    function: CheckFunction | None = None,
    /,
    *,
    name: str | None = None,
    effect: bool = False,
    timeout_s: float | None = None,
    severity: Severity = "reject",
    version: str = "",
) -> Check | Callable[[CheckFunction], Check]:
    """Make a check of a function of (value, inputs).

    >>> @check
    ... def total_adds_up(invoice, inputs):
    ...     if sum(invoice["lines"]) != invoice["total"]:
    ...         return "the lines do not add up to the total"
    >>> total_adds_up({"lines": [1, 2], "total": 4}, {})
    'the lines do not add up to the total'
    """

    def made(function: CheckFunction) -> Check:
        _refuse_what_cannot_run(function, effect, timeout_s, severity)
        called = name or str(getattr(function, "__name__", type(function).__name__))
        return Check(
            name=called, function=function, effect=effect, timeout_s=timeout_s, severity=severity, version=version
        )

    return made if function is None else made(function)


def _refuse_what_cannot_run(function: CheckFunction, effect: bool, timeout_s: float | None, severity: Severity) -> None:
    if not callable(function):
        raise UsageError(f"a check is a function of (value, inputs), got {type(function).__name__}.")
    name = getattr(function, "__name__", "check")
    if severity not in ("reject", "flag"):
        raise UsageError(f"check {name!r}: severity: expected 'reject' or 'flag', got {severity!r}.")
    if not effect and (timeout_s is not None or inspect.iscoroutinefunction(function)):
        raise UsageError(
            f"check {name!r} is async or has a timeout_s, and is declared pure. Write @check(effect=True, ...):"
            " pure checks run in the flow itself, where nothing can be waited for."
        )


def as_check(source: Check | CheckFunction) -> Check:
    return source if isinstance(source, Check) else check(source)


def as_violations(check: Check, result: object) -> Violations:
    """What a check returned, as violations. Anything but None, a message or violations is a mistake in the check."""
    if result is None:
        return ()
    if isinstance(result, str | Violation | Mapping):
        return (_violation(check, result),)
    if isinstance(result, Iterable):
        return tuple(_violation(check, item) for item in result)
    raise TypeError(
        f"check {check.name!r} returned {result!r}; a check returns None where nothing is wrong, else a message or"
        " Violations"
    )


def _violation(check: Check, item: object) -> Violation:
    if isinstance(item, str):
        return Violation("", check.name, item or "failed", severity=check.severity)
    if isinstance(item, Violation):
        return Violation(item.path, check.name, item.message, item.expected, item.actual, check.severity)
    if isinstance(item, Mapping):  # a violation that crossed as JSON
        return Violation(**{**item, "rule": check.name, "severity": check.severity})
    raise TypeError(f"check {check.name!r} returned an item that is no message and no Violation: {item!r}")
