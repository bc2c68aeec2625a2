"""The calls of a log that an operation is about, read one after the other in the memory of a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypedDict

from llmguard.core.canonical import Json
from llmguard.core.record import Record
from llmguard.log import OutcomeStore
from llmguard.log.query import Query
from llmguard.log.rows import Row

PAGE = 500
"""Rows of one look at the log: some megabytes, and few enough looks."""


class CallsOfGuard(TypedDict, total=False):
    """Which calls of one guard are meant. `since` is included, `until` is not (seconds since the epoch); `status`: one of
    these; `meta`: all of these; `where`: conditions, see `llmguard.log.query`."""

    since: float | None
    until: float | None
    meta: Mapping[str, Json]
    status: Sequence[str]
    where: str | None


def rows(log: OutcomeStore, query: Query) -> Iterator[Row]:
    """All calls of a query by start. Each page begins at the start of the last call of the page before, without the calls
    that were in that page already."""
    previous = set[str]()
    while True:
        page = log.find(query, limit=PAGE + len(previous), newest_first=False)
        yield from (row for row in page if row.id not in previous)
        if len(page) < PAGE + len(previous):
            return
        last = page[-1].started_at
        query = replace(query, since=last)
        previous = {row.id for row in page if row.started_at == last}


def records(log: OutcomeStore, query: Query) -> Iterator[Record]:
    """The same with their steps."""
    for row in rows(log, query):
        record = log.get(row.id)
        if record is not None:
            yield record
