"""The log, in one process: what goes in comes out, is found, counted and explained."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmguard.core.canonical import digest
from llmguard.core.effects import Crashed, Returned
from llmguard.core.errors import LogError, UsageError
from llmguard.core.messages import ModelReply, Usage
from llmguard.core.outcome import Alternative, Repair, Violation
from llmguard.core.record import Record, Step, tagged_hash
from llmguard.log import MemoryLog, OutcomeLog, open_log
from llmguard.log.query import FIELDS, conditions
from llmguard.log.sqlite import database
from llmguard.log.sqlite.database import REVISIONS, has_wal_reset_bug, open_database
from llmguard.log.sqlite.tables import tables
from tests.support.logged_calls import USAGE, failed, log_call, missed, opening, outcome, replied

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'log.db'}"


@pytest.fixture
def log(url: str) -> Iterator[OutcomeLog]:
    opened = OutcomeLog.open(url)
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "memory"])
def any_log(request: pytest.FixtureRequest, log: OutcomeLog) -> OutcomeLog | MemoryLog:
    return log if request.param == "sqlite" else MemoryLog()


def test_a_call_comes_back_as_it_was(log: OutcomeLog) -> None:
    """Opening, answers with their evidence, and outcome are the same after the log has been closed and opened."""
    steps = (
        failed("timeout", address="r0/s0/a0/t0"),
        replied('{"total": 4}', address="r0/s0/a0/t1"),
        Step("c:sum/", "e" * 32, Returned({"sum": 2**70})),
        Step("r1/", "e" * 32, Crashed("crashed", "ValueError: no")),
    )
    decided = outcome(
        "1",
        "recovered",
        {"total": 4, "big": 2**70, "none": None},
        repairs=(Repair("/total", "4", 4, "lossless"),),
        flags=(Violation("/total", "sum", "is odd", expected=[1, 2], severity="flag"),),
        alternatives=(Alternative(1, 2), Alternative("2", 1)),
        agreement=0.75,
        review_probability=0.05,
        review_reason="audit",
    )
    attempt = replace(missed(rule="sum"), address="r0/s0/a0/t1", text='{"total": 4}')
    decided = replace(decided, attempts=(attempt,))
    log.begin(opening("1", meta={"user": "ada", "n": 3}))
    for step in steps:
        log.step("1", step)
    log.finish("1", decided, 1_700_000_001.0)
    log.close()
    assert log.get("1") == Record(opening("1", meta={"user": "ada", "n": 3}), steps, decided)


def test_evidence_is_kept_with_its_hash(log: OutcomeLog) -> None:
    """The reply's body stands in the database byte by byte, with its sha256."""
    raw = b"\x00\xff\r\n{not json}" * 3
    log.begin(opening("1"))
    log.step("1", Step("r0/s0/a0/t0", "d", ModelReply("x", raw=raw)))
    log.flush()
    with sqlite3.connect(log.path) as plain:
        assert plain.execute("SELECT raw, raw_hash FROM steps").fetchall() == [(raw, tagged_hash(raw))]
    record = log.get("1")
    assert record is not None
    assert record.steps[0].answer.raw == raw  # type: ignore[union-attr]


HOSTILE = ["\0", "a\0b", "\ud800", "x\udfffy", "'; DROP TABLE calls; --", "%_", "\u202e", "\n" * 3, "ü" * 100, ""]


def test_hostile_text_goes_in_and_out(log: OutcomeLog) -> None:
    """NUL, lone surrogates and SQL in every text of a call change nothing, and are found again."""
    for number, text in enumerate(HOSTILE):
        call_id = f"{number}-{text}"
        step = Step("r0/s0/a0/t0", "d", ModelReply(text, model=text, usage=USAGE, raw=b"x"))
        given = {"inputs": {text: [text]}, "meta": {"text": text}}
        log_call(
            log,
            call_id,
            step=step,
            value={"said": text},
            source=text,
            attempts=(missed(text, text, model=text),),
            **given,
        )
        record = log.get(call_id)
        assert record is not None
        assert (record.opening.inputs, record.opening.meta) == (given["inputs"], given["meta"])
        assert (record.steps, record.outcome and record.outcome.json) == ((step,), {"said": text})
        assert [row.value for row in log.find(meta={"text": text})] == [{"said": text}]
    assert len(log.find()) == len(HOSTILE)


