"""Parts of values and of object schemas: what is right is kept, and only what is wrong is requested again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from llmguard.core.canonical import Json, encode
from llmguard.core.outcome import Repair, Violation, Violations
from llmguard.schema.keywords import Draft, as_pointer, as_tokens, from_fragment, word_set
from llmguard.schema.navigate import Location, SchemaDocument, all_subschemas, applied, value_at

MAX_TRIALS = 200
"""Values that are validated in search of one that fits."""

_SEPARABLE = word_set(
    "$schema $id id $comment title description default examples type properties required additionalProperties"
    " $defs definitions"
)
"""Root keywords under which properties are right or wrong one by one."""

Judge: TypeAlias = Callable[[Json], Violations]
DefaultAt: TypeAlias = Callable[[tuple[str, ...]], tuple[Json, ...]]
Salvaged: TypeAlias = tuple[Json, tuple[Repair, ...]]


# ------------------------------------------------------------------------------------------- salvage


def without_invalid_parts(value: Json, violations: Violations, judge: Judge, default_at: DefaultAt) -> Salvaged | None:
    """`value` without what is wrong, as far as that is optional; None where a required part is wrong.

    `violations`: what `judge` returns for the value, or what checks object to in a value that `judge` accepts. `default_at`:
    the default that the schema states for a property, as a tuple of one, or nothing.
    """
    trials = _Trials(judge, default_at)
    return trials.until_it_fits(value) if judge(value) else trials.without_all(value, violations)


class _Trials:
    """A bounded number of values that are tried."""

    def __init__(self, judge: Judge, default_at: DefaultAt) -> None:
        self._judge, self._default_at, self._left = judge, default_at, MAX_TRIALS

    def until_it_fits(self, value: Json) -> Salvaged | None:
        repairs: tuple[Repair, ...] = ()
        while wrong := self._judge(value):
            repaired = self._without(value, wrong[0], wrong)
            if repaired is None:
                return None
            value, repairs = repaired[0], (*repairs, repaired[1])
        return value, repairs

    def without_all(self, value: Json, targets: Violations) -> Salvaged | None:
        """Without each part that checks object to: they are not run again, so nothing replaces it."""
        repairs: tuple[Repair, ...] = ()
        for target in targets:
            if any(_is_within(target.path, repair.path) for repair in repairs):
                continue
            repaired = self._without(value, target, ())
            if repaired is None:
                return None
            value, repairs = repaired[0], (*repairs, repaired[1])
        return (value, repairs) if repairs else None

    def _without(self, value: Json, target: Violation, wrong: Violations) -> tuple[Json, Repair] | None:
        """`value` with the nearest optional property around `target` replaced, or dropped. Optional is also one that must be
        there and may be null, as schemas for strict providers spell it: it becomes null."""
        for path in _properties_around(value, as_tokens(target.path)):
            dropped = _with(value, path, ())
            may_be_dropped = self._better(dropped, target, wrong)
            before = value_at(value, path)
            for after in (*(self._default_at(path) if may_be_dropped else ()), None):
                if after != before and self._better(replaced := _with(value, path, (after,)), target, wrong):
                    return replaced, Repair(as_pointer(path), before, after, "lossy", "salvage: replaced")
            if may_be_dropped:
                return dropped, Repair(as_pointer(path), before, None, "lossy", "salvage: dropped")
        return None

    def _better(self, candidate: Json, target: Violation, wrong: Violations) -> bool:
        """Whether `target` is gone and nothing is wrong that was not wrong before."""
        self._left -= 1
        if self._left < 0:
            return False
        known = {(violation.path, violation.rule) for violation in wrong} - {(target.path, target.rule)}
        return all((violation.path, violation.rule) in known for violation in self._judge(candidate))


def _is_within(path: str, outer: str) -> bool:
    return path == outer or path.startswith(outer + "/")


def _properties_around(value: Json, tokens: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The paths from `tokens` upwards that name a property; an item of a list is none."""
    for length in range(len(tokens), 0, -1):
        holder = value_at(value, tokens[: length - 1])
        if isinstance(holder, dict) and tokens[length - 1] in holder:
            yield tokens[:length]


