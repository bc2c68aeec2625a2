"""Risk over coverage and reliability of the scores, for one guard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llmguard.certification import Bin, RiskPoint, reliability, risk_coverage
from llmguard.certification.audited_items import is_wrong_if_accepted
from llmguard.engine.acceptance_policy import score_name
from llmguard.operations.certify.evidence import Evidence

MOST_SHOWN = 12
"""Points of a curve in the terminal: about half a screen."""


@dataclass(frozen=True, slots=True)
class Curve:
    """`points` strictest first, of `items` audited ones; `bins` is empty where scores are not from 0 to 1. `score` describes
    what is compared."""

    score: str
    points: tuple[RiskPoint, ...]
    bins: tuple[Bin, ...]
    items: int

    def few(self, most: int = MOST_SHOWN) -> tuple[RiskPoint, ...]:
        """At most `most` points, evenly spaced, with the last one."""
        if len(self.points) <= most:
            return self.points
        return tuple(self.points[number * len(self.points) // most - 1] for number in range(1, most + 1))


def curve_of(evidence: Evidence) -> Curve:
    """The curve by the score of the guard's thresholds; for plans by agreement over all samples of an audit. A review that
    was not done counts as wrong, as it does in the certificate."""
    scored = list(_votes(evidence) if evidence.accept.plans else _scores(evidence))
    items = len(evidence.items)
    usual = all(0 <= score <= 1 for score, _ in scored)
    return Curve(
        _score_description(evidence),
        risk_coverage(scored, among=items),
        reliability(scored) if usual and scored else (),
        items,
    )


def _scores(evidence: Evidence) -> Iterator[tuple[float, bool]]:
    for item in evidence.items:
        if item.score is not None:
            yield item.score, item.verdict != "right"


def _votes(evidence: Evidence) -> Iterator[tuple[float, bool]]:
    votes = evidence.votes
    assert votes is not None, "a guard with plans votes"
    for item in evidence.items:
        vote = votes.vote(item.samples)
        wrong = is_wrong_if_accepted(item, vote.value, votes.is_same_answer) if vote.has_value else None
        if wrong is not None:
            yield vote.agreement, wrong


def _score_description(evidence: Evidence) -> str:
    if evidence.accept.plans:
        return "agreement of all samples"
    score = evidence.accept.score
    if isinstance(score, str):
        return score
    function = score_name(score)
    return (
        f"{function['function'].split('.')[-1]}()" if isinstance(function, dict) and "function" in function else "score"
    )
