"""Case files on the disk: read with bounds, written whole, and nowhere but in their folder."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelReply
from llmguard.core.record import Step
from llmguard.replay.cases import MAX_CASE_BYTES, Case, Expect, case_text
from llmguard.replay.cases.files import case_path, case_paths, read_case, write_case

CASE = Case(
    guard="triage",
    slug="schema-1a206f",
    inputs={"ticket": "my parcel"},
    steps=(Step("r0/s0/a1/t1", "0" * 32, ModelReply("x" * 500)),),
    expect=Expect(kind="accepted"),
)


def test_what_is_written_is_found_and_read(tmp_path: Path) -> None:
    """Nothing else lies beside it afterwards."""
    folder = tmp_path / "tests" / "cases"
    path = write_case(folder, CASE)
    assert path == folder / "triage" / "schema-1a206f.json"
    assert list(case_paths(folder)) == [path]
    assert read_case(path) == CASE
    assert os.listdir(path.parent) == [path.name]
    assert list(case_paths(tmp_path / "none")) == []


def test_a_case_is_replaced_only_on_purpose(tmp_path: Path) -> None:
    """The sentence names the file."""
    path = write_case(tmp_path, CASE)
    changed = replace(CASE, expect=Expect(kind="refused"))
    with pytest.raises(UsageError, match=r"schema-1a206f\.json is there already\. Add --update"):
        write_case(tmp_path, changed)
    assert read_case(path) == CASE
    assert read_case(write_case(tmp_path, changed, update=True)) == changed


@pytest.mark.parametrize(
    ("guard", "slug"), [("..", "x"), ("a/b", "x"), ("a", "../x"), (".git", "x"), ("A", "x"), ("a", "")]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, guard: str, slug: str) -> None:
    """Whoever asks."""
    with pytest.raises(UsageError, match="cannot name"):
        case_path(tmp_path, guard, slug)


def test_links_are_not_followed_outside(tmp_path: Path) -> None:
    """Neither to write nor to read: a guard's folder, and a file."""
    outside, folder = tmp_path / "outside", tmp_path / "cases"
    outside.mkdir()
    folder.mkdir()
    (folder / "triage").symlink_to(outside)
    with pytest.raises(UsageError, match="is a link that leads out of"):
        write_case(folder, CASE)
    assert list(outside.iterdir()) == []
    target = write_case(outside, CASE)
    (folder / "other").mkdir()
    (folder / "other" / "x.json").symlink_to(target)
    assert list(case_paths(folder)) == []
    (folder / "other" / "dangling.json").symlink_to(outside / "new.json")
    with pytest.raises(UsageError, match="is there already"):
        write_case(folder, replace(CASE, guard="other", slug="dangling"))
    write_case(folder, replace(CASE, guard="other", slug="dangling"), update=True)
    assert not (outside / "new.json").exists()


def test_files_that_cannot_be_read_or_written_are_told(tmp_path: Path) -> None:
    """With their path, in one sentence."""
    with pytest.raises(UsageError, match=r"none\.json: there is no such case file"):
        read_case(tmp_path / "none.json")
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (10 * 1024 * 1024))
    with pytest.raises(UsageError, match=r"large\.json: a case file has at most 8 MB"):
        read_case(large)
    with pytest.raises(UsageError, match="at most"):
        write_case(tmp_path, replace(CASE, inputs={"x": "y" * MAX_CASE_BYTES}))
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="it cannot be written"):
        write_case(tmp_path / "file", CASE)


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    """A name that redaction takes for a secret, and a value at the bound of depth, which a file would go beyond."""
    with pytest.raises(UsageError, match="at /slug"):
        write_case(tmp_path, replace(CASE, slug="sk-proj-4f9a8b7c6d5e4f3a2b1c"))
    deep: Json = 1
    for _ in range(500):
        deep = [deep]
    case = replace(CASE, expect=Expect(kind="value", value=(deep,)))
    assert read_case(write_case(tmp_path, case)) == case
    for _ in range(12):
        deep = [deep]
    with pytest.raises(UsageError, match="cannot be written as JSON: more than 512 levels deep"):
        write_case(tmp_path, replace(case, expect=Expect(kind="value", value=(deep,))), update=True)
    assert [path.name for path in tmp_path.rglob("*.json")] == ["schema-1a206f.json"]


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    """It would hang."""
    os.mkfifo(tmp_path / "x.json")
    with pytest.raises(UsageError, match="there is no such case file"):
        read_case(tmp_path / "x.json")


@pytest.mark.untraced
def test_a_thousand_cases_are_read_in_a_second(tmp_path: Path) -> None:
    """Finding, reading and checking them: what pytest's collection has to pay at most."""
    for number in range(1000):
        case = replace(CASE, guard=f"guard-{number % 7}", slug=f"case-{number}")
        path = case_path(tmp_path, case.guard, case.slug)
        path.parent.mkdir(exist_ok=True)
        path.write_text(case_text(case))
    began = time.process_time()
    assert len([read_case(path) for path in case_paths(tmp_path)]) == 1000
    assert time.process_time() - began < 1.0
