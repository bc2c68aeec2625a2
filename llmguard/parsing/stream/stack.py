"""An object or a list that is still being written, and what is known of it already."""

from __future__ import annotations

from typing import Final

from llmguard.core.canonical import Json
from llmguard.core.outcome import Violation
from llmguard.parsing.stream.locations import StreamLocation, is_of_calls
from llmguard.parsing.stream.scalars import SCALARS, Refusal, folded
from llmguard.schema.words import brief, clause, clipped, hint

MISSING: Final = object()


class StreamFrame:
    """An open container.

    `shown`: it is part of the value that is visible. `child` is the location of the next entry, `key` its name or number,
    `twice` the value of an earlier member of that name. `sure`: what is refused in the next entry is refused by the final
    reading too; for that every container around it must be what it looks like. `firm`: `sure` may become true here, since
    only its keys distinguish a wrapper or a tool call from the value.
    """

    __slots__ = (
        "child",
        "closer",
        "firm",
        "foreign",
        "is_list",
        "is_root",
        "key",
        "location",
        "only_calls",
        "shown",
        "stranger",
        "sure",
        "twice",
        "value",
    )

    def __init__(self, location: StreamLocation, *, is_list: bool, sure: bool, is_root: bool = False) -> None:
        self.location, self.is_list = location, is_list
        self.value: Json = [] if is_list else {}
        self.closer = "]" if is_list else "}"
        self.child = location
        self.key: str | int = -1 if is_list else ""
        self.shown = False
        self.twice: Json = MISSING
        self.firm = sure and (location.is_list if is_list else location.is_object)
        self.sure = self.firm and (location.strict or (is_list and not location.nullable))
        self.is_root = is_root
        self.foreign = sure and not self.firm and not is_root and _is_foreign(location, is_list)
        self.only_calls = True
        self.stranger = ""

    # --- members

    def next_member(self, key: str) -> tuple[Refusal, str] | None:
        """Another member begins; returns what is refused with it, and the name of the member that it is refused for."""
        location, count = self.location, len(self.value)
        self.only_calls = self.only_calls and is_of_calls(key)
        child = location.members.get(key)
        self.child = child or self._unnamed(key)
        if self.foreign:
            return (location.demanded, "") if count and not self.only_calls else None
        if not self.firm:
            return None
        self.sure = self.sure or self._is_settled(child is not None, count)
        if self.sure and self.stranger:
            return ("additionalProperties", False), self.stranger
        return self._too_many(count + 1)

    def _is_settled(self, known: bool, count: int) -> bool:
        """Whether the object can be nothing but the value itself: no wrapper around it, no call of a tool, and at the
        root no other object that comes before the answer."""
        location = self.location
        if (self.only_calls and location.may_be_call) or (location.nullable and not count):
            return False
        return known or (count > 0 and not location.only_member and not self.is_root)

    def _unnamed(self, key: str) -> StreamLocation:
        """The location of a member that the schema does not name; one that differs only in spelling may be renamed later."""
        location = self.location
        if location.closed and (location.strict or folded(key) not in location.folded):
            self.stranger = self.stranger or key
        return location.additional if location.additional and not location.members else location.anything

    def _too_many(self, count: int) -> tuple[Refusal, str] | None:
        """Members that the schema names may turn out to be absent, or to be one; so they are not counted."""
        most, location = self.location.most_members, self.location
        if most is None or not self.sure or count - (0 if location.strict else len(location.members)) <= most:
            return None
        return ("maxProperties", most), ""

    # --- items

    def next_item(self) -> Refusal | None:
        """Another item begins; returns what is refused with it."""
        location = self.location
        number = self.key = self.key + 1  # type: ignore[operator]
        if not location.prefix:
            self.child = location.items or location.anything
        else:
            self.child = location.item(number)
        if self.foreign:
            return location.demanded if number else None
        if self.firm:
            self.sure = self.sure or number > 0
            if location.most_items is not None and number >= location.most_items and self.sure:
                return "maxItems", location.most_items
        return None

    # --- its end

    def at_end(self) -> tuple[Refusal, str] | None:
        """What is refused in the complete container: too few items, or a missing member."""
        location = self.location
        if not self.sure:
            return None
        if self.is_list:
            few = len(self.value) < location.least_items
            return (("minItems", location.least_items), "") if few else None
        missing = [name for name in location.required if name not in self.value]
        if not missing or not (location.strict or self.value.keys() <= location.members.keys()):
            return None  # a member with an unknown name may be the one that is missing
        return ("required", min(missing)), ""


def _is_foreign(location: StreamLocation, is_list: bool) -> bool:
    """Whether a container is where none is expected: it may be wrapped around one value, and not around two."""
    types = location.types - {"null"}
    return bool(types) and (types <= SCALARS or (is_list and types == {"object"} and not location.only_member))


def refusal_violation(path: str, refusal: Refusal, actual: Json, name: str, location: StreamLocation) -> Violation:
    """The violation of a refusal. `name`: the member that it is about; `location`: of the object or list around it."""
    keyword, demanded = refusal
    if keyword == "additionalProperties":
        message = f"unexpected property {brief(name)}{hint(name, location.members)}"
        return Violation(path, keyword, message, clipped(list(location.members)))
    if keyword == "required":
        return Violation(path, keyword, f"required property {demanded!r} is missing", demanded, clipped(actual))
    return Violation(path, keyword, clause(keyword, demanded, actual), clipped(demanded), clipped(actual))
