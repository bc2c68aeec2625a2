"""Values in the ways models write them, and edits that change what a reply says; `make fuzz` tries many more."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.renderings import Trial, trials

RENDERINGS = 300


@pytest.fixture(scope="module")
def tried() -> list[Trial]:
    return [trial for number in range(RENDERINGS) for trial in trials(f"test/{number}")]


def test_a_rendering_is_read_as_its_value_or_refused(tried: list[Trial]) -> None:
    """Whatever stands around it and however it is spelled."""
    assert [(trial.reply, trial.read) for trial in tried if not trial.edit and trial.wrong] == []


def test_a_rendering_is_seldom_refused(tried: list[Trial]) -> None:
    """What could not be decided is a small share; plain JSON and a fence around it are always decided."""
    plain = [trial for trial in tried if not trial.edit]
    assert sum(bool(trial.read) for trial in plain) >= 0.97 * len(plain)
    assert [trial.reply for trial in plain if not trial.habits and not trial.read] == []


def test_an_edit_that_changes_what_a_reply_says_is_never_read_as_before(tried: list[Trial]) -> None:
    """It is read as what it then says, or refused."""
    assert [(trial.edit, trial.reply, trial.read) for trial in tried if trial.edit and trial.wrong] == []


def test_each_kind_of_edit_occurs(tried: list[Trial]) -> None:
    """Sign, digit, unit, negation, hedge, other member, retraction, part; each often enough to find a fault."""
    kinds = Counter(trial.edit for trial in tried)
    assert {"sign", "digit", "unit", "negation", "hedge", "other member", "retraction", "part", ""} == set(kinds)
    assert min(kinds.values()) >= 100


def test_the_same_seed_makes_the_same_trials() -> None:
    """So that a finding can be tried again."""
    assert list(trials("again")) == list(trials("again"))
