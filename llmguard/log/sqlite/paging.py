"""Whole records page by page, oldest first, so that a log of any size is read in little memory.

A page is found by where the one before it ended (start, then id), never by counting rows: it costs the same at the end of
a log as at its beginning, and calls that are added meanwhile move nothing. Two SQL queries a page: calls, and their steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from llmguard.core.canonical import Json
from llmguard.core.record import Record
from llmguard.log.positions import PagePosition
from llmguard.log.query import Query
from llmguard.log.rows import record_of, searchable
from llmguard.log.sqlite.liveness import is_gone
from llmguard.log.sqlite.query_clauses import clauses
from llmguard.log.sqlite.tables import tables

if TYPE_CHECKING:
    import sqlalchemy as sa


def positions_after(
    connection: sa.Connection, query: Query, status: sa.ColumnElement[str], after: PagePosition | None, limit: int
) -> list[PagePosition]:
    """The next calls of a query, by start. `status` is the status as lists show it."""
    import sqlalchemy as sa

    calls = tables().calls
    order = (calls.c.started_at, calls.c.id)
    select = sa.select(*order).where(*clauses(query, calls, status)).order_by(*order).limit(limit)
    if after is not None:
        select = select.where(sa.tuple_(*order) > sa.tuple_(sa.literal(after.started_at), sa.literal(after.id)))
    return [PagePosition(row.started_at, row.id) for row in connection.execute(select)]


def records_at(connection: sa.Connection, ids: Sequence[str], *, evidence: bool) -> list[Record]:
    """The records with these ids, in their order, without unknown ids. Without `evidence` the replies' bodies, which decide
    nothing, are not read."""
    calls = tables().calls
    stored_ids = [searchable(each) for each in ids]
    calls_by_id = {row.id: row for row in connection.execute(calls.select().where(calls.c.id.in_(stored_ids)))}
    steps = _steps_of(connection, stored_ids, evidence)
    rows = (calls_by_id[each] for each in stored_ids if each in calls_by_id)
    return [record_of(row, steps[row.id], row.status is None and is_gone(row.owner)) for row in rows]


def _steps_of(connection: sa.Connection, ids: Collection[str], evidence: bool) -> defaultdict[str, list[Json]]:
    import sqlalchemy as sa

    steps = tables().steps
    raw = steps.c.raw if evidence else sa.literal(b"").label("raw")
    columns = (steps.c.call_id, steps.c.address, steps.c.digest, steps.c.answer, raw, steps.c.waited_s)
    select = sa.select(*columns).where(steps.c.call_id.in_(ids)).order_by(steps.c.call_id, steps.c.seq)
    by_call: defaultdict[str, list[Json]] = defaultdict(list)
    for row in connection.execute(select):
        by_call[row.call_id].append(row)
    return by_call
