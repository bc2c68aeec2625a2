"""Comparators by a key: two values are the same answer where their canonical forms are equal.

Such a comparator also has `classes(votes)`, the class of each vote by itself: only fields compared so can be voted on
together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.voting.normal_forms import NormalForms, money_form
from llmguard.voting.votes import INVALID, AnswerClass, Ballot, Comparator, FieldVote, Missing, count_votes


def has_classes(comparator: Comparator) -> bool:
    """Whether it gives each vote a class by itself, so that its fields can be voted on together."""
    return hasattr(comparator, "classes")


def classes_of(comparator: Comparator, votes: Sequence[Ballot]) -> list[AnswerClass | None] | None:
    """The class of each vote; None where the comparator cannot give it."""
    classes: Callable[[Sequence[Ballot]], list[AnswerClass | None]] | None = getattr(comparator, "classes", None)
    return None if classes is None else classes(votes)


@dataclass(frozen=True, slots=True)
class ExactComparator:
    """Equal in canonical form: text by NFKC, case and white space, numbers by value, dates by the day they name.

    `folded=False` compares text literally, for what is case sensitive: tokens, file names, identifiers.

    >>> ExactComparator().vote(["Paid", "paid ", "open"]).value
    'Paid'
    """

    folded: bool = True
    name: ClassVar[str] = "exact"
    version: ClassVar[int] = 2
    monotone: ClassVar[bool] = True

    def classes(self, votes: Sequence[Ballot]) -> list[AnswerClass | None]:
        normal_forms = NormalForms(folded=self.folded)
        return [_class_of_missing(vote) if isinstance(vote, Missing) else normal_forms.of(vote) for vote in votes]

    def vote(self, votes: Sequence[Ballot]) -> FieldVote:
        return count_votes(votes, self.classes(votes))

    def distance(self, one: Json, other: Json) -> float:
        normal_forms = NormalForms(folded=self.folded)
        return float(normal_forms.of(one) != normal_forms.of(other))

    def description(self) -> Json:
        return {"name": self.name, "version": self.version, "folded": self.folded}


@dataclass(frozen=True, slots=True)
class MoneyComparator:
    """Amounts that are equal when rounded to minor units, in the same currency.

    Numbers, texts (`€ 1.234,50`), or objects `{"amount": …, "currency": …}`. `minor_digits`: 2 for cents, 0 for yen.

    >>> MoneyComparator().vote([12.5, 12.499999, 13]).votes
    2
    """

    minor_digits: int = 2
    name: ClassVar[str] = "money"
    version: ClassVar[int] = 2
    monotone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.minor_digits, int) or not 0 <= self.minor_digits <= 9:
            raise UsageError(
                f"money(minor_digits=...): expected a whole number from 0 to 9, got {self.minor_digits!r}."
            )

    def classes(self, votes: Sequence[Ballot]) -> list[AnswerClass | None]:
        normal_forms = NormalForms()
        return [
            _class_of_missing(vote) if isinstance(vote, Missing) else money_form(vote, self.minor_digits, normal_forms)
            for vote in votes
        ]

    def vote(self, votes: Sequence[Ballot]) -> FieldVote:
        return count_votes(votes, self.classes(votes))

    def distance(self, one: Json, other: Json) -> float:
        mine, theirs = self.classes([one, other])
        return float(mine != theirs)

    def description(self) -> Json:
        return {"name": self.name, "version": self.version, "minor_digits": self.minor_digits}


def _class_of_missing(vote: Missing) -> AnswerClass | None:
    return None if vote is INVALID else vote
