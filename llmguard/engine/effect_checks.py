"""Effect checks and judges: they ask the world once, about the value to return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from llmguard.core.canonical import Json, json_roundtrip
from llmguard.core.effects import Crashed, Flow, Invoke, invoke, together
from llmguard.core.outcome import Violation, Violations
from llmguard.engine.budget import BudgetTracker
from llmguard.engine.check import Check, JudgeResult
from llmguard.engine.policy import Policy
from llmguard.engine.verdict import Support, Verdict, check_violations, failure_kind, split_by_severity

CheckResult: TypeAlias = Json | Crashed | JudgeResult


def run_effect_checks(
    policy: Policy, verdict: Verdict, inputs: Json, at: str, budget: BudgetTracker, *, lenient: bool = False
) -> Flow[Verdict]:
    """The verdict after the guard's effect checks and judges, which run at the same time.

    `lenient`: a check that no time is left for is skipped and flagged (for deterministic rungs); else it rejects.
    """
    if not policy.effect_checks:
        return verdict
    value = json_roundtrip(verdict.candidate[0])  # the user's code gets a copy: what was validated is what is returned
    share = budget.split(sum(check.judge is not None for check in policy.effect_checks))
    flows = (run_effect_check(check, value, inputs, at, share) for check in policy.effect_checks)
    results = yield from together(*flows, on_answers=share.charge_batch)
    return apply_check_results(policy, verdict, results, lenient=lenient)


def run_effect_check(check: Check, value: Json, inputs: Json, at: str, budget: BudgetTracker) -> Flow[CheckResult]:
    address = f"{at}/c:{check.name}"
    if check.judge is not None:
        return (yield from check.judge(value, inputs, address + "/", budget))
    arguments = (value, inputs)
    effect: Invoke[Json] = Invoke(address, check.name, check.function, arguments, check.timeout_s, check.runs_on)
    return (yield from invoke(effect))


def apply_check_results(
    policy: Policy, verdict: Verdict, results: Sequence[CheckResult], *, lenient: bool = False
) -> Verdict:
    """The verdict with what the effect checks found. `lenient`: see `run_effect_checks`."""
    pairs = list(zip(policy.effect_checks, results, strict=True))
    skipped = tuple(check.name for check, result in pairs if lenient and is_too_late(result))
    ran = [(check, result) for check, result in pairs if check.name not in skipped]
    rejections, flags = split_by_severity(tuple(each for pair in ran for each in result_violations(*pair)))
    judgements = [result for _, result in ran if isinstance(result, JudgeResult)]
    support = verdict.support
    if judgements or rejections:
        support = _with_judgements(support, judgements, refused=bool(rejections))
    flags = (*verdict.flags, *flags, *(_skipped_flag(name) for name in skipped))
    if not rejections:
        return replace(verdict, flags=flags, skipped=skipped, support=support)
    failure = verdict.failure or failure_kind(rejections, "check")
    violations = (*verdict.violations, *rejections)
    return replace(verdict, failure=failure, value=None, violations=violations, flags=flags, support=support)


def result_violations(check: Check, result: CheckResult) -> Violations:
    """The violations that an effect check or a judge reports."""
    if isinstance(result, JudgeResult):
        return result.violations
    if isinstance(result, Crashed):
        return (Violation("", "crashed", f"check {check.name!r}: {result.error}", severity=check.severity),)
    return check_violations(replace(check, function=lambda value, inputs: result), None, None)


def is_too_late(result: CheckResult) -> bool:
    """Whether the check gave no answer because no time or budget was left."""
    return result.late if isinstance(result, JudgeResult) else isinstance(result, Crashed) and result.kind == "deadline"


def _with_judgements(support: Support, results: Sequence[JudgeResult], *, refused: bool) -> Support:
    return replace(
        support,
        vote=replace(support.vote, refused=True) if refused and support.vote else support.vote,
        judgements=tuple(each.judgement for each in results),
        judge_attempts=tuple(attempt for each in results for attempt in each.attempts),
    )


def _skipped_flag(name: str) -> Violation:
    return Violation("", name, "skipped: no time or budget was left for it", severity="flag")
