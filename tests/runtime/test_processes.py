"""Processes that fork, hang and are killed: nobody's reply to another, nothing acknowledged that is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmguard import Guard, OpenAIModel
from llmguard.log import OutcomeLog
from tests.support.fault_server import FaultServer, Script, answer, chat, hang

SCHEMA = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}


def echo() -> Script:
    return answer(200, lambda request: chat(json.dumps({"id": request.body["messages"][0]["content"]})))


def guard_of(base_url: str, folder: Path) -> Guard:
    model = OpenAIModel("m", base_url=base_url, api_key="x")
    return Guard(
        "echo", prompt="{{ id }}", schema=SCHEMA, models=[model], log=f"sqlite:///{folder}/log.db", deadline_s=20
    )


def ask(guard: Guard, who: str, times: int) -> bool:
    return all(guard.run(id=f"{who}-{number}").value == {"id": f"{who}-{number}"} for number in range(times))


@pytest.mark.loopback
def test_forked_children_get_their_own_replies_and_write_their_own_rows(tmp_path: Path) -> None:
    """24 children under load: none locked, none with another's reply, every outcome in the log."""
    with FaultServer([echo()]) as server:
        guard = guard_of(server.base_url, tmp_path)
        assert ask(guard, "before", 3)
        children = []
        for number in range(24):
            if (child := os.fork()) == 0:
                os._exit(0 if ask(guard, f"child{number}", 5) else 3)
            children.append(child)
            assert ask(guard, f"parent{number}", 1)
        ended = [os.waitpid(child, 0)[1] for child in children]
    assert ended == [0] * 24
    rows = guard.log.find(limit=1_000)
    assert len(rows) == 3 + 24 + 24 * 5
    assert {row.status for row in rows} == {"accepted"}


CALLS = """
import sys
from pathlib import Path
from tests.runtime.test_processes import guard_of
guard = guard_of(sys.argv[1], Path(sys.argv[2]))
number = 0
while True:
    outcome = guard.run(id=f"{sys.argv[3]}-{number}")
    print(outcome.id, flush=True)
    number += 1
"""


def caller(base_url: str, folder: Path, who: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CALLS, base_url, str(folder), who]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.loopback
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """kill -9 amid calls, several times: every id that was handed out is there with its outcome."""
    acknowledged = []
    with FaultServer([echo()]) as server:
        for turn in range(3):
            process = caller(server.base_url, tmp_path, f"turn{turn}")
            acknowledged.append(process.stdout.readline().strip())
            time.sleep(0.3)
            process.send_signal(signal.SIGKILL)
            acknowledged += process.communicate()[0].split()
    log = OutcomeLog.open(f"sqlite:///{tmp_path}/log.db")
    assert len(acknowledged) > 20
    found = {row.id: row.status for row in log.find(limit=100_000)}
    assert {found.get(each) for each in acknowledged} == {"accepted"}
    assert set(found.values()) <= {"accepted", "interrupted"}


@pytest.mark.loopback
def test_a_call_in_flight_is_interrupted_with_what_it_paid_for(tmp_path: Path) -> None:
    """The process is killed while the second request hangs: the first reply is in the record, and is not paid twice."""
    with FaultServer([answer(200, chat("no JSON")), hang]) as server:
        process = caller(server.base_url, tmp_path, "x")
        while len(server.requests) < 2:
            time.sleep(0.01)
        time.sleep(0.05)
        process.kill()
        process.communicate()
    log = OutcomeLog.open(f"sqlite:///{tmp_path}/log.db")
    (row,) = log.find()
    assert row.status == "interrupted"
    record = log.get(row.id)
    assert [attempt.text for attempt in record.outcome.attempts] == ["no JSON"]
    with FaultServer([echo()]) as server:
        outcome = guard_of(server.base_url, tmp_path).resume(row.id)
        assert len(server.requests) == 1
    assert (outcome.status, outcome.value) == ("recovered", {"id": "x-0"})
    assert outcome.attempts[0].text == "no JSON"


@pytest.mark.loopback
def test_nobodys_live_call_is_marked_interrupted(tmp_path: Path) -> None:
    """Two processes call while a third reads and opens the log again and again."""
    with FaultServer([echo()]) as server:
        callers = [caller(server.base_url, tmp_path, who) for who in ("one", "two")]
        for process in callers:
            process.stdout.readline()
        seen = set()
        for _ in range(15):
            log = OutcomeLog.open(f"sqlite:///{tmp_path}/log.db")
            log.mark_interrupted()
            seen |= {row.status for row in log.find(limit=100_000)}
            log.close()
            time.sleep(0.02)
        for process in callers:
            process.kill()
            process.communicate()
    assert "accepted" in seen
    assert seen <= {"accepted", "running"}


@pytest.mark.loopback
def test_a_hung_server_does_not_keep_a_call_past_its_deadline() -> None:
    """Sync and inline: the adapter itself keeps the time."""
    with FaultServer([hang]) as server:
        model = OpenAIModel("m", base_url=server.base_url, api_key="x")
        guard = Guard(
            "hung", prompt="p", schema=int, models=[model], deadline_s=0.3, fallback=[lambda inputs: 7], log=None
        )
        began = time.monotonic()
        outcome = guard.run()
        assert (outcome.value, outcome.attempts[0].failure) == (7, "deadline")
        assert time.monotonic() - began < 5
