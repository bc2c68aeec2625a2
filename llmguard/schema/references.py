"""From a schema and the files beside it to one self-contained document, in which every `$ref` points inside.

Nothing is fetched or opened here. A reference may lead to the schema itself, to the documents that were passed with it,
and to the meta-schemas of JSON Schema, which the validator has built in.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import chain, count
from typing import TYPE_CHECKING

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.schema.keywords import (
    LISTED,
    NAMED,
    REFERENCES,
    Draft,
    as_fragment,
    as_pointer,
    draft_of,
    from_fragment,
    is_schema,
)
from llmguard.schema.navigate import all_subschemas, subschemas
from llmguard.schema.words import hint, listed

if TYPE_CHECKING:
    from referencing import Registry, Resource
    from referencing._core import Resolved, Resolver

BASE = "http://llmguard.invalid/beside-the-schema/"
"""The base of relative names. RFC 6761 keeps `.invalid` from ever resolving; it is only a name, and nothing is fetched."""

MAX_DEFINITIONS = 1_000
"""Targets outside of the root: bounds the work where dynamic references multiply them."""

_NAMING = ("$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef")
_BESIDE_REF = ("definitions", "$schema", "title", "description", "default", "examples")
_LEADS_OUT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|[/\\]|(.*[/\\])?\.\.([/\\]|$)")


def self_contained(root: Json, draft: Draft, documents: Mapping[str, Json], where: str) -> Json:
    """`root` itself where all references are inside, else a copy with their targets as definitions.

    `documents`: file name -> parsed document beside the root. Raises UsageError for a reference that leads out of them,
    or to nothing.
    """
    if _needs_nothing(root, draft):
        return root
    try:
        plain = _Inlining(root, draft, documents, where)
        copy = plain.result()
        return _Inlining(root, draft, documents, where, by_scope=True).result() if plain.is_ambiguous() else copy
    except ValueError as error:  # from the standard library's reading of URIs
        raise UsageError(f"{where}: a '$ref' or '$id' is no URI: {error}. Correct it.") from None


def is_meta_schema(ref: str) -> bool:
    """Whether `ref` is one of the published meta-schemas, which every validator has built in."""
    return draft_of(ref) is not None


def _needs_nothing(root: Json, draft: Draft) -> bool:
    """Whether every reference is a JSON Pointer to a subschema of this document."""
    places = all_subschemas(root, draft)
    for pointer, schema in places.items():
        if not isinstance(schema, dict):
            continue
        if any(name in schema for name in _NAMING):
            return False
        if pointer and (draft.id_keyword in schema or "$schema" in schema):
            return False
        ref = schema.get("$ref")
        if isinstance(ref, str) and not is_meta_schema(ref) and from_fragment(ref) not in places:
            return False
    return True


class _Inlining:
    """One pass over a root and the documents it refers to. A target outside of the root becomes a definition of its own.

    `by_scope`: a target becomes one definition for each path that leads to it, as dynamic references may need.
    """

    def __init__(
        self, root: Json, draft: Draft, documents: Mapping[str, Json], where: str, *, by_scope: bool = False
    ) -> None:
        from referencing import Registry
        from referencing.jsonschema import specification_with

        self._specification = specification_with(draft.uri)
        self._draft, self._documents, self._where, self._root = draft, documents, where, root
        self._by_scope = by_scope
        places = {} if by_scope else all_subschemas(root, draft)
        self._pointers = {id(each): pointer for pointer, each in places.items() if isinstance(each, dict)}
        self._names: dict[object, str] = {}
        self._taken = set(root.get(draft.definitions, {})) if isinstance(root, dict) else set()
        self._waiting: list[tuple[str, Json, Resolver[Json]]] = []
        self._entered: list[Json] = [root]
        empty: Registry[Json] = Registry(retrieve=self._retrieve)  # type: ignore[call-arg]
        self._resolver = empty.with_resource(BASE, self._resource(root)).crawl().resolver(BASE)

    def result(self) -> Json:
        copy = self._copied(self._root, self._resolver, "")
        container = self._draft.definitions
        definitions = dict(copy.get(container, {}))
        while self._waiting:
            name, schema, resolver = self._waiting.pop()
            # The resolver of a target has the scope of its `$id` already.
            definitions[name] = self._rewritten(schema, resolver, as_pointer((container, name)))
        return {**copy, container: definitions} if definitions else copy

    def _copied(self, schema: Json, resolver: Resolver[Json], pointer: str) -> Json:
        if not isinstance(schema, dict):
            return schema
        return self._rewritten(schema, resolver.in_subresource(self._resource(schema)), pointer)

    def _rewritten(self, schema: Json, resolver: Resolver[Json], pointer: str) -> Json:
        """`schema` with its references rewritten, and without the names that only served them."""
        if not isinstance(schema, dict):
            return schema
        copy = {keyword: _shallow(keyword, value) for keyword, value in schema.items() if keyword not in _NAMING}
        if isinstance(copy.get(self._draft.id_keyword), str):
            del copy[self._draft.id_keyword]
        if pointer and isinstance(own_draft := copy.pop("$schema", None), str):
            self._refuse_part_of_other_draft(own_draft, pointer)
        for keyword, tokens, inner in subschemas(schema, self._draft):
            _put(copy, keyword, tokens, self._copied(inner, resolver, pointer + as_pointer(tokens)))
        fragments = [self._fragment(key, ref, resolver, pointer) for key, ref in self._references(schema)]
        return self._referring(copy, fragments) if fragments else copy

    def _references(self, schema: Json) -> list[tuple[str, str]]:
        known = [key for key in REFERENCES if key in self._draft.keywords]
        return [(key, schema[key]) for key in known if isinstance(schema.get(key), str)]

    def _referring(self, copy: dict[str, Json], fragments: list[str]) -> Json:
        if self._draft.ref_stands_alone:
            copy = {key: copy[key] for key in _BESIDE_REF if key in copy}
        if len(fragments) == 1:
            return {**copy, "$ref": fragments[0]}
        copy.pop("$ref", None)
        return {**copy, "allOf": [*copy.get("allOf", []), *({"$ref": fragment} for fragment in fragments)]}

    def _fragment(self, key: str, ref: str, resolver: Resolver[Json], pointer: str) -> str:
        """The reference that replaces `ref` in the one document."""
        if is_meta_schema(ref) and ref not in self._documents:
            return ref
        target = self._lookup(key, ref, resolver, pointer)
        if not is_schema(target.contents):
            raise self._refused(ref, pointer, "is no schema. Point it at an object, true or false")
        place = self._pointers.get(id(target.contents))
        return as_fragment(
            as_pointer((self._draft.definitions, self._definition(ref, target))) if place is None else place
        )

    def _definition(self, ref: str, target: Resolved[Json]) -> str:
        """The name of a target outside of the root; the same target has one name."""
        way = (
            tuple(dict.fromkeys(reversed([uri for uri, _ in target.resolver.dynamic_scope()])))
            if self._by_scope
            else ()
        )
        key = target.contents if isinstance(target.contents, bool) else (id(target.contents), way)
        if len(self._names) > MAX_DEFINITIONS:
            raise self._refused(ref, "", f"is one of more than {MAX_DEFINITIONS} references. Write a smaller schema")
        if key not in self._names:
            self._names[key] = self._free_name(ref)
            self._waiting.append((self._names[key], target.contents, target.resolver))
        return self._names[key]

    def _free_name(self, ref: str) -> str:
        """'address_zip' for 'https://example.com/address.json#/$defs/zip', with a number where that is taken."""
        file, _, fragment = ref.partition("#")
        parts = [file.rstrip("/").rpartition("/")[2].removesuffix(".json"), fragment.rpartition("/")[2]]
        base = re.sub(r"[^A-Za-z0-9_.-]", "_", "_".join(part for part in parts if part)) or "schema"
        name = next(each for each in chain([base], (f"{base}_{n}" for n in count(2))) if each not in self._taken)
        self._taken.add(name)
        return name

    def _lookup(self, key: str, ref: str, resolver: Resolver[Json], pointer: str) -> Resolved[Json]:
        from referencing.exceptions import Unresolvable
        from referencing.jsonschema import lookup_recursive_ref

        try:
            return lookup_recursive_ref(resolver) if key == "$recursiveRef" else resolver.lookup(ref)
        except Unresolvable as error:
            raise _usage_error_behind(error) or self._not_found(ref, pointer) from None

    def _retrieve(self, uri: str) -> Resource[Json]:
        """The document with this name or this `$id`, of those that were passed."""
        from referencing.exceptions import NoSuchResource

        beside_root = _id_of(self._root, self._draft).rpartition("/")[0]
        for name, document in self._documents.items():
            names = (name, BASE + name, f"{beside_root}/{name}", _id_of(document, self._draft))
            if uri in names and is_schema(document):
                self._refuse_other_draft(name, document)
                self._entered.append(document)
                return self._resource(document)
        raise NoSuchResource(ref=uri)  # type: ignore[call-arg]

    def _resource(self, schema: Json) -> Resource[Json]:
        return self._specification.create_resource(schema)

    def _refuse_other_draft(self, name: str, document: Json) -> None:
        uri = document.get("$schema") if isinstance(document, dict) else None
        if isinstance(uri, str) and draft_of(uri) is not self._draft:
            raise UsageError(
                f"{self._where} is written in draft {self._draft.name}, and {name!r}, which it refers to, in {uri!r}."
                " Expected one draft in all of them. Give both the same '$schema'."
            )

    def _refuse_part_of_other_draft(self, uri: str, pointer: str) -> None:
        """A part in a draft of its own has names and keywords of its own, which neither verdicts nor messages can follow."""
        if draft_of(uri) is not self._draft:
            raise UsageError(
                f"{self._where}: the part at {pointer!r} names a draft of its own, {uri!r}, and the whole is written in draft"
                f" {self._draft.name}. Expected one draft. Rewrite that part in draft {self._draft.name}, without its '$schema'."
            )

    def _not_found(self, ref: str, pointer: str) -> UsageError:
        path, _, fragment = ref.partition("#")
        if _LEADS_OUT.match(path):
            what = (
                "leads out of the schema's own folder; llmguard opens no URL and no file for a schema. Expected '#/…' or"
                " the name of a file beside it. Save what is meant beside the schema, and refer to it by its name"
            )
            return self._refused(ref, pointer, what)
        if path and path not in self._documents:
            beside = f"there is {listed(sorted(self._documents))}" if self._documents else "there is no other schema"
            return self._refused(
                ref, pointer, f"is not beside it{hint(path, self._documents)}; {beside}. Name one of these"
            )
        target = self._documents[path] if path else self._root
        definitions = target.get(self._draft.definitions, {}) if isinstance(target, dict) else {}
        near = hint(fragment.rpartition("/")[2], definitions)
        return self._refused(ref, pointer, f"points at nothing{near}. Define it there, or correct the name")

    def _refused(self, ref: str, pointer: str, what: str) -> UsageError:
        return UsageError(f"{self._where}: at {pointer + '/$ref'!r}, {ref!r} {what}.")

    def is_ambiguous(self) -> bool:
        """Whether a dynamic reference has several anchors of its name: then its target depends on the path to it."""
        schemas = [
            each
            for document in self._entered
            for each in all_subschemas(document, self._draft).values()
            if isinstance(each, dict)
        ]
        anchors = Counter(_dynamic_name(each) for each in schemas)
        refs = [str(each[key]) for each in schemas for key in ("$dynamicRef", "$recursiveRef") if key in each]
        return any(anchors[ref.rpartition("#")[2]] > 1 for ref in refs)


def _dynamic_name(schema: Json) -> str | None:
    """The dynamic anchor of a schema; the one of 2019-09 has no name."""
    name = schema.get("$dynamicAnchor", "" if schema.get("$recursiveAnchor") is True else None)
    return name if isinstance(name, str) else None


def _usage_error_behind(error: BaseException) -> UsageError | None:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, UsageError):
        cause = cause.__cause__
    return cause


def _id_of(document: Json, draft: Draft) -> str:
    return str(document.get(draft.id_keyword, "")).removesuffix("#") if isinstance(document, dict) else ""


def _shallow(keyword: str, value: Json) -> Json:
    """A copy of what holds subschemas, so that they can be replaced in it."""
    if keyword in NAMED and isinstance(value, dict):
        return dict(value)
    return list(value) if keyword in LISTED and isinstance(value, list) else value


def _put(copy: dict[str, Json], keyword: str, tokens: tuple[str, ...], schema: Json) -> None:
    """Put a rewritten subschema in the place of the original."""
    if len(tokens) == 1:
        copy[keyword] = schema
    elif isinstance(copy[keyword], list):
        copy[keyword][int(tokens[1])] = schema
    else:
        copy[keyword][tokens[1]] = schema
