"""Comparators: when two values are one answer, who stands with it, and that the order of samples decides only ties."""

from __future__ import annotations

import random
from functools import partial
from itertools import permutations
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llmguard.core.errors import UsageError
from llmguard.voting import ABSENT, INVALID, comparator, equivalent, exact, list_of, money, number, set_of, text
from llmguard.voting.alignment import assignment
from llmguard.voting.edit_distance import Distances, bag_edits, edits, normalised_distance
from llmguard.voting.votes import Comparator, FieldVote


def same_initial(one: Any, other: Any) -> bool:
    return str(one)[:1].casefold() == str(other)[:1].casefold()


WORDS = ["Ada Lovelace", "ada  lovelace", "Ada Lovelacce", "Grace Hopper", "Grace Hoper", "", "Straße", "STRASSE"]
AMOUNTS = [12, 12.0, 12.004, 12.5, "12.00", "€ 12", "12 EUR", "1,234", None, True]
NUMBERS = [1, 1.0, 1.4, 1.8, 2.2, 5, -3, "7", None, "many"]
ROWS = [{"sku": "A", "qty": 1}, {"sku": "A", "qty": 2}, {"sku": "B", "qty": 1}, {"sku": "C"}, {"sku": "a", "qty": 1.0}]

CASES: list[tuple[Comparator, list[Any]]] = [
    (exact(), [*WORDS, 1, 1.0, True, None, [1], [1.0], {"a": 1}]),
    (number(abs_tol=0.5), NUMBERS),
    (number(rel_tol=0.3), NUMBERS),
    (money(), AMOUNTS),
    (text(0.85), WORDS),
    (equivalent(same_initial, version="1"), WORDS),
    (set_of(), [["a", "b"], ["b", "A"], ["c"], [], ["a", "a"], None, ["b"]]),
    (list_of(key="sku"), [[ROWS[0]], [ROWS[1], ROWS[2]], [ROWS[2], ROWS[0]], [ROWS[4], ROWS[3]], [], None]),
    (list_of(), [[ROWS[0]], [ROWS[1], ROWS[2]], [ROWS[2], ROWS[0]], [ROWS[3]], ["x", "y"], []]),
]
IDS = ["exact", "number", "number-relative", "money", "text", "equivalent", "set", "list-key", "list"]
MONOTONE = [case for case in CASES if case[0].monotone]


@pytest.mark.slow
@pytest.mark.parametrize(("compare", "values"), CASES, ids=IDS)
@given(data=st.data())
def test_order_decides_only_ties(compare: Comparator, values: list[Any], data: st.DataObject) -> None:
    """Where nothing is ambiguous, a permutation of the samples gives the same value, votes and agreement."""
    ballots = data.draw(st.lists(st.sampled_from([*values, INVALID, ABSENT]), min_size=1, max_size=9))
    shuffled = data.draw(st.permutations(ballots))
    vote, other = compare.vote(ballots), compare.vote(shuffled)
    assert vote.ambiguous == other.ambiguous
    assume(not vote.ambiguous)
    assert (vote.value, vote.present, vote.votes) == (other.value, other.present, other.votes)
    assert vote.agreement == pytest.approx(other.agreement)


@pytest.mark.slow
@pytest.mark.parametrize(("compare", "values"), CASES, ids=IDS)
@given(data=st.data())
def test_support_and_agreement_add_up(compare: Comparator, values: list[Any], data: st.DataObject) -> None:
    """Votes are the supporters, dissent is everyone else, and an invalid sample never supports."""
    ballots = data.draw(st.lists(st.sampled_from([*values, INVALID, ABSENT]), min_size=1, max_size=9))
    vote = compare.vote(ballots)
    assert (len(vote.support), sum(vote.support), vote.sample_count - vote.dissent) == (
        len(ballots),
        vote.votes,
        vote.votes,
    )
    assert not any(stands for stands, ballot in zip(vote.support, ballots, strict=True) if ballot is INVALID)
    assert 0 <= vote.agreement <= 1
    if compare.monotone:
        assert vote.agreement == vote.votes / len(ballots)