def test_huge_counts_are_clamped_in_columns_only(log: OutcomeLog) -> None:
    """A server that counts 2**70 tokens neither blocks the log nor changes the record."""
    usage = Usage(input_tokens=2**70, output_tokens=1)
    log.begin(opening("1"))
    log.step("1", Step("r0/s0/a0/t0", "d", ModelReply("x", usage=usage)))
    log.finish("1", replace(outcome("1"), usage=usage), 1.0)
    record = log.get("1")
    assert record is not None
    assert record.outcome is not None
    assert record.outcome.usage == usage
    assert log.find()[0].usage.input_tokens == 2**63 - 1


def test_what_cannot_be_encoded_is_said_and_not_lost(log: OutcomeLog) -> None:
    """An outcome or answer that is no JSON after all keeps its place in the log."""
    deep: Any = "x"
    for _ in range(600):
        deep = [deep]
    log.begin(opening("1"))
    log.step("1", Step("r0/", "d", Returned(deep)))
    log.finish("1", outcome("1", value=float("nan")), 1.0)
    record = log.get("1")
    assert record is not None
    assert record.outcome is not None
    assert (record.outcome.status, record.outcome.violations[0].rule) == ("accepted", "encoding")
    assert isinstance(record.steps[0].answer, Crashed)


def test_secrets_are_not_in_the_file(log: OutcomeLog) -> None:
    """A key in prompt, meta, reply, evidence, error or value is in no file of the log."""
    key = "sk-proj-" + "4f9a8b7c6d5e4f3a2b1c0d9e"
    step = Step("r0/s0/a0/t0", "d", ModelReply(f"use {key}", raw=f'{{"error": "bad key {key}"}}'.encode()))
    log_call(log, "1", inputs={"q": key}, meta={"k": key}, step=step, value={"v": key}, attempts=(missed(message=key),))
    log.guard("f9", "g", {"prompt": key})
    log.feedback("1", "note", key, 1.0)
    log.flush()
    files = list(log.path.parent.iterdir())
    assert [file.name for file in files if key.encode() in file.read_bytes()] == []
    record = log.get("1")
    assert record is not None
    assert record.opening.inputs == {"q": "[redacted:openai_key]"}


def test_log_probabilities_come_back(any_log: OutcomeLog | MemoryLog) -> None:
    """As the tuples that they were, so that a replay finds the same confidence."""
    reply = ModelReply('{"a": "é🙂"}', logprobs=(('{"a": "', 0.0), ("é🙂", -0.1 - 0.2), ('"}', -1e300)))
    log_call(any_log, "x", step=Step("r0/s0/a0/t0", "d" * 32, reply))
    found = any_log.get("x")
    assert found is not None
    assert found.steps[0].answer == reply


def test_an_undecided_call_of_a_living_process_is_running(any_log: OutcomeLog | MemoryLog) -> None:
    """It has no outcome, is listed as running, and its answers can be read already."""
    any_log.begin(opening("1"))
    any_log.step("1", replied())
    record = any_log.get("1")
    assert record is not None
    assert (record.outcome, len(record.steps)) == (None, 1)
    assert [row.status for row in any_log.find()] == ["running"]
    assert len(any_log.unfinished()) == 1
    assert any_log.mark_interrupted() == 0


def test_an_unknown_call_is_none(any_log: OutcomeLog | MemoryLog) -> None:
    """There is no record, no last good value, and no place for feedback."""
    assert any_log.get("nobody") is None
    assert any_log.last_good("triage", "d", 0.0) is None
    assert any_log.explain("nobody") is None
    with pytest.raises(LogError, match="no call 'nobody'"):
        any_log.feedback("nobody", "useful", True, 1.0)


