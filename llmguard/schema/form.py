"""A schema in a few words: the instruction for a model whose output cannot be constrained to the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from llmguard.core.canonical import Json, encode
from llmguard.schema.keywords import as_tokens, word_set
from llmguard.schema.navigate import SchemaDocument
from llmguard.schema.words import as_list, either

MAX_CHARS = 8_000
"""A longer description is no clearer than the schema itself, which is then given instead."""

_OPENING = "Answer with one JSON value{} and nothing else, no explanation and no code fence"
_INDENT = "  "
_MAX_LEVELS = 6
"""Deeper levels are left to the schema itself: a model does not count so many indents."""
_BEYOND_WORDS = word_set(
    "allOf not if patternProperties dependentRequired dependentSchemas dependencies contains"
    " propertyNames unevaluatedProperties unevaluatedItems additionalItems"
)
_NOUNS = {"object": "an object", "array": "a list", "string": "a string", "integer": "an integer", "number": "a number"}
_NOUNS |= {"boolean": "true or false", "null": "null"}
_PLURALS = {"object": "objects", "array": "lists", "string": "strings", "integer": "integers", "number": "numbers"}
_FORMATS = {
    "date": "a date as YYYY-MM-DD",
    "date-time": "a date and time as YYYY-MM-DDThh:mm:ssZ",
    "time": "a time as hh:mm:ssZ",
    "email": "an e-mail address",
    "uri": "a URI",
    "uuid": "a UUID",
}
"""Formats that a few words describe as well as the standard's name; the words replace "a string"."""

_NUMBER_BOUNDS = (
    (("minimum", "maximum"), "{} to {}"),
    (("minimum",), "at least {}"),
    (("exclusiveMinimum",), "above {}"),
    (("maximum",), "at most {}"),
    (("exclusiveMaximum",), "below {}"),
    (("multipleOf",), "a multiple of {}"),
)
_BOUNDS = {
    "integer": _NUMBER_BOUNDS,
    "number": _NUMBER_BOUNDS,
    "string": (
        (("minLength", "maxLength"), "{} to {} characters"),
        (("minLength",), "{} or more characters"),
        (("maxLength",), "{} or fewer characters"),
        (("pattern",), "pattern {}"),
        (("format",), "format {}"),
    ),
    "array": ((("minItems", "maxItems"), "{} to {}"), (("minItems",), "{} or more"), (("maxItems",), "{} or fewer")),
}
"""For each type: keywords that are expressed together, and how; a keyword is used by the first row that has it."""


def instruction(document: SchemaDocument) -> str:
    """What to answer, as one sentence and a list of properties.

    >>> schema = {"type": "object", "properties": {"total": {"type": "number", "minimum": 0}}, "required": ["total"]}
    >>> print(instruction(SchemaDocument(schema)))
    Answer with one JSON value and nothing else, no explanation and no code fence: an object with
    - "total" (required): a number (at least 0)
    """
    root, words = document.schema, _Words(document)
    about = "".join(f" ({text.rstrip('.')})" for text in _described(root)) if isinstance(root, dict) else ""
    opening = _OPENING.format(about)
    text = f"{opening}: {words.of(root, 0)}"
    if len(text) > MAX_CHARS:
        return f"{opening}. It must fit this JSON Schema: {_as_json(root)}"
    return f"{text}\nIt must fit this JSON Schema: {_as_json(root)}" if words.incomplete else text


