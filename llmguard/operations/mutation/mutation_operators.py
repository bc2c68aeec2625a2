"""How each kind of error is made from a right value. The result may equal the right value: the caller compares."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from llmguard.core.canonical import Json

Kind: TypeAlias = Literal[
    "swapped",
    "off by one",
    "dropped",
    "negated",
    "wrong unit",
    "other member",
    "typo",
    "truncated",
    "date shifted",
]

FACTORS: Final = ("10", "100", "1000", "0.1", "0.01", "0.001")
"""Between units of one quantity: cents and euros, grams and kilograms, percent and shares."""
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?!\d)")
_EXACT = 2**53
"""Beyond it a float does not hold every integer (IEEE 754 double)."""
_LARGE = 10**300
"""Times 1000 this is still a finite float."""


def numbers(value: int | float, whole: bool) -> Iterator[tuple[Kind, Json]]:
    """Wrong numbers: off by one, with the other sign, in another unit."""
    yield "off by one", value + 1
    yield "off by one", value - 1
    yield "negated", -value
    for factor in FACTORS if abs(value) < _LARGE else ():
        yield "wrong unit", in_other_unit(value, factor, whole)


def in_other_unit(value: int | float, factor: str, whole: bool) -> Json:
    """The number times the factor, computed in decimals; `whole`: without a fraction.

    >>> in_other_unit(306.1, "10", False), in_other_unit(1250, "0.01", False), in_other_unit(1299, "0.01", True)
    (3061.0, 12.5, 12)
    """
    by = Decimal(factor)
    if isinstance(value, int):
        divided = value * int(by) if by > 1 else value // int(1 / by)
        if whole or by > 1 or divided * int(1 / by) == value or abs(value) > _EXACT:
            return divided
    return float(Decimal(repr(value)) * by)


def dates(text: str) -> Iterator[str]:
    """A text that begins with a date (YYYY-MM-DD), with another date: a day, a month or a year off, or day and month
    swapped. Empty for other texts.

    >>> list(dates("2024-03-01"))
    ['2024-03-02', '2024-02-29', '2024-04-01', '2025-03-01', '2024-01-03']
    """
    match = _DATE.match(text)
    year, month, day = map(int, match.groups()) if match else (0, 0, 0)
    if match is None or _day(year, month, day) is None:
        return
    for shifted in (_day(year, month, day, 1), _day(year, month, day, -1), _day(year, month + 1, day),
                    _day(year + 1, month, day), _day(year, day, month)):  # fmt: skip
        if shifted is not None:
            yield shifted.isoformat() + text[match.end() :]


def is_date(text: str) -> bool:
    return next(dates(text), None) is not None


def _day(year: int, month: int, day: int, later: int = 0) -> date | None:
    try:
        return date(year, month, day) + timedelta(days=later)
    except (ValueError, OverflowError):
        return None


def typo(text: str, number: int) -> str:
    """Two neighbouring letters or digits swapped, the first such pair from a drawn position on; else one character left
    out, or doubled.

    >>> typo("INV-2043", 4), typo("aa", 0), typo("7", 0)
    ('INV-0243', 'a', '77')
    """
    for start, end in ((number % len(text), len(text)), (0, number % len(text))):
        for at in range(start, min(end, len(text) - 1)):
            if text[at] != text[at + 1] and text[at].isalnum() and text[at + 1].isalnum():
                return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[1:] if len(text) > 1 else text * 2