def test_an_outcome_without_opening_is_kept(log: OutcomeLog) -> None:
    """A call that began before a fork may end in the child: its outcome stands, and the opening may come later."""
    log.finish("1", outcome("1"), 2.0)
    assert [(row.status, row.guard) for row in log.find()] == [("accepted", "triage")]
    log.begin(opening("1"))
    log.flush()
    record = log.get("1")
    assert record is not None
    assert (record.opening, record.outcome and record.outcome.status) == (opening("1"), "accepted")


def test_a_resumed_call_keeps_its_answers_in_order(log: OutcomeLog, url: str) -> None:
    """Answers of whoever resumes are counted on, whether or not the call was begun anew."""
    log.begin(opening("1"))
    for number in range(3):
        log.step("1", replied(str(number), address=f"r0/s0/a{number}/t0"))
    log.finish("1", outcome("1", "interrupted"), 1.0)
    other = OutcomeLog.open(url)
    other.step("1", replied("3", address="r0/s0/a3/t0"))
    other.begin(opening("1"))
    assert [row.status for row in other.find()] == ["running"]
    other.step("1", replied("4", address="r0/s0/a4/t0"))
    other.finish("1", outcome("1"), 2.0)
    record = log.get("1")
    assert record is not None
    assert [step.answer.text for step in record.steps] == list("01234")  # type: ignore[union-attr]
    assert record.outcome is not None
    assert record.outcome.status == "accepted"


def test_last_good_is_the_newest_that_a_model_gave(any_log: OutcomeLog | MemoryLog) -> None:
    """Same guard, same inputs, not too old; fallbacks and rejections do not count."""
    same = {"inputs": {"q": 1}}
    log_call(any_log, "old", 1_000.0, value="old", **same)
    log_call(any_log, "new", 2_000.0, status="recovered", value="new", **same)
    log_call(any_log, "fallback", 3_000.0, status="fallback", value="constant", **same)
    log_call(any_log, "other guard", 3_000.0, guard="other", value="other", **same)
    log_call(any_log, "other inputs", 3_000.0, inputs={"q": 2}, value="two")
    assert any_log.last_good("triage", digest({"q": 1}), 0.0) == {"value": "new", "id": "new"}
    assert any_log.last_good("triage", digest({"q": 1}), 2_500.0) is None
    assert any_log.last_good("triage", digest({"q": 3}), 0.0) is None


def test_find_looks_by_time_guard_status_and_meta(any_log: OutcomeLog | MemoryLog) -> None:
    """`since` is included and `until` is not; meta is compared as it is written; newest first unless asked."""
    for number in range(6):
        log_call(
            any_log,
            f"c{number}",
            1_000.0 + number,
            guard="even" if number % 2 == 0 else "odd",
            status="accepted" if number < 3 else "rejected",
            meta={"user": number, "vip": number == 2, "text": f"u{number}"},
        )

    def ids(**asked: Any) -> list[str]:
        return [row.id for row in any_log.find(**asked)]

    assert ids(limit=2) == ["c5", "c4"]
    assert ids(newest_first=False, limit=None) == [f"c{number}" for number in range(6)]
    assert ids(since=1_001.0, until=1_003.0) == ["c2", "c1"]
    assert ids(finished_since=1_004.5) == ["c5", "c4"]
    assert ids(guard="odd", status="rejected") == ["c5", "c3"]
    assert ids(status=["rejected", "running"], since=1_005.0) == ["c5"]
    assert ids(meta={"user": "3"}) == ids(meta={"user": 3}) == ["c3"]
    assert ids(meta={"vip": "true"}) == ids(meta={"vip": True}) == ["c2"]
    assert ids(meta={"text": "u1", "user": 1}) == ["c1"]
    assert ids(meta={"nothing": "1"}) == []
    assert any_log.ids("c") == [f"c{number}" for number in range(6)]
    assert any_log.ids("c%") == []


