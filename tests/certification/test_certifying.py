"""From audited outcomes to a certificate that can be read aloud, or a refusal that says what would help."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llmguard.certification import (
    AuditedItem,
    Certificate,
    CertificateRefusal,
    Rule,
    bars,
    certify,
    is_drawn,
    plans,
    reliability,
    risk_coverage,
    table_lines,
    thresholds,
)
from llmguard.certification.audited_items import Family, PlanPolicy, Threshold
from llmguard.core.canonical import decode, encode
from llmguard.core.errors import UsageError
from llmguard.voting import INVALID, SelfConsistency

FAMILY = thresholds(1.0, 0.8, 0.6)


def item(number: int, **given: Any) -> AuditedItem:
    return AuditedItem(**{"id": f"o{number}", "probability": 0.05, "verdict": "right", "score": 1.0, **given})


def log(right: int, wrong: int = 0, *, begin: int = 0, **given: Any) -> list[AuditedItem]:
    verdicts = ["right"] * right + ["wrong"] * wrong
    return [item(begin + number, verdict=verdict, **given) for number, verdict in enumerate(verdicts)]


def granted(found: Certificate | CertificateRefusal) -> Certificate:
    assert isinstance(found, Certificate)
    return found


def refused(found: Certificate | CertificateRefusal) -> CertificateRefusal:
    assert isinstance(found, CertificateRefusal)
    return found


def test_the_loosest_policy_that_holds_is_certified() -> None:
    """Tested strict to loose, each on all items that it accepts."""
    items = [*log(300, 1), *log(200, 2, begin=400, score=0.8), *log(50, 30, begin=700, score=0.6)]
    found = granted(certify(items, FAMILY, 0.05, 0.05))
    assert (found.policy, found.accepted, found.wrong) == ("score >= 0.8", 503, 3)
    assert [row.result for row in found.table] == ["certified", "certified", "failed"]
    assert found.tested.coverage == pytest.approx(503 / 583)
    assert found.bound < 0.05


def test_the_sentence_has_its_numbers() -> None:
    """What a risk officer reads: confidence, share, n, k and the upper bound."""
    found = granted(certify(log(400, 1), FAMILY[:1], 0.02, 0.05, guard="loans"))
    assert found.sentence() == (
        "With 95 % confidence, at most 2 % of what score >= 1 of guard 'loans' accepts automatically is judged wrong by"
        " reviewers, for traffic like the audited period: 1 of 401 audited outputs that it accepts were wrong (upper"
        " bound 1.18 %), and it accepts 100 % of calls."
    )


def test_too_few_audits_are_refused_with_what_would_help() -> None:
    """Nothing is promised; how many more labels, and at the guard's rate of audits how many calls."""
    found = refused(certify(log(30), FAMILY, 0.05, 0.05))
    assert (found.reason, found.labels_more) == ("too_few", 29)
    assert found.explain().splitlines() == [
        "Nothing is certified at 5 % with 95 % confidence, so accept nothing automatically: no policy accepts enough"
        " audited outputs to prove anything (30 at most).",
        "The smallest share that these reviews would certify is 9.5 % (score >= 1: 0 of 30 wrong), 4.5 points above 5 %.",
        "29 more audited outputs that score >= 1 accepts would certify it if none is wrong, about 580 calls at this rate"
        " of audits.",
    ]


def test_too_many_errors_are_refused() -> None:
    """More labels do not help what is as bad as this."""
    found = refused(certify(log(190, 20), FAMILY, 0.05, 0.05))
    assert (found.reason, found.labels_more) == ("not_certified", None)
    assert "A stricter policy, a better prompt or model, or a larger alpha would." in found.explain()
    near = refused(certify(log(97, 3), FAMILY, 0.05, 0.05))
    assert near.labels_more is not None
    assert "with 80 % probability if the error rate is the 3 % seen" in near.explain()
    looked = refused(certify([*log(0, 3, begin=900), *log(97)], FAMILY, 0.05, 0.05, "anytime"))
    assert "\nAt least " in looked.explain()


