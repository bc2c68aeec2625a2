"""What an attempt or a rung resulted in, and the pure decisions that every topic of the engine shares.

Every call into a user's pure code (prompt, schema, checks, scores) passes `catch_as_violation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ParamSpec, TypeVar

from llmguard.core.canonical import Json, json_roundtrip
from llmguard.core.messages import FailureKind
from llmguard.core.outcome import Alternative, Attempt, FieldSupport, Judgement, Repair, Violation, Violations, Vote
from llmguard.engine.check import Check, as_violations
from llmguard.engine.policy import Policy
from llmguard.schema import Schema

P = ParamSpec("P")
T = TypeVar("T")

MAX_ERROR_CHARS = 300
"""Of an exception's text in a violation: enough to recognise it, too little to flood a re-ask or a log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """What speaks for a model's value, beside that it passed: votes, confidence, judges, a certificate.

    `proposed` is a value that passed everything but acceptance, in a tuple because it may be None. `judge_attempts` are the
    requests that judges made.
    """

    vote: Vote | None = None
    fields: Mapping[str, FieldSupport] = field(default_factory=dict)
    alternatives: tuple[Alternative, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    judge_attempts: tuple[Attempt, ...] = ()
    score: float | None = None
    proposed: tuple[Json, ...] = ()
    certificate: str | None = None


NO_SUPPORT = Support()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The result of an attempt or a rung: a value, or why there is none.

    `candidate` is the last value that could be parsed, whether or not it passed, in a tuple because it may be None. `skipped`
    names the effect checks that no time was left for.
    """

    failure: FailureKind | None
    value: Json = None
    violations: Violations = ()
    flags: Violations = ()
    repairs: tuple[Repair, ...] = ()
    candidate: tuple[Json, ...] = ()
    skipped: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    support: Support = NO_SUPPORT

    @property
    def passed(self) -> bool:
        return self.failure is None


def validate_value(
    policy: Policy, value: Json, inputs: Json, repairs: tuple[Repair, ...], *, validate: bool
) -> Verdict:
    """Schema (unless `validate` is False, because the reader did it) and pure checks."""
    violations = schema_violations(policy.schema, value) if validate else ()
    if violations:
        failure = failure_kind(violations, "schema")
        return Verdict(failure=failure, violations=violations, repairs=repairs, candidate=(value,))
    copy = json_roundtrip(value) if policy.pure_checks else value  # checks get a copy: the validated value is returned
    violations = tuple(each for check in policy.pure_checks for each in check_violations(check, copy, inputs))
    rejections, flags = split_by_severity(violations)
    if rejections:
        failure = failure_kind(rejections, "check")
        return Verdict(failure=failure, violations=rejections, flags=flags, repairs=repairs, candidate=(value,))
    return Verdict(failure=None, value=value, flags=flags, repairs=repairs, candidate=(value,))


def schema_violations(schema: Schema, value: Json) -> Violations:
    violations = catch_as_violation("the schema", schema.violations, value)
    return (violations,) if isinstance(violations, Violation) else violations


def check_violations(check: Check, value: Json, inputs: Json) -> Violations:
    """What a pure check returns, as violations; one that raises objects too."""
    what = f"check {check.name!r}"
    violations = catch_as_violation(what, lambda: as_violations(check, check.function(value, inputs)))
    return (replace(violations, severity=check.severity),) if isinstance(violations, Violation) else violations


def catch_as_violation(what: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Violation:
    """The one place where a user's pure function is called: what it raises is a violation `crashed`."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return Violation("", "crashed", f"{what} raised {type(error).__name__}: {str(error)[:MAX_ERROR_CHARS]}")


def split_by_severity(violations: Violations) -> tuple[Violations, Violations]:
    """Those that reject, and those that only flag."""
    rejections = tuple(each for each in violations if each.severity == "reject")
    return rejections, tuple(each for each in violations if each.severity == "flag")


def failure_kind(violations: Violations, otherwise: FailureKind) -> FailureKind:
    """`crashed` if user code crashed: that is not the model's fault, and is not sent back to it (DECISIONS 8)."""
    return "crashed" if any(violation.rule == "crashed" for violation in violations) else otherwise
