"""Why a value does not fit: verdicts on the parts of a schema, followed down to violations.

jsonschema-rs could list the errors itself, but it lists every branch of every `anyOf` below every other: for a reply of
15 levels to a recursive union that takes 11 seconds. Its verdicts are quick, so only these are used, for one subschema
and one keyword at a time, and of several branches only the one that fits best is followed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from llmguard.core.canonical import Json
from llmguard.core.outcome import Violation, Violations
from llmguard.schema.alternatives import (
    admits,
    branch_constants,
    branch_name,
    branch_types,
    discriminators,
    is_among,
)
from llmguard.schema.keywords import as_pointer
from llmguard.schema.navigate import ALTERNATIVES, Location
from llmguard.schema.verdicts import COMPANIONS, Verdicts, is_flag
from llmguard.schema.words import brief, clause, clipped, hint, listed, nearest, quote_printable

MAX_VIOLATIONS = 20
MAX_FOUND = 100
"""Violations after which the search ends; the most relevant of them are returned."""

MAX_INSPECTIONS = 2_000
"""Pairs of a value's part and a schema that are examined to explain it."""

MAX_BRANCHES = 50
UNEXPLAINED = "schema"
"""The rule of a violation for which no keyword is known."""

MAX_TOKEN_CHARS = 200

Path: TypeAlias = tuple[str, ...]

_ASSERTIONS = (
    *("type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"),
    *("maxLength", "minLength", "pattern", "format", "maxItems", "minItems", "uniqueItems"),
    *("maxProperties", "minProperties", "contentEncoding", "contentMediaType"),
)
_RANK = {"type": 0, "required": 1, "enum": 2, "const": 2, "additionalProperties": 4, "unevaluatedProperties": 4}


@dataclass(frozen=True, slots=True)
class JudgedValue:
    """A value, its path, and the location of the schema that judges it."""

    location: Location
    value: Json = field(repr=False)
    path: Path


@dataclass(slots=True)
class Findings:
    """The result of examining one value: violations of the value itself, and where to look on."""

    violations: list[Violation] = field(default_factory=list)
    deeper: list[JudgedValue] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.violations or self.deeper)


