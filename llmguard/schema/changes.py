"""What a change of one keyword of a schema means for the readers of values, and for values that are in the log.

A schema that is *wider* accepts values that callers have never had; one that is *narrower* refuses values that were
valid. Each function compares one keyword and says which of the two it is, or both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from llmguard.core.canonical import Json, encode
from llmguard.schema.keywords import word_set
from llmguard.schema.words import as_list, brief, either, listed

ChangeKind: TypeAlias = Literal["breaking-for-callers", "breaking-for-outcomes", "compatible"]

WIDER: ChangeKind = "breaking-for-callers"
NARROWER: ChangeKind = "breaking-for-outcomes"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `path` is where it is in a value: a JSON Pointer with `*` for every item or any other name.

    `breaking-for-callers`: values may come that could not come before. `breaking-for-outcomes`: values that were valid may
    be invalid now. `compatible`: neither; the prompt may still be another one.
    """

    kind: ChangeKind
    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path or '(whole value)'}: {self.what} [{self.kind}]"


Differences: TypeAlias = Iterator[tuple[ChangeKind, str]]

ANNOTATIONS = word_set("title description default examples deprecated readOnly writeOnly x-aliases x-unit x-stream")
_TYPES = ("string", "integer", "number", "boolean", "object", "array", "null")
_LOWER = {
    "minimum": "the minimum", "exclusiveMinimum": "the exclusive minimum", "minLength": "the least length",
    "minItems": "the least number of items", "minProperties": "the least number of properties",
    "minContains": "the least number of fitting items",
}  # fmt: skip
_UPPER = {
    "maximum": "the maximum", "exclusiveMaximum": "the exclusive maximum", "maxLength": "the greatest length",
    "maxItems": "the greatest number of items", "maxProperties": "the greatest number of properties",
    "maxContains": "the greatest number of fitting items",
}  # fmt: skip
_EXACT = ("pattern", "format")
_COMPARED = word_set(
    "type enum const multipleOf uniqueItems required properties additionalProperties items prefixItems anyOf oneOf $ref $defs"
    " definitions $schema $id id $comment"
)


def admitted_types(schema: Mapping[str, Json]) -> frozenset[str]:
    """The types that `type` lists, all where it is missing; a number may be an integer."""
    names = as_list(schema["type"]) if "type" in schema else list(_TYPES)
    return frozenset(names) | ({"integer"} if "number" in names else frozenset())


def keyword_changes(old: Mapping[str, Json], new: Mapping[str, Json]) -> Differences:
    """The changes of the keywords of one location, except those with schemas in them."""
    yield from _types(admitted_types(old), admitted_types(new))
    yield from _choices(_options(old), _options(new))
    for keyword, words in _LOWER.items():
        yield from _bound(words, _number(old, keyword), _number(new, keyword), rises_is_narrower=True)
    for keyword, words in _UPPER.items():
        yield from _bound(words, _number(old, keyword), _number(new, keyword), rises_is_narrower=False)
    for keyword in _EXACT:
        yield from _exact(keyword, old.get(keyword), new.get(keyword))
    yield from _multiples(old.get("multipleOf"), new.get("multipleOf"))
    yield from _unique(bool(old.get("uniqueItems")), bool(new.get("uniqueItems")))
    yield from _annotations(old, new)


def opaque_changes(old: Mapping[str, Json], new: Mapping[str, Json], *, referred_differ: bool) -> Differences:
    """Keywords whose meaning is not compared here: a change of one may be both. `referred_differ`: also where the same
    text refers to definitions that changed."""
    for keyword in sorted(_opaque(old) | _opaque(new)):
        one, other = encode(old.get(keyword), sort_keys=True), encode(new.get(keyword), sort_keys=True)
        if one == other and (keyword in old) == (keyword in new) and not (referred_differ and b'"$ref"' in one):
            continue
        change = f"{keyword!r} {_how_changed(keyword, old, new)}"
        if keyword.startswith(("x-", "X-")):
            yield "compatible", change
        else:
            yield WIDER, f"{change}; values may come that did not fit before"
            yield NARROWER, f"{change}; values that fitted may not fit any more"


def _opaque(schema: Mapping[str, Json]) -> set[str]:
    """Keywords that no other function compares; draft 4's flags beside a bound are among them."""
    flags = {keyword for keyword in (*_LOWER, *_UPPER) if isinstance(schema.get(keyword), bool)}
    return {*schema} - {*_COMPARED, *_LOWER, *_UPPER, *_EXACT, *ANNOTATIONS} | flags


