"""The demo on recorded replies and on the real model, and the examples, each as a newcomer would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llmguard.cli import app, demo
from llmguard.cli.demo_guards import DATA, keyword_rules, labelled_fields
from llmguard.core.canonical import Json, decode
from llmguard.log import OutcomeLog
from llmguard.models.local import LocalModelUnavailable, find_weights

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLMGUARD_LOG", raising=False)
    return tmp_path


def started(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Python on these arguments, in a process of its own."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_playback_shows_every_kind_of_outcome(folder: Path) -> None:
    """Twenty documents end accepted, recovered, fallback and escalated; each is in llmguard.db; the end names two commands,
    which work."""
    result = CliRunner().invoke(app, ["demo", "--playback"])
    assert result.exit_code == 0
    assert result.stdout.startswith("Playing back replies of smollm2-135m-instruct that were recorded before")
    rows = OutcomeLog.open("sqlite:///llmguard.db").find()
    assert len(rows) == len(decode((DATA / "documents.json").read_text())) == 20
    counts = Counter(row.status for row in rows)
    assert set(counts) == {"accepted", "recovered", "fallback", "escalated"}
    table = {
        line.split()[0]: line for line in result.stdout.splitlines() if line.split()[:1] and line.split()[0] in counts
    }
    assert {status: f"  {counts[status]}  " in table[status] for status in counts} == dict.fromkeys(counts, True)
    commands = [line.split() for line in result.stdout.splitlines() if line.startswith("  llmguard ")]
    assert [CliRunner().invoke(app, words[1:]).exit_code for words in commands] == [0, 0]


def test_playback_for_machines_is_one_outcome_a_line(folder: Path) -> None:
    """`--json` prints nothing else on standard output; what the model said is in it."""
    result = CliRunner().invoke(app, ["demo", "--playback", "--json"])
    outcomes = [decode(line) for line in result.stdout.splitlines()]
    assert [outcome["document"] for outcome in outcomes][:2] == ["triage-1", "triage-2"]
    assert all(attempt["text"] for outcome in outcomes for attempt in outcome["attempts"])
    assert "Playing back" in result.stderr


def test_without_a_model_the_demo_says_so_and_plays_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the wheel has no platform, a newcomer still sees the guards at work, and why the model is not."""

    def unavailable() -> None:
        raise LocalModelUnavailable("found no package 'xllamacpp'.")

    monkeypatch.setattr(demo, "local_model", unavailable)
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 0
    assert "The local model is not available: found no package 'xllamacpp'.\nPlaying back" in result.stdout


def test_recordings_are_those_of_the_documents(folder: Path) -> None:
    """Each document has at least one recorded reply, and none is recorded for another."""
    documents = {each["text"] for each in decode((DATA / "documents.json").read_text(encoding="utf-8"))}
    replies = decode((DATA / "replies.json").read_text(encoding="utf-8"))
    assert (set(replies), all(replies.values())) == (documents, True)


def test_prompts_and_schemas_of_the_demo_are_those_of_the_registry() -> None:
    """What the wheel carries is what stands at the top of the project."""
    for part in ("prompts", "schemas"):
        packaged = {path.name: path.read_bytes() for path in (DATA / part).iterdir()}
        assert packaged == {name: (ROOT / part / name).read_bytes() for name in packaged}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("Invoice 90017 over 2,499.00 dollars is attached.", {"number": "90017", "total": 2499.0}),
        ("Bill number K-5501. Goods 192, total 202.", {"number": "K-5501", "total": 202.0}),
    ],
)
def test_the_rule_for_invoices_reads_labelled_fields(document: str, expected: Json) -> None:
    """Only where each of the two is labelled exactly once; else it raises, and a person is asked."""
    assert labelled_fields({"document": document}) == expected
    with pytest.raises(LookupError, match="found 2 labelled numbers"):
        labelled_fields({"document": document + document})


def test_the_rule_for_tickets_knows_its_words() -> None:
    """The category with most words in the ticket; a ticket without any raises, and the constant answers."""
    assert keyword_rules({"ticket": "The tracking of my parcel is down"}) == {"category": "delivery", "urgent": True}
    with pytest.raises(LookupError):
        keyword_rules({"ticket": "Hello!"})


@pytest.mark.real_model
@pytest.mark.slow
def test_the_demo_runs_on_the_real_model(folder: Path) -> None:
    """The model on this machine answers; what it says is judged, and every document gets its outcome."""
    try:
        find_weights()
    except LocalModelUnavailable as unavailable:
        pytest.skip(str(unavailable))
    ended = started("-m", "llmguard.cli", "demo", "--each", "1", "--json", cwd=folder)
    outcomes = [decode(line) for line in ended.stdout.splitlines()]
    assert [outcome["document"] for outcome in outcomes] == ["triage-1", "invoice-1", "review-1"]
    assert all(outcome["attempts"][0]["usage"]["output_tokens"] for outcome in outcomes)
    assert [outcome["id"] for outcome in outcomes] == [
        row.id for row in OutcomeLog.open("sqlite:///llmguard.db").find()
    ][::-1]
    assert ended.stderr.startswith("smollm2-135m-instruct, a model of 135 million parameters, answers on this machine")


EXAMPLES = {
    "first.py": "fallback: 'unknown', by constant",
    "tickets.py": "escalated  escalate",
    "around_your_function.py": "Ada Lovelace 36",
    "certified.py": "under the certificate: 114 accepted and right, 3 accepted and wrong, 83 escalated",
}


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "examples").glob("*.py")))
def test_an_example_runs(folder: Path, name: str) -> None:
    """In a folder of its own, without a key and without a network."""
    ended = started(ROOT / "examples" / name, cwd=folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert EXAMPLES[name] in ended.stdout
