"""Where a Python type judges its input itself: validators that run before the type is checked, aliases, sets.

The JSON Schema of such a type says what comes out of these, not what they take. Where it objects to a place that they govern, and
only there, the type has the last word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmguard.core.outcome import Violation
from llmguard.schema.keywords import as_tokens

_JUDGES = frozenset(("function-before", "function-wrap", "function-plain"))
_SETS = frozenset(("set", "frozenset"))
_MAX_NODES = 10_000
"""Parts of a type that are looked at; more than any type that a person writes has."""


class TypeValidators:
    """What the core schema of pydantic says of one type."""

    def __init__(self, core_schema: Mapping[str, Any]) -> None:
        self._root = core_schema
        self._definitions: dict[str, Any] = {}
        kinds: set[str] = set()
        aliased = False
        for part in _parts(core_schema):
            kind = str(part.get("type"))
            kinds.add(kind)
            aliased = aliased or isinstance(part.get("validation_alias"), list)
            if isinstance(part.get("ref"), str) and kind != "definition-ref":
                self._definitions.setdefault(part["ref"], part)
        self.has_any = aliased or bool(kinds & (_JUDGES | _SETS))
        self.has_decimals = "decimal" in kinds

    def govern(self, violations: tuple[Violation, ...]) -> bool:
        """Whether each violation of the JSON Schema is at a place where the type judges its input itself."""
        return all(self._governs(violation) for violation in violations)

    def _governs(self, violation: Violation) -> bool:
        tokens = as_tokens(violation.path)
        if violation.rule == "required" and isinstance(violation.expected, str):
            tokens = (*tokens, violation.expected)
        level: list[Any] = [self._root]
        for step in (*tokens, None):
            reached, judges = self._opened(level, violation.rule if step is None else "")
            if judges:
                return True
            level = [] if step is None else [part for each in reached for part in _below(each, step)]
        return False

    def _opened(self, level: list[Any], rule: str) -> tuple[list[Any], bool]:
        """The parts of a type behind what only wraps them, and whether one of them judges its input."""
        reached: list[Any] = []
        left, known = list(level), set[int]()
        while left:
            part = left.pop()
            if id(part) in known:
                continue
            known.add(id(part))
            kind = part.get("type")
            if (
                kind in _JUDGES
                or (kind in _SETS and rule == "uniqueItems")
                or isinstance(part.get("validation_alias"), list)
            ):
                return [], True
            reached.append(part)
            left += _same_place(part)
            if kind == "definition-ref":
                left += [found for found in [self._definitions.get(part["schema_ref"])] if found]
        return reached, False


def _parts(root: Any) -> Iterator[Mapping[str, Any]]:
    """All mappings within a core schema; functions and metadata are not entered."""
    left, count = [root], 0
    while left and count < _MAX_NODES:
        part = left.pop()
        count += 1
        if isinstance(part, Mapping):
            yield part
            left += [
                each for key, each in part.items() if key not in ("metadata", "serialization", "function", "default")
            ]
        elif isinstance(part, list | tuple):
            left += part


def _same_place(part: Mapping[str, Any]) -> list[Any]:
    """The parts that judge the same value: what wraps, and the choices of a union."""
    same = [part.get(key) for key in ("schema", "json_schema", "lax_schema")] + list(part.get("steps") or ())
    if part.get("type") in ("union", "tagged-union"):
        choices = part.get("choices", ())
        options = choices.values() if isinstance(choices, Mapping) else choices
        same += [each[0] if isinstance(each, tuple) else each for each in options]
    return [each for each in same if isinstance(each, Mapping)]


def _below(part: Mapping[str, Any], step: str) -> list[Any]:
    """The parts for one member or item of the value."""
    fields = part.get("fields")
    if isinstance(fields, Mapping):
        return [
            each
            for name, each in fields.items()
            if step in (name, each.get("validation_alias")) or _has_alias(each, step)
        ]
    if isinstance(fields, list):
        return [
            each
            for each in fields
            if step in (each.get("name"), each.get("validation_alias")) or _has_alias(each, step)
        ]
    items = part.get("items_schema")
    below = [items] if isinstance(items, Mapping) else list(items) if isinstance(items, list) else []
    return below + [each for each in [part.get("values_schema")] if isinstance(each, Mapping)]


def _has_alias(field: Mapping[str, Any], name: str) -> bool:
    aliases = field.get("validation_alias")
    return isinstance(aliases, list) and any(
        isinstance(alias, list) and alias and alias[0] == name for alias in aliases
    )
