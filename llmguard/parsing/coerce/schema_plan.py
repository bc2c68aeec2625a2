"""A schema prepared for reading: its places as nodes, each made once, and whether a value fits one of them."""

from __future__ import annotations

from functools import lru_cache

from llmguard.core.canonical import Json
from llmguard.parsing.coerce.nodes import Node, node_of
from llmguard.schema.verdicts import Verdicts

MAX_PLANS = 64


class Plan:
    """What reading knows of one schema. `literals`: the texts that the schema itself spells out as values."""

    def __init__(self, verdicts: Verdicts) -> None:
        self._verdicts = verdicts
        self._nodes: dict[tuple[str, str], Node] = {}
        self.literals = frozenset(_literals(verdicts))

    @property
    def root(self) -> Node:
        return self.node("")

    def node(self, place: str, name: str = "") -> Node:
        """The node at the JSON Pointer `place`, for a value of the property `name`."""
        if (place, name) not in self._nodes:
            self._nodes[place, name] = node_of(self._verdicts.document, place, name)
        return self._nodes[place, name]

    def fits(self, value: Json, place: str) -> bool:
        return self._verdicts.fits(place, value)


@lru_cache(maxsize=MAX_PLANS)
def plan_of(verdicts: Verdicts) -> Plan:
    """The plan of a schema, kept for the schemas that were used last."""
    return Plan(verdicts)


def _literals(verdicts: Verdicts) -> set[str]:
    literals: set[str] = set()
    for location in verdicts.document.locations:
        if isinstance(schema := location.written, dict):
            options = [schema.get("const"), *(schema["enum"] if isinstance(schema.get("enum"), list) else ())]
            literals |= {option for option in options if isinstance(option, str)}
    return literals
