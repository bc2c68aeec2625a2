"""What the branches of `anyOf` and `oneOf` are about: their types, their choices of values, what tells them apart."""

from __future__ import annotations

from collections.abc import Sequence

from llmguard.core.canonical import Json
from llmguard.schema.navigate import Location


def branch_types(branch: Location) -> list[str] | None:
    """The JSON types a branch admits, None where it does not say."""
    location = branch.resolved
    if not isinstance(location.schema, dict):
        return None if location.schema else []
    if "type" in location.keywords:
        return list(location.types)
    return None if location.enum is None else list(dict.fromkeys(json_types(option)[0] for option in location.enum))


def admits(branch: Location, value: Json) -> bool:
    """Whether a branch is for values of this type."""
    types = branch_types(branch)
    return types is None or any(name in types for name in json_types(value))


def branch_constants(branch: Location) -> list[Json] | None:
    """The values of a branch that is a mere choice of values."""
    return branch.resolved.enum


def discriminators(branches: Sequence[Location]) -> dict[str, list[list[Json]]]:
    """Properties that are a choice of values in every branch, with the values of each branch."""
    tables = [_constant_properties(branch) for branch in branches]
    return {name: [table[name] for table in tables] for name in tables[0] if all(name in table for table in tables)}


def _constant_properties(branch: Location) -> dict[str, list[Json]]:
    constants = {name: branch_constants(location) for name, location in branch.resolved.properties.items()}
    return {name: options for name, options in constants.items() if options is not None}


def branch_name(branch: Location) -> str:
    """The branch's title, else what it refers to, else where it is."""
    return str(branch.keywords.get("title") or branch.keywords.get("$ref") or f"#{branch.pointer}")


def json_types(value: Json) -> tuple[str, ...]:
    """The JSON types a value has; a whole number is an integer, however it is written.

    >>> json_types(1.0), json_types(True), json_types([])
    (('integer', 'number'), ('boolean',), ('array',))
    """
    if isinstance(value, bool):
        return ("boolean",)
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return ("integer", "number")
    names = ((float, "number"), (str, "string"), (dict, "object"), (list, "array"))
    return (next((name for python_type, name in names if isinstance(value, python_type)), "null"),)


def is_among(value: Json, options: list[Json]) -> bool:
    """Whether a scalar is one of these; 1 is not true."""
    return any(type(value) is type(option) and value == option for option in options)
