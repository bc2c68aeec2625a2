"""What a JSON Schema says at one location, gathered over `$ref` and `allOf`, for the coercion of a value there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from llmguard.core.canonical import Json
from llmguard.schema.navigate import Location, SchemaDocument, applied, item_keywords
from llmguard.values.numbers import ExpectedNumber, currencies_mentioned, field_units, unit_word
from llmguard.values.words import LIKENESS, bare_name, normalized_words

_TYPE_OF = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
_EMPTY: Mapping[str, Json] = MappingProxyType({})


class Node(NamedTuple):
    """One location of the schema; those below it are given by their JSON Pointers.

    Empty `types` allow any. `members` is None where there is no enum; `labels` are other words for its members. `items`
    and `additional` are "" where there is no schema for them. `is_closed`: no other properties are allowed.
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
    expected_number: ExpectedNumber = ExpectedNumber(False)
    title: str = ""
    is_closed: bool = False
    keys: tuple[Mapping[str, list[str]], ...] = ()

    def allows(self, value: Json) -> bool:
        """Whether values of this type are allowed here at all."""
        kind = "null" if value is None else _TYPE_OF[type(value)]
        whole = kind == "number" and value.is_integer() and "integer" in self.types
        return not self.types or kind in self.types or (kind == "integer" and "number" in self.types) or whole

    def property_for(self, key: str) -> list[str]:
        """The properties that `key` may mean, by their likeness (`values.words`) or by an alias."""
        cleaned = bare_name(key)
        if (
            not self.keys or LIKENESS[-1](cleaned) not in self.keys[-1]
        ):  # the widest likeness: what differs there differs everywhere
            return []
        for level, names in zip(LIKENESS, self.keys, strict=False):
            if properties := names.get(level(cleaned)):
                return properties
        return []


def node_of(document: SchemaDocument, pointer: str, name: str) -> Node:
    """The node at `pointer`. `name`: the property that the value belongs to, which may name its unit."""
    start = document.at(pointer)
    parts = list(applied([start], ("allOf",))) if start is not None else []
    first = {keyword: part for part in reversed(parts) for keyword in part.keywords}
    properties = {name: location for part in reversed(parts) for name, location in part.properties.items()}
    members, labels = _members(parts)
    branches = [group for part in parts for group in part.branches]
    if members is None and len(branches) == 1:
        members, labels = _annotated(branches[0])
        branches = branches if members is None else []
    types = _types(parts, members, bool(properties))
    keywords = {keyword: part.keywords[keyword] for keyword, part in first.items()}
    prefix, items = _items(first, item_keywords(keywords))
    return Node(
        types=types,
        properties={name: location.pointer for name, location in properties.items()},
        required=frozenset(key for part in parts for key in part.keywords.get("required") or ()),
        additional=_additional(first),
        items=items,
        prefix=prefix,
        members=members,
        labels=labels,
        format=str(keywords.get("format", "")),
        branches=tuple(tuple(branch.pointer for branch in group) for group in branches),
        expected_number=_expected_number(types, keywords, name),
        title=str(keywords.get("title", "")),
        is_closed=_is_closed(keywords),
        keys=_keys({name: location.schema for name, location in properties.items()}),
    )


def _items(first: Mapping[str, Location], holders: tuple[str, str]) -> tuple[tuple[str, ...], str]:
    """The pointers of the schemas of the first items, and of the others. Before 2020-12 both were called `items`."""
    by_position, for_the_rest = holders
    prefix = first[by_position].listed(by_position) if by_position in first else ()
    rest = first[for_the_rest].child(for_the_rest) if for_the_rest in first else None
    return tuple(location.pointer for location in prefix), "" if rest is None else rest.pointer


def _additional(first: Mapping[str, Location]) -> str:
    """The schema of properties that are not named; with patterns for names beside it it is not known which one applies."""
    part = first.get("additionalProperties")
    if part is None or "patternProperties" in first or not isinstance(part.keywords["additionalProperties"], dict):
        return ""
    location = part.child("additionalProperties")
    return "" if location is None else location.pointer


