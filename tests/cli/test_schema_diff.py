"""`llmguard schema diff`: whom an edit breaks, in words and in the exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from llmguard import Guard, OpenAIModel
from llmguard.cli import app
from llmguard.operations.diagnosis import examine_guard

OLD = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}


def diff(folder: Path, new: object, *options: str):
    (folder / "old.json").write_text(json.dumps(OLD))
    (folder / "new.json").write_text(json.dumps(new))
    return CliRunner().invoke(app, ["schema", "diff", str(folder / "old.json"), str(folder / "new.json"), *options])


def test_a_change_that_breaks_callers_ends_with_1(tmp_path: Path) -> None:
    """It says where, and what they may meet."""
    result = diff(tmp_path, {**OLD, "required": []})
    assert result.exit_code == 1
    assert "/total: may now be missing [breaking-for-callers]" in result.stdout


def test_a_change_that_breaks_outcomes_ends_with_1(tmp_path: Path) -> None:
    """Values in the log would be refused."""
    result = diff(tmp_path, {**OLD, "properties": {"total": {"type": "integer", "minimum": 1}}}, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["changes"][0]["kind"] == "breaking-for-outcomes"


def test_the_same_schema_is_no_change(tmp_path: Path) -> None:
    """Exit status 0."""
    result = diff(tmp_path, OLD)
    assert (result.exit_code, result.stdout.strip()) == (0, "no difference")


def test_a_schema_that_is_not_there_is_misuse(tmp_path: Path) -> None:
    """One sentence, exit status 2."""
    result = CliRunner().invoke(app, ["schema", "diff", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert result.exit_code == 2 or "does not exist" in str(result.exception)


def test_check_tells_what_each_provider_refuses(tmp_path: Path) -> None:
    """As a note: such a schema is no mistake."""
    file = tmp_path / "open.json"
    file.write_text(json.dumps(OLD))
    result = CliRunner().invoke(app, ["schema", "check", str(file), "--json"])
    assert result.exit_code == 0
    refused = json.loads(result.stdout)["refused_in_strict_decoding"]
    assert any("additionalProperties" in each for each in refused["openai"])
    assert (
        "OpenAI structured outputs (strict) will refuse:"
        in CliRunner().invoke(app, ["schema", "check", str(file)]).stdout
    )


def test_check_prints_what_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a Python type or a file: whether it is sent as strict, what is changed for that, and to which provider; else why not."""
    (tmp_path / "own_types.py").write_text(
        "from pydantic import BaseModel\n"
        "class Note(BaseModel):\n    text: str\n    author: str = 'x'\n"
        "class Bag(BaseModel):\n    counts: dict[str, int]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    note = CliRunner().invoke(app, ["schema", "check", "own_types:Note", "--sent"])
    assert note.exit_code == 0
    flat = " ".join(note.stdout.split())
    assert "OpenAIModel: sent as strict; changed: objects are closed" in flat
    assert "OpenAI structured outputs (strict) takes it" in flat
    assert json.loads(note.stdout.splitlines()[-1])["required"] == ["text", "author"]
    (found,) = [json.loads(CliRunner().invoke(app, ["schema", "check", "own_types:Bag", "--json"]).stdout)]
    assert found["sent"]["strict"] is False
    assert found["sent"]["obstacles"] == ["#/properties/counts: names of members that are not known beforehand"]
    assert [each.split(":")[1].strip() for each in found["refused_in_strict_decoding"]["openai"]] == [
        "#/properties/counts"
    ]
    missing = CliRunner().invoke(app, ["schema", "check", "own_types:Nothing"])
    assert "has no 'Nothing'" in str(missing.exception) or "has no 'Nothing'" in missing.output


def test_doctor_says_how_a_schema_is_sent() -> None:
    """For each model behind OpenAI's API: as strict and what was changed, as a hint and why, or in words."""

    def found(schema: object, **options: Any) -> list[str]:
        model = OpenAIModel("m", api_key="key", **options)
        guard = Guard("sent", prompt="?", schema=schema, models=[model], log=None)
        return [f"{each.level} {each.text}" for each in examine_guard(guard) if each.text.startswith("m: ")]

    assert found(int) == ["ok m: the schema is sent as strict, as it is"]
    assert found(OLD)[0].startswith("note m: the schema is sent as a hint, for strict decoding takes no form of it: #")
    assert found(int, output="prompted") == ["ok m: the schema is said in words, as output='prompted' asks"]
