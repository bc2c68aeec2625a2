"""Numbers within a tolerance: the fullest window over the sorted values wins, and its median is the answer.

Clusters by tolerance are not transitive (1.0, 1.4 and 1.8 with tolerance 0.5), so no value is assigned to a cluster;
a window of the tolerance's width slides over the values instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import lcm
from typing import ClassVar, NamedTuple

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.voting.normal_forms import NormalForms, amount_in, exact_number
from llmguard.voting.votes import (
    INVALID,
    AnswerCandidate,
    AnswerClass,
    Ballot,
    FieldVote,
    Missing,
    field_vote,
    most_common,
    ranked_candidates,
)


class _NumericVote(NamedTuple):
    """A vote that is a number. `size` is exact: an integer, in units that are common to all numbers of a vote."""

    size: int
    voter: int
    value: Json


@dataclass(frozen=True, slots=True)
class NumberComparator:
    """Numbers that differ by at most `abs_tol`, or by `rel_tol` of the larger one.

    The answer is the median of the fullest window. Of an even count of whole numbers it is the mean of the two in the
    middle, or the lower one where that mean is not a whole number.

    >>> NumberComparator(abs_tol=0.01).vote([1.00, 1.01, 1.02, 5]).votes
    2
    >>> NumberComparator(abs_tol=1).vote([10, 11, 11, 40]).value
    11
    """

    abs_tol: float = 0.0
    rel_tol: float = 0.0
    _abs: Fraction = field(init=False, repr=False, compare=False)
    _rel: Fraction = field(init=False, repr=False, compare=False)
    name: ClassVar[str] = "number"
    version: ClassVar[int] = 2
    monotone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not _is_tolerance(self.abs_tol) or not _is_tolerance(self.rel_tol) or self.rel_tol >= 1:
            raise UsageError(
                "number(abs_tol=..., rel_tol=...): expected tolerances of 0 or more, the relative one below 1;"
                f" got abs_tol={self.abs_tol!r}, rel_tol={self.rel_tol!r}."
            )
        object.__setattr__(self, "_abs", exact_number(self.abs_tol))
        object.__setattr__(self, "_rel", exact_number(self.rel_tol))

    def vote(self, votes: Sequence[Ballot]) -> FieldVote:
        numbers, others, unit = self._partition(votes)
        ranked = ranked_candidates(votes, others)
        tied = False
        while numbers:
            voters, unique = self._fullest(numbers, unit)
            tied = tied or (not unique and not any(len(each.voters) > len(voters) for each in ranked))
            ranked.append(_candidate([each for each in numbers if each.voter in voters], unit))
            numbers = [each for each in numbers if each.voter not in voters]
        ranked.sort(key=lambda each: (-len(each.voters), each.first))
        vote = field_vote(len(votes), ranked)
        return replace(vote, ambiguous=True) if tied else vote

    def _partition(self, votes: Sequence[Ballot]) -> tuple[list[_NumericVote], list[AnswerClass | None], int]:
        """The votes that are numbers, sorted; the classes of all others; and the number of units in 1."""
        normal_forms, known = NormalForms(), dict[object, Fraction | None]()
        sizes = [_size(vote, known) for vote in votes]
        unit = lcm(self._abs.denominator, *(size.denominator for size in known.values() if size is not None))
        numbers = [
            _NumericVote(size.numerator * (unit // size.denominator), voter, votes[voter])
            for voter, size in enumerate(sizes)
            if size is not None
        ]
        others = [
            None if size is not None else _other_class(vote, normal_forms)
            for vote, size in zip(votes, sizes, strict=True)
        ]
        return sorted(numbers, key=lambda each: each[:2]), others, unit

    def _fullest(self, numbers: Sequence[_NumericVote], unit: int) -> tuple[frozenset[int], bool]:
        """The voters in the fullest window, and whether no other is as full. `numbers` are sorted by size."""
        best: list[list[int]] = []
        first = 0
        for last, number in enumerate(numbers):
            while not self._is_close(numbers[first].size, number.size, unit):
                first += 1
            inside = last - first + 1
            if not best or inside > len(best[0]):
                best = []
            if not best or inside == len(best[0]):
                best.append(sorted(each.voter for each in numbers[first : last + 1]))
        return frozenset(min(best)), len(best) == 1

    def _is_close(self, low: int, high: int, unit: int) -> bool:
        if low == high:
            return True
        absolute = self._abs.numerator * (unit // self._abs.denominator)
        relative = self._rel.numerator * max(abs(low), abs(high))
        return high - low <= absolute or (high - low) * self._rel.denominator <= relative

    def distance(self, one: Json, other: Json) -> float:
        numbers, others, unit = self._partition([one, other])
        if len(numbers) == 2:
            return float(not self._is_close(numbers[0].size, numbers[1].size, unit))
        return float(others[0] != others[1] or len(numbers) == 1)

    def description(self) -> Json:
        return {"name": self.name, "version": self.version, "abs_tol": self.abs_tol, "rel_tol": self.rel_tol}


def _is_tolerance(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def _other_class(vote: Ballot, normal_forms: NormalForms) -> AnswerClass | None:
    if isinstance(vote, Missing):
        return None if vote is INVALID else vote
    return normal_forms.of(vote)


def _size(vote: Ballot, known: dict[object, Fraction | None]) -> Fraction | None:
    """The number that a vote is; None where it is not a number. A number as text counts where it has no currency."""
    if isinstance(vote, bool) or not isinstance(vote, int | float | str):
        return None
    if vote not in known:
        known[vote] = _size_in(vote) if isinstance(vote, str) else exact_number(vote)
    return known[vote]


def _size_in(text: str) -> Fraction | None:
    amount = amount_in(text)
    return amount[0] if amount and not amount[1] else None


def _candidate(window: list[_NumericVote], unit: int) -> AnswerCandidate:
    """A window as a candidate whose one value is its median."""
    return AnswerCandidate(sorted(each.voter for each in window), [_median(window, unit)])


def _median(window: list[_NumericVote], unit: int) -> Json:
    low, high = window[(len(window) - 1) // 2], window[len(window) // 2]
    numeric = not isinstance(low.value, str) and not isinstance(high.value, str)
    if low.size != high.size and numeric:
        middle = Fraction(low.size + high.size, 2 * unit)
        whole = isinstance(low.value, int) and isinstance(high.value, int)
        if not whole:
            return float(middle)
        if middle.denominator == 1:
            return int(middle)
    return most_common([each.value for each in window if each.size == low.size])