@pytest.mark.parametrize("key", ["", 'a"b', "a\\b"])
def test_meta_that_cannot_be_searched_is_said(any_log: OutcomeLog | MemoryLog, key: str) -> None:
    """Keys with quotes, and lists or dicts as values, are refused by name."""
    with pytest.raises(UsageError, match="plain key"):
        any_log.find(meta={key: "x"})
    with pytest.raises(UsageError, match="meta 'a'"):
        any_log.find(meta={"a": [1]})


def test_meta_that_is_no_json_is_refused_before_the_call(log: OutcomeLog) -> None:
    """The message names the value and the mend."""
    with pytest.raises(UsageError, match="meta= is not a JSON value: object at '/user'"):
        log.begin(opening("1", meta={"user": object()}))


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("statsu=rejected", "no field 'statsu'. Did you mean 'status'"),
        ("status", "is not a condition"),
        ("status=rejected or status=accepted", "expected `and` at 'or status"),
        ("status=rejected and", "expected `and`"),
        ("tokens>many", "compared with a number, not with 'many'"),
        ("status>3", "'status' is compared by = != ~, not by '>'"),
        ("status=x; DROP TABLE calls", "expected `and` at 'DROP"),
        ("failure<3", "compared by = != ~"),
        ('status="a', "is not a condition"),
        ("status==rejected", "equal is written with one =, as in status=rejected."),
        ("tokens==5", "as in tokens=5."),
    ],
)
def test_a_wrong_condition_says_what_is_wrong(any_log: OutcomeLog | MemoryLog, where: str, said: str) -> None:
    """It names the place, what was expected, and what there is."""
    with pytest.raises(UsageError) as raised:
        any_log.find(where=where)
    assert said in str(raised.value)


def test_conditions_find_what_they_say(any_log: OutcomeLog | MemoryLog) -> None:
    """Words are among several, text is whole or a part, numbers are compared."""
    log_call(
        any_log,
        "a",
        1.0,
        status="rejected",
        source="constant",
        attempts=(missed("timeout"), missed("schema", "minimum")),
    )
    log_call(any_log, "b", 2.0, status="fallback", source="rules based", attempts=(missed("timeout", cost_usd=0.25),))
    log_call(any_log, "c", 3.0, took=9.0, agreement=0.5)

    def ids(where: str) -> str:
        return "".join(row.id for row in any_log.find(where=where, newest_first=False))

    assert ids("status=rejected and source=constant and failure=timeout") == "a"
    assert ids("failure=timeout") == "ab"
    assert ids("failure!=timeout") == "c"
    assert ids("failure=time") == ""
    assert ids("failure~time AND failure!=schema") == "b"
    assert ids("rule=minimum") == "a"
    assert ids("source='rules based'") == ids('source~"RULES"') == "b"
    assert ids("model=small-1") == "c"
    assert ids("requests>1") == "a"
    assert ids("tokens>=120 and input_tokens=100 and output_tokens<21") == "abc"
    assert ids("cost_usd>0.2") == "b"
    assert ids("duration_s>1") == "c"
    assert ids("agreement<=0.5") == "c"
    assert ids("id!=a and guard=triage") == "bc"
    assert ids("  ") == "abc"


VALUES = st.sampled_from(
    ["accepted", "rejected", "timeout", "schema", "small-1", "minimum", "a", "A", "%", "_", "x y", "100", "0"]
)
CALLS = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["accepted", "rejected", "fallback"]),
        "source": VALUES,
        "guard": st.sampled_from(["a", "A", "_"]),
        "attempts": st.lists(
            st.builds(missed, VALUES, st.none() | VALUES, model=VALUES, cost_usd=st.none() | st.floats(0, 1)),
            max_size=3,
        ).map(tuple),
        "agreement": st.none() | st.floats(0, 1),
        "took": st.floats(0, 200),
    }
)
CONDITIONS = st.tuples(
    st.sampled_from(sorted(FIELDS)), st.sampled_from(["=", "!=", "~", "<", "<=", ">", ">="]), VALUES
).map(lambda parts: f'{parts[0]}{parts[1]}"{parts[2]}"')


