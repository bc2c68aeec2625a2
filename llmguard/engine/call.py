"""One guarded call, from its first rung to its outcome. It decides, and never acts.

    inputs → prompt → request → reply → parse → validate → pure checks → vote
                        ↑                   │ violations                   │
                        └───── re-ask ──────┘                              ↓
             outcome ← accept? ← effect checks, judges ← pure checks ← validate the assembled value
                          │ no
                          └→ next rung

This module is a table of contents: each step is a file of its own beside it, which has the generator (what is asked of the
world) and the pure decisions that belong to it.

    attempt        one sample: prompt, request, retries, reply, re-asks
    vote           several samples, until the vote is decided
    effect_checks  checks and judges that ask the world, once, on the value to return
    acceptance     whether a certificate allows to accept it
    fallback       a rung without a model
    audit          further samples of a call that was drawn for review
    outcome_assembly  the one outcome, from everything above

Rules: no clock, no network, no randomness; nothing is thrown in here, because every trouble is an answer; what a user's pure
function raises becomes a violation `crashed`; sub-flows share the budget and nothing else.
Addresses are paths, `r<rung>/s<sample>/a<attempt>/t<try>` and `…/c:<check>`: one step, one address.
"""

from __future__ import annotations

from llmguard.core.canonical import Json
from llmguard.core.effects import Flow
from llmguard.core.outcome import Outcome
from llmguard.engine.acceptance import accept, look_up_permit
from llmguard.engine.attempt import draw_sample
from llmguard.engine.audit import complete_audit
from llmguard.engine.budget import BudgetTracker
from llmguard.engine.effect_checks import run_effect_checks
from llmguard.engine.fallback import run_fallback_rung
from llmguard.engine.ladder import EscalateRung, ModelRung
from llmguard.engine.outcome_assembly import LadderResult, assemble_outcome, provisional_value, source_of, status_of
from llmguard.engine.policy import Policy
from llmguard.engine.verdict import Verdict
from llmguard.engine.vote import hold_vote


def guarded_call(
    policy: Policy, inputs: Json, at: str = "", budget: BudgetTracker | None = None, *, audited: bool = False
) -> Flow[Outcome[Json]]:
    """One call.

    Args:
        at: the address prefix of its steps: empty, or that of the check whose judge this call is.
        budget: shared with the call whose judge this is.
        audited: the call was drawn at random for a review, which does not change its value.
    """
    budget = budget or BudgetTracker(policy.budget)
    verdicts: list[Verdict] = []
    result = yield from run_ladder(policy, inputs, at, budget, verdicts)
    if audited:
        verdicts = yield from complete_audit(policy, inputs, at, budget, verdicts)
    return assemble_outcome(policy, result, verdicts, audited=audited)


def run_ladder(
    policy: Policy, inputs: Json, at: str, budget: BudgetTracker, verdicts: list[Verdict]
) -> Flow[LadderResult]:
    """Rung after rung until the value of one passes. Each rung's verdict is added to `verdicts`."""
    for number, rung in enumerate(policy.ladder):
        address = f"{at}r{number}"
        if isinstance(rung, EscalateRung):
            return LadderResult("escalated", rung.label, provisional_value(policy, verdicts))
        if isinstance(rung, ModelRung):
            verdict = yield from run_model_rung(policy, rung, inputs, address, budget)
        else:
            verdict = yield from run_fallback_rung(policy, rung, inputs, address, budget, verdicts)
        verdicts.append(verdict)
        if verdict.passed:
            return LadderResult(status_of(rung, verdicts), source_of(rung, verdict), verdict)
    return LadderResult("rejected", "", None)


def run_model_rung(policy: Policy, rung: ModelRung, inputs: Json, at: str, budget: BudgetTracker) -> Flow[Verdict]:
    """One sample or a vote; then effect checks and judges; then whether the value may be accepted.

    The permit is what a certificate allows, where the guard asks for one: a plan, or a threshold.
    """
    permit = yield from look_up_permit(policy, at)
    if rung.consistency is None:
        verdict = yield from draw_sample(policy, rung, inputs, f"{at}/s0", budget)
    else:
        verdict = yield from hold_vote(policy, permit.apply_to(rung), inputs, at, budget)
    if verdict.passed:
        verdict = yield from run_effect_checks(policy, verdict, inputs, at, budget)
    return (yield from accept(policy, verdict, permit, inputs, at))
