"""Comparators by name: what stands in `fields={"/total": "money"}`, and the functions that give them options."""

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
    """The same after canonical form; `folded=False` takes text as it stands (tokens, identifiers, file names)."""
    return ExactComparator(folded)


def number(abs_tol: float = 0.0, rel_tol: float = 0.0) -> NumberComparator:
    """Numbers within a tolerance: the fullest window of that width wins, and its median is the answer."""
    return NumberComparator(abs_tol, rel_tol)


def money(minor_digits: int = 2) -> MoneyComparator:
    """Amounts equal in minor units (cents) and currency: numbers, texts like `€ 1.234,50`, or amount and currency."""
    return MoneyComparator(minor_digits)


def set_of() -> SetComparator:
    """A list as a set: an element is kept if at least half have it. In `fields=` its name is `"set"`."""
    return SetComparator()


def list_of(key: str = "", *, fields: Mapping[str, ComparatorOrName] | None = None) -> ListComparator:
    """A list voted on slot by slot, aligned by `key` or by optimal assignment. In `fields=` its name is `"list"`.

    >>> list_of(key="sku", fields={"/price": "money"}).key
    'sku'
    """
    return ListComparator(key, {pointer: comparator(given) for pointer, given in (fields or {}).items()})


def text(similarity: float = 0.9) -> TextComparator:
    """Texts whose edit distance is at most 1 - `similarity` of their length, joined; the answer is the medoid."""
    return TextComparator(similarity)


def equivalent(function: Callable[[Json, Json], bool], *, version: str = "") -> EquivalentComparator:
    """Values that your own `function(one, other)` calls the same."""
    return EquivalentComparator(function, version)


BY_NAME: Mapping[str, Callable[[], Comparator]] = {
    "exact": exact,
    "list": list_of,
    "money": money,
    "number": number,
    "set": set_of,
    "text": text,
}


_OF_A_COMPARATOR = ("vote", "distance", "description", "name", "version", "monotone")


def comparator(given: ComparatorOrName) -> Comparator:
    """A comparator as given, or the one of that name.

    >>> comparator("money").monotone
    True
    """
    if isinstance(given, str):
        if given not in BY_NAME:
            close = nearest(given, list(BY_NAME))
            meant = f" Is {close!r} meant?" if close else ""
            raise UsageError(f"there is no comparator {given!r}; there are {', '.join(sorted(BY_NAME))}.{meant}")
        return BY_NAME[given]()
    if isinstance(given, type) or not all(
        hasattr(given, name) for name in ("vote", "distance", "description", "name", "version", "monotone")
    ):
        raise UsageError(
            f"a comparator is a name ({', '.join(sorted(BY_NAME))}) or an object with vote, distance, description,"
            f" name, version and monotone; found {type(given).__name__}."
        )
    return given
