"""Comparators by cluster: answers are the same when a path of similar ones joins them.

A new sample may join two clusters, so the dissent of a vote can fall: such a field needs a fixed number of samples.
Distinct texts are compared once, however many samples gave them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import ClassVar

from llmguard.core.canonical import Json, encode
from llmguard.core.errors import UsageError
from llmguard.core.outcome import Alternative
from llmguard.prompts.function import describe_function
from llmguard.voting.edit_distance import Distances, normalised_distance
from llmguard.voting.normal_forms import NormalForms, folded_text
from llmguard.voting.votes import (
    INVALID,
    MAX_ALTERNATIVES,
    AnswerCandidate,
    AnswerClass,
    Ballot,
    FieldVote,
    Missing,
    most_common,
    no_valid_vote,
    ranked_candidates,
    support_marks,
)
from llmguard.voting.wording import Wording, same_wording, wording

IsSame = Callable[[int, int], bool]


@dataclass(frozen=True, slots=True)
class TextComparator:
    """Texts in the same words, at most 1 - `similarity` of the longer one's length apart in edits; the answer is the medoid.

    Compared as folded text: white space, case, punctuation and articles do not count, and a long word may be misspelled.
    Where a word, a number, its unit or a negation differs, the answers differ (`wording`); for texts in other words there is
    `equivalent`. The medoid has the least total distance to the
    other samples of its cluster.

    >>> TextComparator(0.8).vote(["Ada Lovelace", "Ada Lovelacce", "Grace Hopper"]).votes
    2
    """

    similarity: float = 0.9
    name: ClassVar[str] = "text"
    version: ClassVar[int] = 2
    monotone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.similarity, int | float) or not 0 < self.similarity <= 1:
            raise UsageError(f"text(similarity=...): expected a share above 0 and up to 1, got {self.similarity!r}.")

    def vote(self, votes: Sequence[Ballot]) -> FieldVote:
        texts = [folded_text(value) if isinstance(value, str) else "" for value in _distinct_values(votes)]
        distances, limit = Distances(texts), 1 - self.similarity + _ROUNDING
        wordings: dict[int, Wording] = {}

        def wording_of(number: int) -> Wording:
            if number not in wordings:
                wordings[number] = wording(texts[number])
            return wordings[number]

        def is_close(one: int, other: int) -> bool:
            return distances.is_close(one, other, limit) and same_wording(wording_of(one), wording_of(other))

        return _clustered_vote(votes, str, is_close, distances)

    def distance(self, one: Json, other: Json) -> float:
        if isinstance(one, str) and isinstance(other, str):
            mine, theirs = folded_text(one), folded_text(other)
            distance = normalised_distance(mine, theirs)
            is_close = distance <= 1 - self.similarity + _ROUNDING
            return 0.0 if is_close and same_wording(wording(mine), wording(theirs)) else max(distance, _LEAST_DISTANCE)
        normal_forms = NormalForms()
        return float(normal_forms.of(one) != normal_forms.of(other))

    def description(self) -> Json:
        return {"name": self.name, "version": self.version, "similarity": self.similarity}


@dataclass(frozen=True, slots=True)
class EquivalentComparator:
    """Values for which the user's `function(one, other)` returns True: similar embeddings, a lookup table.

    The function is called once for each pair of distinct values that are not in one cluster yet, and must be pure and
    symmetric. The answer is what most samples of the cluster gave. Give `version` where the function's source does not
    determine its results (it asks a model, or reads a table).

    >>> EquivalentComparator(lambda one, other: one[0] == other[0]).vote(["ann", "Bob", "abe"]).votes
    2
    """

    function: Callable[[Json, Json], bool] = field(repr=False)
    version_of_function: str = ""
    name: ClassVar[str] = "equivalent"
    version: ClassVar[int] = 1
    monotone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise UsageError(
                f"equivalent(...): expected a function of two values that returns a bool, got {self.function!r}."
            )

    def vote(self, votes: Sequence[Ballot]) -> FieldVote:
        values = _distinct_values(votes)

        def is_equivalent(one: int, other: int) -> bool:
            return self._is_equivalent(values[one], values[other])

        return _clustered_vote(votes, object, is_equivalent, None)

    def _is_equivalent(self, one: Json, other: Json) -> bool:
        """The arguments in a fixed order, so that the order of samples cannot matter."""
        first, second = sorted((one, other), key=encode)
        return bool(self.function(first, second))

    def distance(self, one: Json, other: Json) -> float:
        return 0.0 if encode(one) == encode(other) else float(not self._is_equivalent(one, other))

    def description(self) -> Json:
        """Includes the arguments that `partial` fixed in the function: another tolerance is another comparator."""
        function = self.version_of_function or describe_function(self.function)
        return {"name": self.name, "version": self.version, "function": function}


_LEAST_DISTANCE = 0.001
"""Of texts that differ in a word, however long they are."""

_ROUNDING = 1e-12
"""1 - 0.9 is a little less than 0.1 in floating point; exactly a tenth of the symbols must still be close."""


def _distinct_values(votes: Sequence[Ballot]) -> list[Json]:
    """The distinct values, in the order of their encoding: their numbers do not depend on submission order."""
    return [value for _, value in sorted(_by_encoding(votes).items())]


def _by_encoding(votes: Sequence[Ballot]) -> dict[bytes, Json]:
    by_encoding: dict[bytes, Json] = {}
    for value in _distinct_texts_and_others(votes):
        by_encoding[encode(value)] = value
    return by_encoding


def _distinct_texts_and_others(votes: Sequence[Ballot]) -> list[Json]:
    """Each text once, so that it is encoded once; other values as often as they occur."""
    texts = dict.fromkeys(vote for vote in votes if isinstance(vote, str))
    return [*texts, *(each for each in votes if not isinstance(each, str | Missing))]


def _clustered_vote(votes: Sequence[Ballot], of_type: type, is_same: IsSame, distances: Distances | None) -> FieldVote:
    """Values of `of_type` are in one class where `is_same` joins them; all others are compared by their normal form."""
    values = _distinct_values(votes)
    number_of = {encode(value): number for number, value in enumerate(values)}
    numbers = _value_numbers(votes, number_of)
    clusters = _clusters([number for number, value in enumerate(values) if isinstance(value, of_type)], is_same)
    normal_forms = NormalForms()
    classes: list[AnswerClass | None] = []
    for vote, number in zip(votes, numbers, strict=True):
        if isinstance(vote, Missing):
            classes.append(None if vote is INVALID else vote)
        else:
            classes.append(clusters[number] if number in clusters else ("other", normal_forms.of(vote)))
    return _field_vote(len(votes), ranked_candidates(votes, classes), numbers, distances)


def _value_numbers(votes: Sequence[Ballot], number_of: dict[bytes, int]) -> list[int]:
    """The number of each sample's value; -1 where it has none."""
    known: dict[str, int] = {}  # a text that occurs again is not encoded again
    numbers = []
    for vote in votes:
        if isinstance(vote, Missing):
            numbers.append(-1)
        elif isinstance(vote, str):
            if vote not in known:
                known[vote] = number_of[encode(vote)]
            numbers.append(known[vote])
        else:
            numbers.append(number_of[encode(vote)])
    return numbers


