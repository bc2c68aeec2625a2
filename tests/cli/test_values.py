"""What is typed on the command line becomes values: times, pairs, inputs; and JSON becomes lines people read."""

from __future__ import annotations

import io
import sys
from datetime import datetime
from pathlib import Path

import pytest

from llmguard.cli.arguments import inputs_of, pairs
from llmguard.cli.json_view import pretty
from llmguard.cli.schema_outline import outline
from llmguard.cli.times import moment
from llmguard.core.canonical import Json, decode
from llmguard.core.errors import UsageError

NOON = datetime(2026, 5, 3, 12, 0, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOON),
        ("2h", datetime(2026, 5, 3, 10)),
        ("3d", datetime(2026, 4, 30, 12)),
        ("1w", datetime(2026, 4, 26, 12)),
        ("90s", datetime(2026, 5, 3, 11, 58, 30)),
        ("today", datetime(2026, 5, 3)),
        ("Yesterday", datetime(2026, 5, 2)),
        ("2026-05-01", datetime(2026, 5, 1)),
        ("2026-05-01T14:30", datetime(2026, 5, 1, 14, 30)),
    ],
)
def test_a_time_is_an_iso_date_an_age_or_a_day(text: str, expected: datetime) -> None:
    """Dates that name no time zone are local."""
    assert moment(text, NOON) == expected.timestamp()


def test_a_time_with_a_zone_is_that_moment() -> None:
    """An offset in the text wins over the local zone."""
    assert moment("1970-01-01T01:00:00+01:00", NOON) == 0.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2026-05-01", datetime(2026, 5, 2)), ("today", datetime(2026, 5, 4)), ("yesterday", datetime(2026, 5, 3))],
)
def test_until_a_day_takes_the_day_in(text: str, expected: datetime) -> None:
    """`--until 2026-05-01` reaches to the end of that day; a time of day is taken as it is."""
    assert moment(text, NOON, end_of_day=True) == expected.timestamp()
    assert moment("2026-05-01T14:30", NOON, end_of_day=True) == datetime(2026, 5, 1, 14, 30).timestamp()


@pytest.mark.parametrize("text", ["", "soon", "2x", "-2h", "2026-13-01", "h", "9999-12-31"])
def test_a_time_that_is_none_is_told_with_examples(text: str) -> None:
    """The sentence shows what can be written instead."""
    with pytest.raises(UsageError, match=r"is not understood\. Write a date \(2026-05-03\)"):
        moment(text, NOON, end_of_day=True)


def test_an_age_before_all_time_is_the_beginning() -> None:
    """A person who asks for the last thousand years gets everything."""
    assert moment("999999w", NOON) == 0.0


def test_pairs_split_at_the_first_equals_sign() -> None:
    """A value may hold an equals sign, and be empty; what is no pair, or stands twice, is told."""
    assert pairs(["a=1", "b=x=y", "c="], "--meta") == {"a": "1", "b": "x=y", "c": ""}
    with pytest.raises(UsageError, match="--meta 'a' is no NAME=VALUE"):
        pairs(["a"], "--meta")
    with pytest.raises(UsageError, match="--meta gives 'a' twice"):
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
    [(b"{", "is no JSON"), (b"[1]", "holds a list"), (b"\xff", "is no UTF-8 text"), (b"[" * 100_000, "is no JSON")],
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


def test_a_schema_is_told_in_a_few_lines() -> None:
    """One line for a field, with its bounds; what may be left out is marked; lists and references are said."""
    schema = {
        "type": "object",
        "required": ["lines"],
        "properties": {
            "lines": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/line"}},
            "currency": {"enum": ["EUR", "USD"]},
            "due": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        },
        "$defs": {"line": {"type": "object", "properties": {"amount": {"type": "number", "exclusiveMinimum": 0}}}},
    }
    assert outline(schema) == [
        "object",
        "  lines       list of as #/$defs/line, at least 1 item",
        '  currency ?  one of "EUR", "USD"',
        "  due ?       string, format date or null",
        "#/$defs/line: object",
        "  amount ?  number, above 0",
    ]


@pytest.mark.parametrize("schema", [True, False, {}, [], None, {"enum": [list(range(9999))]}, {"type": 3, "items": 4}])
def test_no_schema_is_too_odd_to_be_told(schema: Json) -> None:
    """Whatever stands there, a short line comes out."""
    assert all(len(line) < 150 for line in outline(schema))
