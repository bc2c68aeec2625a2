"""What calls are looked for: a small language of conditions, read once, then asked of tables or of rows in memory.

    status=rejected and source=constant and failure=timeout
    guard=invoice and tokens>2000 and duration_s>=1.5
    rule~"minimum" and failure!=schema

Conditions are joined by `and`. There is nothing else, so that no text of a user's becomes SQL.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from llmguard.core.canonical import Json, encode
from llmguard.core.errors import UsageError
from llmguard.core.redaction import redact
from llmguard.log.rows import Row, searchable
from llmguard.log.sqlite.tables import tables

if TYPE_CHECKING:
    import sqlalchemy as sa

Kind: TypeAlias = Literal["text", "number", "words"]


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that may be asked. `words` are several: `=` means one of them, `!=` none of them."""

    kind: Kind
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
    "cost_usd": Field("number", lambda row: row.cost_usd, "US dollars, where the provider says them"),
    "duration_s": Field("number", lambda row: row.duration_s, "seconds from opening to outcome"),
    "agreement": Field("number", lambda row: row.agreement, "of the samples, 0 to 1"),
}

_COMPARE: dict[str, Callable[[Json, Json], Json]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPERATORS: dict[Kind, tuple[str, ...]] = {
    "text": ("=", "!=", "~"),
    "words": ("=", "!=", "~"),
    "number": tuple(_COMPARE),
}
# Compiled by `re` on first use.
_CONDITION = r"""\s*([A-Za-z_]+)\s*(!=|<=|>=|=|<|>|~)\s*("[^"]*"|'[^']*'|[^\s"']+)(?:\s+|$)"""
_BARE = r"true|false|-?[0-9][0-9.eE+-]*"
_AND = r"(?i:and)\s+"


@dataclass(frozen=True, slots=True)
class Condition:
    """`field op value`; the value is a float for a number."""

    field: str
    op: str
    value: str | float

    def holds(self, row: Row) -> bool:
        asked = FIELDS[self.field]
        found = asked.of_row(row)
        if found is None:
            return False
        if asked.kind == "words":
            return any(self._matches(word) for word in found) != (self.op == "!=")
        if self.op == "!=" or asked.kind == "number":
            return bool(_COMPARE[self.op](found, self.value))
        return self._matches(found)

    def _matches(self, text: str) -> bool:
        wanted = cast(str, self.value)
        return wanted.lower() in text.lower() if self.op == "~" else wanted == text


def conditions(where: str | None) -> tuple[Condition, ...]:
    """What a text asks for.

    >>> conditions("status=rejected and tokens>=100")
    (Condition(field='status', op='=', value='rejected'), Condition(field='tokens', op='>=', value=100.0))
    """
    text = (where or "").strip()
    return tuple(_conditions(text)) if text else ()


def _conditions(text: str) -> Iterator[Condition]:
    at = 0
    while True:
        found = re.compile(_CONDITION).match(text, at)
        if found is None:
            raise UsageError(
                f"where: {text[at : at + 60]!r} (character {at}) is no condition. Write FIELD=VALUE, joined by `and`, such"
                ' as "status=rejected and failure=timeout"; values with spaces stand in quotes.'
            )
        yield _condition(found[1].lower(), found[2], found[3])
        at = found.end()
        if at >= len(text):
            return
        joined = re.compile(_AND).match(text, at)
        if joined is None:
            raise UsageError(
                f"where: expected `and` at {text[at : at + 40]!r} (character {at}). There is no `or` and no `not`."
            )
        at = joined.end()


def _condition(name: str, op: str, value: str) -> Condition:
    asked = FIELDS.get(name)
    if asked is None:
        from difflib import get_close_matches

        near = get_close_matches(name, FIELDS, n=1)
        meant = f"Did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"where: there is no field {name!r}. {meant}Fields: {', '.join(FIELDS)}.")
    if op == "=" and value.startswith("="):
        raise UsageError(
            f"where: {name}={value}: equal is written with one =, as in {name}={value.lstrip('=') or 'VALUE'}."
        )
    if op not in _OPERATORS[asked.kind]:
        raise UsageError(f"where: {name!r} is compared by {' '.join(_OPERATORS[asked.kind])}, not by {op!r}.")
    if value[0] in "\"'":
        value = value[1:-1]
    if asked.kind != "number":
        return Condition(name, op, searchable(value))
    try:
        return Condition(name, op, float(value))
    except ValueError:
        raise UsageError(f"where: {name!r} is compared with a number, not with {value!r}.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which calls are meant. `since` is included, `until` is not; both are seconds since the epoch, of the start.
    `finished_since` is of the end. `meta`: these keys have these values, or values that are written alike."""

    guard: str | None = None
    since: float | None = None
    until: float | None = None
    finished_since: float | None = None
    status: Sequence[str] = ()
    meta: Mapping[str, Json] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()

    def holds(self, row: Row) -> bool:
        """Whether a row in memory is meant."""
        return (
            self.guard in (None, row.guard)
            and (self.since is None or row.started_at >= self.since)
            and (self.until is None or row.started_at < self.until)
            and (self.finished_since is None or (row.finished_at or 0.0) >= self.finished_since)
            and (not self.status or row.status in self.status)
            and all(_as_written((row.meta or {}).get(key)) == _as_written(value) for key, value in self.meta.items())
            and all(condition.holds(row) for condition in self.conditions)
        )


def query(
    guard: str | None = None,
    since: float | None = None,
    until: float | None = None,
    finished_since: float | None = None,
    status: str | Sequence[str] | None = None,
    meta: Mapping[str, Json] | None = None,
    where: str | None = None,
) -> Query:
    """A query; UsageError names what cannot be asked."""
    for key, value in (meta or {}).items():
        if not key or set(key) & set('"\\\0') or isinstance(value, dict | list):
            raise UsageError(f"meta {key!r}: search by a plain key, and by text, a number or a truth value.")
    return Query(
        guard=guard,
        since=since,
        until=until,
        finished_since=finished_since,
        status=(status,) if isinstance(status, str) else tuple(status or ()),
        meta=dict(meta or {}),
        conditions=conditions(where),
    )


def _as_written(value: Json) -> str | None:
    """`true`, `42`, `text`: as one writes it on a command line; None where there is nothing to compare."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


# ------------------------------------------------------------------------------------------------- asked of the tables


def clauses(asked: Query, calls: sa.Table, shown: sa.ColumnElement[str]) -> list[sa.ColumnElement[bool]]:
    """The same as conditions of SQL. `shown` is the status as lists show it."""
    found: list[sa.ColumnElement[bool]] = [_clause(condition, calls, shown) for condition in asked.conditions]
    if asked.guard is not None:
        found.append(calls.c.guard == asked.guard)
    if asked.since is not None:
        found.append(calls.c.started_at >= asked.since)
    if asked.until is not None:
        found.append(calls.c.started_at < asked.until)
    if asked.finished_since is not None:
        found.append(calls.c.finished_at >= asked.finished_since)
    if asked.status:
        found.append(shown.in_(asked.status))
    found += [_of_meta(calls, key).in_(_spellings(value)) for key, value in asked.meta.items()]
    return found


def newest_verdict(calls: sa.Table) -> sa.ColumnElement[str]:
    """What the newest review of each call says, or the empty text."""
    import sqlalchemy as sa

    reviews = tables().reviews
    newest = (
        sa.select(reviews.c.verdict)
        .where(reviews.c.call_id == calls.c.id)
        .order_by(reviews.c.at.desc(), reviews.c.id.desc())
        .limit(1)
    )
    return sa.func.coalesce(newest.scalar_subquery(), "")


def _of_meta(calls: sa.Table, key: str) -> sa.ColumnElement[str]:
    """A value of `meta` twice, as JSON: asked for one value, SQLite decodes it, and loses what follows a NUL."""
    import sqlalchemy as sa

    path = f'$."{key}"'
    return sa.func.json_extract(calls.c.meta, path, path)


def _spellings(value: Json) -> list[str]:
    """How `_of_meta` gives a value that is written like this one: as text, and as a number or truth value."""
    written = _as_written(value) or ""
    text = redact(encode(written)).decode()
    bare = [written] if re.fullmatch(_BARE, written) else []
    return [f"[{spelling},{spelling}]" for spelling in (text, *bare)]


def _clause(condition: Condition, calls: sa.Table, shown: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    kind = FIELDS[condition.field].kind
    column = _columns(calls, shown)[condition.field]
    if kind == "words":
        return _of_words(column, condition)
    if condition.op == "~":
        return column.icontains(condition.value, autoescape=True)
    return cast("sa.ColumnElement[bool]", _COMPARE[condition.op](column, condition.value))


def _of_words(column: sa.ColumnElement[Json], condition: Condition) -> sa.ColumnElement[bool]:
    import sqlalchemy as sa

    text = sa.func.coalesce(column, "")
    value = cast(str, condition.value)
    if condition.op == "~":
        return text.icontains(value, autoescape=True)
    without = sa.func.replace(text, f" {value} ", "")  # LIKE would not tell capitals from small letters
    return without != text if condition.op == "=" else without == text


def _columns(calls: sa.Table, shown: sa.ColumnElement[str]) -> dict[str, sa.ColumnElement[Json]]:
    import sqlalchemy as sa

    def or_0(column: sa.Column[Json]) -> sa.ColumnElement[Json]:
        return sa.func.coalesce(column, 0)

    return {
        "id": calls.c.id,
        "guard": calls.c.guard,
        "fingerprint": calls.c.fingerprint,
        "inputs": calls.c.inputs_digest,
        "status": shown,
        "source": sa.func.coalesce(calls.c.source, ""),
        "reason": sa.func.coalesce(calls.c.review_reason, ""),
        "review": newest_verdict(calls),
        "failure": calls.c.failures,
        "rule": calls.c.rules,
        "model": calls.c.models,
        "requests": or_0(calls.c.requests),
        "input_tokens": or_0(calls.c.input_tokens),
        "output_tokens": or_0(calls.c.output_tokens),
        "tokens": or_0(calls.c.input_tokens) + or_0(calls.c.output_tokens),
        "cost_usd": calls.c.cost_usd,
        "duration_s": calls.c.finished_at - calls.c.started_at,
        "agreement": calls.c.agreement,
    }
