"""A call that was drawn for review: all samples of its vote, and every candidate checked.

So one review says also what other acceptance plans would have done. It comes last, with the time and budget that are left,
and changes nothing of the call's value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from llmguard.core.canonical import Json
from llmguard.core.effects import Flow
from llmguard.core.outcome import Sample
from llmguard.engine.budget import BudgetTracker
from llmguard.engine.effect_checks import run_effect_checks
from llmguard.engine.ladder import ModelRung
from llmguard.engine.policy import Policy
from llmguard.engine.verdict import Verdict
from llmguard.engine.vote import draw_samples
from llmguard.engine.vote_record import sample_of


def complete_audit(
    policy: Policy, inputs: Json, at: str, budget: BudgetTracker, verdicts: Sequence[Verdict]
) -> Flow[list[Verdict]]:
    """The rungs' verdicts with the checks and samples that had been left out."""
    completed: list[Verdict] = []
    for number, (rung, verdict) in enumerate(zip(policy.ladder, verdicts, strict=False)):
        address = f"{at}r{number}"
        if is_unchecked(verdict):
            verdict = yield from run_effect_checks(policy, verdict, inputs, address, budget, lenient=True)
        while isinstance(rung, ModelRung) and (count := missing_samples(rung, verdict, budget)):
            first = sample_count(verdict)
            samples = yield from draw_samples(policy, rung, inputs, address, budget, first, count)
            verdict = with_samples(rung, verdict, samples)
        completed.append(verdict)
    return completed


def is_unchecked(verdict: Verdict) -> bool:
    """Whether effect checks and judges did not see a candidate, because too few samples agreed on it."""
    vote = verdict.support.vote
    return vote is not None and bool(vote.candidate) and not vote.accepted and not vote.refused


def missing_samples(rung: ModelRung, verdict: Verdict, budget: BudgetTracker) -> int:
    """How many samples an audit still draws: none once time or budget have ended."""
    vote = verdict.support.vote
    if rung.consistency is None or vote is None or budget.is_exhausted or any(map(_is_cut_off, vote.samples)):
        return 0
    return max(0, rung.consistency.n_max - len(vote.samples))


def sample_count(verdict: Verdict) -> int:
    return len(verdict.support.vote.samples) if verdict.support.vote else 0


def with_samples(rung: ModelRung, verdict: Verdict, more: Sequence[Verdict]) -> Verdict:
    """The verdict with samples that had no part in its decision."""
    vote = verdict.support.vote
    assert vote is not None
    samples = (sample_of(rung, number, each) for number, each in enumerate(more, start=len(vote.samples)))
    attempts = (*verdict.attempts, *(attempt for each in more for attempt in each.attempts))
    support = replace(verdict.support, vote=replace(vote, samples=(*vote.samples, *samples)))
    return replace(verdict, attempts=attempts, support=support)


def _is_cut_off(sample: Sample) -> bool:
    return sample.failure in ("deadline", "budget")