@pytest.mark.parametrize(("compare", "values"), CASES, ids=IDS)
def test_a_value_that_all_gave_has_agreement_one(compare: Comparator, values: list[Any]) -> None:
    """Whatever the comparator, five samples of one value agree on it."""
    for value in values:
        vote = compare.vote([value] * 5)
        assert (vote.value, vote.agreement, vote.dissent, vote.ambiguous) == (
            compare.vote([value]).value,
            1.0,
            0,
            False,
        )


@pytest.mark.slow
@pytest.mark.parametrize(("compare", "values"), MONOTONE)
@given(data=st.data())
def test_dissent_never_falls_where_monotone_is_promised(
    compare: Comparator, values: list[Any], data: st.DataObject
) -> None:
    """As samples arrive, one more never takes dissent away."""
    ballots = data.draw(st.lists(st.sampled_from([*values, INVALID, ABSENT]), min_size=1, max_size=12))
    dissents = [compare.vote(ballots[:drawn]).dissent for drawn in range(1, len(ballots) + 1)]
    assert dissents == sorted(dissents)


@pytest.mark.parametrize(("compare", "values"), CASES, ids=IDS)
def test_no_valid_sample_has_no_value(compare: Comparator, values: list[Any]) -> None:
    """Invalid samples are dissent, not null."""
    vote = compare.vote([INVALID, INVALID])
    assert (vote.value, vote.present, vote.votes, vote.dissent, vote.agreement) == (None, False, 0, 2, 0.0)


@pytest.mark.parametrize(("compare", "values"), CASES, ids=IDS)
def test_a_distance_is_zero_to_itself_and_symmetric(compare: Comparator, values: list[Any]) -> None:
    """Distances order samples for the medoid."""
    for one in values:
        assert compare.distance(one, one) == 0
        for other in values:
            assert compare.distance(one, other) == compare.distance(other, one)
            assert 0 <= compare.distance(one, other) <= 1


# ------------------------------------------------------------------------------------------------- exact


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Paid", " paid\n", True),
        ("ﬁne", "FINE", True),
        ("Straße", "STRASSE", True),
        ("e\u0301", "é", True),
        (306, 306.0, True),
        (10**30, 1e30, True),
        (1, True, False),
        (0, False, False),
        (0, None, False),
        ("1", 1, False),
        ("2024-03-01", "March 1st, 2024", True),
        ("2024-03-01", "1. März 2024", True),
        ("2024-03-01T12:00:00+01:00", "2024-03-01T11:00:00.000Z", True),
        ("2024-03-01", "2024-03-01T00:00:00Z", False),
        ("03/04/2024", "04/03/2024", False),
        ("2024-02-30", "2024-02-30 ", True),
        ({"a": 1, "b": "X"}, {"b": "x", "a": 1.0}, True),
        ([1, 2], [2, 1], False),
        ([], {}, False),
        ("\ud800", "\ud800", True),
    ],
)
def test_exact_compares_canonical_forms(one: Any, other: Any, same: bool) -> None:
    """Text by NFKC, case and white space, numbers by value, dates by what they name; types stay apart."""
    assert (exact().vote([one, other]).dissent == 0) == same


def test_exact_can_take_text_as_it_stands() -> None:
    """Identifiers are case sensitive."""
    assert exact(folded=False).vote(["aB3", "Ab3"]).dissent == 1


def test_null_is_a_value_and_absent_is_another() -> None:
    """A field that is null and one that is left out are two candidates, and each can win."""
    vote = exact().vote([None, None, ABSENT])
    assert (vote.value, vote.present, vote.votes) == (None, True, 2)
    assert exact().vote([ABSENT, ABSENT, 1]).present is False


def test_the_commonest_spelling_is_the_value() -> None:
    """Of one answer in several spellings, the one that most gave."""
    assert exact().vote(["PAID", "Paid", "open", "Paid"]).value == "Paid"


