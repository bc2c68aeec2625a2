"""Reviews and audits in every store, on the few operations in which stores differ."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from llmguard.core.canonical import Json
from llmguard.core.errors import LogError
from llmguard.core.outcome import Outcome
from llmguard.engine.policy import certified_part
from llmguard.log.audits import Audit, FinishedCall, audit_of
from llmguard.log.reviews import (
    UNSET,
    Review,
    ReviewedCall,
    ReviewInput,
    UnsetCorrection,
    check_review,
    in_order,
    new_reviews,
)

AuditFilter: TypeAlias = Literal["audited", "reviewed"]
"""Which finished calls of a guard: those drawn for audit, or those with a review."""


class CallSummary(NamedTuple):
    """What a review needs to know of a call; `outcome` is None while it runs."""

    call_id: str
    guard: str
    fingerprint: str
    outcome: Outcome[Json] | None


class ReviewStore(ABC):
    """A store that keeps people's reviews beside the outcomes."""

    # --------------------------------------------------------------------------------------------- what differs

    @abstractmethod
    def explain(self, fingerprint: str) -> Json:
        """`{"name": ..., "description": ...}` of the guard with this fingerprint; None where it is not known."""

    @abstractmethod
    def _look_up(self, call_id: str) -> CallSummary | None:
        """None for an unknown call."""

    @abstractmethod
    def _unknown(self, call_id: str) -> LogError:
        """The error for an unknown call."""

    @abstractmethod
    def _save_reviews(self, reviews: Sequence[Review]) -> None:
        """In this order, and durable on return."""

    @abstractmethod
    def _reviews(self, call_ids: Iterable[str]) -> list[Review]:
        """All reviews of these calls, in any order."""

    @abstractmethod
    def _descriptions(self, guard: str) -> Mapping[str, Json]:
        """The descriptions of a guard, as `guard` saved them, by fingerprint."""

    @abstractmethod
    def _finished(
        self, guard: str, fingerprints: Sequence[str] | None, since: float | None, which: AuditFilter
    ) -> list[FinishedCall]:
        """Finished calls with their reviews, by start; `fingerprints` None: whatever decided them."""

    # --------------------------------------------------------------------------------------------- reviews

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
        """Save a person's review of an outcome, durably on return. All reviews are kept; the newest counts.

        It is about the model's candidate (`outcome.candidate`), whatever rung answered; without one, about the value that
        was returned. An outcome that has neither can be reviewed too: the correction then says what it should have been.

        Args:
            verdict: "right", "wrong" or "unsure", of the whole value.
            correction: what the value should have been; it fits the schema by which the guard decided. None is null.
            fields: verdicts on parts, by JSON Pointer: `{"/total": "wrong"}`.
            blind: the reviewer did not see how sure the model was.
            at: seconds since the epoch; None: now.

        Raises:
            LogError: the call is unknown, or there is a correction and the log does not know the guard's schema.
            UsageError: an argument is invalid; the message says how to correct it.
        """
        review_input = ReviewInput(verdict, correction, fields, reviewer, comment, blind)
        review = self.checked_review(call_id, review_input, at)
        self._save_reviews([review])
        return review

    def checked_review(self, call_id: str, review_input: ReviewInput, at: float | None = None) -> Review:
        """The review that `review` would save, or its error; nothing is written."""
        summary = self._look_up(call_id)
        if summary is None:
            raise self._unknown(call_id)
        explained = self.explain(summary.fingerprint) if review_input.correction is not UNSET else None
        description = explained["description"].get("schema") if explained else None
        call = ReviewedCall(
            call_id=summary.call_id, guard=summary.guard, outcome=summary.outcome, schema_description=description
        )
        return check_review(review_input, call, new_review_id(), time.time() if at is None else at)

    def add_reviews(self, reviews: Sequence[Review]) -> int:
        """Save those that the store does not have, and return how many. Two reviews are the same if they say the same of
        one call and are by one reviewer, so a file of reviews may be given twice."""
        new = new_reviews(reviews, self._reviews({review.call_id for review in reviews}))
        if new:
            self._save_reviews(new)
        return len(new)

    def reviews_of(self, call_id: str) -> list[Review]:
        """All reviews of a call, oldest first: the last one counts."""
        return in_order(self._reviews([call_id]))

    # --------------------------------------------------------------------------------------------- audits

    def audited(self, guard: str, certified: str, *, since: float | None = None) -> list[Audit]:
        """The finished calls of a guard that were drawn for audit, reviewed or not, by start: those that were decided by
        a guard whose certified part (`policy.certified_part`) is this one. `since`: seconds since the epoch."""
        return [audit_of(call) for call in self._decided(guard, certified, since, "audited")]

    def reviewed(self, guard: str, certified: str | None = None, *, since: float | None = None) -> list[Audit]:
        """The finished calls of a guard that have a review, by start; `item.reason` says which were drawn for audit.
        `judged_pairs` compares the verdicts of its judges with those of reviewers."""
        if certified is None:
            return [audit_of(call) for call in self._finished(guard, None, since, "reviewed")]
        return [audit_of(call) for call in self._decided(guard, certified, since, "reviewed")]

    def _decided(self, guard: str, certified: str, since: float | None, which: AuditFilter) -> list[FinishedCall]:
        """Begun and finished by such a guard: a call that a changed guard resumed is evidence about neither."""
        fingerprints = self._certified(guard, certified)
        calls = self._finished(guard, fingerprints, since, which)
        return [call for call in calls if call.outcome.fingerprint in fingerprints]

    def _certified(self, guard: str, certified: str) -> list[str]:
        """The fingerprints with this certified part."""
        descriptions = self._descriptions(guard).items()
        return [fingerprint for fingerprint, description in descriptions if certified_part(description) == certified]


def new_review_id() -> str:
    """26 hexadecimal digits: nanoseconds since the epoch, then 40 random bits; sorts by time."""
    return f"{time.time_ns():016x}{os.urandom(5).hex()}"
