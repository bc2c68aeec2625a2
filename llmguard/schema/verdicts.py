"""Verdicts of jsonschema-rs on a schema and on each of its parts: whether a value fits there.

Every validator is made here, and none of them may fetch anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from llmguard.core.canonical import Json
from llmguard.schema.keywords import LATEST, draft_of
from llmguard.schema.navigate import Location, SchemaDocument

if TYPE_CHECKING:
    from jsonschema_rs import Validator, ValidatorMap

Formats: TypeAlias = Mapping[str, Callable[..., bool]]
"""Formats that are checked in another way than the standard's."""

COMPANIONS = {
    "minimum": "exclusiveMinimum",
    "maximum": "exclusiveMaximum",
    "contentMediaType": "contentEncoding",
}
"""Keywords that change the meaning of another one beside them: in draft 4 the bounds have a flag, and a media type is that
of the text after its encoding."""


def compiled(schema: Json, formats: Formats) -> Validator:
    """The validator of a whole schema. Raises what jsonschema-rs raises for one that it cannot compile."""
    import jsonschema_rs

    return jsonschema_rs.validator_for(schema, **_options(schema, formats))


def _options(schema: Json, formats: Formats) -> dict[str, Any]:
    """The same formats are asserted under every draft: what an older one did not know yet is checked as by the latest."""
    named = schema.get("$schema") if isinstance(schema, dict) else None
    draft = draft_of(named) if isinstance(named, str) else None
    later = _LATER_FORMATS.get(draft.name, ()) if draft else ()
    formats = {**{name: _format_check(name) for name in later}, **formats}
    return {"formats": formats or None, "validate_formats": True, "retriever": _deny}


@cache
def _format_check(name: str) -> Callable[[str], bool]:
    """The latest draft's check of a format."""
    import jsonschema_rs

    schema = {"$schema": LATEST.uri, "type": "string", "format": name}
    return jsonschema_rs.validator_for(schema, validate_formats=True).is_valid


_LATER_FORMATS = {
    "7": ("duration", "uuid"),
    "6": ("duration", "idn-hostname", "iri", "iri-reference", "relative-json-pointer", "uuid"),
    "4": (
        "duration", "idn-hostname", "iri", "iri-reference", "json-pointer", "relative-json-pointer", "uri-reference",
        "uri-template", "uuid",
    ),
}  # fmt: skip
"""Draft -> the formats of `FORMATS` that jsonschema-rs does not check under it (tests/schema/test_schema.py asks it)."""


def _deny(uri: str) -> Json:
    raise ValueError(f"{uri!r} is not part of the schema, and nothing is fetched")


def is_valid(validator: Validator, value: Json) -> bool:
    """jsonschema-rs raises ValueError for what it cannot convert: half a surrogate pair, and a value nested over 255
    levels where it would have to be compared with a constant."""
    try:
        return validator.is_valid(value)
    except ValueError:
        return False


def is_flag(keyword: str, schema: Mapping[str, Json]) -> bool:
    """Whether `keyword` is draft 4's flag beside a bound, which means nothing alone."""
    return keyword in COMPANIONS.values() and isinstance(schema[keyword], bool)


class Verdicts:
    """Verdicts on the parts of one self-contained schema. Keeps compiled validators, and nothing of a value."""

    def __init__(self, document: SchemaDocument, formats: Formats) -> None:
        self.document = document
        self.formats = formats
        self._map: ValidatorMap | None = None
        self._single: dict[tuple[str, str], Validator] = {}

    def fits(self, pointer: str, value: Json) -> bool:
        """Whether `value` fits the subschema there."""
        return is_valid(self._validator(pointer), value)

    def keeps(self, location: Location, keyword: str, value: Json) -> bool:
        """Whether `value` keeps one keyword of the schema there, whatever the others say."""
        return is_valid(self._alone(location.pointer, keyword, location.keywords), value)

    def matches(self, pattern: str, name: str) -> bool:
        """ECMA-262's verdict, which is not Python's `re`."""
        return is_valid(self._alone(f"pattern {pattern}", "pattern", {"pattern": pattern}), name)

    def unevaluated_properties(self, pointer: str, value: dict[str, Json]) -> list[str]:
        """The properties that no keyword of the schema there describes. Only for a value where all else fits: listing
        errors is expensive because of branches, and then there are none to list."""
        try:
            errors = list(islice(self._validator(pointer).iter_errors(value), 20))
        except ValueError:
            return []
        names = [name for error in errors for name in getattr(error.kind, "unexpected", ())]
        return [name for name in names if name in value]

    def _validator(self, pointer: str) -> Validator:
        if self._map is None:
            import jsonschema_rs

            self._map = jsonschema_rs.validator_map_for(
                self.document.schema, **_options(self.document.schema, self.formats)
            )
        return self._map["#" + pointer]

    def _alone(self, pointer: str, keyword: str, schema: Mapping[str, Json]) -> Validator:
        """The validator of one keyword, with the companion that it needs."""
        key = (pointer, keyword)
        if key not in self._single:
            needed = [name for name in (keyword, COMPANIONS.get(keyword)) if name in schema]
            alone = {"$schema": self.document.draft.uri, **{name: schema[name] for name in needed if name}}
            self._single[key] = compiled(alone, self.formats)
        return self._single[key]