def _with(value: Json, path: tuple[str, ...], after: tuple[Json, ...]) -> Json:
    """A copy of `value` with the part at `path` replaced by the one in `after`, or left out. Shares the rest."""
    first, *rest = path
    if isinstance(value, list):
        return [_with(item, tuple(rest), after) if str(number) == first else item for number, item in enumerate(value)]
    if rest:
        return {name: _with(item, tuple(rest), after) if name == first else item for name, item in value.items()}
    if after:
        return {name: after[0] if name == first else item for name, item in value.items()}
    return {name: item for name, item in value.items() if name != first}


def default_in(document: SchemaDocument, path: tuple[str, ...]) -> tuple[Json, ...]:
    """The default in the schema for the part at `path` of a value, as a tuple of one; () where there is none, or several
    that differ. One beside a `$ref` counts, though before 2019-09 drafts ignored it there."""
    locations = [*applied([document.root])]
    for token in path:
        below = (_step(location, token) for location in locations)
        locations = [*applied(location for location in below if location is not None)]
    defaults = [location.written["default"] for location in locations if "default" in location.written]
    different = {encode(default): default for default in defaults}
    return tuple(different.values()) if len(different) == 1 else ()


def _step(location: Location, token: str) -> Location | None:
    """The schema of a property by its name, or of an item by its number; those of additional properties do not count."""
    if (by_name := location.child("properties", token)) is not None:
        return by_name
    prefix = location.prefix
    return prefix[int(token)] if token.isdecimal() and int(token) < len(prefix) else location.child("items")


# ------------------------------------------------------------------------------------------- failed parts


def part_of(root: Json, draft: Draft, violations: Violations) -> Json | None:
    """An object schema for the top-level properties that are wrong, if the others are right whatever these become.

    None where that is not known (keywords that concern several properties, a violation of the whole), and where nothing
    would be left out.
    """
    if not isinstance(root, dict) or not set(root) <= _SEPARABLE or root.get("type") != "object":
        return None
    properties = root.get("properties", {})
    names = {_top_level_name(violation) for violation in violations}
    if not names or not names < set(properties):
        return None
    kept = ("$schema", "title", "description", "type", "additionalProperties")
    part = {key: root[key] for key in kept if key in root}
    part["properties"] = {name: schema for name, schema in properties.items() if name in names}
    if required := [name for name in root.get("required", ()) if name in names]:
        part["required"] = required
    definitions = _definitions_used(root, part, draft)
    return None if definitions is None else {**part, **definitions}


def _top_level_name(violation: Violation) -> str | None:
    if violation.path:
        return as_tokens(violation.path)[0]
    return str(violation.expected) if violation.rule == "required" else None


def _definitions_used(root: Mapping[str, Json], part: Json, draft: Draft) -> dict[str, dict[str, Json]] | None:
    """The definitions that `part` refers to; None where it refers to another part of the root."""
    used: dict[str, dict[str, Json]] = {}
    waiting = [part]
    while waiting:
        for schema in all_subschemas(waiting.pop(), draft).values():
            ref = from_fragment(schema.get("$ref", "")) if isinstance(schema, dict) else None
            if ref is None:
                continue
            container, *name = as_tokens(ref)[:2] or ("",)
            if container not in ("$defs", "definitions") or not name:
                return None
            if name[0] not in used.setdefault(container, {}):
                used[container][name[0]] = root[container][name[0]]
                waiting.append(root[container][name[0]])
    return used


def merge(base: Json, part: Json, requested: Iterable[str] | None = None) -> Json:
    """`base` with the properties of `part` that were requested; those that `part` leaves out are left out."""
    if not isinstance(base, dict) or not isinstance(part, dict):
        return base
    names = set(part) if requested is None else set(requested)
    new = {name: value for name, value in part.items() if name in names}
    return {**{name: value for name, value in base.items() if name not in names or name in new}, **new}
