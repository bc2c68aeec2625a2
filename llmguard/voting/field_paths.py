"""Checks that the fields of a vote are fields of the output schema: a misspelt pointer would compare nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.schema.keywords import as_pointer, as_tokens, from_fragment
from llmguard.schema.words import nearest
from llmguard.voting.self_consistency import SelfConsistency

MAX_SCHEMAS = 1000
"""Subschemas that are looked at for one level: bounds the work on schemas that refer to each other."""

_ALTERNATIVES = ("allOf", "anyOf", "oneOf")
_SINGLE = ("if", "then", "else")


def refuse_unknown_fields(consistency: SelfConsistency, schema: Json) -> None:
    """UsageError for the first pointer that names no property of `schema` (self-contained JSON Schema).

    >>> refuse_unknown_fields(SelfConsistency(fields={"/totl": "money"}), {"properties": {"total": {}}})
    Traceback (most recent call last):
    llmguard.core.errors.UsageError: fields: there is no '/totl' in the schema; '' has total. Is '/total' meant?
    """
    _refuse(consistency.comparators, schema, "fields")
    _refuse((pointer for group in consistency.groups for pointer in group), schema, "vote_together")


def _refuse(pointers: Iterable[str], schema: Json, where: str) -> None:
    for pointer in pointers:
        parents: Sequence[Json] = [schema]
        tokens = as_tokens(pointer)
        for depth, token in enumerate(tokens):
            properties = _property_schemas(parents, token, schema)
            if not properties:
                raise UsageError(_message(where, pointer, tokens[:depth], token, parents, schema))
            parents = properties


def _property_schemas(schemas: Sequence[Json], name: str, root: Json) -> list[Json]:
    """The schemas of property `name`; `True` where any property is possible; none where there is no such property."""
    matches: list[Json] = []
    closed = False
    for schema in _applied(schemas, root):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            closed = True
            matches += [properties[name]] if name in properties else []
        if any(keyword in schema for keyword in ("patternProperties", "$dynamicRef", "unevaluatedProperties")):
            matches.append(True)
        if isinstance(schema.get("additionalProperties"), dict):
            matches.append(schema["additionalProperties"])
        if "items" in schema or "prefixItems" in schema:
            closed = True
    return matches if matches or closed else [True]


def _applied(schemas: Sequence[Json], root: Json) -> Iterator[dict[str, Json]]:
    """All schemas that apply to one value, through references and alternatives, each once."""
    waiting, visited = list(schemas), set[int]()
    while waiting and len(visited) < MAX_SCHEMAS:
        schema = waiting.pop()
        if not isinstance(schema, dict) or id(schema) in visited:
            continue
        visited.add(id(schema))
        yield schema
        for keyword in _ALTERNATIVES:
            waiting += schema.get(keyword) or []
        waiting += [schema[keyword] for keyword in _SINGLE if keyword in schema]
        if isinstance(schema.get("$ref"), str):
            waiting.append(_target(root, schema["$ref"]))


def _target(root: Json, ref: str) -> Json:
    pointer = from_fragment(ref)
    if pointer is None:
        return {"patternProperties": {}}  # in another document: any property is possible
    target = root
    for token in as_tokens(pointer):
        if isinstance(target, dict):
            target = target.get(token)
        else:
            target = target[int(token)] if isinstance(target, list) else None
    return target


def _message(where: str, pointer: str, above: tuple[str, ...], token: str, parents: Sequence[Json], root: Json) -> str:
    applied = list(_applied(parents, root))
    names = sorted({name for schema in applied for name in schema.get("properties") or {}})
    at = as_pointer(above)
    if not names:
        return (
            f"{where}: there is no {pointer!r} in the schema; {at!r} is a list. Compare it as a whole, with"
            " list_of(key=..., fields=...) for its elements."
        )
    close = nearest(token, names)
    meant = f" Is {as_pointer((*above, close))!r} meant?" if close else ""
    return f"{where}: there is no {pointer!r} in the schema; {at!r} has {', '.join(names[:20])}.{meant}"
