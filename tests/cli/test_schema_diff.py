"""`llmguard schema diff`: whom an edit breaks, in words and in the exit status."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from llmguard.cli import app

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
