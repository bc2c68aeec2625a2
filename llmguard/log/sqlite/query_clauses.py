"""A query as conditions of SQL over the table of calls."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from llmguard.core.canonical import Json, encode
from llmguard.core.redaction import redact
from llmguard.log.query import COMPARISONS, FIELDS, Condition, Query, as_written
from llmguard.log.sqlite.tables import tables

if TYPE_CHECKING:
    import sqlalchemy as sa

# A text that JSON may also hold as a truth value or a number. Compiled by `re` on first use.
_UNQUOTED = r"true|false|-?[0-9][0-9.eE+-]*"


def clauses(query: Query, calls: sa.Table, status: sa.ColumnElement[str]) -> list[sa.ColumnElement[bool]]:
    """`Query.matches` in SQL. `status` is the status as lists show it (`store._listed_status`)."""
    conditions: list[sa.ColumnElement[bool]] = [_clause(condition, calls, status) for condition in query.conditions]
    if query.guard is not None:
        conditions.append(calls.c.guard == query.guard)
    if query.since is not None:
        conditions.append(calls.c.started_at >= query.since)
    if query.until is not None:
        conditions.append(calls.c.started_at < query.until)
    if query.finished_since is not None:
        conditions.append(calls.c.finished_at >= query.finished_since)
    if query.statuses:
        conditions.append(status.in_(query.statuses))
    conditions += [_meta_value(calls, key).in_(_json_forms(value)) for key, value in (query.meta or {}).items()]
    return conditions


def newest_verdict(calls: sa.Table) -> sa.ColumnElement[str]:
    """The verdict of each call's newest review, or the empty text."""
    import sqlalchemy as sa

    reviews = tables().reviews
    newest = (
        sa.select(reviews.c.verdict)
        .where(reviews.c.call_id == calls.c.id)
        .order_by(reviews.c.at.desc(), reviews.c.id.desc())
        .limit(1)
    )
    return sa.func.coalesce(newest.scalar_subquery(), "")


def _meta_value(calls: sa.Table, key: str) -> sa.ColumnElement[str]:
    """A value of `meta`, twice, as a JSON list: SQLite decodes a single value, and loses what follows a NUL in it."""
    import sqlalchemy as sa

    path = f'$."{key}"'
    return sa.func.json_extract(calls.c.meta, path, path)


def _json_forms(value: Json) -> list[str]:
    """What `_meta_value` gives for a value that is written like this one: as text, and as a number or truth value."""
    written = as_written(value) or ""
    text = redact(encode(written)).decode()
    unquoted = [written] if re.fullmatch(_UNQUOTED, written) else []
    return [f"[{spelling},{spelling}]" for spelling in (text, *unquoted)]


def _clause(condition: Condition, calls: sa.Table, status: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    kind = FIELDS[condition.field].kind
    column = _columns(calls, status)[condition.field]
    if kind == "words":
        return _words_clause(column, condition)
    if condition.op == "~":
        return column.icontains(condition.value, autoescape=True)
    return cast("sa.ColumnElement[bool]", COMPARISONS[condition.op](column, condition.value))


def _words_clause(column: sa.ColumnElement[Json], condition: Condition) -> sa.ColumnElement[bool]:
    import sqlalchemy as sa

    text = sa.func.coalesce(column, "")
    value = cast(str, condition.value)
    if condition.op == "~":
        return text.icontains(value, autoescape=True)
    without = sa.func.replace(text, f" {value} ", "")  # LIKE would not tell capitals from small letters
    return without != text if condition.op == "=" else without == text


def _columns(calls: sa.Table, status: sa.ColumnElement[str]) -> dict[str, sa.ColumnElement[Json]]:
    import sqlalchemy as sa

    def or_0(column: sa.Column[Json]) -> sa.ColumnElement[Json]:
        return sa.func.coalesce(column, 0)

    return {
        "id": calls.c.id,
        "guard": calls.c.guard,
        "fingerprint": calls.c.fingerprint,
        "inputs": calls.c.inputs_digest,
        "status": status,
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