def test_a_tie_goes_to_submission_order_and_is_marked() -> None:
    """The first of two candidates with as many votes leads; the other is the alternative."""
    vote = exact().vote(["b", "a", "a", "b", INVALID])
    assert (vote.value, vote.ambiguous, vote.votes, vote.runner_up_votes) == ("b", True, 2, 2)
    assert [(each.value, each.votes) for each in vote.alternatives] == [("a", 2)]


def test_deep_and_long_values_are_compared_in_bounded_time() -> None:
    """Nesting beyond the stack and runs of combining marks are the model's, and cost little."""
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    marks = "a" + "\u0300\u0316" * 30_000
    assert exact().vote([deep, deep, marks, marks, marks]).votes == 3


# ------------------------------------------------------------------------------------------------- number, money


def test_the_fullest_window_wins_and_its_median_is_the_answer() -> None:
    """Values are sorted, a window of the tolerance slides over them, and clusters are not chained."""
    vote = number(abs_tol=0.5).vote([1.0, 1.4, 1.8, 2.2, 2.3, 9])
    assert (vote.value, vote.support) == (2.2, (False, False, True, True, True, False))


@pytest.mark.parametrize(
    ("compare", "ballots", "votes", "value"),
    [
        (number(abs_tol=0.01), [1.00, 1.01, 5], 2, 1.005),
        (number(abs_tol=1), [10, 11, 40], 2, 10),
        (number(abs_tol=2), [10, 12, 40], 2, 11),
        (number(rel_tol=0.1), [90, 100, 200], 2, 95),
        (number(rel_tol=0.1), [-90, -100, 0], 2, -95),
        (number(), [0.1, 0.1, 0.2], 2, 0.1),
        (number(abs_tol=0.5), ["12.5", "12,5", 13], 3, "12,5"),
        (number(), [10**400, 10**400, 1.5], 2, 10**400),
    ],
)
def test_tolerances_are_as_written(compare: Comparator, ballots: list[Any], votes: int, value: Any) -> None:
    """0.01 is one hundredth, not its binary neighbour; a whole-number field gets no fraction it never had."""
    vote = compare.vote(ballots)
    assert (vote.votes, vote.value) == (votes, value)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=12), st.integers(0, 20))
def test_the_window_is_the_fullest_there_is(values: list[int], tolerance: int) -> None:
    """No stretch of the tolerance's width holds more values than the winner has votes."""
    fullest = max(sum(low <= value <= low + tolerance for value in values) for low in values)
    assert number(abs_tol=tolerance).vote(values).votes == fullest


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (12.5, 12.499999, True),
        ("€ 1.234,50", "1,234.50 EUR", True),
        ("(12.00)", "-12", False),  # principle 12: what coercion refuses to read, a vote does not read either
        ("1'234.50", 1234.5, True),
        ({"amount": 12, "currency": "eur"}, "12,00 €", True),
        ("12", "12 EUR", False),
        ("1,234", 1234, False),
        ("1,234", "1,234", True),
        (12, 12.01, False),
        ("USD 12", "US$ 12.00", True),
        ("12 $", "12 €", False),
        ("about 12", 12, False),
        (True, 1, False),
    ],
)
def test_money_is_equal_in_minor_units_and_currency(one: Any, other: Any, same: bool) -> None:
    """What has two readings, or names no currency, is not assumed to be the same."""
    assert (money().vote([one, other]).dissent == 0) == same


# ------------------------------------------------------------------------------------------------- text


def reference_edits(one: str, other: str) -> int:
    """The textbook table."""
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, start=1):
        before, row[0] = row[0], i
        for j, right in enumerate(other, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1]


@given(st.text("abc", max_size=14), st.text("abc", max_size=14))
def test_edits_are_those_of_the_textbook(one: str, other: str) -> None:
    """The bit-parallel distance, its bounds and the cached one agree with the table."""
    expected = reference_edits(one, other)
    assert edits(one, other) == expected
    assert bag_edits(one, other) <= expected
    distances = Distances([one, other])
    assert distances.of(0, 1) == normalised_distance(one, other)
    assert distances.at_least(0, 1) <= distances.of(0, 1)
    for limit in (0.0, 0.2, 0.5):
        assert distances.is_close(0, 1, limit) == (distances.of(0, 1) <= limit)


