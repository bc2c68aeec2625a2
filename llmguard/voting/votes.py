"""What is voted on and what a vote comes to: ballots in, one leader with its support out."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

from llmguard.core.canonical import Json, encode
from llmguard.core.outcome import Alternative

MAX_ALTERNATIVES = 5


class Missing(Enum):
    """A ballot without a value. Both are no values of JSON: null is a value."""

    INVALID = "invalid"
    """The sample failed, timed out or crashed: dissent, whatever the others say."""
    ABSENT = "absent"
    """A valid sample that leaves the field out: a candidate like any value."""


INVALID, ABSENT = Missing.INVALID, Missing.ABSENT

Ballot: TypeAlias = Json | Missing
AnswerClass: TypeAlias = Hashable
"""What ballots for the same answer share; None for an invalid ballot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldVote:
    """One field's vote. `support` says for each sample, in submission order, whether it stands with the leader.

    `present` is False where leaving the field out won, or no sample was valid (then `votes` is 0 and `value` None).
    `ambiguous`: another candidate has as many votes, and submission order decided.
    """

    value: Json
    present: bool = True
    support: tuple[bool, ...]
    votes: int
    runner_up_votes: int = 0
    agreement: float
    alternatives: tuple[Alternative, ...] = ()
    ambiguous: bool = False

    @property
    def sample_count(self) -> int:
        return len(self.support)

    @property
    def dissent(self) -> int:
        """Samples that do not stand with the leader, invalid ones included."""
        return len(self.support) - self.votes


class Comparator(Protocol):
    """When two values of a field are the same answer. Deterministic; `version` changes whenever a vote may.

    `monotone`: the dissent of a vote never falls as samples arrive. Only then may a vote stop early.
    """

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def monotone(self) -> bool: ...

    def vote(self, ballots: Sequence[Ballot]) -> FieldVote: ...

    def distance(self, one: Json, other: Json) -> float:
        """From 0, the same answer, to 1, nothing in common."""

    def description(self) -> Json:
        """Name, version and options, for the guard's fingerprint."""


@dataclass(slots=True)
class AnswerCandidate:
    """A class of equal answers: who gave it, and what they wrote."""

    voters: list[int]
    values: list[Json]
    present: bool = True

    @property
    def first(self) -> int:
        return self.voters[0]

    def value(self) -> Json:
        return most_common(self.values) if self.present else None


def ranked_candidates(ballots: Sequence[Ballot], classes: Sequence[AnswerClass | None]) -> list[AnswerCandidate]:
    """The classes with their voters, most votes first, ties in submission order."""
    found: dict[AnswerClass, AnswerCandidate] = {}
    for number, (ballot, of) in enumerate(zip(ballots, classes, strict=True)):
        if of is None:
            continue
        candidate = found.get(of)
        if candidate is None:
            found[of] = AnswerCandidate([number], [ballot], ballot is not ABSENT)
        else:
            candidate.voters.append(number)
            candidate.values.append(ballot)
    return sorted(found.values(), key=lambda each: -len(each.voters))  # stable: first come, first ranked


def count_votes(ballots: Sequence[Ballot], classes: Sequence[AnswerClass | None]) -> FieldVote:
    """The vote of ballots whose classes are known."""
    return field_vote(len(ballots), ranked_candidates(ballots, classes))


def field_vote(sample_count: int, ranked: Sequence[AnswerCandidate]) -> FieldVote:
    """The vote of ranked candidates among `sample_count` samples."""
    if not ranked:
        return no_valid_vote(sample_count)
    leader, others = ranked[0], ranked[1:]
    second = len(others[0].voters) if others else 0
    votes = len(leader.voters)
    return FieldVote(
        value=leader.value(),
        present=leader.present,
        support=support_marks(sample_count, leader.voters),
        votes=votes,
        runner_up_votes=second,
        agreement=votes / sample_count,
        alternatives=tuple(
            Alternative(other.value(), len(other.voters), other.present) for other in others[:MAX_ALTERNATIVES]
        ),
        ambiguous=second == votes,
    )


def no_valid_vote(sample_count: int) -> FieldVote:
    """No sample was valid."""
    return FieldVote(value=None, present=False, support=(False,) * sample_count, votes=0, agreement=0.0)


def support_marks(sample_count: int, voters: Iterable[int]) -> tuple[bool, ...]:
    found = [False] * sample_count
    for voter in voters:
        found[voter] = True
    return tuple(found)


def most_common(values: Sequence[Json]) -> Json:
    """The spelling that most gave; of equally common ones the first in the alphabet, so that order does not matter."""
    first = values[0]
    if isinstance(first, str) and all(value == first for value in values):
        return first
    spelled: dict[bytes, int] = {}
    of: dict[bytes, Json] = {}
    for value in values:
        text = encode(value)
        spelled[text] = spelled.get(text, 0) + 1
        of.setdefault(text, value)
    return of[min(spelled, key=lambda text: (-spelled[text], text))]
