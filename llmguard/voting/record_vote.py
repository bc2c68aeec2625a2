"""Votes on whole values: field by field, then put together; and the medoid, the sample nearest to all others.

An object is voted on property by property, as deep as all valid samples have an object; any other value is voted on as a
whole. `together` keeps dependent fields in one vote. No sample may be equal to the assembled value: the caller validates
it, and uses the medoid where it is not valid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.outcome import Alternative
from llmguard.schema.keywords import as_pointer, as_tokens
from llmguard.voting.keyed_comparators import ExactComparator, classes_of
from llmguard.voting.votes import (
    ABSENT,
    INVALID,
    MAX_ALTERNATIVES,
    AnswerClass,
    Ballot,
    Comparator,
    FieldVote,
    Missing,
    count_votes,
)

Pointer: TypeAlias = str
Groups: TypeAlias = tuple[tuple[Pointer, ...], ...]

MAX_FIELDS = 1000
"""Fields, over all samples, that are voted on one by one, which bounds the cost of a value that a model made up; one with
more is voted on as a whole."""

MAX_LEVELS = 30
"""Levels of objects that are voted on one by one, for the recursion limit's sake; what is deeper is one field."""

EXACT = ExactComparator()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordVote:
    """The vote on a whole value. `fields`: the vote on each field, by JSON Pointer ("" is the whole value).

    `has_value` is False where no sample was valid; `value` is then None.
    """

    value: Json
    has_value: bool
    fields: Mapping[Pointer, FieldVote] = field(default_factory=dict)
    sample_count: int

    @property
    def dissent(self) -> int:
        """The largest dissent over the voted fields; an invalid sample is a dissent in each."""
        return max(
            (vote.dissent for vote in self.fields.values()), default=self.sample_count if not self.has_value else 0
        )

    @property
    def agreement(self) -> float:
        """The smallest agreement over the voted fields."""
        return min((vote.agreement for vote in self.fields.values()), default=float(self.has_value))

    @property
    def ambiguous(self) -> bool:
        return any(vote.ambiguous for vote in self.fields.values())

    @property
    def support(self) -> tuple[bool, ...]:
        """For each sample, whether it agrees with the leader in every field."""
        columns = [vote.support for vote in self.fields.values()]
        return tuple(map(all, zip(*columns, strict=True))) if columns else (self.has_value,) * self.sample_count


def vote_on(
    samples: Sequence[Ballot], fields: Mapping[Pointer, Comparator] | None = None, together: Groups = ()
) -> RecordVote:
    """The vote of `samples` in submission order, `INVALID` for one that failed.

    >>> vote = vote_on([{"id": 1, "by": "Ann"}, {"id": 1, "by": "Bob"}, {"id": 2, "by": "ann"}])
    >>> vote.value, vote.dissent
    ({'id': 1, 'by': 'Ann'}, 1)
    """
    if all(sample is INVALID for sample in samples):
        return RecordVote(value=None, has_value=False, sample_count=len(samples))
    return _Voting(fields or {}, together).of(samples)


class _Voting:
    """One vote in progress: a column per field, found by splitting objects into their properties."""

    def __init__(self, fields: Mapping[Pointer, Comparator], together: Groups) -> None:
        self._fields = fields
        self._group_of = {pointer: group for group in together for pointer in group}
        self._columns: dict[Pointer, list[Ballot]] = {}
        self._objects: set[Pointer] = set()

    def of(self, samples: Sequence[Ballot]) -> RecordVote:
        self.columns(samples)
        votes = self._votes()
        return RecordVote(value=self._assembled(votes), has_value=True, fields=votes, sample_count=len(samples))

    def columns(self, samples: Sequence[Ballot]) -> Mapping[Pointer, list[Ballot]]:
        """The samples' votes on each field."""
        self._split("", list(samples), 0)
        if len(self._columns) > MAX_FIELDS:
            self._columns = {"": list(samples)}
        return self._columns

    def _split(self, pointer: Pointer, column: list[Ballot], level: int) -> None:
        names = self._names(pointer, column, level)
        if names is None:
            self._columns[pointer] = column
            return
        self._objects.add(pointer)
        for name in names:
            if len(self._columns) > MAX_FIELDS:
                return
            below = [value.get(name, ABSENT) if isinstance(value, dict) else INVALID for value in column]
            self._split(pointer + as_pointer((name,)), below, level + 1)

    def _names(self, pointer: Pointer, column: list[Ballot], level: int) -> dict[str, None] | None:
        """The properties to vote on one by one, or None where the value is one field."""
        if pointer in self._fields or pointer in self._group_of or level == MAX_LEVELS:
            return None
        if not all(isinstance(value, dict) for value in column if value is not INVALID):
            return None
        return dict.fromkeys(name for value in column if isinstance(value, dict) for name in value) or None

    def _votes(self) -> dict[Pointer, FieldVote]:
        votes: dict[Pointer, FieldVote] = {}
        for pointer, column in self._columns.items():
            if pointer in votes:
                continue
            if pointer in self._group_of:
                votes |= self._joint(self._group_of[pointer])
            else:
                votes[pointer] = self._fields.get(pointer, EXACT).vote(column)
        return votes

    def _joint(self, group: tuple[Pointer, ...]) -> dict[Pointer, FieldVote]:
        """One vote over several fields: two samples agree where they agree in all of them."""
        columns = {pointer: self._columns[pointer] for pointer in group if pointer in self._columns}
        classes = joint_classes([self._keys(pointer, column) for pointer, column in columns.items()])
        return {pointer: count_votes(column, classes) for pointer, column in columns.items()}

    def _keys(self, pointer: Pointer, column: list[Ballot]) -> list[AnswerClass | None]:
        comparator = self._fields.get(pointer, EXACT)
        classes = classes_of(comparator, column)
        if classes is None:
            raise UsageError(together_message(pointer, comparator))
        return classes

    def _assembled(self, votes: Mapping[Pointer, FieldVote]) -> Json:
        if "" in votes:
            return votes[""].value
        value: dict[str, Json] = {}
        for pointer in sorted(self._objects, key=len):
            _put(value, pointer, {})
        for pointer, vote in votes.items():
            if vote.present:
                _put(value, pointer, vote.value)
        return value


