"""An output schema, compiled once: it validates values, converts them to their Python type, and describes the reply."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llmguard.core.canonical import EncodingError, Json, digest, json_roundtrip
from llmguard.core.errors import UsageError
from llmguard.core.messages import ResponseFormat
from llmguard.core.outcome import Repair, Violations
from llmguard.schema.explain import MAX_FOUND, MAX_VIOLATIONS, Explainer
from llmguard.schema.form import instruction
from llmguard.schema.keywords import Draft, as_pointer
from llmguard.schema.lint import (
    draft_for,
    refuse_cycles_and_size,
    refuse_depth,
    refuse_invalid_schema,
    refused_by_compiler,
    warnings_of,
)
from llmguard.schema.navigate import SchemaDocument
from llmguard.schema.parts import default_in, merge, part_of, without_invalid_parts
from llmguard.schema.references import self_contained
from llmguard.schema.types import LENIENT_FORMATS, PYTHON_RULE, PythonType, plain_json, python_type
from llmguard.schema.verdicts import Formats, Verdicts, compiled
from llmguard.schema.words import brief

if TYPE_CHECKING:
    from jsonschema_rs import Validator


@dataclass(frozen=True, slots=True)
class Schema:
    """What a value must be; made by `compile_schema`.

    `json_schema` is self-contained: no reference leads out of it. `python_type` is the type that values are converted to,
    None where they stay plain JSON. `warnings` are sentences about what in the schema is probably a mistake.
    `has_decimals`: some number of the type is a `Decimal`, which keeps every digit. `drops_unknown`: such a type drops
    members that it does not name.
    """

    json_schema: Json
    digest: str
    python_type: object = None
    warnings: tuple[str, ...] = ()
    has_decimals: bool = field(default=False, kw_only=True)
    drops_unknown: bool = field(default=False, repr=False, compare=False, kw_only=True)
    _document: SchemaDocument = field(repr=False, compare=False, kw_only=True)
    _is_valid: Callable[[Json], bool] = field(repr=False, compare=False, kw_only=True)
    _explainer: Explainer = field(repr=False, compare=False, kw_only=True)
    _python: PythonType | None = field(repr=False, compare=False, kw_only=True)

    def violations(self, value: Json) -> Violations:
        """What is wrong with `value`, the most relevant first, at most twenty; () where it fits.

        `value` is strict JSON of at most 512 levels, as `canonical.json_roundtrip` gives it. Exceptions of the type's own
        validators, other than ValueError and AssertionError, are not caught.

        >>> compile_schema({"type": "integer", "minimum": 1}).violations(0)[0].message
        'must be at least 1; got 0'
        """
        try:
            if self._is_valid(value):
                return () if self._python is None else self._python.violations(value)
        except ValueError:  # half a surrogate pair, which JSON text cannot hold; the explainer says where
            pass
        if self.type_judges and self._python is not None:
            every = self._explainer.explain(value, MAX_FOUND)
            if len(every) < MAX_FOUND and self._python.validators.govern(every) and not self._python.violations(value):
                return ()
        return self._explainer.explain(value)

    @property
    def type_judges(self) -> bool:
        """Whether the type has validators of its own that take what its JSON Schema does not describe."""
        return self._python is not None and self._python.validators.has_any

    @property
    def verdicts(self) -> Verdicts:
        """Yes or no for each part of the schema, with the same formats and the same lack of a network."""
        return self._explainer.verdicts

    def load(self, value: Json) -> object:
        """`value`, which has no violations, as the Python type."""
        return value if self._python is None else self._python.load(value)

    def dump(self, value: object) -> Json:
        """The JSON of a Python value, such as one that a fallback function returned; EncodingError where it has none."""
        return plain_json(value) if self._python is None else self._python.dump(value)

    def response_format(self, name: str) -> ResponseFormat:
        """The schema as a request carries it."""
        words = instruction(self._document)
        return ResponseFormat(
            name=name,
            schema=self.json_schema,
            instruction=words,
            digest=self.digest,
            drops_unknown=self.drops_unknown,
        )


def compile_schema(source: object, *, registry: Mapping[str, Json] | None = None, where: str = "schema") -> Schema:
    """The schema of a dict, of JSON text, or of a Python type.

    Types: a pydantic model, dataclass, TypedDict, or any type that pydantic knows (`int`, `Literal["a", "b"]`,
    `list[X]`, `X | None`). `registry`: file name -> parsed schema beside it, for references between files. `where` names
    the schema in messages. Raises UsageError for an invalid schema, and one that refers outside, never ends or is too large.

    >>> compile_schema('{"type": "object", "requird": ["total"]}').warnings
    ("#: unknown keyword 'requird' is ignored; did you mean 'required'?",)
    """
    where = where or "schema"
    if isinstance(source, str):
        source = _parsed(source, where)
    if isinstance(source, dict | bool):
        return _compile(_own_copy(source, where), registry or {}, where, formats={})
    schema, python = python_type(source, where)
    return _compile(schema, {}, where, python=python, formats=LENIENT_FORMATS)


def describe_schema(schema: Schema) -> Json:
    """The schema for a fingerprint: what decides whether a value fits, and which type it is converted to."""
    return {"json_schema": schema.json_schema, "python_type": _name_of(schema.python_type)}


def from_description(description: Json, *, where: str = "schema") -> Schema:
    """The schema with this description, as a log keeps it. One of a Python type validates by its JSON schema alone: the
    type's own validators are code, which no description holds.

    >>> from_description(describe_schema(compile_schema({"type": "integer"}))).violations("1")[0].rule
    'type'
    """
    formats = {} if description["python_type"] is None else LENIENT_FORMATS
    return _compile(_own_copy(description["json_schema"], where), {}, where, formats=formats)


def salvage_value(schema: Schema, value: Json, violations: Violations) -> tuple[Json, tuple[Repair, ...]] | None:
    """What is right in `value`: an invalid optional property becomes its default or null, or is dropped, and each is a
    `lossy` repair. None where a required part is wrong, or nothing can be dropped. No item of a list is ever dropped.

    >>> schema = compile_schema({"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a"]})
    >>> salvage_value(schema, {"a": 1, "b": "x"}, ())
    ({'a': 1}, (Repair(path='/b', before='x', after=None, kind='lossy', rule='salvage: dropped'),))
    """

    def judge(candidate: Json) -> Violations:
        """All violations, not only the most relevant: what is new in a candidate must be among them."""
        violations = schema.violations(candidate)
        are_all = len(violations) < MAX_VIOLATIONS or violations[0].rule == PYTHON_RULE
        return violations if are_all else schema._explainer.explain(candidate, MAX_FOUND)

    return without_invalid_parts(value, violations, judge, lambda path: default_in(schema._document, path))


def failed_part(schema: Schema, violations: Violations) -> Schema | None:
    """The schema of only those top-level properties that are wrong, to ask for them again; None where the others cannot
    be taken as right whatever these become."""
    draft = schema._document.draft
    part = part_of(schema.json_schema, draft, violations)
    return (
        None
        if part is None
        else _finished(part, draft, "part of a schema", formats=_formats(schema), has_decimals=schema.has_decimals)
    )


def with_any_other_property(part: Schema) -> Schema:
    """The schema of a part where other properties may stand beside those it names."""
    keywords = {name: value for name, value in part.json_schema.items() if name != "additionalProperties"}
    return _finished(
        keywords,
        part._document.draft,
        "part of a schema",
        formats=part._explainer.verdicts.formats,
        has_decimals=part.has_decimals,
    )


def merged(value: Json, part: Json, requested: Schema | None = None) -> Json:
    """`value` with the properties of the reply `part`. `requested`: the schema of the part; of the properties it names,
    those that the reply leaves out are left out, and no others are changed."""
    return merge(value, part, None if requested is None else requested.json_schema["properties"])


def _formats(schema: Schema) -> Formats:
    return schema._explainer.verdicts.formats


def _parsed(text: str, where: str) -> Json:
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _object(pairs, where))
    except RecursionError:
        raise UsageError(f"{where} is nested too deeply to be read. Name its parts under '$defs'.") from None
    except ValueError as error:
        raise UsageError(f"{where} is not JSON: {error}. Expected a JSON Schema. Correct the text.") from None


def _object(pairs: list[tuple[str, Json]], where: str) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"{where}: the key {brief(twice)} is twice in one object; expected it once. Remove one.")
    return members


def _own_copy(source: Json, where: str) -> Json:
    """A copy that later changes by the caller do not reach; strict JSON."""
    refuse_depth(source, where)
    try:
        return json_roundtrip(source)
    except EncodingError as error:
        raise UsageError(f"{where} is not JSON: {error}. Expected a JSON Schema. Take it out.") from None


def _compile(
    schema: Json, registry: Mapping[str, Json], where: str, *, formats: Formats, python: PythonType | None = None
) -> Schema:
    """The checks in the order in which each relies on those before it."""
    refuse_depth(schema, where)
    draft = draft_for(schema, where)
    refuse_invalid_schema(schema, draft, where)
    whole = self_contained(schema, draft, registry, where)
    if whole is not schema:
        refuse_depth(whole, where)
        refuse_invalid_schema(whole, draft, where)
    return _finished(whole, draft, where, python=python, formats=formats)


def _finished(
    schema: Json,
    draft: Draft,
    where: str,
    *,
    formats: Formats,
    python: PythonType | None = None,
    has_decimals: bool = False,
) -> Schema:
    document = SchemaDocument(schema, draft)
    refuse_cycles_and_size(document, where)
    return Schema(
        schema,
        digest(schema),
        python.source if python else None,
        warnings_of(document, formats=python is None),
        has_decimals=has_decimals or (python is not None and python.validators.has_decimals),
        drops_unknown=formats is LENIENT_FORMATS,  # only what comes from a Python type is read with them
        _document=document,
        _is_valid=_validator(schema, formats, where).is_valid,
        _explainer=Explainer(Verdicts(document, formats)),
        _python=python,
    )


def _validator(schema: Json, formats: Formats, where: str) -> Validator:
    import jsonschema_rs

    try:
        return compiled(schema, formats)
    except jsonschema_rs.ValidationError as error:
        place = as_pointer(tuple(str(token) for token in error.instance_path))
        raise refused_by_compiler(place, error.instance, error.message, where) from None
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        raise refused_by_compiler("", None, str(error), where) from None


def _name_of(source: object) -> str | None:
    if source is None:
        return None
    if isinstance(source, type):
        return f"{source.__module__}.{source.__qualname__}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(source))