def test_no_audits_are_refused() -> None:
    """Complaints, escalated ones and reviews without a probability never enter."""
    items = [
        *log(100, reason="complaint", probability=1.0),
        *log(100, begin=100, reason="escalated", probability=1.0),
        *log(100, begin=200, probability=None),
    ]
    found = refused(certify(items, FAMILY, 0.05, 0.05))
    assert (found.reason, found.audited.left_out, found.audited.drawn) == ("no_audits", 300, 0)
    assert "300 reviews were not drawn at random with a logged probability" in found.sentence()
    assert "Set audit= on the guard" in found.explain()
    assert refused(certify([], FAMILY, 0.05, 0.05)).reason == "no_audits"


def test_complaints_change_nothing() -> None:
    """The certificate is the same with and without what was not drawn at random."""
    items = log(300, 2)
    with_complaints = [*items, *log(0, 90, begin=1000, reason="complaint", probability=1.0)]
    mine, theirs = granted(certify(items, FAMILY, 0.05, 0.05)), granted(certify(with_complaints, FAMILY, 0.05, 0.05))
    assert mine.table == theirs.table


def test_a_review_not_done_is_wrong() -> None:
    """Beyond the stated share it voids the whole."""
    items = [*log(200), *[item(n, verdict=None) for n in range(500, 503)]]
    assert granted(certify(items, FAMILY, 0.05, 0.05)).wrong == 3
    found = refused(certify([*log(200), *[item(n, verdict=None) for n in range(500, 600)]], FAMILY, 0.05, 0.05))
    assert (found.reason, found.audited.undone) == ("undone", 100)
    assert "100 of 300 outcomes drawn for audit were not reviewed, more than 10 %" in found.sentence()


def test_unsure_is_wrong() -> None:
    """What a reviewer cannot confirm was not right."""
    items = [*log(300), *[item(n, verdict="unsure") for n in range(500, 504)]]
    assert granted(certify(items, FAMILY, 0.05, 0.05)).wrong == 4


# ------------------------------------------------------------------------------------------------- unequal probabilities


@pytest.mark.slow
def test_unequal_probabilities_are_thinned_by_the_secret() -> None:
    """Items drawn with probability 1 are kept with 0.05 / 1, the same ones each time."""
    items = [*log(300), *log(4000, begin=1000, probability=1.0, score=0.8)]
    found = granted(certify(items, FAMILY, 0.05, 0.05, secret=b"log"))
    kept = sum(is_drawn(b"log", "thin" + each.id, 0.05) for each in items[300:])
    assert (found.accepted, found.audited.kept, found.audited.drawn) == (300 + kept, 300 + kept, 4300)
    assert found == certify(items, FAMILY, 0.05, 0.05, secret=b"log")
    assert found.table != granted(certify(items, FAMILY, 0.05, 0.05, secret=b"other")).table


def test_thinning_needs_the_secret() -> None:
    """Nobody re-rolls it."""
    with pytest.raises(UsageError, match="needs secret="):
        certify([*log(3), *log(3, begin=9, probability=0.5)], FAMILY, 0.05, 0.05)


def test_anytime_weighs_instead() -> None:
    """All items count, those drawn rarely for more; coverage is weighed likewise."""
    items = [*log(300), *log(300, begin=1000, probability=1.0, score=0.6)]
    found = granted(certify(items, FAMILY, 0.05, 0.05, "anytime"))
    assert (found.policy, found.accepted) == ("score >= 0.6", 600)
    assert found.table[0].coverage == pytest.approx(300 / 0.05 / (300 / 0.05 + 300))
    assert found.tested.evidence >= 20
    assert found.bound <= 0.05


def test_anytime_refuses_with_its_own_numbers() -> None:
    """It needs more labels than the exact test, and says how many."""
    assert refused(certify(log(60), FAMILY, 0.05, 0.10, "anytime")).labels_more == 10
    assert granted(certify(log(70), FAMILY, 0.05, 0.10, "anytime")).accepted == 70