def _is_closed(keywords: Mapping[str, Json]) -> bool:
    closing = ("additionalProperties", "unevaluatedProperties")
    return "patternProperties" not in keywords and any(keywords.get(keyword) is False for keyword in closing)


def _keys(properties: Mapping[str, Json]) -> tuple[Mapping[str, list[str]], ...]:
    """For each level of likeness: a spelling -> the properties that are spelled like that."""
    levels: tuple[dict[str, list[str]], ...] = tuple({} for _ in LIKENESS)
    for name, schema in properties.items():
        for spelling in (name, *_aliases(schema)):
            for level, names in zip(LIKENESS, levels, strict=True):
                known = names.setdefault(level(spelling), [])
                if name not in known:
                    known.append(name)
    return levels


def _aliases(schema: Json) -> list[str]:
    aliases = schema.get("x-aliases") if isinstance(schema, dict) else None
    return [alias for alias in aliases if isinstance(alias, str)] if isinstance(aliases, list) else []


def _members(parts: Iterable[Location]) -> tuple[tuple[Json, ...] | None, Mapping[str, Json]]:
    """The enum of a location and its labels."""
    for part in parts:
        if (options := part.enum) is not None:
            members = tuple(options)
            return members, _labels(part.keywords, members)
    return None, {}


def _labels(schema: Mapping[str, Json], members: tuple[Json, ...]) -> dict[str, Json]:
    """`x-aliases` maps a member to its labels, or a label to its member; for one member it lists the labels."""
    aliases = schema.get("x-aliases")
    if isinstance(aliases, list) and len(members) == 1:
        return dict.fromkeys(_aliases(schema), members[0])
    labels: dict[str, Json] = {}
    for key, names in aliases.items() if isinstance(aliases, dict) else ():
        if isinstance(names, list):
            labels |= {name: key for name in names if isinstance(name, str) and key in members}
        elif isinstance(names, str) and key in members:
            labels[names] = key
        elif isinstance(names, str) and names in members:
            labels[key] = names
    return labels


def _annotated(branches: Iterable[Location]) -> tuple[tuple[Json, ...] | None, Mapping[str, Json]]:
    """`oneOf: [{const: "A", title: "Label"}, …]` is an enum with labels."""
    options = [branch.schema for branch in branches]
    if not all(isinstance(one, dict) and isinstance(one.get("const", []), str | int | float | None) for one in options):
        return None, {}
    labels = {one["title"]: one["const"] for one in options if isinstance(one.get("title"), str)}
    for one in options:
        labels |= dict.fromkeys(_aliases(one), one["const"])
    return tuple(one["const"] for one in options), labels


def _types(parts: Iterable[Location], members: tuple[Json, ...] | None, properties: bool) -> frozenset[str]:
    types: frozenset[str] | None = None
    for part in parts:
        own = frozenset(part.types)
        types = types if not own else own if types is None else types & own
    if types is None and members is not None:
        types = frozenset("null" if member is None else _TYPE_OF[type(member)] for member in members)
    if types is None and properties:
        types = frozenset(["object"])
    if types is None and any("items" in part.keywords or "prefixItems" in part.keywords for part in parts):
        types = frozenset(["array"])
    return types or frozenset()


def _expected_number(types: frozenset[str], keywords: Mapping[str, Json], name: str) -> ExpectedNumber:
    unit, words = str(keywords.get("x-unit", "")).strip(), normalized_words(name)
    about = f"{keywords.get('title', '')} {keywords.get('description', '')}"
    return ExpectedNumber(
        integer="number" not in types,
        units=field_units(words, unit),
        unit_texts=unit_word(unit or words.rpartition(" ")[2]),
        mentioned=currencies_mentioned(about),
    )
