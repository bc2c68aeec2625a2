"""A store without an index: it holds its calls as objects, and answers by looking at each of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from llmguard.certification.certificate import Certificate, StoredCertificate
from llmguard.core.canonical import Json, json_roundtrip
from llmguard.core.messages import ModelFailure, ModelReply
from llmguard.core.outcome import Outcome
from llmguard.core.record import CallStart, Record, Step
from llmguard.log.audits import FinishedCall
from llmguard.log.base_store import BaseStore, GoodCall
from llmguard.log.certificate_rows import issue_time
from llmguard.log.positions import PagePosition
from llmguard.log.query import Query
from llmguard.log.review_store import AuditFilter, CallSummary
from llmguard.log.reviews import Review, in_order
from llmguard.log.rows import Row, row_of_record
from llmguard.log.stats import GuardStats, GuardTally, stats_by_name


@dataclass(slots=True)
class StoredCall:
    """One call with its reviews and feedback."""

    opening: CallStart
    steps: list[Step] = field(default_factory=list)
    outcome: Outcome[Json] | None = None
    finished_at: float | None = None
    reviews: list[Review] = field(default_factory=list)
    feedback: list[Json] = field(default_factory=list)

    def record(self) -> Record:
        return Record(self.opening, tuple(self.steps), self.outcome)

    def row(self) -> Row:
        newest = in_order(self.reviews)[-1:]
        return row_of_record(self.record(), self.finished_at, newest[0].verdict if newest else "")

    def add_step(self, step: Step) -> None:
        """At its address, after the others."""
        self.steps[:] = [each for each in self.steps if each.address != step.address]
        self.steps.append(step)

    def finish(self, outcome: Outcome[Json], finished_at: float) -> None:
        self.outcome, self.finished_at = replace(outcome, value=outcome.json), finished_at


@dataclass(slots=True)
class StoreContents:
    """All that a store holds. `certificates` have the time by which the newest is decided."""

    calls: dict[str, StoredCall] = field(default_factory=dict)
    guards: dict[str, Json] = field(default_factory=dict)
    certificates: dict[str, tuple[float, StoredCertificate]] = field(default_factory=dict)

    def add_guard(self, fingerprint: str, name: str, description: Json) -> None:
        self.guards.setdefault(fingerprint, {"name": name, "description": description})

    def begin(self, opening: CallStart) -> None:
        """A call that is known already keeps what it has, but for an outcome `interrupted`, and is the newest."""
        call = self.calls.pop(opening.id, None)
        if call is None:
            call = StoredCall(opening)
        elif call.outcome is not None and call.outcome.status == "interrupted":
            call = replace(call, outcome=None, finished_at=None)
        call.opening = opening
        self.calls[opening.id] = call

    def add_certificate(self, certificate: Certificate, at: float) -> None:
        self.certificates.setdefault(certificate.id, (issue_time(certificate, at), StoredCertificate(certificate)))

    def suspend(self, certificate_id: str, at: float) -> bool:
        issued, stored = self.certificates.get(certificate_id, (0.0, None))
        if stored is None or stored.suspended_at is not None:
            return False
        self.certificates[certificate_id] = issued, StoredCertificate(stored.certificate, at)
        return True


class ScanningStore(BaseStore):
    """The reading half of an `OutcomeStore` for one that can give its `StoreContents`; writing is the subclass's."""

    @abstractmethod
    def _contents(self) -> StoreContents:
        """What the store holds now, not changed by another thread while it is read."""

    # --------------------------------------------------------------------------------------------- calls

    def get(self, call_id: str) -> Record | None:
        call = self._contents().calls.get(call_id)
        return call.record() if call else None

    def ids(self, prefix: str, limit: int = 10) -> list[str]:
        return sorted(call_id for call_id in self._contents().calls if call_id.startswith(prefix))[:limit]

    def records_of(self, ids: Sequence[str], *, evidence: bool = True) -> list[Record]:
        calls = self._contents().calls
        return [calls[call_id].record() for call_id in ids if call_id in calls]

    def explain(self, fingerprint: str) -> Json:
        return self._contents().guards.get(fingerprint)

    def feedback_of(self, call_id: str) -> list[Json]:
        call = self._contents().calls.get(call_id)
        return sorted(call.feedback, key=lambda each: each["at"]) if call else []

    def _find(self, query: Query, limit: int | None, newest_first: bool) -> list[Row]:
        rows = [row for row, _ in self._matching(query)]
        return sorted(rows, key=_position, reverse=newest_first)[:limit]

    def _positions(self, query: Query, after: PagePosition | None, limit: int) -> list[PagePosition]:
        positions = sorted(_position(row) for row, _ in self._matching(query))
        return [position for position in positions if after is None or position > after][:limit]

    def _stats(self, query: Query) -> tuple[GuardStats, ...]:
        tallies: dict[str, GuardTally] = {}
        for row, call in self._matching(query):
            tally = tallies.setdefault(row.guard, GuardTally(row.guard))
            tally.call(row.status, row.failures, row.duration_s)
            for step in call.steps:
                if isinstance(step.answer, ModelReply | ModelFailure):
                    tally.use(getattr(step.answer, "model", ""), 1, step.answer.usage)
        return stats_by_name(tallies)

    def _matching(self, query: Query) -> list[tuple[Row, StoredCall]]:
        rows = ((call.row(), call) for call in self._contents().calls.values())
        return [(row, call) for row, call in rows if query.matches(row)]

    def _good_calls(self, guard: str, inputs_digest: str, not_before: float) -> Iterable[GoodCall]:
        good = [
            (call.opening, call.outcome)
            for call in self._contents().calls.values()
            if (call.opening.guard, call.opening.inputs_digest) == (guard, inputs_digest)
            and call.opening.started_at >= not_before
            and call.outcome is not None
            and call.outcome.is_from_model
        ]
        newest_first = sorted(good, key=lambda each: each[0].started_at, reverse=True)
        return [GoodCall(opening.id, partial(json_roundtrip, outcome.json)) for opening, outcome in newest_first]

    # --------------------------------------------------------------------------------------------- reviews and audits

    def _reviews(self, call_ids: Iterable[str]) -> list[Review]:
        calls = self._contents().calls
        return [review for call_id in call_ids if call_id in calls for review in calls[call_id].reviews]

    def _look_up(self, call_id: str) -> CallSummary | None:
        call = self._contents().calls.get(call_id)
        return CallSummary(call_id, call.opening.guard, call.opening.fingerprint, call.outcome) if call else None

    def _descriptions(self, guard: str) -> Mapping[str, Json]:
        guards = self._contents().guards.items()
        return {fingerprint: each["description"] for fingerprint, each in guards if each["name"] == guard}

    def _finished(
        self, guard: str, fingerprints: Sequence[str] | None, since: float | None, which: AuditFilter
    ) -> list[FinishedCall]:
        finished = [
            FinishedCall(
                call_id=call.opening.id,
                started_at=call.opening.started_at,
                outcome=call.outcome,
                reviews=tuple(call.reviews),
            )
            for call in self._contents().calls.values()
            if call.outcome is not None
            and call.opening.guard == guard
            and (fingerprints is None or call.opening.fingerprint in fingerprints)
            and (since is None or call.opening.started_at >= since)
            and (call.outcome.review_reason == "audit" if which == "audited" else call.reviews)
        ]
        return sorted(finished, key=lambda call: (call.started_at, call.call_id))

    # --------------------------------------------------------------------------------------------- certificates

    def certificates(self, guard: str, certified: str | None = None) -> list[StoredCertificate]:
        of_guard = [
            (issued, stored)
            for issued, stored in self._contents().certificates.values()
            if stored.certificate.guard == guard and certified in (None, stored.certificate.fingerprint)
        ]
        return [stored for _, stored in sorted(of_guard, key=lambda each: (-each[0], each[1].certificate.id))]


def _position(row: Row) -> PagePosition:
    return PagePosition(row.started_at, row.id)