# ------------------------------------------------------------------------------------------------- plans

VOTES = SelfConsistency(n_max=9)


def audited(samples: str, number: int = 0, **given: Any) -> AuditedItem:
    votes = tuple(INVALID if sample == "-" else sample for sample in samples)
    return item(number, samples=votes, candidate=samples[0], **given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (audited("aaaaaaaaa"), False),
        (audited("aaaaaaaaa", verdict="wrong"), True),
        (audited("aaaaaaaaa", verdict="unsure"), True),
        (audited("aaaaaaaaa", verdict=None), True),
        (audited("aabbaabba"), None),
        (audited("abbbbbbbb"), True),
        (audited("abbbbbbbb", verdict="wrong", correction=("B",)), False),
        (audited("abbbbbbbb", verdict="wrong", correction=("c",)), True),
        (audited("aa-aaaaaa"), False),
        (audited("aaa"), None),
        (audited("aaaaaaaaa", refused=True), None),
        (audited("abbbbbbbb", refused=True), True),
        (audited("abbbbbbbb", verdict="wrong", correction=("b",), refused=True), False),
        (item(0, samples=(INVALID, *"aaaaaa"), candidate=None, verdict="unsure"), True),
        (item(0, samples=(INVALID, *[None] * 6), candidate=None, verdict="unsure"), True),
    ],
)
def test_a_plan_is_judged_by_what_it_would_have_handed_out(given: AuditedItem, expected: bool | None) -> None:
    """The candidate's verdict where the value is the same; else right only if it equals the correction; too few samples
    are no acceptance, nor is a candidate to which a check or judge objected: only to that value, and not to another."""
    (policy,) = plans(VOTES, (5, 2, 1))
    assert policy.is_wrong(given) is expected


@pytest.mark.slow
def test_plans_are_certified_strict_to_loose() -> None:
    """The stricter plan holds, the looser one accepts what is wrong."""
    family = plans(VOTES, (7, 2, 1), (5, 2, 1), (3, 2, 1))
    items = [audited("aaaaaaaaa", number) for number in range(200)]
    items += [audited("aaabbbbbb", number, verdict="wrong") for number in range(300, 340)]
    found = granted(certify(items, family, 0.05, 0.05))
    assert (found.policy, found.accepted) == ("plan (5, 2, 1)", 200)
    assert found.table[2].wrong == 40


def test_any_policy_with_a_knob_can_be_certified() -> None:
    """A whole ladder is a function of an item that gives what it would have handed out."""
    ladder = Rule("rules agree", lambda each: (each.candidate,) if each.score == 1.0 else ())
    found = granted(certify(log(100, candidate="a"), [ladder], 0.05, 0.05))
    assert (found.policy, found.accepted) == ("rules agree", 100)


# ------------------------------------------------------------------------------------------------- life of a certificate


def test_a_certificate_is_stored_and_read_back() -> None:
    """As strict JSON; its id names its content."""
    found = granted(certify(log(300), FAMILY, 0.05, 0.05, fingerprint="f1", issued_at=10.0, expires_at=20.0))
    again = Certificate.from_json(decode(encode(found.json())))
    assert again == found
    assert again.id == found.id
    assert replace(found, alpha=0.04).id != found.id


def test_a_certificate_is_void_for_another_guard_or_too_late() -> None:
    """Any change or expiry; a drift alarm is the log's to know."""
    found = granted(certify(log(300), FAMILY, 0.05, 0.05, fingerprint="f1", expires_at=20.0))
    assert found.why_invalid("f1", 19.9) is None
    assert found.why_invalid("f1", 20.0) == "it expired"
    assert str(found.why_invalid("f2", 0.0)).startswith("the guard changed since it was certified")


