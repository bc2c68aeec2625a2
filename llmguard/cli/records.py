"""Whole records of a log one after the other, in the memory of a page, and what reviewers said of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmguard.cli.log_commands import Search
from llmguard.core.record import Record
from llmguard.log import MemoryLog, OutcomeLog
from llmguard.log.rows import Row
from llmguard.operations.datasets import Reviewed

PAGE = 500


def rows(log: OutcomeLog | MemoryLog, asked: Search) -> Iterator[Row]:
    """All such calls by start. A page begins where the last one ended, and passes over what was in it at that moment."""
    asked, seen = asked.copy(), set[str]()
    while True:
        page = log.find(**asked, limit=PAGE + len(seen), newest_first=False)
        yield from (row for row in page if row.id not in seen)
        if len(page) < PAGE + len(seen):
            return
        asked["since"] = last = page[-1].started_at
        seen = {row.id for row in page if row.started_at == last}


def records(log: OutcomeLog | MemoryLog, asked: Search) -> Iterator[Record]:
    """The same with their steps."""
    for row in rows(log, asked):
        record = log.get(row.id)
        if record is not None:
            yield record


def reviews_of(log: OutcomeLog | MemoryLog, call_id: str) -> Sequence[Reviewed]:
    """Reviews of a call, oldest first."""
    return log.reviews_of(call_id)
