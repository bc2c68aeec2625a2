"""Comparators by name, as in `fields={"/total": "money"}`, and the functions that make one with options.

A field of a vote is compared by one of these: `exact` (the default), `number`, `money`, `text`, `set`, `list`,
`equivalent` (a function of your own), or any object that is a `Comparator`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.schema.words import nearest
from llmguard.voting.cluster_comparators import EquivalentComparator, TextComparator
from llmguard.voting.keyed_comparators import ExactComparator, MoneyComparator
from llmguard.voting.list_comparators import ListComparator, SetComparator
from llmguard.voting.tolerance_windows import NumberComparator
from llmguard.voting.votes import Comparator

ComparatorOrName: TypeAlias = Comparator | str


def exact(*, folded: bool = True) -> ExactComparator:
    """Equal in canonical form; `folded=False` compares text literally (tokens, identifiers, file names).

    >>> exact().vote(["Paid", "paid ", "open"]).votes, exact(folded=False).vote(["Paid", "paid ", "open"]).votes
    (2, 1)
    """
    return ExactComparator(folded)


def number(abs_tol: float = 0.0, rel_tol: float = 0.0) -> NumberComparator:
    """Numbers within a tolerance: the fullest window of that width wins, and its median is the answer.

    >>> number(abs_tol=0.01).vote([1.00, 1.01, 1.02, 5]).votes
    2
    """
    return NumberComparator(abs_tol, rel_tol)


def money(minor_digits: int = 2) -> MoneyComparator:
    """Amounts equal in minor units (cents) and currency: numbers, texts like `€ 1.234,50`, or amount and currency.

    >>> money().vote([12.5, 12.499999, 13]).votes
    2
    """
    return MoneyComparator(minor_digits)


def set_of() -> SetComparator:
    """A list as a set: an element is kept if at least half of the lists have it. In `fields=` its name is `"set"`.

    >>> set_of().vote([["a", "b"], ["b", "A"], ["a", "c"]]).value
    ['a', 'b']
    """
    return SetComparator()


def list_of(key: str = "", *, fields: Mapping[str, ComparatorOrName] | None = None) -> ListComparator:
    """A list voted on slot by slot, aligned by `key` or by optimal assignment. In `fields=` its name is `"list"`.

    >>> list_of(key="sku", fields={"/price": "money"}).key
    'sku'
    """
    return ListComparator(key, {pointer: comparator(each) for pointer, each in (fields or {}).items()})


def text(similarity: float = 0.9) -> TextComparator:
    """Texts whose edit distance is at most 1 - `similarity` of their length are joined; the answer is the medoid.

    >>> text(0.8).vote(["Ada Lovelace", "Ada Lovelacce", "Grace Hopper"]).votes
    2
    """
    return TextComparator(similarity)


def equivalent(function: Callable[[Json, Json], bool], *, version: str = "") -> EquivalentComparator:
    """Values for which your own `function(one, other)` returns True.

    >>> equivalent(lambda one, other: one[0] == other[0]).vote(["ann", "Bob", "abe"]).votes
    2
    """
    return EquivalentComparator(function, version)


BY_NAME: Mapping[str, Callable[[], Comparator]] = {
    "exact": exact,
    "list": list_of,
    "money": money,
    "number": number,
    "set": set_of,
    "text": text,
}


_MEMBERS = ("vote", "distance", "description", "name", "version", "monotone")


def comparator(comparator_or_name: ComparatorOrName) -> Comparator:
    """A comparator itself, or the one of that name.

    Raises:
        UsageError: an unknown name, or an object that is not a comparator.

    >>> comparator("money").monotone
    True
    """
    if isinstance(comparator_or_name, str):
        return _comparator_named(comparator_or_name)
    is_class = isinstance(comparator_or_name, type)  # a class has the members, too, but is not a comparator yet
    if is_class or not all(hasattr(comparator_or_name, member) for member in _MEMBERS):
        raise UsageError(
            f"a comparator is a name ({', '.join(sorted(BY_NAME))}) or an object with vote, distance, description,"
            f" name, version and monotone; got {type(comparator_or_name).__name__}."
        )
    return comparator_or_name


def _comparator_named(name: str) -> Comparator:
    if name not in BY_NAME:
        close = nearest(name, list(BY_NAME))
        meant = f" Is {close!r} meant?" if close else ""
        raise UsageError(f"there is no comparator {name!r}; there are {', '.join(sorted(BY_NAME))}.{meant}")
    return BY_NAME[name]()
