"""Whole logs replayed: every outcome of the demo, and one written by each version of the log."""

from __future__ import annotations

import gzip
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llmguard.cli import app
from llmguard.cli.demo_guards import Models, demo_guards
from llmguard.core.canonical import Json
from llmguard.core.errors import ReplayMismatch
from llmguard.core.outcome import Outcome
from llmguard.core.record import Record
from llmguard.guard.guard import Guard
from llmguard.log import OutcomeLog
from llmguard.models.local import MODEL
from llmguard.models.openai.model import OpenAIModel
from llmguard.prompts import compile_prompt
from llmguard.runtime.recorded import replay_exactly

CORPUS = Path(__file__).parent.parent / "corpus"
WRITTEN_BY = {"0001": CORPUS / "log_0001.sql.gz"}
"""Logs of the demo as each revision wrote them; a new revision adds its own."""


def guards_of_the_demo(log: OutcomeLog) -> dict[str, Guard[Json]]:
    """With a model of the recorded name, which is never asked."""
    model = OpenAIModel(MODEL, api_key="none")
    return demo_guards(Models(prompted=model, enforced=model), log)


def records_of(log: OutcomeLog) -> list[Record]:
    found = [log.get(row.id) for row in log.find(limit=None)]
    return [record for record in found if record is not None]


def plain(outcome: Outcome[Json]) -> Outcome[Json]:
    """An outcome without what is not of the call: whose guard's version it was, and with what share calls were audited."""
    return replace(outcome, value=None, fingerprint="", review_probability=0.0)


def test_every_outcome_of_the_demo_replays_exactly(tmp_path: Path) -> None:
    """All twenty, with every attempt, violation and repair."""
    url = f"sqlite:///{tmp_path / 'demo.db'}"
    assert CliRunner().invoke(app, ["demo", "--playback", "--log", url]).exit_code == 0
    log = OutcomeLog.open(url)
    guards, records = guards_of_the_demo(log), records_of(log)
    assert len(records) == 20
    for record in records:
        again = replay_exactly(guards[record.opening.guard].policy, record)
        assert replace(plain(again), review_probability=again.review_probability) == replace(
            plain(record.outcome), review_probability=record.outcome.review_probability
        )


@pytest.mark.parametrize("revision", sorted(WRITTEN_BY))
def test_a_log_of_every_version_replays(revision: str, tmp_path: Path) -> None:
    """What an earlier version of the log wrote is brought up to date when it is opened, and replays to its outcomes; where a
    re-ask was sent, up to that: models were asked again in other words then (docs/upgrading.md)."""
    path = tmp_path / "old.db"
    with gzip.open(WRITTEN_BY[revision], "rt", encoding="utf-8") as dump, sqlite3.connect(path) as made:
        made.executescript(dump.read())
    made.close()
    log = OutcomeLog.open(f"sqlite:///{path}")
    guards, records = guards_of_the_demo(log), records_of(log)
    assert len(records) == 20
    for record in records:
        policy = guards[record.opening.guard].policy
        if any("/a2/" in step.address for step in record.steps):
            with pytest.raises(ReplayMismatch, match="/a2/"):
                replay_exactly(policy, record)
        else:
            assert plain(replay_exactly(policy, record)) == plain(record.outcome)


def test_an_exact_replay_of_a_changed_guard_names_the_first_differing_step(tmp_path: Path) -> None:
    """One word of the prompt: the first request is another one, and both are named."""
    url = f"sqlite:///{tmp_path / 'demo.db'}"
    assert CliRunner().invoke(app, ["demo", "--playback", "--each", "1", "--log", url]).exit_code == 0
    log = OutcomeLog.open(url)
    guards = guards_of_the_demo(log)
    record = next(record for record in records_of(log) if record.opening.guard == "triage")
    changed = replace(guards["triage"].policy, prompt=compile_prompt("Now: {{ ticket }}", name="triage"))
    with pytest.raises(ReplayMismatch) as raised:
        replay_exactly(changed, record)
    assert raised.value.address == record.steps[0].address == "r0/s0/a1/t1"
