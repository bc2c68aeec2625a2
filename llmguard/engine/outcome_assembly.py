"""How a call ends: of all that its rungs came to, the one outcome, and who shall look at it."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from llmguard.core.canonical import Json
from llmguard.core.messages import NO_USAGE
from llmguard.core.outcome import Outcome, Status, Violations
from llmguard.engine.ladder import ModelRung, Rung
from llmguard.engine.policy import Policy
from llmguard.engine.verdict import NO_SUPPORT, Support, Verdict, validated

Ending: TypeAlias = "tuple[Status, str, Verdict | None]"
"""How a ladder ended: status, source, and the verdict whose value is handed out."""


def ended(
    policy: Policy, status: Status, source: str, told: list[Verdict], last: Verdict | None = None, audited: bool = False
) -> Outcome[Json]:
    """The one outcome, of all that the rungs came to."""
    attempts = tuple(each for verdict in told for each in (*verdict.attempts, *verdict.support.judging))
    failed = tuple(each for verdict in told for each in verdict.violations)
    flags = last.flags if last else ()
    support = _support(told)
    judgements = last.support.judgements if last and last.passed else support.judgements
    probability, reason = review_of(policy, status, flags, audited)
    return Outcome(
        status=status,
        value=last.value if last else None,
        json=last.value if last else None,
        source=source,
        violations=() if last and last.passed and status != "escalated" else failed,
        flags=flags,
        repairs=last.repairs if last else (),
        attempts=attempts,
        agreement=support.vote.agreement if support.vote else None,
        alternatives=support.alternatives,
        fields=support.fields,
        vote=support.vote,
        judgements=judgements,
        score=support.score,
        proposed=support.proposed,
        usage=sum((each.usage for each in attempts), NO_USAGE),
        certificate=support.certificate,
        skipped_checks=last.skipped if last else (),
        review_probability=probability,
        review_reason=reason,
    )


def _support(told: list[Verdict]) -> Support:
    """Of the last model's say: of the rung that passed, or else of a vote, which is kept also where another rung answered."""
    asked = [each for each in told if each.attempts]
    said = (each.support for each in reversed(asked) if each.passed or each.support.proposed or each.support.vote)
    return next(said, NO_SUPPORT)


def review_of(policy: Policy, status: Status, flags: Violations, audited: bool) -> tuple[float, str]:
    """With what probability, and why, a person looks at this outcome. Only a random draw says something of the others,
    so an outcome that was drawn and escalated counts as drawn."""
    if audited:
        return policy.audit, "audit"
    if status == "escalated":
        return 1.0, "escalated"
    return (1.0, "flagged") if flags else (policy.audit, "")


def named(rung: Rung, verdict: Verdict) -> Verdict:
    """What is wrong with a deterministic rung's value says whose value it was; a model's stands with its attempt."""
    told = (replace(each, message=f"{rung.label}: {each.message}") for each in verdict.violations)
    return replace(verdict, violations=tuple(told)) if verdict.violations else verdict


def source_of(rung: Rung, verdict: Verdict) -> str:
    """Who gave the value: the rung, or in a vote the sample that stands in for what was assembled."""
    vote = verdict.support.vote
    return "medoid" if vote is not None and vote.source == "medoid" else rung.label


def status_of(rung: Rung, told: list[Verdict]) -> Status:
    """`accepted` where each sample was one request and nothing was mended."""
    if not isinstance(rung, ModelRung):
        return "fallback"
    first = told[0]
    samples = len(first.support.vote.samples) if first.support.vote else 1
    clean = len(told) == 1 and len(first.attempts) == samples and not first.repairs
    return "accepted" if clean else "recovered"


def provisional(policy: Policy, told: list[Verdict]) -> Verdict | None:
    """What a person is shown as a draft: the last candidate that fits the schema, though a check objected."""
    for verdict in reversed(told):
        if verdict.candidate and not validated(policy.schema, verdict.candidate[0]):
            return replace(verdict, value=verdict.candidate[0])
    return None
