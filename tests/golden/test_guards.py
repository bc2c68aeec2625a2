"""Fingerprints and descriptions of guards of every kind. How to write the data anew: golden.py."""

from __future__ import annotations

from pathlib import Path

from llmguard import OutcomeLog
from tests.golden.golden import Names, compare, structure_of, tables_of
from tests.golden.guards import all_guards


def test_fingerprints_and_descriptions_of_guards_are_as_they_were(tmp_path: Path) -> None:
    """Each guard's fingerprint, as it has it and as the log keeps it, with the description it is the digest of."""
    path = tmp_path / "guards.db"
    log = OutcomeLog.open(f"sqlite:///{path}")
    guards = all_guards(log)
    log.close()
    stored = tables_of(path, Names())["guards"]
    compare("descriptions", {row["name"]: row["description"]["json"] for row in stored})
    compare("fingerprints", {row["name"]: row["fingerprint"] for row in stored})
    assert {guard.name: guard.fingerprint for guard in guards} == {row["name"]: row["fingerprint"] for row in stored}


def test_a_new_log_has_the_tables_it_had(tmp_path: Path) -> None:
    """The statements that made tables and indexes, and the revision."""
    path = tmp_path / "new.db"
    OutcomeLog.open(f"sqlite:///{path}").close()
    compare("log_structure", {"made": structure_of(path), "rows": tables_of(path, Names())})