class Explainer:
    """Explains values that do not fit one self-contained schema."""

    def __init__(self, verdicts: Verdicts) -> None:
        self.verdicts = verdicts
        self._keywords = verdicts.document.draft.keywords

    def explain(self, value: Json, limit: int = MAX_VIOLATIONS) -> Violations:
        """At most `limit` violations, the most relevant first; never none."""
        violations: list[Violation] = []
        waiting = deque([JudgedValue(self.verdicts.document.root, value, ())])
        known: set[tuple[str, Path]] = set()
        while waiting and len(violations) < MAX_FOUND:
            subject = waiting.popleft()
            key = (subject.location.pointer, subject.path)
            if key in known:
                continue
            known.add(key)
            findings = self._inspect(subject) if len(known) <= MAX_INSPECTIONS else Findings()
            violations += findings.violations or ([] if findings.deeper else [_unexplained(subject)])
            waiting += findings.deeper
        once = {(violation.path, violation.rule, violation.message): violation for violation in violations}
        return tuple(sorted(once.values(), key=_relevance)[:limit])

    def _inspect(self, subject: JudgedValue) -> Findings:
        """What is wrong with the value, and which of its parts, or further schemas for it, do not fit."""
        location = subject.location
        if not isinstance(location.schema, dict):
            return Findings([_violation(subject, "false", "must not be there")])
        if _holds_half_a_character(subject.value):
            message = "holds half of a surrogate pair, which is no character"
            return Findings([Violation(_pointer(subject.path), "text", message)])
        findings = Findings(list(self._violations(subject)))
        findings.deeper += islice(self._mismatches(subject), MAX_FOUND)
        for keyword in ALTERNATIVES:
            if keyword in location.keywords:
                self._look_into_branches(subject, keyword, findings)
        if not findings:
            findings.violations += self._unevaluated(subject)
        return findings

    def _violations(self, subject: JudgedValue) -> Iterator[Violation]:
        schema = subject.location.keywords
        for keyword in _ASSERTIONS:
            if keyword in schema and keyword in self._keywords and not is_flag(keyword, schema):
                yield from self._broken(subject, keyword)
        if isinstance(subject.value, dict):
            yield from self._wrong_object(subject)
        elif isinstance(subject.value, list):
            yield from self._wrong_list(subject)
        if "not" in schema and self.verdicts.fits(subject.location.pointer + "/not", subject.value):
            yield _violation(subject, "not", clause("not", None, subject.value))

    def _broken(self, subject: JudgedValue, keyword: str) -> Iterator[Violation]:
        schema = subject.location.keywords
        if not self.verdicts.keeps(subject.location, keyword, subject.value):
            strict = COMPANIONS.get(keyword)
            stated = strict if strict and schema.get(strict) is True else keyword
            yield _violation(subject, keyword, clause(stated, schema[keyword], subject.value), schema[keyword])

    def _mismatches(self, subject: JudgedValue) -> Iterator[JudgedValue]:
        """The parts of the value, and the further schemas for all of it, that do not fit."""
        parts: Iterable[JudgedValue] = ()
        if isinstance(subject.value, dict):
            parts = self._properties(subject)
        elif isinstance(subject.value, list):
            parts = self._items(subject)
        yield from (part for part in parts if not self.verdicts.fits(part.location.pointer, part.value))
        for location in self._same_value(subject):
            if not self.verdicts.fits(location.pointer, subject.value):
                yield JudgedValue(location, subject.value, subject.path)

    def _same_value(self, subject: JudgedValue) -> Iterator[Location]:
        """The further schemas that judge the value itself, except those of `anyOf` and `oneOf`."""
        judge = subject.location
        yield from judge.same_value(("allOf",))
        if "if" in judge.keywords and "if" in self._keywords:
            branch = "then" if self.verdicts.fits(f"{judge.pointer}/if", subject.value) else "else"
            if (location := judge.child(branch)) is not None:
                yield location
        for keyword in ("dependentSchemas", "dependencies"):
            if isinstance(subject.value, dict) and keyword in self._keywords:
                present = (name for name in judge.keywords.get(keyword, ()) if name in subject.value)
                yield from (location for name in present if (location := judge.child(keyword, name)) is not None)

    # --- objects

    def _properties(self, subject: JudgedValue) -> Iterator[JudgedValue]:
        """Every property with each schema that judges it."""
        judge = subject.location
        for name, value in subject.value.items():
            locations = [judge.child("properties", name)]
            locations += (judge.child("patternProperties", pattern) for pattern in self._patterns(judge.keywords, name))
            if locations == [None] and isinstance(judge.keywords.get("additionalProperties"), dict):
                locations = [judge.child("additionalProperties")]
            for location in locations:
                if location is not None:
                    yield JudgedValue(location, value, (*subject.path, name))

    def _patterns(self, schema: Mapping[str, Json], name: str) -> list[str]:
        return [pattern for pattern in schema.get("patternProperties", ()) if self.verdicts.matches(pattern, name)]

    def _wrong_object(self, subject: JudgedValue) -> Iterator[Violation]:
        schema = subject.location.keywords
        described = schema.get("properties", {})
        strangers = [name for name in islice(subject.value, 500) if name not in described]
        missing = [name for name in schema.get("required", ()) if name not in subject.value]
        for name in missing[: 2 * MAX_VIOLATIONS]:
            near = nearest(name, strangers)
            is_it = f" (is it {quote_printable(near)}?)" if near else ""
            yield _violation(subject, "required", f"required property {quote_printable(name)} is missing{is_it}", name)
        yield from self._missing_dependents(subject)
        if schema.get("additionalProperties") is False:
            yield from islice(self._unexpected(subject), MAX_VIOLATIONS)
        if (names := subject.location.child("propertyNames")) is not None:
            yield from islice(self._wrong_names(subject, names), MAX_VIOLATIONS)

    def _missing_dependents(self, subject: JudgedValue) -> Iterator[Violation]:
        for keyword in ("dependentRequired", "dependencies"):
            needs = subject.location.keywords.get(keyword, {}) if keyword in self._keywords else {}
            for name, needed in needs.items():
                lists = needed if isinstance(needed, list) and name in subject.value else []
                for other in (each for each in lists if each not in subject.value):
                    message = f"property {quote_printable(other)} is required where {quote_printable(name)} is present"
                    yield _violation(subject, keyword, message, other)

    def _unexpected(self, subject: JudgedValue) -> Iterator[Violation]:
        schema = subject.location.keywords
        described = schema.get("properties", {})
        for name in subject.value:
            if name not in described and not self._patterns(schema, name):
                yield _unexpected_property(subject, name, described, "additionalProperties")

    def _wrong_names(self, subject: JudgedValue, names: Location) -> Iterator[Violation]:
        for name in subject.value:
            if not self.verdicts.fits(names.pointer, name):
                violations = self._inspect(JudgedValue(names, name, ())).violations
                first = violations[0] if violations else None
                why, expected = (first.message, first.expected) if first else ("is not allowed", None)
                yield _violation(subject, "propertyNames", f"property name {brief(name)}: {why}", expected)

    # --- lists

    def _items(self, subject: JudgedValue) -> Iterator[JudgedValue]:
        """Every item with the schema that judges it."""
        prefix, rest = subject.location.prefix, subject.location.rest
        for number, value in enumerate(subject.value):
            location = prefix[number] if number < len(prefix) else rest
            if location is not None:
                yield JudgedValue(location, value, (*subject.path, str(number)))

    def _wrong_list(self, subject: JudgedValue) -> Iterator[Violation]:
        schema = subject.location.keywords
        if "contains" not in schema or "contains" not in self._keywords:
            return
        fitting = sum(self.verdicts.fits(subject.location.pointer + "/contains", item) for item in subject.value)
        bounds = schema if "minContains" in self._keywords else {}
        least, most = bounds.get("minContains", 1), bounds.get("maxContains", fitting)
        if fitting < least:
            yield _violation(subject, "contains", f"must have at least {least} fitting 'contains'; {fitting} do", least)
        if fitting > most:
            yield _violation(subject, "maxContains", f"must have at most {most} fitting 'contains'; {fitting} do", most)

    def _unevaluated(self, subject: JudgedValue) -> Iterator[Violation]:
        schema = subject.location.keywords
        if "unevaluatedProperties" in schema and isinstance(subject.value, dict):
            for name in self.verdicts.unevaluated_properties(subject.location.pointer, subject.value):
                yield _unexpected_property(subject, name, schema.get("properties", {}), "unevaluatedProperties")
        elif "unevaluatedItems" in schema and isinstance(subject.value, list):
            message = f"must have no item that no other keyword describes; got {brief(subject.value)}"
            yield _violation(subject, "unevaluatedItems", message)

    # --- alternatives

    def _look_into_branches(self, subject: JudgedValue, keyword: str, findings: Findings) -> None:
        branches = subject.location.listed(keyword)
        fitting = [branch for branch in branches if self.verdicts.fits(branch.pointer, subject.value)]
        if len(fitting) > 1 and keyword == "oneOf":
            message = f"must fit exactly one alternative; fits {len(fitting)}: {listed(map(branch_name, fitting))}"
            findings.violations.append(_violation(subject, "oneOf", message, 1))
        elif not fitting:
            self._look_into_best(subject, branches, findings)

    def _look_into_best(self, subject: JudgedValue, branches: Sequence[Location], findings: Findings) -> None:
        """The branch that was probably meant; where none is for values of this type, the types of all."""
        admitting = [branch for branch in branches if admits(branch, subject.value)]
        choices = [branch_constants(branch) for branch in admitting or branches]
        if all(options is not None for options in choices):
            options = [option for each in choices for option in each or ()]
            findings.violations.append(_wrong_choice(subject, options))
        elif admitting:
            self._look_into_meant(subject, admitting, findings)
        elif types := list(dict.fromkeys(name for branch in branches for name in branch_types(branch) or ())):
            findings.violations.append(_violation(subject, "type", clause("type", types, subject.value), types))

    def _look_into_meant(self, subject: JudgedValue, branches: list[Location], findings: Findings) -> None:
        by_name = discriminators(branches) if isinstance(subject.value, dict) else {}
        for name, options in by_name.items():
            if name not in subject.value:
                continue
            value = subject.value[name]
            meant = [branch for branch, own in zip(branches, options, strict=True) if is_among(value, own)]
            if not meant:
                wrong = JudgedValue(subject.location, value, (*subject.path, name))
                findings.violations.append(_wrong_choice(wrong, [option for own in options for option in own]))
                return
            branches = meant
            break
        if len(branches) > 1:
            branches = sorted(branches[:MAX_BRANCHES], key=lambda branch: self._distance(branch, subject))
        findings.deeper.append(JudgedValue(branches[0], subject.value, subject.path))

    def _distance(self, branch: Location, subject: JudgedValue) -> int:
        findings = self._inspect(JudgedValue(branch.resolved, subject.value, subject.path))
        return 2 * len(findings.violations) + len(findings.deeper)