def test_the_table_is_readable() -> None:
    """Every policy that was tested, with what became of it."""
    found = granted(certify([*log(300), *log(100, 50, begin=400, score=0.8)], FAMILY, 0.05, 0.05))
    assert table_lines(found.table, "exact") == [
        "policy        accepted  wrong  coverage  upper bound         p  result",
        "score >= 1         300      0     66.7%        0.99%  2.08e-07  certified",
        "score >= 0.8       450     50    100.0%       13.85%         1  failed",
        "score >= 0.6       450     50    100.0%       13.85%         1  not tested",
    ]


# ------------------------------------------------------------------------------------------------- pictures


def test_risk_over_coverage_has_an_exact_band() -> None:
    """One point for each distinct score; the band is Clopper and Pearson's."""
    points = risk_coverage([(1.0, False)] * 59 + [(0.5, True)])
    assert [(point.at_least, point.accepted, point.wrong) for point in points] == [(1.0, 59, 0), (0.5, 60, 1)]
    assert points[0].high == pytest.approx(1 - 0.025 ** (1 / 59))
    assert bars(points).splitlines()[1].startswith(" 1.00     98.3%   0.0%")


def test_items_without_a_score_lower_the_coverage() -> None:
    """They can never be accepted, and are among the calls all the same; there are no fewer items than scores."""
    (point,) = risk_coverage([(1.0, False), (1.0, True)], among=8)
    assert (point.coverage, point.risk) == (0.25, 0.5)
    with pytest.raises(UsageError, match="expected at least 2, the items with a score; got 1"):
        risk_coverage([(1.0, False), (1.0, True)], among=1)


def test_reliability_bins_hold_all_items() -> None:
    """Scores against the share that was right, with Wilson's bars."""
    found = reliability([(0.05, True), (1.0, False), (0.95, False), (0.91, True)], bins=10)
    assert [(each.low, each.count, each.right) for each in found] == [(0.0, 1, 0.0), (0.9, 3, pytest.approx(2 / 3))]
    with pytest.raises(UsageError, match=r"got 1\.5"):
        reliability([(1.5, True)])


# ------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"alpha": 0}, "alpha: expected a share above 0 and below 1, got 0. Write 0.02 for 2 % wrong."),
        ({"alpha": 2}, "got 2. Write 0.02"),
        ({"delta": 1.0}, "delta: expected a share above 0 and below 1, got 1.0. Write 0.05 for 95 % confidence."),
        ({"method": "bayes"}, "'exact' (one scheduled look) or 'anytime'"),
        ({"family": ()}, "a family is 1 to 16 policies"),
        ({"family": (Threshold(0.5), Threshold(0.5))}, "two policies named 'score >= 0.5'"),
        ({"items": [item(1), item(1)]}, "outcome 'o1' is twice among the items"),
        ({"items": [item(1, probability=5)]}, "at most 1, or None where none was logged; got 5"),
        ({"items": [item(1, verdict="good")]}, "not done; got 'good'"),
        ({"least": 0.5}, "got 0.5 where an item was drawn with 0.05"),
    ],
)
def test_mistakes_are_told(options: dict[str, Any], said: str) -> None:
    """What was found, what was expected, and the mend."""
    family: Family = FAMILY
    given: dict[str, Any] = {"items": log(3), "family": family, "alpha": 0.05, "delta": 0.05, **options}
    with pytest.raises(UsageError) as caught:
        certify(**given)
    assert said in str(caught.value)


def test_families_stand_from_strict_to_loose() -> None:
    """The order is the test's; one the wrong way round is refused."""
    with pytest.raises(UsageError, match="strict to loose"):
        thresholds(0.6, 0.8)
    with pytest.raises(UsageError, match=r"plan \(5, 2, 1\) cannot follow plan \(3, 2, 1\)"):
        plans(VOTES, (3, 2, 1), (5, 2, 1))
    with pytest.raises(UsageError, match="each once"):
        plans(VOTES, (3, 2, 1), (3, 2, 1))
    assert [policy.consistency.n_max for policy in plans(VOTES, (12, 2, 1), (3, 2, 1))] == [14, 9]
    assert isinstance(plans(SelfConsistency(), (3, 2, 1))[0], PlanPolicy)
