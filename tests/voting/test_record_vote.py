"""Votes over whole values: field by field, dependent fields together, put together again, and the medoid."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.core.errors import UsageError
from llmguard.voting import INVALID, list_of, medoid, text, vote_on
from llmguard.voting.comparators import comparator
from llmguard.voting.record_vote import MAX_FIELDS

SAMPLES = [
    {"id": 1, "name": "Ann", "to": {"city": "Rome", "zip": "1"}},
    {"id": 1, "name": "Ann", "to": {"city": "Oslo", "zip": "2"}},
    {"id": 2, "name": "Bob", "to": {"city": "rome", "zip": "2"}},
]


def test_fields_are_voted_one_by_one() -> None:
    """The assembled object is each field's majority, though no sample was it."""
    vote = vote_on(SAMPLES)
    assert vote.value == {"id": 1, "name": "Ann", "to": {"city": "Rome", "zip": "2"}}
    assert vote.value not in SAMPLES
    assert set(vote.fields) == {"/id", "/name", "/to/city", "/to/zip"}
    assert (vote.dissent, vote.agreement, vote.support) == (1, pytest.approx(2 / 3), (False, False, False))


def test_dissent_of_a_call_is_its_worst_field() -> None:
    """One field on which all differ is enough."""
    assert vote_on([{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 3}]).dissent == 2


def test_an_invalid_sample_dissents_in_every_field() -> None:
    """It is in the number drawn, and in no support."""
    vote = vote_on([SAMPLES[0], INVALID, SAMPLES[0]])
    assert (vote.value, vote.dissent, vote.sample_count, vote.support) == (SAMPLES[0], 1, 3, (True, False, True))
    nothing = vote_on([INVALID, INVALID])
    assert (nothing.has_value, nothing.value, nothing.dissent, nothing.agreement) == (False, None, 2, 0.0)


def test_dependent_fields_stay_together() -> None:
    """An id never gets another sample's name."""
    samples = [{"id": 1, "name": "A"}, {"id": 2, "name": "B"}, {"id": 2, "name": "C"}, {"id": 1, "name": "A"}]
    together = vote_on([*samples, {"id": 2, "name": "D"}], together=(("/id", "/name"),))
    apart = vote_on([*samples, {"id": 2, "name": "D"}])
    assert together.value == {"id": 1, "name": "A"}
    assert apart.value == {"id": 2, "name": "A"}
    assert (together.fields["/id"].dissent, together.fields["/name"].dissent) == (3, 3)


def test_fields_voted_together_need_classes() -> None:
    """A tolerance gives a value no class of its own."""
    with pytest.raises(UsageError, match="compared by 'number', which gives a value no class"):
        vote_on([{"a": 1, "b": 2}], {"/a": comparator("number")}, (("/a", "/b"),))


def test_a_field_left_out_may_win() -> None:
    """An optional field that most leave out is not in the result; null is kept."""
    assert vote_on([{"a": None}, {"a": None, "b": 1}, {"a": None}]).value == {"a": None}


def test_values_that_are_no_objects_are_one_field() -> None:
    """A label, a number or a list is voted as a whole, at the pointer ""."""
    assert vote_on(["yes", "no", "Yes"]).fields[""].votes == 2
    assert vote_on([[1, 2], [1, 2], [2]]).value == [1, 2]
    assert vote_on([{}, {}, {}]).value == {}


def test_an_object_that_some_lack_is_voted_as_a_whole() -> None:
    """Where a sample has null instead of an object, its properties cannot be voted apart."""
    vote = vote_on([{"to": {"a": 1, "b": 1}}, {"to": None}, {"to": {"b": 1, "a": 1}}])
    assert (vote.value, list(vote.fields)) == ({"to": {"a": 1, "b": 1}}, ["/to"])


def test_named_fields_are_compared_as_named() -> None:
    """A pointer with a comparator is voted as a whole by it."""
    samples = [{"lines": [{"id": 1}, {"id": 2}]}, {"lines": [{"id": 2}, {"id": 1}]}, {"lines": [{"id": 2}, {"id": 1}]}]
    assert vote_on(samples, {"/lines": comparator("set")}).dissent == 0
    assert vote_on(samples, {"/lines": list_of(key="id")}).dissent == 0
    assert vote_on(samples).dissent == 1


def test_pointers_are_escaped() -> None:
    """Names with slashes and tildes are fields like others."""
    vote = vote_on([{"a/b": 1.001, "~": {"": 1}}, {"a/b": 1, "~": {"": 1}}], {"/a~1b": comparator("money")})
    assert (vote.dissent, vote.value["~"], list(vote.fields)) == (0, {"": 1}, ["/a~1b", "/~0/"])


def test_hostile_objects_are_one_field() -> None:
    """A thousand invented properties are not voted one by one, nor does nesting reach the stack's end."""
    wide = [{f"{sample}-{number}": 1 for number in range(MAX_FIELDS)} for sample in range(3)]
    assert list(vote_on(wide).fields) == [""]
    deep: Any = {}
    for _ in range(400):
        deep = {"a": deep}
    assert vote_on([deep, deep]).value == deep


@given(st.lists(st.fixed_dictionaries({"a": st.integers(0, 2)}, optional={"b": st.none()}) | st.none(), max_size=8))
def test_dissent_never_falls(samples: list[Any]) -> None:
    """Also where a null in the place of an object, or an optional field, changes what is voted on."""
    dissents = [vote_on(samples[:drawn]).dissent for drawn in range(len(samples) + 1)]
    assert dissents == sorted(dissents)


def test_the_medoid_is_nearest_to_all() -> None:
    """By the fields' own distances; an invalid sample is none."""
    samples = [
        {"a": 1, "t": "x"},
        INVALID,
        {"a": 1, "t": "hello there"},
        {"a": 2, "t": "hello their"},
        {"a": 1, "t": "y"},
    ]
    assert medoid(samples, {"/t": text(0.9)}) == 2
    assert medoid([INVALID]) is None


def cpu_ms(samples: list[Any], fields: Any) -> float:
    best = float("inf")
    for _ in range(7):
        began = time.process_time()
        vote_on(samples, fields)
        best = min(best, time.process_time() - began)
    return best * 1000


@pytest.mark.slow
@pytest.mark.untraced
def test_a_vote_is_fast() -> None:
    """40 samples of 30 fields: 5 ms of CPU with exact, where identical strings are put into form once; 100 with text."""
    chance = random.Random(7)
    said = {f"/f{place}": [f"Ürban value {place}{chance.random()}" for _ in range(4)] for place in range(30)}
    samples = [{name[1:]: chance.choice(values) for name, values in said.items()} for _ in range(40)]
    assert cpu_ms(samples, {}) < 5
    assert cpu_ms(samples, dict.fromkeys(said, comparator("text"))) < 100
