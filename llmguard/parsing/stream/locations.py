"""What an output schema says of one part of a reply that is still being written: what streams, and what is refused.

Two questions are asked of the schema, and answered differently. Which strings appear while they grow? For that every
branch counts that may apply. What can no continuation repair? For that only a location counts that has one plain schema:
no choice of branches, and no types but its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from llmguard.core.canonical import Json
from llmguard.parsing.coerce.wrappers import CALL_KEYS, HOLD_ARGUMENTS
from llmguard.parsing.stream.scalars import SCALARS, Refusal, Scalars, Verdict, folded
from llmguard.schema.keywords import LATEST
from llmguard.schema.navigate import COMBINATIONS, Location, SchemaDocument, applied

STREAMED = "x-stream"
_LEADING = frozenset((*COMBINATIONS, "$ref", "$dynamicRef", "$recursiveRef"))
"""What leads to another schema for the same value."""
_NOTES = frozenset(
    "title description default examples deprecated readOnly writeOnly $comment $schema $id $defs definitions".split()
)
_MOST_HOPS = 32
"""References and combinations in a row that are followed to one plain schema."""
_NULL = {"type": "null"}
_KINDS = {"string": ("string",), "object": ("object",), "array": ("array",), "number": ("integer", "number"),
          "boolean": ("boolean",), "null": ("null",)}  # fmt: skip


class StreamLocation:
    """One location of the schema, as the stream needs it.

    `firm` is its one plain schema, None where there is a choice. `on_string`, `on_number`, `on_truth`, `on_null` judge
    complete scalars there, None where nothing is refused; `longest` counts characters of a string that is being written.
    """

    __slots__ = (
        "_locations",
        "additional",
        "closed",
        "demanded",
        "firm",
        "folded",
        "items",
        "least_items",
        "longest",
        "may_be_call",
        "members",
        "most_items",
        "most_members",
        "nullable",
        "on_null",
        "on_number",
        "on_string",
        "on_truth",
        "only_member",
        "parts",
        "prefix",
        "refused",
        "required",
        "scalars",
        "streams",
        "strict",
        "types",
        "unfolded",
    )

    def __init__(self, locations: StreamLocations, parts: tuple[Location, ...], firm: Firm | None) -> None:
        self._locations, self.parts = locations, parts
        self.strict = locations.strict_only
        self.streams = any(part.keywords.get(STREAMED) is True for part in parts)
        self.firm = firm.schema if firm else None
        self.types: frozenset[str] = firm.types if firm else frozenset()
        self.nullable = firm is not None and firm.nullable
        self.demanded: Refusal = ("type", self.firm.get("type") or sorted(self.types)) if self.firm else ("type", None)
        self.members: dict[str, StreamLocation] = {}
        self.additional: StreamLocation | None = None
        self.items: StreamLocation | None = None
        self.prefix: tuple[StreamLocation, ...] = ()
        self.unfolded = False
        self._judge_scalars(firm)
        self._bound(self.firm or {})

    def _judge_scalars(self, firm: Firm | None) -> None:
        self.on_string: Verdict | None = None
        self.on_number: Verdict | None = None
        self.on_truth: Verdict | None = None
        self.on_null: Verdict | None = None
        self.longest: int | None = None
        self.refused: frozenset[str] = frozenset()
        self.only_member = False
        if firm and firm.types:
            self.scalars = Scalars(firm.schema, firm.types, firm.labels, self._locations.uri, literal=self.strict)
            self.on_string, self.on_number = self.scalars.of_string(firm.schema), self.scalars.of_number()
            self.on_truth = self.scalars.of_truth()
            self.on_null = None if firm.nullable else self.scalars.of_null()
            self.longest = self.scalars.longest(firm.schema)
            self.only_member = self.scalars.only_member
            if self.strict:
                self.refused = frozenset(kind for kind, names in _KINDS.items() if firm.types.isdisjoint(names))

    def _bound(self, schema: Mapping[str, Json]) -> None:
        described = schema.get("properties") or {}
        self.required = frozenset(schema.get("required") or ())
        self.closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
        self.may_be_call = not set(described) >= HOLD_ARGUMENTS
        self.most_items = schema.get("maxItems")
        self.least_items = schema.get("minItems") or 0
        self.most_members = schema.get("maxProperties")
        self.folded = frozenset(folded(name) for name in _names_of(described)) if self.closed else frozenset()

    def is_absent_if_null(self, name: str) -> bool:
        """Whether null at this member says that it is left out: it may be absent, and may not be null."""
        member = self.members.get(name)
        if self.strict or self.firm is None or member is None or name in self.required:
            return False
        return bool(member.types) and not member.nullable and "null" not in member.types

    @property
    def is_object(self) -> bool:
        """Whether an object, and nothing else but null, is expected here."""
        return self._is("object")

    @property
    def is_list(self) -> bool:
        return self._is("array")

    def _is(self, kind: str) -> bool:
        return kind in self.types if self.strict else self.types - {"null"} == {kind}

    @property
    def is_scalar(self) -> bool:
        return bool(self.types) and self.types <= SCALARS

    def unfold(self) -> StreamLocation:
        """The same, with the locations of its parts: made when a value there begins, since schemas refer to themselves."""
        if not self.unfolded:
            self.unfolded = True
            properties: dict[str, list[Location]] = {}
            for name, location in (pair for part in self.parts for pair in part.properties.items()):
                properties.setdefault(name, []).append(location)
            self.members = {name: self._locations.of(*schemas) for name, schemas in properties.items()}
            self.additional = self._of(part.child("additionalProperties") for part in self.parts)
            self.items = self._of(part.rest for part in self.parts)
            prefixes = [part.prefix for part in self.parts]
            self.prefix = tuple(
                self._locations.of(*(prefix[number] for prefix in prefixes if number < len(prefix)))
                for number in range(max(map(len, prefixes), default=0))
            )
        return self

    def _of(self, schemas: Iterable[Location | None]) -> StreamLocation | None:
        """The location for a part that all these schemas may judge; None where none of them says more than yes or no."""
        known = [schema for schema in schemas if schema is not None and isinstance(schema.written, dict)]
        return self._locations.of(*known) if known else None

    @property
    def anything(self) -> StreamLocation:
        """A location of which the schema says nothing."""
        return self._locations.anything

    def item(self, number: int) -> StreamLocation:
        """The location of an item, counted from 0."""
        if number < len(self.prefix):
            return self.prefix[number]
        return self.items or self.anything


class Firm:
    """The one plain schema of a location, with the labels in it, and whether null is allowed instead."""

    __slots__ = ("labels", "nullable", "schema", "types")

    def __init__(self, passed: list[Location], nullable: bool) -> None:
        plain = passed[-1]
        self.schema, self.nullable = plain.keywords, nullable
        self.labels = [label for part in passed for label in _texts(part.keywords.get("x-aliases"))]
        self.types = _types(plain) | ({"null"} if nullable else set())


class StreamLocations:
    """The locations of one schema, made as replies reach them; several validators may share them.

    `strict_only`: a reply is judged by the letter of the schema, as is right where it is read without any repair.
    """

    def __init__(self, schema_json: Json, *, strict_only: bool = False) -> None:
        document = SchemaDocument(schema_json)
        self._made: dict[tuple[str, ...], StreamLocation] = {}
        self.strict_only = strict_only
        uri = schema_json.get("$schema") if isinstance(schema_json, dict) else None
        self.uri = uri if isinstance(uri, str) else LATEST.uri
        self.anything: Final = StreamLocation(self, (), None)
        self.root: Final = self.of(document.root)

    def of(self, *schemas: Location) -> StreamLocation:
        """The location of a value for which all of `schemas` may be meant."""
        key = tuple(schema.pointer for schema in schemas)
        if key not in self._made:
            firm = _firm(schemas[0]) if len(schemas) == 1 else None
            self._made[key] = StreamLocation(self, tuple(applied(schemas)), firm)
        return self._made[key]


def _firm(start: Location) -> Firm | None:
    """The plain schema that `start` leads to where it leads to one only."""
    location: Location | None = start
    passed: list[Location] = []
    nullable = False
    while location is not None and isinstance(location.written, dict) and len(passed) < _MOST_HOPS:
        passed.append(location)
        leading = [keyword for keyword in location.keywords if keyword in _LEADING]
        if not leading:
            return Firm(passed, nullable)
        if len(leading) > 1 or any(not _is_note(keyword) for keyword in location.keywords.keys() - leading):
            return None
        options = [location.referenced] if leading[0] == "$ref" else list(location.listed(leading[0]))
        others = [option for option in options if option is None or option.written != _NULL]
        nullable = nullable or len(others) < len(options)
        if len(others) != 1 or (leading[0] == "allOf" and len(options) > 1):
            return None
        location = others[0]
    return None


def is_of_calls(key: str) -> bool:
    """Whether an object with this key may be a tool call, whose arguments are the value."""
    return key in CALL_KEYS


def _types(location: Location) -> frozenset[str]:
    """The types a schema names, or those of the values it lists; empty where it does neither."""
    if "type" in location.keywords:
        return frozenset(location.types)
    return frozenset(_type_of(value) for value in location.enum or ())


def _type_of(value: Json) -> str:
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", dict: "object", list: "array"}
    return kinds.get(type(value), "null")


def _is_note(keyword: str) -> bool:
    return keyword in _NOTES or keyword.startswith("x-")


def _texts(aliases: Json) -> list[str]:
    """The texts in a small tree of lists and objects, keys too."""
    texts, left = [], [aliases]
    while left:
        part = left.pop()
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict | list):
            left += part
            left += part.values() if isinstance(part, dict) else ()
    return texts


def _names_of(described: Mapping[str, Json]) -> Iterator[str]:
    """The names of properties, and their aliases."""
    for name, schema in described.items():
        yield name
        yield from _texts(schema.get("x-aliases")) if isinstance(schema, dict) else ()
