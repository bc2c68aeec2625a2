"""Stops and plans: exact boundaries, and batches that decide as drawing one by one."""

from __future__ import annotations

import os
import random
from collections import Counter
from fractions import Fraction
from itertools import product
from math import comb
from typing import Any

import pytest

from llmguard.core.errors import UsageError
from llmguard.voting import (
    INVALID,
    Counts,
    Draw,
    Fixed,
    Plan,
    Predictive,
    SelfConsistency,
    Stop,
    VoteResult,
    money,
    number,
    overtaking,
    refuse_unknown_fields,
)
from llmguard.voting.stopping import _samples_needed

PLANS = [(n0, k, c) for n0, k, c in product((1, 2, 3, 5, 12), (1, 2, 3), (0, 1, 2, 3)) if n0 + k * c <= 15]


# ------------------------------------------------------------------------------------------------- plans

SEQUENCES = int(os.environ.get("LLMGUARD_SEQUENCES", "1000"))
"""Random vote sequences for each plan; the figure in the notes is of 10,000."""


@pytest.mark.parametrize(
    ("drawn", "dissent", "expected"),
    [
        (0, 0, Draw(3)),
        (3, 0, Stop("accept_boundary", accept=True)),
        (3, 1, Draw(2)),
        (5, 1, Stop("accept_boundary", accept=True)),
        (3, 2, Stop("dissent_limit", accept=False)),
        (9, 2, Stop("dissent_limit", accept=False)),
    ],
)
def test_the_default_plan_by_hand(drawn: int, dissent: int, expected: Draw | Stop) -> None:
    """(3, 2, 1): three that agree, or four of five; the dissent limit is looked at first."""
    assert Plan(3, 2, 1).decide(Counts(drawn, dissent)) == expected


def one_by_one(consistency: SelfConsistency, samples: list[Any]) -> tuple[Any, ...]:
    """Look after every single sample, as the plan is defined."""
    for drawn in range(1, len(samples) + 1):
        decision = consistency._decide(consistency.vote(samples[:drawn]))
        if isinstance(decision, Stop):
            settled = consistency._vote_result(consistency.vote(samples[:drawn]), decision, drawn)
            return settled.accept, settled.reason, settled.used, settled.vote.value
    raise AssertionError("n_max samples decide")


def in_batches(consistency: SelfConsistency, samples: list[Any]) -> tuple[Any, ...]:
    """Draw as many as are asked for, at the same time."""
    drawn = 0
    while isinstance(step := consistency.next(samples[:drawn]), Draw):
        drawn += step.count
    return step.accept, step.reason, step.used, step.vote.value


def sequence(chance: random.Random, length: int) -> list[Any]:
    """Samples of a model that is sure, unsure or broken; sometimes without an option, sometimes invalid."""
    sure = chance.choice((0.5, 0.8, 0.95))
    values: list[Any] = [10, 10.004, 10.3, 10.5, 11, "ten", None]
    favourite = chance.choice(values)
    found: list[Any] = []
    for _ in range(length):
        value = favourite if chance.random() < sure else chance.choice([*values, INVALID])
        record = {"a": value, "b": chance.choice("xy") if chance.random() < 0.1 else "x"}
        found.append(INVALID if value is INVALID else record)
    return found


COMPARATORS = {"exact": {}, "money": {"/a": money()}, "number": {"/a": number(abs_tol=0.4)}}


@pytest.mark.slow
@pytest.mark.parametrize("fields", COMPARATORS.values(), ids=COMPARATORS)
def test_batches_decide_as_one_by_one(fields: Any) -> None:
    """10,000 random vote sequences over every plan: the same decision, reason, samples used and value."""
    chance = random.Random(11)
    made = [SelfConsistency(n_max=15, plan=plan, fields=fields) for plan in PLANS]
    for number_of_case in range(SEQUENCES):
        consistency = made[number_of_case % len(made)]
        samples = sequence(chance, 15)
        assert in_batches(consistency, samples) == one_by_one(consistency, samples)


