"""Ordinary right replies in the habits of six model families: refusing one is a fault, and costs another request."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.readers import llmguard
from benchmarks.scoreboard import Score, judge, load_ordinary, reask_rate
from llmguard.schema import compile_schema

MAX_REASKED = 0.03
"""Each of these costs a second request."""


@pytest.fixture(scope="module")
def scores() -> list[Score]:
    return [judge(llmguard, case) for case in load_ordinary()]


def test_ordinary_replies_are_read_at_the_first_ask(scores: list[Score]) -> None:
    """At least this share of them, and in each family nearly so."""
    assert reask_rate(scores) <= MAX_REASKED
    lost = Counter(score.case.family for score in scores if score.verdict == "lost")
    sizes = Counter(score.case.family for score in scores)
    assert {family: count for family, count in lost.items() if count > (MAX_REASKED + 0.05) * sizes[family]} == {}


def test_none_of_them_is_read_wrong(scores: list[Score]) -> None:
    """A right reply that is read as another value is worse than one that is refused."""
    assert [score.case.id for score in scores if score.verdict == "silently wrong" or score.crashed] == []


def test_the_corpus_is_what_it_says(scores: list[Score]) -> None:
    """300 different replies of six families, each with a value that fits its schema."""
    cases = [score.case for score in scores]
    assert len({(case.reply, str(case.schema)) for case in cases}) == len(cases) == 300
    assert Counter(case.family for case in cases).keys() == {"gpt", "claude", "gemini", "llama", "qwen", "mistral"}
    assert [case.id for case in cases if compile_schema(case.schema).violations(case.value)] == []
    assert len({case.layout for case in cases}) >= 20
