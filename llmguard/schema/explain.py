"""Why a value does not fit: verdicts on the parts of a schema, followed down to violations.

jsonschema-rs could list the errors itself, but it lists every branch of every `anyOf` below every other: for a reply of
15 levels to a recursive union that takes 11 seconds. Its verdicts are quick, so only these are asked for, one subschema
and one keyword at a time, and of several branches only the one that fits best is followed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from llmguard.core.canonical import Json
from llmguard.core.outcome import Violation, Violations
from llmguard.schema.alternatives import admits, among, constants_of, discriminators, name_of, types_of_branch
from llmguard.schema.keywords import as_pointer, from_fragment
from llmguard.schema.verdicts import COMPANIONS, Verdicts, is_flag
from llmguard.schema.words import brief, clause, clipped, hint, listed, nearest, quoted

MAX_VIOLATIONS = 20
MAX_FOUND = 100
"""Violations after which nothing more is looked for; of these the most relevant are told."""

MAX_INSPECTIONS = 2_000
"""Places of a value that are looked at to explain it."""

MAX_BRANCHES = 50
UNEXPLAINED = "schema"
"""The rule of a violation where no keyword can be named."""

MAX_TOKEN_CHARS = 200

Path: TypeAlias = tuple[str, ...]

_ASSERTIONS = (
    *("type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"),
    *("maxLength", "minLength", "pattern", "format", "maxItems", "minItems", "uniqueItems"),
    *("maxProperties", "minProperties", "contentEncoding", "contentMediaType"),
)
_RANK = {"type": 0, "required": 1, "enum": 2, "const": 2, "additionalProperties": 4, "unevaluatedProperties": 4}


@dataclass(frozen=True, slots=True)
class RunsOn:
    """A value and the schema that judges it, by the schema's pointer."""

    schema: str
    value: Json = field(repr=False)
    path: Path


@dataclass(slots=True)
class Findings:
    """What one look at a place gave: violations of the value itself, and where to look on."""

    violations: list[Violation] = field(default_factory=list)
    deeper: list[RunsOn] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.violations or self.deeper)


