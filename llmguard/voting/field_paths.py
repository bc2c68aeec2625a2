"""Checks that the fields of a vote are fields of the output schema: a misspelt pointer would compare nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.schema.keywords import as_pointer, as_tokens, from_fragment
from llmguard.schema.navigate import COMBINATIONS, Location, SchemaDocument, applied
from llmguard.schema.words import nearest
from llmguard.voting.self_consistency import SelfConsistency

MAX_SCHEMAS = 1000
"""Subschemas that are looked at for one level: bounds the work on schemas that refer to each other."""

_KEYWORDS = (*COMBINATIONS, "if", "then", "else")
_ANY_NAME = ("patternProperties", "$dynamicRef", "unevaluatedProperties")
"""Keywords beside which any property may be meant."""


def refuse_unknown_fields(consistency: SelfConsistency, schema: Json) -> None:
    """UsageError for the first pointer that names no property of `schema` (self-contained JSON Schema).

    >>> refuse_unknown_fields(SelfConsistency(fields={"/totl": "money"}), {"properties": {"total": {}}})
    Traceback (most recent call last):
    llmguard.core.errors.UsageError: fields: there is no '/totl' in the schema; '' has total. Is '/total' meant?
    """
    root = SchemaDocument(schema).root
    _refuse(consistency.comparators, root, "fields")
    _refuse((pointer for group in consistency.groups for pointer in group), root, "vote_together")


def _refuse(pointers: Iterable[str], root: Location, where: str) -> None:
    for pointer in pointers:
        schemas = _applicable([root])
        tokens = as_tokens(pointer)
        for depth, token in enumerate(tokens):
            properties = _property_schemas(schemas, token)
            if not properties and not _may_be_any_name(schemas):
                raise UsageError(_message(where, pointer, tokens[:depth], token, schemas))
            schemas = _applicable(properties)


def _applicable(locations: Iterable[Location]) -> list[Location]:
    """All schemas that apply to one part of a value, through references and alternatives."""
    return list(islice(applied(locations, _KEYWORDS), MAX_SCHEMAS))


def _property_schemas(schemas: Sequence[Location], name: str) -> list[Location]:
    """The schemas of property `name`, and those of the properties that are not named."""
    below = [location for schema in schemas if (location := schema.child("properties", name)) is not None]
    others = [location for schema in schemas if (location := schema.child("additionalProperties")) is not None]
    return below + [location for location in others if isinstance(location.written, dict)]


def _may_be_any_name(schemas: Sequence[Location]) -> bool:
    """Whether a property may be meant that no schema names: one that is matched, or of a value that is not described."""
    if any(keyword in schema.keywords for schema in schemas for keyword in _ANY_NAME):
        return True
    if any(isinstance(ref := schema.keywords.get("$ref"), str) and from_fragment(ref) is None for schema in schemas):
        return True  # it refers out of the schema
    return not any(
        keyword in schema.keywords for schema in schemas for keyword in ("properties", "items", "prefixItems")
    )


def _message(where: str, pointer: str, above: tuple[str, ...], token: str, schemas: Sequence[Location]) -> str:
    names = sorted({name for schema in schemas for name in schema.keywords.get("properties") or {}})
    at = as_pointer(above)
    if not names:
        return (
            f"{where}: there is no {pointer!r} in the schema; {at!r} is a list. Compare it as a whole, with"
            " list_of(key=..., fields=...) for its elements."
        )
    close = nearest(token, names)
    meant = f" Is {as_pointer((*above, close))!r} meant?" if close else ""
    return f"{where}: there is no {pointer!r} in the schema; {at!r} has {', '.join(names[:20])}.{meant}"
