"""What a provider's strict decoding refuses in a schema, keyword by keyword, known before any request.

A schema that is refused is no mistake: llmguard then sends it as a hint, and validates the reply by it all the same. Only
the guarantee is lost that the model cannot write anything else. Each table has its source; read in November 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from llmguard.core.canonical import Json
from llmguard.schema.compiled import Schema
from llmguard.schema.keywords import CONTAINERS, as_fragment, from_fragment, word_set
from llmguard.schema.navigate import SchemaDocument
from llmguard.schema.words import as_list, brief, listed

Provider: TypeAlias = Literal["openai", "anthropic", "gemini"]
PROVIDERS: tuple[Provider, ...] = get_args(Provider)

NAMES: dict[Provider, str] = {
    "openai": "OpenAI structured outputs (strict)",
    "anthropic": "Anthropic strict tools and structured outputs",
    "gemini": "Gemini response_schema",
}

MAX_REFUSALS = 100

_NOTES = word_set("$schema $id $comment title description")
_STRUCTURE = word_set("type properties required additionalProperties items enum const anyOf $ref $defs definitions")

# OpenAI, "Structured model outputs", section "Supported schemas":
# platform.openai.com/docs/guides/structured-outputs#supported-schemas
_OPENAI_KEYWORDS = _NOTES | _STRUCTURE | word_set(
    "pattern format multipleOf minimum maximum exclusiveMinimum exclusiveMaximum minItems maxItems"
)  # fmt: skip
_OPENAI_FORMATS = word_set("date-time time date duration email hostname ipv4 ipv6 uuid")
_OPENAI_LEVELS = 10
_OPENAI_PROPERTIES = 5_000
_OPENAI_ENUM_VALUES = 1_000
_OPENAI_NAME_CHARS = 120_000

# Anthropic, "Structured outputs", section "JSON Schema limitations":
# docs.claude.com/en/docs/build-with-claude/structured-outputs#json-schema-limitations
_ANTHROPIC_KEYWORDS = _NOTES | _STRUCTURE | word_set("allOf default pattern format minItems")
_ANTHROPIC_FORMATS = word_set("date-time time date duration email hostname uri ipv4 ipv6 uuid")
_ANTHROPIC_OPTIONAL = 24
_ANTHROPIC_UNIONS = 16

# Gemini API, "Schema" of generationConfig.responseSchema, a part of OpenAPI 3.0 with its own fields:
# ai.google.dev/api/caching#Schema. The field responseJsonSchema takes more ($ref, additionalProperties, type lists).
_GEMINI_KEYWORDS = word_set(
    "type format title description nullable enum maxItems minItems properties required minProperties maxProperties minLength"
    " maxLength pattern example anyOf propertyOrdering default items minimum maximum"
)
_GEMINI_FORMATS = word_set("date-time enum float double int32 int64")


@dataclass(frozen=True, slots=True)
class ProviderRefusal:
    """Why a provider does not accept a schema. `place` is the part of the schema, as `#/properties/total`."""

    provider: Provider
    place: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.provider}: {self.place}: {self.what}. {self.mend}"


@dataclass(frozen=True, slots=True)
class _Node:
    """One schema of the document as it is written, its pointer, and how many objects and lists are around it."""

    pointer: str
    schema: Json
    level: int


Complaint: TypeAlias = tuple[str, str, str]
"""The pointer, what is refused, and what to write instead."""


def refusals(schema: Schema, provider: Provider) -> tuple[ProviderRefusal, ...]:
    """What `provider` refuses in `schema`, in the order of the schema; () where its strict decoding accepts it.

    >>> from llmguard.schema import compile_schema
    >>> schema = compile_schema({"type": "object", "properties": {"total": {"type": "number"}}, "additionalProperties": False})
    >>> print(*refusals(schema, "openai"))
    openai: #: property 'total' is not required. List it in 'required', and let it be null where it may be missing.
    """
    return document_refusals(schema.verdicts.document, provider, wrapped=False)


def document_refusals(
    document: SchemaDocument, provider: Provider, *, wrapped: bool = True
) -> tuple[ProviderRefusal, ...]:
    """The same for a schema that is no output schema of its own. `wrapped`: the root is known to be a plain object."""
    nodes = list(_nodes(document))
    complaints = dict.fromkeys(
        complaint for rule in _RULES[provider] for complaint in rule(nodes) if not (wrapped and rule is _root_is_object)
    )
    order = {node.pointer: number for number, node in enumerate(nodes)}
    ordered = sorted(complaints, key=lambda complaint: order.get(complaint[0], 0))[:MAX_REFUSALS]
    return tuple(ProviderRefusal(provider, as_fragment(pointer), what, mend) for pointer, what, mend in ordered)


def _nodes(document: SchemaDocument) -> Iterator[_Node]:
    """Every schema of the document, each followed by those in it; a mere `additionalProperties: false` is none."""
    waiting = [(document.root, 0)]
    while waiting:
        location, level = waiting.pop()
        yield _Node(location.pointer, location.written, level)
        inner = [
            (child, level + (keyword in ("properties", "items")))
            for keyword, child in location.children
            if not (keyword == "additionalProperties" and isinstance(child.written, bool))
        ]
        waiting += reversed(inner)


def _keywords(known: frozenset[str], node: _Node, mends: Mapping[str, str]) -> Iterator[Complaint]:
    for keyword in node.schema:
        if keyword not in known:
            yield (
                node.pointer,
                f"{keyword!r} is not taken",
                mends.get(keyword, "Leave it to llmguard, which checks it anyway."),
            )


def _dicts(nodes: list[_Node]) -> Iterator[_Node]:
    return (node for node in nodes if isinstance(node.schema, dict))


def _is_object(schema: Mapping[str, Json]) -> bool:
    return "object" in as_list(schema.get("type")) or "properties" in schema


_ADVICE = {
    "oneOf": "Write 'anyOf' where the alternatives exclude each other.",
    "allOf": "Write what it joins as one schema.",
    "nullable": "Write 'type': [..., 'null'].",
    "default": "Say it in the description.",
    "const": "Write 'enum' with one value.",
    "$ref": "Write the definition where it is used.",
    "$defs": "Write the definitions where they are used.",
    "definitions": "Write the definitions where they are used.",
    "prefixItems": "Write an object with a property for each position.",
    "patternProperties": "Write a list of objects with a name and a value.",
}


# ----------------------------------------------------------------------------------------------- shared rules


def _only_keywords(known: frozenset[str]) -> Rule:
    def rule(nodes: list[_Node]) -> Iterator[Complaint]:
        for node in _dicts(nodes):
            yield from _keywords(known, node, _ADVICE)

    return rule


def _only_formats(known: frozenset[str]) -> Rule:
    def rule(nodes: list[_Node]) -> Iterator[Complaint]:
        for node in _dicts(nodes):
            name = node.schema.get("format")
            if isinstance(name, str) and name not in known:
                yield node.pointer, f"format {brief(name)} is not taken", f"It takes {listed(sorted(known))}."

    return rule


def _closed_objects(nodes: list[_Node]) -> Iterator[Complaint]:
    for node in _dicts(nodes):
        if _is_object(node.schema) and node.schema.get("additionalProperties") is not False:
            mend = "Write 'additionalProperties': false."
            if isinstance(node.schema.get("additionalProperties"), dict):
                mend = "Write a list of objects with a name and a value instead of names that are not known."
            yield node.pointer, "an object is open to other properties", mend


def _typed(nodes: list[_Node]) -> Iterator[Complaint]:
    for node in nodes:
        schema = node.schema if isinstance(node.schema, dict) else {}
        typing = schema.keys() & {"type", "anyOf", "oneOf", "allOf", "$ref"}
        if not typing and not (node.pointer == "" and schema.keys() & CONTAINERS):
            yield node.pointer, "nothing says what type the value has", "Write 'type'."


def _root_is_object(nodes: list[_Node]) -> Iterator[Complaint]:
    root = nodes[0].schema
    if not isinstance(root, dict) or root.get("type") != "object":
        mend = "llmguard sends it wrapped as {'value': …}; nothing needs to be done."
        yield "", "the value is no plain object", mend


def _no_recursion(nodes: list[_Node]) -> Iterator[Complaint]:
    """A definition that refers to itself."""
    for node in _dicts(nodes):
        target = from_fragment(node.schema["$ref"]) if "$ref" in node.schema else None
        if target is not None and (node.pointer == target or node.pointer.startswith(f"{target}/")):
            yield node.pointer, "the schema is recursive", "Write as many levels as are needed, or ask for a flat list."


# ----------------------------------------------------------------------------------------------- OpenAI


def _all_required(nodes: list[_Node]) -> Iterator[Complaint]:
    for node in _dicts(nodes):
        if _is_object(node.schema):
            required = node.schema.get("required", ())
            for name in node.schema.get("properties", {}):
                if name not in required:
                    mend = "List it in 'required', and let it be null where it may be missing."
                    yield node.pointer, f"property {brief(name)} is not required", mend


def _lists_have_items(nodes: list[_Node]) -> Iterator[Complaint]:
    for node in _dicts(nodes):
        if "array" in as_list(node.schema.get("type", [])) and not isinstance(node.schema.get("items"), dict):
            yield node.pointer, "a list without 'items'", "Say what its items are."


def _lone_references(nodes: list[_Node]) -> Iterator[Complaint]:
    for node in _dicts(nodes):
        beside = node.schema.keys() - {"$ref", "$schema", "$id", "$comment", *CONTAINERS}
        if "$ref" in node.schema and beside:
            yield node.pointer, f"{listed(sorted(beside))} beside '$ref'", "Move it into the definition."


def _openai_sizes(nodes: list[_Node]) -> Iterator[Complaint]:
    deep = next((node for node in nodes if node.level > _OPENAI_LEVELS), None)
    if deep:
        yield deep.pointer, f"more than {_OPENAI_LEVELS} levels", "Flatten the schema."
    schemas = [node.schema for node in _dicts(nodes)]
    names = [name for schema in schemas for name in schema.get("properties", ())]
    options = [option for schema in schemas for option in as_list(schema.get("enum", []))]
    if len(names) > _OPENAI_PROPERTIES:
        yield "", f"{len(names)} properties, more than {_OPENAI_PROPERTIES}", "Ask for fewer at once."
    if len(options) > _OPENAI_ENUM_VALUES:
        yield "", f"{len(options)} values of enums, more than {_OPENAI_ENUM_VALUES}", "Ask for a text, and check it."
    chars = sum(len(name) for name in (*names, *(option for option in options if isinstance(option, str))))
    if chars > _OPENAI_NAME_CHARS:
        yield "", f"names and enum values of {chars} characters, more than {_OPENAI_NAME_CHARS}", "Shorten them."


# ----------------------------------------------------------------------------------------------- Anthropic


def _anthropic_bounds(nodes: list[_Node]) -> Iterator[Complaint]:
    for node in _dicts(nodes):
        if node.schema.get("minItems", 0) > 1:
            yield node.pointer, "'minItems' of more than 1", "Leave it to llmguard, which checks it anyway."
        if any(isinstance(option, dict | list) for option in as_list(node.schema.get("enum", []))):
            yield node.pointer, "an enum with objects or lists", "List scalars only."
        if any(isinstance(part, dict) and "$ref" in part for part in node.schema.get("allOf", ())):
            yield node.pointer, "a '$ref' in 'allOf'", "Write what it joins as one schema."


def _anthropic_sizes(nodes: list[_Node]) -> Iterator[Complaint]:
    schemas = [node.schema for node in _dicts(nodes)]
    optional = sum(len({*schema.get("properties", ())} - {*schema.get("required", ())}) for schema in schemas)
    unions = sum("anyOf" in schema or len(as_list(schema.get("type", []))) > 1 for schema in schemas)
    if optional > _ANTHROPIC_OPTIONAL:
        yield "", f"{optional} optional properties, more than {_ANTHROPIC_OPTIONAL}", "Require some of them."
    if unions > _ANTHROPIC_UNIONS:
        yield "", f"{unions} unions of types, more than {_ANTHROPIC_UNIONS}", "Let fewer be null."


# ----------------------------------------------------------------------------------------------- Gemini


def _gemini_structure(nodes: list[_Node]) -> Iterator[Complaint]:
    for node in _dicts(nodes):
        schema = node.schema
        if isinstance(schema.get("type"), list):
            yield node.pointer, "a list of types", "Write one type, and 'nullable': true beside it."
        if schema.get("type") == "null":
            yield node.pointer, "the type 'null'", "Write 'nullable': true beside the other type."
        if any(not isinstance(option, str) for option in as_list(schema.get("enum", []))):
            yield node.pointer, "an enum with other values than texts", "List texts only."
        if schema.get("type") == "object" and not schema.get("properties"):
            yield node.pointer, "an object without properties", "Name its properties."


Rule: TypeAlias = Callable[[list[_Node]], Iterator[Complaint]]

_RULES: dict[Provider, tuple[Rule, ...]] = {
    "openai": (
        _only_keywords(_OPENAI_KEYWORDS),
        _only_formats(_OPENAI_FORMATS),
        _closed_objects,
        _all_required,
        _lists_have_items,
        _lone_references,
        _typed,
        _root_is_object,
        _openai_sizes,
    ),
    "anthropic": (
        _only_keywords(_ANTHROPIC_KEYWORDS),
        _only_formats(_ANTHROPIC_FORMATS),
        _closed_objects,
        _anthropic_bounds,
        _no_recursion,
        _root_is_object,
        _anthropic_sizes,
    ),
    "gemini": (
        _only_keywords(_GEMINI_KEYWORDS),
        _only_formats(_GEMINI_FORMATS),
        _typed,
        _gemini_structure,
        _lists_have_items,
    ),
}
