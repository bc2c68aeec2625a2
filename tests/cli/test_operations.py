"""What a command prints with --json is what one call from Python returns: no rule is in the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llmguard.cli import app
from llmguard.core.canonical import Json, decode, encode
from llmguard.log import OutcomeStore, Query, open_log
from llmguard.operations.calls import list_calls, show_call, total_calls
from llmguard.operations.diagnosis import diagnose
from llmguard.operations.export import ExportOptions, export_to_folder
from llmguard.operations.find_guard import Target, find_guard
from llmguard.operations.mutation import mutate
from llmguard.operations.outcome_json import outcome_json
from llmguard.operations.prompt_preview import find_prompt, preview_prompt
from llmguard.operations.review_import import import_reviews
from llmguard.operations.review_queue import review_queue
from llmguard.operations.schemas import check_schema

LOG = "sqlite:///llmguard.db"
GUARD = "operations_shop:colour"
SHOP = """
from llmguard import Guard, constant
from llmguard.testing import ScriptedModel

schema = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}
model = ScriptedModel(['{"colour": "red"}', '{"colour": "green"}', '{"colour": "blue"}'])
colour = Guard("colour", prompt="{{ thing }}?", schema=schema, models=[model], fallback=[constant({"colour": "red"})], audit=1.0)
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OutcomeStore:
    """Three calls of one guard: accepted, recovered by a re-ask, and answered by its constant."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLMGUARD_LOG", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("operations_shop", None)
    (tmp_path / "operations_shop.py").write_text(SHOP)
    (tmp_path / "schema.json").write_text('{"type": "object", "required": ["a"]}')
    guard = find_guard(Target(named=GUARD))
    for thing in ("fire", "sea", "air"):
        guard.run(thing=thing)
    return open_log(LOG)


def printed(*arguments: str, stdin: str | None = None) -> list[Json]:
    result = CliRunner().invoke(app, [*arguments, "--json"], input=stdin)
    assert result.exit_code in (0, 1), result.stderr
    return [decode(line) for line in result.stdout.splitlines()]


def plain(value: Json) -> Json:
    """As it is read back from JSON."""
    return decode(encode(value))


def newest(log: OutcomeStore) -> str:
    return log.find(limit=1)[0].id


COMMANDS: list[tuple[str, Callable[[OutcomeStore], Json]]] = [
    ("log list --limit 2", lambda log: list_calls(log, limit=2).to_json()),
    ("log list --status recovered", lambda log: list_calls(log, Query(status="recovered")).to_json()),
    ("log list --unreviewed", lambda log: review_queue(log).to_json()),
    ("log show ID", lambda log: [show_call(log, newest(log)).to_json()]),
    ("log stats --guard colour", lambda log: [total_calls(log, guard="colour").to_json()]),
    ("log tail -n 2", lambda log: list_calls(log, limit=2).to_json()[::-1]),
    (f"mutate {GUARD} --seed 3", lambda log: [mutate(find_guard(Target(named=GUARD)), log, seed=3).to_json()]),
    (f"doctor {GUARD}", lambda log: [diagnose(LOG, Target(named=GUARD)).to_json()]),
    (
        f"prompt show {GUARD} -i thing=tea",
        lambda log: [preview_prompt(find_prompt(GUARD)[0], {"thing": "tea"}).to_json()],
    ),
    ("schema check schema.json", lambda log: [check_schema(Path("schema.json")).to_json()]),
]


@pytest.mark.parametrize(("command", "operation"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_a_command_prints_what_its_operation_returns(
    log: OutcomeStore, command: str, operation: Callable[[OutcomeStore], Json]
) -> None:
    """Every key and value."""
    words = [newest(log) if word == "ID" else word for word in command.split()]
    assert printed(*words) == plain(operation(log))


def test_a_run_prints_its_outcome(log: OutcomeStore) -> None:
    """As the log has it, but for what it measures."""
    (found,) = printed("run", GUARD, "-i", "thing=ice")
    record = log.get(found["id"])
    assert record is not None
    assert record.outcome is not None
    assert found == plain(outcome_json(record.outcome))


def test_an_export_reports_its_rows_and_files(log: OutcomeStore) -> None:
    """The files are the same, too."""
    options = ExportOptions(form="evals", split=0.5)
    (found,) = printed("log", "export", "--format", "evals", "--split", "0.5", "--out", "printed")
    report = export_to_folder(log, Query(), Path("returned"), options)
    assert (found["rows"], found["left_out"]) == (report.rows, report.left_out)
    assert [Path(each).read_bytes() for each in found["files"]] == [Path(each).read_bytes() for each in report.files]


def test_reviews_from_a_file_are_added_once(log: OutcomeStore) -> None:
    """What Python added before, the command finds already in the log."""
    tasks = [{**task, "verdict": "right", "reviewer": "ann"} for task in review_queue(log).to_json()]
    lines = "\n".join(encode(each).decode() for each in tasks)
    assert import_reviews(log, lines).to_json() == {"added": 3, "already_there": 0}
    assert printed("log", "review", "--from", "-", stdin=lines) == [{"added": 0, "already_there": 3}]
    assert review_queue(log).tasks == ()