@pytest.mark.slow
@pytest.mark.parametrize("eps", [0.02, 0.05, 0.2])
def test_predictive_batches_decide_as_one_by_one(eps: float) -> None:
    """The stop for the answer, too, asks for the smallest batch after which it can end."""
    chance = random.Random(12)
    consistency = SelfConsistency(n_max=11, stop=Predictive(eps))
    for _ in range(700):
        samples = sequence(chance, 11)
        assert in_batches(consistency, samples) == one_by_one(consistency, samples)


@pytest.mark.slow
def test_a_plan_draws_no_sample_too_many_where_it_accepts() -> None:
    """Acceptance is at the end of a batch; only a batch that goes beyond the limit has samples that are not used."""
    chance = random.Random(13)
    for _ in range(2000):
        consistency = SelfConsistency(n_max=15, plan=chance.choice(PLANS))
        samples, drawn = sequence(chance, 15), 0
        while isinstance(step := consistency.next(samples[:drawn]), Draw):
            drawn += step.count
        assert step.used == drawn or step.reason == "dissent_limit"
        assert drawn <= 15


def test_strictness_of_plans() -> None:
    """A plan is stricter where it accepts nothing that the other would not."""
    assert Plan(5, 2, 1).is_stricter(Plan(3, 2, 1))
    assert Plan(3, 2, 0).is_stricter(Plan(3, 2, 1))
    assert not Plan(5, 1, 2).is_stricter(Plan(4, 2, 2))
    assert not Plan(3, 2, 1).is_stricter(Plan(3, 2, 1))


# ------------------------------------------------------------------------------------------------- predictive


def by_enumeration(a: int, b: int, left: int) -> Fraction:
    """P(overtaken) from the urn itself: each draw goes to the leader with (a + 1 + x) / (a + b + 2 + drawn)."""
    probability = Fraction(0)
    for draws in product((True, False), repeat=left):
        x, weight = 0, Fraction(1)
        for drawn, leads in enumerate(draws):
            chance = Fraction(a + 1 + x, a + b + 2 + drawn)
            weight *= chance if leads else 1 - chance
            x += leads
        difference = (b + left - x) - (a + x)
        probability += weight * (1 if difference > 0 else Fraction(1, 2) if difference == 0 else 0)
    return probability


@pytest.mark.parametrize(
    ("a", "b", "left"), [(2, 0, 3), (0, 0, 4), (3, 2, 5), (1, 1, 1), (5, 0, 2), (4, 1, 7), (2, 2, 0)]
)
def test_the_probability_to_be_overtaken_is_exact(a: int, b: int, left: int) -> None:
    """As by going through all draws of the urn, in fractions."""
    assert overtaking(a, b, left) == by_enumeration(a, b, left)


def test_two_of_two_within_five_is_one_twentieth() -> None:
    """The spec's figure, at the boundary: eps = 0.05 stops there though 0.05 is no exact float."""
    assert overtaking(2, 0, 3) == Fraction(1, 20)
    assert Predictive(0.05).decide(Counts(2, 0, ((2, 0),)), 5) == Stop("answer_settled")
    assert Predictive(0.0499).decide(Counts(2, 0, ((2, 0),)), 5) == Draw(1)


@pytest.mark.parametrize(("a", "b"), [(3, 0), (4, 1), (6, 2), (5, 4)])
def test_without_a_budget_it_is_adaptive_consistency(a: int, b: int) -> None:
    """With many draws left: 2^-(a+b+1) * sum of C(a+b+1, i) up to b (arXiv 2305.11860)."""
    limit = Fraction(sum(comb(a + b + 1, i) for i in range(b + 1)), 2 ** (a + b + 1))
    assert float(overtaking(a, b, 4001)) == pytest.approx(float(limit), abs=2e-3)


def test_every_field_must_be_settled() -> None:
    """The batch is as long as the least settled field needs."""
    assert Predictive(0.05).decide(Counts(4, 2, ((4, 0), (2, 2))), 9) == Draw(_samples_needed(2, 2, 5, Fraction(1, 20)))
    assert Predictive(0.05).decide(Counts(9, 5, ((4, 4),)), 9) == Stop("n_max")


