"""Which calls are meant: one `Query`, answered by tables in SQL or by rows in memory, and its small language of conditions.

    status=rejected and source=constant and failure=timeout
    guard=invoice and tokens>2000 and duration_s>=1.5
    rule~"minimum" and failure!=schema

Conditions are joined by `and`; there is no `or` and no `not`. A condition is parsed into field, operator and value, so no
text of a user's becomes SQL.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, TypedDict, cast

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.log.rows import Row, searchable

FieldType: TypeAlias = Literal["text", "number", "words"]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a condition. `words` are several values: `=` means one of them, `!=` none of them."""

    kind: FieldType
    of_row: Callable[[Row], Json]
    about: str


FIELDS: dict[str, Field] = {
    "id": Field("text", lambda row: row.id, "the outcome's id"),
    "guard": Field("text", lambda row: row.guard, "the guard's name"),
    "fingerprint": Field("text", lambda row: row.fingerprint, "of prompt, schema and policy"),
    "inputs": Field("text", lambda row: row.inputs_digest, "digest of the inputs"),
    "status": Field(
        "text", lambda row: row.status, "accepted, recovered, fallback, escalated, rejected, interrupted, running"
    ),
    "source": Field("text", lambda row: row.source, "the rung that gave the value"),
    "reason": Field("text", lambda row: row.review_reason, "why it is to be reviewed: audit, escalated, flagged"),
    "review": Field("text", lambda row: row.review, 'the newest verdict: right, wrong, unsure, or "" without a review'),
    "failure": Field("words", lambda row: row.failures, "kind of a failed attempt: timeout, schema, ..."),
    "rule": Field("words", lambda row: row.rules, "a rule that was violated: minimum, required, a check's name, ..."),
    "model": Field("words", lambda row: row.models, "a model that answered"),
    "requests": Field("number", lambda row: row.requests, "requests sent"),
    "input_tokens": Field("number", lambda row: row.usage.input_tokens, "tokens sent"),
    "output_tokens": Field("number", lambda row: row.usage.output_tokens, "tokens received"),
    "tokens": Field("number", lambda row: row.usage.total_tokens, "both"),
    "cost_usd": Field("number", lambda row: row.cost_usd, "US dollars, where the provider reports them"),
    "duration_s": Field("number", lambda row: row.duration_s, "seconds from opening to outcome"),
    "agreement": Field("number", lambda row: row.agreement, "of the samples, 0 to 1"),
}

