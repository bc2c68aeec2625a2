"""Promotion as Python calls it: files, and a report that is what the command prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmguard import Guard, constant
from llmguard.core.errors import LogError, UsageError
from llmguard.operations.promotion import CaseOptions, PromotionReport, promote, promote_failures
from llmguard.replay.cases import Expect
from llmguard.replay.cases.files import case_paths, read_case
from llmguard.testing import ScriptedModel

FAILED, PASSED = "red", '"blue"'


def colours(*replies: str) -> Guard[object]:
    model = ScriptedModel(replies)
    options = {"reasks": 0, "fallback": [constant("blue")], "log": None}
    return Guard("colour", prompt="{{ thing }}", schema={"enum": ["blue"]}, models=[model], **options)  # type: ignore[arg-type]


def test_calls_are_cases_in_their_order(tmp_path: Path) -> None:
    """Each once; the report says what the files hold."""
    guard = colours(PASSED, PASSED)
    ids = [guard.run(thing=thing).id for thing in ("sky", "sea")]
    report = promote(guard.log, [ids[1], ids[0], ids[1]], tmp_path)
    assert [case.provenance["outcome"] for _, case in report.written] == [ids[1], ids[0]]
    assert [read_case(path) for path, _ in report.written] == [case for _, case in report.written]
    assert [each["expect"] for each in report.to_json()["written"]] == ["value", "value"]


def test_a_call_that_cannot_be_a_case_writes_nothing(tmp_path: Path) -> None:
    """Of several ids, none is written."""
    guard = colours(PASSED)
    known = guard.run(thing="sky").id
    with pytest.raises(LogError):
        promote(guard.log, [known, "ffffffff"], tmp_path)
    with pytest.raises(UsageError, match="has no review"):
        promote(guard.log, [known], tmp_path, options=CaseOptions(needs_review=True))
    assert list(case_paths(tmp_path)) == []


def test_failures_are_one_case_each(tmp_path: Path) -> None:
    """A second run finds the case; `update` replaces it."""
    guard = colours(FAILED, FAILED, PASSED)
    newest = [guard.run(thing=thing).id for thing in ("a", "b", "c")][1]
    expect = Expect(kind="refused")
    report = promote_failures(guard.log, tmp_path, options=CaseOptions(expect=expect), status=["fallback"])
    assert [(case.provenance["outcome"], case.expect) for _, case in report.written] == [(newest, expect)]
    assert report.failed_alike == 1
    again = promote_failures(guard.log, tmp_path, status=["fallback"])
    assert again == PromotionReport(failed_alike=1, already_there=1)
    update = promote_failures(guard.log, tmp_path, options=CaseOptions(update=True), status=["fallback"])
    assert [case.expect for _, case in update.written] == [expect]