def _types(old: frozenset[str], new: frozenset[str]) -> Differences:
    added, gone = new - old, old - new
    if len(new) == len(_TYPES) > len(old):
        yield WIDER, "may now be of any type"
        return
    if len(old) == len(_TYPES) > len(new):
        yield NARROWER, f"must now be {_either(new)}"
        return
    if added == {"number"} and "integer" in old:
        yield WIDER, "may now be a fraction; it was an integer"
    elif added:
        yield WIDER, f"may now be {_either(added)}"
    if gone == {"number"} and "integer" in new:
        yield NARROWER, "must now be an integer; fractions no longer fit"
    elif gone:
        yield NARROWER, f"may no longer be {_either(gone)}"


def _either(types: frozenset[str]) -> str:
    listed_types = types - {"integer"} if "number" in types else types
    return either(
        f"{'an' if name[0] in 'aio' else 'a'} {name}" if name != "null" else name
        for name in _TYPES
        if name in listed_types
    )


def _options(schema: Mapping[str, Json]) -> dict[bytes, Json] | None:
    """The values that are allowed one by one, by their JSON; None where any is."""
    choices = [[schema["const"]]] if "const" in schema else []
    choices += [schema["enum"]] if isinstance(schema.get("enum"), list) else []
    if not choices:
        return None
    first, *others = ({_key(option): option for option in options} for options in choices)
    return {key: option for key, option in first.items() if all(key in other for other in others)}


def _key(value: Json) -> bytes:
    """The same for 1 and 1.0, which are one value."""
    return encode(int(value) if isinstance(value, float) and value.is_integer() else value, sort_keys=True)


def _choices(old: dict[bytes, Json] | None, new: dict[bytes, Json] | None) -> Differences:
    if old is None and new is not None:
        yield NARROWER, f"must now be {'one of ' * (len(new) > 1)}{listed(new.values())}"
    elif new is None and old is not None:
        yield WIDER, f"may now be other than {listed(old.values())}"
    elif old is not None and new is not None:
        if added := [new[key] for key in new if key not in old]:
            yield WIDER, f"may now be {listed(added)}"
        if gone := [old[key] for key in old if key not in new]:
            yield NARROWER, f"may no longer be {listed(gone)}"


def _number(schema: Mapping[str, Json], keyword: str) -> float | None:
    number = schema.get(keyword)
    return number if isinstance(number, int | float) and not isinstance(number, bool) else None


def _bound(words: str, old: float | None, new: float | None, *, rises_is_narrower: bool) -> Differences:
    if old == new:
        return
    if old is None:
        yield NARROWER, f"{words} is now {brief(new)}; there was none"
    elif new is None:
        yield WIDER, f"{words} of {brief(old)} is gone"
    else:
        yield NARROWER if (new > old) == rises_is_narrower else WIDER, f"{words} is now {brief(new)}, was {brief(old)}"


def _exact(keyword: str, old: Json, new: Json) -> Differences:
    if old == new:
        return
    if old is None:
        yield NARROWER, f"must now fit the {keyword} {brief(new)}"
    elif new is None:
        yield WIDER, f"need no longer fit the {keyword} {brief(old)}"
    else:
        yield WIDER, f"the {keyword} is now {brief(new)}, was {brief(old)}; values may come that did not fit before"
        yield NARROWER, f"the {keyword} is now {brief(new)}, was {brief(old)}; values that fitted may not fit any more"


def _multiples(old: float | None, new: float | None) -> Differences:
    if old == new:
        return
    if new is None or (old is not None and old % new == 0):
        yield WIDER, f"need no longer be a multiple of {brief(old)}"
    elif old is None or new % old == 0:
        yield NARROWER, f"must now be a multiple of {brief(new)}"
    else:
        yield WIDER, f"must be a multiple of {brief(new)}, no longer of {brief(old)}"
        yield NARROWER, f"must be a multiple of {brief(new)}, no longer of {brief(old)}"


def _unique(old: bool, new: bool) -> Differences:
    if new and not old:
        yield NARROWER, "may no longer have two equal items"
    elif old and not new:
        yield WIDER, "may now have equal items"


def _annotations(old: Mapping[str, Json], new: Mapping[str, Json]) -> Differences:
    for keyword in sorted(ANNOTATIONS):
        if _differ(old.get(keyword), new.get(keyword)) or (keyword in old) != (keyword in new):
            yield "compatible", f"{keyword!r} {_how_changed(keyword, old, new)}"


def _how_changed(keyword: str, old: Mapping[str, Json], new: Mapping[str, Json]) -> str:
    return "is new" if keyword not in old else "is gone" if keyword not in new else "changed"


def _differ(old: Json, new: Json) -> bool:
    return encode(old, sort_keys=True) != encode(new, sort_keys=True)