@settings(max_examples=15)
@given(calls=st.lists(CALLS, max_size=5), wheres=st.lists(CONDITIONS, max_size=30))
def test_memory_and_database_find_the_same(
    calls: list[dict[str, Any]], wheres: list[str], tmp_path_factory: Any
) -> None:
    """Any condition means the same to both, and so do the counts."""
    stored = OutcomeLog.open(f"sqlite:///{tmp_path_factory.mktemp('same') / 'log.db'}")
    memory = MemoryLog()
    for log in (stored, memory):
        for number, call in enumerate(calls):
            log_call(log, str(number), float(number), **call)
    assert stored.find() == memory.find()
    assert stored.stats() == memory.stats()
    for where in wheres:
        try:
            conditions(where)
        except UsageError:
            continue
        assert stored.find(where=where) == memory.find(where=where), where
    stored.close()


def test_stats_count_by_guard(any_log: OutcomeLog | MemoryLog) -> None:
    """Statuses, failures, tokens by model, and how long calls took."""
    for number in range(4):
        log_call(any_log, f"a{number}", float(number), took=float(number))
    log_call(any_log, "b", 9.0, guard="other", status="rejected", attempts=(missed("schema"),), step=failed("timeout"))
    any_log.begin(opening("c", 10.0, guard="other"))
    first, second = any_log.stats()
    assert (first.guard, first.calls, first.statuses, first.failures) == (
        "other",
        2,
        {"rejected": 1, "running": 1},
        {"schema": 1},
    )
    assert [(use.model, use.requests, use.usage.total_tokens) for use in first.models] == [("", 1, 0)]
    assert (second.guard, second.calls, second.median_s, second.p95_s, second.longest_s) == ("triage", 4, 1.0, 3.0, 3.0)
    assert second.usage == Usage(input_tokens=400, output_tokens=80)
    assert [found.guard for found in any_log.stats(where="status=accepted")] == ["triage"]


def test_a_guard_is_explained_by_its_fingerprint(any_log: OutcomeLog | MemoryLog) -> None:
    """Its description is kept once, the first time."""
    any_log.guard("f1", "triage", {"prompt": "Sort: {{ ticket }}"})
    any_log.guard("f1", "triage", {"prompt": "other"}) if isinstance(any_log, OutcomeLog) else None
    assert any_log.explain("f1") == {"name": "triage", "description": {"prompt": "Sort: {{ ticket }}"}}


def test_feedback_is_kept_with_its_time(any_log: OutcomeLog | MemoryLog) -> None:
    """Two words at two times are two."""
    log_call(any_log, "1")
    any_log.feedback("1", "useful", False, 1.0)
    any_log.feedback("1", "useful", True, 2.0)
    assert any_log.feedback_of("1") == [
        {"key": "useful", "value": False, "at": 1.0},
        {"key": "useful", "value": True, "at": 2.0},
    ]


def test_memory_keeps_the_last_calls() -> None:
    """The oldest goes when the size is reached, and its last words are forgotten in peace."""
    log = MemoryLog(size=3)
    for number in range(5):
        log_call(log, str(number), float(number))
    log.step("0", replied())
    log.finish("0", outcome("0"), 1.0)
    assert [row.id for row in log.find()] == ["4", "3", "2"]


def test_the_secret_is_made_once(url: str) -> None:
    """32 random bytes that stay the same."""
    secret = OutcomeLog.open(url).secret
    assert len(secret) == 32
    assert OutcomeLog.open(url).secret == secret