def test_long_texts_are_compared_by_words() -> None:
    """Time is bounded; one word of a thousand is a thousandth."""
    long = " ".join(f"word{place}" for place in range(1000))
    assert normalised_distance(long, long.replace("word7 ", "other ")) == 0.001
    assert Distances([long, long.replace("word7 ", "other ")]).of(0, 1) == 0.001


def test_text_joins_clusters_and_answers_with_the_medoid() -> None:
    """A path of similar texts is one cluster; the text with the least total distance is the answer. A short word is never a
    misspelling of another one: "abc" and "abd" would be two answers."""
    vote = text(0.8).vote(["kitten abcde", "kittez abcde", "kittez abcdf", "other"])
    assert (vote.value, vote.votes) == ("kittez abcde", 3)
    assert [(each.value, each.votes) for each in vote.alternatives] == [("other", 1)]


@given(st.lists(st.text("ab", min_size=1, max_size=6), min_size=1, max_size=7))
def test_the_medoid_is_the_one_of_all_pairs(ballots: list[str]) -> None:
    """Bounds save time and change nothing."""
    vote = text(0.1).vote(ballots)
    cluster = [ballot for ballot, stands in zip(ballots, vote.support, strict=True) if stands]
    total = {one: sum(normalised_distance(one, other) for other in cluster) for one in cluster}
    if len(total) > 2:
        assert total[vote.value] == pytest.approx(min(total.values()))


def test_similarity_means_what_is_written() -> None:
    """One edit in ten is 0.9 similar, though 1 - 0.9 is less than 0.1 in floats."""
    assert text(0.9).vote(["abcdefghij", "abcdefghiX"]).votes == 2
    assert text(0.91).vote(["abcdefghij", "abcdefghiX"]).votes == 1


# ------------------------------------------------------------------------------------------------- sets and lists


def test_a_set_keeps_what_half_have() -> None:
    """Agreement is the mean Jaccard index to the result."""
    vote = set_of().vote([["a", "b"], ["b", "a"], ["a"], ["a", "c"]])
    assert (vote.value, vote.votes, vote.ambiguous) == (["a", "b"], 2, True)
    assert vote.agreement == pytest.approx((1 + 1 + 1 / 2 + 1 / 3) / 4)
    assert [(each.value, each.votes) for each in vote.alternatives] == [(["c"], 1)]


def test_a_set_may_lose_to_null() -> None:
    """Whether there is a list is voted first."""
    assert set_of().vote([None, None, ["a"]]).value is None


def test_lists_align_by_key() -> None:
    """Slots by key, presence voted, elements voted field by field, in the medoid's order."""
    one = [{"sku": "A", "qty": 1, "price": 2.0}, {"sku": "B", "qty": 1, "price": 3.0}]
    two = [{"sku": "b", "qty": 2, "price": 3.004}, {"sku": "A", "qty": 1, "price": 2.0}]
    three = [
        {"sku": "A", "qty": 1, "price": 2.0},
        {"sku": "B", "qty": 2, "price": 3},
        {"sku": "C", "qty": 1, "price": 9},
    ]
    vote = list_of(key="sku", fields={"/price": "money"}).vote([one, two, three])
    assert vote.value == [{"sku": "A", "qty": 1, "price": 2.0}, {"sku": "B", "qty": 2, "price": 3}]
    assert vote.support == (False, True, False)
    assert vote.agreement == pytest.approx((1 / 2 + 1 + 2 / 3) / 3)
    assert [each.value for each in vote.alternatives] == [[{"sku": "C", "qty": 1, "price": 9}]]


def test_a_key_that_occurs_twice_is_two_slots() -> None:
    """Two lines of one article are not one line."""
    rows = [{"sku": "A", "qty": 1}, {"sku": "A", "qty": 5}]
    assert list_of(key="sku").vote([rows, rows, [rows[0]]]).value == rows


