"""Whether certificates keep their promise: simulated guards of known truth, calibrated a thousand times each.

A promise at delta may be broken in delta of all calibrations, and by chance in three binomial standard errors more. Truth
is a table of agreement levels: how often each comes and how often it is wrong. Prints measured rates beside the promise.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from llmguard.certification import AuditedItem, Certificate, certify, fixed_sequence, thresholds
from llmguard.certification.audited_items import Verdict
from llmguard.certification.drift import drift_evidence
from llmguard.certification.eprocess import wealth
from llmguard.certification.sequential_testing import loosest_certified, p_value

RUNS = 1_000
LABELS = (200, 500, 2_000)


@dataclass(frozen=True)
class Truth:
    """A guard of known truth. Levels go from the highest agreement down; policy t accepts the first t + 1 of them."""

    name: str
    alpha: float
    delta: float
    shares: tuple[float, ...]
    errors: tuple[float, ...]

    def risks(self) -> list[float]:
        """The true error rate among what each policy accepts."""
        return [
            sum(s * e for s, e in zip(self.shares[: t + 1], self.errors, strict=False)) / sum(self.shares[: t + 1])
            for t in range(len(self.shares))
        ]

    def coverage(self, policy: int | None) -> float:
        return 0.0 if policy is None else sum(self.shares[: policy + 1])

    def oracle(self) -> float:
        """The coverage of the loosest policy in an unbroken row from the strictest that keeps the promise."""
        best = 0.0
        for t, risk in enumerate(self.risks()):
            if risk > self.alpha:
                break
            best = self.coverage(t)
        return best


SETTINGS = (
    Truth("easy: agreement tells a lot", 0.02, 0.05, (0.55, 0.15, 0.1, 0.1, 0.1), (0.003, 0.02, 0.06, 0.2, 0.5)),
    Truth("loan desk: 10 samples", 0.03, 0.10, (0.42, 0.18, 0.1, 0.1, 0.1, 0.1), (0.01, 0.03, 0.08, 0.15, 0.3, 0.5)),
    Truth("edge: first policy just above alpha", 0.05, 0.05, (0.6, 0.2, 0.1, 0.1), (0.0502, 0.052, 0.06, 0.3)),
    Truth("edge: second policy just above alpha", 0.05, 0.10, (0.4, 0.3, 0.2, 0.1), (0.02, 0.0905, 0.1, 0.4)),
    Truth("hopeless: confidently wrong", 0.10, 0.05, (0.5, 0.3, 0.2), (0.12, 0.2, 0.4)),
)


def allowed(delta: float, runs: int = RUNS) -> float:
    return delta + 3 * (delta * (1 - delta) / runs) ** 0.5


def counts_of(truth: Truth, labels: int, chance: random.Random) -> list[tuple[int, int]]:
    """(accepted, wrong) of each policy on so many audited calls."""
    cells = [(level, wrong) for level in range(len(truth.shares)) for wrong in (False, True)]
    weights = [
        share * (error if wrong else 1 - error)
        for share, error in zip(truth.shares, truth.errors, strict=True)
        for wrong in (False, True)
    ]
    seen = Counter(chance.choices(cells, weights, k=labels))
    found, accepted, wrong = [], 0, 0
    for level in range(len(truth.shares)):
        accepted += seen[level, False] + seen[level, True]
        wrong += seen[level, True]
        found.append((accepted, wrong))
    return found


def naive(counts: Sequence[tuple[int, int]], alpha: float) -> int | None:
    """What one does without statistics: the loosest threshold whose observed error rate is at most alpha."""
    fitting = [t for t, (accepted, wrong) in enumerate(counts) if accepted and wrong / accepted <= alpha]
    return fitting[-1] if fitting else None


def broken(truth: Truth, policy: int | None) -> bool:
    return policy is not None and truth.risks()[policy] > truth.alpha


# ------------------------------------------------------------------------------------------------- one scheduled look


def exact() -> bool:
    print("\nOne scheduled certificate (exact binomial, fixed sequence)")
    print(
        f"{'setting':38} {'alpha':>5} {'labels':>6} {'broken':>7} {'allowed':>8} {'coverage/oracle':>15} {'naive broken':>13}"
    )
    fine = True
    for truth in SETTINGS:
        for labels in LABELS:
            chance = random.Random(f"{truth.name} {labels}")
            bad = naive_bad = 0
            coverage = 0.0
            for _ in range(RUNS):
                counts = counts_of(truth, labels, chance)
                policy = loosest_certified(fixed_sequence(counts, truth.alpha, truth.delta))
                bad += broken(truth, policy)
                naive_bad += broken(truth, naive(counts, truth.alpha))
                coverage += truth.coverage(policy)
            fine &= bad / RUNS <= allowed(truth.delta)
            share = f"{coverage / RUNS / truth.oracle():.2f}" if truth.oracle() else "-"
            print(
                f"{truth.name:38} {truth.alpha:5.0%} {labels:6} {bad / RUNS:7.1%} {allowed(truth.delta):8.1%} {share:>15}"
                f" {naive_bad / RUNS:13.1%}"
            )
    return fine


# ------------------------------------------------------------------------------------------------- a biased log


ACCEPTED_FROM = 0.65
"""What the guard accepts before there is a certificate."""


@dataclass(frozen=True)
class Seen:
    """One call: its score, whether it is wrong, and what the log says of its review."""

    score: float
    wrong: bool
    escalated: bool
    drawn: bool
    complaint: bool


def calls_of(truth: Truth, calls: int, chance: random.Random) -> list[Seen]:
    levels = chance.choices(range(len(truth.shares)), truth.shares, k=calls)
    found = []
    for level in levels:
        wrong, score = chance.random() < truth.errors[level], 1 - level / 10
        found.append(Seen(score, wrong, score < ACCEPTED_FROM, chance.random() < 0.05, wrong and chance.random() < 0.1))
    return found


def reviewed(calls: Sequence[Seen], *, by_reason: bool) -> list[AuditedItem]:
    """5 % of outcomes are audited, all escalated ones are reviewed, and complaints about wrong ones come in.

    `by_reason`: escalated ones that are drawn for audit say so, with the audit's probability, as llmguard logs them;
    otherwise every escalated one has probability 1, and thinning brings it down.
    """
    items = []
    for number, call in enumerate(calls):
        if call.escalated and not by_reason:
            probability, reason = 1.0, "audit"
        elif call.drawn:
            probability, reason = 0.05, "audit"
        elif call.escalated or call.complaint:
            probability, reason = 1.0, "escalated" if call.escalated else "complaint"
        else:
            continue
        verdict: Verdict = "wrong" if call.wrong else "right"
        items.append(
            AuditedItem(id=f"o{number}", probability=probability, reason=reason, score=call.score, verdict=verdict)
        )
    return items


def biased(calls: int = 4_000) -> bool:
    truth = SETTINGS[1]
    family = thresholds(*(1 - level / 10 for level in range(len(truth.shares))))
    names = [policy.name for policy in family]
    print(f"\nA biased log ({RUNS} logs of {calls} calls: 5 % audited, all escalated reviewed, complaints)")
    bad, coverage, chance = Counter[str](), Counter[str](), random.Random("biased")
    for run in range(RUNS):
        log, secret = calls_of(truth, calls, chance), f"{run}".encode()
        by_reason, at_one = reviewed(log, by_reason=True), reviewed(log, by_reason=False)
        certified_by = {
            "audit draws only, exact": certify(by_reason, family, truth.alpha, truth.delta, secret=secret),
            "escalated at 1, thinned, exact": certify(at_one, family, truth.alpha, truth.delta, secret=secret),
            "escalated at 1, weighed, anytime": certify(at_one, family, truth.alpha, truth.delta, "anytime"),
        }
        for name, found in certified_by.items():
            policy = names.index(found.policy) if isinstance(found, Certificate) else None
            bad[name] += broken(truth, policy)
            coverage[name] += truth.coverage(policy)
        bad["counting what nobody reviewed as right"] += broken(truth, naive_on_log(truth, log))
    for name in (*coverage, "counting what nobody reviewed as right"):
        share = f"coverage/oracle {coverage[name] / RUNS / truth.oracle():.2f}" if name in coverage else ""
        print(f"  {name:40} broken {bad[name] / RUNS:6.1%}  allowed {allowed(truth.delta):6.1%}  {share}")
    return all(bad[name] / RUNS <= allowed(truth.delta) for name in coverage)


def naive_on_log(truth: Truth, calls: Sequence[Seen]) -> int | None:
    """Everything that nobody complained about or looked at is right."""
    accepted, wrong = [0] * len(truth.shares), [0] * len(truth.shares)
    for call in calls:
        level = round((1 - call.score) * 10)
        accepted[level] += 1
        wrong[level] += call.wrong and (call.escalated or call.drawn or call.complaint)
    return naive(list(zip(accumulate(accepted), accumulate(wrong), strict=True)), truth.alpha)


# ------------------------------------------------------------------------------------------------- many looks


def peeking(most: int = 2_000, every: int = 50) -> bool:
    print(f"\nLooking every {every} labels, up to {most} (true error rate at alpha: every certificate is false)")
    fine = True
    for alpha, delta in ((0.02, 0.05), (0.05, 0.05), (0.05, 0.10), (0.10, 0.10)):
        chance = random.Random(f"peek {alpha} {delta}")
        by_wealth = by_exact = 0
        for _ in range(RUNS):
            wrong, e_false, p_false = 0, False, False
            for seen in range(every, most + 1, every):
                wrong += sum(chance.random() < alpha for _ in range(every))
                e_false = e_false or wealth(seen - wrong, wrong, alpha) >= 1 / delta
                p_false = p_false or p_value(seen, wrong, alpha) <= delta
            by_wealth, by_exact = by_wealth + e_false, by_exact + p_false
        fine &= by_wealth / RUNS <= allowed(delta)
        print(
            f"  alpha {alpha:4.0%}: e-process false {by_wealth / RUNS:6.1%}  allowed {allowed(delta):6.1%}"
            f"   (the exact test, so used: {by_exact / RUNS:.1%})"
        )
    return fine


# ------------------------------------------------------------------------------------------------- drift


def first_alarm(items: Callable[[int], bool], most: int, alpha: float, delta: float) -> int | None:
    limit = 1 / delta
    found = drift_evidence((items(number) for number in range(1, most + 1)), alpha, delta)
    return next((number for number, each in enumerate(found, start=1) if each >= limit), None)


def drift() -> bool:
    print("\nDrift alarm (delta 5 %)")
    fine = True
    for alpha, runs in ((0.02, RUNS // 4), (0.05, RUNS), (0.10, RUNS // 4)):
        chance = random.Random(f"drift {alpha}")

        def steady(number: int, chance: random.Random = chance, alpha: float = alpha) -> bool:
            return chance.random() < alpha

        alarms = sum(first_alarm(steady, 4_000, alpha, 0.05) is not None for _ in range(runs))
        fine &= alarms / runs <= 0.05
        print(f"  alpha {alpha:4.0%}, no change: {alarms / runs:5.1%} false alarms in 4,000 audits (allowed 5 %)")
    for ratio, within in ((3, 300), (5, 150)):
        delays = sorted(delay(0.05, ratio, 500, random.Random(f"{ratio} {run}")) for run in range(RUNS))
        nine = delays[int(0.9 * RUNS)]
        fine &= nine <= within
        print(
            f"  alpha 5 %, jump to {ratio} alpha at audit 500: median {delays[RUNS // 2]:.0f},"
            f" 90 % within {nine:.0f} (wanted {within})"
        )
    return fine


def delay(alpha: float, ratio: float, at: int, chance: random.Random) -> float:
    """Audited labels from the jump to the alarm; an earlier, false alarm is drawn again."""
    while True:
        found = first_alarm(
            lambda number: chance.random() < (alpha if number <= at else ratio * alpha), at + 3_000, alpha, 0.05
        )
        if found is None:
            return float("inf")
        if found > at:
            return found - at


def main() -> None:
    began = time.perf_counter()
    results = {part.__name__: part() for part in (exact, biased, peeking, drift)}
    print(
        f"\n{time.perf_counter() - began:.0f} s;", *(f"{n}: {'kept' if ok else 'BROKEN'}" for n, ok in results.items())
    )


if __name__ == "__main__":
    main()
