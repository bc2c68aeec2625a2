"""A schema prepared for coercion: a node for each location, made once, and whether a value fits there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache

from llmguard.core.canonical import Json, encode
from llmguard.parsing.coerce.nodes import Node, node_of
from llmguard.schema.navigate import applied
from llmguard.schema.verdicts import Verdicts
from llmguard.values.words import normalized_key, normalized_words

MAX_PLANS = 64
"""Schemas whose plans are kept: a program has a few guards, and each part that is asked again is a schema too."""


class CoercionPlan:
    """What coercion knows of one schema. `literals`: the texts that the schema itself lists as values; `names`: the titles
    of its parts, and those of properties; `words`: all words of these; `offered`: name of a property -> its description and
    title, which are no value of it, `offered_texts` as JSON spells them; `examples`: whole objects that the schema offers."""

    def __init__(self, verdicts: Verdicts) -> None:
        self._verdicts = verdicts
        self._nodes: dict[tuple[str, str], Node] = {}
        self.literals = frozenset(_literals(verdicts))
        self.words, self.offered = _names(verdicts)
        self.offered_texts = tuple(encode(text).decode()[1:-1] for texts in self.offered.values() for text in texts)
        self.examples = _examples(verdicts, self.literals)

    @cached_property
    def names(self) -> frozenset[str]:
        names: set[str] = set()
        for location in self._verdicts.document.locations:
            title = location.keywords.get("title")
            names |= {*location.properties, *([title] if isinstance(title, str) else [])}
        return frozenset(names)

    @cached_property
    def call_names(self) -> frozenset[str]:
        """What a call may be of that shows a value of the schema."""
        return frozenset(normalized_key(name) for name in self.names)

    @property
    def root(self) -> Node:
        return self.node("")

    def node(self, pointer: str, name: str = "") -> Node:
        """The node at the JSON Pointer `pointer`, for a value of the property `name`."""
        if (pointer, name) not in self._nodes:
            self._nodes[pointer, name] = node_of(self._verdicts.document, pointer, name)
        return self._nodes[pointer, name]

    def written(self, pointer: str) -> Mapping[str, Json]:
        """The schema at `pointer` with what its references say, as it is written; empty where it is only true or false."""
        start = self._verdicts.document.at(pointer)
        parts = [] if start is None else [*applied([start], ("allOf",))]
        return {keyword: value for part in reversed(parts) for keyword, value in part.keywords.items()}

    def fits(self, value: Json, pointer: str) -> bool:
        return self._verdicts.fits(pointer, value)


@lru_cache(maxsize=MAX_PLANS)
def plan_of(verdicts: Verdicts) -> CoercionPlan:
    """The plan of a schema, kept for the schemas that were used last."""
    return CoercionPlan(verdicts)


def _literals(verdicts: Verdicts) -> set[str]:
    literals: set[str] = set()
    for location in verdicts.document.locations:
        if isinstance(schema := location.written, dict):
            options = [schema.get("const"), *(schema["enum"] if isinstance(schema.get("enum"), list) else ())]
            literals |= {option for option in options if isinstance(option, str)}
    return literals


def _names(verdicts: Verdicts) -> tuple[frozenset[str], dict[str, frozenset[str]]]:
    """The words of titles and names, and what each property says of itself."""
    words: set[str] = set()
    offered: dict[str, frozenset[str]] = {}
    for location in verdicts.document.locations:
        if not isinstance(schema := location.written, dict):
            continue
        words.update(normalized_words(str(schema.get("title", ""))).split())
        properties = schema.get("properties")
        for name, part in properties.items() if isinstance(properties, dict) else ():
            words.update(normalized_words(name).split())
            if said := _descriptions_of(part):
                offered[name] = offered.get(name, frozenset()) | said
    root = _root(verdicts)
    if said := _descriptions_of(root):
        offered[""] = said
    return frozenset(words), offered


def _root(verdicts: Verdicts) -> Json:
    return next((location.written for location in verdicts.document.locations if not location.pointer), None)


def _descriptions_of(schema: Json) -> frozenset[str]:
    """Description and title of a schema and of its items; a single word may be a value."""
    said: set[str] = set()
    for part in (schema, schema.get("items")) if isinstance(schema, dict) else ():
        if isinstance(part, dict):
            said |= {text for key in ("description", "title") if isinstance(text := part.get(key), str) and " " in text}
    return frozenset(said)


def _examples(verdicts: Verdicts, literals: frozenset[str]) -> tuple[Json, ...]:
    """The examples of the root that are objects with a text of their own: a number or a member may well be the answer."""
    root = _root(verdicts)
    examples = root.get("examples") if isinstance(root, dict) else None
    objects = [one for one in examples if isinstance(one, dict)] if isinstance(examples, list) else []
    return tuple(one for one in objects if any(text not in literals for text in texts_of(one)))


def texts_of(value: Json) -> list[str]:
    """All texts of a value, but for keys."""
    left, texts = [value], []
    while left:
        item = left.pop()
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, dict):
            left += item.values()
        elif isinstance(item, list):
            left += item
    return texts