def test_all_logs_of_a_file_share_one_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative, absolute and linked paths are one file, and a change of folder does not move it."""
    monkeypatch.chdir(tmp_path)
    first = open_log("sqlite:///log.db")
    (tmp_path / "link").symlink_to(tmp_path)
    second = OutcomeLog.open(f"sqlite:///{tmp_path}/link/log.db")
    assert first._writer is second._writer
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    log_call(first, "1")
    assert second.get("1") is not None
    assert list(Path().iterdir()) == []


# ------------------------------------------------------------------------------------------------- opening


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("llmguard.db", "is not understood"),
        ("", "is not understood"),
        ("sqlite://", "log=None"),
        ("sqlite:///:memory:", "log=None"),
        ("postgresql+psycopg://app:hunter2secret@db/log", "logs to SQLite"),
        ("sqlite+aiosqlite:///a.db", "logs to SQLite"),
        ("sqlite:///a.db?mode=ro", "has parameters"),
        ("sqlite:///file:a.db", "has parameters"),
    ],
)
def test_a_wrong_url_is_a_usage_error(url: str, said: str) -> None:
    """It says what to write, and does not repeat a password."""
    with pytest.raises(UsageError) as raised:
        OutcomeLog.open(url)
    assert said in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """The mend is to make it."""
    with pytest.raises(LogError, match=r"Make the folder .*nowhere"):
        OutcomeLog.open(f"sqlite:///{tmp_path}/nowhere/log.db")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Whatever else is in it stays there."""
    (tmp_path / "log.db").write_bytes(b"these are my notes, and no database" * 100)
    with pytest.raises(LogError, match=r"file is not a database.*Move the file away"):
        OutcomeLog.open(f"sqlite:///{tmp_path}/log.db")
    assert (tmp_path / "log.db").read_bytes().startswith(b"these are my notes")


def test_a_database_that_another_program_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time that a lock is waited for."""
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    other = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LogError, match=r"database is locked\. Another program holds it"):
        OutcomeLog.open(f"sqlite:///{tmp_path}/log.db")
    other.close()


@pytest.mark.parametrize(
    ("error", "mend"),
    [("database or disk is full", "Make room"), ("disk I/O error", "on a local disk"), ("locked", "Another program")],
)
def test_the_mend_fits_the_error(tmp_path: Path, error: str, mend: str) -> None:
    """What the system says decides what is advised."""
    assert mend in database._unopenable(tmp_path / "log.db", OSError(error))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """It cannot be opened."""
    with pytest.raises(LogError, match="cannot be opened"):
        OutcomeLog.open(f"sqlite:///{tmp_path}")


def test_a_damaged_database_is_refused(url: str) -> None:
    """Its tables cannot be read, and the message says how to go on."""
    log = OutcomeLog.open(url)
    log.close()
    with open(log.path, "r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 4000)
    with pytest.raises(LogError, match=r"malformed.*\.recover|\.recover"):
        OutcomeLog.open(url)


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    """The log makes no tables beside those of an application."""
    with sqlite3.connect(tmp_path / "app.db") as plain:
        plain.execute("CREATE TABLE users (id)")
    plain.close()
    with pytest.raises(LogError, match="holds the tables users"):
        OutcomeLog.open(f"sqlite:///{tmp_path}/app.db")


def test_of_a_foreign_database_the_first_four_tables_are_listed(tmp_path: Path) -> None:
    """Enough to know it by, however many it has."""
    with sqlite3.connect(tmp_path / "app.db") as plain:
        for name in "fbdeac":
            plain.execute(f"CREATE TABLE {name} (id)")
    plain.close()
    with pytest.raises(LogError, match=r"holds the tables a, b, c, d\."):
        OutcomeLog.open(f"sqlite:///{tmp_path}/app.db")


def test_the_log_of_a_newer_llmguard_is_refused(url: str, tmp_path: Path) -> None:
    """Its revision is named."""
    OutcomeLog.open(url).close()
    with sqlite3.connect(tmp_path / "log.db") as plain:
        plain.execute("UPDATE alembic_version SET version_num = '9999'")
    plain.close()
    with pytest.raises(LogError, match="has revision 9999"):
        OutcomeLog.open(f"sqlite:///{tmp_path}/./log.db")


def test_an_empty_file_becomes_a_log(url: str, tmp_path: Path) -> None:
    """A file of zero bytes is an empty database."""
    (tmp_path / "log.db").touch()
    log = OutcomeLog.open(url)
    log_call(log, "1")
    assert [row.id for row in log.find()] == ["1"]
    log.close()


def test_tables_and_migrations_agree(tmp_path: Path) -> None:
    """A database that Alembic brought up from nothing has the same tables as one that was made at once."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from llmguard.log.sqlite.database import MIGRATIONS, _engine

    made, migrated = tmp_path / "made.db", tmp_path / "migrated.db"
    open_database(made)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = _engine(migrated)
    command.upgrade(config, "head")
    scripts = ScriptDirectory.from_config(config)
    assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == REVISIONS
    assert schema_of(made) == schema_of(migrated)
    open_database(migrated)
    command.downgrade(config, "base")
    assert [row for row in schema_of(migrated) if "alembic" not in row] == []