class _Words:
    """Describes schemas, and remembers whether something could not be expressed."""

    def __init__(self, document: SchemaDocument) -> None:
        self._document = document
        self._open: tuple[str, ...] = ("",)
        self._referred_again: set[str] = set()
        self.incomplete = False

    def of(self, schema: Json, level: int) -> str:
        """What the schema describes; an object's properties follow line by line."""
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
            return _as_json(schema["const"])
        if "enum" in schema:
            return "one of " + ", ".join(_as_json(option) for option in schema["enum"])
        kinds = [self._kind(name, schema, level) for name in as_list(schema.get("type", _implied(schema)))]
        return either(kinds) if kinds else "any JSON value"

    def _alternatives(self, branches: list[Json], level: int) -> str:
        texts = list(dict.fromkeys(self.of(branch, level + 1) + _label(branch) for branch in branches))
        if not any("\n" in text for text in texts):
            return either(texts)
        return "one of these:" + "".join(f"\n{_INDENT * level}* {text}" for text in texts)

    def _referred(self, schema: Mapping[str, Json], level: int) -> str:
        target = self._document.follow(schema["$ref"])
        if target is None:
            self.incomplete = True
            return "a value"
        pointer = target.pointer
        if pointer in self._open:
            self._referred_again.add(pointer)
            return f"another {_name(pointer)}" if pointer else "again a value like the whole"
        self._open = (*self._open, pointer)
        text = self.of(target.written, level)
        self._open = self._open[:-1]
        return f"{_name(pointer)}, which is {text}" if pointer in self._referred_again else text

    def _kind(self, name: str, schema: Mapping[str, Json], level: int) -> str:
        if name == "object":
            return self._object(schema, level)
        format_noun = _FORMATS.get(schema.get("format", "")) if name == "string" else None
        noun = self._list(schema, level) if name == "array" else format_noun or _NOUNS.get(name, name)
        bounds = list(bounds_in_words(name, schema, {"format"} if format_noun else set()))
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
        only = " only" if schema.get("additionalProperties") is False else ""
        return f"an object with{only}" + "\n".join(lines) if len(lines) > 1 else "an object"

    def _properties(self, schema: Mapping[str, Json], level: int) -> Iterator[str]:
        required = schema.get("required", ())
        for name, inner in schema.get("properties", {}).items():
            notes = ["required" if name in required else "optional", *self._notes(inner)]
            yield f"{_as_json(name)} ({', '.join(notes)}): {self.of(inner, level + 1)}"

    def _notes(self, schema: Json) -> Iterator[str]:
        """The description of a property, else that of the definition it refers to; its unit and its default."""
        if not isinstance(schema, dict):
            return
        # What leads out of the document is described as the whole: an oddity that stays, since digests hold these texts.
        target = (self._document.follow(schema["$ref"]) or self._document.root).written if "$ref" in schema else {}
        yield from _described(schema) or (_described(target) if isinstance(target, dict) else ())
        if isinstance(schema.get("x-unit"), str):
            yield f"in {schema['x-unit']}"
        if schema.get("default") is not None:
            yield f"{_as_json(schema['default'])} if left out"


def _described(schema: Mapping[str, Json]) -> tuple[str, ...]:
    text = schema.get("description")
    return (" ".join(text.split()),) if isinstance(text, str) and text.strip() else ()


def _label(branch: Json) -> str:
    """The title of one value of a choice, or its description."""
    if not isinstance(branch, dict) or "const" not in branch:
        return ""
    label = (branch["title"],) if isinstance(branch.get("title"), str) else _described(branch)
    return f" ({label[0]})" if label else ""


def _name(pointer: str) -> str:
    """The name of a definition that refers to itself."""
    return as_tokens(pointer)[-1]


def _as_json(value: Json) -> str:
    """As the answer has it."""
    return encode(value).decode()


def _implied(schema: Mapping[str, Json]) -> list[str]:
    return ["object"] if "properties" in schema else ["array"] if "items" in schema else []


def bounds_in_words(name: str, schema: Mapping[str, Json], expressed: set[str]) -> Iterator[str]:
    """The bounds of values of this type, in words; `expressed`: keywords that are expressed already."""
    left = {key for key in schema if not isinstance(schema[key], bool)} - expressed
    for keywords, words in _BOUNDS.get(name, ()):
        if left.issuperset(keywords):
            left -= {*keywords}
            yield words.format(*(_as_json(schema[key]) for key in keywords))
