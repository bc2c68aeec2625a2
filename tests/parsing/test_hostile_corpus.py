"""The hostile replies of tests/corpus: never silently wrong, and nearly always right where a careful person would be."""

from __future__ import annotations

import json

import pytest

from benchmarks.readers import llmguard
from benchmarks.scoreboard import CORPUS, Score, judge, load
from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import read
from llmguard.parsing.coerce.rules import FITTING_RULES
from llmguard.parsing.syntax import KINDS
from llmguard.schema import compile_schema


@pytest.fixture(scope="module")
def scores() -> list[Score]:
    return [judge(llmguard, case) for case in load()]


def test_no_reply_of_a_sample_is_read_wrong_without_a_sign() -> None:
    """Every twentieth of the corpus, for `make quick`."""
    assert [case.id for case in load()[::20] if judge(llmguard, case).verdict == "silently wrong"] == []


@pytest.mark.slow
def test_no_reply_is_read_wrong_without_a_sign(scores: list[Score]) -> None:
    """The measure of the whole project."""
    assert [score.case.id for score in scores if score.verdict == "silently wrong"] == []


@pytest.mark.slow
def test_nearly_all_that_can_be_read_is_read(scores: list[Score]) -> None:
    """At least 98 % of the replies from which a careful person would read a value; none raises."""
    recoverable = [score for score in scores if score.case.recoverable]
    assert len(recoverable) >= 300
    assert sum(score.verdict == "right" for score in recoverable) >= 0.98 * len(recoverable)
    assert [score.case.id for score in scores if score.crashed] == []


@pytest.mark.slow
def test_what_is_refused_has_the_right_reason(scores: list[Score]) -> None:
    """The failure kind is the one the corpus names."""
    assert [(score.case.id, score.kind) for score in scores if score.other_kind] == []


def test_each_layout_is_in_the_corpus() -> None:
    """Pretty, spaced and compact: a parser may get one right and another wrong."""
    lines = (CORPUS / "hostile.jsonl").read_text(encoding="utf-8").splitlines()
    assert {"pretty", "spaced", "compact"} <= {json.loads(line)["layout"] for line in lines if line}


@pytest.mark.slow
def test_each_repair_that_is_made_has_a_known_name() -> None:
    """What the corpus makes the parser do is what a guard can allow and forbid by name."""
    seen = set()
    for case in load():
        reply = ModelReply(case.reply, finish_reason=case.finish_reason)  # type: ignore[arg-type]
        seen |= {repair.rule for repair in read(reply, compile_schema(case.schema)).repairs}
    assert len(seen) > 30
    assert seen - set(KINDS) - FITTING_RULES == set()