class Explainer:
    """Explains values that do not fit one self-contained schema."""

    def __init__(self, verdicts: Verdicts) -> None:
        self.verdicts = verdicts
        self._keywords = verdicts.draft.keywords

    def explain(self, value: Json, limit: int = MAX_VIOLATIONS) -> Violations:
        """At most `limit` violations, the most relevant first; never none."""
        found: list[Violation] = []
        waiting = deque([RunsOn("", value, ())])
        seen: set[tuple[str, Path]] = set()
        while waiting and len(found) < MAX_FOUND:
            place = waiting.popleft()
            if (place.schema, place.path) in seen:
                continue
            seen.add((place.schema, place.path))
            findings = self._inspect(place) if len(seen) <= MAX_INSPECTIONS else Findings()
            found += findings.violations or ([] if findings.deeper else [_unexplained(place)])
            waiting += findings.deeper
        once = {(violation.path, violation.rule, violation.message): violation for violation in found}
        return tuple(sorted(once.values(), key=_relevance)[:limit])

    def _inspect(self, place: RunsOn) -> Findings:
        """What is wrong here, and which parts, or further schemas for the same value, do not fit."""
        schema = self.verdicts.schema(place.schema)
        if not isinstance(schema, dict):
            return Findings([_violation(place, "false", "must not be there")])
        if _holds_half_a_character(place.value):
            message = "holds half of a surrogate pair, which is no character"
            return Findings([Violation(_pointer(place.path), "text", message)])
        findings = Findings(list(self._violations(place, schema)))
        findings.deeper += islice(self._misfits(place, schema), MAX_FOUND)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                self._look_into_branches(place, keyword, len(schema[keyword]), findings)
        if not findings:
            findings.violations += self._unevaluated(place, schema)
        return findings

    def _violations(self, place: RunsOn, schema: Json) -> Iterator[Violation]:
        for keyword in _ASSERTIONS:
            if keyword in schema and keyword in self._keywords and not is_flag(keyword, schema):
                yield from self._broken(place, keyword, schema)
        if isinstance(place.value, dict):
            yield from self._wrong_object(place, schema)
        elif isinstance(place.value, list):
            yield from self._wrong_list(place, schema)
        if "not" in schema and self.verdicts.fits(place.schema + "/not", place.value):
            yield _violation(place, "not", clause("not", None, place.value))

    def _broken(self, place: RunsOn, keyword: str, schema: Json) -> Iterator[Violation]:
        if not self.verdicts.keeps(place.schema, keyword, place.value):
            strict = COMPANIONS.get(keyword)
            said = strict if strict and schema.get(strict) is True else keyword
            yield _violation(place, keyword, clause(said, schema[keyword], place.value), schema[keyword])

    def _misfits(self, place: RunsOn, schema: Json) -> Iterator[RunsOn]:
        """The parts of the value, and the further schemas for all of it, that do not fit."""
        parts: Iterable[RunsOn] = ()
        if isinstance(place.value, dict):
            parts = self._properties(place, schema)
        elif isinstance(place.value, list):
            parts = self._items(place, schema)
        yield from (part for part in parts if not self.verdicts.fits(part.schema, part.value))
        for pointer in self._in_place(place, schema):
            if not self.verdicts.fits(pointer, place.value):
                yield RunsOn(pointer, place.value, place.path)

    def _in_place(self, place: RunsOn, schema: Json) -> Iterator[str]:
        here = place.schema
        ref = from_fragment(schema.get("$ref", ""))
        if ref is not None and ref in self.verdicts.places:
            yield ref
        yield from (f"{here}/allOf/{number}" for number in range(len(schema.get("allOf", ()))))
        if "if" in schema and "if" in self._keywords:
            branch = "then" if self.verdicts.fits(f"{here}/if", place.value) else "else"
            if branch in schema:
                yield f"{here}/{branch}"
        for keyword in ("dependentSchemas", "dependencies"):
            if isinstance(place.value, dict) and keyword in self._keywords:
                present = (name for name in schema.get(keyword, ()) if name in place.value)
                pointers = (here + as_pointer((keyword, name)) for name in present)
                yield from (pointer for pointer in pointers if pointer in self.verdicts.places)

    # --- objects

    def _properties(self, place: RunsOn, schema: Json) -> Iterator[RunsOn]:
        """Every property with every schema that judges it."""
        described = schema.get("properties", {})
        for name, value in place.value.items():
            path = (*place.path, name)
            keywords = [("properties", name)] if name in described else []
            keywords += [("patternProperties", pattern) for pattern in self._patterns(schema, name)]
            if not keywords and isinstance(schema.get("additionalProperties"), dict):
                yield RunsOn(place.schema + "/additionalProperties", value, path)
            yield from (RunsOn(place.schema + as_pointer(tokens), value, path) for tokens in keywords)

    def _patterns(self, schema: Json, name: str) -> list[str]:
        return [pattern for pattern in schema.get("patternProperties", ()) if self.verdicts.matches(pattern, name)]

    def _wrong_object(self, place: RunsOn, schema: Json) -> Iterator[Violation]:
        described = schema.get("properties", {})
        strangers = [name for name in islice(place.value, 500) if name not in described]
        missing = [name for name in schema.get("required", ()) if name not in place.value]
        for name in missing[: 2 * MAX_VIOLATIONS]:
            near = nearest(name, strangers)
            is_it = f" (is it {quoted(near)}?)" if near else ""
            yield _violation(place, "required", f"required property {quoted(name)} is missing{is_it}", name)
        yield from self._missing_dependents(place, schema)
        if schema.get("additionalProperties") is False:
            yield from islice(self._unexpected(place, schema), MAX_VIOLATIONS)
        if "propertyNames" in schema and "propertyNames" in self._keywords:
            yield from islice(self._wrong_names(place), MAX_VIOLATIONS)

    def _missing_dependents(self, place: RunsOn, schema: Json) -> Iterator[Violation]:
        for keyword in ("dependentRequired", "dependencies"):
            needs = schema.get(keyword, {}) if keyword in self._keywords else {}
            for name, needed in needs.items():
                lists = needed if isinstance(needed, list) and name in place.value else []
                for other in (each for each in lists if each not in place.value):
                    message = f"property {quoted(other)} is required where {quoted(name)} is present"
                    yield _violation(place, keyword, message, other)

    def _unexpected(self, place: RunsOn, schema: Json) -> Iterator[Violation]:
        described = schema.get("properties", {})
        for name in place.value:
            if name not in described and not self._patterns(schema, name):
                yield _unexpected_property(place, name, described, "additionalProperties")

    def _wrong_names(self, place: RunsOn) -> Iterator[Violation]:
        schema = place.schema + "/propertyNames"
        for name in place.value:
            if not self.verdicts.fits(schema, name):
                found = self._inspect(RunsOn(schema, name, ())).violations
                why, expected = (found[0].message, found[0].expected) if found else ("is not allowed", None)
                yield _violation(place, "propertyNames", f"property name {brief(name)}: {why}", expected)

    # --- lists

    def _items(self, place: RunsOn, schema: Json) -> Iterator[RunsOn]:
        """Every item with the schema that judges it. Before 2020-12 `items` could be what `prefixItems` is now."""
        by_position = "items" if isinstance(schema.get("items"), list) else "prefixItems"
        for_the_rest = "additionalItems" if by_position == "items" else "items"
        first = len(schema.get(by_position, ())) if by_position in self._keywords else 0
        for number, value in enumerate(place.value):
            pointer = f"{place.schema}/{by_position}/{number}" if number < first else f"{place.schema}/{for_the_rest}"
            if pointer in self.verdicts.places:
                yield RunsOn(pointer, value, (*place.path, str(number)))

    def _wrong_list(self, place: RunsOn, schema: Json) -> Iterator[Violation]:
        if "contains" not in schema or "contains" not in self._keywords:
            return
        fitting = sum(self.verdicts.fits(place.schema + "/contains", item) for item in place.value)
        bounds = schema if "minContains" in self._keywords else {}
        least, most = bounds.get("minContains", 1), bounds.get("maxContains", fitting)
        if fitting < least:
            yield _violation(place, "contains", f"must have at least {least} fitting 'contains'; {fitting} do", least)
        if fitting > most:
            yield _violation(place, "maxContains", f"must have at most {most} fitting 'contains'; {fitting} do", most)

    def _unevaluated(self, place: RunsOn, schema: Json) -> Iterator[Violation]:
        if "unevaluatedProperties" in schema and isinstance(place.value, dict):
            for name in self.verdicts.unevaluated_properties(place.schema, place.value):
                yield _unexpected_property(place, name, schema.get("properties", {}), "unevaluatedProperties")
        elif "unevaluatedItems" in schema and isinstance(place.value, list):
            message = f"must have no item that no other keyword describes; got {brief(place.value)}"
            yield _violation(place, "unevaluatedItems", message)

    # --- alternatives

    def _look_into_branches(self, place: RunsOn, keyword: str, count: int, findings: Findings) -> None:
        branches = [f"{place.schema}/{keyword}/{number}" for number in range(count)]
        fitting = [branch for branch in branches if self.verdicts.fits(branch, place.value)]
        if len(fitting) > 1 and keyword == "oneOf":
            names = listed(name_of(self.verdicts, branch) for branch in fitting)
            message = f"must fit exactly one alternative; fits {len(fitting)}: {names}"
            findings.violations.append(_violation(place, "oneOf", message, 1))
        elif not fitting:
            self._look_into_best(place, branches, findings)

    def _look_into_best(self, place: RunsOn, branches: list[str], findings: Findings) -> None:
        """The branch that was probably meant; where none is for values of this type, all their types."""
        admitting = [branch for branch in branches if admits(self.verdicts, branch, place.value)]
        choices = [constants_of(self.verdicts, branch) for branch in admitting or branches]
        if all(options is not None for options in choices):
            options = [option for each in choices for option in each or ()]
            findings.violations.append(_wrong_choice(place, options))
        elif admitting:
            self._look_into_meant(place, admitting, findings)
        elif types := [name for branch in branches for name in types_of_branch(self.verdicts, branch) or ()]:
            types = list(dict.fromkeys(types))
            findings.violations.append(_violation(place, "type", clause("type", types, place.value), types))

    def _look_into_meant(self, place: RunsOn, branches: list[str], findings: Findings) -> None:
        told_apart = discriminators(self.verdicts, branches) if isinstance(place.value, dict) else {}
        for name, options in told_apart.items():
            if name not in place.value:
                continue
            meant = [branch for branch, own in zip(branches, options, strict=True) if among(place.value[name], own)]
            if not meant:
                wrong = RunsOn("", place.value[name], (*place.path, name))
                findings.violations.append(_wrong_choice(wrong, [option for own in options for option in own]))
                return
            branches = meant
            break
        if len(branches) > 1:
            branches = sorted(branches[:MAX_BRANCHES], key=lambda branch: self._distance(branch, place))
        findings.deeper.append(RunsOn(branches[0], place.value, place.path))

    def _distance(self, branch: str, place: RunsOn) -> int:
        found = self._inspect(RunsOn(self.verdicts.target(branch), place.value, place.path))
        return 2 * len(found.violations) + len(found.deeper)