def test_lists_without_key_align_by_assignment() -> None:
    """An element goes with the nearest of the medoid, not with the one at its place."""
    rows = [{"name": "bolt", "qty": 4, "unit": "box"}, {"name": "nut", "qty": 7, "unit": "bag"}]
    turned = [{"name": "nut", "qty": 8, "unit": "bag"}, {"name": "bolt", "qty": 4, "unit": "box"}]
    vote = list_of().vote([rows, turned, rows])
    assert (vote.value, vote.support) == (rows, (True, False, True))


def test_lists_of_texts_vote_element_by_element() -> None:
    """Elements need not be objects."""
    assert list_of().vote([["x", "y"], ["y", "x"], ["y"]]).value == ["x", "y"]


@given(st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=1, max_size=4))
def test_the_assignment_costs_least(costs: list[list[int]]) -> None:
    """As little as the best of all permutations."""
    best = min(sum(row[column] for row, column in zip(costs, order, strict=False)) for order in permutations(range(4)))
    assert sum(costs[row][column] for row, column in assignment(costs)) == best
    turned = [list(column) for column in zip(*costs, strict=True)]
    assert sum(turned[row][column] for row, column in assignment(turned)) == best


@pytest.mark.slow
def test_long_hostile_lists_cost_little() -> None:
    """Lists of a thousand elements that nothing joins are aligned without a cubic algorithm over all of them."""
    chance = random.Random(4)
    rows = [[{"a": chance.random(), "b": chance.random()} for _ in range(1000)] for _ in range(5)]
    assert list_of().vote(rows).value == []


# ------------------------------------------------------------------------------------------------- names and mistakes


def test_comparators_have_names() -> None:
    """Each name gives the comparator of that name, with a version and a description for the fingerprint."""
    for name in ("exact", "number", "money", "set", "list", "text"):
        found = comparator(name)
        assert (found.name, found.version) == (name, 2)
        assert found.description() == {**found.description(), "name": name, "version": 2}
    assert [comparator(name).monotone for name in ("exact", "number", "money", "set", "list", "text")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


def test_options_are_part_of_the_description() -> None:
    """Another tolerance, key or function is another guard."""
    assert number(abs_tol=1).description() != number(abs_tol=2).description()
    assert list_of("a").description() != list_of("b").description()
    assert equivalent(same_initial).description() != equivalent(same_initial, version="2").description()


def near(one: int, other: int, tolerance: int) -> bool:
    return abs(one - other) <= tolerance


def test_what_partial_fixes_in_the_users_judge_is_part_of_its_description() -> None:
    """Another tolerance is another comparator, and no certificate of the first holds for it."""
    assert equivalent(partial(near, tolerance=1)).description() != equivalent(partial(near, tolerance=9)).description()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: comparator("mony"), "there is no comparator 'mony'; there are exact, list, money, number, set, text."),
        (lambda: comparator(3), "a comparator is a name"),  # type: ignore[arg-type]
        (lambda: comparator(type(exact())), "a comparator is a name"),  # type: ignore[arg-type]
        (lambda: number(abs_tol=-1), "tolerances of 0 or more"),
        (lambda: number(rel_tol=1.0), "the relative one below 1"),
        (lambda: number(abs_tol=float("nan")), "got abs_tol=nan"),
        (lambda: money(-1), "got -1"),
        (lambda: text(0), "got 0"),
        (lambda: equivalent("x"), "expected a function of two values"),  # type: ignore[arg-type]
        (lambda: list_of(fields={"/a": "nothing"}), "there is no comparator 'nothing'"),
        (lambda: list_of(3), "got 3"),  # type: ignore[arg-type]
    ],
)
def test_mistakes_are_told(make: Any, said: str) -> None:
    """What was found, what was expected."""
    with pytest.raises(UsageError) as caught:
        make()
    assert said in str(caught.value)


def test_field_votes_are_plain_data() -> None:
    """A vote compares and prints as what it is."""
    assert exact().vote(["a"]) == FieldVote(value="a", support=(True,), votes=1, agreement=1.0)
