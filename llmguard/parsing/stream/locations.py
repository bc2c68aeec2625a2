"""What an output schema says at one place of a reply that is still being written: what streams, and what is refused.

Two questions are asked of the schema, and answered differently. Where does a text appear as it grows? There every
branch counts that may apply. What can no continuation mend? There only a place counts that has one plain schema: no
choice of branches, and no types but its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from llmguard.core.canonical import Json
from llmguard.parsing.stream.scalars import SCALARS, Refusal, Scalars, Verdict, folded
from llmguard.schema.keywords import LATEST, as_tokens, from_fragment

STREAMED = "x-stream"
_BRANCHES = ("allOf", "anyOf", "oneOf")
_LEADING = frozenset((*_BRANCHES, "$ref", "$dynamicRef", "$recursiveRef"))
"""What leads to another schema for the same value."""
_NOTES = frozenset(
    "title description default examples deprecated readOnly writeOnly $comment $schema $id $defs definitions".split()
)
_MOST_HOPS = 32
_NULL = {"type": "null"}
_OF_CALLS = frozenset(("name", "arguments", "parameters", "type", "id", "function", "tool"))
_OWN_OF_CALLS = _OF_CALLS - {"name", "type", "id"}
_KINDS = {"string": ("string",), "object": ("object",), "array": ("array",), "number": ("integer", "number"),
          "boolean": ("boolean",), "null": ("null",)}  # fmt: skip


class RunsOn:
    """One place of the schema.

    `firm` is its one plain schema, None where there is a choice. `on_string`, `on_number`, `on_truth`, `on_null` judge
    whole scalars there, None where nothing is refused; `longest` counts characters of a string that is being written.
    """

    __slots__ = (
        "_places",
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

    def __init__(self, places: Places, parts: tuple[Mapping[str, Json], ...], firm: Firm | None) -> None:
        self._places, self.parts = places, parts
        self.strict = places.strict_only
        self.streams = any(part.get(STREAMED) is True for part in parts)
        self.firm = firm.schema if firm else None
        self.types: frozenset[str] = firm.types if firm else frozenset()
        self.nullable = firm is not None and firm.nullable
        self.demanded: Refusal = ("type", self.firm.get("type") or sorted(self.types)) if self.firm else ("type", None)
        self.members: dict[str, RunsOn] = {}
        self.additional: RunsOn | None = None
        self.items: RunsOn | None = None
        self.prefix: tuple[RunsOn, ...] = ()
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
            self.scalars = Scalars(firm.schema, firm.types, firm.labels, self._places.uri, literal=self.strict)
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
        self.may_be_call = _OWN_OF_CALLS.isdisjoint(described)
        self.most_items = schema.get("maxItems")
        self.least_items = schema.get("minItems") or 0
        self.most_members = schema.get("maxProperties")
        self.folded = frozenset(folded(name) for name in _names_of(described)) if self.closed else frozenset()

    @property
    def is_object(self) -> bool:
        """Whether an object, and nothing else but null, is due here."""
        return self._is("object")

    @property
    def is_list(self) -> bool:
        return self._is("array")

    def _is(self, kind: str) -> bool:
        return kind in self.types if self.strict else self.types - {"null"} == {kind}

    @property
    def is_scalar(self) -> bool:
        return bool(self.types) and self.types <= SCALARS

    def unfold(self) -> RunsOn:
        """The same, with the places of its parts: made when a value there begins, since schemas refer to themselves."""
        if not self.unfolded:
            self.unfolded = True
            names = dict.fromkeys(name for part in self.parts for name in part.get("properties") or ())
            self.members = {name: self._places.of(*self._at("properties", name)) for name in names}
            self.additional = self._of("additionalProperties")
            self._unfold_items()
        return self

    def _unfold_items(self) -> None:
        rows = [
            row for part in self.parts for row in (part.get("prefixItems"), part.get("items")) if isinstance(row, list)
        ]
        self.prefix = tuple(
            self._places.of(*(row[number] for row in rows if number < len(row)))
            for number in range(max(map(len, rows), default=0))
        )
        rests = ["additionalItems" if isinstance(part.get("items"), list) else "items" for part in self.parts]
        found = [part[rest] for part, rest in zip(self.parts, rests, strict=True) if isinstance(part.get(rest), dict)]
        self.items = self._places.of(*found) if found else None

    def _of(self, keyword: str) -> RunsOn | None:
        found = [part[keyword] for part in self.parts if isinstance(part.get(keyword), dict)]
        return self._places.of(*found) if found else None

    def _at(self, keyword: str, name: str) -> Iterator[Json]:
        return (part[keyword][name] for part in self.parts if name in (part.get(keyword) or ()))

    @property
    def anything(self) -> RunsOn:
        """A place of which the schema says nothing."""
        return self._places.anything

    def item(self, number: int) -> RunsOn:
        """The place of an item, counted from 0."""
        if number < len(self.prefix):
            return self.prefix[number]
        return self.items or self.anything


class Firm:
    """The one plain schema of a place, with the labels that stand in it, and whether null may stand for all of it."""

    __slots__ = ("labels", "nullable", "schema", "types")

    def __init__(self, passed: list[Mapping[str, Json]], nullable: bool) -> None:
        self.schema, self.nullable = passed[-1], nullable
        self.labels = [label for part in passed for label in _texts(part.get("x-aliases"))]
        self.types = _types(self.schema) | ({"null"} if nullable else set())


class Places:
    """The places of one schema, made as replies reach them; several watchers may share them.

    `strict_only`: a reply is judged by the letter of the schema, as is right where it is read without any mending.
    """

    def __init__(self, schema_json: Json, *, strict_only: bool = False) -> None:
        self._schema = schema_json
        self._made: dict[tuple[int, ...], RunsOn] = {}
        self.strict_only = strict_only
        uri = schema_json.get("$schema") if isinstance(schema_json, dict) else None
        self.uri = uri if isinstance(uri, str) else LATEST.uri
        self.anything: Final = RunsOn(self, (), None)
        self.root: Final = self.of(schema_json)

    def of(self, *schemas: Json) -> RunsOn:
        """The place of a value for which all of `schemas` may be meant."""
        key = tuple(map(id, schemas))
        if key not in self._made:
            firm = self._firm(schemas[0]) if len(schemas) == 1 else None
            self._made[key] = RunsOn(self, tuple(self._parts(schemas)), firm)
        return self._made[key]

    def _parts(self, schemas: Iterable[Json]) -> Iterator[Mapping[str, Json]]:
        """Every schema that may judge the same value, once."""
        left = list(schemas)
        seen: set[int] = set()
        while left:
            part = left.pop(0)
            if not isinstance(part, dict) or id(part) in seen:
                continue
            seen.add(id(part))
            yield part
            left += [self._resolved(part["$ref"])] if "$ref" in part else []
            left += [branch for keyword in _BRANCHES for branch in part.get(keyword) or ()]

    def _firm(self, schema: Json) -> Firm | None:
        """The plain schema that `schema` leads to where it leads to one only."""
        passed: list[Mapping[str, Json]] = []
        nullable = False
        while isinstance(schema, dict) and len(passed) < _MOST_HOPS:
            passed.append(schema)
            leading = [keyword for keyword in schema if keyword in _LEADING]
            if not leading:
                return Firm(passed, nullable)
            if len(leading) > 1 or any(not _is_note(keyword) for keyword in schema.keys() - leading):
                return None
            options = self._options(leading[0], schema[leading[0]])
            nullable = nullable or _NULL in options
            left = [option for option in options if option != _NULL]
            if len(left) != 1 or (leading[0] == "allOf" and len(options) > 1):
                return None
            schema = left[0]
        return None

    def _options(self, keyword: str, given: Json) -> list[Json]:
        if keyword == "$ref":
            return [self._resolved(given)]
        return list(given) if keyword in _BRANCHES else []

    def _resolved(self, reference: Json) -> Json:
        """The subschema that a reference within the schema names; None for any other."""
        pointer = from_fragment(reference) if isinstance(reference, str) else None
        found = self._schema if pointer is not None else None
        for token in as_tokens(pointer or ""):
            if isinstance(found, list) and token.isdecimal() and int(token) < len(found):
                found = found[int(token)]
            else:
                found = found.get(token) if isinstance(found, dict) else None
        return found


def is_of_calls(key: str) -> bool:
    """Whether an object with this key may be a call of a tool, whose arguments are the value."""
    return key in _OF_CALLS


def _types(schema: Mapping[str, Json]) -> frozenset[str]:
    """The types a schema names, or those of the values it lists; empty where it does neither."""
    if "type" in schema:
        return frozenset([schema["type"]] if isinstance(schema["type"], str) else schema["type"])
    listed = [schema["const"]] if "const" in schema else schema.get("enum") or ()
    return frozenset(_type_of(value) for value in listed)


def _type_of(value: Json) -> str:
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", dict: "object", list: "array"}
    return kinds.get(type(value), "null")


def _is_note(keyword: str) -> bool:
    return keyword in _NOTES or keyword.startswith("x-")


def _texts(given: Json) -> list[str]:
    """The texts in a small tree of lists and objects, keys too."""
    found, left = [], [given]
    while left:
        part = left.pop()
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, dict | list):
            left += part
            left += part.values() if isinstance(part, dict) else ()
    return found


def _names_of(described: Mapping[str, Json]) -> Iterator[str]:
    """The names of properties, and their aliases."""
    for name, schema in described.items():
        yield name
        yield from _texts(schema.get("x-aliases")) if isinstance(schema, dict) else ()