def schema_of(path: Path) -> list[str]:
    with sqlite3.connect(path) as plain:
        found = plain.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        versions = plain.execute("SELECT version_num FROM alembic_version").fetchall()
    plain.close()
    words = (" ".join(row[0].replace('"', "").replace("(", "( ").replace(")", " )").split()) for row in found)
    return sorted([*(text.replace("calls.status", "status") for text in words), f"alembic {versions}"])


def test_an_older_log_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alembic is loaded then, and only then."""
    from alembic import command

    upgraded: list[str] = []
    monkeypatch.setattr(command, "upgrade", lambda config, revision: upgraded.append(revision))
    open_database(tmp_path / "log.db")
    monkeypatch.setattr(database, "REVISIONS", (*REVISIONS, "9998"))
    open_database(tmp_path / "log.db")
    assert upgraded == ["head"]


def test_opening_a_log_does_not_load_alembic(url: str) -> None:
    """Its import costs more than a hundred calls."""
    script = (
        f"import sys; from llmguard.log import OutcomeLog; OutcomeLog.open({url!r}); print('alembic' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["False"]


def test_outcomes_wait_for_the_disk_and_intents_do_not(log: OutcomeLog) -> None:
    """There is a write-ahead log, synchronous=FULL for what somebody waits for, and NORMAL for the rest."""

    def asked(setting: str) -> Any:
        (found,) = log._writer._connected().execute(f"PRAGMA {setting}", ()).fetchone()
        return found

    for number in range(3):
        log.begin(opening(str(number)))
        log.flush()
        assert (asked("journal_mode"), asked("synchronous")) == ("wal", 1)
        log.step(str(number), replied())
        log.finish(str(number), outcome(str(number)), 1.0)
        assert asked("synchronous") == 2


def test_facts_name_the_version_with_the_bug() -> None:
    """SQLite 3.7.0 to 3.51.2, but for the two branches that were mended."""
    found = [
        has_wal_reset_bug(version)
        for version in [(3, 6, 23), (3, 40, 1), (3, 44, 6), (3, 50, 6), (3, 50, 7), (3, 51, 3)]
    ]
    assert found == [False, True, False, True, False, False]


def test_tables_are_those_of_the_design() -> None:
    """One for each kind of fact."""
    names = {"calls", "steps", "reviews", "feedback", "guards", "certificates", "meta"}
    assert set(tables().metadata.tables) == names


def test_statements_compile_for_postgresql_too() -> None:
    """There is no second copy of the SQL."""
    from sqlalchemy.dialects.postgresql import psycopg

    from llmguard.log.sqlite.statements import compile_statements

    found = compile_statements(psycopg.dialect(paramstyle="format"))  # type: ignore[no-untyped-call]
    assert found.whole.count("%s") == 24
