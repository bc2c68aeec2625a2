"""Comparators by cluster: answers are the same when a path of similar ones joins them.

An arriving sample may join two clusters, so that the dissent of a vote can fall: such a field is drawn a fixed number
of times. Distinct texts are compared once, however many samples gave them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import ClassVar

from llmguard.core.canonical import Json, encode
from llmguard.core.errors import UsageError
from llmguard.core.outcome import Alternative
from llmguard.prompts.function import describe as describe_function
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

Same = Callable[[int, int], bool]


@dataclass(frozen=True, slots=True)
class TextComparator:
    """Texts whose edit distance is at most 1 - `similarity` of the longer one's length; the answer is the medoid.

    Compared as folded text: white space and case are no difference. The medoid has the least total distance to the
    other samples of its cluster.

    >>> TextComparator(0.8).vote(["Ada Lovelace", "Ada Lovelacce", "Grace Hopper"]).votes
    2
    """

    similarity: float = 0.9
    name: ClassVar[str] = "text"
    version: ClassVar[int] = 1
    monotone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.similarity, int | float) or not 0 < self.similarity <= 1:
            raise UsageError(f"text(similarity=...) wants a share above 0 and up to 1, found {self.similarity!r}.")

    def vote(self, ballots: Sequence[Ballot]) -> FieldVote:
        texts = [folded_text(ballot) if isinstance(ballot, str) else "" for ballot in _once(ballots)]
        distances, limit = Distances(texts), 1 - self.similarity + _ROUNDING

        def same(one: int, other: int) -> bool:
            return distances.close(one, other, limit)

        return _clustered(ballots, str, same, distances)

    def distance(self, one: Json, other: Json) -> float:
        if isinstance(one, str) and isinstance(other, str):
            far = normalised_distance(folded_text(one), folded_text(other))
            return 0.0 if far <= 1 - self.similarity + _ROUNDING else far
        normal_forms = NormalForms()
        return float(normal_forms.of(one) != normal_forms.of(other))

    def description(self) -> Json:
        return {"name": self.name, "version": self.version, "similarity": self.similarity}


@dataclass(frozen=True, slots=True)
class EquivalentComparator:
    """Values that the user's `function(one, other)` calls the same: a judge of one's own, an embedding's nearness.

    The function is called once for each pair of distinct values that nothing has joined yet, and must be pure and
    symmetric. The answer is what most samples of the cluster gave. Give `version` where the function's source does not
    say all that it does (a model behind it, a table).

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
                f"equivalent(...) wants a function of two values that returns a bool, found {self.function!r}."
            )

    def vote(self, ballots: Sequence[Ballot]) -> FieldVote:
        values = _once(ballots)

        def same(one: int, other: int) -> bool:
            return self._same(values[one], values[other])

        return _clustered(ballots, object, same, None)

    def _same(self, one: Json, other: Json) -> bool:
        """Asked in one order, so that the order of samples cannot matter."""
        first, second = sorted((one, other), key=encode)
        return bool(self.function(first, second))

    def distance(self, one: Json, other: Json) -> float:
        return 0.0 if encode(one) == encode(other) else float(not self._same(one, other))

    def description(self) -> Json:
        """With what `partial` fixed in the function: another tolerance is another comparator."""
        said = self.version_of_function or describe_function(self.function)
        return {"name": self.name, "version": self.version, "function": said}


_ROUNDING = 1e-12
"""1 - 0.9 is a little less than 0.1; a tenth of the symbols is what was meant."""


def _once(ballots: Sequence[Ballot]) -> list[Json]:
    """The distinct values, in the order of their encoding: numbers that do not depend on submission order."""
    return [value for _, value in sorted(_encoded(ballots).items())]


def _encoded(ballots: Sequence[Ballot]) -> dict[bytes, Json]:
    found: dict[bytes, Json] = {}
    for ballot in _distinct(ballots):
        found[encode(ballot)] = ballot
    return found


def _distinct(ballots: Sequence[Ballot]) -> list[Json]:
    """Each text once; other values as they come."""
    texts = dict.fromkeys(ballot for ballot in ballots if isinstance(ballot, str))
    return [*texts, *(each for each in ballots if not isinstance(each, str | Missing))]


