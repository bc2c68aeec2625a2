"""What a person says of an outcome: checked against the record before it is kept, and its row in the log."""

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
    """What stands for a correction that was not given; None is one: to null."""

    UNSET = "unset"


UNSET: Final = UnsetCorrection.UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One person's word on one call: `verdict` is of the whole value, `fields` of parts of it by JSON Pointer.

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
        """Names what was said, by whom and of what, but not when."""
        return digest([self.call_id, self.verdict, self.correction, self.fields, self.reviewer, self.comment])


@dataclass(frozen=True, slots=True)
class ReviewInput:
    """What a reviewer says, as it came in: nothing in it is checked yet. `seen`: the value that was shown to them, if it
    came back with the review."""

    verdict: str
    correction: Json | UnsetCorrection = UNSET
    fields: Mapping[str, str] | None = None
    reviewer: str = ""
    comment: str = ""
    blind: bool = False
    seen: Json | UnsetCorrection = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedCall:
    """The call that is reviewed. `outcome` None: it runs. `described`: its guard's schema as the log keeps it, if it
    does."""

    call_id: str
    guard: str
    outcome: Outcome[Json] | None
    described: Json = None


def judged_value(outcome: Outcome[Json]) -> tuple[Json, ...]:
    """What a review of it judges, as a tuple of one: the model's candidate, whatever rung answered; where there is none,
    the value that was handed out or is provisional; else empty."""
    if outcome.candidate or (outcome.json is None and not outcome.has_value):
        return outcome.candidate
    return (outcome.json,)


# ------------------------------------------------------------------------------------------------- checked


def checked(word: ReviewInput, call: ReviewedCall, review_id: str, at: float) -> Review:
    """The review, free of secrets; UsageError says which part of the word cannot stand, and how to mend it."""
    if call.outcome is None:
        raise UsageError(
            f"call {call.call_id!r} is not decided yet, so there is nothing to review. Wait for its outcome."
        )
    _refuse_types(word, at)
    judged = tuple(map(_without_secrets, judged_value(call.outcome)))
    _refuse_another_value(word.seen, judged)
    verdict = _verdict(word.verdict, "verdict")
    return Review(
        id=review_id,
        call_id=call.call_id,
        verdict=verdict,
        correction=_correction(word.correction, verdict, call, judged),
        fields=_fields(word.fields or {}, judged),
        reviewer=redact_text(searchable(word.reviewer)),
        comment=redact_text(searchable(word.comment)),
        blind=word.blind,
        at=float(at),
    )


def _refuse_types(word: ReviewInput, at: float) -> None:
    for name in ("reviewer", "comment"):
        if not isinstance(found := getattr(word, name), str):
            raise UsageError(f"{name} is text, found {type(found).__name__}.")
    if not isinstance(word.blind, bool):
        raise UsageError(f"blind is true or false, found {word.blind!r}.")
    if isinstance(at, bool) or not isinstance(at, int | float) or not math.isfinite(at):
        raise UsageError(f"at is a time in seconds since the epoch, found {at!r}.")
    if word.fields is not None and not isinstance(word.fields, Mapping):
        raise UsageError(
            f'fields maps JSON Pointers to verdicts, as in {{"/total": "wrong"}}; found {word.fields!r:.80}.'
        )


def _refuse_another_value(seen: Json | UnsetCorrection, judged: tuple[Json, ...]) -> None:
    """Whoever mends the candidate where it stands would be taken to judge what the log holds."""
    if seen is not UNSET and not any(same_json(seen, value) for value in judged):
        raise UsageError("candidate is not what the log holds. What it should have been goes into correction.")


def _verdict(found: object, of: str) -> Verdict:
    if found not in VERDICTS:
        raise UsageError(f"{of} {found!r:.80} is none: it is right, wrong or unsure{hint(found, VERDICTS)}.")
    return found


def _correction(
    given: Json | UnsetCorrection, verdict: Verdict, call: ReviewedCall, judged: tuple[Json, ...]
) -> tuple[Json, ...]:
    if given is UNSET:
        return ()
    try:
        plain = decode(encode(given))
    except EncodingError as error:
        raise UsageError(f"correction is no JSON value: {error}. Give the value as the guard would have to.") from None
    _refuse_misfit(plain, call)
    correction = _without_secrets(plain)
    _refuse_contradiction(verdict, any(same_json(correction, value) for value in judged))
    return (correction,)


def _refuse_misfit(correction: Json, call: ReviewedCall) -> None:
    if call.described is None:
        raise LogError(
            f"the log does not know the schema by which guard {call.guard!r} decided call {call.call_id!r}, so a correction"
            " cannot be checked. Give the verdict without it."
        )
    found = _schema(encode(call.described)).violations(correction)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise UsageError(f"correction does not fit the schema of guard {call.guard!r}: {found[0]}{more}. Correct it.")


@lru_cache(maxsize=32)
def _schema(described: bytes) -> Schema:
    """Compiled once for many reviews of one guard."""
    return from_description(decode(described), where="the guard's schema in the log")


def _refuse_contradiction(verdict: Verdict, is_what_was_said: bool) -> None:
    if verdict == "unsure":
        raise UsageError(
            "a correction says what is right, and the verdict is unsure. Leave out the one or mend the other."
        )
    if verdict == "right" and not is_what_was_said:
        raise UsageError(
            "the verdict is right, and the correction is another value than the one judged. Say wrong, or leave it out."
        )
    if verdict == "wrong" and is_what_was_said:
        raise UsageError("the verdict is wrong, and the correction is the very value judged. Say right, or correct it.")


def _fields(given: Mapping[str, str], judged: tuple[Json, ...]) -> dict[str, Verdict]:
    known = dict.fromkeys(pointer for value in judged for pointer in pointers(value)) if given else {}
    for pointer in given:
        if not judged:
            raise UsageError(f"fields: {pointer!r:.80} is judged in a call that gave no value. Leave out fields.")
        if pointer == "":
            raise UsageError("fields: '' is the whole value, which the verdict judges. Name a part, such as '/total'.")
        if pointer not in known:
            raise UsageError(
                f"fields: there is nothing at {pointer!r:.80} in the value that is judged{hint(pointer, known)}."
                " A field is named by a JSON Pointer, such as '/lines/0/amount'."
            )
    return {
        str(_without_secrets(pointer)): _verdict(said, f"fields: {pointer!r:.80}:") for pointer, said in given.items()
    }


def pointers(value: Json) -> Iterator[str]:
    """The JSON Pointers of all parts of a value, without the whole: parts before what is in them.

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


def not_yet_there(reviews: Sequence[Review], kept: Iterable[Review]) -> list[Review]:
    """Those of `reviews` that the log does not have: whoever says the same of a call twice in a row says it once, and
    whoever comes back to an earlier word has said three things."""
    there = Counter(review.content for review in kept)
    found: list[Review] = []
    said_last: dict[tuple[str, str], str] = {}
    for review in reviews:
        by, content = (review.call_id, review.reviewer), review.content
        if said_last.get(by) == content:
            continue
        said_last[by] = content
        if there[content]:
            there[content] -= 1
        else:
            found.append(review)
    return found


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
