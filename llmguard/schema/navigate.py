"""The one walker of JSON Schemas: their locations, what is below each, and what applies to the same value.

A `Location` is a JSON Pointer and the schema there. `children`, `child`, `properties`, `prefix` and `rest` lead to the
schemas below it, `referenced` and `resolved` follow `$ref`, and `applied` gathers every schema for the same value.
Nothing here recurses, and each location is visited once, so that a cycle of references ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from llmguard.core.canonical import Json
from llmguard.schema.keywords import (
    ANY_DRAFT,
    CONTAINERS,
    LISTED,
    NAMED,
    SINGLE,
    Draft,
    as_pointer,
    as_step,
    as_tokens,
    from_fragment,
    is_schema,
)

MAX_HOPS = 32
"""References to references that `resolved` follows. No schema that a person writes has more in a row."""

ALTERNATIVES = ("anyOf", "oneOf")
COMBINATIONS = ("allOf", *ALTERNATIVES)
"""The keywords whose schemas judge the same value. So does `$ref`, which every walk follows."""

NO_KEYWORDS: Final[Mapping[str, Json]] = MappingProxyType({})


class SchemaDocument:
    """A self-contained schema, to be walked.

    With a `draft` the document is read as that draft reads it, and only what is a schema there has a location; these are
    made at once. Without one, the keywords of all drafts count, and any pointer into the document may be followed.
    """

    __slots__ = ("_index", "draft", "ref_stands_alone", "schema")

    def __init__(self, schema: Json, draft: Draft | None = None) -> None:
        self.schema, self.draft = schema, draft or ANY_DRAFT
        self.ref_stands_alone = self.draft.ref_stands_alone
        self._index: dict[str, Location] | None = None if draft is None else self._indexed()

    def _indexed(self) -> dict[str, Location]:
        """Every location by its pointer, the root first, then level by level."""
        index: dict[str, Location] = {}
        level = [Location(self, "", self.schema)]
        while level:
            index.update((location.pointer, location) for location in level)
            level = [child for location in level for _, child in location.children]
        return index

    @property
    def root(self) -> Location:
        return Location(self, "", self.schema) if self._index is None else self._index[""]

    @property
    def locations(self) -> Iterable[Location]:
        """Every location, the root first, then level by level."""
        return (self._indexed() if self._index is None else self._index).values()

    def at(self, pointer: str) -> Location | None:
        """The location of a JSON Pointer; None where there is no schema."""
        if self._index is not None:
            return self._index.get(pointer)
        schema = value_at(self.schema, as_tokens(pointer))
        return Location(self, pointer, schema) if is_schema(schema) else None

    def located(self, pointer: str, schema: Json) -> Location:
        """The location at `pointer`, where `schema` is known to be."""
        return Location(self, pointer, schema) if self._index is None else self._index[pointer]

    def follow(self, ref: Json) -> Location | None:
        """The location that a `$ref` refers to; None where it leads out of the document."""
        pointer = from_fragment(ref) if isinstance(ref, str) else None
        return None if pointer is None else self.at(pointer)


class Location:
    """A schema within a document, and where it is.

    `written` is the schema as the document has it; `schema` and `keywords` are what its draft reads of it: before 2019-09 a
    `$ref` is all there is. `keywords` is empty for `true` and `false`.
    """

    __slots__ = ("_children", "document", "keywords", "pointer", "written")

    def __init__(self, document: SchemaDocument, pointer: str, written: Json) -> None:
        self.document, self.pointer, self.written = document, pointer, written
        self._children: tuple[tuple[str, Location], ...] | None = None
        self.keywords: Mapping[str, Json] = NO_KEYWORDS
        if isinstance(written, dict):
            alone = document.ref_stands_alone and "$ref" in written
            self.keywords = {"$ref": written["$ref"]} if alone else written

    def __repr__(self) -> str:
        return f"Location({self.pointer!r})"

    @property
    def schema(self) -> Json:
        return self.keywords if isinstance(self.written, dict) else self.written

    # --- below

    @property
    def children(self) -> tuple[tuple[str, Location], ...]:
        """The schemas directly below this one, each with the keyword that holds it."""
        if self._children is None:
            self._children = tuple(
                (keyword, Location(self.document, self.pointer + as_pointer(tokens), schema))
                for keyword, tokens, schema in subschemas(self.written, self.document.draft)
            )
        return self._children

    def child(self, keyword: str, name: str = "") -> Location | None:
        """The schema below a keyword, or the one of that name among those below it; None where there is none."""
        if keyword not in self.document.draft.keywords:
            return None
        value, pointer = self.keywords.get(keyword), f"{self.pointer}/{keyword}"
        if keyword in NAMED:
            value, pointer = value.get(name) if isinstance(value, dict) else None, pointer + as_step(name)
        elif keyword not in SINGLE:
            return None
        return self.document.located(pointer, value) if is_schema(value) else None

    def listed(self, keyword: str) -> tuple[Location, ...]:
        """The schemas in the list of a keyword, such as `allOf`."""
        schemas = self.keywords.get(keyword)
        if not isinstance(schemas, list) or keyword not in self.document.draft.keywords:
            return ()
        start, located = f"{self.pointer}/{keyword}/", self.document.located
        return tuple(located(f"{start}{number}", schema) for number, schema in enumerate(schemas))

    # --- parts of the value

    @property
    def properties(self) -> dict[str, Location]:
        """The schemas of the properties that are named."""
        start, located = f"{self.pointer}/properties", self.document.located
        schemas = self.keywords.get("properties") or {}
        return {name: located(start + as_step(name), schema) for name, schema in schemas.items()}

    @property
    def prefix(self) -> tuple[Location, ...]:
        """The schemas of the first items, by position."""
        return self.listed(item_keywords(self.keywords)[0])

    @property
    def rest(self) -> Location | None:
        """The schema of the items after those of `prefix`."""
        return self.child(item_keywords(self.keywords)[1])

    # --- the same value

    @property
    def referenced(self) -> Location | None:
        """The location that `$ref` refers to."""
        return self.document.follow(self.keywords["$ref"]) if "$ref" in self.keywords else None

    @property
    def resolved(self) -> Location:
        """The location at the end of a row of references; this one where there is no `$ref`."""
        location = self
        for _ in range(MAX_HOPS):
            target = location.referenced
            if target is None:
                break
            location = target
        return location

    @property
    def branches(self) -> tuple[tuple[Location, ...], ...]:
        """The alternatives of `anyOf`, and those of `oneOf`."""
        return tuple(self.listed(keyword) for keyword in ALTERNATIVES if self.keywords.get(keyword))

    def same_value(self, keywords: Iterable[str]) -> Iterator[Location]:
        """The schemas directly below this one that judge the same value: by `$ref`, and by these keywords."""
        if (target := self.referenced) is not None:
            yield target
        for keyword in keywords:
            if keyword in self.keywords:
                child = self.child(keyword)
                yield from self.listed(keyword) if child is None else (child,)

    # --- what it says of the value

    @property
    def types(self) -> tuple[str, ...]:
        """The names of types that `type` lists; () where it is missing."""
        names = self.keywords.get("type", ())
        return (names,) if isinstance(names, str) else tuple(names)

    @property
    def enum(self) -> list[Json] | None:
        """The values that are allowed one by one: of `const`, else of `enum`; None where any value is."""
        if "const" in self.keywords:
            return [self.keywords["const"]]
        options = self.keywords.get("enum")
        return options if isinstance(options, list) else None


def applied(
    locations: Iterable[Location], keywords: Iterable[str] = COMBINATIONS, *, depth_first: bool = False
) -> Iterator[Location]:
    """These schemas and all that judge the same value with them, by `$ref` and `keywords`; each once.

    Level by level, or in the order in which a reader would meet them (`depth_first`). `true` and `false` are left out.
    """
    keywords = tuple(keywords)
    leading = frozenset((*keywords, "$ref"))
    waiting, known = deque(locations), set[str]()
    while waiting:
        location = waiting.popleft()
        if not isinstance(location.written, dict) or location.pointer in known:
            continue
        known.add(location.pointer)
        yield location
        if leading.isdisjoint(location.keywords):
            continue
        if depth_first:
            waiting.extendleft(reversed([*location.same_value(keywords)]))
        else:
            waiting.extend(location.same_value(keywords))


def item_keywords(schema: Mapping[str, Json]) -> tuple[str, str]:
    """The keyword for the first items of a list, and the one for the others: draft 2020-12 renamed both."""
    return ("items", "additionalItems") if isinstance(schema.get("items"), list) else ("prefixItems", "items")


def value_at(value: Json, tokens: Iterable[str]) -> Json:
    """The part of a JSON value at a path, by the rules of JSON Pointer; None where there is none."""
    for token in tokens:
        if isinstance(value, dict):
            value = value.get(token)
        elif isinstance(value, list) and token.isdecimal() and int(token) < len(value):
            value = value[int(token)]
        else:
            return None
    return value


def subschemas(schema: Json, draft: Draft) -> Iterator[tuple[str, tuple[str, ...], Json]]:
    """The schemas directly below `schema`, as (keyword, tokens of the pointer from there, schema)."""
    if not isinstance(schema, dict):
        return
    alone = draft.ref_stands_alone and "$ref" in schema
    for keyword, value in schema.items():
        if keyword in draft.keywords and (not alone or keyword in CONTAINERS):
            yield from ((keyword, tokens, inner) for tokens, inner in _held_by(keyword, value) if is_schema(inner))


def _held_by(keyword: str, value: Json) -> Iterator[tuple[tuple[str, ...], Json]]:
    if keyword in NAMED and isinstance(value, dict):
        yield from (((keyword, name), inner) for name, inner in value.items())
    elif keyword in LISTED and isinstance(value, list):
        yield from (((keyword, str(number)), inner) for number, inner in enumerate(value))
    elif keyword in SINGLE:
        yield (keyword,), value


def all_subschemas(root: Json, draft: Draft) -> dict[str, Json]:
    """Every schema in `root`, itself first, then level by level, by its JSON Pointer."""
    schemas: dict[str, Json] = {"": root}
    level = [("", root)]
    while level:
        level = [
            (pointer + as_pointer(tokens), inner)
            for pointer, schema in level
            for _, tokens, inner in subschemas(schema, draft)
        ]
        schemas.update(level)
    return schemas
