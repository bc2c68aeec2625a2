"""SQL queries for reviews, audited calls and certificates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from llmguard.certification.certificate import StoredCertificate
from llmguard.core.canonical import Json, decode
from llmguard.core.outcome import Outcome
from llmguard.core.record import decode_outcome
from llmguard.log.audits import FinishedCall
from llmguard.log.certificate_rows import certificate_from_row
from llmguard.log.review_store import AuditFilter, CallSummary
from llmguard.log.reviews import Review, review_from_row
from llmguard.log.rows import interrupted_call, opening_of, searchable
from llmguard.log.sqlite.liveness import is_gone
from llmguard.log.sqlite.tables import tables

if TYPE_CHECKING:
    import sqlalchemy as sa

MOST_IDS = 500
"""Ids in one SQL query; older builds of SQLite take 999 parameters (https://sqlite.org/limits.html#max_variable_number)."""


def look_up(connection: sa.Connection, call_id: str) -> CallSummary | None:
    calls = tables().calls
    call = connection.execute(calls.select().where(calls.c.id == searchable(call_id))).one_or_none()
    if call is None:
        return None
    return CallSummary(call.id, call.guard, call.fingerprint, _outcome_of(call))


def _outcome_of(call: Json) -> Outcome[Json] | None:
    if call.outcome is not None:
        return decode_outcome(call.outcome)
    return interrupted_call(opening_of(call), ()) if is_gone(call.owner) else None


def reviews_in(connection: sa.Connection, call_ids: Iterable[str]) -> list[Review]:
    reviews = tables().reviews
    ids = [searchable(call_id) for call_id in call_ids]
    all_reviews: list[Review] = []
    for start in range(0, len(ids), MOST_IDS):
        select = reviews.select().where(reviews.c.call_id.in_(ids[start : start + MOST_IDS]))
        all_reviews += map(review_from_row, connection.execute(select))
    return all_reviews


def descriptions_in(connection: sa.Connection, guard: str) -> dict[str, Json]:
    guards = tables().guards
    rows = connection.execute(guards.select().where(guards.c.name == searchable(guard)))
    return {row.fingerprint: decode(row.description) for row in rows}


def finished_in(
    connection: sa.Connection, guard: str, fingerprints: Sequence[str] | None, since: float | None, which: AuditFilter
) -> list[FinishedCall]:
    """Two SQL queries, however many calls there are."""
    import sqlalchemy as sa

    made = tables()
    calls, reviews = made.calls, made.reviews
    conditions = list(_conditions(guard, fingerprints, since, which))
    order = (calls.c.started_at, calls.c.id)
    select = sa.select(calls.c.id, calls.c.started_at, calls.c.outcome).where(*conditions).order_by(*order)
    select_reviews = (
        sa.select(reviews).join(calls, calls.c.id == reviews.c.call_id).where(*conditions).order_by(reviews.c.call_id)
    )
    by_call = {
        call_id: [review_from_row(row) for row in rows]
        for call_id, rows in groupby(connection.execute(select_reviews), lambda row: row.call_id)
    }
    return [
        FinishedCall(
            call_id=call.id,
            started_at=call.started_at,
            outcome=decode_outcome(call.outcome),
            reviews=by_call.get(call.id, ()),
        )
        for call in connection.execute(select)
    ]


def _conditions(
    guard: str, fingerprints: Sequence[str] | None, since: float | None, which: AuditFilter
) -> Iterator[sa.ColumnElement[bool]]:
    import sqlalchemy as sa

    made = tables()
    calls = made.calls
    yield calls.c.guard == searchable(guard)
    yield calls.c.outcome.is_not(None)
    if fingerprints is not None:
        yield calls.c.fingerprint.in_(fingerprints)
    if since is not None:
        yield calls.c.started_at >= since
    if which == "audited":
        yield calls.c.review_reason == sa.literal_column("'audit'")  # as the index `calls_audited` has it
    else:
        yield calls.c.id.in_(sa.select(made.reviews.c.call_id))


def certificates_in(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[StoredCertificate]:
    """The newest first."""
    made = tables().certificates
    order = (made.c.issued_at.desc(), made.c.id)
    return [certificate_from_row(row) for row in connection.execute(made.select().where(condition).order_by(*order))]
