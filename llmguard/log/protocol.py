"""What a store of outcomes must do: `OutcomeStore`, the seam between guards and wherever their calls are kept.

A guard takes any store: `Guard(..., log=MyStore())`. `BaseStore` supplies what is the same in every store, `ScanningStore`
also all that reads, for a store without an index. `llmguard.testing.assert_store_contract` tests a store for what is
written here.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, Unpack

from llmguard.certification.certificate import Certificate, StoredCertificate
from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.outcome import Outcome
from llmguard.core.record import CallStart, Record, Step
from llmguard.log.audits import Audit
from llmguard.log.positions import PAGE, PagePosition
from llmguard.log.query import Query, QueryOptions
from llmguard.log.reviews import UNSET, Review, ReviewInput, UnsetCorrection
from llmguard.log.rows import Row
from llmguard.log.stats import GuardStats


class OutcomeStore(Protocol):
    """Every guarded call from its start to its outcome, with what people said of it, and certificates.

    All methods may be called from any thread. Times are seconds since the epoch, given by the caller. A `query` may be
    given whole or by keywords, as in `find(status="rejected")`; one that cannot be asked raises UsageError. A store that
    cannot be read raises LogError; one that cannot be written keeps what it was given, tries again, warns, and costs no
    call its value. What leaves the memory of the process is redacted first (`core.redaction`).
    """

    # ------------------------------------------------------------------------------------------- the store itself

    @property
    def url(self) -> str | None:
        """What `open_log` takes to open the same store in another process; None where that is not possible."""

    @property
    def secret(self) -> bytes:
        """At least 16 random bytes, made with the store and the same as long as it exists: they draw the audits."""

    def flush(self) -> bool:
        """Write what is queued; False where the store cannot be written now."""

    def close(self) -> None:
        """Write what is queued and release what is held. A closed store opens again when it is used."""

    # ------------------------------------------------------------------------------------------- writing a call

    def guard(self, fingerprint: str, name: str, description: Json) -> None:
        """Save once what decides the outcomes of this fingerprint, for `explain`."""

    def begin(self, opening: CallStart) -> None:
        """Save the start of a call; it returns at once. A known call keeps its steps and its outcome, but an outcome
        `interrupted` goes: the call is resumed."""

    def step(self, call_id: str, step: Step) -> None:
        """Save an answer; it returns at once. A second answer at an address replaces the first."""

    def finish(self, call_id: str, outcome: Outcome[Json], finished_at: float) -> None:
        """Save the outcome and everything before it; durable on return, as far as the store can be."""

    async def afinish(self, call_id: str, outcome: Outcome[Json], finished_at: float) -> None:
        """`finish` that does not block the event loop. A caller that is cancelled loses no outcome."""

    def mark_interrupted(self, *, foreign_before: float | None = None) -> int:
        """Give every call whose process is gone the outcome `interrupted`, and return how many there were."""

    # ------------------------------------------------------------------------------------------- reading calls

    def get(self, call_id: str) -> Record | None:
        """The whole record, its outcome None while it runs; None for an unknown id."""

    def ids(self, prefix: str, limit: int = 10) -> list[str]:
        """Ids that begin with `prefix`, sorted."""

    def find(
        self,
        query: Query | None = None,
        *,
        limit: int | None = 100,
        newest_first: bool = True,
        **options: Unpack[QueryOptions],
    ) -> list[Row]:
        """The calls of a query, by start and then id."""

    def unfinished(self) -> list[Row]:
        """The calls that run now, oldest first."""

    def positions(
        self,
        query: Query | None = None,
        *,
        after: PagePosition | None = None,
        limit: int = PAGE,
        **options: Unpack[QueryOptions],
    ) -> list[PagePosition]:
        """Start and id of the next `limit` calls after a position, oldest first."""

    def records_of(self, ids: Sequence[str], *, evidence: bool = True) -> list[Record]:
        """The records with these ids, in their order, without unknown ids. Without `evidence` replies may lack `raw`."""

    def records(
        self,
        query: Query | None = None,
        *,
        after: PagePosition | None = None,
        evidence: bool = True,
        **options: Unpack[QueryOptions],
    ) -> Iterator[Record]:
        """All records of a query, oldest first, in the memory of a page."""

    def stats(self, query: Query | None = None, **options: Unpack[QueryOptions]) -> tuple[GuardStats, ...]:
        """Counts for each guard that has such calls, by name."""

    def last_good(self, guard: str, inputs_digest: str, not_before: float) -> Json:
        """`{"value": ..., "id": ...}` of the newest call with these inputs, begun at `not_before` or later, whose value
        is from a model (`Outcome.is_from_model`) and not reviewed as wrong; else None."""

    def explain(self, fingerprint: str) -> Json:
        """`{"name": ..., "description": ...}` as `guard` saved them; None for an unknown fingerprint."""

    # ------------------------------------------------------------------------------------------- what people say

    def feedback(self, call_id: str, key: str, value: Json, at: float) -> None:
        """Save a user's feedback, durably. LogError for an unknown call."""

    def feedback_of(self, call_id: str) -> list[Json]:
        """`{"key": ..., "value": ..., "at": ...}` for each, oldest first."""

    def review(
        self,
        call_id: str,
        verdict: str,
        *,
        correction: Json | UnsetCorrection = UNSET,
        fields: Mapping[str, str] | None = None,
        reviewer: str = "",
        comment: str = "",
        blind: bool = False,
        at: float | None = None,
    ) -> Review:
        """Check a person's review (`reviews.check_review`) and save it, durably. All are kept; the newest counts."""

    def checked_review(self, call_id: str, review_input: ReviewInput, at: float | None = None) -> Review:
        """The review that `review` would save, or its error; nothing is written."""

    def add_reviews(self, reviews: Sequence[Review]) -> int:
        """Save those that the store does not have, and return how many: a file of reviews may be given twice."""

    def reviews_of(self, call_id: str) -> list[Review]:
        """All reviews of a call, oldest first."""

    def audited(self, guard: str, certified: str, *, since: float | None = None) -> list[Audit]:
        """The finished calls drawn for audit, by start, of guards whose certified part is `certified`."""

    def reviewed(self, guard: str, certified: str | None = None, *, since: float | None = None) -> list[Audit]:
        """The same of the finished calls that have a review, drawn for audit or not; `certified` None: of any version."""

    # ------------------------------------------------------------------------------------------- certificates

    def save_certificate(self, certificate: Certificate, at: float) -> None:
        """Save a certificate, durably. Saved again, a suspended one stays suspended."""

    def certificates(self, guard: str, certified: str | None = None) -> list[StoredCertificate]:
        """A guard's certificates, the newest first; only those of one fingerprint where `certified` is given."""

    def suspend(self, certificate_id: str, at: float) -> bool:
        """No call is accepted under it from this return on. False where it is unknown or suspended already."""


MEMBERS = tuple(name for name in vars(OutcomeStore) if not name.startswith("_"))


def missing_store_members(store: object) -> list[str]:
    """The members of `OutcomeStore` that an object lacks."""
    return [name for name in MEMBERS if not _has(store, name)]


def refuse_incomplete_store(store: object, user: str) -> None:
    """UsageError that names what `store` lacks of an `OutcomeStore`; `user` is who was given it: `guard 'invoice'`."""
    if missing := missing_store_members(store):
        raise UsageError(
            f"log= of {user}: expected a database URL, an OutcomeStore or None, got {type(store).__name__}, which lacks"
            f" {', '.join(missing)}. Derive it from BaseStore or ScanningStore of llmguard.log, which supply most members,"
            " and test it with llmguard.testing.assert_store_contract."
        )


def _has(store: object, name: str) -> bool:
    """A property is not evaluated: reading `secret` may open a database."""
    return inspect.getattr_static(store, name, None) is not None or hasattr(store, name)
