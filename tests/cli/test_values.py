"""Texts of the command line become values: pairs and inputs; and JSON becomes lines of text."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from llmguard.cli.arguments import inputs_of, pairs
from llmguard.cli.json_view import pretty
from llmguard.core.canonical import Json, decode
from llmguard.core.errors import UsageError


def test_pairs_split_at_the_first_equals_sign() -> None:
    """A value may hold an equals sign, and be empty; what is no pair, or stands twice, is told."""
    assert pairs(["a=1", "b=x=y", "c="], "--meta") == {"a": "1", "b": "x=y", "c": ""}
    with pytest.raises(UsageError, match="--meta 'a': expected NAME=VALUE"):
        pairs(["a"], "--meta")
    with pytest.raises(UsageError, match="--meta has 'a' twice"):
        pairs(["a=1", "a=2"], "--meta")


def test_inputs_come_from_a_file_and_options_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--inputs FILE` is a JSON object; `--input name=@file` and `name=-` read text, as it is."""
    (tmp_path / "all.json").write_text('{"a": 1, "b": [true]}')
    (tmp_path / "text.txt").write_text("line\n{{ a }}", encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Größe".encode())))
    given = ["b=two", f"c=@{tmp_path / 'text.txt'}", "d=-", "e=@"]
    expected = {"a": 1, "b": "two", "c": "line\n{{ a }}", "d": "Größe", "e": "@"}
    assert inputs_of(given, str(tmp_path / "all.json")) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not valid JSON"),
        (b"[1]", "got list in"),
        (b"\xff", "is not valid UTF-8"),
        (b"[" * 100_000, "is not valid JSON"),
    ],
)
def test_an_input_file_that_is_no_object_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    """Whatever is in the file, the answer is a sentence."""
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        inputs_of([], str(tmp_path / "bad.json"))
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        inputs_of([], str(tmp_path / "none.json"))


def test_json_that_fits_stands_on_one_line() -> None:
    """Short values read like a sentence, long ones like a list."""
    assert pretty({"a": [1, None, {}], "b": "x"}) == '{"a": [1, null, {}], "b": "x"}'
    long = {"a": "x" * 50, "b": "y" * 50}
    assert pretty(long) == '{\n  "a": "' + "x" * 50 + '",\n  "b": "' + "y" * 50 + '"\n}'


@pytest.mark.parametrize(
    "value", [{"a": [{"b": ["x" * 80] * 3}] * 2, "c": {}}, [], [[]] * 60, "x" * 200, 2**70, {"k" * 90: 1}]
)
def test_json_for_people_is_still_the_same_json(value: Json) -> None:
    """Indentation changes nothing."""
    assert decode(pretty(value)) == value
