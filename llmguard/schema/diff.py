"""What changed between two schemas, location by location, and whom it breaks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

from llmguard.core.canonical import Json, digest, encode
from llmguard.schema.changes import (
    ANNOTATIONS,
    NARROWER,
    WIDER,
    Change,
    Differences,
    admitted_types,
    keyword_changes,
    opaque_changes,
)
from llmguard.schema.compiled import Schema
from llmguard.schema.keywords import as_pointer, word_set
from llmguard.schema.navigate import SchemaDocument, item_keywords
from llmguard.schema.words import brief

MAX_CHANGES = 200
"""More are not read by anyone."""
MAX_PAIRS = 5_000
"""Pairs of locations that are compared: bounds the work on schemas that refer to each other."""

_BESIDE_BRANCHES = ANNOTATIONS | word_set("$schema $id id $defs definitions $comment")
_ORDER = {WIDER: 0, NARROWER: 1, "compatible": 2}


def diff(old: Schema, new: Schema) -> tuple[Change, ...]:
    """The changes from `old` to `new`, those that break callers first; () where both mean the same.

    What cannot be compared (`not`, `if`, `patternProperties` and the like) counts as breaking for both where it differs.

    >>> from llmguard.schema import compile_schema
    >>> old = compile_schema({"properties": {"total": {"type": "integer"}}, "required": ["total"]})
    >>> new = compile_schema({"properties": {"total": {"type": "number"}}})
    >>> for change in diff(old, new):
    ...     print(change)
    /total: may now be a fraction; it was an integer [breaking-for-callers]
    /total: may now be missing [breaking-for-callers]
    """
    walk = _Walk(_Side(old.verdicts.document), _Side(new.verdicts.document))
    changes = dict.fromkeys(walk.changes())
    return tuple(sorted(changes, key=lambda change: (_ORDER[change.kind], change.path, change.what))[:MAX_CHANGES])


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two schemas; its parts are read with their references and `allOf` joined into one schema."""

    document: SchemaDocument

    def definitions(self) -> Json:
        """All that can be referred to."""
        root = self.document.schema
        return [root, None] if _refers_to_root(root) else _definitions(root)

    def root(self) -> Json:
        """The whole schema with its references and `allOf` joined, where no two of them have the same keyword."""
        schema = self.document.root.schema
        return self._join_all(schema, frozenset([""])) if isinstance(schema, dict) else schema

    def resolved(self, schema: Json) -> Json:
        """A part of it, read in the same way."""
        return self._join_all(schema, frozenset()) if isinstance(schema, dict) else schema

    def _join_all(self, schema: Mapping[str, Json], above: frozenset[str]) -> dict[str, Json]:
        """`above`: the pointers of the references that are being joined, so that a cycle ends."""
        own = {keyword: value for keyword, value in schema.items() if keyword not in ("$ref", "allOf")}
        for part in self._parts_to_join(schema, above):
            if part is None or not _can_join(own, part):
                own.setdefault("allOf and $ref", []).append(part if part is not None else schema.get("$ref"))
            else:
                own = _join(own, part)
        return own

    def _parts_to_join(self, schema: Mapping[str, Json], above: frozenset[str]) -> Iterator[dict[str, Json] | None]:
        """The schemas that this one is joined with; None for what cannot be followed."""
        if "$ref" in schema:
            target = self.document.follow(schema["$ref"])
            if target is None or target.pointer in above:
                yield None
            elif isinstance(target.schema, dict):
                yield self._join_all(target.schema, above | {target.pointer})
            else:
                yield None if target.schema is False else {}
        for part in schema.get("allOf", ()):
            if isinstance(part, dict):
                yield self._join_all(part, above)
            elif part is False:
                yield None


def _definitions(root: Json) -> Json:
    return [root.get("$defs"), root.get("definitions")] if isinstance(root, dict) else None


def _refers_to_root(root: Json) -> bool:
    """Whether a reference leads to something else than a definition."""
    text = encode(root)
    return text.count(b'"$ref":"#') > text.count(b'"$ref":"#/$defs/') + text.count(b'"$ref":"#/definitions/')


def _can_join(own: Mapping[str, Json], part: Mapping[str, Json]) -> bool:
    closed = "additionalProperties" in own or "additionalProperties" in part
    if closed and ("properties" in own or "properties" in part):
        return False
    if own.get("properties", {}).keys() & part.get("properties", {}).keys():
        return False
    both = own.keys() & part.keys() - ANNOTATIONS - {"properties", "required", "$defs", "definitions"}
    return all(own[keyword] == part[keyword] for keyword in both)


