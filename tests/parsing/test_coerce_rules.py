"""Which repairs a guard allows: per guard, per field, by kind and by name."""

from __future__ import annotations

from typing import Any

import pytest

from llmguard import Guard, UsageError
from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import Reading, read, reading_rules
from llmguard.parsing.coerce.rules import FITTING_RULES, USUAL
from llmguard.parsing.syntax import KINDS
from llmguard.schema import compile_schema
from llmguard.testing import ScriptedModel

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
ADA = {"name": "Ada", "age": 36}
QUOTED = '{"name": "Ada", "age": "36"}'
DOUBTED = '{"name": "Ada", "age": 36 /* maybe */}'


def reading(
    text: str, *repairs: str, fields: dict[str, Any] | None = None, reason: str = "stop", **more: Any
) -> Reading:
    rules = reading_rules(repairs or USUAL, fields, **more)
    return read(ModelReply(text, finish_reason=reason), compile_schema(PERSON), rules)  # type: ignore[arg-type]


def test_a_repair_that_is_not_allowed_is_a_violation() -> None:
    """It names the repair and its place; what was parsed stays as the candidate."""
    found = reading(QUOTED, "syntactic")
    assert (found.failure, found.value, found.candidate) == ("unparsable", None, (ADA,))
    assert [(each.path, each.rule) for each in found.violations] == [("/age", "repair:number_in_text")]


def test_a_strict_guard_reads_strict_json_only() -> None:
    """With no repairs allowed, valid JSON that fits is read and nothing else is."""
    rules = reading_rules(())
    schema = compile_schema(PERSON)
    texts = ['{"name": "Ada", "age": 36}', '```json\n{"name": "Ada", "age": 36}\n```', f"Sure!\n{QUOTED}", QUOTED]
    texts.append("{'name': 'Ada', 'age': 36}")
    assert [read(ModelReply(text), schema, rules).failure for text in texts] == [None, None, *["unparsable"] * 3]


def test_a_value_among_words_may_be_forbidden_in_one_word() -> None:
    """A guard whose inputs are hostile takes nothing out of prose (principle 7)."""
    text = 'Here you are:\n{"name": "Ada", "age": 36}\nHope this helps!'
    assert reading(text).value == ADA
    (refused,) = reading(text, "lossless", "syntactic").violations
    assert (refused.rule, "extracted" in refused.message) == ("repair:prose", True)


def test_a_text_that_declines_may_be_allowed_by_name() -> None:
    """A support reply may say that something cannot be done (principle 6)."""
    text = "I'm sorry, but we cannot do that."
    schema = compile_schema({"type": "string"})
    assert read(ModelReply(text), schema).failure == "refusal"
    assert read(ModelReply(text), schema, reading_rules([*USUAL, "refusal_text"])).value == text


def test_single_repairs_are_allowed_and_forbidden_by_name() -> None:
    """A name alone allows one repair of a forbidden kind; with "-" it forbids one of an allowed kind."""
    assert reading(QUOTED, "lossless", "-number_in_text").failure == "unparsable"
    assert reading(QUOTED, "number_in_text").value == ADA
    assert reading(DOUBTED).failure == "unparsable"
    assert reading(DOUBTED, "syntactic", "doubtful_comment").value == ADA
    assert reading(DOUBTED, "lossy").value == ADA


def test_a_field_has_rules_of_its_own() -> None:
    """At the pointer and below it; what touches the whole value touches the field too; the surroundings touch none."""
    assert reading(QUOTED, fields={"/age": ()}).violations[0].path == "/age"
    assert reading(QUOTED, fields={"/name": ()}).value == ADA
    assert reading(f"Sure: {QUOTED}", fields={"/name": ()}).value == ADA
    assert reading('{"result": {"name": "Ada", "age": 36}}', fields={"/name": ()}).failure == "unparsable"
    assert reading(QUOTED, "syntactic", fields={"/age": ("lossless",)}).value == ADA


def test_a_truncated_reply_needs_leave() -> None:
    """Where it is given, whole members come out, and the cut is a repair."""
    text = '{"name": "Ada", "age": 36, "na'
    assert reading(text, reason="length").failure == "truncated"
    found = reading(text, reason="length", allow_truncated=True)
    assert found.value == ADA
    assert "truncated" in {repair.rule for repair in found.repairs}
    assert reading('{"name": "Ada", "age": 36', reason="length", allow_truncated=True).failure == "schema"


def test_depth_is_settable() -> None:
    """A guard may ask for less than 128 levels or for more."""
    schema = compile_schema({"type": "array"})
    deep = ModelReply("[" * 200 + "]" * 200)
    assert read(deep, schema).violations[0].rule == "too_deep"
    assert read(deep, schema, reading_rules(max_depth=200)).failure is None
    assert read(ModelReply("[[[]]]"), schema, reading_rules(max_depth=2)).violations[0].rule == "too_deep"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"repairs": ["syntctic"]}, "did you mean 'syntactic'?"),
        ({"repairs": "lossless"}, "Give a list"),
        ({"repairs": ["-prosee"]}, "is no repair"),
        ({"repairs": [3]}, "3 is no repair"),
        ({"field_repairs": {"total": ()}}, "'total' is no JSON Pointer"),
        ({"field_repairs": {"/total": ["all"]}}, "field_repairs['/total']: 'all' is no repair"),
        ({"field_repairs": ["/total"]}, "expected JSON Pointer -> repairs"),
        ({"max_depth": 0}, "1 to 512"),
        ({"max_depth": 513}, "1 to 512"),
    ],
)
def test_a_mistake_is_named_when_the_guard_is_built(given: dict[str, Any], said: str) -> None:
    """A UsageError says what was found and what was expected."""
    with pytest.raises(UsageError) as raised:
        Guard("age", prompt="?", schema=PERSON, models=[ScriptedModel([QUOTED])], log=None, **given)
    assert said in str(raised.value)


def test_a_guard_reads_by_its_rules_and_its_fingerprint_tells() -> None:
    """Rules decide outcomes, so other rules are another guard."""

    def guard(**rules: Any) -> Guard[Any]:
        return Guard("age", prompt="?", schema=PERSON, models=[ScriptedModel([QUOTED] * 3)], log=None, **rules)

    usual, strict = guard(), guard(repairs=("syntactic",))
    by_field = guard(field_repairs={"/age": ()})
    assert (usual.run().status, strict.run().status, by_field.run().status) == ("recovered", "rejected", "rejected")
    assert (
        len({usual.fingerprint, strict.fingerprint, by_field.fingerprint, guard(allow_truncated=True).fingerprint}) == 4
    )
    assert guard(repairs=("syntactic", "extracted", "lossless")).fingerprint == usual.fingerprint


def test_the_names_of_repairs_do_not_overlap() -> None:
    """A repair has one name and one kind."""
    assert set(KINDS) & FITTING_RULES == set()
