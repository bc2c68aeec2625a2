"""A date in words or in another order: read where one day is meant, rejected where two may be.

The one reader of dates: coercion and votes use `read_date` for a whole text, the grounding checks `days_in` for the days
that a source names. Both go by the same shapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from re import IGNORECASE

from llmguard.core.patterns import Pattern
from llmguard.values.rejection import Rejection

MAX_CHARS = 48

# Unicode CLDR 45, dates/calendars/gregorian, wide and abbreviated: en, de, fr, es, it, nl, pt. No name is two months.
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar jänner janvier janv enero ene gennaio gen januari janeiro",
            "february feb februar febr février févr febrero febbraio februari fevereiro fev",
            "march mar märz mär mrz mars marzo maart mrt março",
            "april apr avril avr abril abr aprile",
            "may mai mayo maggio mag mei maio",
            "june jun juni juin junio giugno giu junho",
            "july jul juli juillet juil julio luglio lug julho",
            "august aug août agosto ago augustus",
            "september sep sept septembre septiembre settembre set setembro",
            "october oct oktober okt octobre octubre ottobre ott outubro out",
            "november nov novembre noviembre novembro",
            "december dec dezember dez décembre déc diciembre dic dicembre dezembro",
        ),
        1,
    )
    for name in names.split()
}
_WEEKDAYS = {
    name: number
    for number, names in enumerate(
        (
            "monday mon montag lundi lunes lunedì maandag",
            "tuesday tue tues dienstag mardi martes martedì dinsdag",
            "wednesday wed mittwoch mercredi miércoles mercoledì woensdag",
            "thursday thu thur thurs donnerstag jeudi jueves giovedì donderdag",
            "friday fri freitag vendredi viernes venerdì vrijdag",
            "saturday sat samstag sonnabend samedi sábado sabato zaterdag",
            "sunday sun sonntag dimanche domingo domenica zondag",
        )
    )
    for name in names.split()
}


def _either(names: dict[str, int]) -> str:
    return "|".join(sorted(map(re.escape, names), key=len, reverse=True))


_WEEKDAY = rf"(?:(?P<weekday>{_either(_WEEKDAYS)})\.?,?\s+(?:the\s+|der\s+|den\s+|le\s+)?)?"
_MONTH = rf"(?P<month>{_either(_MONTHS)})\.?"
_DAY = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th|er|\.)?"
_YEAR = r"(?P<year>[0-9]{4})"
_WORDED = (
    rf"{_WEEKDAY}{_MONTH}\s{{1,3}}{_DAY},?\s{{1,3}}{_YEAR}",
    rf"{_WEEKDAY}{_DAY}[\s\-]{{1,3}}(?:(?:of|de)\s)?{_MONTH},?[\s\-]{{1,3}}(?:de\s)?{_YEAR}",
    rf"{_YEAR}[\s\-,]{{1,3}}{_MONTH}[\s\-]{{1,3}}{_DAY}",
)
_YEAR_FIRST = r"(?P<y>[0-9]{4})(?P<mark>[-/.])(?P<m>[0-9]{1,2})(?P=mark)(?P<d>[0-9]{1,2})"
_YEAR_LAST = r"(?P<one>[0-9]{1,2})(?P<mark>[-/.])(?P<other>[0-9]{1,2})(?P=mark)(?P<y>[0-9]{4})"
_SHORT_YEAR = r"(?P<one>[0-9]{1,2})(?P<mark>[-/.])(?P<other>[0-9]{1,2})(?P=mark)(?P<y>[0-9]{2})"
_CHINESE = r"(?P<y>[0-9]{4})\s?年\s?(?P<m>[0-9]{1,2})\s?月\s?(?P<d>[0-9]{1,2})\s?日"

_WHOLE_WORDED = tuple(Pattern(shape + r"\Z", IGNORECASE) for shape in _WORDED)
_WHOLE_YEAR_FIRST = Pattern(rf"(?:{_YEAR_FIRST})\Z")
_WHOLE_CHINESE = Pattern(rf"(?:{_CHINESE})\Z")
_WHOLE_YEAR_LAST = Pattern(_YEAR_LAST + r"\Z")
_BASIC = Pattern(r"((?:19|20)[0-9]{2})([0-9]{2})([0-9]{2})\Z")
_MIDNIGHT = Pattern(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]00:00(?::00(?:\.0+)?)?(?:Z|\+00:00)?\Z")
_IN_WORDS = tuple(Pattern(rf"(?<!\w){shape}(?![0-9])", IGNORECASE) for shape in _WORDED)
_IN_YEAR_FIRST = tuple(Pattern(rf"(?<![0-9]){shape}(?![0-9])") for shape in (_YEAR_FIRST, _CHINESE))
_IN_YEAR_LAST = tuple(Pattern(rf"(?<![0-9]){shape}(?![0-9])") for shape in (_YEAR_LAST, _SHORT_YEAR))
_IN_BASIC = Pattern(r"(?<![0-9])((?:19|20)[0-9]{2})([0-9]{2})([0-9]{2})(?![0-9])")


def read_date(text: str) -> str | Rejection:
    """`text` as an ISO 8601 date.

    >>> read_date("March 5, 2024"), read_date("2024/3/5"), read_date("25.12.2024"), read_date("5. März 2024")
    ('2024-03-05', '2024-03-05', '2024-12-25', '2024-03-05')
    >>> read_date("03/04/2024").rule, read_date("sunset May 12, 2024").rule
    ('ambiguous_date', 'not_a_date')
    """
    stripped = " ".join(text.split())
    if len(stripped) > MAX_CHARS:
        return Rejection("not_a_date", "a long text instead of a date")
    if match := _MIDNIGHT.match(stripped):
        return match[1]
    if match := _WHOLE_YEAR_FIRST.match(stripped) or _WHOLE_CHINESE.match(stripped):
        return _iso(match["y"], match["m"], match["d"], stripped)
    if match := _BASIC.match(stripped):
        return _iso(match[1], match[2], match[3], stripped)
    if match := _WHOLE_YEAR_LAST.match(stripped):
        return _year_last(int(match["one"]), int(match["other"]), match["y"], stripped)
    for shape in _WHOLE_WORDED:
        if match := shape.match(stripped):
            return _worded(match, stripped)
    return Rejection("not_a_date", f"{stripped!r} is not one day")


def days_in(text: str) -> frozenset[str]:
    """Every day that `text` may name, as ISO 8601 dates: 03/04/2024 may be two days, 1/2/24 is in this century.

    >>> sorted(days_in("due 3 March 2024, or 9-Apr-2025")), len(days_in("on 03/04/2024"))
    (['2024-03-03', '2025-04-09'], 2)
    """
    return frozenset(day for day in _days(text) if isinstance(day, str))


def _days(text: str) -> Iterator[str | Rejection]:
    for shape in _IN_YEAR_FIRST:
        yield from (_iso(match["y"], match["m"], match["d"]) for match in shape.finditer(text))
    for match in _IN_BASIC.finditer(text):
        yield _iso(match[1], match[2], match[3])
    for shape in _IN_YEAR_LAST:
        for match in shape.finditer(text):
            year = match["y"] if len(match["y"]) == 4 else "20" + match["y"]
            yield _iso(year, match["other"], match["one"])
            yield _iso(year, match["one"], match["other"])
    for shape in _IN_WORDS:
        yield from (
            _iso(match["year"], _MONTHS[match["month"].lower()], match["day"]) for match in shape.finditer(text)
        )


def _year_last(one: int, other: int, year: str, text: str) -> str | Rejection:
    """Day and month, or month and day: one of them must be over 12, or both the same."""
    if one <= 12 and other <= 12 and one != other:
        return Rejection("ambiguous_date", f"{text!r} may be day and month, or month and day")
    day, month = (one, other) if one > 12 else (other, one)
    return _iso(year, month, day, text)


def _worded(match: re.Match[str], text: str) -> str | Rejection:
    parts = match.groupdict()
    iso = _iso(parts["year"], _MONTHS[parts["month"].lower()], parts["day"], text)
    weekday = parts.get("weekday")
    if isinstance(iso, str) and weekday and date.fromisoformat(iso).weekday() != _WEEKDAYS[weekday.lower()]:
        return Rejection("ambiguous_date", f"{text!r} names a weekday that this day was not")
    return iso


def _iso(year: str | int, month: str | int, day: str | int, text: str = "") -> str | Rejection:
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return Rejection("not_a_date", f"{text!r} is no day of the calendar")
