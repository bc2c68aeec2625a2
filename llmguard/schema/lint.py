"""What is refused in a schema when a guard is built, and what is only warned of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.schema.keywords import (
    ALL_KEYWORDS,
    CONTAINERS,
    DRAFTS,
    FORMATS,
    IN_PLACE,
    LATEST,
    Draft,
    as_fragment,
    as_pointer,
    draft_of,
    word_set,
)
from llmguard.schema.navigate import SchemaDocument
from llmguard.schema.words import brief, clause, either, hint, nearest

MAX_DEPTH = 128
"""Levels of a schema as it is written. Deeper values need recursion through `$ref`, not deeper schemas."""

MAX_SCHEMAS_PER_VALUE = 100_000
"""Schemas that may judge one value: `allOf` of two references, 26 in a row, would be 67 million."""

MAX_SCHEMAS_PER_PATH = 10_000_000
"""The same along one way down a value. jsonschema-rs judges about ten million in a second."""

MAX_STEPS = 200
"""References and combinations in a row that judge the same value."""

MAX_WARNINGS = 20
MAX_MESSAGE_CHARS = 300
_NOTES = word_set("example discriminator xml externalDocs enumNames propertyOrdering")
"""Names from OpenAPI and from providers, which are known not to be keywords."""


def draft_for(schema: Json, where: str) -> Draft:
    """The draft that `$schema` names, 2020-12 where it is missing."""
    uri = schema.get("$schema", LATEST.uri) if isinstance(schema, dict) else LATEST.uri
    draft = draft_of(uri) if isinstance(uri, str) else None
    if draft is None:
        known = either(repr(each.uri) for each in DRAFTS)
        raise UsageError(
            f"{where}: '$schema' is {brief(uri)}, and no meta-schema is fetched. Expected {known}. Name one of these, or"
            " leave '$schema' out for 2020-12."
        )
    return draft


def refuse_depth(schema: Json, where: str) -> None:
    """Counted level by level and without recursion: the rest of this package recurses."""
    level: list[Json] = [schema]
    for _ in range(MAX_DEPTH):
        level = [inner for each in level for inner in _parts(each) if isinstance(inner, dict | list)]
        if not level:
            return
    raise UsageError(
        f"{where} is nested deeper than {MAX_DEPTH} levels. Expected a schema that a person can read. Name its parts under"
        " '$defs' and refer to them with '$ref'."
    )


def _parts(value: Json) -> Iterator[Json]:
    yield from value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def refuse_invalid_schema(schema: Json, draft: Draft, where: str) -> None:
    """The verdict is by jsonschema-rs (5 ms for 4,400 subschemas, where jsonschema takes 1.5 s); the message is by
    jsonschema, whose `best_match` finds the most relevant error."""
    import jsonschema_rs

    if not jsonschema_rs.meta.is_valid(_with_known_uri(schema, draft)):
        raise _wrong_schema(schema, draft, where)


def _with_known_uri(schema: Json, draft: Draft) -> Json:
    """With `$schema` as the validators spell it, so that they need not look it up."""
    return {**schema, "$schema": draft.uri + "#" * draft.ref_stands_alone} if isinstance(schema, dict) else schema


def _wrong_schema(schema: Json, draft: Draft, where: str) -> UsageError:
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for
    from referencing import Registry

    validator = validator_for(_with_known_uri({}, draft))
    error = best_match(validator(validator.META_SCHEMA, registry=Registry()).iter_errors(schema))
    if error is None:
        return UsageError(f"{where} does not fit the meta-schema of draft {draft.name}. Correct the schema.")
    error = next((inner for inner in error.context or () if inner.validator == "enum"), error)
    pointer = as_pointer(tuple(str(token) for token in error.absolute_path))
    complaint = _complaint(error.validator, error.validator_value, error.instance)
    return UsageError(f"{where}: {_spot(pointer)} {complaint}. {_advice(error.absolute_path, error.instance, draft)}")


def _spot(pointer: str) -> str:
    return repr(pointer) if pointer else "the schema"


def _complaint(keyword: str, expected: Json, actual: Json) -> str:
    if keyword == "enum":
        return clause(keyword, expected, actual) + hint(actual, expected)
    if keyword in ("type", "minimum", "minItems", "minLength", "uniqueItems", "pattern", "format", "exclusiveMinimum"):
        return clause(keyword, expected, actual)
    return f"does not fit the meta-schema's {keyword!r}; got {brief(actual)}"


def _advice(path: Sequence[str | int], actual: Json, draft: Draft) -> str:
    """How to correct the schema, with advice for the most frequent mistakes."""
    keyword = path[-1] if path else ""
    if keyword == "required" and isinstance(actual, bool):
        return "List the names of required properties on the object that holds them: 'required': ['name']."
    if keyword == "items" and isinstance(actual, list) and draft is LATEST:
        return "Since draft 2020-12 a list of schemas, one for each position, is called 'prefixItems'."
    return f"Correct the schema: it is read by draft {draft.name}."


def refused_by_compiler(pointer: str, actual: Json, message: str, where: str) -> UsageError:
    """What the meta-schema accepts and jsonschema-rs does not: invalid regular expressions."""
    if message.endswith('is not a "regex"'):
        return UsageError(
            f"{where}: {_spot(pointer)} is {brief(actual)}, which is no regular expression of JSON Schema. Expected the syntax of"
            r" ECMA-262: no '\A', '\Z', '(?P<name>'. Rewrite it."
        )
    return UsageError(
        f"{where}: {_spot(pointer)} cannot be compiled: {message[:MAX_MESSAGE_CHARS]}. Correct the schema."
    )


# ------------------------------------------------------------------------------------------- cycles and size


@dataclass(slots=True)
class Graph:
    """The schemas of a self-contained document and what each leads to: `in_place` schemas for the same value, `inward`
    schemas for a part of it."""

    in_place: dict[str, list[str]] = field(default_factory=dict)
    inward: dict[str, list[str]] = field(default_factory=dict)

    def all(self, pointer: str) -> list[str]:
        return self.in_place[pointer] + self.inward[pointer]


def graph_of(document: SchemaDocument) -> Graph:
    graph = Graph()
    for location in document.locations:
        in_place = graph.in_place.setdefault(location.pointer, [])
        inward = graph.inward.setdefault(location.pointer, [])
        if (target := location.referenced) is not None:
            in_place.append(target.pointer)
        for keyword, child in location.children:
            if keyword not in CONTAINERS and keyword != "contentSchema":
                (in_place if keyword in IN_PLACE else inward).append(child.pointer)
    return graph


def refuse_cycles_and_size(document: SchemaDocument, where: str) -> None:
    """Refuse a schema that leads back to itself without going into the value, or that unfolds to too many schemas."""
    graph = graph_of(document)
    order, cycle = _innermost_first(graph.in_place)
    if cycle:
        raise UsageError(
            f"{where}: {' → '.join(as_fragment(pointer) for pointer in cycle[:6])} leads back to itself for one and the same"
            " value, so judging it would never end. Expected every cycle to pass through 'properties' or 'items'. Take the"
            " reference out, or put it below a property."
        )
    steps: dict[str, int] = {}
    unfolded: dict[str, int] = {}
    for pointer in order:
        inner = graph.in_place[pointer]
        steps[pointer] = 1 + max((steps[each] for each in inner), default=0)
        unfolded[pointer] = 1 + sum(unfolded[each] for each in inner)
        _refuse_size(unfolded[pointer], MAX_SCHEMAS_PER_VALUE, pointer, where)
        if steps[pointer] > MAX_STEPS:
            raise UsageError(
                f"{where}: {as_fragment(pointer)!r} leads through more than {MAX_STEPS} references and combinations for one"
                " value. Expected a few. Refer to what is meant directly."
            )
    _refuse_long_paths(graph, where)


def _refuse_long_paths(graph: Graph, where: str) -> None:
    """The same along the worst path into a value. Recursion counts once: the validator remembers its verdicts."""
    order, _ = _innermost_first({pointer: graph.all(pointer) for pointer in graph.in_place})
    unfolded: dict[str, int] = {}
    for pointer in order:
        same_value = sum(unfolded.get(inner, 0) for inner in graph.in_place[pointer])
        unfolded[pointer] = 1 + same_value + max((unfolded.get(inner, 0) for inner in graph.inward[pointer]), default=0)
        _refuse_size(unfolded[pointer], MAX_SCHEMAS_PER_PATH, pointer, where)


def _refuse_size(unfolded: int, limit: int, pointer: str, where: str) -> None:
    if unfolded > limit:
        raise UsageError(
            f"{where}: {as_fragment(pointer)!r} unfolds to more than {limit:,} schemas for one value. Expected references"
            " that do not double at every step. Refer to each definition once."
        )


def _innermost_first(edges: Mapping[str, list[str]]) -> tuple[list[str], list[str]]:
    """The nodes in an order in which each comes after those it leads to, and one cycle, if there is any."""
    order: list[str] = []
    done: set[str] = set()
    cycle: list[str] = []
    for start in edges:
        path: dict[str, Iterator[str]] = {} if start in done else {start: iter(edges[start])}
        while path:
            node = next(reversed(path))
            step = next(path[node], None)
            if step is None:
                del path[node]
                done.add(node)
                order.append(node)
            elif step in path:
                cycle = cycle or [*list(path)[list(path).index(step) :], step]
            elif step not in done:
                path[step] = iter(edges[step])
    return order, cycle


# ------------------------------------------------------------------------------------------- warnings


def warnings_of(document: SchemaDocument, *, formats: bool = True) -> tuple[str, ...]:
    """What the meta-schema accepts and is probably a mistake, at most twenty sentences. `formats`: unknown ones too."""
    warnings = [
        f"{as_fragment(location.pointer)}: {sentence}"
        for location in document.locations
        if isinstance(location.written, dict)
        for sentence in _warnings_of_one(location.written, document.draft, formats)
    ]
    more = len(warnings) - MAX_WARNINGS
    return (*warnings[:MAX_WARNINGS], f"and {more} more warnings") if more > 0 else tuple(warnings)


def _warnings_of_one(schema: Mapping[str, Json], draft: Draft, formats: bool) -> Iterator[str]:
    for keyword in schema:
        if keyword not in draft.keywords:
            yield from _keyword_warnings(keyword, schema, draft)
    beside = [key for key in schema if key in draft.keywords and key not in _HARMLESS_BESIDE_REF]
    if draft.ref_stands_alone and "$ref" in schema and beside:
        yield f"draft {draft.name} ignores what stands beside '$ref': {either(map(repr, beside))}"
    name = schema.get("format")
    if formats and isinstance(name, str) and name not in FORMATS:
        yield f"unknown format {name!r} is not checked{hint(name, FORMATS)}"
    yield from _required_warnings(schema)


_HARMLESS_BESIDE_REF = word_set("$ref definitions title description default examples $comment $schema $id")


def _keyword_warnings(keyword: str, schema: Mapping[str, Json], draft: Draft) -> Iterator[str]:
    if keyword == "nullable":
        if schema[keyword] is True:
            yield "'nullable' is OpenAPI, not JSON Schema, and is ignored: write 'type': [..., 'null']"
    elif keyword in ALL_KEYWORDS:
        if keyword not in ("$defs", "definitions", "dependencies", "id"):
            yield f"keyword {keyword!r} is not in draft {draft.name} and is ignored"
    elif keyword.startswith(("x-", "X-")) or keyword in _NOTES:
        return
    elif near := nearest(keyword, sorted(draft.keywords)):
        yield f"unknown keyword {keyword!r} is ignored; did you mean {near!r}?"


def _required_warnings(schema: Mapping[str, Json]) -> Iterator[str]:
    required, properties = schema.get("required"), schema.get("properties")
    if isinstance(required, list) and isinstance(properties, dict):
        for name in required:
            if name not in properties and (near := nearest(name, properties)):
                yield f"'required' names {name!r}, which is no property; did you mean {near!r}?"
