"""A schema prepared for coercion: a node for each location, made once, and whether a value fits there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache

from llmguard.core.canonical import Json
from llmguard.parsing.coerce.nodes import Node, node_of
from llmguard.schema.navigate import applied
from llmguard.schema.verdicts import Verdicts

MAX_PLANS = 64
"""Schemas whose plans are kept: a program has a few guards, and each part that is asked again is a schema too."""


class CoercionPlan:
    """What coercion knows of one schema. `literals`: the texts that the schema itself lists as values; `names`: the titles
    of its parts, and those of properties."""

    def __init__(self, verdicts: Verdicts) -> None:
        self._verdicts = verdicts
        self._nodes: dict[tuple[str, str], Node] = {}
        self.literals = frozenset(_literals(verdicts))

    @cached_property
    def names(self) -> frozenset[str]:
        names: set[str] = set()
        for location in self._verdicts.document.locations:
            title = location.keywords.get("title")
            names |= {*location.properties, *([title] if isinstance(title, str) else [])}
        return frozenset(names)

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
