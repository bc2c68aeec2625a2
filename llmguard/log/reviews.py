"""A person's review of an outcome: checked against the record before it is saved, and its row in the log."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Final, get_args

from llmguard.certification.audited_items import Verdict
from llmguard.core.canonical import EncodingError, Json, decode, digest, encode
from llmguard.core.errors import LogError, UsageError
from llmguard.core.outcome import Outcome
from llmguard.core.redaction import redact, redact_text
from llmguard.log.rows import Values, searchable
from llmguard.parsing.syntax.strict import same_json
from llmguard.schema import Schema, from_description
from llmguard.schema.keywords import as_pointer
from llmguard.schema.words import hint

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


class UnsetCorrection(Enum):
    """In place of a correction that was not given; None is a correction to null."""

    UNSET = "unset"


UNSET: Final = UnsetCorrection.UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One person's review of one call: `verdict` is of the whole value, `fields` of parts of it by JSON Pointer.

    `correction` is what the value should have been, as a tuple of one, or empty. `blind`: the reviewer did not see how
    sure the model was. `at`: seconds since the epoch; the newest review of a call counts.
    """

    id: str
    call_id: str
    verdict: Verdict
    correction: tuple[Json, ...] = ()
    fields: Mapping[str, Verdict] = field(default_factory=dict)
    reviewer: str = ""
    comment: str = ""
    blind: bool = False
    at: float

    @property
    def content(self) -> str:
        """A digest of all but the time and the id: the same review given twice has it twice."""
        return digest([self.call_id, self.verdict, self.correction, self.fields, self.reviewer, self.comment])


@dataclass(frozen=True, slots=True)
class ReviewInput:
    """A review as it came in, before any check. `displayed`: the value that the reviewer was shown, if it came back with the
    review."""

    verdict: str
    correction: Json | UnsetCorrection = UNSET
    fields: Mapping[str, str] | None = None
    reviewer: str = ""
    comment: str = ""
    blind: bool = False
    displayed: Json | UnsetCorrection = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedCall:
    """The call that is reviewed. `outcome` is None while it runs. `schema_description`: its guard's schema as the log
    keeps it (`schema.describe`), or None."""

    call_id: str
    guard: str
    outcome: Outcome[Json] | None
    schema_description: Json = None


def judged_value(outcome: Outcome[Json]) -> tuple[Json, ...]:
    """The value that a review of this outcome is about, as a tuple of one: the model's candidate, whatever rung answered;
    without a candidate, the value that was returned or is provisional; else empty."""
    if outcome.candidate or (outcome.json is None and not outcome.has_value):
        return outcome.candidate
    return (outcome.json,)


# ------------------------------------------------------------------------------------------------- checked


def check_review(review_input: ReviewInput, call: ReviewedCall, review_id: str, at: float) -> Review:
    """The review, free of secrets; UsageError names the part that is invalid, and how to correct it."""
    if call.outcome is None:
        raise UsageError(
            f"call {call.call_id!r} is not decided yet, so there is nothing to review. Wait for its outcome."
        )
    _refuse_types(review_input, at)
    value = tuple(map(_without_secrets, judged_value(call.outcome)))
    _refuse_another_value(review_input.displayed, value)
    verdict = _verdict(review_input.verdict, "verdict")
    return Review(
        id=review_id,
        call_id=call.call_id,
        verdict=verdict,
        correction=_correction(review_input.correction, verdict, call, value),
        fields=_field_verdicts(review_input.fields or {}, value),
        reviewer=redact_text(searchable(review_input.reviewer)),
        comment=redact_text(searchable(review_input.comment)),
        blind=review_input.blind,
        at=float(at),
    )


def _refuse_types(review_input: ReviewInput, at: float) -> None:
    for name in ("reviewer", "comment"):
        if not isinstance(text := getattr(review_input, name), str):
            raise UsageError(f"{name}: expected text, got {type(text).__name__}.")
    if not isinstance(review_input.blind, bool):
        raise UsageError(f"blind: expected true or false, got {review_input.blind!r}.")
    if isinstance(at, bool) or not isinstance(at, int | float) or not math.isfinite(at):
        raise UsageError(f"at: expected a time in seconds since the epoch, got {at!r}.")
    if review_input.fields is not None and not isinstance(review_input.fields, Mapping):
        raise UsageError(
            'fields: expected JSON Pointers with verdicts, as in {"/total": "wrong"};'
            f" got {review_input.fields!r:.80}."
        )


def _refuse_another_value(displayed: Json | UnsetCorrection, value: tuple[Json, ...]) -> None:
    """A reviewer who edited the candidate in place would otherwise be taken to review what the log holds."""
    if displayed is not UNSET and not any(same_json(displayed, each) for each in value):
        raise UsageError("candidate is not what the log holds. What it should have been goes into correction.")


def _verdict(verdict: object, of: str) -> Verdict:
    if verdict not in VERDICTS:
        raise UsageError(f"{of} {verdict!r:.80}: expected right, wrong or unsure{hint(verdict, VERDICTS)}.")
    return verdict


