"""`judge`: a check that is itself a guarded call to a model: run once, on the value to return, recorded and replayed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, cast

from llmguard.core.canonical import EncodingError, Json, digest
from llmguard.core.effects import Flow
from llmguard.core.errors import UsageError
from llmguard.core.outcome import Judgement, Outcome, Severity, Violation
from llmguard.engine.budget import BudgetTracker
from llmguard.engine.call import guarded_call
from llmguard.engine.check import Check, JudgeResult
from llmguard.guard.guard import Guard, checked_inputs
from llmguard.prompts.function import describe_function

JudgeVerdict: TypeAlias = Literal["right", "wrong", "unsure"]
VERDICTS = ("right", "wrong", "unsure")
REASONS = ("reason", "said", "because", "comment", "explanation")
"""Properties of a judge's answer that may have its reason; the first that is a text is kept with the verdict."""


def judge(
    guard: Guard[Any],
    *,
    name: str | None = None,
    inputs: Callable[[Json, Json], Mapping[str, object]] | None = None,
    verdict: Callable[[Json], JudgeVerdict] | None = None,
    severity: Severity = "reject",
    version: str = "",
) -> Check:
    """A check that asks another guard whether a value is right.

    Args:
        guard: answers true or false, "right", "wrong" or "unsure", or an object with such a "verdict" (and a "reason").
        name: of the check; the guard's name if not given.
        inputs: function of (value, inputs) to the inputs of the judge; by default `value` and the inputs of its prompt.
        verdict: function of the judge's value (as JSON) to "right", "wrong" or "unsure", where the value is neither.
        severity: "flag" accepts a value that is not right, and sends it to review.
        version: replaces the guard's fingerprint and the sources of `inputs` and `verdict` in the check's version.

    The judge's requests count in the call's budget and cost. Where it returns no value the verdict is "unsure", which is a
    violation like "wrong". `llmguard certify GUARD` reports how well it agrees with reviewers.

    Raises:
        UsageError: `guard` is not a guard; or its prompt does not use `value` and there is no `inputs`.

    >>> from llmguard.testing import ScriptedModel
    >>> polite = Guard("polite", prompt="Is this polite? {{ value }}", schema=bool, models=[ScriptedModel(["false"])], log=None)
    >>> answer = Guard(
    ...     "answer", prompt="{{ question }}", schema=str, models=[ScriptedModel(["Go away."])], checks=[judge(polite)], log=None
    ... )
    >>> answer.run(question="When do you open?").violations[0].message
    'the judge says wrong'
    """
    if not isinstance(guard, Guard):
        raise UsageError(f"judge(...): expected a guard that answers right or wrong, got {type(guard).__name__}.")
    check_name = name or guard.name
    judge_inputs = inputs or _inputs_of(guard)
    parse_verdict = verdict or verdict_of

    def run_judge(value: Json, call_inputs: Json, at: str, budget: BudgetTracker) -> Flow[JudgeResult]:
        try:
            checked = checked_inputs(guard.policy, judge_inputs(value, call_inputs))
        except (UsageError, EncodingError) as error:
            return unasked(str(error))
        except Exception as error:  # the user's own function
            return unasked(f"inputs= of judge {check_name!r} raised {type(error).__name__}: {str(error)[:300]}")
        outcome = yield from guarded_call(guard.policy, checked, at, budget)
        return result_of(outcome)

    def unasked(message: str) -> JudgeResult:
        return JudgeResult(Judgement(check=check_name, verdict="unsure", said=message), (objection(message),))

    def result_of(outcome: Outcome[Json]) -> JudgeResult:
        verdict, reason = _verdict_and_reason(outcome, parse_verdict)
        message = f"the judge says {verdict}{': ' if reason else ''}{reason}"
        violations = () if verdict == "right" else (objection(message),)
        late = not outcome.has_value and any(each.failure in ("deadline", "budget") for each in outcome.attempts)
        return JudgeResult(
            Judgement(check=check_name, verdict=verdict, said=reason), violations, outcome.attempts, late
        )

    def objection(message: str) -> Violation:
        return Violation("", check_name, message, severity=severity)

    return Check(
        name=check_name,
        function=_refuse_direct_call,
        effect=True,
        severity=severity,
        version=version or _version(guard, inputs, verdict),
        judge=run_judge,
    )


def _version(guard: Guard[Any], *functions_of_user: Callable[..., object] | None) -> str:
    """Another judge, other inputs, or another function for its verdict is another check."""
    functions = [each and describe_function(each) for each in functions_of_user]
    return f"judge {guard.fingerprint}" + (f" {digest(functions)}" if any(functions) else "")


def verdict_of(value: Json) -> JudgeVerdict:
    """The verdict in a judge's value; "unsure" where it has none.

    >>> verdict_of(True), verdict_of({"verdict": "wrong", "reason": "it rhymes"}), verdict_of("maybe")
    ('right', 'wrong', 'unsure')
    """
    if isinstance(value, dict):
        value = value.get("verdict")
    if isinstance(value, bool):
        return "right" if value else "wrong"
    return cast(JudgeVerdict, value) if isinstance(value, str) and value in VERDICTS else "unsure"


def _verdict_and_reason(
    outcome: Outcome[Json], parse_verdict: Callable[[Json], JudgeVerdict]
) -> tuple[JudgeVerdict, str]:
    if not outcome.has_value:
        return "unsure", f"it ended {outcome.status}"
    try:
        verdict = parse_verdict(outcome.json)
    except Exception as error:  # the user's own function
        return "unsure", f"verdict= raised {type(error).__name__}: {str(error)[:300]}"
    if verdict not in VERDICTS:
        return "unsure", f"verdict= gave {verdict!r:.60}, expected one of {', '.join(VERDICTS)}"
    reasons = outcome.json if isinstance(outcome.json, dict) else {}
    return verdict, next((str(reasons[key])[:300] for key in REASONS if isinstance(reasons.get(key), str)), "")


def _inputs_of(guard: Guard[Any]) -> Callable[[Json, Json], Mapping[str, object]]:
    """The value, and those inputs of the call that the judge's prompt uses."""
    names = guard.policy.prompt.variables
    if names is not None and "value" not in names:
        raise UsageError(
            f"the prompt of judge {guard.name!r} does not show {{{{ value }}}}, so it would judge nothing. Write it there, or"
            " give judge(..., inputs=function of (value, inputs))."
        )

    def judge_inputs(value: Json, call_inputs: Json) -> Mapping[str, object]:
        known = {**call_inputs, "value": value}
        return known if names is None else {name: known[name] for name in names if name in known}

    return judge_inputs


def _refuse_direct_call(value: Json, inputs: Json) -> None:
    raise UsageError("a judge is a model call, which runs within a guarded call; the check cannot be called by itself.")
