"""The reply to a re-ask for some fields: these fields alone, or the whole object again, as many models answer anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from llmguard.core.canonical import Json
from llmguard.core.messages import ModelReply
from llmguard.core.outcome import Violation
from llmguard.parsing.coerce import Reading, ReadingRules, read
from llmguard.parsing.syntax import same_json
from llmguard.schema import Schema, merged, with_any_other_property
from llmguard.schema.keywords import as_pointer, as_tokens

_BRACKETS: Final[Mapping[str, str]] = {"<": ">", "(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Part:
    """The fields that are asked for again. `schema`: theirs; `whole`: that of all; `base`: the value they were wrong in."""

    schema: Schema
    whole: Schema
    base: Mapping[str, Json]

    @property
    def requested(self) -> frozenset[str]:
        return frozenset(self.schema.json_schema["properties"])

    @property
    def kept(self) -> dict[str, Json]:
        """What was right, and is kept where the reply leaves it out."""
        return {name: value for name, value in self.base.items() if name not in self.requested}

    @property
    def known(self) -> frozenset[str]:
        """The fields that a whole reply may have."""
        return frozenset(self.whole.json_schema["properties"]) | frozenset(self.base)

    def reading_of(self, reply: ModelReply, rules: ReadingRules, inputs: Json = None) -> Reading:
        """The whole value that the reply leads to; its violations are those of the whole, never those of the part as an object.

        In this order, and the first that fits counts: the requested fields alone; an object that fits the whole schema, with
        what it leaves out as it was; the requested fields beside others that are as they were.
        """
        alone = read(reply, self.schema, rules, inputs)
        if alone.failure is None and self.requested.issuperset(alone.value):
            return self._joined(alone)
        whole = read(reply, self.whole, rules, inputs)
        others = self._others(whole)
        if whole.failure is None and others:
            return self._whole(whole, others)
        beside = read(reply, with_any_other_property(self.schema), rules, inputs)
        if beside.failure is None and self._are_as_they_were(beside, others):
            return self._joined(beside)
        return whole if others else self._failed(alone)

    def _others(self, whole: Reading) -> dict[str, Json]:
        """The fields of the reply that were not asked for, by the names that the whole schema gives them."""
        value = whole.candidate[0] if whole.candidate else None
        members = value if isinstance(value, dict) else {}
        return {name: member for name, member in members.items() if name in self.known - self.requested}

    def _whole(self, whole: Reading, others: Mapping[str, Json]) -> Reading:
        """A reply that fits the whole schema, unless it abbreviates what was there."""
        for name, value in others.items():
            if name in self.kept and (text := _abbreviation(value, self.kept[name])):
                message = f"{text!r} stands for what was there before; the whole value is needed"
                wrong = Violation(as_pointer((name,)), "abbreviated", message, "the value itself", text)
                return Reading(None, (wrong,), whole.repairs, "ambiguous", (self.base,))
        value = {**whole.value, **{name: kept for name, kept in self.kept.items() if name not in whole.value}}
        return replace(whole, value=value, candidate=(value,))

    def _are_as_they_were(self, beside: Reading, others: Mapping[str, Json]) -> bool:
        """Whether nothing is lost where only the requested fields of the reply are taken."""
        is_open = self.whole.json_schema.get("additionalProperties", True) is not False
        unknown = set(beside.value) - self.requested - set(others)
        same = all(name in self.kept and same_json(value, self.kept[name]) for name, value in others.items())
        return same and (is_open or not unknown)

    def _joined(self, part: Reading) -> Reading:
        value = merged(self.base, part.value, self.schema)
        return replace(part, value=value, candidate=(value,))

    def _failed(self, alone: Reading) -> Reading:
        """Why the requested fields were not read. What else is wrong with the reply as an object names the whole's fields."""
        if not alone.candidate or not isinstance(alone.candidate[0], dict):
            return replace(alone, candidate=(self.base,))
        value = merged(self.base, alone.candidate[0])
        wrong = alone.violations
        if any(each.path and as_tokens(each.path)[0] not in self.requested for each in wrong):
            wrong = self.whole.violations(value) or wrong
        return replace(alone, violations=wrong, candidate=(value,))


def _abbreviation(value: Json, before: Json) -> str:
    """A text that stands for what was there: marks alone, or in brackets as a whole, where nothing like it was before."""
    known = set(_texts(before))
    return next((text for text in _texts(value) if text not in known and _stands_for_another(text)), "")


def _stands_for_another(text: str) -> bool:
    stripped = text.strip()
    return bool(stripped) and (not any(map(str.isalnum, stripped)) or _BRACKETS.get(stripped[0]) == stripped[-1])


def _texts(value: Json) -> Iterator[str]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
