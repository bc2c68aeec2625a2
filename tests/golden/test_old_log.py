"""The log that database revision 0001 wrote: brought up to date, shown and replayed to what it was."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing

from tests.golden.golden import ROOT, Commands, Names, column, compare, structure_of, tables_of

DUMP = ROOT / "tests" / "corpus" / "log_0001.sql.gz"


def test_the_log_of_revision_0001_shows_and_replays_as_it_did(commands: Commands, names: Names) -> None:
    """Each call is what it was, nothing that today's guard says of it is new, and all rows are still there."""
    path = commands.folder / "llmguard.db"
    with gzip.open(DUMP, "rt", encoding="utf-8") as dump, closing(sqlite3.connect(path)) as log:
        log.executescript(dump.read())
    names.exact = True  # its times are the same in every run
    rows = commands.json("log", "list", "--limit", 100)
    assert len(rows) == 20
    shown = {row["id"]: commands.json("log", "show", row["id"]) for row in rows[::3]}
    replayed = {
        guard: commands.json(
            "replay", f"tests.golden.old_guards:{guard}", "--log", "sqlite:///llmguard.db", "--workers", 0
        )
        for guard in ("triage", "invoice", "review")
    }
    stats = commands.json("log", "stats")
    compare("old_log_list", rows)
    compare("old_log_shown", shown)
    compare("old_log_replayed", names(replayed))
    compare("old_log_stats", stats)
    stored = tables_of(path, names)
    assert column(stored["calls"], "id") == column(rows, "id")[::-1]
    guards = [row for row in stored["guards"] if "old_guards" not in str(row["description"])]
    compare("old_log_stored", {**stored, "guards": guards, "structure": structure_of(path)})
