"""A log in memory, for guards that keep none: the last calls, with the interface of `OutcomeLog`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

from llmguard.certification.certificate import Certificate, StoredCertificate
from llmguard.core.canonical import Json, json_roundtrip
from llmguard.core.errors import LogError
from llmguard.core.messages import ModelFailure, ModelReply
from llmguard.core.outcome import Outcome
from llmguard.core.record import CallStart, Record, Step
from llmguard.log.audits import FinishedCall
from llmguard.log.query import Query, query
from llmguard.log.review_store import AuditFilter, CallSummary, ReviewStore
from llmguard.log.reviews import Review, in_order
from llmguard.log.rows import Row, row_of_record
from llmguard.log.sqlite.certificate_rows import issued_at
from llmguard.log.stats import GuardStats, GuardTally


@dataclass(slots=True)
class StoredCall:
    opening: CallStart
    steps: list[Step] = field(default_factory=list)
    outcome: Outcome[Json] | None = None
    finished_at: float | None = None
    reviews: list[Review] = field(default_factory=list)

    def record(self) -> Record:
        return Record(self.opening, tuple(self.steps), self.outcome)


class MemoryLog(ReviewStore):
    """Keeps the newest `size` calls of this process; nothing is written anywhere.

    >>> log = MemoryLog()
    >>> log.begin(Opening(id="1", guard="g", fingerprint="f", inputs={}, inputs_digest="d", meta={}, started_at=0.0))
    >>> log.find()[0].status
    'running'
    """

    def __init__(self, size: int = 1_000) -> None:
        self.size = size
        self.secret = os.urandom(32)
        self._calls: dict[str, StoredCall] = {}
        self._guards: dict[str, Json] = {}
        self._feedback: dict[str, list[Json]] = {}
        self._certificates: dict[str, tuple[float, StoredCertificate]] = {}
        self._lock = Lock()

    def guard(self, fingerprint: str, name: str, description: Json) -> None:
        self._guards[fingerprint] = {"name": name, "description": description}

    def explain(self, fingerprint: str) -> Json:
        return self._guards.get(fingerprint)

    def begin(self, opening: CallStart) -> None:
        with self._lock:
            before = self._calls.pop(opening.id, None)
            kept = self._calls[opening.id] = StoredCall(opening)
            if before:
                kept.steps, kept.reviews = before.steps, before.reviews
            while len(self._calls) > self.size:
                oldest = next(iter(self._calls))
                del self._calls[oldest]
                self._feedback.pop(oldest, None)

    def step(self, call_id: str, step: Step) -> None:
        kept = self._calls.get(call_id)
        if kept is not None:
            kept.steps[:] = [each for each in kept.steps if each.address != step.address]
            kept.steps.append(step)

    def finish(self, call_id: str, outcome: Outcome[Json], finished_at: float) -> None:
        kept = self._calls.get(call_id)
        if kept is not None:
            kept.outcome, kept.finished_at = replace(outcome, value=outcome.json), finished_at

    async def afinish(self, call_id: str, outcome: Outcome[Json], finished_at: float) -> None:
        self.finish(call_id, outcome, finished_at)

    def get(self, call_id: str) -> Record | None:
        kept = self._calls.get(call_id)
        return kept.record() if kept else None

    def ids(self, prefix: str, limit: int = 10) -> list[str]:
        return sorted(call_id for call_id in list(self._calls) if call_id.startswith(prefix))[:limit]

    def last_good(self, guard: str, inputs_digest: str, not_before: float) -> Json:
        found = [
            kept
            for kept in self._all()
            if kept.outcome is not None
            and (kept.opening.guard, kept.opening.inputs_digest) == (guard, inputs_digest)
            and kept.outcome.is_from_model
            and kept.opening.started_at >= not_before
            and not any(review.verdict == "wrong" for review in self.reviews_of(kept.opening.id)[-1:])
        ]
        newest = max(found, key=lambda kept: kept.opening.started_at, default=None)
        if newest is None or newest.outcome is None:
            return None
        return {"value": json_roundtrip(newest.outcome.json), "id": newest.opening.id}

    def find(
        self,
        *,
        guard: str | None = None,
        since: float | None = None,
        until: float | None = None,
        finished_since: float | None = None,
        status: str | Sequence[str] | None = None,
        meta: Mapping[str, Json] | None = None,
        where: str | None = None,
        limit: int | None = 100,
        newest_first: bool = True,
    ) -> list[Row]:
        asked = query(guard, since, until, finished_since, status, meta, where)
        rows = sorted(self._rows(asked), key=lambda row: (row.started_at, row.id), reverse=newest_first)
        return rows[:limit]

    def stats(
        self,
        *,
        guard: str | None = None,
        since: float | None = None,
        until: float | None = None,
        finished_since: float | None = None,
        status: str | Sequence[str] | None = None,
        meta: Mapping[str, Json] | None = None,
        where: str | None = None,
    ) -> tuple[GuardStats, ...]:
        tallies: dict[str, GuardTally] = {}
        for row in self._rows(query(guard, since, until, finished_since, status, meta, where)):
            tally = tallies.setdefault(row.guard, GuardTally(row.guard))
            tally.call(row.status, row.failures, row.duration_s)
            for step in self._calls[row.id].steps:
                if isinstance(step.answer, ModelReply | ModelFailure):
                    tally.use(getattr(step.answer, "model", ""), 1, step.answer.usage)
        return tuple(tallies[name].stats() for name in sorted(tallies))

    def feedback(self, call_id: str, key: str, value: Json, at: float) -> None:
        if call_id not in self._calls:
            raise self._unknown(call_id)
        self._feedback.setdefault(call_id, []).append({"key": key, "value": json_roundtrip(value), "at": at})

    def feedback_of(self, call_id: str) -> list[Json]:
        return list(self._feedback.get(call_id, ()))

    def keep_certificate(self, certificate: Certificate, at: float) -> None:
        self._certificates.setdefault(certificate.id, (issued_at(certificate, at), StoredCertificate(certificate)))

    def certificates(self, guard: str, certified: str | None = None) -> list[StoredCertificate]:
        found = [
            (at, kept)
            for at, kept in list(self._certificates.values())
            if kept.certificate.guard == guard and certified in (None, kept.certificate.fingerprint)
        ]
        return [kept for _, kept in sorted(found, key=lambda each: (-each[0], each[1].certificate.id))]

    def suspend(self, certificate_id: str, at: float) -> bool:
        issued, kept = self._certificates.get(certificate_id, (0.0, None))
        if kept is None or kept.suspended_at is not None:
            return False
        self._certificates[certificate_id] = issued, StoredCertificate(kept.certificate, at)
        return True

    def _save_reviews(self, reviews: Sequence[Review]) -> None:
        for review in reviews:
            if kept := self._calls.get(review.call_id):  # else it has made room meanwhile
                kept.reviews.append(review)

    def _reviews(self, call_ids: Iterable[str]) -> list[Review]:
        return [review for call_id in call_ids if (kept := self._calls.get(call_id)) for review in kept.reviews]

    def _look_up(self, call_id: str) -> CallSummary | None:
        kept = self._calls.get(call_id)
        return CallSummary(call_id, kept.opening.guard, kept.opening.fingerprint, kept.outcome) if kept else None

    def _descriptions(self, guard: str) -> Mapping[str, Json]:
        known = list(self._guards.items())
        return {fingerprint: found["description"] for fingerprint, found in known if found["name"] == guard}

    def _ended(
        self, guard: str, fingerprints: Sequence[str] | None, since: float | None, which: AuditFilter
    ) -> list[FinishedCall]:
        found = [
            FinishedCall(
                call_id=kept.opening.id,
                started_at=kept.opening.started_at,
                outcome=kept.outcome,
                reviews=tuple(kept.reviews),
            )
            for kept in self._all()
            if kept.outcome is not None
            and kept.opening.guard == guard
            and (fingerprints is None or kept.opening.fingerprint in fingerprints)
            and (since is None or kept.opening.started_at >= since)
            and (kept.outcome.review_reason == "audit" if which == "audited" else kept.reviews)
        ]
        return sorted(found, key=lambda call: (call.started_at, call.call_id))

    def _unknown(self, call_id: str) -> LogError:
        return LogError(f"no call {call_id!r} in this log of the last {self.size} calls.")

    def mark_interrupted(self, *, foreign_before: float | None = None) -> int:
        return 0

    def unfinished(self) -> list[str]:
        return [kept.opening.id for kept in self._all() if kept.outcome is None]

    def flush(self) -> bool:
        return True

    def close(self) -> None:
        return

    def _all(self) -> list[StoredCall]:
        with self._lock:
            return list(self._calls.values())

    def _rows(self, asked: Query) -> list[Row]:
        rows = (row_of_record(kept.record(), kept.finished_at, _verdict_of(kept)) for kept in self._all())
        return [row for row in rows if asked.holds(row)]


def _verdict_of(kept: StoredCall) -> str:
    newest = in_order(kept.reviews)[-1:]
    return newest[0].verdict if newest else ""
