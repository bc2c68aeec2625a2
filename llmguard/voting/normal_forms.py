"""Normal forms: two values with the same form are the same answer, however they were spelled.

Text is compared after NFKC, case folding and collapsing white space; numbers by value; dates by the day or the instant
they name; amounts of money by currency and minor units. What a text says is read by `values`, as in a reply. A form is
only compared and hashed, never displayed.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TypeAlias
from unicodedata import combining, normalize

from llmguard.core.canonical import Json, encode
from llmguard.values.dates import read_date
from llmguard.values.numbers import read_amount
from llmguard.values.rejection import Rejection
from llmguard.values.units import currencies_of
from llmguard.values.words import without_case

Form: TypeAlias = Hashable

MAX_MARKS = 30
"""Combining marks in a row that are put in order: the limit of the stream-safe text format (UAX #15, section 13).
`unicodedata.normalize` sorts them in quadratic time."""

MAX_NESTING = 50
"""Levels that are compared by form, for the recursion limit's sake; what is deeper is compared as encoded."""

_EXACT_FLOATS = 2.0**53
"""Below, each whole number is a float of its own (53 bits of mantissa), so that the float can be compared itself."""

_MOMENT = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})"
    r"[t ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,6})\d{0,3})?)? ?(?:(z|utc)|([+-])(\d\d):?(\d\d))?"
)
_LONGEST_DATE = 48  # the longest is a day in words with its weekday
_DIGITS_OF_THEIR_OWN = re.compile(
    "[\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209f\u2150-\u215f\u2189\u2460-\u249b\u24ea\u3251-\u325f\u32b1-\u32bf]+"
)
"""Superscripts, subscripts, fractions and circled numbers: compatibility folding would make 10⁸ and 108 one number."""


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
    """NFKC, case folded, white space as single blanks; but 10⁸ stays, and so does the case of mW and MW.

    >>> folded_text(" Straße\\u00a0ＡＢＣ "), folded_text("10⁸ Stars, 3 MW")
    ('strasse abc', '10⁸ stars, 3 MW')
    """
    if text.isascii():
        return " ".join(without_case(text).split())
    plain = " ".join(map(_compatible, text.split()))
    # Twice, because case folding may undo NFKC (Unicode 3.13, D146: "compatibility caseless match")
    return " ".join(" ".join(map(_compatible, without_case(plain).split())).split())


def _compatible(word: str) -> str:
    """NFKC of a word, but for digits of their own."""
    if word.isascii() or not _is_stream_safe(word):
        return word
    if not _DIGITS_OF_THEIR_OWN.search(word):
        return normalize("NFKC", word)
    parts: list[str] = []
    at = 0
    for match in _DIGITS_OF_THEIR_OWN.finditer(word):
        parts += normalize("NFKC", word[at : match.start()]), match[0]
        at = match.end()
    return "".join((*parts, normalize("NFKC", word[at:])))


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
        moment = _moment(folded)
    except (ValueError, OverflowError):
        return None
    if moment is not None or folded.isdecimal():  # 20240301 may be a number
        return moment
    day = read_date(folded)
    return None if isinstance(day, Rejection) else ("date", day)


def _moment(folded: str) -> Form | None:
    match = _MOMENT.fullmatch(folded)
    if not match:
        return None
    year, month, day, hour, minute, second, fraction, utc, sign, hours, minutes = match.groups()
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
    codes = currencies_of(name)
    return next(iter(codes)).upper() if len(codes) == 1 else name.upper()


def amount_in(text: str) -> tuple[Fraction, str] | None:
    """The amount that a text is, with its currency or ""; None where it is not one amount: `1,234` may be two.

    >>> amount_in("€ 1.234,50"), amount_in("-12.00"), amount_in("1,234"), amount_in("(12.00)")
    ((Fraction(2469, 2), 'EUR'), (Fraction(-12, 1), ''), None, None)
    """
    amount = read_amount(text)
    return None if isinstance(amount, Rejection) else (exact_number(amount.value), currency(amount.currency))