COMPARISONS: dict[str, Callable[[Json, Json], Json]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPERATORS: dict[FieldType, tuple[str, ...]] = {
    "text": ("=", "!=", "~"),
    "words": ("=", "!=", "~"),
    "number": tuple(COMPARISONS),
}
# Compiled by `re` on first use, so that importing costs nothing.
_CONDITION = r"""\s*([A-Za-z_]+)\s*(!=|<=|>=|=|<|>|~)\s*("[^"]*"|'[^']*'|[^\s"']+)(?:\s+|$)"""
_AND = r"(?i:and)\s+"


@dataclass(frozen=True, slots=True)
class Condition:
    """`field op value`; the value is a float for a number."""

    field: str
    op: str
    value: str | float

    def matches(self, row: Row) -> bool:
        spec = FIELDS[self.field]
        actual = spec.of_row(row)
        if actual is None:
            return False
        if spec.kind == "words":
            return any(self._matches_text(word) for word in actual) != (self.op == "!=")
        if self.op == "!=" or spec.kind == "number":
            return bool(COMPARISONS[self.op](actual, self.value))
        return self._matches_text(actual)

    def _matches_text(self, text: str) -> bool:
        value = cast(str, self.value)
        return value.lower() in text.lower() if self.op == "~" else value == text


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which calls are meant: those that match everything that is set.

    Args:
        guard: the guard's name.
        since, until: bounds of the start, in seconds since the epoch; `since` is included, `until` is not.
        finished_since: lower bound of the end, included.
        status: one status or several, `running` included.
        meta: these keys have these values, compared as they are written: `42` matches 42 and "42".
        where: conditions, such as `"status=rejected and tokens>=100"`; `FIELDS` has their fields.

    Raises:
        UsageError: a condition or a key of `meta` that cannot be searched for.
    """

    guard: str | None = None
    since: float | None = None
    until: float | None = None
    finished_since: float | None = None
    status: str | Sequence[str] | None = None
    meta: Mapping[str, Json] | None = None
    where: str | None = None
    statuses: tuple[str, ...] = field(init=False)
    conditions: tuple[Condition, ...] = field(init=False)

    def __post_init__(self) -> None:
        _refuse_meta(self.meta or {})
        statuses = (self.status,) if isinstance(self.status, str) else tuple(self.status or ())
        object.__setattr__(self, "statuses", statuses)
        object.__setattr__(self, "conditions", conditions(self.where))

    def matches(self, row: Row) -> bool:
        """Whether a row in memory is one of the calls."""
        return (
            self.guard in (None, row.guard)
            and (self.since is None or row.started_at >= self.since)
            and (self.until is None or row.started_at < self.until)
            and (self.finished_since is None or (row.finished_at or 0.0) >= self.finished_since)
            and (not self.statuses or row.status in self.statuses)
            and self._matches_meta(row.meta or {})
            and all(condition.matches(row) for condition in self.conditions)
        )

    def _matches_meta(self, meta: Mapping[str, Json]) -> bool:
        return all(as_written(meta.get(key)) == as_written(value) for key, value in (self.meta or {}).items())


class QueryOptions(TypedDict, total=False):
    """The fields of a `Query` as keyword arguments: `log.find(status="rejected", since=0.0)`."""

    guard: str | None
    since: float | None
    until: float | None
    finished_since: float | None
    status: str | Sequence[str] | None
    meta: Mapping[str, Json] | None
    where: str | None


def query_of(query: Query | None, options: QueryOptions) -> Query:
    """The query that a store is given, as a whole, by keywords, or as a whole with some fields replaced."""
    return Query(**options) if query is None else replace(query, **options)


def conditions(where: str | None) -> tuple[Condition, ...]:
    """The conditions of a text.

    >>> conditions("status=rejected and tokens>=100")
    (Condition(field='status', op='=', value='rejected'), Condition(field='tokens', op='>=', value=100.0))
    """
    text = (where or "").strip()
    return tuple(_conditions(text)) if text else ()


def as_written(value: Json) -> str | None:
    """`true`, `42`, `text`: as one writes it on a command line; None for null, lists and objects."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _refuse_meta(meta: Mapping[str, Json]) -> None:
    for key, value in meta.items():
        if not key or set(key) & set('"\\\0') or isinstance(value, dict | list):
            raise UsageError(f"meta {key!r}: search by a plain key, and by text, a number or a truth value.")


def _conditions(text: str) -> Iterator[Condition]:
    at = 0
    while True:
        match = re.compile(_CONDITION).match(text, at)
        if match is None:
            raise UsageError(
                f"where: {text[at : at + 60]!r} (character {at}) is not a condition. Write FIELD=VALUE, joined by `and`, such"
                ' as "status=rejected and failure=timeout"; values with spaces stand in quotes.'
            )
        yield _condition(match[1].lower(), match[2], match[3])
        at = match.end()
        if at >= len(text):
            return
        joint = re.compile(_AND).match(text, at)
        if joint is None:
            raise UsageError(
                f"where: expected `and` at {text[at : at + 40]!r} (character {at}). There is no `or` and no `not`."
            )
        at = joint.end()


def _condition(name: str, op: str, value: str) -> Condition:
    spec = FIELDS.get(name)
    if spec is None:
        raise UsageError(f"where: there is no field {name!r}. {_near_field(name)}Fields: {', '.join(FIELDS)}.")
    if op == "=" and value.startswith("="):
        raise UsageError(
            f"where: {name}={value}: equal is written with one =, as in {name}={value.lstrip('=') or 'VALUE'}."
        )
    if op not in _OPERATORS[spec.kind]:
        raise UsageError(f"where: {name!r} is compared by {' '.join(_OPERATORS[spec.kind])}, not by {op!r}.")
    if value[0] in "\"'":
        value = value[1:-1]
    if spec.kind != "number":
        return Condition(name, op, searchable(value))
    try:
        return Condition(name, op, float(value))
    except ValueError:
        raise UsageError(f"where: {name!r} is compared with a number, not with {value!r}.") from None


def _near_field(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, FIELDS, n=1)
    return f"Did you mean {near[0]!r}? " if near else ""
