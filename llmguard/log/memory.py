"""A store in memory, for guards that keep no log: the last calls of this process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from threading import Lock

from llmguard.certification.certificate import Certificate
from llmguard.core.canonical import Json, json_roundtrip
from llmguard.core.errors import LogError
from llmguard.core.outcome import Outcome
from llmguard.core.record import CallStart, Step
from llmguard.log.reviews import Review
from llmguard.log.scanning_store import ScanningStore, StoreContents


class MemoryLog(ScanningStore):
    """Keeps the newest `size` calls of this process; nothing is written anywhere.

    >>> log = MemoryLog()
    >>> log.begin(CallStart(id="1", guard="g", fingerprint="f", inputs={}, inputs_digest="d", meta={}, started_at=0.0))
    >>> log.find()[0].status
    'running'
    """

    url = None

    def __init__(self, size: int = 1_000) -> None:
        self.size = size
        self.secret = os.urandom(32)
        self._stored = StoreContents()
        self._lock = Lock()

    def _contents(self) -> StoreContents:
        """Copies of the tables, which another thread may add to while they are read."""
        with self._lock:
            stored = self._stored
            return StoreContents(dict(stored.calls), dict(stored.guards), dict(stored.certificates))

    # --------------------------------------------------------------------------------------------- writing

    def guard(self, fingerprint: str, name: str, description: Json) -> None:
        with self._lock:
            self._stored.add_guard(fingerprint, name, description)

    def begin(self, opening: CallStart) -> None:
        with self._lock:
            self._stored.begin(opening)
            calls = self._stored.calls
            while len(calls) > self.size:
                del calls[next(iter(calls))]

    def step(self, call_id: str, step: Step) -> None:
        if call := self._stored.calls.get(call_id):  # else it was the oldest, and a newer one took its room
            call.add_step(step)

    def finish(self, call_id: str, outcome: Outcome[Json], finished_at: float) -> None:
        if call := self._stored.calls.get(call_id):
            call.finish(outcome, finished_at)

    async def afinish(self, call_id: str, outcome: Outcome[Json], finished_at: float) -> None:
        self.finish(call_id, outcome, finished_at)

    def feedback(self, call_id: str, key: str, value: Json, at: float) -> None:
        call = self._stored.calls.get(call_id)
        if call is None:
            raise self._unknown(call_id)
        call.feedback.append({"key": key, "value": json_roundtrip(value), "at": at})

    def save_certificate(self, certificate: Certificate, at: float) -> None:
        with self._lock:
            self._stored.add_certificate(certificate, at)

    def suspend(self, certificate_id: str, at: float) -> bool:
        with self._lock:
            return self._stored.suspend(certificate_id, at)

    def _save_reviews(self, reviews: Sequence[Review]) -> None:
        for review in reviews:
            if call := self._stored.calls.get(review.call_id):
                call.reviews.append(review)

    def _unknown(self, call_id: str) -> LogError:
        return LogError(f"no call {call_id!r} in this log of the last {self.size} calls.")

    # --------------------------------------------------------------------------------------------- nothing to wait for

    def mark_interrupted(self, *, foreign_before: float | None = None) -> int:
        return 0

    def flush(self) -> bool:
        return True

    def close(self) -> None:
        return