def joint_classes(columns: Sequence[Sequence[AnswerClass | None]]) -> list[AnswerClass | None]:
    """The class of each sample over several columns; None where it is invalid in one."""
    return [None if None in row else row for row in zip(*columns, strict=True)]


def together_message(pointer: Pointer, comparator: Comparator) -> str:
    """Why a field cannot be voted on together with others."""
    return (
        f"vote_together: {pointer} is compared by {comparator.name!r}, which gives a value no class of its own."
        " Fields that are voted together are compared by 'exact' or 'money'."
    )


def _put(value: dict[str, Json], pointer: Pointer, leaf: Json) -> None:
    *path, last = as_tokens(pointer) or ("",)
    if not pointer:
        return
    for token in path:
        value = value[token]
    value[last] = leaf


# ------------------------------------------------------------------------------------------------- the medoid


def medoid(samples: Sequence[Ballot], fields: Mapping[Pointer, Comparator] | None = None) -> int | None:
    """The number of the valid sample with the least total distance to the others; ties in submission order.

    >>> medoid([{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 2, "b": 3}])
    1
    """
    fields = fields or {}
    valid = [number for number, sample in enumerate(samples) if sample is not INVALID]
    totals = dict.fromkeys(valid, 0.0)
    for pointer, column in _Voting(fields, ()).columns(samples).items() if valid else ():
        for number, total in _total_distances(fields.get(pointer, EXACT), column, valid).items():
            totals[number] += total
    return min(valid, key=lambda number: totals[number], default=None)


def votes_for(
    samples: Sequence[Ballot], number: int, fields: Mapping[Pointer, Comparator] | None = None
) -> dict[Pointer, FieldVote]:
    """The vote on each field if sample `number` is the answer: which samples agree with it, and what the others say.

    >>> votes = votes_for([{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 1, "b": 3}], 0)
    >>> {pointer: (vote.value, vote.votes, vote.dissent) for pointer, vote in votes.items()}
    {'/a': (1, 3, 0), '/b': (2, 1, 2)}
    """
    fields = fields or {}
    columns = _Voting(fields, ()).columns(samples)
    return {pointer: _vote_for(column, number, fields.get(pointer, EXACT)) for pointer, column in columns.items()}


def _vote_for(column: Sequence[Ballot], number: int, comparator: Comparator) -> FieldVote:
    own = column[number]
    support = tuple(_agree(comparator, own, each) for each in column)
    others = comparator.vote([INVALID if agrees else each for each, agrees in zip(column, support, strict=True)])
    leading = (Alternative(others.value, others.votes, others.present),) if others.votes else ()
    return FieldVote(
        value=None if isinstance(own, Missing) else own,
        present=not isinstance(own, Missing),
        support=support,
        votes=sum(support),
        runner_up_votes=others.votes,
        agreement=sum(support) / len(column),
        alternatives=(*leading, *others.alternatives)[:MAX_ALTERNATIVES],
        ambiguous=others.votes == sum(support),
    )


def _agree(comparator: Comparator, one: Ballot, other: Ballot) -> bool:
    if isinstance(one, Missing) or isinstance(other, Missing):
        return one is other and one is not INVALID
    return comparator.vote((one, other)).dissent == 0


def _total_distances(comparator: Comparator, column: list[Ballot], valid: Sequence[int]) -> dict[int, float]:
    """For one field, each sample's distance to all others."""
    classes = classes_of(comparator, column)
    if classes is not None:
        counts: dict[AnswerClass | None, int] = {}
        for number in valid:
            counts[classes[number]] = counts.get(classes[number], 0) + 1
        return {number: float(len(valid) - counts[classes[number]]) for number in valid}
    totals = dict.fromkeys(valid, 0.0)
    for index, one in enumerate(valid):
        for other in valid[index + 1 :]:
            distance = distance_of(comparator, column[one], column[other])
            totals[one] += distance
            totals[other] += distance
    return totals


def distance_of(comparator: Comparator, one: Ballot, other: Ballot) -> float:
    """The distance of two valid votes; a field left out has the greatest distance, 1, from any value."""
    if isinstance(one, Missing) or isinstance(other, Missing):
        return float(one is not other)
    return comparator.distance(one, other)
