"""The one outcome of a call, from everything that its rungs resulted in, and who looks at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llmguard.core.canonical import Json
from llmguard.core.messages import NO_USAGE
from llmguard.core.outcome import Outcome, Status, Violations
from llmguard.engine.ladder import ModelRung, Rung
from llmguard.engine.policy import Policy
from llmguard.engine.verdict import NO_SUPPORT, Support, Verdict, schema_violations


@dataclass(frozen=True, slots=True)
class LadderResult:
    """How a ladder ended: status, source, and the verdict whose value is returned."""

    status: Status
    source: str
    verdict: Verdict | None


def assemble_outcome(
    policy: Policy, result: LadderResult, verdicts: Sequence[Verdict], *, audited: bool = False
) -> Outcome[Json]:
    """The outcome. `verdicts` are those of the rungs that were tried, in order."""
    status, last = result.status, result.verdict
    attempts = tuple(each for verdict in verdicts for each in (*verdict.attempts, *verdict.support.judge_attempts))
    flags = last.flags if last else ()
    support = _model_support(verdicts)
    probability, reason = review_decision(policy, status, flags, audited)
    has_passed = last is not None and last.passed
    return Outcome(
        status=status,
        value=last.value if last else None,
        json=last.value if last else None,
        source=result.source,
        violations=()
        if has_passed and status != "escalated"
        else tuple(v for each in verdicts for v in each.violations),
        flags=flags,
        repairs=last.repairs if last else (),
        attempts=attempts,
        agreement=support.vote.agreement if support.vote else None,
        alternatives=support.alternatives,
        fields=support.fields,
        vote=support.vote,
        judgements=last.support.judgements if last is not None and has_passed else support.judgements,
        score=support.score,
        proposed=support.proposed,
        usage=sum((each.usage for each in attempts), NO_USAGE),
        certificate=support.certificate,
        skipped_checks=last.skipped if last else (),
        review_probability=probability,
        review_reason=reason,
    )


def _model_support(verdicts: Sequence[Verdict]) -> Support:
    """That of the last model rung that passed, proposed a value or voted; a vote is kept also if another rung answered."""
    by_model = (each for each in reversed(verdicts) if each.attempts)
    return next(
        (each.support for each in by_model if each.passed or each.support.proposed or each.support.vote), NO_SUPPORT
    )


def review_decision(policy: Policy, status: Status, flags: Violations, audited: bool) -> tuple[float, str]:
    """With what probability, and why, a person looks at this outcome.

    Only a random draw is evidence about the other calls, so an outcome that was drawn and escalated counts as drawn.
    """
    if audited:
        return policy.audit, "audit"
    if status == "escalated":
        return 1.0, "escalated"
    return (1.0, "flagged") if flags else (policy.audit, "")


def label_violations(rung: Rung, verdict: Verdict) -> Verdict:
    """Violations of a deterministic rung's value name the rung; those of a model's are listed with its attempt."""
    if not verdict.violations:
        return verdict
    labelled = tuple(replace(each, message=f"{rung.label}: {each.message}") for each in verdict.violations)
    return replace(verdict, violations=labelled)


def source_of(rung: Rung, verdict: Verdict) -> str:
    """Where the value is from: the rung, or in a vote the sample that replaces what was assembled."""
    vote = verdict.support.vote
    return "medoid" if vote is not None and vote.source == "medoid" else rung.label


def status_of(rung: Rung, verdicts: Sequence[Verdict]) -> Status:
    """`accepted` where each sample was one request and nothing was repaired."""
    if not isinstance(rung, ModelRung):
        return "fallback"
    first = verdicts[0]
    samples = len(first.support.vote.samples) if first.support.vote else 1
    clean = len(verdicts) == 1 and len(first.attempts) == samples and not first.repairs
    return "accepted" if clean else "recovered"


def provisional_value(policy: Policy, verdicts: Sequence[Verdict]) -> Verdict | None:
    """The draft that a person is shown: the last candidate that fits the schema, though a check objected."""
    for verdict in reversed(verdicts):
        if verdict.candidate and not schema_violations(policy.schema, verdict.candidate[0]):
            return replace(verdict, value=verdict.candidate[0])
    return None
