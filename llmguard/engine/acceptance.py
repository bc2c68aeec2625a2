"""Whether a model's value may be accepted: `accept=certified(...)` asks for a certificate, before and after.

The certificate is looked up before anything is asked, because its plan says how many samples to draw, and again before the
value is returned, because a resumed call may have begun days ago (DECISIONS 37).
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite

from llmguard.core.canonical import Json, json_roundtrip
from llmguard.core.effects import Flow, Invoke, invoke
from llmguard.core.messages import FailureKind
from llmguard.core.outcome import Violation
from llmguard.engine.acceptance_policy import NO_PERMIT_NEEDED, AcceptancePermit, Score, permit_from
from llmguard.engine.policy import Policy
from llmguard.engine.verdict import Verdict, catch_as_violation
from llmguard.voting.scores import least_confidence

RECHECK = "certificate/still"
"""The address, below the rung's, of the second look-up. A resumed call takes no recorded answer there."""


def look_up_permit(policy: Policy, at: str, step: str = "certificate") -> Flow[AcceptancePermit]:
    """What the certificate that holds now permits; everything, for a guard that does not ask for one."""
    if policy.accept is None:
        return NO_PERMIT_NEEDED
    late = step == RECHECK
    effect: Invoke[Json] = Invoke(f"{at}/{step}", "certificate", policy.accept.lookup, (), ignores_deadline=late)
    return permit_from((yield from invoke(effect)))


def accept(policy: Policy, verdict: Verdict, permit: AcceptancePermit, inputs: Json, at: str) -> Flow[Verdict]:
    """The verdict on the rung: that on its value, if a certificate covers it where the guard asks for one."""
    verdict = apply_acceptance(policy, verdict, permit, inputs)
    if verdict.support.certificate is not None:
        verdict = recheck_certificate(verdict, (yield from look_up_permit(policy, at, RECHECK)))
    return attach_failure_reason(verdict)


def apply_acceptance(policy: Policy, verdict: Verdict, permit: AcceptancePermit, inputs: Json) -> Verdict:
    """The verdict under `accept=certified(...)`: what no certificate covers is proposed, and not returned."""
    if not verdict.passed or (policy.accept is None and verdict.support.vote is None):
        return verdict
    measure = policy.accept.score if policy.accept else "agreement"
    score = catch_as_violation("certified(score=...)", _finite_score, measure, verdict, inputs)
    if isinstance(score, Violation):
        return _propose(verdict, score, "crashed")
    verdict = replace(verdict, support=replace(verdict.support, score=score))
    if policy.accept is None:
        return verdict
    if permit.reason:
        return _propose(verdict, Violation("", "certified", permit.reason))
    if permit.at_least is not None and (score is None or not score >= permit.at_least):
        message = f"its score is below {permit.at_least:g}, from which on the certificate {permit.certificate} holds"
        return _propose(verdict, Violation("", "certified", message, expected=permit.at_least, actual=score))
    return replace(verdict, support=replace(verdict.support, certificate=permit.certificate))


def recheck_certificate(verdict: Verdict, permit: AcceptancePermit) -> Verdict:
    """The verdict, if its certificate is still the one that holds."""
    first = verdict.support.certificate
    if permit.certificate == first and not permit.reason:
        return verdict
    message = permit.reason or f"certificate {first}, by which the call began, is not the newest any more"
    support = replace(verdict.support, certificate=None)
    return _propose(replace(verdict, support=support), Violation("", "certified", message))


def attach_failure_reason(verdict: Verdict) -> Verdict:
    """A failed rung says why in its vote, or in its last request if the reply had passed alone.

    That is where people look for it, also when another rung gave the value.
    """
    if verdict.passed or not verdict.attempts:
        return verdict
    vote, last = verdict.support.vote, verdict.attempts[-1]
    if vote is not None:
        return replace(verdict, support=replace(verdict.support, vote=replace(vote, violations=verdict.violations)))
    if last.failure is not None:
        return verdict
    last = replace(last, failure=verdict.failure, violations=verdict.violations)
    return replace(verdict, attempts=(*verdict.attempts[:-1], last))


def _propose(verdict: Verdict, reason: Violation, failure: FailureKind = "check") -> Verdict:
    """A value that passed everything else is kept as a proposal for a person."""
    support = replace(verdict.support, proposed=(verdict.value,))
    return replace(verdict, failure=failure, value=None, violations=(reason,), support=support)


def _finite_score(measure: Score, verdict: Verdict, inputs: Json) -> float | None:
    """A number, or None where it is unknown. NaN is neither above a threshold nor below, so it is an error."""
    score = _score(measure, verdict, inputs)
    if score is not None and not isfinite(score):
        raise ValueError(f"the score is {score!r}, expected a number")
    return score


def _score(measure: Score, verdict: Verdict, inputs: Json) -> float | None:
    if callable(measure):
        return float(measure(json_roundtrip(verdict.value), inputs))  # a copy: the validated value is returned
    if measure == "agreement":
        return verdict.support.vote.agreement if verdict.support.vote else None
    return least_confidence(verdict.support.fields)