def _violation(subject: JudgedValue, rule: str, message: str, expected: Json = None) -> Violation:
    return Violation(_pointer(subject.path), rule, message, clipped(expected), clipped(subject.value))


def _wrong_choice(subject: JudgedValue, options: list[Json]) -> Violation:
    return _violation(subject, "enum", clause("enum", options, subject.value), options)


def _unexpected_property(subject: JudgedValue, name: str, described: Mapping[str, Json], rule: str) -> Violation:
    near = hint(name, [other for other in described if other not in subject.value] or described)
    message = f"unexpected property {brief(name)}{near}"
    path = _pointer((*subject.path, name))
    return Violation(path, rule, message, clipped(list(described)), clipped(subject.value[name]))


def _unexplained(subject: JudgedValue) -> Violation:
    at = f"#{subject.location.pointer}"
    return _violation(subject, UNEXPLAINED, f"does not fit the schema at {brief(at)}; got {brief(subject.value)}")


def _holds_half_a_character(value: Json) -> bool:
    return isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value)


def _pointer(path: Path) -> str:
    """The JSON Pointer of a path. Names come from the model, so a long one is cut."""
    return as_pointer(
        tuple(token if len(token) <= MAX_TOKEN_CHARS else token[:MAX_TOKEN_CHARS] + "…" for token in path)
    )


def _relevance(violation: Violation) -> tuple[bool, int, int]:
    """A sort key: shallow first, and there what helps a model most; last what has no explanation."""
    return violation.rule == UNEXPLAINED, violation.path.count("/"), _RANK.get(violation.rule, 3)
