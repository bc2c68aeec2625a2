"""Scalars that are refused at one location of a schema, whatever the final reading repairs.

The final reading takes "12.50" for a number, "Yes" for true, "billing." for BILLING and 7 for "7". So a scalar of the
wrong type, or one that is not in an enum, is refused here only where no repair can make it valid; in doubt it passes,
and the final reading judges it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from llmguard.core.canonical import Json
from llmguard.schema.alternatives import json_types
from llmguard.schema.verdicts import compiled, is_valid

Refusal: TypeAlias = tuple[str, Json]
"""The keyword that is broken, and its value in the schema."""
Verdict: TypeAlias = Callable[[Json, str], Refusal | None]
"""Judges a complete scalar by its value and its text; returns what it breaks."""

NUMERIC = frozenset(("integer", "number"))
SCALARS = NUMERIC | {"string", "boolean", "null"}
_BOUNDS = ("multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum")
_KEYWORDS = ("type", "enum", "const", *_BOUNDS, "maxLength", "minLength", "pattern")
# A text of a few letters may mean "nothing" (N/A, not given, keine), which is null where null is allowed.
_LONGEST_NOTHING = 24
_LONGEST_NUMBER = 300
"""The reading takes no longer text for a number or a truth value; its own bound is 80."""
_TRUTHS = frozenset(
    "true false yes no y n t f on off 1 0 ja nein oui non si sí wahr falsch enabled disabled positive negative".split()
)
_BRACKETS = "{[(=:<`"


class Scalars:
    """Verdicts at one location. `only_member` is whether an object there has one property, which a bare value may fill."""

    __slots__ = ("_alone", "_folded", "_literal", "_nothing", "_schema", "_types", "_uri", "_validator", "only_member")

    def __init__(
        self, schema: Mapping[str, Json], types: frozenset[str], labels: Iterable[str], uri: str, *, literal: bool
    ) -> None:
        self._uri, self._literal = uri, literal
        self._schema = {keyword: schema[keyword] for keyword in _KEYWORDS if keyword in schema}
        for flag in ("exclusiveMaximum", "exclusiveMinimum"):  # of draft 4, where a bound has a flag beside it
            if schema.get(flag) is True and flag[9:].lower() not in schema:
                del self._schema[flag]
        self._types = types - {"null"}
        self._nothing = "null" in types
        members = [member for member in self.members or () if isinstance(member, str)]
        self._folded = {folded(name) for name in (*members, *labels)}
        self.only_member = len(schema.get("properties", ())) == 1
        self._validator: Json = None
        self._alone: dict[str, Json] = {}

    @property
    def members(self) -> list[Json] | None:
        """The allowed values; None where they are not listed."""
        return [self._schema["const"]] if "const" in self._schema else self._schema.get("enum")

    # --- which verdicts there are

    def of_string(self, schema: Mapping[str, Json]) -> Verdict | None:
        types = self._types
        if not types or self._takes_any("string"):
            return None
        if self._literal:
            return self.by_the_letter
        if types == {"string"}:
            if "format" in schema:  # a date may be written in words, and become shorter
                return None
            if self.members is not None:
                return self._no_member
            return self._no_text if {"maxLength", "minLength", "pattern"} & self._schema.keys() else None
        if types <= NUMERIC:
            return self._no_number_in_text
        return {frozenset(("boolean",)): self._no_truth_in_text, frozenset(("object",)): self._no_object_in_text}.get(
            types
        )

    def of_number(self) -> Verdict | None:
        types = self._types
        if not types or self._takes_any("number"):
            return None
        if self._literal or types <= NUMERIC:
            return self.by_the_letter
        if types == {"string"}:
            return self._no_member if self._only_words() else None
        if types == {"boolean"}:
            return self._no_truth_in_number
        return None if self.only_member or types != {"object"} else self.by_the_letter

    def of_truth(self) -> Verdict | None:
        types = self._types
        if not types or self._takes_any("boolean"):
            return None
        right = types <= NUMERIC or types == {"boolean"} or (types == {"object"} and not self.only_member)
        return self.by_the_letter if self._literal or right else None

    def of_null(self) -> Verdict | None:
        return self.by_the_letter if self._types and not (self._nothing and self._takes_any()) else None

    def _takes_any(self, kind: str = "") -> bool:
        """Whether the schema demands only a type."""
        return self._schema.keys() <= {"type"} and (not kind or kind in self._types)

    def longest(self, schema: Mapping[str, Json]) -> int | None:
        """Characters of a string up to which nothing can be said of it while it is being written."""
        types = self._types
        if self._literal:
            return schema.get("maxLength") if "string" in types and isinstance(schema.get("maxLength"), int) else None
        if types == {"string"} and "format" not in schema:
            if self._only_words():
                return 2 * max(map(len, self._folded), default=0) + 100
            most = schema.get("maxLength")
            return max(most, _LONGEST_NOTHING if self._nothing else 0) if isinstance(most, int) else None
        return _LONGEST_NUMBER if types and types <= NUMERIC | {"boolean"} else None

    # --- the verdicts

    def by_the_letter(self, value: Json, text: str) -> Refusal | None:
        """The verdict of JSON Schema."""
        if self._fits(value):
            return None
        return next(
            ((keyword, self._schema[keyword]) for keyword in self._schema if self._breaks(keyword, value)), None
        )

    def too_long(self, text: str) -> Refusal | None:
        """A string that is still being written, and longer than `longest`."""
        limit = self._schema.get("maxLength")
        if self._types == {"string"} or self._literal:
            if self._only_words() and not self._literal:
                return "enum", self.members
            return ("maxLength", limit) if limit is not None and len(text) > limit else None
        return ("type", self._schema.get("type", sorted(self._types))) if len(text.strip()) > _LONGEST_NUMBER else None

    def _no_text(self, value: Json, text: str) -> Refusal | None:
        short = "minLength" in self._schema and len(text) <= _LONGEST_NOTHING  # "-" may come to mean that there is none
        return None if short or self._may_be_nothing(text) else self.by_the_letter(value, text)

    def _no_member(self, value: Json, text: str) -> Refusal | None:
        if not self._only_words() or self._fits(value) or (self._nothing and len(text) <= _LONGEST_NOTHING):
            return None
        letters = folded(text)
        return None if any(name in letters for name in self._folded) or not letters else ("enum", self.members)

    def _no_number_in_text(self, value: Json, text: str) -> Refusal | None:
        if self._may_be_nothing(text) or any(sign.isnumeric() for sign in text):
            return None
        return self.by_the_letter(value, text)

    def _no_truth_in_text(self, value: Json, text: str) -> Refusal | None:
        words = "".join(sign if sign.isalnum() else " " for sign in text.casefold()).split()
        if self._may_be_nothing(text) or not words or not _TRUTHS.isdisjoint(words):
            return None
        return self.by_the_letter(value, text)

    def _no_object_in_text(self, value: Json, text: str) -> Refusal | None:
        if self.only_member or self._may_be_nothing(text) or any(sign in text for sign in _BRACKETS):
            return None
        return self.by_the_letter(value, text)

    def _no_truth_in_number(self, value: Json, text: str) -> Refusal | None:
        return None if value in (0, 1) else self.by_the_letter(value, text)

    def _may_be_nothing(self, text: str) -> bool:
        return not text.strip() or (self._nothing and len(text) <= _LONGEST_NOTHING)

    def _only_words(self) -> bool:
        """Whether the allowed values are listed, and are strings, except for null."""
        members = self.members
        return bool(members) and all(member is None or isinstance(member, str) for member in members or ())

    # --- jsonschema-rs

    def _fits(self, value: Json) -> bool:
        if self._validator is None:
            self._validator = self._compiled(self._schema)
        return self._validator is False or is_valid(self._validator, value)

    def _breaks(self, keyword: str, value: Json) -> bool:
        if keyword == "type":
            demanded = self._schema["type"]
            return not set(json_types(value)) & set([demanded] if isinstance(demanded, str) else demanded)
        if keyword not in self._alone:
            flag = "exclusive" + keyword.capitalize()
            own = {name: self._schema[name] for name in (keyword, flag) if name in self._schema}
            self._alone[keyword] = self._compiled(own)
        return self._alone[keyword] is not False and not is_valid(self._alone[keyword], value)

    def _compiled(self, schema: Mapping[str, Json]) -> Json:
        """False where it cannot be compiled: then nothing is refused for it."""
        try:
            return compiled({"$schema": self._uri, **schema}, {})
        except Exception:  # jsonschema-rs has several kinds, of which some are no ValueError
            return False


def folded(text: str) -> str:
    """A name by its letters and digits only: what case, separators and marks may differ in.

    >>> folded("In-Progress."), folded("in_progress")
    ('inprogress', 'inprogress')
    """
    return "".join(sign for sign in text.casefold() if sign.isalnum())
