"""A check that is itself a guarded call to a model: asked once, of the value to hand out, recorded and replayed like any."""

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
        inputs: what the guard is asked, from (value, inputs): `value` and the inputs of its prompt if not given.
        verdict: reads the guard's value (as JSON) where it says something else.
        severity: "flag" accepts what the judge objects to, and sends it to review.
        version: stands for the guard's fingerprint and the sources of `inputs` and `verdict`.

    The judge's requests count in the call's budget and cost. Where it gives no value it is unsure, and unsure objects. How
    well it agrees with people is in `llmguard certify GUARD`.

    Raises:
        UsageError: no guard; or its prompt takes what neither the value nor the inputs give.

    >>> from llmguard.testing import ScriptedModel
    >>> polite = Guard("polite", prompt="Is this polite? {{ value }}", schema=bool, models=[ScriptedModel(["false"])], log=None)
    >>> answer = Guard(
    ...     "answer", prompt="{{ question }}", schema=str, models=[ScriptedModel(["Go away."])], checks=[judge(polite)], log=None
    ... )
    >>> answer.run(question="When do you open?").violations[0].message
    'the judge says wrong'
    """
    if not isinstance(guard, Guard):
        raise UsageError(f"judge(...) takes a guard that answers right or wrong, found {type(guard).__name__}.")
    called = name or guard.name
    asked = inputs or _inputs_of(guard)
    read = verdict or verdict_of

    def judged(value: Json, given: Json, at: str, budget: BudgetTracker) -> Flow[JudgeResult]:
        try:
            question = checked_inputs(guard.policy, asked(value, given))
        except (UsageError, EncodingError) as error:
            return JudgeResult(Judgement(check=called, verdict="unsure", said=str(error)), (_objection(str(error)),))
        except Exception as error:  # the user's own function
            said = f"inputs= of judge {called!r} raised {type(error).__name__}: {str(error)[:300]}"
            return JudgeResult(Judgement(check=called, verdict="unsure", said=said), (_objection(said),))
        outcome = yield from guarded_call(guard.policy, question, at, budget)
        return _judged(outcome)

    def _judged(outcome: Outcome[Json]) -> JudgeResult:
        found, said = _read(outcome, read)
        violations = () if found == "right" else (_objection(f"the judge says {found}{': ' if said else ''}{said}"),)
        late = not outcome.has_value and any(each.failure in ("deadline", "budget") for each in outcome.attempts)
        return JudgeResult(Judgement(check=called, verdict=found, said=said), violations, outcome.attempts, late)

    def _objection(said: str) -> Violation:
        return Violation("", called, said, severity=severity)

    description = version or _described(guard, inputs, verdict)
    return Check(
        name=called, function=_asked_in_flow, effect=True, severity=severity, version=description, judge=judged
    )


def _described(guard: Guard[Any], *own: Callable[..., object] | None) -> str:
    """Another question, or another reading of its answer, is another check."""
    functions = [each and describe_function(each) for each in own]
    return f"judge {guard.fingerprint}" + (f" {digest(functions)}" if any(functions) else "")


def verdict_of(value: Json) -> JudgeVerdict:
    """What a judge's value says.

    >>> verdict_of(True), verdict_of({"verdict": "wrong", "reason": "it rhymes"}), verdict_of("maybe")
    ('right', 'wrong', 'unsure')
    """
    if isinstance(value, dict):
        value = value.get("verdict")
    if isinstance(value, bool):
        return "right" if value else "wrong"
    return cast(JudgeVerdict, value) if isinstance(value, str) and value in VERDICTS else "unsure"


def _read(outcome: Outcome[Json], read: Callable[[Json], JudgeVerdict]) -> tuple[JudgeVerdict, str]:
    if not outcome.has_value:
        return "unsure", f"it ended {outcome.status}"
    try:
        found = read(outcome.json)
    except Exception as error:  # the user's own function
        return "unsure", f"verdict= raised {type(error).__name__}: {str(error)[:300]}"
    if found not in VERDICTS:
        return "unsure", f"verdict= gave {found!r:.60}, expected one of {', '.join(VERDICTS)}"
    reasons = outcome.json if isinstance(outcome.json, dict) else {}
    return found, next((str(reasons[key])[:300] for key in REASONS if isinstance(reasons.get(key), str)), "")


def _inputs_of(guard: Guard[Any]) -> Callable[[Json, Json], Mapping[str, object]]:
    """The value, and those inputs of the call that the judge's prompt asks for."""
    names = guard.policy.prompt.variables
    if names is not None and "value" not in names:
        raise UsageError(
            f"the prompt of judge {guard.name!r} does not show {{{{ value }}}}, so it would judge nothing. Write it there, or"
            " give judge(..., inputs=function of (value, inputs))."
        )

    def asked(value: Json, given: Json) -> Mapping[str, object]:
        known = {**given, "value": value}
        return known if names is None else {name: known[name] for name in names if name in known}

    return asked


def _asked_in_flow(value: Json, inputs: Json) -> None:
    raise UsageError("a judge is asked by the flow of a guard; it cannot be called by itself.")
