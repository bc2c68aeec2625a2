"""Comparators by a key: two values are the same answer where their canonical forms are equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.voting.normal_forms import NormalForms, money_form
from llmguard.voting.votes import INVALID, AnswerClass, Ballot, Comparator, FieldVote, Missing, count_votes


class Keyed(Comparator, Protocol):
    """A comparator that gives each ballot a class by itself: such fields can be voted together."""

    def classes(self, ballots: Sequence[Ballot]) -> list[AnswerClass | None]: ...


def has_classes(comparator: Comparator) -> bool:
    return hasattr(comparator, "classes")


@dataclass(frozen=True, slots=True)
class ExactComparator:
    """The same after canonical form: text by NFKC, case and white space, numbers by value, dates by the day they name.

    `folded=False` compares text as it stands, for what is case sensitive: tokens, file names, identifiers.

    >>> ExactComparator().vote(["Paid", "paid ", "open"]).value
    'Paid'
    """

    folded: bool = True
    name: ClassVar[str] = "exact"
    version: ClassVar[int] = 1
    monotone: ClassVar[bool] = True

    def classes(self, ballots: Sequence[Ballot]) -> list[AnswerClass | None]:
        normal_forms = NormalForms(folded=self.folded)
        return [
            normal_forms.of(ballot) if not isinstance(ballot, Missing) else None if ballot is INVALID else ballot
            for ballot in ballots
        ]

    def vote(self, ballots: Sequence[Ballot]) -> FieldVote:
        return count_votes(ballots, self.classes(ballots))

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
    version: ClassVar[int] = 1
    monotone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.minor_digits, int) or not 0 <= self.minor_digits <= 9:
            raise UsageError(f"money(minor_digits=...) wants a whole number from 0 to 9, found {self.minor_digits!r}.")

    def classes(self, ballots: Sequence[Ballot]) -> list[AnswerClass | None]:
        normal_forms = NormalForms()
        return [
            money_form(ballot, self.minor_digits, normal_forms)
            if not isinstance(ballot, Missing)
            else None
            if ballot is INVALID
            else ballot
            for ballot in ballots
        ]

    def vote(self, ballots: Sequence[Ballot]) -> FieldVote:
        return count_votes(ballots, self.classes(ballots))

    def distance(self, one: Json, other: Json) -> float:
        mine, theirs = self.classes([one, other])
        return float(mine != theirs)

    def description(self) -> Json:
        return {"name": self.name, "version": self.version, "minor_digits": self.minor_digits}
