"""Canonical forms: two values with one form are the same answer, however they were spelled.

Text is compared after NFKC, case folding and white space; numbers by value; dates by the day or the instant they name;
amounts of money by currency and minor units. A form is only compared and hashed, never shown.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import TypeAlias
from unicodedata import combining, normalize

from llmguard.core.canonical import Json, encode

Form: TypeAlias = Hashable

MAX_MARKS = 30
"""Combining marks in a row that are put in order (UAX #15, stream-safe text). `normalize` sorts them in quadratic time."""

MAX_NESTING = 50
"""Levels that are compared by form; what lies deeper is compared as encoded."""

_EXACT_FLOATS = 2.0**53
"""Below, a float that is a whole number is the one its digits say."""

MONTHS = {
    name: number
    for number, names in enumerate(
        "january jan januar,february feb februar,march mar märz,april apr,may mai,june jun juni,july jul juli,"
        "august aug,september sep sept,october oct oktober okt,november nov,december dec dezember dez".split(","),
        start=1,
    )
    for name in names.split()
}
_ISO = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})"
    r"(?:[t ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,6})\d{0,3})?)? ?(?:(z|utc)|([+-])(\d\d):?(\d\d))?)?"
)
_DAY_FIRST = re.compile(r"(\d{1,2})(?:st|nd|rd|th|\.)?(?: of)? ([a-zä]{3,9})\.?,? (\d{4})")
_MONTH_FIRST = re.compile(r"([a-zä]{3,9})\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})")
_LONGEST_DATE = 40

_CURRENCIES = {"€": "EUR", "£": "GBP", "us$": "USD", "eur": "EUR", "usd": "USD", "gbp": "GBP", "euro": "EUR"}
_AMOUNT = re.compile(
    r"(?P<open>\()?(?P<sign>[-−+])? ?(?P<before>[^\d\s.,()+−-]{1,4})? ?(?P<inner>[-−])?"
    r"(?P<number>\d[\d.,'’ ]*)(?P<after>[^\d\s.,()]{1,4})?(?P<close>\))?"
)
_LONGEST_AMOUNT = 60


class NormalForms:
    """Forms of many values; a text that occurs again is not put into its form again."""

    __slots__ = ("_folded", "_texts")

    def __init__(self, *, folded: bool = True) -> None:
        self._folded, self._texts = folded, dict[str, Form]()

    def of(self, value: Json, nesting: int = 0) -> Form:
        if isinstance(value, str):
            return self._of_text(value)
        if value is None or isinstance(value, bool):
            return ("bool", value)
        if isinstance(value, int | float):
            large = isinstance(value, float) and abs(value) >= _EXACT_FLOATS
            return ("number", exact_number(value) if large else value)
        return self._of_many(value, nesting) if nesting < MAX_NESTING else encode(value, sort_keys=True)

    def _of_text(self, text: str) -> Form:
        found = self._texts.get(text)
        if found is None:
            found = self._texts[text] = text_form(text) if self._folded else text
        return found

    def _of_many(self, value: Json, nesting: int) -> Form:
        if isinstance(value, dict):
            pairs: list[Form] = []
            for name, item in value.items():
                pairs.append((name, self.of(item, nesting + 1)))
            return ("object", frozenset(pairs))
        items: list[Form] = []
        for item in value:
            items.append(self.of(item, nesting + 1))
        return ("list", tuple(items))


def value_form(value: Json) -> Form:
    """The form of one value.

    >>> value_form({"total": 306, "by": "Ada  Lovelace"}) == value_form({"by": "ADA LOVELACE", "total": 306.0})
    True
    >>> value_form(1) == value_form(True)
    False
    """
    return NormalForms().of(value)


def text_form(text: str) -> Form:
    """A date as what it names, any other text folded."""
    folded = folded_text(text)
    dated = date_form(folded)
    return folded if dated is None else dated


def folded_text(text: str) -> str:
    """NFKC, case folded, white space as single blanks.

    >>> folded_text(" Straße\\u00a0ＡＢＣ ")
    'strasse abc'
    """
    if text.isascii():
        return " ".join(text.lower().split())
    return " ".join(" ".join(map(_folded_word, text.split())).split())


def _folded_word(word: str) -> str:
    if word.isascii() or not _in_order_cheaply(word):
        return word.casefold()
    return normalize("NFKC", normalize("NFKC", word).casefold())


def _in_order_cheaply(word: str) -> bool:
    run = 0
    for character in word if len(word) > MAX_MARKS else "":
        run = run + 1 if combining(character) else 0
        if run > MAX_MARKS:
            return False
    return True


# ------------------------------------------------------------------------------------------------- dates


def date_form(folded: str) -> Form | None:
    """What a folded text names, where it is one date or one time and has one reading; 03/04/2024 has two.

    >>> date_form("march 1, 2024") == date_form("2024-03-01")
    True
    >>> date_form("2024-03-01t12:00:00+01:00") == date_form("2024-03-01t11:00z")
    True
    """
    if len(folded) > _LONGEST_DATE or not any(map(str.isdecimal, folded)):
        return None
    try:
        day = _day(folded)
        return _moment(folded) if day is None else day
    except (ValueError, OverflowError):
        return None