def _clusters(numbers: list[int], is_same: IsSame) -> dict[int, int]:
    """Each number's cluster, identified by its least number. Pairs that are in one cluster already are not compared."""
    cluster = {number: number for number in numbers}
    members = {number: [number] for number in numbers}
    for index, one in enumerate(numbers):
        for other in numbers[index + 1 :]:
            low, high = sorted((cluster[one], cluster[other]))
            if low != high and is_same(one, other):
                for number in members[high]:
                    cluster[number] = low
                members[low] += members.pop(high)
    return cluster


def _field_vote(
    sample_count: int, ranked: list[AnswerCandidate], numbers: list[int], distances: Distances | None
) -> FieldVote:
    """As `votes.field_vote`, with medoids as values."""
    if not ranked:
        return no_valid_vote(sample_count)
    values = [_answer(each, numbers, distances) for each in ranked[: MAX_ALTERNATIVES + 1]]
    votes = len(ranked[0].voters)
    second = len(ranked[1].voters) if len(ranked) > 1 else 0
    return FieldVote(
        value=values[0],
        present=ranked[0].present,
        support=support_marks(sample_count, ranked[0].voters),
        votes=votes,
        runner_up_votes=second,
        agreement=votes / sample_count,
        alternatives=tuple(
            Alternative(value, len(each.voters), each.present)
            for each, value in zip(ranked[1:], values[1:], strict=False)
        ),
        ambiguous=second == votes,
    )


def _answer(candidate: AnswerCandidate, numbers: list[int], distances: Distances | None) -> Json:
    """The medoid where there is a distance, else what most samples gave: neither depends on the order of samples."""
    if not candidate.present:
        return None
    if distances is None or not isinstance(candidate.values[0], str):
        return most_common(candidate.values)
    counts: dict[int, int] = {}
    value_of: dict[int, Json] = {}
    for voter, value in zip(candidate.voters, candidate.values, strict=True):
        counts[numbers[voter]] = counts.get(numbers[voter], 0) + 1
        value_of[numbers[voter]] = value
    return value_of[_medoid(counts, distances)]


def _medoid(counts: dict[int, int], distances: Distances) -> int:
    """The text with the least total distance to all samples; of equal ones the most common, then the first.

    Candidates are tried in the order of a lower bound of their total, and measured only while they may still win.
    """
    bounds = {one: {other: distances.at_least(one, other) for other in counts if other != one} for one in counts}
    least = {one: _total(counts, bounds[one]) for one in counts}
    best = float("inf")
    totals: list[tuple[float, int, int]] = []
    for one in sorted(counts, key=lambda each: (least[each], each)):
        to_others = _distances_within(one, counts, bounds[one], best - least[one] + _ROUNDING, distances)
        if to_others is not None:
            total = _total(counts, to_others)
            best = min(best, total)
            totals.append((total, -counts[one], one))
    return min(totals)[2]


def _distances_within(
    one: int, counts: dict[int, int], bounds: dict[int, float], slack: float, distances: Distances
) -> dict[int, float] | None:
    """The distances of one text to the others, or None once their total exceeds its bound by more than `slack`."""
    to_others = dict(bounds)
    for other, bound in bounds.items():
        if slack < 0:
            return None
        to_others[other] = distances.of(one, other)
        slack -= counts[other] * (to_others[other] - bound)
    return to_others


def _total(counts: dict[int, int], to_others: dict[int, float]) -> float:
    """`fsum` is exact, so the order of samples cannot decide a tie."""
    return fsum(counts[other] * distance for other, distance in to_others.items())
