"""The one strict encoder: what comes back is what went in, or it is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.core.canonical import EncodingError, decode, digest, encode

LOW = st.characters(min_codepoint=0xDC00, max_codepoint=0xDFFF, categories=["Cs"])
TEXTS = st.text(max_size=8) | st.text(LOW, min_size=1, max_size=2)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def same(one: object, other: object) -> bool:
    """Equal in value, in type and in key order, at every level."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


@pytest.mark.slow
@given(VALUES)
def test_every_json_value_comes_back_as_it_was(value: object) -> None:
    """Long integers, lone surrogates, -0.0 and key order included."""
    assert same(decode(encode(value)), value)


@given(VALUES)
def test_what_is_written_is_utf8_json(value: object) -> None:
    """Any JSON parser reads it, and it is valid UTF-8 whatever the value holds."""
    assert same(json.loads(encode(value).decode("utf-8")), value)


@given(st.dictionaries(st.text(max_size=3), st.integers(), min_size=2, max_size=5))
def test_a_digest_does_not_depend_on_key_order(value: dict[str, int]) -> None:
    """Two dicts that are equal have one name."""
    assert digest(dict(reversed(value.items()))) == digest(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [float("nan")]}, "NaN at '/a/0' is not JSON"),
        ({"a": float("inf")}, "infinity at '/a' is not JSON"),
        ({1: "x", "big": 2**70}, "key 1 at '' is int, and JSON keys are strings"),
        ({"a": object()}, "object at '/a' is not JSON"),
        ({"a": {1, 2}}, "set at '/a' is not JSON"),
        (b"x", "bytes at '' is not JSON"),
    ],
)
def test_what_json_cannot_carry_is_refused_with_its_place(value: object, said: str) -> None:
    """Nothing is changed silently: NaN does not become null, a number no string."""
    with pytest.raises(EncodingError) as refused:
        encode(value)
    assert str(refused.value) == said


def test_a_value_of_600_levels_is_refused() -> None:
    """The bound is a sentence, not a RecursionError."""
    value: object = 1
    for _ in range(600):
        value = [value]
    with pytest.raises(EncodingError, match="more than 512 levels deep"):
        encode(value)


def test_two_halves_of_a_pair_are_one_character() -> None:
    """RFC 8259 reads the escaped pair so, whoever wrote it; live and replay see the same."""
    assert decode(encode("\ud800\udc00")) == "\U00010000"


def test_a_cycle_is_refused() -> None:
    """A list that holds itself has no JSON."""
    value: list[object] = []
    value.append(value)
    with pytest.raises(EncodingError, match="levels deep"):
        encode(value)
