"""What changed between two schemas: whom each change breaks, where, and in words."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from llmguard.core.errors import UsageError
from llmguard.schema import compile_schema
from llmguard.schema.diff import Change, diff


def said(old: Any, new: Any) -> list[str]:
    return [str(change) for change in diff(compile_schema(old), compile_schema(new))]


def an_object(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


TEXT, INTEGER = {"type": "string"}, {"type": "integer"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (an_object(a=TEXT), an_object(a=TEXT), []),
        (an_object(a=TEXT), an_object(a=TEXT, b=TEXT), ["/b: may now be present [breaking-for-callers]"]),
        (an_object(a=TEXT, b=TEXT), an_object(a=TEXT), ["/b: may no longer be present [breaking-for-outcomes]"]),
        (an_object("a", a=TEXT), an_object(a=TEXT), ["/a: may now be missing [breaking-for-callers]"]),
        (an_object(a=TEXT), an_object("a", a=TEXT), ["/a: is now required [breaking-for-outcomes]"]),
        ({"type": "object"}, an_object(), ["/*: may no longer be present [breaking-for-outcomes]"]),
        (INTEGER, {"type": "number"}, [": may now be a fraction; it was an integer [breaking-for-callers]"]),
        ({"type": "number"}, INTEGER, [": must now be an integer; fractions no longer fit [breaking-for-outcomes]"]),
        (TEXT, {}, [": may now be of any type [breaking-for-callers]"]),
        (TEXT, {"type": ["string", "null"]}, [": may now be of type null [breaking-for-callers]"]),
        (TEXT, {"anyOf": [TEXT, {"type": "null"}]}, [": may now be of type null [breaking-for-callers]"]),
        ({"enum": ["a", "b"]}, {"enum": ["b", "c"]}, [
            ": may now be 'c' [breaking-for-callers]", ": may no longer be 'a' [breaking-for-outcomes]",
        ]),
        ({"const": 1}, {"enum": [1.0]}, []),
        ({"maximum": 5}, {"maximum": 9}, [": the maximum is now 9, was 5 [breaking-for-callers]"]),
        ({"minLength": 1}, {}, [": the least length of 1 is gone [breaking-for-callers]"]),
        ({}, {"maxItems": 3}, [": the greatest number of items is now 3; there was none [breaking-for-outcomes]"]),
        ({"multipleOf": 4}, {"multipleOf": 2}, [": need no longer be a multiple of 4 [breaking-for-callers]"]),
        ({"format": "date"}, {}, [": need no longer fit the format 'date' [breaking-for-callers]"]),
        ({"description": "a"}, {"description": "b"}, [": 'description' changed [compatible]"]),
        ({"not": INTEGER}, {"not": TEXT}, [
            ": 'not' changed; values may come that did not fit before [breaking-for-callers]",
            ": 'not' changed; values that fitted may not fit any more [breaking-for-outcomes]",
        ]),
    ],
)  # fmt: skip
def test_each_change_says_whom_it_breaks(old: Any, new: Any, expected: list[str]) -> None:
    """Wider breaks those who read values, narrower those values that are there; words about words break nobody."""
    shown = [str(change).replace("(whole value)", "", 1) for change in diff(compile_schema(old), compile_schema(new))]
    assert shown == expected


def test_a_change_is_data() -> None:
    """Kind, place in the value, and words."""
    assert diff(compile_schema(an_object("a", a=TEXT)), compile_schema(an_object(a=TEXT))) == (
        Change("breaking-for-callers", "/a", "may now be missing"),
    )


def test_changes_are_found_behind_references_and_in_lists() -> None:
    """At every place where the definition is used, by the path of the value; recursion ends."""

    def order(name: Any) -> Any:
        node = {
            "type": "object",
            "properties": {"name": name, "kids": {"type": "array", "items": {"$ref": "#/$defs/n"}}},
        }
        return {"properties": {"a": {"$ref": "#/$defs/n"}, "b": {"items": {"$ref": "#/$defs/n"}}}, "$defs": {"n": node}}

    assert said(order(TEXT), order(INTEGER)) == [
        "/a/name: may now be an integer [breaking-for-callers]",
        "/b/*/name: may now be an integer [breaking-for-callers]",
        "/a/name: may no longer be a string [breaking-for-outcomes]",
        "/b/*/name: may no longer be a string [breaking-for-outcomes]",
    ]


def test_alternatives_are_paired_by_what_tells_them_apart() -> None:
    """A branch of a union that changed is compared with itself, one that is new is named."""
    cat, dog = an_object("kind", kind={"const": "cat"}, lives=INTEGER), an_object("kind", kind={"const": "dog"})
    cow = an_object("kind", kind={"const": "cow"})
    tame = {**cat, "required": ["kind", "lives"]}
    assert said({"oneOf": [cat, dog]}, {"oneOf": [dog, tame, cow]}) == [
        "(whole value): may now be the alternative kind='cow' [breaking-for-callers]",
        "/lives: is now required [breaking-for-outcomes]",
    ]


def test_those_that_break_callers_come_first() -> None:
    """Then those that break outcomes, then the rest."""
    old = {"title": "a", **an_object("a", a=TEXT, b=INTEGER)}
    new = {"title": "b", **an_object(a=TEXT, b={"type": "integer", "minimum": 1})}
    assert [change.kind for change in diff(compile_schema(old), compile_schema(new))] == [
        "breaking-for-callers", "breaking-for-outcomes", "compatible",
    ]  # fmt: skip


class Schemas:
    """Random schemas, values, and small changes."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def schema(self, depth: int = 0, definitions: tuple[str, ...] = ()) -> Any:
        rng, chance = self.rng, self.rng.random()
        if definitions and chance < 0.1:
            return {"$ref": f"#/$defs/{rng.choice(definitions)}"}
        if chance < 0.12:
            return rng.choice([True, {}, False])
        if chance < 0.36 and depth < 2:
            keyword = rng.choice(["anyOf", "oneOf", "allOf"])
            return {keyword: [self.schema(depth + 1, definitions) for _ in range(rng.randint(1, 3))]}
        if chance < 0.6 and depth < 3:
            return self.object(depth, definitions)
        if chance < 0.7 and depth < 3:
            return {"type": "array", "items": self.schema(depth + 1, definitions), "maxItems": rng.randint(0, 2)}
        if chance < 0.84:
            return {"enum": rng.sample([1, 2, "x", "y", None, True, 1.5, []], rng.randint(1, 4))}
        return self.scalar()

    def object(self, depth: int, definitions: tuple[str, ...]) -> Any:
        rng = self.rng
        names = rng.sample("abc", rng.randint(0, 3))
        found: Any = {"type": "object", "properties": {name: self.schema(depth + 1, definitions) for name in names}}
        found["required"] = rng.sample("abc", rng.randint(0, 2))
        if rng.random() < 0.5:
            found["additionalProperties"] = rng.choice([False, True, self.schema(depth + 1, definitions)])
        if rng.random() < 0.1:
            found["patternProperties"] = {"^a": self.schema(depth + 1, definitions)}
        return found

    def scalar(self) -> Any:
        rng = self.rng
        found: Any = {
            "type": rng.choice(["string", "integer", "number", "boolean", ["string", "null"], ["integer", "string"]])
        }
        keywords = {
            "minimum": rng.randint(0, 2),
            "maximum": rng.randint(0, 3),
            "minLength": 1,
            "maxLength": rng.randint(0, 3),
        }
        keywords |= {"multipleOf": rng.choice([1, 2, 0.5]), "pattern": "^x", "not": {"type": "null"}}
        return found | {key: value for key, value in keywords.items() if rng.random() < 0.15}

    def pair(self) -> tuple[Any, Any]:
        names = ("d1", "d2") if self.rng.random() < 0.4 else ()
        old = {"allOf": [self.schema(0, names)], "$defs": {name: self.schema(1, names) for name in names}}
        new = json.loads(json.dumps(old))
        place = self.rng.choice([each for each in dicts(new) if each is not new])
        if place and self.rng.random() < 0.5:
            place.pop(self.rng.choice(list(place)))
        change = self.schema(1)
        place.update(change if isinstance(change, dict) else {})
        return old, new

    def value(self, depth: int = 0) -> Any:
        rng, chance = self.rng, self.rng.random()
        if chance < 0.35 and depth < 3:
            return {name: self.value(depth + 1) for name in rng.sample("abcd", rng.randint(0, 3))}
        if chance < 0.5 and depth < 3:
            return [self.value(depth + 1) for _ in range(rng.randint(0, 2))]
        return rng.choice([0, 1, 2, 3, 1.5, -1, "", "x", "y", "xy", "xxx", None, True, False, []])


def dicts(part: Any) -> list[Any]:
    inner = list(part.values()) if isinstance(part, dict) else part if isinstance(part, list) else []
    return ([part] if isinstance(part, dict) else []) + [each for one in inner for each in dicts(one)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_no_value_breaks_unannounced(seed: int) -> None:
    """Of random schemas and changes: where a value fits only one of the two, a change of that kind is told."""
    made, tried = Schemas(seed), 0
    while tried < 60:
        old, new = made.pair()
        try:
            before, after = compile_schema(old), compile_schema(new)
        except UsageError:
            continue
        tried += 1
        kinds = {change.kind for change in diff(before, after)}
        for value in (made.value() for _ in range(40)):
            fitted, fits = not before.violations(value), not after.violations(value)
            assert fits or not fitted or "breaking-for-outcomes" in kinds, (old, new, value)
            assert fitted or not fits or "breaking-for-callers" in kinds, (old, new, value)
