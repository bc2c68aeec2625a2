"""A few seconds of what `make fuzz` does at length."""

from __future__ import annotations

import pytest

from benchmarks.fuzz import tries


@pytest.mark.slow
def test_two_seconds_of_mutated_replies_raise_nothing() -> None:
    """Whatever a model says, the outcome is an outcome, and its value fits the schema."""
    assert list(tries(2.0, seed=20261123)) == []
