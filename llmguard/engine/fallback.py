"""A rung without a model: its value is validated like a reply."""

from __future__ import annotations

from collections.abc import Sequence

from llmguard.core.canonical import Json
from llmguard.core.effects import Crashed, Flow, Invoke, invoke
from llmguard.core.outcome import Violation
from llmguard.engine.budget import BudgetTracker
from llmguard.engine.effect_checks import run_effect_checks
from llmguard.engine.ladder import FallbackRequest, FallbackRung, FallbackValue
from llmguard.engine.outcome_assembly import label_violations
from llmguard.engine.policy import Policy
from llmguard.engine.verdict import Verdict, validate_value


def run_fallback_rung(
    policy: Policy, rung: FallbackRung, inputs: Json, at: str, budget: BudgetTracker, verdicts: Sequence[Verdict]
) -> Flow[Verdict]:
    """The verdict on a deterministic rung's value: schema and pure checks always, effect checks while time is left."""
    answer = rung.answer(fallback_request(policy, inputs, at, verdicts))
    if isinstance(answer, Invoke):
        result = yield from invoke(answer)
        answer = result if isinstance(result, FallbackValue | Crashed) else FallbackValue(result)
    if isinstance(answer, Crashed):
        return Verdict(failure="crashed", violations=(Violation("", "crashed", f"{rung.label}: {answer.error}"),))
    verdict = validate_value(policy, answer.value, inputs, answer.repairs, validate=True)
    if verdict.passed:
        verdict = yield from run_effect_checks(policy, verdict, inputs, at, budget, lenient=True)
    return label_violations(rung, verdict)


def fallback_request(policy: Policy, inputs: Json, at: str, verdicts: Sequence[Verdict]) -> FallbackRequest:
    """What a rung may look at: the inputs, and the last value that could be parsed with what is wrong with it."""
    last = next((each for each in reversed(verdicts) if each.candidate), None)
    return FallbackRequest(
        address=at,
        guard=policy.name,
        inputs=inputs,
        schema=policy.schema,
        candidate=last.candidate if last else (),
        violations=last.violations if last else (),
    )
