"""100,000 logged outcomes judged again by a changed guard: seconds, CPU and memory.

    python -m benchmarks.rejudge [OUTCOMES]

The log is made by the guard itself, over a scripted model. Its rows are those that `OutcomeLog` would write, by the
log's own statements, but many calls to a transaction and without waiting for the disk: 30 s instead of many minutes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.rejudge_guards import guard
from llmguard.canonical import Json
from llmguard.outcome import Outcome
from llmguard.outcome_log.database import open_database
from llmguard.outcome_log.rows import opening_values, outcome_values, step_values
from llmguard.outcome_log.statements import compile_statements
from llmguard.record import Opening, Step

OUTCOMES = 100_000
CALLS_A_TRANSACTION = 2_000
DOCUMENT = (
    "Invoice no. {} of today for consulting, travel and material. " + "Terms and conditions apply as agreed. " * 10
)


class BulkLog:
    """Takes what a guard logs, and writes many calls at once."""

    secret = bytes(32)

    def __init__(self, path: Path) -> None:
        database = open_database(path)
        self.statements = compile_statements(database.engine.dialect)
        self.connection: Any = database.writing()
        database.set_durable(self.connection, False)
        self.openings: dict[str, tuple[Any, ...]] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.steps: list[tuple[Any, ...]] = []

    def begin(self, opening: Opening) -> None:
        self.openings[opening.id] = opening_values(opening, "bench")

    def step(self, call_id: str, step: Step) -> None:
        self.steps.append(step_values(call_id, step, time.time_ns()))

    def finish(self, call_id: str, outcome: Outcome[Json], finished_at: float) -> None:
        self.calls.append(self.openings.pop(call_id) + outcome_values(outcome, finished_at))
        if len(self.calls) == CALLS_A_TRANSACTION:
            self.write()

    def write(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(self.statements.whole, self.calls)
        self.connection.executemany(self.statements.step, self.steps)
        self.connection.execute("COMMIT")
        self.calls, self.steps = [], []


def make_log(path: Path, outcomes: int) -> None:
    bulk: Any = BulkLog(path)
    guard.log = bulk
    for number in range(outcomes):
        guard.run(document=DOCUMENT.format(number))
    bulk.write()
    bulk.connection.close()


def main(outcomes: int = OUTCOMES) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "log.db")
        began = time.perf_counter()
        make_log(path, outcomes)
        print(
            f"log of {outcomes:,} outcomes made in {time.perf_counter() - began:.0f} s, {path.stat().st_size / 1e6:.0f} MB"
        )


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:]))
