"""What the providers' strict decoding refuses in a schema: at which place, and what would mend it."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.forms import schemas
from llmguard.models.openai.strict_schema import build_server_schema
from llmguard.schema import compile_schema
from llmguard.schema.providers import NAMES, PROVIDERS, refusals
from llmguard.schema.strict_form import strict_refusals


def said(schema: Any, provider: Any) -> list[str]:
    return [f"{found.place} {found.what}" for found in refusals(compile_schema(schema), provider)]


def an_object(required: bool = True, **properties: Any) -> dict[str, Any]:
    needed = list(properties) if required else []
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


PLAIN = an_object(
    name={"type": "string"}, total={"type": "number"}, tags={"type": "array", "items": {"type": "string"}}
)


def test_a_plain_closed_object_is_taken_by_two() -> None:
    """OpenAI and Anthropic want objects closed; Gemini does not know the word."""
    assert (said(PLAIN, "openai"), said(PLAIN, "anthropic")) == ([], [])
    assert said(PLAIN, "gemini") == ["# 'additionalProperties' is not taken"]
    assert set(NAMES) == set(PROVIDERS)


@pytest.mark.parametrize(
    ("schema", "openai", "anthropic", "gemini"),
    [
        (an_object(required=False, a={"type": "string"}), ["# property 'a' is not required"], [], None),
        (an_object(a={"type": "string", "minLength": 1}), *[["#/properties/a 'minLength' is not taken"]] * 2, None),
        (an_object(a={"type": "number", "minimum": 0}), [], ["#/properties/a 'minimum' is not taken"], None),
        (an_object(a={"type": "string", "format": "uri"}), ["#/properties/a format 'uri' is not taken"], [],
         ["#/properties/a format 'uri' is not taken"]),
        (an_object(a={"oneOf": [{"type": "string"}, {"type": "integer"}]}), *[["#/properties/a 'oneOf' is not taken"]] * 3),
        (an_object(a={}), ["#/properties/a nothing says what type the value has"], [],
         ["#/properties/a nothing says what type the value has"]),
        (an_object(a={"type": "array", "items": {"type": "string"}, "minItems": 2}), [],
         ["#/properties/a 'minItems' of more than 1"], None),
        (an_object(a={"type": ["string", "null"]}), [], [], ["#/properties/a a list of types"]),
        (an_object(a={"type": "integer", "enum": [1, 2]}), [], [], ["#/properties/a an enum with other values than texts"]),
        ({"type": "integer"}, *[["# the value is no plain object"]] * 2, []),
        ({"type": "object", "additionalProperties": {"type": "integer"}},
         *[["# an object is open to other properties"]] * 2, None),
    ],
)  # fmt: skip
def test_each_provider_has_limits_of_its_own(schema: Any, openai: Any, anthropic: Any, gemini: Any) -> None:
    """Place and keyword are named; what one takes another may refuse."""
    assert (said(schema, "openai"), said(schema, "anthropic")) == (openai, anthropic)
    if gemini is not None:
        assert [each for each in said(schema, "gemini") if "additionalProperties" not in each] == gemini


def test_recursion_is_refused_by_one() -> None:
    """OpenAI takes it, Anthropic's grammar is finite, Gemini knows no reference."""
    node = an_object(label={"type": "string"}, kids={"type": "array", "items": {"$ref": "#/$defs/node"}})
    schema = {**an_object(root={"$ref": "#/$defs/node"}), "$defs": {"node": node}}
    assert said(schema, "openai") == []
    assert said(schema, "anthropic") == ["#/$defs/node/properties/kids/items the schema is recursive"]
    assert "#/properties/root '$ref' is not taken" in said(schema, "gemini")


def test_sizes_have_limits() -> None:
    """Levels, properties, values of enums, optional properties and unions."""
    deep: Any = {"type": "string"}
    for _ in range(12):
        deep = an_object(a=deep)
    assert [each.partition(" ")[2] for each in said(deep, "openai")] == ["more than 10 levels"]
    wide = an_object(required=False, **{f"n{number}": {"type": ["string", "null"]} for number in range(30)})
    assert said(wide, "anthropic") == [
        "# 30 optional properties, more than 24",
        "# 30 unions of types, more than 16",
    ]
    assert said(an_object(a={"type": "string", "enum": [str(number) for number in range(1_001)]}), "openai") == [
        "# 1001 values of enums, more than 1000"
    ]


def test_each_refusal_has_a_mend() -> None:
    """The line that a person reads names provider, place, what is wrong and what to do."""
    (found,) = refusals(compile_schema(an_object(required=False, a={"type": "string"})), "openai")
    assert str(found) == (
        "openai: #: property 'a' is not required. List it in 'required', and let it be null where it may be missing."
    )


@pytest.mark.parametrize("name", sorted(schemas()))
def test_what_is_sent_as_strict_is_taken(name: str) -> None:
    """Of the corpus: a schema without refusals is sent as it is, and a form that is sent as strict has none (principle 27)."""
    schema = compile_schema(schemas()[name])
    sent = build_server_schema(schema.response_format(name))
    if not [each for each in refusals(schema, "openai") if "no plain object" not in each.what]:
        assert (sent.is_strict, sent.changes) == (True, ())
    assert sent.is_strict == (not sent.obstacles)
    assert not sent.is_strict or strict_refusals(sent.json_schema) == ()