def test_dissent_without_value_only_uses_up_draws() -> None:
    """Invalid samples are no runner-up."""
    consistency = SelfConsistency(n_max=5, stop=Predictive(0.05))
    settled = consistency.next([INVALID, "a", "a", "a"])
    assert isinstance(settled, VoteResult)
    assert (settled.reason, settled.used, settled.agreement) == ("answer_settled", 3, pytest.approx(2 / 3))


# ------------------------------------------------------------------------------------------------- the whole


def test_alone_it_is_plan_3_2_1_of_5() -> None:
    """`SelfConsistency()` draws at most five."""
    alone = SelfConsistency()
    assert (alone.n_max, alone.plan, alone.stop) == (5, Plan(3, 2, 1), None)
    assert alone == SelfConsistency(plan=(3, 2, 1))


@pytest.mark.parametrize(
    ("samples", "least", "accept"),
    [("aab", None, True), ("aabb", None, False), ("aab", 0.7, False), ("aaab", 0.75, True), ("abc", None, False)],
)
def test_a_stop_accepts_by_agreement(samples: str, least: float | None, accept: bool) -> None:
    """More than half where nothing is said, else at least `min_agreement`."""
    fixed = SelfConsistency(n_max=9, stop=Fixed(len(samples)), min_agreement=least)
    settled = fixed.next(list(samples))
    assert isinstance(settled, VoteResult)
    assert settled.accept == accept


def test_samples_that_all_fail_are_not_accepted() -> None:
    """Neither by a plan nor by a stop."""
    for consistency in (SelfConsistency(), SelfConsistency(stop=Fixed(3)), SelfConsistency(stop=Predictive(0.1))):
        settled = consistency.next([INVALID] * 5)
        assert isinstance(settled, VoteResult)
        assert (settled.accept, settled.vote.value) == (False, None)


def test_a_passed_deadline_accepts_nothing_by_plan() -> None:
    """What came in time is voted on; a plan that could not decide does not accept, a settled vote stays settled."""
    consistency = SelfConsistency()
    early = consistency.ended(["a", "a"], "deadline")
    assert (early.accept, early.reason, early.vote.value) == (False, "deadline", "a")
    assert consistency.ended(["a", "a", "a"], "deadline").reason == "accept_boundary"
    assert SelfConsistency(stop=Fixed(5)).ended(["a", "a"], "budget").accept is True


def test_samples_beyond_the_stop_change_nothing() -> None:
    """An audited call draws all `n_max`; what is handed out is the vote at the stop."""
    consistency = SelfConsistency(n_max=7)
    settled = consistency.next(["a", "a", "a", "b", "b", "b", "b"])
    assert isinstance(settled, VoteResult)
    assert (settled.vote.value, settled.used, settled.sample_count) == ("a", 3, 7)
    assert consistency.missing(["a", "a", "a"]) == 4


