"""What a JSON Schema says at one place, gathered over `$ref` and `allOf`, for the reading of a value there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from llmguard.core.canonical import Json
from llmguard.core.patterns import Pattern
from llmguard.parsing.coerce.words import squeezed, words
from llmguard.schema.keywords import as_pointer, from_fragment, is_schema
from llmguard.schema.verdicts import Verdicts
from llmguard.values.numbers import Wanted

_TYPE_OF = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
_EMPTY: Mapping[str, Json] = MappingProxyType({})
_LEVELS: tuple[Callable[[str], str], ...] = (str, words, squeezed)
_WORD = Pattern(r"[^\W\d_]+|%")


class Node(NamedTuple):
    """One place of the schema; the places below it are named by their JSON Pointers.

    Empty `types` allow any. `members` is None where there is no enum; `labels` are other words for its members. `items`
    and `additional` are "" where no schema stands there.
    """

    types: frozenset[str] = frozenset()
    properties: Mapping[str, str] = _EMPTY
    required: frozenset[str] = frozenset()
    additional: str = ""
    items: str = ""
    prefix: tuple[str, ...] = ()
    members: tuple[Json, ...] | None = None
    labels: Mapping[str, Json] = _EMPTY
    format: str = ""
    branches: tuple[tuple[str, ...], ...] = ()
    wanted: Wanted = Wanted(False, frozenset())
    title: str = ""
    keys: tuple[Mapping[str, list[str]], ...] = ()

    def allows(self, value: Json) -> bool:
        """Whether values of this type may stand here at all."""
        kind = "null" if value is None else _TYPE_OF[type(value)]
        whole = kind == "number" and value.is_integer() and "integer" in self.types
        return not self.types or kind in self.types or (kind == "integer" and "number" in self.types) or whole

    def property_for(self, key: str) -> list[str]:
        """The properties that `key` may mean, by case, separators or alias."""
        cleaned = key.strip(" \t\r\n\"'`*“”:").replace("\\", "")
        for level, names in zip(_LEVELS, self.keys, strict=False):
            if found := names.get(level(cleaned)):
                return found
        return []


class Part(NamedTuple):
    """A schema that speaks of the place, and where it stands."""

    pointer: str
    schema: Mapping[str, Json]

    def below(self, *tokens: str) -> str:
        return self.pointer + as_pointer(tokens)


def node_of(verdicts: Verdicts, pointer: str, name: str) -> Node:
    """The node at `pointer`. `name`: the property that the value belongs to, which may name its unit."""
    parts = list(_parts(verdicts, pointer))
    first = {keyword: part for part in reversed(parts) for keyword in part.schema}
    properties = {
        key: part.below("properties", key) for part in reversed(parts) for key in part.schema.get("properties") or ()
    }
    members, labels = _members(parts)
    branches = tuple(_branches(parts))
    if members is None and len(branches) == 1:
        members, labels = _annotated([verdicts.schema(branch) for branch in branches[0]])
        branches = branches if members is None else ()
    types = _types(parts, members, bool(properties))
    said = {keyword: part.schema[keyword] for keyword, part in first.items()}
    prefix, items = _items(first)
    return Node(
        types=types,
        properties=properties,
        required=frozenset(key for part in parts for key in part.schema.get("required") or ()),
        additional=_additional(first),
        items=items,
        prefix=prefix,
        members=members,
        labels=labels,
        format=str(said.get("format", "")),
        branches=branches,
        wanted=_wanted(types, said, name),
        title=str(said.get("title", "")),
        keys=_keys({key: verdicts.schema(place) for key, place in properties.items()}),
    )


def _parts(verdicts: Verdicts, pointer: str) -> Iterator[Part]:
    """The schema and all that it is joined with: each once, so that a loop of references ends."""
    seen: set[str] = set()
    left = [pointer]
    while left:
        place = left.pop(0)
        schema = verdicts.schema(place)
        if place in seen or not isinstance(schema, dict):
            continue
        seen.add(place)
        yield Part(place, schema)
        target = from_fragment(schema["$ref"]) if "$ref" in schema else None
        if target is not None and target in verdicts.places:
            left.append(target)
        left += (place + as_pointer(("allOf", str(number))) for number in range(len(schema.get("allOf", ()))))


def _branches(parts: Iterable[Part]) -> Iterator[tuple[str, ...]]:
    for part in parts:
        for keyword in ("anyOf", "oneOf"):
            if part.schema.get(keyword):
                yield tuple(part.below(keyword, str(number)) for number in range(len(part.schema[keyword])))


def _items(first: Mapping[str, Part]) -> tuple[tuple[str, ...], str]:
    """The places of the first items, and of the others. Before 2020-12 both were called `items`."""
    positional = "prefixItems" if "prefixItems" in first else "items"
    part = first.get(positional)
    if part is None:
        return (), ""
    listed = part.schema[positional]
    if not isinstance(listed, list):
        return (), part.below("items")
    others = "items" if positional == "prefixItems" else "additionalItems"
    prefix = tuple(part.below(positional, str(number)) for number in range(len(listed)))
    return prefix, first[others].below(others) if others in first and is_schema(first[others].schema[others]) else ""


def _additional(first: Mapping[str, Part]) -> str:
    """The schema of properties that are not named; with patterns for names beside it nobody knows which one it is."""
    part = first.get("additionalProperties")
    if part is None or "patternProperties" in first or not isinstance(part.schema["additionalProperties"], dict):
        return ""
    return part.below("additionalProperties")


def _keys(properties: Mapping[str, Json]) -> tuple[Mapping[str, list[str]], ...]:
    """For each level of likeness: spelling -> the properties that are spelled so."""
    levels: tuple[dict[str, list[str]], ...] = ({}, {}, {})
    for name, schema in properties.items():
        for spelling in (name, *_aliases(schema)):
            for level, names in zip(_LEVELS, levels, strict=True):
                known = names.setdefault(level(spelling), [])
                if name not in known:
                    known.append(name)
    return levels


def _aliases(schema: Json) -> list[str]:
    given = schema.get("x-aliases") if isinstance(schema, dict) else None
    return [alias for alias in given if isinstance(alias, str)] if isinstance(given, list) else []


def _members(parts: Iterable[Part]) -> tuple[tuple[Json, ...] | None, Mapping[str, Json]]:
    """The enum of a place and its labels."""
    for part in parts:
        if "const" in part.schema:
            members: tuple[Json, ...] = (part.schema["const"],)
        elif isinstance(part.schema.get("enum"), list):
            members = tuple(part.schema["enum"])
        else:
            continue
        return members, _labels(part.schema, members)
    return None, {}


def _labels(schema: Mapping[str, Json], members: tuple[Json, ...]) -> dict[str, Json]:
    """`x-aliases` maps a member to its labels, or a label to its member; for one member it lists the labels."""
    given = schema.get("x-aliases")
    if isinstance(given, list) and len(members) == 1:
        return dict.fromkeys(_aliases(schema), members[0])
    labels: dict[str, Json] = {}
    for key, names in given.items() if isinstance(given, dict) else ():
        if isinstance(names, list):
            labels |= {name: key for name in names if isinstance(name, str) and key in members}
        elif isinstance(names, str) and key in members:
            labels[names] = key
        elif isinstance(names, str) and names in members:
            labels[key] = names
    return labels


def _annotated(options: list[Json]) -> tuple[tuple[Json, ...] | None, Mapping[str, Json]]:
    """`oneOf: [{const: "A", title: "Label"}, …]` is an enum with labels."""
    if not all(isinstance(one, dict) and isinstance(one.get("const", []), str | int | float | None) for one in options):
        return None, {}
    labels = {one["title"]: one["const"] for one in options if isinstance(one.get("title"), str)}
    for one in options:
        labels |= dict.fromkeys(_aliases(one), one["const"])
    return tuple(one["const"] for one in options), labels


def _types(parts: Iterable[Part], members: tuple[Json, ...] | None, properties: bool) -> frozenset[str]:
    types: frozenset[str] | None = None
    for part in parts:
        given = part.schema.get("type")
        own = frozenset([given] if isinstance(given, str) else given) if given else None
        types = own if types is None else types & own if own else types
    if types is None and members is not None:
        types = frozenset("null" if member is None else _TYPE_OF[type(member)] for member in members)
    if types is None and properties:
        types = frozenset(["object"])
    if types is None and any("items" in part.schema or "prefixItems" in part.schema for part in parts):
        types = frozenset(["array"])
    return types or frozenset()


def _wanted(types: frozenset[str], said: Mapping[str, Json], name: str) -> Wanted:
    unit = str(said.get("x-unit", ""))
    text = " ".join((words(name), str(said.get("title", "")), str(said.get("description", "")), unit))
    return Wanted("number" not in types, frozenset(found[0] for found in _WORD.finditer(text.lower())), unit)
