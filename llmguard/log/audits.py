"""Reviewed calls as a certificate, a drift alarm and a report on judges need them: outcome and newest review in one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from llmguard.certification.audited_items import AuditedItem, Verdict
from llmguard.core.canonical import Json
from llmguard.core.outcome import Judgement, Outcome
from llmguard.log.reviews import Review, in_order
from llmguard.voting.votes import INVALID, Ballot


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """One finished call and what came of its review.

    `accepted`: its value was handed out automatically; `certificate`: under which certificate, or None.
    `started_at`: seconds since the epoch. `judgements` are of the value that the review judges; `review` is the newest.
    """

    item: AuditedItem
    call_id: str
    started_at: float
    certificate: str | None = None
    accepted: bool = False
    judgements: tuple[Judgement, ...] = ()
    review: Review | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedCall:
    """A call that has an outcome, as a log gives it."""

    call_id: str
    started_at: float
    outcome: Outcome[Json]
    reviews: Sequence[Review] = ()


def audit_of(call: FinishedCall) -> Audit:
    """The call with its newest review."""
    outcome = call.outcome
    newest = in_order(call.reviews)[-1:]
    of_another_value = outcome.status == "fallback" and outcome.candidate  # the fallback's, not the model's
    return Audit(
        item=_item(call.call_id, outcome, newest),
        call_id=call.call_id,
        started_at=call.started_at,
        certificate=outcome.certificate,
        accepted=outcome.is_from_model,
        judgements=() if of_another_value else outcome.judgements,
        review=newest[0] if newest else None,
    )


def _item(call_id: str, outcome: Outcome[Json], newest: Sequence[Review]) -> AuditedItem:
    """Where there is no candidate, or schema, checks or judges objected to it, nobody would have accepted it: such an
    item has no score. It keeps its samples: a looser plan would have gone on, to another value that nobody refused."""
    refused = outcome.vote is not None and outcome.vote.refused
    return AuditedItem(
        id=call_id,
        probability=outcome.review_probability or None,
        reason=outcome.review_reason,
        verdict=_verdict(outcome, newest),
        candidate=outcome.candidate[0] if outcome.candidate else None,
        correction=newest[0].correction if newest else (),
        score=outcome.score if outcome.candidate and not refused else None,
        samples=_sample_votes(outcome),
        refused=refused,
    )


def _verdict(outcome: Outcome[Json], newest: Sequence[Review]) -> Verdict | None:
    """A call without a candidate gives a reviewer nothing to judge, or only what a rule answered. It is not a review that
    was left undone, of which too many void a certificate."""
    if not outcome.candidate:
        return "unsure"
    return newest[0].verdict if newest else None


def _sample_votes(outcome: Outcome[Json]) -> tuple[Ballot, ...]:
    """The samples up to where time or budget cut the drawing off: what was not drawn dissents from nothing."""
    samples = outcome.vote.samples if outcome.vote else ()
    drawn = takewhile(lambda sample: sample.failure not in ("deadline", "budget"), samples)
    return tuple(sample.value if sample.valid else INVALID for sample in drawn)


def judged_pairs(audits: Iterable[Audit]) -> dict[str, list[tuple[Verdict, Verdict]]]:
    """For each judge by the name of its check: its verdicts beside people's, for `certify.cohens_kappa`. Calls that
    nobody has reviewed are left out."""
    pairs: dict[str, list[tuple[Verdict, Verdict]]] = {}
    for audit in audits:
        if audit.review is None:
            continue
        for judgement in audit.judgements:
            pairs.setdefault(judgement.check, []).append((judgement.verdict, audit.review.verdict))
    return pairs
