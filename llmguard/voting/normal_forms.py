"""Normal forms: two values with the same form are the same answer, however they were spelled.

Text is compared after NFKC, case folding and collapsing white space; numbers by value; dates by the day or the instant
they name; amounts of money by currency and minor units. A form is only compared and hashed, never displayed.
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
"""Combining marks in a row that are put in order: the limit of the stream-safe text format (UAX #15, section 13).
`unicodedata.normalize` sorts them in quadratic time."""

MAX_NESTING = 50
"""Levels that are compared by form, for the recursion limit's sake; what is deeper is compared as encoded."""

_EXACT_FLOATS = 2.0**53
"""Below, each whole number is a float of its own (53 bits of mantissa), so that the float can be compared itself."""

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
_LONGEST_DATE = 40  # the longest has 36 characters: 2024-03-01t12:00:00.123456789 +01:00

_CURRENCIES = {"€": "EUR", "£": "GBP", "us$": "USD", "eur": "EUR", "usd": "USD", "gbp": "GBP", "euro": "EUR"}
_AMOUNT = re.compile(
    r"(?P<open>\()?(?P<sign>[-−+])? ?(?P<before>[^\d\s.,()+−-]{1,4})? ?(?P<inner>[-−])?"
    r"(?P<number>\d[\d.,'’ ]*)(?P<after>[^\d\s.,()]{1,4})?(?P<close>\))?"
)
_LONGEST_AMOUNT = 60  # bounds the work on a text that a model wrote; real amounts are under half of it


class NormalForms:
    """Normal forms of many values; that of a text is computed once."""

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
        form = self._texts.get(text)
        if form is None:
            form = self._texts[text] = text_form(text) if self._folded else text
        return form

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
    """A date as the day or instant that it names, any other text folded.

    >>> text_form("1st of March, 2024") == text_form("2024-03-01"), text_form(" Paid ")
    (True, 'paid')
    """
    folded = folded_text(text)
    date_or_time = date_form(folded)
    return folded if date_or_time is None else date_or_time


def folded_text(text: str) -> str:
    """NFKC, case folded, white space as single blanks.

    >>> folded_text(" Straße\\u00a0ＡＢＣ ")
    'strasse abc'
    """
    if text.isascii():
        return " ".join(text.lower().split())
    return " ".join(" ".join(map(_folded_word, text.split())).split())


def _folded_word(word: str) -> str:
    if word.isascii() or not _is_stream_safe(word):
        return word.casefold()
    # Twice, because case folding may undo NFKC (Unicode 3.13, D146: "compatibility caseless match")
    return normalize("NFKC", normalize("NFKC", word).casefold())


def _is_stream_safe(word: str) -> bool:
    """Whether it has no more than `MAX_MARKS` combining marks in a row."""
    run = 0
    for character in word if len(word) > MAX_MARKS else "":
        run = run + 1 if combining(character) else 0
        if run > MAX_MARKS:
            return False
    return True


# ------------------------------------------------------------------------------------------------- dates


def date_form(folded: str) -> Form | None:
    """The day or instant that a folded text names; None where it is not exactly one: 03/04/2024 may be two days.

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
    if match := _DAY_FIRST.fullmatch(folded):
        day, month, year = match[1], MONTHS.get(match[2]), match[3]
    elif match := _MONTH_FIRST.fullmatch(folded):
        month, day, year = MONTHS.get(match[1]), match[2], match[3]
    else:
        return None
    return ("date", date(int(year), month, int(day))) if month else None


def _moment(folded: str) -> Form | None:
    match = _ISO.fullmatch(folded)
    if not match:
        return None
    year, month, day, hour, minute, second, fraction, utc, sign, hours, minutes = match.groups()
    if hour is None:
        return ("date", date(int(year), int(month), int(day)))
    micro = int((fraction or "0").ljust(6, "0"))
    local = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), micro)
    if not utc and not sign:
        return ("time", local)
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    return ("instant", (local - offset if sign == "+" else local + offset).replace(tzinfo=UTC))


# ------------------------------------------------------------------------------------------------- amounts


def money_form(value: Json, minor_digits: int, normal_forms: NormalForms) -> Form:
    """Currency and minor units of a number, a text such as `€ 1.234,50`, or an object with `amount` and `currency`.

    Where the amount is ambiguous the form is that of the value itself. A missing currency is not assumed: `12` and
    `12 EUR` differ.

    >>> money_form("€ 1.234,50", 2, NormalForms()) == money_form({"amount": 1234.5, "currency": "EUR"}, 2, NormalForms())
    True
    """
    if isinstance(value, dict) and set(value) == {"amount", "currency"}:
        amount, code = value["amount"], currency(str(value["currency"]))
    else:
        amount, code = value, ""
    if isinstance(amount, bool) or not isinstance(amount, int | float | str):
        return normal_forms.of(value)
    parsed = amount_in(amount) if isinstance(amount, str) else (exact_number(amount), "")
    if parsed is None or (code and parsed[1]):
        return normal_forms.of(value)
    return ("money", code or parsed[1], round(parsed[0] * 10**minor_digits))


def exact_number(value: float | int) -> Fraction:
    """A number by its decimal digits: 0.1 is one tenth, not the binary fraction next to it."""
    return Fraction(value) if isinstance(value, int) else Fraction(repr(value))


def currency(name: str) -> str:
    """The ISO 4217 code of a symbol or name that is unambiguous; any other name in capitals: `$` may be many."""
    return _CURRENCIES.get(name.casefold().rstrip("."), name.upper())


def amount_in(text: str) -> tuple[Fraction, str] | None:
    """The amount that a text is, with its currency or ""; None where it is not one amount: `1,234` may be two.

    >>> amount_in("€ 1.234,50"), amount_in("(12.00)"), amount_in("1,234")
    ((Fraction(2469, 2), 'EUR'), (Fraction(-12, 1), ''), None)
    """
    text = " ".join(text.split())
    match = _AMOUNT.fullmatch(text) if len(text) <= _LONGEST_AMOUNT else None
    if not match or bool(match["open"]) != bool(match["close"]) or (match["before"] and match["after"]):
        return None
    numbers = possible_numbers(match["number"].strip())
    if len(numbers) != 1:
        return None
    is_negative = (match["sign"] or match["inner"]) in ("-", "−")
    is_in_parentheses = bool(match["open"])  # an accountant's minus
    size = -numbers[0] if is_negative or is_in_parentheses else numbers[0]
    return size, currency(match["before"] or match["after"] or "")


def possible_numbers(numeral: str) -> tuple[Fraction, ...]:
    """The numbers that digits with separators may mean: none, one, or two.

    >>> possible_numbers("1.234,50"), possible_numbers("1,234"), possible_numbers("3,4,5")
    ((Fraction(2469, 2),), (Fraction(1234, 1), Fraction(617, 500)), ())
    """
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
        is_valid = point not in whole and _is_grouped(whole.split(other))
        return _fraction(whole.replace(other, ""), rest) if is_valid else ()
    if point in whole:  # 1.234.567
        groups = [*whole.split(point), rest]
        return _fraction("".join(groups), "") if _is_grouped(groups) else ()
    if len(rest) == 3 and len(whole) <= 3 and whole.lstrip("0"):  # 1,234: a thousand and more, or one and a bit
        return _fraction(whole + rest, "") + _fraction(whole, rest)
    return _fraction(whole, rest)


def _is_grouped(groups: list[str]) -> bool:
    return 1 <= len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:]) and "".join(groups).isdecimal()


def _fraction(whole: str, rest: str) -> tuple[Fraction, ...]:
    digits = whole + rest
    return (Fraction(int(digits), 10 ** len(rest)),) if digits.isdecimal() and digits.isascii() else ()
