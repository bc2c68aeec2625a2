"""A date in words or in another order: read where one day is meant, rejected where two may be."""

from __future__ import annotations

import re
from datetime import date
from re import IGNORECASE

from llmguard.core.patterns import Pattern
from llmguard.values.rejection import Rejection

_MONTHS = {
    name: number
    for number, names in enumerate(
        ("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
         "september sep sept", "october oct", "november nov", "december dec"), 1)
    for name in names.split()
}  # fmt: skip
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY = r"(?:(?P<weekday>mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}\.?,?\s+(?:the\s+)?)?"
_MONTH = r"(?P<month>[a-z]{3,9})\.?"
_DAY = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>[0-9]{4})"
_WORDED = tuple(
    Pattern(pattern + r"\Z", IGNORECASE)
    for pattern in (
        rf"{_WEEKDAY}{_MONTH}\s+{_DAY},?\s+{_YEAR}",
        rf"{_WEEKDAY}{_DAY}[\s\-]+(?:of\s+)?{_MONTH},?[\s\-]+{_YEAR}",
        rf"{_YEAR}[\s\-,]+{_MONTH}[\s\-]+{_DAY}",
    )
)
_YEAR_FIRST = Pattern(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})\Z")
_YEAR_LAST = Pattern(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})\Z")
_BASIC = Pattern(r"((?:19|20)[0-9]{2})([0-9]{2})([0-9]{2})\Z")
_MIDNIGHT = Pattern(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]00:00(?::00(?:\.0+)?)?(?:Z|\+00:00)?\Z")


def read_date(text: str) -> str | Rejection:
    """`text` as an ISO 8601 date.

    >>> read_date("March 5, 2024"), read_date("2024/3/5"), read_date("25.12.2024")
    ('2024-03-05', '2024-03-05', '2024-12-25')
    >>> read_date("03/04/2024").rule
    'ambiguous_date'
    """
    stripped = " ".join(text.split())
    if len(stripped) > 40:
        return Rejection("not_a_date", "a long text instead of a date")
    if match := _MIDNIGHT.match(stripped):
        return match[1]
    if match := _YEAR_FIRST.match(stripped):
        return _iso(int(match[1]), int(match[3]), int(match[4]), stripped)
    if match := _BASIC.match(stripped):
        return _iso(int(match[1]), int(match[2]), int(match[3]), stripped)
    if match := _YEAR_LAST.match(stripped):
        return _year_last(int(match[1]), int(match[3]), int(match[4]), stripped)
    for shape in _WORDED:
        if match := shape.match(stripped):
            return _worded(match, stripped)
    return Rejection("not_a_date", f"{stripped!r} is not one day")


def _year_last(one: int, other: int, year: int, text: str) -> str | Rejection:
    """Day and month, or month and day: one of them must be over 12, or both the same."""
    if one <= 12 and other <= 12 and one != other:
        return Rejection("ambiguous_date", f"{text!r} may be day and month, or month and day")
    day, month = (one, other) if one > 12 else (other, one)
    return _iso(year, month, day, text)


def _worded(match: re.Match[str], text: str) -> str | Rejection:
    parts = match.groupdict()
    month = _MONTHS.get(parts["month"].lower())
    if month is None:
        return Rejection("not_a_date", f"{parts['month']!r} is no English month")
    iso = _iso(int(parts["year"]), month, int(parts["day"]), text)
    weekday = parts.get("weekday")
    if isinstance(iso, str) and weekday and date.fromisoformat(iso).weekday() != _DAYS.index(weekday.lower()):
        return Rejection("ambiguous_date", f"{text!r} names a weekday that this day was not")
    return iso


def _iso(year: int, month: int, day: int, text: str) -> str | Rejection:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return Rejection("not_a_date", f"{text!r} is no day of the calendar")
