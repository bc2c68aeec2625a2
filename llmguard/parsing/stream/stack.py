"""An object or a list that is still being written, and what of it is settled already."""

from __future__ import annotations

from typing import Final

from llmguard.core.canonical import Json
from llmguard.core.outcome import Violation
from llmguard.parsing.stream.locations import StreamLocation, is_of_calls
from llmguard.parsing.stream.scalars import SCALARS, Refusal, folded
from llmguard.schema.words import brief, clause, clipped, hint

MISSING: Final = object()


class Frame:
    """An open container.

    `shown`: it is part of the value that is shown. `child` is the place of the entry that is due, `key` its name or
    number, `twice` what an earlier member of that name said. `sure`: what is refused in the entry that is due is
    refused by the final reading too; that needs every container around it to be read as what it looks like. `firm`:
    that can become so here, since a wrapper or a tool call is told from the value only by its keys.
    """

    __slots__ = (
        "child",
        "closer",
        "firm",
        "foreign",
        "is_list",
        "is_root",
        "key",
        "only_calls",
        "place",
        "shown",
        "stranger",
        "sure",
        "twice",
        "value",
    )

    def __init__(self, place: StreamLocation, *, is_list: bool, sure: bool, is_root: bool = False) -> None:
        self.place, self.is_list = place, is_list
        self.value: Json = [] if is_list else {}
        self.closer = "]" if is_list else "}"
        self.child = place
        self.key: str | int = -1 if is_list else ""
        self.shown = False
        self.twice: Json = MISSING
        self.firm = sure and (place.is_list if is_list else place.is_object)
        self.sure = self.firm and (place.strict or (is_list and not place.nullable))
        self.is_root = is_root
        self.foreign = sure and not self.firm and not is_root and _is_foreign(place, is_list)
        self.only_calls = True
        self.stranger = ""

    # --- members

    def next_member(self, key: str) -> tuple[Refusal, str] | None:
        """Another member begins; what is refused with it, and the name of the member that it is refused for."""
        place, count = self.place, len(self.value)
        self.only_calls = self.only_calls and is_of_calls(key)
        child = place.members.get(key)
        self.child = child or self._strange(key)
        if self.foreign:
            return (place.demanded, "") if count and not self.only_calls else None
        if not self.firm:
            return None
        self.sure = self.sure or self._is_settled(child is not None, count)
        if self.sure and self.stranger:
            return ("additionalProperties", False), self.stranger
        return self._too_many(count + 1)

    def _is_settled(self, known: bool, count: int) -> bool:
        """Whether the object can be nothing but the value itself: no wrapper around it, no call of a tool, and at the
        root no report of another kind that stands before the answer."""
        place = self.place
        if (self.only_calls and place.may_be_call) or (place.nullable and not count):
            return False
        return known or (count > 0 and not place.only_member and not self.is_root)

    def _strange(self, key: str) -> StreamLocation:
        """The place of a member that the schema does not name; one that differs in spelling only may yet be renamed."""
        place = self.place
        if place.closed and (place.strict or folded(key) not in place.folded):
            self.stranger = self.stranger or key
        return place.additional if place.additional and not place.members else place.anything

    def _too_many(self, count: int) -> tuple[Refusal, str] | None:
        """Members the schema knows may turn out to be absent, or to be one; so they are not counted."""
        most, place = self.place.most_members, self.place
        if most is None or not self.sure or count - (0 if place.strict else len(place.members)) <= most:
            return None
        return ("maxProperties", most), ""

    # --- items

    def next_item(self) -> Refusal | None:
        """Another item begins; what is refused with it."""
        place = self.place
        number = self.key = self.key + 1  # type: ignore[operator]
        if not place.prefix:
            self.child = place.items or place.anything
        else:
            self.child = place.item(number)
        if self.foreign:
            return place.demanded if number else None
        if self.firm:
            self.sure = self.sure or number > 0
            if place.most_items is not None and number >= place.most_items and self.sure:
                return "maxItems", place.most_items
        return None

    # --- its end

    def at_end(self) -> tuple[Refusal, str] | None:
        """What is refused in the whole container: too few items, or a member that is missing."""
        place = self.place
        if not self.sure:
            return None
        if self.is_list:
            few = len(self.value) < place.least_items
            return (("minItems", place.least_items), "") if few else None
        missing = [name for name in place.required if name not in self.value]
        if not missing or not (place.strict or self.value.keys() <= place.members.keys()):
            return None  # a member with a strange name may be the one that is missing
        return ("required", min(missing)), ""


def _is_foreign(place: StreamLocation, is_list: bool) -> bool:
    """Whether a container stands where none is due: it may be wrapped around one value, and not around two."""
    types = place.types - {"null"}
    return bool(types) and (types <= SCALARS or (is_list and types == {"object"} and not place.only_member))


def refused(path: str, refusal: Refusal, found: Json, name: str, place: StreamLocation) -> Violation:
    """A refusal in words. `name`: the member that it is about; `place`: of the object or list around it."""
    keyword, demanded = refusal
    if keyword == "additionalProperties":
        message = f"unexpected property {brief(name)}{hint(name, place.members)}"
        return Violation(path, keyword, message, clipped(list(place.members)))
    if keyword == "required":
        return Violation(path, keyword, f"required property {demanded!r} is missing", demanded, clipped(found))
    return Violation(path, keyword, clause(keyword, demanded, found), clipped(demanded), clipped(found))