def _day(folded: str) -> Form | None:
    if found := _DAY_FIRST.fullmatch(folded):
        day, month, year = found[1], MONTHS.get(found[2]), found[3]
    elif found := _MONTH_FIRST.fullmatch(folded):
        month, day, year = MONTHS.get(found[1]), found[2], found[3]
    else:
        return None
    return ("date", date(int(year), month, int(day))) if month else None


def _moment(folded: str) -> Form | None:
    found = _ISO.fullmatch(folded)
    if not found:
        return None
    year, month, day, hour, minute, second, fraction, utc, sign, hours, minutes = found.groups()
    if hour is None:
        return ("date", date(int(year), int(month), int(day)))
    micro = int((fraction or "0").ljust(6, "0"))
    local = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), micro)
    if not utc and not sign:
        return ("time", local)
    ahead = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    return ("instant", (local - ahead if sign == "+" else local + ahead).replace(tzinfo=UTC))


# ------------------------------------------------------------------------------------------------- amounts


def money_form(value: Json, minor_digits: int, normal_forms: NormalForms) -> Form:
    """Currency and minor units of a number, a text such as `€ 1.234,50`, or an object with `amount` and `currency`.

    Where no amount can be read with certainty the form is that of the value itself. A currency that is not named is
    not assumed: `12` and `12 EUR` differ.
    """
    if isinstance(value, dict) and set(value) == {"amount", "currency"}:
        amount, (_, named) = value["amount"], ("", currency(str(value["currency"])))
    else:
        amount, named = value, ""
    if isinstance(amount, bool) or not isinstance(amount, int | float | str):
        return normal_forms.of(value)
    read = amount_in(amount) if isinstance(amount, str) else (exact_number(amount), "")
    if read is None or (named and read[1]):
        return normal_forms.of(value)
    return ("money", named or read[1], round(read[0] * 10**minor_digits))


def exact_number(value: float | int) -> Fraction:
    """A number as what its decimal digits say: 0.1 is one tenth."""
    return Fraction(value) if isinstance(value, int) else Fraction(repr(value))


def currency(name: str) -> str:
    return _CURRENCIES.get(name.casefold().rstrip("."), name.upper())


def amount_in(text: str) -> tuple[Fraction, str] | None:
    """The amount that a text is, with its currency or "", or None. `1,234` has two readings, so it is none.

    >>> amount_in("€ 1.234,50"), amount_in("(12.00)"), amount_in("1,234")
    ((Fraction(2469, 2), 'EUR'), (Fraction(-12, 1), ''), None)
    """
    text = " ".join(text.split())
    found = _AMOUNT.fullmatch(text) if len(text) <= _LONGEST_AMOUNT else None
    if not found or bool(found["open"]) != bool(found["close"]) or (found["before"] and found["after"]):
        return None
    readings = numeral_readings(found["number"].strip())
    if len(readings) != 1:
        return None
    negative = (found["sign"] or found["inner"] or "") in ("-", "−") if found["sign"] or found["inner"] else False
    size = readings[0]
    return (-size if negative or found["open"] else size), currency(found["before"] or found["after"] or "")


def numeral_readings(numeral: str) -> tuple[Fraction, ...]:
    """What digits with separators may mean: none, one, or (`1,234`) two numbers."""
    spaced = numeral.replace("’", "'").replace("\u00a0", " ").replace("\u202f", " ")
    for grouping in "' ":
        if grouping in spaced:
            whole, *rest = re.split("[.,]", spaced, maxsplit=1)
            if not _is_grouped(whole.split(grouping)):
                return ()
            spaced = ".".join([whole.replace(grouping, ""), *rest])
    return _with_points(spaced)


def _with_points(numeral: str) -> tuple[Fraction, ...]:
    last = max(numeral.rfind("."), numeral.rfind(","))
    if last < 0:
        return _fraction(numeral, "")
    point, whole, rest = numeral[last], numeral[:last], numeral[last + 1 :]
    other = "," if point == "." else "."
    if other in whole:  # 1.234,50
        return (
            _fraction(whole.replace(other, ""), rest) if point not in whole and _is_grouped(whole.split(other)) else ()
        )
    if point in whole:  # 1.234.567
        groups = [*whole.split(point), rest]
        return _fraction("".join(groups), "") if _is_grouped(groups) else ()
    if len(rest) == 3 and len(whole) <= 3 and whole.lstrip("0"):
        return _fraction(whole + rest, "") + _fraction(whole, rest)
    return _fraction(whole, rest)


def _is_grouped(groups: list[str]) -> bool:
    return 1 <= len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:]) and "".join(groups).isdecimal()


def _fraction(whole: str, rest: str) -> tuple[Fraction, ...]:
    digits = whole + rest
    return (Fraction(int(digits), 10 ** len(rest)),) if digits.isdecimal() and digits.isascii() else ()
