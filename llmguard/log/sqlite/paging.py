"""The log read in passing: whole records by pages, oldest first, so that a log of any size is read in little memory.

A page is found by where the one before it ended (start, then id), never by counting rows: it costs the same at the end of
a log as at its beginning, and calls that come in meanwhile move nothing. Two queries a page: the calls, and their steps.
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
    connection: sa.Connection, asked: Query, shown: sa.ColumnElement[str], after: PagePosition | None, limit: int
) -> list[PagePosition]:
    """The next calls that are asked for, by start. `shown` is the status as lists show it."""
    import sqlalchemy as sa

    calls = tables().calls
    order = (calls.c.started_at, calls.c.id)
    found = sa.select(*order).where(*clauses(asked, calls, shown)).order_by(*order).limit(limit)
    if after is not None:
        found = found.where(sa.tuple_(*order) > sa.tuple_(sa.literal(after.started_at), sa.literal(after.id)))
    return [PagePosition(row.started_at, row.id) for row in connection.execute(found)]


def records_at(connection: sa.Connection, ids: Sequence[str], *, evidence: bool) -> list[Record]:
    """The records with these ids, in their order; ids that are not in the log are passed over. Without `evidence` the
    replies' bodies, which nothing is decided by, stay on the disk."""
    calls = tables().calls
    wanted = [searchable(each) for each in ids]
    found = {row.id: row for row in connection.execute(calls.select().where(calls.c.id.in_(wanted)))}
    steps = _steps_of(connection, wanted, evidence)
    rows = (found[each] for each in wanted if each in found)
    return [record_of(row, steps[row.id], row.status is None and is_gone(row.owner)) for row in rows]


def _steps_of(connection: sa.Connection, ids: Collection[str], evidence: bool) -> defaultdict[str, list[Json]]:
    import sqlalchemy as sa

    steps = tables().steps
    raw = steps.c.raw if evidence else sa.literal(b"").label("raw")
    columns = (steps.c.call_id, steps.c.address, steps.c.digest, steps.c.answer, raw, steps.c.waited_s)
    asked = sa.select(*columns).where(steps.c.call_id.in_(ids)).order_by(steps.c.call_id, steps.c.seq)
    found: defaultdict[str, list[Json]] = defaultdict(list)
    for row in connection.execute(asked):
        found[row.call_id].append(row)
    return found
