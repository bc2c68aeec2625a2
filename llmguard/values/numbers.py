"""A number that a model wrote as text: read where the text has one reading, rejected where it has two or says more."""

from __future__ import annotations

from re import IGNORECASE
from typing import NamedTuple

from llmguard.core.canonical import Json
from llmguard.core.patterns import Pattern
from llmguard.values.rejection import Rejection


class ParsedNumber(NamedTuple):
    """A number and how it was written: `rule` is the repair's name."""

    value: int | float
    rule: str


class ExpectedNumber(NamedTuple):
    """What the schema says of a number. `words`: those of its name, title, description and unit, in lower case."""

    integer: bool
    words: frozenset[str]
    unit: str = ""
    currency: str = ""


_SYMBOLS = {
    "$": "usd", "us$": "usd", "€": "eur", "£": "gbp", "¥": "jpy", "₹": "inr", "₽": "rub", "₩": "krw",
    "kr": "kr", "fr.": "chf", "zł": "pln", "r$": "brl", "a$": "aud", "c$": "cad",
}  # fmt: skip
_CODES = frozenset(
    "usd eur gbp jpy chf cad aud nzd sek nok dkk pln czk huf ron bgn rub uah cny inr krw brl mxn ars clp zar ils aed"
    " sar sgd hkd twd thb php idr myr vnd egp ngn kes".split()
)
_NAMES = {
    "dollar": "usd", "dollars": "usd", "euro": "eur", "euros": "eur", "pound": "gbp", "pounds": "gbp", "yen": "jpy",
    "rupees": "inr", "francs": "chf", "bucks": "usd",
}  # fmt: skip
_THOUSANDS_COMMA = frozenset(("usd", "gbp", "jpy", "inr", "aud", "cad", "krw", "cny"))
"""Where a comma before three digits is always a thousands mark: money has no three decimals there, and no decimal comma."""

