"""Calls of each status as the log stores them, what their models were sent, and what `log show` says of them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from llmguard import OutcomeLog
from tests.golden.calls import KEY, Calls
from tests.golden.golden import Commands, Names, compare, tables_of


@dataclass
class Made:
    path: Path
    calls: Calls
    ids: dict[str, str]
    names: Names


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A log with all the calls, closed."""
    path = tmp_path_factory.mktemp("records") / "calls.db"
    log = OutcomeLog.open(f"sqlite:///{path}")
    calls, names = Calls(log), Names(path.parent)
    ids = dict(calls.all())
    for name, call_id in ids.items():
        names.learn(call_id, name)
    log.feedback(ids["accepted"], "thumb", {"up": True}, 1.0)
    better = {"number": "A-7", "total": 360}
    review = log.review(ids["vote"], "wrong", correction=better, reviewer="ann", comment="a slip", blind=True)
    names.learn(review.id, "review")
    log.close()
    return Made(path, calls, ids, names)


def test_calls_of_every_status_are_stored_as_they_were(made: Made) -> None:
    """All rows of all tables: openings, answers, digests, outcomes with attempts, violations, repairs and votes."""
    stored = tables_of(made.path, made.names)
    found = {row["status"] for row in stored["calls"]}
    assert found == {"accepted", "recovered", "fallback", "escalated", "rejected", "interrupted"}
    assert KEY.encode() not in made.path.read_bytes()
    for table in ("calls", "steps"):
        compare(f"stored_{table}", stored[table])
    compare("stored_others", {name: rows for name, rows in stored.items() if name not in ("calls", "steps", "guards")})
    compare("stored_guards", {row["name"]: row["fingerprint"] for row in stored["guards"]})


def test_models_are_sent_what_they_were_sent(made: Made) -> None:
    """The messages of each request, those that tell what was wrong among them."""
    compare("asked", made.calls.asked)


def test_an_interrupted_call_goes_on_as_it_did(made: Made, tmp_path: Path) -> None:
    """Resumed in a copy of the log, it asks for what is missing only, and its outcome takes the place of the other."""
    shutil.copy(made.path, path := tmp_path / "copy.db")
    log = OutcomeLog.open(f"sqlite:///{path}")
    resumed = Calls(log).resumed(made.ids["interrupted"])
    log.close()
    stored = tables_of(path, made.names)
    call = [row for row in stored["calls"] if row["id"] == "<interrupted>"]
    steps = [row for row in stored["steps"] if row["call_id"] == "<interrupted>"]
    compare("resumed", {"status": resumed.status, "value": resumed.value, "calls": call, "steps": steps})


SHOWN = (
    "accepted flagged repaired re-asked ladder vote medoid audited judged constant rule last-good escalated uncertified"
    " rejected-crash interrupted"
).split()


def test_log_show_says_of_a_call_what_it_said(made: Made, commands: Commands) -> None:
    """`log show --json`, whole and for a blind reviewer."""
    log = ("--log", f"sqlite:///{made.path}")
    shown = {name: commands.json("log", "show", made.ids[name], *log) for name in SHOWN}
    shown["vote, blind"] = commands.json("log", "show", made.ids["vote"], "--blind", *log)
    compare("shown", made.names(shown))
