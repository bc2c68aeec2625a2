"""Finished calls with their newest review, as certificates, drift alarms and reports on judges need them."""

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
    """One finished call and its newest review.

    `accepted`: its value was accepted automatically; `certificate`: under which certificate, or None. `started_at`: seconds
    since the epoch. `judgements` are of the value that the review is about.
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
    """A call that has an outcome, with all its reviews."""

    call_id: str
    started_at: float
    outcome: Outcome[Json]
    reviews: Sequence[Review] = ()


def audit_of(call: FinishedCall) -> Audit:
    """The call with its newest review."""
    outcome = call.outcome
    newest = in_order(call.reviews)[-1:]
    of_another_value = outcome.status == "fallback" and outcome.candidate  # judges saw the fallback's value
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
    """A missing candidate, or one that schema, checks or judges refused, would not be accepted under any plan: such an item
    has no score. It keeps its samples: a looser plan would have continued, to another value that might pass."""
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
    """A call without a candidate gives a reviewer nothing to review, or only a fallback's value. It counts as unsure and not
    as a review that was not done: too many of those void a certificate."""
    if not outcome.candidate:
        return "unsure"
    return newest[0].verdict if newest else None


def _sample_votes(outcome: Outcome[Json]) -> tuple[Ballot, ...]:
    """The samples before the deadline or the budget ended the vote: a sample that was not taken disagrees with nothing."""
    samples = outcome.vote.samples if outcome.vote else ()
    in_time = takewhile(lambda sample: sample.failure not in ("deadline", "budget"), samples)
    return tuple(sample.value if sample.valid else INVALID for sample in in_time)


def judged_pairs(audits: Iterable[Audit]) -> dict[str, list[tuple[Verdict, Verdict]]]:
    """For each judge, by the name of its check: its verdict and the reviewer's, for `certification.cohens_kappa`. Calls
    without a review are left out."""
    pairs: dict[str, list[tuple[Verdict, Verdict]]] = {}
    for audit in audits:
        if audit.review is None:
            continue
        for judgement in audit.judgements:
            pairs.setdefault(judgement.check, []).append((judgement.verdict, audit.review.verdict))
    return pairs
