"""The form a reply shall have, in few words: what a model is told that cannot be constrained to a schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from llmguard.canonical import Json, encode
from llmguard.schema.keywords import from_fragment, words_of
from llmguard.schema.words import as_list, either

MAX_CHARS = 8_000
"""A description that grows longer than this says no more than the schema itself."""

_OPENING = "Answer with one JSON value and nothing else, no explanation and no code fence"
_INDENT = "  "
_MAX_LEVELS = 6
_BEYOND_WORDS = words_of(
    "allOf not if patternProperties dependentRequired dependentSchemas dependencies contains"
    " propertyNames unevaluatedProperties unevaluatedItems additionalItems"
)
_NOUNS = {"object": "an object", "array": "a list", "string": "a string", "integer": "an integer", "number": "a number"}
_NOUNS |= {"boolean": "true or false", "null": "null"}
_PLURALS = {"object": "objects", "array": "lists", "string": "strings", "integer": "integers", "number": "numbers"}
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "multipleOf": "a multiple of {}",
    "minLength": "{} or more characters",
    "maxLength": "{} or fewer characters",
    "minItems": "{} or more",
    "maxItems": "{} or fewer",
    "pattern": "pattern {}",
    "format": "format {}",
}


def instruction(root: Json, places: Mapping[str, Json]) -> str:
    """What to answer, as one sentence and a list of properties.

    >>> schema = {"type": "object", "properties": {"total": {"type": "number", "minimum": 0}}, "required": ["total"]}
    >>> print(instruction(schema, {"": schema}))
    Answer with one JSON value and nothing else, no explanation and no code fence: an object with
    - "total" (required): a number (at least 0)
    """
    words = _Words(places)
    text = f"{_OPENING}: {words.of(root, 0)}"
    if len(text) > MAX_CHARS:
        return f"{_OPENING}. It must fit this JSON Schema: {_spelled(root)}"
    return f"{text}\nIt must fit this JSON Schema: {_spelled(root)}" if words.incomplete else text


class _Words:
    """Describes schemas, and remembers whether something could not be said."""

    def __init__(self, places: Mapping[str, Json]) -> None:
        self._places = places
        self._open: tuple[str, ...] = ()
        self.incomplete = False

    def of(self, schema: Json, level: int) -> str:
        """What the schema asks for; an object's properties follow line by line."""
        if not isinstance(schema, dict):
            return "anything" if schema else "nothing"
        if "$ref" in schema:
            return self._referred(schema, level)
        branches = schema.get("anyOf") or schema.get("oneOf") or ()
        both = bool(branches) and "properties" in schema
        if both or level > _MAX_LEVELS or not _BEYOND_WORDS.isdisjoint(schema):
            self.incomplete = True
        if level > _MAX_LEVELS:
            return "a value"
        if branches and not both:
            return self._alternatives(branches, level)
        return self._value(schema, level)

    def _value(self, schema: Mapping[str, Json], level: int) -> str:
        if "const" in schema:
            return _spelled(schema["const"])
        if "enum" in schema:
            return "one of " + ", ".join(_spelled(option) for option in schema["enum"])
        kinds = [self._kind(name, schema, level) for name in as_list(schema.get("type", _implied(schema)))]
        return either(kinds) if kinds else "any JSON value"

    def _alternatives(self, branches: list[Json], level: int) -> str:
        texts = list(dict.fromkeys(self.of(branch, level + 1) for branch in branches))
        if not any("\n" in text for text in texts):
            return either(texts)
        return "one of these:" + "".join(f"\n{_INDENT * level}* {text}" for text in texts)

    def _referred(self, schema: Mapping[str, Json], level: int) -> str:
        ref = schema["$ref"]
        pointer = from_fragment(ref)
        if pointer in self._open:
            return "again what is described above"
        if pointer is None or pointer not in self._places:
            self.incomplete = True
            return "a value"
        self._open = (*self._open, pointer)
        text = self.of(self._places[pointer], level)
        self._open = self._open[:-1]
        return text

    def _kind(self, name: str, schema: Mapping[str, Json], level: int) -> str:
        if name == "object":
            return self._object(schema, level)
        noun = self._list(schema, level) if name == "array" else _NOUNS.get(name, name)
        bounds = [words.format(_spelled(schema[key])) for key, words in _BOUNDS.items() if _bounds(name, key, schema)]
        return f"{noun} ({', '.join(bounds)})" if bounds else noun

    def _list(self, schema: Mapping[str, Json], level: int) -> str:
        if "prefixItems" in schema:
            return "a list of, in this order, " + ", ".join(self.of(item, level) for item in schema["prefixItems"])
        items = schema.get("items", True)
        kind = items.get("type") if isinstance(items, dict) and set(items) <= {"type", "title", "description"} else None
        if isinstance(kind, str) and kind in _PLURALS:
            return f"a list of {_PLURALS[kind]}"
        return "a list" if items is True else f"a list, each item {self.of(items, level)}"

    def _object(self, schema: Mapping[str, Json], level: int) -> str:
        lines = [""] + [f"{_INDENT * level}- {line}" for line in self._properties(schema, level)]
        if isinstance(schema.get("additionalProperties"), dict):
            lines.append(f"{_INDENT * level}- any other name: {self.of(schema['additionalProperties'], level + 1)}")
        return "an object with" + "\n".join(lines) if len(lines) > 1 else "an object"

    def _properties(self, schema: Mapping[str, Json], level: int) -> Iterator[str]:
        required = schema.get("required", ())
        for name, inner in schema.get("properties", {}).items():
            notes = ["required" if name in required else "optional", *_notes(inner)]
            yield f"{_spelled(name)} ({', '.join(notes)}): {self.of(inner, level + 1)}"


def _notes(schema: Json) -> Iterator[str]:
    """What a property's schema says to people."""
    said = schema.get("description") if isinstance(schema, dict) else None
    if isinstance(said, str) and said.strip():
        yield " ".join(said.split())
    if isinstance(schema, dict) and schema.get("default") is not None:
        yield f"{_spelled(schema['default'])} if left out"


def _spelled(value: Json) -> str:
    """As it stands in the answer."""
    return encode(value).decode()


def _implied(schema: Mapping[str, Json]) -> list[str]:
    return ["object"] if "properties" in schema else ["array"] if "items" in schema else []


def _bounds(name: str, keyword: str, schema: Mapping[str, Json]) -> bool:
    """Whether a keyword of the schema bounds values of this type."""
    types = {
        "string": ("minLength", "maxLength", "pattern", "format"),
        "array": ("minItems", "maxItems"),
        "integer": ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"),
        "number": ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"),
    }
    return keyword in schema and keyword in types.get(name, ()) and not isinstance(schema[keyword], bool)
