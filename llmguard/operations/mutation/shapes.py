"""What a JSON Schema says of one place of a value: every part of it that may apply there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from llmguard.core.canonical import Json, encode
from llmguard.schema.keywords import as_tokens, from_fragment

Parts: TypeAlias = tuple[dict[str, Json], ...]
"""The plain schemas that may apply at a place, references followed and branches opened."""

MAX_PARTS = 64
_BRANCHES = ("allOf", "anyOf", "oneOf")
_OTHERS = ("then", "else")
_MAPS = ("additionalProperties", "patternProperties")


class Shapes:
    """The places of one schema."""

    def __init__(self, root: Json) -> None:
        self._root = root

    def root(self) -> Parts:
        return self._flat([self._root])

    def member(self, parts: Parts, name: str) -> Parts:
        """The parts for a property of an object."""
        named = [part["properties"][name] for part in parts if name in part.get("properties", ())]
        return self._flat(named or [part.get("additionalProperties") for part in parts])

    def item(self, parts: Parts, number: int) -> Parts:
        """The parts for an item of a list."""
        found = []
        for part in parts:
            prefix = part.get("prefixItems") or (part["items"] if isinstance(part.get("items"), list) else [])
            found.append(prefix[number] if number < len(prefix) else part.get("items"))
        return self._flat(found)

    def _flat(self, schemas: list[Json]) -> Parts:
        found: list[dict[str, Json]] = []
        left = schemas[::-1]
        while left and len(found) < MAX_PARTS:
            schema = left.pop()
            if isinstance(schema, dict) and not any(schema is each for each in found):
                found.append(schema)
                left += [*self._led_to(schema)][::-1]
        return tuple(found)

    def _led_to(self, schema: dict[str, Json]) -> Iterator[Json]:
        if isinstance(schema.get("$ref"), str):
            yield self._target(schema["$ref"])
        for keyword in _BRANCHES:
            yield from schema.get(keyword, ())
        for keyword in _OTHERS:
            yield schema.get(keyword)

    def _target(self, ref: str) -> Json:
        at, pointer = self._root, from_fragment(ref)
        for token in () if pointer is None else as_tokens(pointer):
            if isinstance(at, list) and token.isdecimal() and int(token) < len(at):
                at = at[int(token)]
            else:
                at = at.get(token) if isinstance(at, dict) else None
        return None if pointer is None else at


def choices(parts: Parts, value: Json) -> list[Json]:
    """The other members of the choice that `value` was taken from; none where it stands in no `enum` and no `const`."""
    named = [each for part in parts for each in (*part.get("enum", ()), *([part["const"]] if "const" in part else ()))]
    known = {encode(each): each for each in named}
    if known.pop(encode(value), _NONE) is _NONE:
        return []
    return list(known.values())


_NONE = object()


def wants_whole_number(parts: Parts) -> bool:
    types = {name for part in parts for name in _types(part)}
    return "integer" in types and "number" not in types


def is_set(parts: Parts) -> bool:
    """Whether the order of a list's items is nobody's."""
    return any(part.get("uniqueItems") is True for part in parts)


def is_declared(parts: Parts, name: str) -> bool:
    """Whether a property has a name of the schema's; else its name is data, as in a map from names to amounts."""
    if any(name in part.get("properties", ()) for part in parts):
        return True
    return not any(isinstance(part.get(keyword), dict) for part in parts for keyword in _MAPS)


def _types(part: dict[str, Json]) -> list[str]:
    given = part.get("type", ())
    return [given] if isinstance(given, str) else list(given)