def _clustered(ballots: Sequence[Ballot], of_type: type, same: Same, distances: Distances | None) -> FieldVote:
    """The vote of ballots whose values of `of_type` are joined by `is_same_answer`; all others are compared by their form."""
    values = _once(ballots)
    number_of = {encode(value): number for number, value in enumerate(values)}
    numbers = _numbers(ballots, number_of)
    joined = _joined([number for number, value in enumerate(values) if isinstance(value, of_type)], same)
    normal_forms = NormalForms()
    classes: list[AnswerClass | None] = []
    for ballot, number in zip(ballots, numbers, strict=True):
        if isinstance(ballot, Missing):
            classes.append(None if ballot is INVALID else ballot)
        else:
            classes.append(joined[number] if number in joined else ("other", normal_forms.of(ballot)))
    return _result(ballots, ranked_candidates(ballots, classes), numbers, distances)


def _numbers(ballots: Sequence[Ballot], number_of: dict[bytes, int]) -> list[int]:
    known: dict[str, int] = {}
    numbers = []
    for ballot in ballots:
        if isinstance(ballot, Missing):
            numbers.append(-1)
        elif isinstance(ballot, str):
            if ballot not in known:
                known[ballot] = number_of[encode(ballot)]
            numbers.append(known[ballot])
        else:
            numbers.append(number_of[encode(ballot)])
    return numbers


def _joined(numbers: list[int], same: Same) -> dict[int, int]:
    """Each number's cluster, named by its least number. Pairs that are joined already are not compared."""
    cluster = {number: number for number in numbers}
    members = {number: [number] for number in numbers}
    for place, one in enumerate(numbers):
        for other in numbers[place + 1 :]:
            low, high = sorted((cluster[one], cluster[other]))
            if low != high and same(one, other):
                for number in members[high]:
                    cluster[number] = low
                members[low] += members.pop(high)
    return cluster


def _result(
    ballots: Sequence[Ballot], ranked: list[AnswerCandidate], numbers: list[int], distances: Distances | None
) -> FieldVote:
    if not ranked:
        return no_valid_vote(len(ballots))
    values = [_answer(each, numbers, distances) for each in ranked[: MAX_ALTERNATIVES + 1]]
    votes = len(ranked[0].voters)
    second = len(ranked[1].voters) if len(ranked) > 1 else 0
    return FieldVote(
        value=values[0],
        present=ranked[0].present,
        support=support_marks(len(ballots), ranked[0].voters),
        votes=votes,
        runner_up_votes=second,
        agreement=votes / len(ballots),
        alternatives=tuple(
            Alternative(value, len(each.voters), each.present)
            for each, value in zip(ranked[1:], values[1:], strict=False)
        ),
        ambiguous=second == votes,
    )


def _answer(candidate: AnswerCandidate, numbers: list[int], distances: Distances | None) -> Json:
    """The medoid where there is a distance, else what most gave. Both do not depend on the order of samples."""
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
    """The text with the least total distance to all samples; of equal ones the commonest, then the first.

    Candidates come by a lower bound of their total, and are measured only while they may still be the medoid.
    """
    bounds = {one: {other: distances.at_least(one, other) for other in counts if other != one} for one in counts}
    least = {one: _total(counts, bounds[one]) for one in counts}
    best = float("inf")
    found: list[tuple[float, int, int]] = []
    for one in sorted(counts, key=lambda each: (least[each], each)):
        far = _measured(one, counts, bounds[one], best - least[one] + _ROUNDING, distances)
        if far is not None:
            total = _total(counts, far)
            best = min(best, total)
            found.append((total, -counts[one], one))
    return min(found)[2]


def _measured(
    one: int, counts: dict[int, int], bounds: dict[int, float], slack: float, distances: Distances
) -> dict[int, float] | None:
    """The distances of one text to the others, or None once their total exceeds its bound by more than `slack`."""
    far = dict(bounds)
    for other, bound in bounds.items():
        if slack < 0:
            return None
        far[other] = distances.of(one, other)
        slack -= counts[other] * (far[other] - bound)
    return far


def _total(counts: dict[int, int], far: dict[int, float]) -> float:
    """`fsum` is exact, so the order of samples cannot turn a tie."""
    return fsum(counts[other] * distance for other, distance in far.items())
