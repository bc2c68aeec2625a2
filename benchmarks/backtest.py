"""100,000 logged outcomes replayed with a changed guard: seconds, CPU and memory.

    python -m benchmarks.backtest [OUTCOMES]

The log is made by the guard itself, over a scripted model. Its rows are those that `OutcomeLog` would write, by the
log's own statements, but many calls to a transaction and without waiting for the disk: a minute instead of many.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.backtest_guards import guard
from llmguard.core.canonical import Json, decode
from llmguard.core.outcome import Outcome
from llmguard.core.record import CallStart, Step
from llmguard.log.rows import opening_values, outcome_values, step_values
from llmguard.log.sqlite.database import open_database
from llmguard.log.sqlite.statements import compile_statements

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
        self.connection: Any = database.writer_connection()
        database.set_durable(self.connection, False)
        self.openings: dict[str, tuple[Any, ...]] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.steps: list[tuple[Any, ...]] = []

    def begin(self, opening: CallStart) -> None:
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


def replaying(path: Path, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "llmguard", "replay", "benchmarks.backtest_guards:changed"]
    options = [
        "--log",
        f"sqlite:///{path}",
        "--workers",
        "2",
        "--json",
        "--list",
        "0",
        "--state",
        str(folder / "state"),
    ]
    return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def resident_mb(pid: int) -> float:
    """Of a process and all below it; memory that they share is counted once for each."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6 + sum(resident_mb(int(child)) for child in children)


def watched(process: subprocess.Popen[bytes], until: Callable[[], bool] = lambda: False) -> float:
    """The peak of its memory, in MB, until it ends."""
    peak = 0.0
    while process.poll() is None and not until():
        try:
            peak = max(peak, resident_mb(process.pid))
        except (FileNotFoundError, ProcessLookupError):  # one of them has just ended
            pass
        time.sleep(0.02)
    return peak


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def judge(path: Path, folder: Path, outcomes: int) -> Json:
    before, began = cpu_s(), time.perf_counter()
    process = replaying(path, folder)
    peak = watched(process)
    said = decode(process.communicate()[0])
    seconds, cpu = time.perf_counter() - began, cpu_s() - before
    print(
        f"2 workers: {seconds:.1f} s, CPU {cpu:.1f} s ({cpu / outcomes * 1e6:.0f} µs each), peak {peak:.0f} MB in all"
    )
    kinds = {kind: rate["count"] for kind, rate in said["kinds"].items()}
    print(f"  {said['calls']:,} calls: {kinds}, undetermined {said['undetermined']:,}; load {os.getloadavg()[0]:.1f}")
    return said


def kill_and_go_on(path: Path, folder: Path, outcomes: int, expected: Json) -> None:
    """kill -9 in the middle, then the same command again."""
    state = folder / "state"
    process = replaying(path, folder)
    watched(process, lambda: state.exists() and state.read_bytes().count(b"\n") > outcomes / 200 / 2)
    process.kill()
    process.communicate()
    done = sum(len(decode(line)) for line in state.read_bytes().splitlines(keepends=True)[1:] if line.endswith(b"\n"))
    began = time.perf_counter()
    said = decode(replaying(path, folder).communicate()[0])
    same = {**said, "until": None} == {**expected, "until": None}
    print(f"killed after {done:,}; went on for {time.perf_counter() - began:.1f} s; the same numbers: {same}")


def main(outcomes: int = OUTCOMES) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "log.db"
        began = time.perf_counter()
        make_log(path, outcomes)
        size = path.stat().st_size / 1e6
        print(f"log of {outcomes:,} outcomes made in {time.perf_counter() - began:.0f} s, {size:.0f} MB")
        said = judge(path, folder, outcomes)
        kill_and_go_on(path, folder, outcomes, said)


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:]))
