"""Plans against 24 fixed samples on recorded samples of a small model, in the folder that LLMGUARD_CORPORA names.

For each task: accuracy of the stops for the answer; then the coverage that fixed samples with a threshold on agreement,
and acceptance plans of a third of the samples, reach at an observed and at a certified error rate.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmguard.certification import AuditedItem, Certificate, certify, plans, thresholds
from llmguard.certification.audited_items import PlanPolicy
from llmguard.voting import INVALID, Draw, Fixed, Plan, Predictive, SelfConsistency, VoteResult

TASKS = {"sentiment": "exact", "routing": "exact", "total": "number"}
MOST = 24
FAMILY = ((12, 1, 0), (9, 2, 1), (8, 1, 1), (7, 2, 1), (6, 2, 1), (6, 1, 1), (5, 2, 1), (5, 1, 1), (4, 2, 1), (3, 2, 1))
FAMILY += ((3, 2, 2), (3, 1, 2), (2, 2, 2))


@dataclass(frozen=True)
class Drawn:
    """What a way of drawing made of all items: for each, accepted or not and wrong or not; and the mean samples."""

    name: str
    verdicts: tuple[bool | None, ...]
    samples: float

    def coverage(self) -> float:
        return sum(each is not None for each in self.verdicts) / len(self.verdicts)

    def risk(self) -> float:
        return sum(map(bool, self.verdicts)) / max(1, sum(each is not None for each in self.verdicts))


def items_of(folder: Path, task: str, votes: SelfConsistency) -> list[AuditedItem]:
    rows: list[dict[str, Any]] = []
    with gzip.open(folder / f"samples_{task}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows += map(json.loads, lines)
    return [item(row, votes) for row in rows]


def item(row: dict[str, Any], votes: SelfConsistency) -> AuditedItem:
    samples = tuple(each["value"] if each["valid"] else INVALID for each in row["samples"])
    vote = votes.vote(samples)
    right = vote.has_value and votes.is_same_answer(vote.value, row["gold"])
    return AuditedItem(
        id=row["id"],
        probability=1.0,
        samples=samples,
        candidate=vote.value,
        score=vote.agreement,
        verdict="right" if right else "wrong",
        correction=(row["gold"],),
    )


def in_batches(votes: SelfConsistency, samples: Sequence[Any]) -> tuple[VoteResult, int]:
    drawn = 0
    while isinstance(step := votes.next(samples[:drawn]), Draw):
        drawn += step.count
    return step, drawn


def by_plan(votes: SelfConsistency, items: Sequence[AuditedItem], plan: Plan) -> Drawn:
    policy = PlanPolicy(replace(votes, plan=plan, stop=None))
    drawn = [in_batches(policy.consistency, each.samples)[1] for each in items]
    return Drawn(str(plan), tuple(map(policy.is_wrong, items)), sum(drawn) / len(drawn))


def by_threshold(items: Sequence[AuditedItem], at_least: int) -> Drawn:
    (policy,) = thresholds(at_least / MOST)
    return Drawn(f">= {at_least} of {MOST}", tuple(map(policy.is_wrong, items)), MOST)


def stops(votes: SelfConsistency, items: Sequence[AuditedItem]) -> None:
    for stop in (Fixed(1), Fixed(8), Fixed(MOST), Predictive(0.05), Predictive(0.02)):
        trial, right, used = replace(votes, stop=stop), 0, 0
        for each in items:
            settled, drawn = in_batches(trial, each.samples)
            right += settled.vote.has_value and votes.is_same_answer(settled.vote.value, each.correction[0])
            used += drawn
        print(f"  {stop!s:24} {used / len(items):5.2f} samples, {right / len(items):.3f} right")


def observed(fixed: Sequence[Drawn], planned: Sequence[Drawn]) -> None:
    for alpha in (0.05, 0.075, 0.10, 0.125, 0.15):
        one, other = best(fixed, alpha), best(planned, alpha)
        share = f" = {other.coverage() / one.coverage():.0%}" if one and other and one.coverage() else ""
        print(f"  observed error <= {alpha:5.1%}: fixed {covers(one)}; plan {covers(other)}{share}")


def best(drawn: Sequence[Drawn], alpha: float) -> Drawn | None:
    return max((each for each in drawn if each.risk() <= alpha and each.coverage()), key=Drawn.coverage, default=None)


def covers(drawn: Drawn | None) -> str:
    return f"{drawn.name} {drawn.coverage():.3f} at {drawn.samples:.1f} samples" if drawn else "none"


def certified(votes: SelfConsistency, items: Sequence[AuditedItem]) -> None:
    levels = thresholds(*(level / MOST for level in range(MOST, MOST - 16, -1)))
    family = plans(votes, *FAMILY)
    for alpha in (0.10, 0.15, 0.20):
        found = [certify(items, each, alpha, 0.10) for each in (levels, family)]
        said = [
            f"{each.policy} covers {each.tested.coverage:.3f}" if isinstance(each, Certificate) else "nothing"
            for each in found
        ]
        print(f"  certified {alpha:.0%} at 90 %: {MOST} fixed {said[0]}; plans {said[1]}")


def main() -> None:
    folder = os.environ.get("LLMGUARD_CORPORA")
    if not folder:
        print("samples: LLMGUARD_CORPORA names no folder; nothing to measure")
        return
    for task, comparator in TASKS.items():
        votes = SelfConsistency(n_max=MOST, stop=Fixed(MOST), fields={"": comparator})
        items = items_of(Path(folder), task, votes)
        print(f"\n{task}: {len(items)} items")
        stops(votes, items)
        every = [Plan(n0, k, c) for n0 in range(2, 21) for k in (1, 2, 3) for c in range(5) if n0 + k * c <= MOST]
        planned = [each for each in (by_plan(votes, items, plan) for plan in every) if each.samples <= MOST / 3]
        observed([by_threshold(items, level) for level in range(1, MOST + 1)], planned)
        certified(votes, items)


if __name__ == "__main__":
    main()