_PLAIN = Pattern(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+\Z")
_SHAPE = Pattern(
    r"(?P<sign>[+\-−]?)\s?(?P<before>us\$|a\$|c\$|r\$|[$€£¥₹₽₩₺]|[a-z]{3}(?=[\s\-−0-9]))?\s?(?P<inner>[\-−]?)"
    r"(?P<digits>[0-9](?:[0-9.,'’_\u00a0\u202f\u2009 ]*+))(?P<after>%|[^\W\d_][^\d]*+|[$€£¥₹₽₩₺°].*+)?\Z",
    IGNORECASE,
)
_GROUPED = Pattern(r"[0-9]{1,3}(?:([,.'’_\u00a0\u202f\u2009 ])[0-9]{3})(?:\1[0-9]{3})*+\Z")
_LAKH = Pattern(r"[0-9]{1,2}(?:,[0-9]{2}(?=,))++,[0-9]{3}\Z")
_HEDGE = Pattern(
    r"~|≈|≃|±|\+/-|<|>|≤|≥|\b(?:about|approx\w*|around|roughly|circa|ca|nearly|almost|over|under|above|below|at least"
    r"|at most|up to|more than|less than|fewer|maybe|perhaps|probably|possibly"
    r"|estimated?|est|some|or so|ish|up|minimum|maximum|max|min)\b",
    IGNORECASE,
)
_RANGE = Pattern(r"[0-9%]\s*(?:-|–|—|\.\.+|…|/|:|\bto\b|\band\b|\bor\b|×|x|\*)\s*[$€£]?[0-9]", IGNORECASE)
_NEGATION = Pattern(r"\b(?:not?|never|none|without|minus|negative|isn['’]t|except|but)\b", IGNORECASE)
_MAGNITUDE = Pattern(
    r"[0-9]\s*(?:k|m|mm|mn|mio|b|bn|bln|t|tn|g|thousand|hundred|million|millions|billion|trillion|lakh|crore|dozen|tsd|mrd)\b",
    IGNORECASE,
)
_PERCENT_WORDS = frozenset(("percent", "percentage", "pct", "%", "prozent"))
_UNITS = {
    "°c": {"c", "celsius"}, "°f": {"f", "fahrenheit"}, "c": {"c", "celsius"}, "celsius": {"c", "celsius"},
    "km/h": {"kmh", "kph"}, "kmh": {"kmh", "kph"}, "kph": {"kmh", "kph"}, "l": {"l", "liters", "litres", "liter", "litre"},
    "kg": {"kg", "kilograms", "kilogram"}, "g": {"g", "grams", "gram"}, "mg": {"mg", "milligrams", "milligram"},
    "ms": {"ms", "milliseconds"}, "s": {"s", "sec", "seconds"}, "min": {"min", "minutes"}, "h": {"h", "hours"},
}  # fmt: skip


def read_number(text: str, expected: ExpectedNumber) -> ParsedNumber | Rejection:
    """The number that `text` says.

    >>> price = ExpectedNumber(integer=False, words=frozenset({"price"}))
    >>> read_number("$1,250.40", price).value, read_number("1 250,40", price).value
    (1250.4, 1250.4)
    >>> read_number("1,250", price).rule, read_number("(12.50)", price).rule, read_number("12.5k", price).rule
    ('ambiguous_number', 'parentheses', 'magnitude')
    """
    stripped = text.strip()
    if len(stripped) > 80:
        return Rejection("not_a_number", "a long text instead of a number")
    if _PLAIN.match(stripped):
        return _plain(stripped, expected)
    if rejection := _says_more(stripped):
        return rejection
    shape = _SHAPE.match(stripped)
    if not shape:
        return Rejection("not_a_number", "a text that is not one number")
    after = (shape["after"] or "").strip().rstrip(".").lower()
    before = (shape["before"] or "").lower()
    currency, rejection = _unit(before, after, expected)
    if rejection:
        return rejection
    signs = [sign for sign in (shape["sign"], shape["inner"]) if sign]
    if len(signs) > 1:
        return Rejection("not_a_number", "two signs")
    digits = _digits(shape["digits"].strip(), currency, expected)
    if isinstance(digits, Rejection):
        return digits
    return _signed(digits, bool(signs) and signs[0] in "-−", expected)


def _plain(text: str, expected: ExpectedNumber) -> ParsedNumber | Rejection:
    """A JSON number in quotes. With three digits after its only point it may be thousands."""
    unsigned = text.lstrip("-")
    if _GROUPED.match(unsigned) and not unsigned.startswith("0"):
        return Rejection("ambiguous_number", f"{text!r} may be thousands or a fraction")
    return _finite(text, expected, "number_in_text")


def _says_more(text: str) -> Rejection | None:
    if text.startswith("(") or text.endswith((")", "-", "−", "+", "?", "!")):
        return Rejection("parentheses", f"{text!r} may be negative, or says more than a number")
    if _HEDGE.search(text):
        return Rejection("approximation", f"{text!r} is not exact")
    if _RANGE.search(text):
        return Rejection("range", f"{text!r} is more than one number")
    if _MAGNITUDE.search(text):
        return Rejection("magnitude", f"{text!r} has a word or suffix for its size")
    if _NEGATION.search(text):
        return Rejection("negation", f"{text!r} has a negation")
    return None


def _unit(before: str, after: str, expected: ExpectedNumber) -> tuple[str, Rejection | None]:
    """The currency that the text names, or a rejection where its unit is not the schema's."""
    codes = [code for code in (_currency(before), _currency(after)) if code]
    if before and not _currency(before):
        return "", Rejection("unit", f"{before!r} before the number is not in the schema")
    if len(set(codes)) > 1:
        return "", Rejection("unit", f"two currencies: {' and '.join(codes)}")
    if after and not _currency(after) and not _unit_is_expected(after, expected):
        return "", Rejection("percent" if "%" in after else "unit", f"{after!r} after the number is not in the schema")
    if codes:
        known = expected.currency or next((word for word in expected.words if word in _CODES or word in _NAMES), "")
        known = _NAMES.get(known, known)
        if known and known != codes[0] and not (before == "$" and known in ("cad", "aud", "nzd", "sgd", "hkd", "mxn")):
            return "", Rejection("unit", f"the currency is {codes[0].upper()}, the schema says {known.upper()}")
        return codes[0], None
    return "", None


def _unit_is_expected(after: str, expected: ExpectedNumber) -> bool:
    if after in _PERCENT_WORDS:
        return bool(_PERCENT_WORDS & expected.words)
    unit = expected.unit.lower()
    return after == unit or bool(_UNITS.get(after, {after}) & expected.words)


def _currency(word: str) -> str:
    return _SYMBOLS.get(word) or (word if word in _CODES else "") or _NAMES.get(word, "")


def _digits(text: str, currency: str, expected: ExpectedNumber) -> str | Rejection:
    """`text` as a JSON number without sign, its thousands marks gone and its decimal mark a point."""
    ambiguous = Rejection("ambiguous_number", f"the marks in {text!r} leave its size in doubt")
    commas, points = text.count(","), text.count(".")
    if commas and points:
        decimal, thousands = (",", ".") if text.rfind(",") > text.rfind(".") else (".", ",")
        whole, _, fraction = text.rpartition(decimal)
        if text.count(decimal) > 1 or not fraction.isdigit() or not _is_grouped(whole, thousands):
            return ambiguous
        return f"{_only_digits(whole)}.{fraction}"
    marks = {sign for sign in text if not sign.isdigit()}
    if not marks:
        return text if text == "0" or not text.startswith("0") else ambiguous
    if marks <= {","} or marks <= {"."}:
        return _one_mark(text, marks.pop(), currency, expected) or ambiguous
    decimal = "," if "," in marks else "." if "." in marks else ""
    whole, _, fraction = text.rpartition(decimal) if decimal else (text, "", "")
    if len(marks - {decimal}) != 1 or not _GROUPED.match(whole) or (decimal and not fraction.isdigit()):
        return ambiguous
    return f"{_only_digits(whole)}.{fraction}" if fraction else _only_digits(whole)


def _one_mark(text: str, mark: str, currency: str, expected: ExpectedNumber) -> str:
    """Digits with commas only, or with points only; "" where that leaves two readings."""
    if text.count(mark) > 1:
        return _only_digits(text) if _is_grouped(text, mark) else ""
    whole, _, fraction = text.partition(mark)
    if not whole or not fraction:
        return ""
    if len(fraction) != 3 or len(whole) > 3 or whole == "0":
        return f"{whole}.{fraction}" if whole == "0" or not whole.startswith("0") else ""
    if mark == "," and not whole.startswith("0") and (currency in _THOUSANDS_COMMA or expected.integer):
        return whole + fraction
    return ""


def _is_grouped(whole: str, mark: str) -> bool:
    match = _GROUPED.match(whole)
    return bool(match and match[1] == mark) or (mark == "," and bool(_LAKH.match(whole)))


def _only_digits(text: str) -> str:
    return "".join(sign for sign in text if sign.isdigit())


def _signed(digits: str, negative: bool, expected: ExpectedNumber) -> ParsedNumber | Rejection:
    if len(digits) > 1 and digits[0] == "0" and digits[1] != ".":
        return Rejection("ambiguous_number", "leading zeros")
    return _finite(("-" if negative else "") + digits, expected, "number_with_marks")


def _finite(literal: str, expected: ExpectedNumber, rule: str) -> ParsedNumber | Rejection:
    number: Json = int(literal) if literal.lstrip("-").isdigit() else float(literal)
    if number in (float("inf"), float("-inf")):
        return Rejection("non_finite", f"{literal!r} is not finite")
    if expected.integer and isinstance(number, float):
        if not number.is_integer():
            return Rejection("fraction", f"{literal!r} is a fraction, and a whole number was due")
        if "e" not in literal.lower():
            number = int(number)
    return ParsedNumber(number, rule)
