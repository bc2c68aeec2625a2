"""`llmguard log export` as a person meets it: files that a provider takes, whatever models said, and what is left out."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from llmguard import Guard, constant
from llmguard.cli import app
from llmguard.core.canonical import Json, decode, encode
from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelFailure
from llmguard.core.record import CallStart
from llmguard.log import OutcomeLog
from llmguard.log.query import Query
from llmguard.operations.logged_calls import PAGE, records
from llmguard.operations.new_files import NewFiles
from llmguard.testing import ScriptedModel
from tests.operations.dataset_rules import lines_of, wrong_with_chat, wrong_with_preference

LOG = "sqlite:///llmguard.db"
SCHEMA = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}
CHOICE = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}
RED, BLUE, GREEN = '{"colour": "red"}', '{"colour": "blue"}', '{"colour": "green"}'
HOSTILE = "\u2028\u2029\x85\x0b\x1c\x00\x7f\u202e\x1b[2J\ud800 ../../etc \U000e0041"
SECRET = "sk-proj-4f9a8b7c6d5e4f3a2b1c"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLMGUARD_LOG", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def colours(*said: object, name: str = "colour", **options: object) -> Guard[Json]:
    options = {
        "prompt": "Colour of {{ thing }}?",
        "schema": CHOICE,
        "models": [ScriptedModel(said)],
        "fallback": [constant({"colour": "red"})],
        "log": LOG,
        **options,
    }
    return Guard(name, **options)


def export(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["log", "export", *arguments])


def rows_in(project: Path, name: str) -> list[Json]:
    return lines_of((project / "data" / name).read_bytes())


def summary(result: Result) -> Json:
    assert result.exit_code in (0, 1), result.stderr
    return decode(result.stdout)


# ------------------------------------------------------------------------------------------------- the formats


def test_files_for_fine_tuning_pass_the_providers_rules(project: Path) -> None:
    """Each row, and beside the file the outcome that each of its lines was made of."""
    guard = colours(RED, GREEN, BLUE, ModelFailure("auth", "no"))
    ids = [guard.run(thing=thing).id for thing in ("fire", "sea", "sky")]
    result = export("--format", "sft", "--out", "data")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "2 rows\n" in result.stderr
    assert "1  no answer to learn from" in result.stderr
    rows = rows_in(project, "sft.train.jsonl")
    assert [wrong_with_chat(row) for row in rows] == [[], []]
    assert [row["messages"][-1]["content"] for row in rows] == ['{"colour":"red"}', '{"colour":"blue"}']
    assert rows_in(project, "sft.ids.jsonl") == [
        {"file": "sft.train.jsonl", "line": number, "id": call_id} for number, call_id in enumerate(ids[:2], 1)
    ]


def test_preferences_pair_a_rejected_reply_with_the_answer(project: Path) -> None:
    """Of three calls one had a reply that did not pass and one that did."""
    guard = colours(RED, GREEN, BLUE, GREEN, GREEN)
    for thing in ("fire", "sea", "sky"):
        guard.run(thing=thing)
    assert summary(export("--format", "dpo", "--out", "data", "--json"))["left_out"] == {
        "no rejected attempt": 1,
        "no answer to learn from": 1,
    }
    (row,) = rows_in(project, "dpo.train.jsonl")
    assert wrong_with_preference(row) == []
    assert row["non_preferred_output"] == [{"role": "assistant", "content": GREEN}]


def test_evals_are_printed_with_their_ids(project: Path) -> None:
    """One row to a line of standard output, nothing else there; no file of ids is needed."""
    call_id = colours(RED).run(thing="fire").id
    result = export("--format", "evals")
    (row,) = lines_of(result.stdout_bytes)
    assert (row["id"], row["input"], row["ideal"]) == (
        call_id,
        [{"role": "user", "content": "Colour of fire?"}],
        '{"colour":"red"}',
    )
    assert list(project.glob("**/*.jsonl")) == []


def test_a_reviewers_correction_is_the_answer(project: Path) -> None:
    """And what was called wrong is left out."""
    guard = colours(RED, RED, RED)
    ids = [guard.run(thing=thing).id for thing in ("fire", "sea", "sky")]
    log = OutcomeLog.open(LOG)
    log.review(ids[1], "wrong", correction={"colour": "blue"})
    log.review(ids[2], "wrong")
    assert summary(export("--out", "data", "--json"))["left_out"] == {"reviewed wrong, without a correction": 1}
    assert [row["messages"][-1]["content"] for row in rows_in(project, "sft.train.jsonl")] == [
        '{"colour":"red"}',
        '{"colour":"blue"}',
    ]


# ------------------------------------------------------------------------------------------------- which calls


def test_the_search_of_the_log_says_which_calls(project: Path) -> None:
    """By guard, status, meta and condition, as `log list` does."""
    colours(RED).run(thing="fire")
    colours(GREEN, BLUE, name="other").run(thing="sea", meta={"user": "ada"})
    for asked in (["--guard", "other"], ["--status", "recovered"], ["--meta", "user=ada"], ["--where", "requests=2"]):
        (row,) = lines_of(export(*asked).stdout_bytes)
        assert row["messages"][0]["content"] == "Colour of sea?"


def test_records_are_read_page_by_page(project: Path) -> None:
    """Each once and in order, also where more calls began in one moment than a page holds."""
    log = OutcomeLog.open(LOG)
    moments = [1.0] * (PAGE + 7) + [2.0, 3.0] * 9
    for number, moment in enumerate(moments):
        log.begin(
            CallStart(
                id=f"{number:06}", guard="g", fingerprint="", inputs={}, inputs_digest="", meta={}, started_at=moment
            )
        )
    found = [record.opening.id for record in records(log, Query(guard="g"))]
    assert found == sorted(
        (f"{number:06}" for number in range(len(moments))), key=lambda each: (moments[int(each)], each)
    )


def test_a_prompt_function_needs_its_guard(project: Path) -> None:
    """The log holds no functions: the command says which one, and takes the guard that has it."""
    (project / "export_shop.py").write_text(
        "from llmguard import Guard\nfrom llmguard.testing import ScriptedModel\n"
        "def asked(inputs):\n    return [{'role': 'user', 'content': 'Colour of ' + inputs['thing']}]\n"
        f"guard = Guard('made', prompt=asked, schema={CHOICE!r}, models=[ScriptedModel([{RED!r}], repeat=True)])\n"
    )
    sys.modules.pop("export_shop", None)
    CliRunner().invoke(app, ["run", "export_shop:guard", "--input", "thing=fire"])
    refused = export()
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "guard 'made' makes its prompt in the function 'export_shop.asked'" in refused.stderr
    (row,) = lines_of(export("--with-guard", "export_shop:guard").stdout_bytes)
    assert row["messages"][0]["content"] == "Colour of fire"


def test_a_guard_that_the_log_does_not_know_is_counted(project: Path) -> None:
    """An outcome without the description of its guard gives no row."""
    guard = colours(RED)
    log = OutcomeLog.open(LOG)
    log._guards.add(guard.fingerprint)
    guard.run(thing="fire")
    import sqlite3

    log.close()
    with sqlite3.connect(project / "llmguard.db") as connection:
        connection.execute("delete from guards")
    result = export()
    assert (result.exit_code, result.stdout) == (1, "")
    assert "1  the guard is not in the log" in result.stderr


def test_secrets_keep_rows_out_unless_they_are_wanted(project: Path) -> None:
    """What is in the log is redacted; the row with a hole in it is left out, and counted."""
    colours(RED).run(thing=f"a key: {SECRET}")
    assert summary(export("--out", "data", "--json")) == {"rows": {}, "left_out": {"redacted": 1}, "files": []}
    (row,) = lines_of(export("--keep-redacted").stdout_bytes)
    assert row["messages"][0]["content"] == "Colour of a key: [redacted:openai_key]?"


# ------------------------------------------------------------------------------------------------- the split


def test_a_split_is_the_same_in_every_run_and_keeps_inputs_together(project: Path) -> None:
    """Of 24 inputs with two answers each, none is on both sides."""
    guard = colours(*[RED, BLUE] * 24, schema=SCHEMA)
    for number in range(24):
        for _ in range(2):
            guard.run(thing=f"thing {number}")
    told = summary(export("--split", "0.4", "--out", "data", "--json"))
    assert told["rows"]["train"] + told["rows"]["validation"] == 48
    sides = [rows_in(project, f"sft.{side}.jsonl") for side in ("train", "validation")]
    asked = [{row["messages"][0]["content"] for row in rows} for rows in sides]
    assert (all(asked), asked[0] & asked[1]) == (True, set())
    before = [(project / "data" / f"sft.{side}.jsonl").read_bytes() for side in ("train", "validation", "ids")]
    assert export("--split", "0.4", "--out", "data", "--force").exit_code == 0
    assert before == [(project / "data" / f"sft.{side}.jsonl").read_bytes() for side in ("train", "validation", "ids")]
    ids = rows_in(project, "sft.ids.jsonl")
    assert {(each["file"], each["line"]) for each in ids} == {
        (f"sft.{side}.jsonl", line)
        for side, rows in zip(("train", "validation"), sides, strict=True)
        for line in range(1, len(rows) + 1)
    }


# ------------------------------------------------------------------------------------------------- hostile content


def test_one_row_is_one_line_whatever_was_said(project: Path) -> None:
    """Separators of lines, control characters, lone surrogates, what turns text round: escaped, and read back the same."""
    value = {"colour": HOSTILE.replace("\ud800", "")}  # a reply with half a pair is refused
    guard = colours(encode(value).decode(), schema=SCHEMA)
    guard.run(thing=HOSTILE)
    for form in ("sft", "evals"):
        assert export("--format", form, "--out", "data").exit_code == 0
        (row,) = rows_in(project, f"{form}.train.jsonl")
        answer = row["ideal"] if form == "evals" else row["messages"][-1]["content"]
        assert decode(answer) == value
        assert HOSTILE in (row["input"] if form == "evals" else row["messages"])[0]["content"]
        text = (project / "data" / f"{form}.train.jsonl").read_text(encoding="utf-8")
        assert text.isprintable() is False
        assert [letter for letter in text if not letter.isprintable()] == ["\n"]


def test_names_of_files_are_never_of_the_content(project: Path) -> None:
    """Whatever guards and inputs are called, three fixed names are written."""
    colours(RED, name="a-..etc").run(thing="../../../passwd")
    assert export("--out", "data").exit_code == 0
    assert sorted(path.name for path in (project / "data").iterdir()) == ["sft.ids.jsonl", "sft.train.jsonl"]


# ------------------------------------------------------------------------------------------------- files


def test_files_that_are_there_stay(project: Path) -> None:
    """Also a link to nowhere; --force replaces them, and the link is not followed."""
    colours(RED).run(thing="fire")
    (project / "data").mkdir()
    (project / "data" / "sft.ids.jsonl").symlink_to(project / "elsewhere")
    refused = export("--out", "data")
    assert (refused.exit_code, "sft.ids.jsonl' is there already. Add --force" in refused.stderr) == (2, True)
    assert [path.name for path in (project / "data").iterdir()] == ["sft.ids.jsonl"]
    assert export("--out", "data", "--force").exit_code == 0
    assert not (project / "elsewhere").exists()
    assert not (project / "data" / "sft.ids.jsonl").is_symlink()


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    """No file that is half written, under its name or any other."""
    with pytest.raises(ZeroDivisionError), NewFiles(tmp_path / "data", ["a", "b"]) as files:
        files.write("a", b"begun")
        1 / 0
    assert list((tmp_path / "data").iterdir()) == []


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """It is looked for again before the new one takes its place."""
    with pytest.raises(UsageError, match="is there already"), NewFiles(tmp_path, ["a"]) as files:
        files.write("a", b"new")
        (tmp_path / "a").write_bytes(b"theirs")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"theirs")]


def test_a_folder_that_cannot_be_written_is_named(project: Path) -> None:
    """A file in its place, say."""
    colours(RED).run(thing="fire")
    (project / "data").write_text("")
    result = export("--out", "data")
    assert (result.exit_code, "'data' is a file. Give a folder" in result.stderr) == (2, True)
    (project / "data").unlink()
    (project / "data" / "sft.train.jsonl").mkdir(parents=True)
    result = export("--out", "data", "--force")
    assert (result.exit_code, "cannot be written: Is a directory." in result.stderr) == (2, True)
    assert os.listdir(project / "data") == ["sft.train.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "csv"], "--format 'csv' is unknown. A format is one of: sft, dpo, evals."),
        (["--split", "1"], "--split 1.0: expected the share for validation"),
        (["--split", "0.1"], "--split and --out - both use standard output"),
        (["--json"], "--json and --out - both use standard output"),
        (["--log", "sqlite:///none.db"], "there is no log at"),
        (["--with-guard", "nowhere:guard"], "no module 'nowhere'"),
    ],
)
def test_misuse_is_told_in_a_sentence(project: Path, arguments: list[str], said: str) -> None:
    """With exit status 2, and no file is made."""
    colours(RED).run(thing="fire")
    result = export(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert list(project.glob("*none*")) == []


def test_no_row_is_a_finding(project: Path) -> None:
    """Exit status 1, and no folder."""
    colours(GREEN, GREEN).run(thing="fire")
    result = export("--out", "data")
    assert (result.exit_code, (project / "data").exists()) == (1, False)
    assert result.stderr.startswith("0 rows\n")


def test_few_rows_and_unknown_requests_are_explained(project: Path) -> None:
    """OpenAI's least number, and what to try where the log's prompt does not make the request."""
    guard = colours(RED, RED, prompt="  Colour of {{ thing }}?")
    guard.run(thing="fire")
    colours(RED).run(thing="sea")
    told = export("--out", "data").stderr
    assert "OpenAI needs at least 10 rows" in told
    assert "1  not the request that was sent" in told
    assert "--with-guard" in told
