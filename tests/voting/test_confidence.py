"""The probability of each field's tokens: what is told is right, and what is not sure is not told."""

from __future__ import annotations

import json
import math
import time
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import read
from llmguard.schema import compile_schema
from llmguard.schema.keywords import as_pointer
from llmguard.voting.confidence import MOST_MARKS, confidence_of, field_confidence, value_spans

Tokens = list[tuple[str, float]]
Leaves = dict[str, tuple[int, int]]

# No backspace and no form feed: before a letter they are refused as LaTeX (principle 14 of docs/reading.md).
TEXTS = st.text(st.characters(exclude_characters="\b\f", exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)
TAME = st.dictionaries(
    st.sampled_from(["id", "name", "a/b", "~"]),
    st.integers() | st.sampled_from(["paid", "a b", "é🙂"]) | st.lists(st.booleans(), max_size=3),
    min_size=1,
)


def spelled(value: Any, random: Random) -> tuple[str, Leaves]:
    """The value as a model may write it, and where its scalars stand: a writer of its own, not the parser's reverse."""
    text, leaves = "", Leaves()

    def white() -> str:
        return random.choice(["", "", " ", "\n  "])

    def write(item: Any, path: tuple[str, ...]) -> None:
        nonlocal text
        text += white()
        if isinstance(item, dict | list):
            opener, closer = "{}" if isinstance(item, dict) else "[]"
            text += opener
            pairs = item.items() if isinstance(item, dict) else enumerate(item)
            for number, (key, inner) in enumerate(pairs):
                text += "," if number else ""
                text += white() + json.dumps(key) + white() + ":" if isinstance(item, dict) else ""
                write(inner, (*path, str(key)))
            text += white() + closer
        else:
            quoted = int(isinstance(item, str))
            start = len(text) + quoted
            text += json.dumps(item, ensure_ascii=random.random() < 0.5)
            if len(text) - quoted > start:
                leaves[as_pointer(path)] = (start, len(text) - quoted)
        text += white()

    write(value, ())
    return text, leaves


def tokenised(text: str, random: Random) -> Tokens:
    """Cut anywhere, each piece with a probability of its own."""
    found: Tokens = []
    while text:
        size = random.choice([1, 1, 2, 3, 5, 8])
        found.append((text[:size], -random.random()))
        text = text[size:]
    return found


def by_hand(tokens: Tokens, leaves: Leaves, shift: int = 0) -> dict[str, float]:
    """The product over the tokens that share a character with the value, character by character."""
    owners = [number for number, (token, _) in enumerate(tokens) for _ in token]
    return {
        pointer: math.prod(math.exp(tokens[number][1]) for number in set(owners[start + shift : end + shift]))
        for pointer, (start, end) in leaves.items()
    }


@pytest.mark.slow
@given(VALUES, st.randoms(use_true_random=False))
def test_each_leaf_has_the_product_of_its_tokens(value: Any, random: Random) -> None:
    """For any JSON value, spelled and cut into tokens in any way, computed here by hand."""
    text, leaves = spelled(value, random)
    tokens = tokenised(text, random)
    assert field_confidence(text, value, tokens) == pytest.approx(by_hand(tokens, leaves), rel=1e-12)


@given(TAME, st.sampled_from(["Here you are:\n", "```json\n", "<think>Is it {}?</think>\n"]), st.randoms())
def test_prose_around_the_value_changes_nothing(value: Any, before: str, random: Random) -> None:
    """In prose, in a fence and after thoughts the value is found where it stands."""
    inner, leaves = spelled(value, random)
    text = before + inner + ("\n```" if before.startswith("`") else "\nThat is all.")
    tokens = tokenised(text, random)
    assert field_confidence(text, value, tokens) == pytest.approx(by_hand(tokens, leaves, len(before)), rel=1e-12)


@given(VALUES, st.text(max_size=8), st.text(max_size=8), st.randoms(use_true_random=False))
def test_whatever_stands_around_it_is_right_or_not_told(value: Any, before: str, after: str, random: Random) -> None:
    """What surrounds the value may make it unsure; then there is nothing, and never another figure."""
    inner, leaves = spelled(value, random)
    text = before + inner + after
    tokens = tokenised(text, random)
    found, right = field_confidence(text, value, tokens), by_hand(tokens, leaves, len(before))
    if isinstance(value, dict | list) or not (before.strip() or after.strip()):
        assert found == {} or found == pytest.approx(right, rel=1e-12)
    assert all(0.0 <= one <= 1.0 for one in found.values())


# --- what counts


def tokens_of(*texts: str) -> Tokens:
    """Probability 1/2 each, so that the result counts them."""
    return [(text, math.log(0.5)) for text in texts]


def halves(value: Any, *texts: str) -> dict[str, float]:
    """The number of tokens that counted for each field."""
    found = field_confidence("".join(texts), value, tokens_of(*texts))
    return {pointer: round(-math.log2(one), 9) for pointer, one in found.items()}


def test_only_tokens_of_the_value_count() -> None:
    """Keys, quotes and punctuation do not, however many tokens they take."""
    texts = ("{", '"', "st", "atus", '"', ":", ' "', "pa", "id", '"', ",", ' "n": ', "1", "2", "}")
    assert halves({"status": "paid", "n": 12}, *texts) == {"/status": 2, "/n": 2}


def test_a_token_that_is_partly_of_the_value_counts_whole() -> None:
    """One that closes the value or opens the next is a token of both."""
    assert halves({"a": "x", "b": "y"}, '{"a": "', 'x", "b": "y', '"}') == {"/a": 1, "/b": 1}
    assert halves([1, 2], "[1,", " 2]") == {"/0": 1, "/1": 1}


def test_an_empty_text_has_no_confidence() -> None:
    """It has no character, so no token says how sure it is; nor have empty lists and objects."""
    assert halves({"a": "", "b": [], "c": {}, "d": "x"}, '{"a": "", "b": [], "c": {}, "d": "', "x", '"}') == {"/d": 1}


def test_empty_tokens_count_nothing() -> None:
    """Wherever they stand."""
    assert halves([10], "", "[", "", "10", "", "]", "") == {"/0": 1}


def test_a_scalar_reply_has_the_empty_pointer() -> None:
    """As JSON, or as the word that an enum has, with marks around it or after "the answer is"."""
    assert halves(42, " 4", "2", "\n") == {"": 2}
    assert halves("paid", '"', "pa", "id", '"') == {"": 2}
    assert halves("paid", "pa", "id", ".") == {"": 2}
    assert halves("not_spam", "**", "Not", " spam", "**") == {"": 2}
    assert halves("paid", "The answer is", ": ", "Paid") == {"": 1}
    assert halves("paid", "<think>", "pay?", "</think>", "paid") == {"": 1}
    assert halves("No JSON here", "No", " JSON", " here") == {"": 3}


def test_a_field_of_several_scalars_is_as_sure_as_the_least() -> None:
    """A list or an object that is voted on as a whole; one without scalars has none."""
    found = {"/a": 0.5, "/b/0": 0.25, "/b/1/c": 0.125, "/bc": 0.0625}
    assert [confidence_of(pointer, found) for pointer in ("/a", "/b", "/b/1", "/d", "")] == [
        0.5,
        0.125,
        0.125,
        None,
        0.0625,
    ]


# --- what is not sure

UNSURE: dict[str, tuple[Any, str]] = {
    "repaired": ({"a": 1}, '{"a": 1,}'),
    "single quotes": ({"a": "x"}, "{'a': 'x'}"),
    "one closer too many": ({"a": 1}, '{"a": 1}}'),
    "cut": ({"a": 1}, '{"a": 1'),
    "converted": ({"a": 1250.4}, '{"a": "$1,250.40"}'),
    "unwrapped": ({"a": 1}, '{"result": {"a": 1}}'),
    "another key": ({"a": 1}, '{"A": 1}'),
    "said twice": ({"a": 1}, 'First {"a": 1}, and so {"a": 1}'),
    "only thought": ({"a": 1}, '<think>{"a": 1}</think>'),
    "a quoted block": ({"a": 1}, '> {\n> "a": 1\n> }'),
    "entities": ({"a": "x"}, "{&quot;a&quot;: &quot;x&quot;}"),
    "escaped": ({"a": "x"}, '{\\"a\\": \\"x\\"}'),
    "another value": ({"a": 2}, '{"a": 1}'),
    "true is not 1": ({"a": 1}, '{"a": true}'),
    "another word": ("paid", "unpaid"),
    "a word among others": ("paid", "It was not paid at all"),
    "a word said twice": ("paid", "<think>paid?</think>paid"),
    "a label": ("B", "billing"),
    "a truth": (True, "Yes"),
    "only marks": ("-", "_"),
    "a long word in another case": ("a" * 400, "A" * 400),
    "half a character": ("\ud800", '"\\ud800"'),
    "nothing": ({"a": 1}, ""),
}


@pytest.mark.parametrize("case", UNSURE)
def test_what_is_not_sure_is_not_told(case: str) -> None:
    """A repaired or converted value, one that is said twice, and one that is not there have no confidence."""
    value, text = UNSURE[case]
    assert field_confidence(text, value, [(letter, -0.1) for letter in text]) == {}


def test_a_key_that_stands_twice_gets_none() -> None:
    """It says the same twice, in other tokens; the other fields keep theirs."""
    text = '{"a": 1, "b": {"c": 2}, "b": {"c": 2}, "a": 1, "d": 3}'
    assert halves({"a": 1, "b": {"c": 2}, "d": 3}, *text) == {"/d": 1}


def test_tokens_that_are_not_the_texts_say_nothing() -> None:
    """One too many, one too few, another text; and none at all."""
    text = '{"a": 1}'
    letters = tokens_of(*text)
    for tokens in (letters[1:], letters[:-1], [*letters, *tokens_of("<|end|>")], tokens_of(text.upper()), []):
        assert field_confidence(text, {"a": 1}, tokens) == {}


@pytest.mark.parametrize("logprob", [0.1, math.nan, math.inf, "-0.1", None])
def test_what_is_no_log_probability_says_nothing(logprob: Any) -> None:
    """A positive number, NaN or no number: one bad token spoils all."""
    assert field_confidence("[1]", [1], [("[", -0.1), ("1", -0.1), ("]", logprob)]) == {}


def test_the_ends_of_the_scale_are_reached_without_an_exception() -> None:
    """A probability of 0 is the logarithm -inf, or a float that is as good."""
    for impossible in (-math.inf, -1.7e308):
        tokens = [("[", 0.0), ("1", impossible), ("2", impossible), (",", 0.0), ("3", 0), ("]", 0.0)]
        assert field_confidence("[12,3]", [12, 3], tokens) == {"/0": 0.0, "/1": 1.0}


MEGABYTE = 1_000_000
DEEP = 500
HOSTILE: dict[str, str] = {
    "ones": "[" + "1," * (MEGABYTE // 2) + "1]",
    "brackets": "[" * MEGABYTE,
    "nested": "[" * DEEP + "1," * (MOST_MARKS // 2) + "1" + "]" * DEEP,
    "a long key over many values": '{"' + "k" * (MEGABYTE // 2) + '": [' + "1," * (MOST_MARKS // 2) + "1]}",
    "quotes": '"' * MEGABYTE,
    "backslashes": '"' + "\\" * MEGABYTE,
    "words": "word " * (MEGABYTE // 5),
    "stars": "*" * MEGABYTE,
    "a lead": "the answer" + " " * MEGABYTE + "is x",
}


@pytest.mark.slow
@pytest.mark.parametrize("case", HOSTILE)
def test_a_megabyte_of_anything_takes_no_time(case: str) -> None:
    """Long, deep and broken texts give nothing, within a second or so."""
    text = HOSTILE[case]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = "word"
    began = time.perf_counter()
    assert field_confidence(text, value, [(text[at : at + 4], -0.1) for at in range(0, len(text), 4)]) == {}
    assert time.perf_counter() - began < 3


# --- as a reply is read


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        ({"type": "object", "properties": {"s": {"enum": ["paid", "open"]}}}, '{"s": "paid"}', {"/s": (7, 11)}),
        ({"type": "object", "properties": {"s": {"enum": ["paid", "open"]}}}, '{"s": "Paid"}', {}),
        ({"enum": ["paid", "open"]}, "Paid.", {"": (0, 4)}),
        ({"enum": ["paid", "open"]}, "```\npaid\n```", {"": (4, 8)}),
        ({"enum": ["paid", "open"]}, '"paid"', {"": (1, 5)}),
        ({"type": "string"}, "It is paid.", {"": (0, 11)}),
        ({"type": "integer"}, "The answer is 42.", {}),
        ({"type": "array", "items": {"type": "integer"}}, "Sure: [4, 2]", {"/0": (7, 8), "/1": (10, 11)}),
    ],
)
def test_the_value_that_was_read_is_found(schema: Any, text: str, expected: Leaves) -> None:
    """With the reader's own value: where it says what the text says, its scalars have their places."""
    assert value_spans(text, read(ModelReply(text), compile_schema(schema)).value) == expected
