"""A schema in the form that strict decoding takes, which accepts every value that the schema itself accepts, and more.

OpenAI's strict decoding wants closed objects whose members are all required, and knows few keywords. So an optional member
may be null instead (the reader takes null there as absent), objects of a Python type are closed (the type drops other members
anyway), and what a value must be besides is said in the description. The reply is then validated by the schema itself, so the
form may be looser, never tighter. Where a part cannot be said so, the whole schema is sent as a hint.

Source: OpenAI, "Structured model outputs", section "Supported schemas", read in November 2026:
platform.openai.com/docs/guides/structured-outputs#supported-schemas
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from llmguard.core.canonical import Json, encode
from llmguard.schema.form import bounds_in_words
from llmguard.schema.keywords import as_fragment, as_pointer, as_tokens, from_fragment, word_set
from llmguard.schema.navigate import SchemaDocument
from llmguard.schema.providers import document_refusals
from llmguard.schema.words import as_list, brief

_KEPT = word_set(
    "type enum const title pattern multipleOf minimum maximum exclusiveMinimum exclusiveMaximum minItems maxItems"
)
"""Keywords that mean the same in the form; those with schemas in them are written anew."""
_CANNOT_BE_SAID = word_set(
    "not if then else patternProperties dependentRequired dependentSchemas dependencies contains minContains maxContains"
    " propertyNames unevaluatedProperties unevaluatedItems $dynamicRef $recursiveRef"
)
"""Keywords that a description would say badly: the schema itself, as a hint, says them better."""
_LOOKS_AROUND = re.compile(r"\(\?[=!<]|\\[1-9]")
"""No grammar holds lookarounds and backreferences, so no strict decoding does."""
_TYPE_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_MAX_WORDS = 200
"""Characters of a default, an example or a pattern in a description."""
_ROOTS = ("", "/properties/value")
"""The whole, as it is and where it is wrapped."""
_NULL = {"type": "null"}


@dataclass(frozen=True, slots=True)
class StrictForm:
    """`changes`: what was changed, one sentence for each kind. `obstacles`: why strict decoding takes no form of the schema;
    `json_schema` is the schema itself then."""

    json_schema: Json = field(repr=False)
    changes: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()


def strict_form(schema: Json, *, closes: bool) -> StrictForm:
    """The form of a schema whose root is an object. `closes`: whether objects that do not say so may be closed.

    >>> form = strict_form({"type": "object", "properties": {"n": {"type": "integer"}}}, closes=True)
    >>> form.json_schema["required"], form.json_schema["properties"]["n"], form.json_schema["additionalProperties"]
    (['n'], {'type': ['integer', 'null']}, False)
    >>> print(*form.changes)
    objects are closed optional members may be null
    """
    if not strict_refusals(schema):
        return StrictForm(schema)
    writing = _Writing(closes, _used_definitions(schema))
    written = writing.schema(schema, "")
    obstacles = tuple(dict.fromkeys(writing.obstacles)) or strict_refusals(written)
    if obstacles:
        return StrictForm(schema, (), obstacles)
    return StrictForm(written, tuple(dict.fromkeys(writing.changes)))


def strict_refusals(schema: Json) -> tuple[str, ...]:
    """Why OpenAI's strict decoding refuses a schema whose root is an object, as sentences; () where it takes it."""
    return tuple(f"{refusal.place}: {refusal.what}" for refusal in document_refusals(SchemaDocument(schema), "openai"))


def _used_definitions(schema: Mapping[str, Json]) -> frozenset[str]:
    """The pointers of the root's definitions that something refers to; the schema of a part still holds those of the whole."""
    used: set[str] = set()
    waiting: list[Json] = [{key: value for key, value in schema.items() if key not in ("$defs", "definitions")}]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
            target = from_fragment(one["$ref"]) if isinstance(one.get("$ref"), str) else None
            keyword, *name = as_tokens(target or "")[:2] or [""]
            pointer = as_pointer((keyword, *name))
            if name and keyword in ("$defs", "definitions") and pointer not in used:
                used.add(pointer)
                waiting.append(schema.get(keyword, {}).get(name[0]))
    return frozenset(used)


