"""What was acknowledged is on the disk, and what could not be written is neither lost nor a caller's trouble."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmguard.core.canonical import Json
from llmguard.core.errors import LogError
from llmguard.log import LogWarning, OutcomeLog
from llmguard.log.sqlite import database, writer
from tests.support.logged_calls import child, lines_of, log_call, opening, outcome, replied, say, until

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks are not waited for, tries are repeated soon, and whoever finishes a call is the first to try."""
    monkeypatch.setattr(writer, "LINGER_S", 1.0)
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    monkeypatch.setattr(writer, "RETRY_S", 0.02)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[OutcomeLog]:
    opened = OutcomeLog.open(f"sqlite:///{tmp_path / 'log.db'}")
    yield opened
    opened.close()


def on_disk(path: Path, sql: str = "SELECT id, status FROM calls ORDER BY id") -> list[Any]:
    """What another program sees."""
    plain = sqlite3.connect(path)
    try:
        return plain.execute(sql).fetchall()
    finally:
        plain.close()


def log_calls(log: OutcomeLog, numbers: Iterable[int]) -> None:
    for number in numbers:
        log_call(log, str(number))


# ------------------------------------------------------------------------------------------------- when it works


def test_an_outcome_is_on_the_disk_when_finish_returns(log: OutcomeLog) -> None:
    """With its opening and its answers, in one transaction."""
    log_call(log, "1")
    assert on_disk(log.path) == [("1", "accepted")]
    assert on_disk(log.path, "SELECT call_id, address FROM steps") == [("1", "r0/s0/a0/t0")]


def test_intent_and_answers_come_to_the_disk_by_themselves(log: OutcomeLog) -> None:
    """Nobody has to wait for them."""
    log.begin(opening("1"))
    until(lambda: on_disk(log.path) == [("1", None)])
    log.step("1", replied())
    until(lambda: len(on_disk(log.path, "SELECT * FROM steps")) == 1)


def test_finish_after_the_intent_was_written_changes_its_row(log: OutcomeLog) -> None:
    """The call is one row, whether its opening was written before or with the outcome."""
    log.begin(opening("1"))
    log.flush()
    log.finish("1", outcome("1", "fallback"), 5.0)
    log_call(log, "2")
    assert on_disk(log.path) == [("1", "fallback"), ("2", "accepted")]
    assert [(row.started_at, row.finished_at) for row in log.find(where="id=1")] == [(1_700_000_000.0, 5.0)]