def _correction(
    correction: Json | UnsetCorrection, verdict: Verdict, call: ReviewedCall, value: tuple[Json, ...]
) -> tuple[Json, ...]:
    if correction is UNSET:
        return ()
    try:
        plain = decode(encode(correction))
    except EncodingError as error:
        raise UsageError(
            f"correction is not a JSON value: {error}. Give the value as the guard would have to."
        ) from None
    _refuse_misfit(plain, call)
    saved = _without_secrets(plain)
    _refuse_contradiction(verdict, any(same_json(saved, each) for each in value))
    return (saved,)


def _refuse_misfit(correction: Json, call: ReviewedCall) -> None:
    if call.schema_description is None:
        raise LogError(
            f"the log does not know the schema by which guard {call.guard!r} decided call {call.call_id!r}, so a correction"
            " cannot be checked. Give the verdict without it."
        )
    violations = _schema(encode(call.schema_description)).violations(correction)
    if violations:
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        raise UsageError(
            f"correction does not fit the schema of guard {call.guard!r}: {violations[0]}{more}. Correct it."
        )


@lru_cache(maxsize=32)  # a file of reviews is of one guard or of a few
def _schema(description: bytes) -> Schema:
    """Compiled once for many reviews of one guard."""
    return from_description(decode(description), where="the guard's schema in the log")


def _refuse_contradiction(verdict: Verdict, is_same_value: bool) -> None:
    """`is_same_value`: the correction is the value that is reviewed."""
    if verdict == "unsure":
        raise UsageError(
            "a correction says what is right, and the verdict is unsure. Leave one out, or change the other."
        )
    if verdict == "right" and not is_same_value:
        raise UsageError(
            "the verdict is right, and the correction is another value than the one reviewed. Say wrong, or leave it out."
        )
    if verdict == "wrong" and is_same_value:
        raise UsageError("the verdict is wrong, and the correction is the value reviewed. Say right, or correct it.")


def _field_verdicts(verdicts: Mapping[str, str], value: tuple[Json, ...]) -> dict[str, Verdict]:
    known = dict.fromkeys(pointer for each in value for pointer in pointers(each)) if verdicts else {}
    for pointer in verdicts:
        if not value:
            raise UsageError(f"fields: {pointer!r:.80} is part of a value, and the call has none. Leave out fields.")
        if pointer == "":
            raise UsageError("fields: '' is the whole value, which verdict is about. Name a part, such as '/total'.")
        if pointer not in known:
            raise UsageError(
                f"fields: there is nothing at {pointer!r:.80} in the value that is reviewed{hint(pointer, known)}."
                " A field is named by a JSON Pointer, such as '/lines/0/amount'."
            )
    return {
        str(_without_secrets(pointer)): _verdict(verdict, f"fields: {pointer!r:.80}:")
        for pointer, verdict in verdicts.items()
    }


def pointers(value: Json) -> Iterator[str]:
    """The JSON Pointers of all parts of a value, without the whole; each part stands before its own parts.

    >>> list(pointers({"total": 3, "lines": [{"amount": 3}]}))
    ['/total', '/lines', '/lines/0', '/lines/0/amount']
    """
    level: list[tuple[str, Json]] = [("", value)]
    while level:
        level = [(at + as_pointer((str(key),)), item) for at, inside in level for key, item in _parts(inside)]
        yield from (pointer for pointer, _ in level)


def _parts(value: Json) -> Iterable[tuple[object, Json]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


def _without_secrets(value: Json) -> Json:
    """As it stands in the log."""
    return decode(redact(encode(value)))


# ------------------------------------------------------------------------------------------------- many at once


def new_reviews(reviews: Sequence[Review], saved: Iterable[Review]) -> list[Review]:
    """Those of `reviews` that are not saved yet. A reviewer who repeats a review of a call says it once; one who says
    right, then wrong, then right again has said three things."""
    left = Counter(review.content for review in saved)
    new: list[Review] = []
    previous: dict[tuple[str, str], str] = {}
    for review in reviews:
        by, content = (review.call_id, review.reviewer), review.content
        if previous.get(by) == content:
            continue
        previous[by] = content
        if left[content]:
            left[content] -= 1
        else:
            new.append(review)
    return new


def in_order(reviews: Iterable[Review]) -> list[Review]:
    """The oldest first; ids, which sort by time, decide between reviews of one moment."""
    return sorted(reviews, key=lambda review: (review.at, review.id))


# ------------------------------------------------------------------------------------------------- rows


def review_values(review: Review) -> Values:
    """In the order of `tables.REVIEW`."""
    return (
        review.id,
        review.call_id,
        review.verdict,
        encode(review.correction[0]) if review.correction else None,
        encode(dict(review.fields)) if review.fields else None,
        review.reviewer,
        review.comment,
        review.blind,
        review.at,
    )


def review_from_row(row: Json) -> Review:
    return Review(
        id=row.id,
        call_id=row.call_id,
        verdict=row.verdict,
        correction=() if row.correction is None else (decode(row.correction),),
        fields={} if row.fields is None else decode(row.fields),
        reviewer=row.reviewer,
        comment=row.comment,
        blind=row.blind,
        at=row.at,
    )