class _Writing:
    """Writes the form, and notes what it changes and where it cannot go on."""

    def __init__(self, closes: bool, used: frozenset[str]) -> None:
        self._closes, self._used = closes, used
        self.changes: list[str] = []
        self.obstacles: list[str] = []

    def schema(self, schema: Json, pointer: str) -> Json:
        """The form of one schema."""
        if not isinstance(schema, dict):
            self._obstacle(pointer, "nothing says what type the value has" if schema else "no value is allowed")
            return schema
        if inner := _CANNOT_BE_SAID & schema.keys():
            self._obstacle(pointer, f"{brief(sorted(inner)[0])} is not taken")
        schema = self._joined(schema, pointer)
        written = {key: value for key, value in schema.items() if key in _KEPT}
        if "$ref" in schema:
            return self._reference(schema, pointer)
        if "anyOf" in schema or "oneOf" in schema:
            self._branches(schema, written, pointer)
        elif "type" not in schema:
            self._give_type(schema, written, pointer)
        types = as_list(written.get("type", []))
        if "object" in types:
            self._object(schema, written, pointer)
        if "array" in types:
            self._list(schema, written, pointer)
        if self._left_out_pattern(schema):
            del written["pattern"]
        self._definitions(schema, written, pointer)
        return self._described(written, schema)

    def _obstacle(self, pointer: str, sentence: str) -> None:
        self.obstacles.append(f"{as_fragment(pointer)}: {sentence}")

    def _joined(self, schema: Mapping[str, Json], pointer: str) -> dict[str, Json]:
        """With the one schema of its `allOf`, as pydantic writes a reference with words beside it."""
        parts = schema.get("allOf")
        rest = {key: value for key, value in schema.items() if key != "allOf"}
        if parts is None:
            return rest
        if (
            len(parts) != 1
            or not isinstance(parts[0], dict)
            or (parts[0].keys() & rest.keys()) - {"title", "description"}
        ):
            self._obstacle(pointer, "'allOf' is not taken")
            return rest
        return {**parts[0], **rest}

    def _reference(self, schema: Mapping[str, Json], pointer: str) -> Json:
        """A reference stands alone, so words beside it go to a union of one."""
        target = from_fragment(schema["$ref"])
        beside = schema.keys() & word_set("type properties items enum const anyOf oneOf required")
        is_kept = target in _ROOTS or (target or "").startswith(("/$defs/", "/definitions/"))
        if beside or not is_kept:
            self._obstacle(pointer, f"the reference {brief(schema['$ref'])} cannot be kept")
        words = self._described({}, schema)
        written: dict[str, Json] = {"$ref": schema["$ref"]}
        if "description" in words:
            written = {"anyOf": [written], **words}
        self._definitions(schema, written, pointer)
        return written

    def _definitions(self, schema: Mapping[str, Json], written: dict[str, Json], pointer: str) -> None:
        for keyword in ("$defs", "definitions"):
            if keyword in schema:
                written[keyword] = {
                    name: self.schema(each, pointer + as_pointer((keyword, name)))
                    for name, each in schema[keyword].items()
                    if pointer or as_pointer((keyword, name)) in self._used
                }

    def _branches(self, schema: Mapping[str, Json], written: dict[str, Json], pointer: str) -> None:
        keyword = "anyOf" if "anyOf" in schema else "oneOf"
        if "oneOf" in schema:
            self.changes.append("'oneOf' is written as 'anyOf'")
        if {"anyOf", "oneOf"} <= schema.keys() or schema.keys() & {"properties", "items", "prefixItems"}:
            self._obstacle(pointer, f"{brief(keyword)} beside other keywords is not taken")
        branches = schema[keyword]
        written["anyOf"] = [self.schema(each, f"{pointer}/{keyword}/{number}") for number, each in enumerate(branches)]

    def _give_type(self, schema: Mapping[str, Json], written: dict[str, Json], pointer: str) -> None:
        """The type that the keywords imply."""
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if values is not None and all(type(value) in _TYPE_NAMES for value in values):
            names = list(dict.fromkeys(_TYPE_NAMES[type(value)] for value in values))
            written["type"] = names[0] if len(names) == 1 else names
        elif values is not None:
            self._obstacle(pointer, "an enum with objects or lists")
        elif "properties" in schema:
            written["type"] = "object"
        elif schema.keys() & {"items", "prefixItems"}:
            written["type"] = "array"
        else:
            self._obstacle(pointer, "nothing says what type the value has")

    def _object(self, schema: Mapping[str, Json], written: dict[str, Json], pointer: str) -> None:
        others = schema.get("additionalProperties")
        if isinstance(others, dict) or others is True:
            self._obstacle(pointer, "names of members that are not known beforehand")
        elif others is None and not self._closes:
            self._obstacle(pointer, "an object is open to other properties")
        elif others is None:
            self.changes.append("objects are closed")
        properties, required = schema.get("properties", {}), schema.get("required", ())
        if unknown := [name for name in required if name not in properties]:
            self._obstacle(pointer, f"{brief(unknown[0])} is required and nothing describes it")
        written["properties"] = {
            name: self._member(each, name in required, f"{pointer}/properties{as_pointer((name,))}")
            for name, each in properties.items()
        }
        written["required"] = list(properties)
        written["additionalProperties"] = False

    def _member(self, schema: Json, is_required: bool, pointer: str) -> Json:
        written = self.schema(schema, pointer)
        if is_required or not isinstance(written, dict):
            return written
        self.changes.append("optional members may be null")
        return _nullable(written)

    def _list(self, schema: Mapping[str, Json], written: dict[str, Json], pointer: str) -> None:
        items = schema.get("items", True)
        positions = schema.get("prefixItems", items if isinstance(items, list) else None)
        if positions is None:
            written["items"] = self.schema(items, f"{pointer}/items")
            return
        self.changes.append("lists with a schema for each position take any of these at each")
        keyword = "prefixItems" if "prefixItems" in schema else "items"
        kinds = [self.schema(each, f"{pointer}/{keyword}/{number}") for number, each in enumerate(positions)]
        if keyword == "prefixItems" and isinstance(items, dict):
            kinds.append(self.schema(items, f"{pointer}/items"))
        distinct = list({encode(kind): kind for kind in kinds}.values())
        written["items"] = distinct[0] if len(distinct) == 1 else {"anyOf": distinct}

    def _left_out_pattern(self, schema: Mapping[str, Json]) -> bool:
        return isinstance(schema.get("pattern"), str) and bool(_LOOKS_AROUND.search(schema["pattern"]))

    def _described(self, written: dict[str, Json], schema: Mapping[str, Json]) -> dict[str, Json]:
        """With a description that also says what was left out."""
        text = " ".join(str(schema.get("description", "")).split())
        words = list(self._left_out(schema))
        if words:
            self.changes.append("what else a value must be stands in its description")
        beside = "; ".join(words)
        whole = f"{text.rstrip('.')} ({beside})" if text and beside else text or beside
        return {**written, "description": whole} if whole else written

    def _left_out(self, schema: Mapping[str, Json]) -> Iterator[str]:
        """What the form does not say, in words."""
        left_out = {key: schema[key] for key in ("minLength", "maxLength", "format") if key in schema}
        if self._left_out_pattern(schema) and len(schema["pattern"]) <= _MAX_WORDS:
            left_out["pattern"] = schema["pattern"]
        yield from bounds_in_words("string", left_out, set())
        if schema.get("uniqueItems") is True:
            yield "each item once"
        positions = schema.get("prefixItems")
        if isinstance(positions, list):
            yield "in this order: " + ", ".join(_kind(each) for each in positions)
        if isinstance(schema.get("x-unit"), str):
            yield f"in {schema['x-unit']}"
        if schema.get("default") is not None and len(default := encode(schema["default"]).decode()) <= _MAX_WORDS:
            yield f"by default {default}"
        examples = schema.get("examples")
        if isinstance(examples, list) and examples and len(example := encode(examples[0]).decode()) <= _MAX_WORDS:
            yield f"for example {example}"


def _kind(schema: Json) -> str:
    """What stands at one position of a list, in a word or two."""
    if not isinstance(schema, dict):
        return "any value"
    name = schema.get("title") or schema.get("type") or schema.get("$ref", "").rpartition("/")[2] or "a value"
    return name if isinstance(name, str) else " or ".join(map(str, name))


def _nullable(schema: dict[str, Json]) -> Json:
    """The schema that also takes null."""
    types = as_list(schema.get("type", []))
    if "null" in types and "enum" not in schema and "const" not in schema:
        return schema
    branches = schema.get("anyOf")
    if branches is not None:
        return schema if _NULL in branches else {**schema, "anyOf": [*branches, _NULL]}
    if types and not schema.keys() & {"enum", "const", "properties", "items"}:
        return {**schema, "type": [*types, "null"]}
    if None in as_list(schema.get("enum", [])) and "null" in types:
        return schema
    inner = {key: value for key, value in schema.items() if key != "description"}
    about = {"description": schema["description"]} if "description" in schema else {}
    return {"anyOf": [inner, _NULL], **about}
