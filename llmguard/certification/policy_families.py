"""From a guard's `accept=` to the policies that a certificate tests, and from a certified policy to its parameters."""

from __future__ import annotations

from llmguard.certification.audited_items import Family, plans, thresholds
from llmguard.core.canonical import Json
from llmguard.engine.acceptance_policy import Acceptance
from llmguard.voting import SelfConsistency


def family_of(accept: Acceptance, votes: SelfConsistency | None) -> Family:
    """The family of `accept`, strict to loose, over the votes of its guard.

    >>> from llmguard.engine.acceptance_policy import certified
    >>> [policy.name for policy in family_of(certified(0.02, thresholds=(1.0, 0.8)), None)]
    ['score >= 1', 'score >= 0.8']
    """
    if accept.plans and votes is not None:
        return plans(votes, *accept.plans)
    return thresholds(*accept.thresholds)


def policy_parameters(accept: Acceptance, policy: str) -> dict[str, Json]:
    """The parameters of the policy of this name: the plan of its votes, or the least score. `{"void": why}` where the
    guard has no such policy: the result is recorded with the call that looked it up.

    >>> from llmguard.engine.acceptance_policy import certified
    >>> policy_parameters(certified(0.02, plans=[(5, 1, 0), (3, 2, 1)]), "plan (5, 1, 0)")
    {'plan': [5, 1, 0]}
    """
    for plan in accept.plans:
        if str(plan) == policy:
            return {"plan": [plan.n0, plan.k, plan.c]}
    for least, threshold in zip(accept.thresholds, thresholds(*accept.thresholds), strict=True):
        if threshold.name == policy:
            return {"at_least": least}
    return {"void": f"the certified policy ({policy}) is not one of this guard's"}