def test_many_threads_lose_nothing(log: OutcomeLog) -> None:
    """Each call of each thread is on the disk when its finish returns."""
    missing: list[str] = []

    def work(name: int) -> None:
        for number in range(10):
            log_call(log, f"{name}-{number}")
            if log.get(f"{name}-{number}") is None:
                missing.append(f"{name}-{number}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (missing, len(on_disk(log.path))) == ([], 60)


def test_coroutines_wait_for_the_disk_and_not_in_the_loop(log: OutcomeLog) -> None:
    """`afinish` returns after the commit; many at once are written together."""
    seen: list[int] = []

    async def call(number: int) -> None:
        log.begin(opening(f"{number:02}"))
        log.step(f"{number:02}", replied())
        await log.afinish(f"{number:02}", outcome(f"{number:02}"), 1.0)
        seen.append(len(on_disk(log.path, f"SELECT 1 FROM calls WHERE id = '{number:02}' AND status = 'accepted'")))

    async def calls() -> None:
        await asyncio.gather(*(call(number) for number in range(20)))

    asyncio.run(calls())
    assert seen == [1] * 20


def test_a_closed_log_opens_again_when_it_is_used(log: OutcomeLog) -> None:
    """Closing writes everything and ends the thread; what comes later is not lost."""
    log.begin(opening("1"))
    log.close()
    assert on_disk(log.path) == [("1", None)]
    until(lambda: log._writer._thread is None)
    log.finish("1", outcome("1"), 1.0)
    log.begin(opening("2"))
    until(lambda: on_disk(log.path) == [("1", "accepted"), ("2", None)])


def test_what_is_queued_is_written_at_exit(tmp_path: Path) -> None:
    """A program that ends right after `begin` leaves its intent, and with what it left the next one goes on."""
    script = (
        "import sys; from llmguard.log import OutcomeLog; from tests.support.logged_calls import opening, replied\n"
        "log = OutcomeLog.open(sys.argv[1]); log.begin(opening('1')); log.step('1', replied())"
    )
    url = f"sqlite:///{tmp_path / 'log.db'}"
    subprocess.run([sys.executable, "-c", script, url], cwd=ROOT, check=True)
    (row,) = OutcomeLog.open(url).find()
    assert (row.status, row.requests, row.usage.total_tokens) == ("interrupted", 1, 120)


# ------------------------------------------------------------------------------------------------- Ctrl-C, cancellation


def test_ctrl_c_while_waiting_does_not_lose_the_row(log: OutcomeLog) -> None:
    """The exception passes on; the writer's thread does the rest."""
    log.begin(opening("1"))
    log.flush()
    with log._writer.write_lock:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            log.finish("1", outcome("1"), 1.0)
        assert on_disk(log.path) == [("1", None)]
    until(lambda: on_disk(log.path) == [("1", "accepted")])


class InterruptedAt:
    """A connection during whose n-th statement Ctrl-C is pressed."""

    def __init__(self, connection: Any, number: int) -> None:
        self.connection, self.left = connection, number

    def execute(self, sql: str, *values: Any) -> Any:
        found = self.connection.execute(sql, *values)
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return found

    def executescript(self, sql: str) -> Any:
        return self.connection.executescript(sql)

    def rollback(self) -> None:
        self.connection.rollback()

    def close(self) -> None:
        self.connection.close()


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_ctrl_c_within_a_transaction_neither_loses_nor_doubles(
    log: OutcomeLog, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BEGIN, the call's row, the answer's row, COMMIT: wherever it comes, everything is written once."""
    monkeypatch.setattr(writer, "LINGER_S", 0.5)
    log_call(log, "0")
    log._writer._connection = InterruptedAt(log._writer._connection, number)
    with pytest.raises(KeyboardInterrupt):
        log_call(log, "1")
    log.flush()
    until(lambda: log._writer.pending == 0)
    assert on_disk(log.path) == [("0", "accepted"), ("1", "accepted")]
    assert len(on_disk(log.path, "SELECT * FROM steps")) == 2


def test_a_cancelled_coroutine_does_not_lose_the_row(log: OutcomeLog) -> None:
    """CancelledError passes on, even if the loop is closed before the commit."""

    async def cancelled() -> None:
        log.begin(opening("1"))
        task = asyncio.create_task(log.afinish("1", outcome("1"), 1.0))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with log._writer.write_lock:
        asyncio.run(cancelled())
    until(lambda: on_disk(log.path) == [("1", "accepted")])


# ------------------------------------------------------------------------------------------------- when it does not


def test_a_locked_log_costs_nobody_a_value(impatient: None, log: OutcomeLog) -> None:
    """One warning; the rows wait in memory, in order, and are written when the lock is gone."""
    log_call(log, "0")
    other = sqlite3.connect(log.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.warns(LogWarning, match=r"cannot be written: database is locked\. Calls go on") as warned:
        log_calls(log, range(1, 6))
    assert len(warned) == 1
    assert log.flush() is False
    assert [row.id for row in log.find()] == ["0"]
    other.execute("ROLLBACK")
    other.close()
    until(lambda: log._writer.pending == 0)
    assert on_disk(log.path) == [(str(number), "accepted") for number in range(6)]
    assert len(on_disk(log.path, "SELECT * FROM steps")) == 6


@pytest.mark.filterwarnings("ignore::llmguard.log.LogWarning")
def test_coroutines_do_not_wait_for_better_times(
    impatient: None, log: OutcomeLog, caplog: pytest.LogCaptureFixture
) -> None:
    """`afinish` returns although the row is not on the disk yet."""
    other = sqlite3.connect(log.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def calls() -> None:
        for number in range(3):
            log.begin(opening(str(number)))
            await asyncio.wait_for(log.afinish(str(number), outcome(str(number)), 1.0), 5)

    asyncio.run(calls())
    until(lambda: "cannot be written" in caplog.text)
    other.execute("ROLLBACK")
    other.close()
    until(lambda: len(on_disk(log.path)) == 3)


def test_a_warning_that_is_an_error_costs_no_value(impatient: None, log: OutcomeLog) -> None:
    """Under `-W error`, too, finish returns; the logger has said it."""
    other = sqlite3.connect(log.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log_call(log, "1")
    other.close()
    until(lambda: log._writer.pending == 0)


def full_disk(writing: int, path: Path) -> None:
    log = OutcomeLog.open(f"sqlite:///{path}")
    log_call(log, "0")
    size = path.with_name("log.db-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        log_calls(log, range(1, 11))
    say(writing, f"{[warning.category.__name__ for warning in warned]} {log._writer.pending > 0}")
    say(writing, str(warned[0].message))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    until(lambda: log._writer.pending == 0)


def test_a_full_disk_costs_nobody_a_value(impatient: None, tmp_path: Path) -> None:
    """The kernel refuses to let the file grow: one warning, ten values, and all rows when there is room again."""
    path = tmp_path / "log.db"
    with child(lambda writing: full_disk(writing, path)) as (pid, reading):
        lines = lines_of(reading)
        assert os.waitpid(pid, 0)[1] == 0
    assert lines[0] == "['LogWarning'] True"
    assert "cannot be written" in lines[1]
    assert sorted(int(row[0]) for row in on_disk(path)) == list(range(11))
    assert len(on_disk(path, "SELECT * FROM steps")) == 11


def test_a_removed_file_is_said_and_made_again(impatient: None, log: OutcomeLog) -> None:
    """SQLite would go on writing into a file that has no name any more."""
    log_call(log, "0")
    for file in log.path.parent.glob("log.db*"):
        file.unlink()
    with pytest.warns(LogWarning, match="was removed or replaced while in use"):
        log_call(log, "1")
    assert on_disk(log.path) == [("1", "accepted")]


@pytest.mark.filterwarnings("ignore::llmguard.log.LogWarning")
def test_a_removed_folder_is_waited_for(impatient: None, log: OutcomeLog, caplog: pytest.LogCaptureFixture) -> None:
    """Until it is there again, the rows are kept."""
    log_call(log, "0")
    folder = log.path.parent
    shutil.rmtree(folder)
    log_calls(log, range(1, 3))
    until(lambda: "was removed or replaced" in caplog.text and "Make the folder" in caplog.text)
    with pytest.raises(LogError, match="cannot be read"):
        log.find()
    folder.mkdir()
    until(lambda: log._writer.pending == 0)
    assert on_disk(log.path) == [("1", "accepted"), ("2", "accepted")]


@pytest.mark.filterwarnings("ignore::llmguard.log.LogWarning")
def test_a_row_that_can_never_be_written_does_not_block_the_others(
    log: OutcomeLog, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left out and named."""
    log.begin(opening("bad", at=2**70))  # no column holds it
    log_call(log, "good")
    assert on_disk(log.path) == [("good", "accepted")]
    until(lambda: "a row of call 'bad' can never be written" in caplog.text)


def test_a_folder_that_may_not_be_written_is_an_error_at_open() -> None:
    """Nothing is asked of a model before the log is known to work."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)

    def as_nobody(writing: int) -> None:
        if os.getuid() == 0:
            os.setuid(65534)
        try:
            OutcomeLog.open(f"sqlite:///{folder}/log.db")
        except LogError as error:
            say(writing, str(error))

    try:
        with child(as_nobody) as (_, reading):
            (line,) = lines_of(reading)
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
    assert "cannot be opened for writing: unable to open database file" in line
    assert "yours to write" in line


# ------------------------------------------------------------------------------------------------- kill -9


def calls_until_killed(writing: int, url: str, name: str) -> None:
    log = OutcomeLog.open(url)
    for number in range(100_000):
        log_call(log, f"{name}-{number:05}")
        say(writing, f"{name}-{number:05}")


def test_kill_9_loses_no_acknowledged_outcome(tmp_path: Path) -> None:
    """Each of several processes is killed at some moment of its calls; what they acknowledged is there, decided."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    acknowledged: list[str] = []
    for name in "abcd":
        with child(lambda writing, name=name: calls_until_killed(writing, url, name)) as (pid, reading):  # type: ignore[misc]
            first = os.read(reading, 8)
            time.sleep(0.02 + 0.013 * ord(name) % 0.05)
            os.kill(pid, signal.SIGKILL)
            acknowledged += (first.decode() + "\n".join(lines_of(reading))).split()
    statuses = {row.id: row.status for row in OutcomeLog.open(url).find(limit=None)}
    assert len(acknowledged) > 8
    assert [call for call in acknowledged if statuses.get(call) != "accepted"] == []
    assert set(statuses.values()) <= {"accepted", "interrupted"}


def hang_in_call(writing: int, url: str) -> None:
    log = OutcomeLog.open(url)
    log.begin(opening("1"))
    log.step("1", replied('{"paid": 1}'))
    log.step("1", replied('{"paid": 2}', address="r0/s0/a1/t0"))
    until(lambda: len(on_disk(log.path, "SELECT * FROM steps")) == 2)
    say(writing, "asking")
    time.sleep(60)


def test_kill_9_in_mid_call_leaves_an_interrupted_outcome(tmp_path: Path) -> None:
    """While the process lives the call runs; when it was killed it is interrupted, with the answers it paid for."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    with child(lambda writing: hang_in_call(writing, url)) as (pid, reading):
        assert os.read(reading, 7) == b"asking\n"
        log = OutcomeLog.open(url)
        assert [row.status for row in log.find()] == ["running"]
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # dead, and a zombie still
        found = log.get("1")
        assert found is not None
        assert found.outcome is not None
        assert found.outcome.status == "interrupted"
    (row,) = OutcomeLog.open(url).find(status="interrupted")
    assert (row.requests, row.usage.total_tokens, row.value) == (2, 240, None)
    record = log.get("1")
    assert record is not None
    assert record.outcome is not None
    assert [attempt.text for attempt in record.outcome.attempts] == ['{"paid": 1}', '{"paid": 2}']
    assert (record.outcome.id, record.outcome.guard) == ("1", "triage")


# ------------------------------------------------------------------------------------------------- several processes


def slow_calls(writing: int, url: str, stop: Path, name: int) -> None:
    log = OutcomeLog.open(url)
    number = 0
    while not stop.exists():
        call_id = f"{name}-{number:03}"
        log.begin(opening(call_id))
        log.step(call_id, replied())
        time.sleep(0.012)
        log.finish(call_id, outcome(call_id), 1.0)
        assert log.get(call_id) is not None
        number += 1
    say(writing, str(number))


def test_no_reader_ever_marks_a_living_call(tmp_path: Path) -> None:
    """Two processes write and a third opens, lists and settles all the time: nothing is interrupted."""
    url, stop = f"sqlite:///{tmp_path / 'log.db'}", tmp_path / "stop"
    OutcomeLog.open(url)
    seen: set[str] = set()
    with (
        child(lambda writing: slow_calls(writing, url, stop, 1)) as (_, first),
        child(lambda writing: slow_calls(writing, url, stop, 2)) as (_, second),
    ):
        for _ in range(10):
            until(lambda: OutcomeLog.open(url).find(status="running"))
            log = OutcomeLog.open(url)
            seen |= {row.status for row in log.find()} | {status for one in log.stats() for status in one.statuses}
            assert log.mark_interrupted() == 0
        stop.touch()
        made = int(lines_of(first)[0]) + int(lines_of(second)[0])
    assert seen == {"running", "accepted"}
    assert [row.status for row in OutcomeLog.open(url).find(limit=None)] == ["accepted"] * made


def test_24_forked_children_under_load(log: OutcomeLog) -> None:
    """While threads of the parent write, each child gets a log that works, with its own rows, and none is locked."""
    stop = threading.Event()
    counts = [0, 0]

    def load(name: int) -> None:
        while not stop.is_set():
            log_call(log, f"parent-{name}-{counts[name]:05}")
            counts[name] += 1
            time.sleep(0.001)

    def work(writing: int, name: int) -> None:
        for number in range(3):
            log_call(log, f"child-{name:02}-{number}", value={"of": name})
        found: list[Json] = [row.value for row in log.find(where=f"id~child-{name:02}-")]
        assert found == [{"of": name}] * 3
        say(writing, "done")

    threads = [threading.Thread(target=load, args=(name,)) for name in range(2)]
    for thread in threads:
        thread.start()
    try:
        said = []
        for group in range(6):
            with (
                child(lambda writing, name=4 * group: work(writing, name)) as (_, a),  # type: ignore[misc]
                child(lambda writing, name=4 * group + 1: work(writing, name)) as (_, b),  # type: ignore[misc]
                child(lambda writing, name=4 * group + 2: work(writing, name)) as (_, c),  # type: ignore[misc]
                child(lambda writing, name=4 * group + 3: work(writing, name)) as (_, d),  # type: ignore[misc]
            ):
                said += [line for reading in (a, b, c, d) for line in lines_of(reading)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert said == ["done"] * 24
    ids = [row[0] for row in on_disk(log.path) if row[1] == "accepted"]
    assert len([found for found in ids if found.startswith("child")]) == 72
    assert len([found for found in ids if found.startswith("parent")]) == sum(counts)


def test_a_child_outlives_its_parent(tmp_path: Path) -> None:
    """The parent ends and closes the log; what the child writes afterwards is there, as the child holds its own locks."""
    path = tmp_path / "log.db"

    def parent(writing: int) -> None:
        log = OutcomeLog.open(f"sqlite:///{path}")
        log_call(log, "parent")
        log.find()
        if os.fork() == 0:
            log_call(log, "child before")
            until(lambda: os.getppid() != first)
            for number in range(5):
                log_call(log, f"child {number}")
            say(writing, "done")
            os._exit(0)
        until(lambda: len(on_disk(path)) == 2)
        log.close()

    def wrapped(writing: int) -> None:
        nonlocal first
        first = os.getpid()
        parent(writing)

    first = 0
    with child(wrapped) as (_, reading):
        assert lines_of(reading) == ["done"]
    assert len(on_disk(path)) == 7
