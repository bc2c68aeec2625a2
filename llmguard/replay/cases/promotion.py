"""A logged call into a case: what is stored of it, and what it expects where no one said."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelReply
from llmguard.core.outcome import Outcome
from llmguard.core.record import Record
from llmguard.replay.cases.case import Case, Expect
from llmguard.replay.cases.failure_keys import failure_key, slug_of


class CaseReview(Protocol):
    """What a case needs of a review."""

    @property
    def verdict(self) -> str: ...
    @property
    def correction(self) -> tuple[Json, ...]: ...
    @property
    def reviewer(self) -> str: ...
    @property
    def comment(self) -> str: ...


def case_of(record: Record, expect: Expect, *, version: str, slug: str = "", review: CaseReview | None = None) -> Case:
    """The case of a logged call. `version` is llmguard's; `review` goes into the provenance.

    Raises:
        UsageError: there is no call to replay: its inputs are not in the log, or it is a drift alarm.
    """
    opening, outcome = record.opening, record.outcome
    if outcome is not None and outcome.review_reason == "drift":
        raise UsageError(
            f"{opening.id!r} is a drift alarm, not a call: nothing was asked, so there is nothing to replay. Promote the"
            " calls that were reviewed as wrong: `llmguard log list --where review=wrong` shows them."
        )
    if not isinstance(opening.inputs, dict):
        raise UsageError(
            f"the log does not have the inputs of call {opening.id!r}, so it cannot be replayed as a case."
        )
    provenance: dict[str, Json] = {
        "outcome": opening.id,
        "fingerprint": opening.fingerprint,
        "started_at": datetime.fromtimestamp(opening.started_at, UTC).isoformat(timespec="seconds"),
        "status": outcome.status if outcome else "running",
        "signature": failure_key(record),
        "llmguard": version,
    }
    if review is not None:
        provenance["review"] = _review_json(review)
    return Case(
        guard=opening.guard,
        slug=slug or slug_of(record),
        inputs=opening.inputs,
        steps=record.steps,
        expect=expect,
        provenance=provenance,
        audited=outcome is not None and outcome.review_reason == "audit",
    )


def expect_of_review(review: CaseReview, outcome: Outcome[Json]) -> Expect:
    """right: the value that was reviewed. wrong: the correction, or, without one, that no model's value is returned."""
    note = " · ".join(part for part in (f"reviewed as {review.verdict}", review.reviewer, review.comment) if part)
    if review.verdict == "right":
        value = outcome.candidate or ((outcome.json,) if outcome.has_value else ())
        if not value:
            raise UsageError("the newest review says right, and there is no value that was judged. Give --expect.")
        return Expect(kind="value", value=value, note=note)
    if review.verdict == "wrong":
        kind: Json = "value" if review.correction else "refused"
        return Expect(kind=kind, value=tuple(review.correction), note=note)
    raise UsageError(
        f"the newest review says {review.verdict!r}, which decides nothing. Review it again, or give --expect."
    )


def expect_of_status(record: Record) -> Expect:
    """Where no one said what is right: a failure should not happen again, and an accepted value stays accepted.

    No model's value although a model replied: `accepted`, so the case is red until the guard is mended. A model's value:
    that `value`, which pins it. No reply at all (the network failed): `refused`, which pins the fallback.
    """
    outcome = record.outcome
    if outcome is None or outcome.status == "interrupted":
        raise UsageError(
            f"call {record.opening.id!r} has no outcome, so nothing says what is right. Give --expect accepted,"
            " refused or a value."
        )
    if outcome.is_from_model:
        return Expect(kind="value", value=(outcome.json,), note=f"it was {outcome.status}; nobody reviewed it")
    if any(isinstance(step.answer, ModelReply) for step in record.steps):
        return Expect(kind="accepted", note=f"it ended {outcome.status}; nobody reviewed it")
    return Expect(kind="refused", note=f"it ended {outcome.status}, for no model replied")


def _review_json(review: CaseReview) -> Mapping[str, Json]:
    optional = {"reviewer": review.reviewer, "comment": review.comment}
    return {"verdict": review.verdict, **{key: text for key, text in optional.items() if text}}
