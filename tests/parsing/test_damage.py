"""Damage of a known kind, and hostile text: a sample of what `python -m benchmarks.damage` and `.linear` do at length."""

from __future__ import annotations

import time

import pytest

from benchmarks.damage import BLIND, KINDS, tries
from benchmarks.linear import FAMILIES, MOST_GROWTH, growth
from llmguard.parsing.syntax import parse_candidates


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(BLIND)))
def test_damage_is_repaired_to_the_original_or_refused(kind: str) -> None:
    """A known damage never gives another value; a text that was cut off may end where a value does, and says so."""
    _, wrong = tries(kind, examples=40, seed=3)
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_hostile_text_is_read_in_linear_time(family: str) -> None:
    """Twice the text takes at most 2.6 times as long; a busy machine gets a second look."""
    measured = (growth(family, half=64 * 1024)[1] for _ in range(3))
    assert any(times <= MOST_GROWTH for times in measured)


def test_a_flood_of_brackets_is_refused_at_once() -> None:
    """100,000 brackets cost less than 50 ms of CPU."""
    began = time.thread_time()
    assert parse_candidates("[" * 100_000).violation.rule == "too_deep"  # type: ignore[union-attr]
    assert time.thread_time() - began < 0.05
