"""Who is dead for certain, who is alive, and who cannot be judged from here."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmguard.log import OutcomeLog
from llmguard.log.sqlite import liveness
from llmguard.log.sqlite.liveness import is_foreign, is_gone, this_process
from tests.support.logged_calls import child, opening, replied, say

BOOT, NAMESPACE, PID, START = this_process().split("/")
has_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def owner(boot: str = BOOT, namespace: str = NAMESPACE, pid: object = PID, start: str = START) -> str:
    return f"{boot}/{namespace}/{pid}/{start}"


@has_proc
def test_the_dead_are_gone_and_the_living_are_not() -> None:
    """A process is itself by boot, PID and start time."""
    assert not is_gone(this_process())
    assert is_gone(owner(start="1"))  # its PID was given to this process
    assert is_gone(owner(boot="another-boot"))
    assert is_gone(owner(pid=2**22 + 1))
    assert not is_gone(owner(pid=1, start=str(liveness._start_of(1))))


@has_proc
def test_a_forked_sibling_lives_until_it_is_killed() -> None:
    """A zombie, which nobody has waited for yet, is dead."""

    def work(writing: int) -> None:
        say(writing, this_process())
        signal.pause()

    with child(work) as (pid, reading):
        named = os.read(reading, 1_000).decode().strip()
        assert f"/{pid}/" in named
        assert not is_gone(named)
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(named)
    assert is_gone(named)


@has_proc
def test_another_container_is_not_judged() -> None:
    """Its PIDs mean nothing here."""
    foreign = owner(namespace="4026539999", pid=2**22 + 1)
    assert (is_gone(foreign), is_foreign(foreign)) == (False, True)
    assert (is_foreign(this_process()), is_foreign(owner(boot="another-boot"))) == (False, False)


@pytest.mark.parametrize("name", ["", "/", "a/b/c/d", "///", "boot/ns/-1/1", "x" * 300])
def test_a_name_that_is_none_is_not_judged(name: str) -> None:
    """What another version wrote is left alone."""
    assert not is_gone(name)


def test_without_proc_a_pid_that_is_taken_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """On other systems a call is interrupted when its PID is free."""
    monkeypatch.setattr(liveness, "_boot_id", lambda: "")
    monkeypatch.setattr(liveness, "_pid_namespace", lambda: "")
    with child(lambda writing: None) as (pid, reading):
        os.read(reading, 1)
    assert is_gone(f"//{pid}/")
    assert not is_gone(f"//{os.getppid()}/")
    assert not is_gone("//1/")
    monkeypatch.setattr(liveness.sys, "platform", "win32")
    assert not is_gone(f"//{pid}/")


def test_a_process_without_proc_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boot, namespace and start are empty then."""
    monkeypatch.setattr(liveness, "Path", lambda path: Path("/nowhere" + path))
    monkeypatch.setattr(liveness.os, "readlink", lambda path: os.stat("/nowhere"))
    assert liveness._owner.__wrapped__(77) == "//77/" or liveness._boot_id() != ""
    assert (liveness._boot_id.__wrapped__(), liveness._pid_namespace.__wrapped__(), liveness._start_of(77)) == (
        "",
        "",
        None,
    )


# ------------------------------------------------------------------------------------------------- in the log


@pytest.fixture
def log(tmp_path: Path) -> Iterator[OutcomeLog]:
    opened = OutcomeLog.open(f"sqlite:///{tmp_path / 'log.db'}")
    yield opened
    opened.close()


def give_to(log: OutcomeLog, call_id: str, name: str) -> None:
    """A call of another process, which this one finds."""
    log.begin(opening(call_id))
    log.step(call_id, replied())
    log.flush()
    with sqlite3.connect(log.path) as plain:
        plain.execute("UPDATE calls SET owner = ? WHERE id = ?", (name, call_id))
    plain.close()


def test_a_dead_call_is_interrupted_for_readers_at_once(log: OutcomeLog) -> None:
    """Lists, conditions, counts and the record say so before anybody has settled it."""
    give_to(log, "1", owner(boot="another-boot"))
    assert [row.status for row in log.find()] == ["interrupted"]
    assert [row.id for row in log.find(status="interrupted")] == ["1"]
    assert [row.id for row in log.find(where="status=interrupted")] == ["1"]
    assert log.stats()[0].statuses == {"interrupted": 1}
    assert log.unfinished() == []
    record = log.get("1")
    assert record is not None
    assert record.outcome is not None
    assert (record.outcome.status, len(record.outcome.attempts)) == ("interrupted", 1)


def test_settling_writes_it_once(log: OutcomeLog) -> None:
    """What was paid for is counted; a second time there is nothing to do; the end's time nobody knows."""
    give_to(log, "1", owner(boot="another-boot"))
    give_to(log, "2", owner(boot="another-boot"))
    log.begin(opening("mine"))
    assert (log.mark_interrupted(), log.mark_interrupted()) == (2, 0)
    found = [(row.id, row.status, row.requests, row.usage.total_tokens, row.finished_at) for row in log.find()]
    assert found == [
        ("mine", "running", 0, 0, None),
        ("2", "interrupted", 1, 120, None),
        ("1", "interrupted", 1, 120, None),
    ]


@has_proc
def test_a_call_of_another_container_is_settled_only_on_demand(log: OutcomeLog) -> None:
    """With a time before which nothing there can run any more."""
    give_to(log, "1", owner(namespace="4026539999"))
    log.begin(opening("mine"))
    assert log.mark_interrupted() == 0
    assert [row.id for row in log.unfinished()] == ["1", "mine"]
    assert log.mark_interrupted(foreign_before=1_600_000_000.0) == 0
    assert log.mark_interrupted(foreign_before=1_800_000_000.0) == 1
    assert [row.id for row in log.unfinished()] == ["mine"]
