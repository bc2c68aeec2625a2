"""What is the same in every store: queries by keywords, records page by page, the last good value."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Unpack

from llmguard.core.canonical import Json
from llmguard.core.record import Record
from llmguard.log.positions import PAGE, PagePosition
from llmguard.log.query import Query, QueryOptions, query_of
from llmguard.log.review_store import ReviewStore
from llmguard.log.rows import RUNNING, Row
from llmguard.log.stats import GuardStats


class GoodCall(NamedTuple):
    """A call whose value is from a model. `value` reads it, since only one of many is needed."""

    call_id: str
    value: Callable[[], Json]


class BaseStore(ReviewStore):
    """An `OutcomeStore` on the few operations in which stores differ; they are abstract, and begin with `_` where only
    this class uses them."""

    # --------------------------------------------------------------------------------------------- what differs

    @abstractmethod
    def records_of(self, ids: Sequence[str], *, evidence: bool = True) -> list[Record]:
        """See `OutcomeStore.records_of`."""

    @abstractmethod
    def _find(self, query: Query, limit: int | None, newest_first: bool) -> list[Row]:
        """The calls of a query, by start and then id."""

    @abstractmethod
    def _positions(self, query: Query, after: PagePosition | None, limit: int) -> list[PagePosition]:
        """Start and id of the next calls of a query, oldest first."""

    @abstractmethod
    def _stats(self, query: Query) -> tuple[GuardStats, ...]:
        """Counts for each guard, by name."""

    @abstractmethod
    def _good_calls(self, guard: str, inputs_digest: str, not_before: float) -> Iterable[GoodCall]:
        """Those with these inputs whose outcome `is_from_model`, the newest first; reviews are not looked at."""

    # --------------------------------------------------------------------------------------------- what is the same

    def find(
        self,
        query: Query | None = None,
        *,
        limit: int | None = 100,
        newest_first: bool = True,
        **options: Unpack[QueryOptions],
    ) -> list[Row]:
        """Calls by start. `log.find(status="rejected", since=0.0)` asks the same as `log.find(Query(...))`.

        Args:
            limit: at most so many; None: all.
            options: the fields of a `Query`.

        Raises:
            UsageError: the query cannot be asked.
        """
        return self._find(query_of(query, options), limit, newest_first)

    def unfinished(self) -> list[Row]:
        """Calls that run now, in processes that live (or may live: see `sqlite.liveness`); oldest first."""
        return self.find(status=RUNNING, limit=None, newest_first=False)

    def positions(
        self,
        query: Query | None = None,
        *,
        after: PagePosition | None = None,
        limit: int = PAGE,
        **options: Unpack[QueryOptions],
    ) -> list[PagePosition]:
        """Start and id of the next `limit` calls after a position, oldest first: a page of records is read by them."""
        return self._positions(query_of(query, options), after, limit)

    def records(
        self,
        query: Query | None = None,
        *,
        after: PagePosition | None = None,
        evidence: bool = True,
        **options: Unpack[QueryOptions],
    ) -> Iterator[Record]:
        """All records of a query, oldest first, in the memory of a page. Each page is read for itself: calls that are
        added meanwhile may be among them."""
        return self._pages(query_of(query, options), after, evidence)  # a wrong query is an error now, not at `next`

    def _pages(self, query: Query, after: PagePosition | None, evidence: bool) -> Iterator[Record]:
        while page := self._positions(query, after, PAGE):
            yield from self.records_of([position.id for position in page], evidence=evidence)
            after = page[-1]

    def stats(self, query: Query | None = None, **options: Unpack[QueryOptions]) -> tuple[GuardStats, ...]:
        """Counts for each guard that has such calls, by name."""
        return self._stats(query_of(query, options))

    def last_good(self, guard: str, inputs_digest: str, not_before: float) -> Json:
        """`{"value": ..., "id": ...}` of the newest call with these inputs whose value is from a model, and not reviewed
        as wrong; else None."""
        for call in self._good_calls(guard, inputs_digest, not_before):
            if not self._is_wrong(call.call_id):
                return {"value": call.value(), "id": call.call_id}
        return None

    def _is_wrong(self, call_id: str) -> bool:
        """By its newest review."""
        return any(review.verdict == "wrong" for review in self.reviews_of(call_id)[-1:])
