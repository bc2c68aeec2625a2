"""The parts of a vote: what each sample says, the candidates, and the leader with its support.

A comparator (`Comparator`) sorts the values of one field into classes of the same answer; `count_votes` makes a `FieldVote`
of these classes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

from llmguard.core.canonical import Json, encode
from llmguard.core.outcome import Alternative

MAX_ALTERNATIVES = 5
"""Alternatives kept per field: a reviewer reads no more, and each is stored in the record of the call."""


class Missing(Enum):
    """A vote without a value. Neither is a value of JSON: null is a value."""

    INVALID = "invalid"
    """The sample failed, timed out or crashed: it dissents from every answer."""
    ABSENT = "absent"
    """A valid sample that leaves the field out: a candidate like any value."""


INVALID, ABSENT = Missing.INVALID, Missing.ABSENT

Ballot: TypeAlias = Json | Missing
"""One sample's vote on one field: its value there, or why there is none."""

AnswerClass: TypeAlias = Hashable
"""What votes for the same answer share; None for an invalid vote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldVote:
    """The vote on one field. `support` says for each sample, in submission order, whether it agrees with the leader.

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
        """All samples, invalid ones included."""
        return len(self.support)

    @property
    def dissent(self) -> int:
        """Samples that do not agree with the leader, invalid ones included."""
        return len(self.support) - self.votes


class Comparator(Protocol):
    """Decides when two values of a field are the same answer. Deterministic; `version` changes whenever a vote may.

    `monotone`: the dissent of a vote never falls as samples arrive. Only then may a vote stop early.
    """

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def monotone(self) -> bool: ...

    def vote(self, votes: Sequence[Ballot], /) -> FieldVote:
        """The vote of the samples, in submission order."""

    def distance(self, one: Json, other: Json, /) -> float:
        """From 0, the same answer, to 1, nothing in common."""

    def description(self) -> Json:
        """Name, version and options, for the guard's fingerprint."""


@dataclass(slots=True)
class AnswerCandidate:
    """A class of equal answers: the samples that gave it, and what they wrote."""

    voters: list[int]
    values: list[Json]
    present: bool = True

    @property
    def first(self) -> int:
        return self.voters[0]

    def value(self) -> Json:
        return most_common(self.values) if self.present else None


def ranked_candidates(votes: Sequence[Ballot], classes: Sequence[AnswerClass | None]) -> list[AnswerCandidate]:
    """The classes with their voters, most votes first, ties in submission order."""
    by_class: dict[AnswerClass, AnswerCandidate] = {}
    for number, (vote, answer_class) in enumerate(zip(votes, classes, strict=True)):
        if answer_class is None:
            continue
        candidate = by_class.get(answer_class)
        if candidate is None:
            by_class[answer_class] = AnswerCandidate([number], [vote], vote is not ABSENT)
        else:
            candidate.voters.append(number)
            candidate.values.append(vote)
    return sorted(by_class.values(), key=lambda each: -len(each.voters))  # stable: ties stay in submission order


def count_votes(votes: Sequence[Ballot], classes: Sequence[AnswerClass | None]) -> FieldVote:
    """The vote on a field whose classes are known.

    >>> count_votes(["a", "b", "a", INVALID], ["a", "b", "a", None]).support
    (True, False, True, False)
    """
    return field_vote(len(votes), ranked_candidates(votes, classes))


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
    """The vote where no sample was valid."""
    return FieldVote(value=None, present=False, support=(False,) * sample_count, votes=0, agreement=0.0)


def support_marks(sample_count: int, voters: Iterable[int]) -> tuple[bool, ...]:
    """For each sample, whether it is among `voters`."""
    marks = [False] * sample_count
    for voter in voters:
        marks[voter] = True
    return tuple(marks)


def most_common(values: Sequence[Json]) -> Json:
    """The spelling that most samples gave; of equally common ones the first in the order of their encoding, so that the
    order of samples does not matter."""
    first = values[0]
    if isinstance(first, str) and all(value == first for value in values):
        return first
    counts: dict[bytes, int] = {}
    value_of: dict[bytes, Json] = {}
    for value in values:
        encoded = encode(value)
        counts[encoded] = counts.get(encoded, 0) + 1
        value_of.setdefault(encoded, value)
    return value_of[min(counts, key=lambda encoded: (-counts[encoded], encoded))]