def _join(own: dict[str, Json], part: Mapping[str, Json]) -> dict[str, Json]:
    joined = {**part, **own}
    for keyword in ("properties", "$defs", "definitions"):
        if keyword in own and keyword in part:
            joined[keyword] = {**part[keyword], **own[keyword]}
    if "required" in own and "required" in part:
        joined["required"] = [*own["required"], *part["required"]]
    return joined


Step: TypeAlias = tuple[Json, Json, str]
"""Two schemas to be compared, and the path of their values."""

Steps: TypeAlias = Iterator[Change | Step]


class _Walk:
    """Both schemas side by side, location by location."""

    def __init__(self, old: _Side, new: _Side) -> None:
        self.old, self.new = old, new
        self.referred_differ = old.definitions() != new.definitions()

    def changes(self) -> Iterator[Change]:
        """A pair of locations is not compared again below itself, so that recursive schemas end."""
        waiting: list[tuple[Step, frozenset[tuple[str, str]]]] = [((self.old.root(), self.new.root(), ""), frozenset())]
        for _ in range(MAX_PAIRS):
            if not waiting:
                return
            (old, new, path), above = waiting.pop()
            key = (digest(old), digest(new))
            if key in above or (key[0] == key[1] and not self._may_differ(old)):
                continue
            for step in self._pair(old, new, path):
                if isinstance(step, Change):
                    yield step
                else:
                    waiting.append((step, above | {key}))
        for kind in (WIDER, NARROWER):
            yield Change(kind, "", f"the schemas have more than {MAX_PAIRS} places; the rest was not compared")

    def _may_differ(self, schema: Json) -> bool:
        """Whether the same text may mean something else, since what it refers to changed."""
        return self.referred_differ and b'"$ref"' in encode(schema)

    def _pair(self, old: Json, new: Json, path: str) -> Steps:
        old, new = _as_dict(self.old.resolved(old)), _as_dict(self.new.resolved(new))
        if old is None or new is None:
            yield from _changes_at(path, _existence(old, new))
            return
        one, other = _branches(old, self.old), _branches(new, self.new)
        if len(one) == len(other) == 1:
            yield from self._plain(one[0], other[0], path)
        else:
            yield from _changes_at(path, _annotations_only(old, new))
            yield from self._unions(one, other, path)

    def _unions(self, one: list[dict[str, Json]], other: list[dict[str, Json]], path: str) -> Steps:
        """Branches are paired by what distinguishes them; what is left over is new or gone."""
        left = list(other)
        for branch in one:
            twin = _twin(branch, left)
            if twin is None:
                yield Change(NARROWER, path, f"may no longer be {_branch_in_words(branch)}")
            else:
                left.remove(twin)
                yield from self._plain(branch, twin, path)
        for branch in left:
            yield Change(WIDER, path, f"may now be {_branch_in_words(branch)}")

    def _plain(self, old: dict[str, Json], new: dict[str, Json], path: str) -> Steps:
        yield from _changes_at(path, keyword_changes(old, new))
        yield from _changes_at(path, opaque_changes(old, new, referred_differ=self.referred_differ))
        yield from _changes_at(path, self._unpaired(old, new))
        if "object" in admitted_types(old) & admitted_types(new):
            yield from _members(old, new, path)
        if "array" in admitted_types(old) & admitted_types(new):
            yield from _items(old, new, path)

    def _unpaired(self, old: dict[str, Json], new: dict[str, Json]) -> Differences:
        """Alternatives that are not compared one by one: beside other keywords, or where a value may fit several."""
        for keyword in ("anyOf", "oneOf"):
            if old.get(keyword) != new.get(keyword) or self._may_differ(old.get(keyword)):
                yield WIDER, f"{keyword!r} changed; values may come that did not fit before"
                yield NARROWER, f"{keyword!r} changed; values that fitted may not fit any more"


def _as_dict(schema: Json) -> dict[str, Json] | None:
    """`true` is a schema without keywords; None is `false`, which no value fits."""
    if isinstance(schema, dict):
        return schema
    return {} if schema is True else None


def _existence(old: dict[str, Json] | None, new: dict[str, Json] | None) -> Differences:
    if old is None and new is not None:
        yield WIDER, "may now be present"
    elif new is None and old is not None:
        yield NARROWER, "may no longer be present"


def _changes_at(path: str, differences: Differences) -> Iterator[Change]:
    for kind, what in differences:
        yield Change(kind, path, what)


