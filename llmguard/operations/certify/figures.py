"""What a guard's automatic acceptance costs, from its log: samples, money, escalations, agreement, labels still needed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

from llmguard.certification import Certificate, CertificateRefusal, PlanPolicy, labels_needed
from llmguard.certification.sequential_testing import Tested
from llmguard.core.canonical import Json
from llmguard.core.outcome import MODEL_STATUSES
from llmguard.core.prices import cost_usd
from llmguard.guard.guard import Guard
from llmguard.log import GuardStats
from llmguard.operations.certify.evidence import Evidence
from llmguard.voting import VoteResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """`calls` since the first audit, all versions of the guard: how they ended, and what each that a model answered cost in
    requests and US dollars (None: no price is known).

    `samples`: for each plan, the mean number of samples of a vote under it. `fields`: mean agreement of each voted field,
    the worst first. `labels`: for some alpha, how many more audited outputs that `policy` accepts would certify it at the
    same error rate: 0 where the present ones do, None where more would not help.
    """

    calls: int = 0
    statuses: Mapping[str, int] = field(default_factory=dict)
    requests_per_accepted: float | None = None
    usd_per_accepted: float | None = None
    samples: Mapping[str, float] = field(default_factory=dict)
    fields: Mapping[str, float] = field(default_factory=dict)
    policy: str = ""
    labels: Mapping[float, int | None] = field(default_factory=dict)

    @property
    def automatic(self) -> int:
        return sum(self.statuses.get(status, 0) for status in MODEL_STATUSES)


def figures_of(guard: Guard[Json], evidence: Evidence, result: Certificate | CertificateRefusal) -> Figures:
    """The figures of a guard, from the calls in its log since the first audit."""
    since = min((audit.started_at for audit in evidence.audits), default=None)
    stats = guard.log.stats(guard=guard.name, since=since) if since is not None else ()
    row = _best_row(result)
    calls = _calls(stats[0]) if stats else Figures()
    return Figures(
        calls=calls.calls,
        statuses=calls.statuses,
        requests_per_accepted=calls.requests_per_accepted,
        usd_per_accepted=calls.usd_per_accepted,
        samples=_samples(evidence),
        fields=_fields(evidence),
        policy=row.policy,
        labels=_labels(row, evidence),
    )


def _calls(stats: GuardStats) -> Figures:
    requests = sum(use.requests for use in stats.models)
    costs = [cost_usd(use.model, use.usage) for use in stats.models if use.usage.total_tokens]
    counted = Figures(calls=stats.calls, statuses=stats.statuses)
    if not counted.automatic:
        return counted
    known = [cost for cost in costs if cost is not None]
    return Figures(
        calls=stats.calls,
        statuses=stats.statuses,
        requests_per_accepted=requests / counted.automatic,
        usd_per_accepted=sum(known) / counted.automatic if known and len(known) == len(costs) else None,
    )


def _best_row(result: Certificate | CertificateRefusal) -> Tested:
    """The certified policy, or the one that came nearest."""
    return result.tested if isinstance(result, Certificate) else min(result.table, key=lambda row: row.bound)


def _samples(evidence: Evidence) -> dict[str, float]:
    """The mean number of samples that each plan would have used of the audits, which drew all samples."""
    means: dict[str, float] = {}
    voted = [audit.item.samples for audit in evidence.audits if audit.item.samples]
    for policy in evidence.family if voted else ():
        if isinstance(policy, PlanPolicy):
            ended = [policy.consistency.next(samples) for samples in voted]
            used = [
                each.used if isinstance(each, VoteResult) else len(samples)
                for each, samples in zip(ended, voted, strict=True)
            ]
            means[policy.name] = fmean(used)
    return means


def _fields(evidence: Evidence) -> dict[str, float]:
    if evidence.votes is None:
        return {}
    agreements: defaultdict[str, list[float]] = defaultdict(list)
    for audit in evidence.audits:
        vote = evidence.votes.vote(audit.item.samples)
        for pointer, each in vote.fields.items():
            agreements[pointer].append(each.agreement)
    means = {pointer: fmean(each) for pointer, each in agreements.items()}
    return dict(sorted(means.items(), key=lambda each: each[1]))


def _labels(row: Tested, evidence: Evidence) -> dict[float, int | None]:
    alpha, delta = evidence.accept.alpha, evidence.accept.delta
    return {target: _more(row, target, delta) for target in (alpha / 2, alpha, min(2 * alpha, 0.5))}


def _more(row: Tested, alpha: float, delta: float) -> int | None:
    """Labels that would certify alpha with a probability of 80 %."""
    if row.bound <= alpha:
        return 0
    needed = labels_needed(alpha, row.wrong / row.accepted if row.accepted else 0.0, delta)
    return None if needed is None else max(1, needed - row.accepted)
