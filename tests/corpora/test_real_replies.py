"""Real replies of small models: each gives the right value or fails with the right kind."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import Reading, read
from llmguard.schema import compile_schema
from tests.corpora.rows import needs_corpora, rows

pytestmark = needs_corpora

ALLOWED = {
    "ok": {"value", "unparsable"},  # one has a key twice, with different values
    "ok_after_extraction": {"truncated", "repaired"},
    "truncated": {"truncated"},
    "missing_field": {"schema", "truncated", "unparsable"},
    "extra_field": {"schema", "truncated"},
    "wrong_type": {"schema", "repaired", "truncated"},
    "value_violation": {"schema"},
    "placeholder_echo": {"schema", "truncated"},
    "schema_echo": {"schema", "unparsable", "truncated"},
    "invalid_json": {"unparsable", "schema", "repaired", "truncated"},  # what is open at the end was cut (reading.md)
    "no_json": {"unparsable"},
}
"""What may come of a reply with this label."""


def reading_of(row: dict[str, Any]) -> Reading:
    reason: Any = "length" if row["finish_reason"] == "length" else "stop"
    return read(ModelReply(row["raw"], finish_reason=reason), compile_schema(row["schema"]))


def ended(reading: Reading) -> str:
    return reading.failure or ("repaired" if reading.repairs else "value")


def test_each_reply_ends_as_its_label_says() -> None:
    """The table of labels and ends; a value never comes from a reply that is labelled as without one."""
    table: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows("real_replies.jsonl"):
        table[row["primary"]][ended(reading_of(row))] += 1
    for label, counts in sorted(table.items()):
        print(f"{label:20s} {dict(counts)}")
    assert {label: set(counts) - ALLOWED[label] for label, counts in table.items()} == {label: set() for label in table}
    assert table["ok"]["value"] >= 16
    assert table["truncated"] == {"truncated": 72}


def test_numbers_in_quotes_are_read_only_where_they_are_numbers() -> None:
    """Of the replies with a wrong type, those come out whose text is a number; each says so."""
    readings = [reading_of(row) for row in rows("real_replies.jsonl") if row["primary"] == "wrong_type"]
    values = [reading for reading in readings if reading.failure is None]
    assert len(values) >= 2
    assert all("number_in_text" in {repair.rule for repair in reading.repairs} for reading in values)


def test_small_tasks_come_out_as_the_model_said_them() -> None:
    """A value is a verdict of the task, or an amount that stands in the reply; every cut reply is truncated."""
    found = rows("real_replies_2.jsonl")
    for row in found:
        reading = reading_of(row)
        if row["finish_reason"] == "length":
            assert reading.failure == "truncated", row["id"]
        elif reading.failure is None:
            (said,) = reading.value.values()
            spelled = str(said).removesuffix(".0")
            assert spelled.lower() in row["raw"].lower().replace(",", ""), row["id"]
    values = sum(reading_of(row).failure is None for row in found)
    print(f"{values} of {len(found)} replies give a value")
    assert values >= 80