def _members(old: dict[str, Json], new: dict[str, Json], path: str) -> Steps:
    """Properties by name, and those that are not named."""
    mine, theirs = old.get("properties", {}), new.get("properties", {})
    was, is_now = old.get("additionalProperties", True), new.get("additionalProperties", True)
    by_pattern = "patternProperties" in old or "patternProperties" in new
    if by_pattern and (mine.keys() != theirs.keys() or digest([was]) != digest([is_now])):
        yield Change(WIDER, path, "the properties beside 'patternProperties' changed")
        yield Change(NARROWER, path, "the properties beside 'patternProperties' changed")
    for name in dict.fromkeys((*mine, *theirs)):
        yield mine.get(name, was), theirs.get(name, is_now), path + as_pointer((name,))
    yield was, is_now, f"{path}/*"
    before, after = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted(after - before):
        yield Change(NARROWER, path + as_pointer((name,)), "is now required")
    for name in sorted(before - after):
        yield Change(WIDER, path + as_pointer((name,)), "may now be missing")


def _items(old: dict[str, Json], new: dict[str, Json], path: str) -> Steps:
    """Items by position, and all others."""
    (mine, was), (theirs, is_now) = _positions(old), _positions(new)
    for number in range(max(len(mine), len(theirs))):
        one = mine[number] if number < len(mine) else was
        other = theirs[number] if number < len(theirs) else is_now
        yield one, other, f"{path}/{number}"
    yield was, is_now, f"{path}/*"


def _positions(schema: dict[str, Json]) -> tuple[list[Json], Json]:
    first, others = item_keywords(schema)
    return schema.get(first, []), schema.get(others, True)


def _branches(schema: dict[str, Json], side: _Side) -> list[dict[str, Json]]:
    """The alternatives of a location: those of `anyOf` and `oneOf`, or one for each of several types."""
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema and schema.keys() - {keyword} <= _BESIDE_BRANCHES:
            resolved = (_as_dict(side.resolved(branch)) for branch in schema[keyword])
            possible = [branch for branch in resolved if branch is not None]
            if keyword == "anyOf" or _exclude_each_other(possible):
                return [part for branch in possible for part in _branches(branch, side)]
    types = schema.get("type")
    if isinstance(types, list) and len(types) > 1 and "enum" not in schema and "const" not in schema:
        return [{**schema, "type": name} for name in types]
    return [schema]


def _exclude_each_other(branches: list[dict[str, Json]]) -> bool:
    """Whether no value can fit two of them, so that `oneOf` is `anyOf`."""
    return all(_apart(one, other) for one, other in combinations(branches, 2))


def _apart(one: dict[str, Json], other: dict[str, Json]) -> bool:
    if not admitted_types(one) & admitted_types(other):
        return True
    if "const" in one and "const" in other:
        return digest(one["const"]) != digest(other["const"])
    mine, theirs = _constants(one), _constants(other)
    return any(mine[name] != theirs[name] for name in mine.keys() & theirs.keys())


def _constants(branch: dict[str, Json]) -> dict[str, str]:
    """The properties that every value of a branch has, with the one value that each may have."""
    if branch.get("type") != "object":
        return {}
    properties = branch.get("properties", {})
    names = [name for name in branch.get("required", ()) if isinstance(properties.get(name), dict)]
    return {name: digest(properties[name]["const"]) for name in names if "const" in properties[name]}


def _twin(branch: dict[str, Json], left: list[dict[str, Json]]) -> dict[str, Json] | None:
    """The branch of the other schema that corresponds: by its constants or its types."""
    if branch in left:
        return branch
    marks = _marks(branch)
    same_marks = [one for one in left if marks & _marks(one)]
    same_types = [
        one for one in left if admitted_types(one) == admitted_types(branch) and "const" not in {**one, **branch}
    ]
    for alike in (same_marks, same_types if not marks else []):
        if len(alike) == 1:
            return alike[0]
    return None


def _marks(branch: dict[str, Json]) -> set[str]:
    """The constant properties that distinguish a branch from others."""
    return {
        f"{name}={brief(inner['const'])}"
        for name, inner in branch.get("properties", {}).items()
        if isinstance(inner, dict) and "const" in inner
    }


def _branch_in_words(branch: dict[str, Json]) -> str:
    if "const" in branch:
        return brief(branch["const"])
    if marks := _marks(branch):
        return f"the alternative {' and '.join(sorted(marks))}"
    types = branch.get("type")
    return f"of type {types}" if isinstance(types, str) else "an alternative"


def _annotations_only(old: dict[str, Json], new: dict[str, Json]) -> Differences:
    for keyword in sorted(ANNOTATIONS):
        if old.get(keyword) != new.get(keyword):
            yield "compatible", f"{keyword!r} changed"
