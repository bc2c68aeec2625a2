"""What a schema says of one part of a value: every schema that may apply there, whichever branch the value takes.

A caller starts at `root_schemas` and goes down with the value, by `property_schemas` and `item_schemas`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final, TypeAlias

from llmguard.core.canonical import Json, encode
from llmguard.schema.navigate import COMBINATIONS, Location, SchemaDocument, applied

Schemas: TypeAlias = tuple[Location, ...]
"""The schemas that may apply, references followed and branches opened."""

MAX_SCHEMAS = 64
"""Of one part of a value. More need very large unions; the rest is left out."""

_MAPS = ("additionalProperties", "patternProperties")


def root_schemas(document: SchemaDocument) -> Schemas:
    """The schemas for the whole value."""
    return _applicable([document.root])


def property_schemas(schemas: Schemas, name: str) -> Schemas:
    """The schemas for a property of an object: those of its name, else those of all other names."""
    named = [schema.child("properties", name) for schema in schemas]
    others = (schema.child("additionalProperties") for schema in schemas)
    return _applicable(named if any(each is not None for each in named) else others)


def item_schemas(schemas: Schemas, number: int) -> Schemas:
    """The schemas for an item of a list, counted from 0."""
    prefixes = [schema.prefix for schema in schemas]
    return _applicable(
        prefix[number] if number < len(prefix) else schema.child("items")
        for schema, prefix in zip(schemas, prefixes, strict=True)
    )


def _applicable(locations: Iterable[Location | None]) -> Schemas:
    start = [location for location in locations if location is not None]
    return tuple(islice(applied(start, (*COMBINATIONS, "then", "else"), depth_first=True), MAX_SCHEMAS))


def other_choices(schemas: Schemas, value: Json) -> list[Json]:
    """The other members of the choice that `value` is from; none where it is in no `enum` and no `const`."""
    keywords = [schema.keywords for schema in schemas]
    options = [each for own in keywords for each in (*own.get("enum", ()), *([own["const"]] if "const" in own else ()))]
    known = {encode(option): option for option in options}
    if known.pop(encode(value), _NONE) is _NONE:
        return []
    return list(known.values())


_NONE: Final = object()


def wants_whole_number(schemas: Schemas) -> bool:
    types = {name for schema in schemas for name in schema.types}
    return "integer" in types and "number" not in types


def is_set(schemas: Schemas) -> bool:
    """Whether the order of a list's items says nothing."""
    return any(schema.keywords.get("uniqueItems") is True for schema in schemas)


def is_declared(schemas: Schemas, name: str) -> bool:
    """Whether the schema names a property; else its name is data, as in a map from names to amounts."""
    if any(name in schema.keywords.get("properties", ()) for schema in schemas):
        return True
    return not any(isinstance(schema.keywords.get(keyword), dict) for schema in schemas for keyword in _MAPS)
