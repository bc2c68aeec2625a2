"""Scores of single samples: what a rule agrees with, and the least sure field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.core.canonical import digest
from llmguard.core.errors import UsageError
from llmguard.core.outcome import FieldSupport
from llmguard.voting import text
from llmguard.voting.scores import agrees_with, least_confidence

SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["a", "b", "c"])
FLAT = st.dictionaries(st.sampled_from("abcdefgh"), SCALARS, max_size=6)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc~/"), inner, max_size=3)
)


def known(inputs: Any) -> Any:
    return {"total": 12.5, "vendor": {"name": "Ada", "country": "UK"}, "tags": ["a", "b"]}


# --- agreement with a rule


@given(VALUES, VALUES)
def test_a_score_is_a_share(wanted: Any, value: Any) -> None:
    """From 0 to 1, whatever rule and model say."""
    assert 0.0 <= agrees_with(lambda inputs: wanted)(value, {}) <= 1.0


@given(VALUES)
def test_who_says_what_the_rule_says_has_1(value: Any) -> None:
    """Where the rule says anything: None is no answer."""
    assert agrees_with(lambda inputs: value)(value, {}) == (0.0 if value is None else 1.0)


@given(FLAT.filter(bool), FLAT)
def test_each_field_of_the_rule_counts_once(wanted: dict[str, Any], value: dict[str, Any]) -> None:
    """The share of its fields that the value has with the same answer; the value's other fields do not count."""
    same = sum(key in value and (wanted[key], type(wanted[key])) == (value[key], type(value[key])) for key in wanted)
    assert agrees_with(lambda inputs: wanted)(value, {}) == pytest.approx(same / len(wanted))


def test_objects_are_compared_field_by_field_and_lists_as_a_whole() -> None:
    """However the value is built where the rule has an object."""
    score = agrees_with(known)
    assert score({"total": 12.5, "vendor": {"name": "ADA", "country": "FR"}, "tags": ["a", "b"]}, {}) == 3 / 4
    assert score({"total": 12.5, "vendor": None, "tags": ["b", "a"]}, {}) == 1 / 4
    assert score({"vendor": {"name": None}}, {}) == 0.0
    assert score("12.5", {}) == 0.0


def test_comparators_say_what_the_same_answer_is() -> None:
    """By JSON Pointer, as in a vote; one named for an object compares it as a whole."""
    wanted = {"total": {"amount": 12.5, "currency": "EUR"}, "tags": ["b", "a"], "note": "paid in cash"}
    value = {"total": {"amount": 12.499999, "currency": "EUR"}, "tags": ["a", "b"], "note": "paid in cash."}
    assert agrees_with(lambda inputs: wanted)(value, {}) == 1 / 4
    fields: Any = {"/total": "money", "/tags": "set", "/note": text(similarity=0.8)}
    assert agrees_with(lambda inputs: wanted, fields=fields)(value, {}) == 1.0
    assert agrees_with(lambda inputs: 100, fields={"": "number"})(100.0, {}) == 1.0


def test_the_rule_gets_the_inputs() -> None:
    """And nothing else."""
    score = agrees_with(lambda inputs: {"n": len(inputs["text"])})
    assert (score({"n": 3}, {"text": "abc"}), score({"n": 3}, {"text": "ab"})) == (1.0, 0.0)


@pytest.mark.parametrize("wanted", [None, [{1, 2}], float("nan"), {"a": object()}])
def test_a_rule_without_an_answer_agrees_with_nothing(wanted: Any) -> None:
    """None, and what is no JSON, even if the value were the same."""
    assert agrees_with(lambda inputs: wanted)(wanted, {}) == 0.0


def test_a_rule_that_raises_agrees_with_nothing() -> None:
    """It never raises in the flow; Ctrl-C passes."""
    assert agrees_with(lambda inputs: {}["missing"])({}, {}) == 0.0

    def stop(inputs: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        agrees_with(stop)({}, {})


def test_a_changed_rule_is_another_score() -> None:
    """Rule, comparators and names stand in the description, which is JSON; a version stands for the source."""
    one = agrees_with(known, fields={"/total": "money"})
    assert one.name == "known"
    assert one.description()["rule"]["function"].endswith("test_scores.known")
    told = [
        one,
        agrees_with(known),
        agrees_with(known, fields={"/total": "exact"}),
        agrees_with(lambda inputs: {"total": 1}, fields={"/total": "money"}, name="known"),
        agrees_with(known, fields={"/total": "money"}, name="mine"),
        agrees_with(known, fields={"/total": "money"}, version="2"),
    ]
    assert len({digest(score.description()) for score in told}) == len(told)
    again = agrees_with(lambda inputs: None, name="known", fields={"/total": "money"}, version="2")
    assert again.description() == told[-1].description()


async def slow(inputs: Any) -> Any:
    return inputs


class Slow:
    async def __call__(self, inputs: Any) -> Any:
        return inputs


@pytest.mark.parametrize(
    ("rule", "fields", "said"),
    [
        (1, {}, r"expected a function of \(inputs\), got int"),
        (slow, {}, "got an async function"),
        (Slow(), {}, "got an async function"),
        (known, {"total": "money"}, r"expected JSON Pointers such as '/total', got \['total'\]"),
        (known, {"/total": "monney"}, "Is 'money' meant"),
    ],
)
def test_a_mistake_is_told_when_the_score_is_made(rule: Any, fields: Any, said: str) -> None:
    """One sentence with what was found, what was expected, and the mend."""
    with pytest.raises(UsageError, match=said):
        agrees_with(rule, fields=fields)


# --- the least sure field

CONFIDENCES = st.none() | st.floats(0, 1)


@given(st.dictionaries(st.text(max_size=3), CONFIDENCES))
def test_the_least_confidence_is_that_of_no_field_above_another(found: dict[str, float | None]) -> None:
    """And None where one field has none, so that nothing is accepted for what is not known."""
    least = least_confidence({pointer: FieldSupport(confidence=one) for pointer, one in found.items()})
    if not found or None in found.values():
        assert least is None
    else:
        assert least in found.values()
        assert all(least <= one for one in found.values() if one is not None)