def _violation(place: RunsOn, rule: str, message: str, expected: Json = None) -> Violation:
    return Violation(_pointer(place.path), rule, message, clipped(expected), clipped(place.value))


def _wrong_choice(place: RunsOn, options: list[Json]) -> Violation:
    return _violation(place, "enum", clause("enum", options, place.value), options)


def _unexpected_property(place: RunsOn, name: str, described: Mapping[str, Json], rule: str) -> Violation:
    near = hint(name, [other for other in described if other not in place.value] or described)
    message = f"unexpected property {brief(name)}{near}"
    path = _pointer((*place.path, name))
    return Violation(path, rule, message, clipped(list(described)), clipped(place.value[name]))


def _unexplained(place: RunsOn) -> Violation:
    at = f"#{place.schema}"
    return _violation(place, UNEXPLAINED, f"does not fit the schema at {brief(at)}; got {brief(place.value)}")


def _holds_half_a_character(value: Json) -> bool:
    return isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value)


def _pointer(path: Path) -> str:
    """Names come from the model, so a long one is cut."""
    return as_pointer(
        tuple(token if len(token) <= MAX_TOKEN_CHARS else token[:MAX_TOKEN_CHARS] + "…" for token in path)
    )


def _relevance(violation: Violation) -> tuple[bool, int, int]:
    """Shallow first, and there what a model has most use for; last what could only be said to be wrong."""
    return violation.rule == UNEXPLAINED, violation.path.count("/"), _RANK.get(violation.rule, 3)