def test_what_decides_is_described() -> None:
    """Each option that changes a decision changes the description; two spellings of one do not."""
    descriptions = [
        SelfConsistency(),
        SelfConsistency(n_max=7),
        SelfConsistency(plan=(2, 2, 1)),
        SelfConsistency(stop=Fixed(5)),
        SelfConsistency(stop=Predictive(0.05)),
        SelfConsistency(stop=Fixed(5), min_agreement=0.9),
        SelfConsistency(fields={"/a": "money"}),
        SelfConsistency(vote_together=[("/a", "/b")]),
        SelfConsistency(on_invalid="reask"),
    ]
    assert max(Counter(str(each.description()) for each in descriptions).values()) == 1
    assert (
        SelfConsistency(fields={"/a": "money"}).description() == SelfConsistency(fields={"/a": money()}).description()
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_max": 0}, "expected a whole number from 1 to 1000, got 0"),
        ({"n_max": 4}, "plan (3, 2, 1) can never accept a vote with 1 dissents within n_max=4"),
        ({"plan": (12, 2, 1)}, "Write n_max=14"),
        ({"plan": (3, 0, 1)}, "k, the further samples for each dissent, is at least 1"),
        ({"plan": (0, 1, 1)}, "n0, the samples that must agree"),
        ({"plan": (3, 1, -1)}, "c, the dissents"),
        ({"plan": (3, 1)}, "three numbers (n0, k, c), got (3, 1)"),
        ({"plan": (3.0, 1, 1)}, "whole numbers"),
        ({"plan": (3, 2, 1), "stop": Fixed(3)}, "give one of them"),
        ({"stop": 3}, "is Fixed(n) or Predictive(eps), got 3"),
        ({"stop": Fixed(9)}, "write n_max=9"),
        ({"min_agreement": 0.8}, "min_agreement goes with a stop"),
        ({"stop": Fixed(3), "min_agreement": 0}, "above 0 and up to 1, got 0"),
        ({"on_invalid": "ignore"}, "'dissent' or 'reask', got 'ignore'"),
        ({"fields": {"total": "money"}}, "Write '/total'."),
        ({"fields": ["/total"]}, "got list"),
        ({"fields": {"/t": "text"}}, "Write stop=Fixed(5)"),
        ({"fields": {"/a": "money", "/a/b": "exact"}}, "'/a/b' lies within '/a'"),
        ({"vote_together": ["/a", "/b"]}, "expected groups of two or more"),
        ({"vote_together": "/a"}, "expected groups of JSON Pointers"),
        ({"vote_together": [("/a", "/b"), ("/b", "/c")]}, "names '/b' twice"),
        ({"fields": {"/a": "number"}, "vote_together": [("/a", "/b")]}, "are compared by 'exact' or 'money'"),
    ],
)
def test_mistakes_are_told_when_it_is_built(options: Any, said: str) -> None:
    """A plan that can never accept, a stop and a plan, pointers that are none."""
    with pytest.raises(UsageError) as caught:
        SelfConsistency(**options)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "make", [lambda: Fixed(0), lambda: Predictive(0), lambda: Predictive(0.6), lambda: Predictive(True)]
)
def test_stops_refuse_what_cannot_stop(make: Any) -> None:
    """Numbers out of range are told."""
    with pytest.raises(UsageError, match="got"):
        make()


# ------------------------------------------------------------------------------------------------- fields of a schema

SCHEMA = {
    "type": "object",
    "properties": {
        "total": {"type": "number"},
        "by": {"$ref": "#/$defs/person"},
        "lines": {"type": "array", "items": {"type": "object"}},
        "more": {"anyOf": [{"type": "null"}, {"properties": {"note": {}}}]},
        "free": {"type": "object"},
        "map": {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "number"}},
    },
    "$defs": {"person": {"properties": {"name": {}, "boss": {"$ref": "#/$defs/person"}}}},
}


@pytest.mark.parametrize(
    "pointer", ["", "/total", "/by/name", "/by/boss/boss/name", "/more/note", "/free/any", "/map/any"]
)
def test_fields_of_the_schema_are_known(pointer: str) -> None:
    """Through references, alternatives and open objects."""
    refuse_unknown_fields(SelfConsistency(fields={pointer: "exact"}), SCHEMA)


@pytest.mark.parametrize(
    ("pointer", "said"),
    [
        ("/totl", "there is no '/totl' in the schema; '' has by, free, lines, map, more, total. Is '/total' meant?"),
        ("/by/nam", "'/by' has boss, name. Is '/by/name' meant?"),
        ("/lines/0", "'/lines' is a list. Compare it as a whole, with list_of(key=..., fields=...)"),
    ],
)
def test_fields_that_the_schema_lacks_are_told(pointer: str, said: str) -> None:
    """A misspelt pointer would compare nothing, so it is refused when the guard is built."""
    with pytest.raises(UsageError) as caught:
        refuse_unknown_fields(SelfConsistency(vote_together=[(pointer, "/total")]), SCHEMA)
    assert said in str(caught.value)
