"""What the branches of `anyOf` and `oneOf` are about: their types, their choices of values, what tells them apart."""

from __future__ import annotations

from llmguard.core.canonical import Json
from llmguard.schema.keywords import as_pointer
from llmguard.schema.verdicts import Verdicts
from llmguard.schema.words import as_list


def types_of_branch(verdicts: Verdicts, branch: str) -> list[str] | None:
    """The JSON types a branch admits, None where it does not say."""
    schema = verdicts.schema(verdicts.target(branch))
    if not isinstance(schema, dict):
        return None if schema else []
    if "type" in schema:
        return as_list(schema["type"])
    constants = constants_of(verdicts, branch)
    return None if constants is None else list(dict.fromkeys(types_of(option)[0] for option in constants))


def admits(verdicts: Verdicts, branch: str, value: Json) -> bool:
    """Whether a branch is for values of this type."""
    types = types_of_branch(verdicts, branch)
    return types is None or any(name in types for name in types_of(value))


def constants_of(verdicts: Verdicts, branch: str) -> list[Json] | None:
    """The values of a branch that is a mere choice of values."""
    schema = verdicts.schema(verdicts.target(branch))
    if not isinstance(schema, dict):
        return None
    if "const" in schema:
        return [schema["const"]]
    return as_list(schema["enum"]) if "enum" in schema else None


def discriminators(verdicts: Verdicts, branches: list[str]) -> dict[str, list[list[Json]]]:
    """Properties that are a choice of values in every branch, with the values of each branch."""
    tables = [_constant_properties(verdicts, branch) for branch in branches]
    return {name: [table[name] for table in tables] for name in tables[0] if all(name in table for table in tables)}


def _constant_properties(verdicts: Verdicts, branch: str) -> dict[str, list[Json]]:
    target = verdicts.target(branch)
    schema = verdicts.schema(target)
    names = schema.get("properties", {}) if isinstance(schema, dict) else {}
    constants = {name: constants_of(verdicts, target + as_pointer(("properties", name))) for name in names}
    return {name: options for name, options in constants.items() if options is not None}


def name_of(verdicts: Verdicts, branch: str) -> str:
    """The branch's title, else what it refers to, else where it stands."""
    schema = verdicts.schema(branch)
    said = (schema.get("title") or schema.get("$ref")) if isinstance(schema, dict) else None
    return str(said or f"#{branch}")


def types_of(value: Json) -> tuple[str, ...]:
    """The JSON types a value has; a whole number is an integer, however it is written.

    >>> types_of(1.0), types_of(True), types_of([])
    (('integer', 'number'), ('boolean',), ('array',))
    """
    if isinstance(value, bool):
        return ("boolean",)
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return ("integer", "number")
    kinds = ((float, "number"), (str, "string"), (dict, "object"), (list, "array"))
    return (next((name for kind, name in kinds if isinstance(value, kind)), "null"),)


def among(value: Json, options: list[Json]) -> bool:
    """Whether a scalar is one of these; 1 is not true."""
    return any(type(value) is type(option) and value == option for option in options)
