"""A number that a model wrote as text: read where the text has one reading, rejected where it has two or says more.

The one reader of numbers: coercion reads a field's text with `read_number`, votes compare what `read_quantity` reads, and
the grounding checks look for the `readings` of each numeral of the source.
"""

from __future__ import annotations

from decimal import Decimal
from re import IGNORECASE
from typing import NamedTuple

from llmguard.core.patterns import Pattern
from llmguard.values.rejection import Rejection
from llmguard.values.units import CURRENCIES, NO_UNITS, SCALES, SYMBOLS, Units, currencies_of, units_in_name, units_of


class ParsedNumber(NamedTuple):
    """A number and how it was written: `rule` is the repair's name."""

    value: int | float
    rule: str


class Quantity(NamedTuple):
    """A text that is one number with at most one unit before and after it.

    `readings` are JSON literals: two where a mark may divide or group, as in "1,234".
    """

    readings: tuple[str, ...]
    before: str = ""
    after: str = ""
    mark: str = ""


class ExpectedNumber(NamedTuple):
    """What the schema says of a number.

    `units` are what the field's own name, `x-unit` or a sibling field state; `currencies` those that a sibling or an object
    around it names; `mentioned` those that its title or description speak of, which is no unit but a reason for doubt.
    `unit_texts` are words (of `x-unit`, of a sibling, or the last of the name) that are units though no table has them: `chairs`.
    """

    integer: bool
    units: Units = NO_UNITS
    unit_texts: tuple[str, ...] = ()
    currencies: Units = NO_UNITS
    mentioned: Units = NO_UNITS


_ANY_NUMBER = ExpectedNumber(integer=False)
MAX_CHARS = 80
"""Of a text that is one number with its unit."""

_PLAIN = Pattern(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+\Z")
_SHAPE = Pattern(
    r"(?P<sign>-|[+−]\s?)?(?:(?P<before>[^\d\s+\-−.,()~<>≈±≤≥'\"]{1,4}\.?)\s?)?(?P<inner>[\-−]?)"
    r"(?P<digits>[0-9](?:[0-9.,'’_\u00a0\u202f\u2009 ]*[0-9])?)(?P<after>\D.*+)?\Z"
)
"""No blank after a hyphen: "- 5" may be an item of a list."""
_GROUPED = Pattern(r"[0-9]{1,3}(?:(\D)[0-9]{3})(?:\1[0-9]{3})*+\Z")
_LAKH = Pattern(r"[0-9]{1,2}(?:,[0-9]{2}(?=,))++,[0-9]{3}\Z")
_GROUPING = Pattern(r"[’'_\u00a0\u202f\u2009]")
_HEDGE = Pattern(
    r"~|≈|≃|±|\+/-|<|>|≤|≥|\b(?:about|approx\w*|around|roughly|circa|ca|nearly|almost|over|under|above|below|at least"
    r"|at most|up to|more than|less than|fewer|maybe|perhaps|probably|possibly"
    r"|estimated?|est|some|or so|ish|up|minimum|maximum|max|min)\b",
    IGNORECASE,
)
_RANGE = Pattern(r"[0-9%]\s*(?:-|–|—|\.\.+|…|/|:|\bto\b|\band\b|\bor\b|×|x|\*)\s*[$€£]?[0-9]", IGNORECASE)
_NEGATION = Pattern(r"\b(?:not?|never|none|without|minus|negative|isn['’]t|except|but)\b", IGNORECASE)
_THOUSANDS_COMMA = frozenset(("usd", "gbp", "jpy", "inr", "aud", "krw", "cny"))
"""Where a comma before three digits is always a thousands mark: money has no three decimals there, and no decimal comma."""

_CURRENCY_WORD = Pattern(rf"[{SYMBOLS}]|[^\W\d_]{{2,9}}+")


def read_number(text: str, expected: ExpectedNumber) -> ParsedNumber | Rejection:
    """The number that `text` says.

    >>> price = ExpectedNumber(integer=False)
    >>> read_number("$1,250.40", price).value, read_number("1 250,40", price).value
    (1250.4, 1250.4)
    >>> read_number("1,250", price).rule, read_number("(12.50)", price).rule, read_number("12.5k", price).rule
    ('ambiguous_number', 'parentheses', 'magnitude')
    """
    stripped = text.strip()
    quantity = read_quantity(stripped)
    if isinstance(quantity, Rejection):
        return quantity
    rule = _unit_rule(quantity, expected)
    if isinstance(rule, Rejection):
        return _says_more(stripped) or rule
    literal = _one_reading(quantity, expected)
    if not literal:
        return Rejection("ambiguous_number", f"the marks in {stripped!r} leave its size in doubt")
    return _finite(
        literal, expected, "number_in_text" if _PLAIN.match(stripped) and not rule else rule or "number_with_marks"
    )


def read_quantity(text: str) -> Quantity | Rejection:
    """The one number of a text, and the words beside it, whatever they are.

    >>> read_quantity("€ 1.234,50"), read_quantity("-1,234 kg").readings
    (Quantity(readings=('1234.50',), before='€', after='', mark=','), ('-1234', '-1.234'))
    """
    stripped = text.strip()
    if len(stripped) > MAX_CHARS:
        return Rejection("not_a_number", "a long text instead of a number")
    if _PLAIN.match(stripped):
        unsigned = stripped.lstrip("-")
        return Quantity(_signed(readings(unsigned) or (unsigned,), stripped.startswith("-")))
    shape = _SHAPE.match(stripped)
    if not shape:
        return _says_more(stripped) or Rejection("not_a_number", "a text that is not one number")
    if shape["sign"] and shape["inner"]:
        return Rejection("not_a_number", "two signs")
    numeral, after = shape["digits"], (shape["after"] or "").strip()
    literals = readings(numeral)
    if not literals:
        message = f"the marks in {numeral!r} leave its size in doubt"
        return _says_more(stripped) or Rejection("ambiguous_number", message)
    negative = (shape["sign"] or shape["inner"]).strip() in ("-", "−")
    mark = next((sign for sign in reversed(numeral) if sign in ",."), "")
    return Quantity(_signed(literals, negative), shape["before"] or "", "" if after == "." else after, mark)


class Amount(NamedTuple):
    """A number that a text is, and the currency beside it as it is written, or ""."""

    value: int | float
    currency: str


def read_amount(text: str) -> Amount | Rejection:
    """The one number of a text with nothing beside it but a currency.

    >>> read_amount("12,50 €"), read_amount("12 kg").rule
    (Amount(value=12.5, currency='€'), 'unit')
    """
    quantity = read_quantity(text)
    if isinstance(quantity, Rejection):
        return quantity
    word = quantity.before or quantity.after
    both = quantity.before and quantity.after and not currencies_of(quantity.before) & currencies_of(quantity.after)
    if both or (word and not (currencies_of(quantity.before or word) and currencies_of(quantity.after or word))):
        return Rejection("unit", f"{word!r} beside the number is no currency")
    literal = _one_reading(quantity, _ANY_NUMBER)
    number = (
        _finite(literal, _ANY_NUMBER, "") if literal else Rejection("ambiguous_number", "a number with two readings")
    )
    return number if isinstance(number, Rejection) else Amount(number.value, word)


def readings(numeral: str) -> tuple[str, ...]:
    """The JSON numbers that digits with marks may mean: none, one, or two; the first of two takes the mark for thousands.

    >>> readings("1.234,50"), readings("1,234"), readings("3,4,5"), readings("3,50,000")
    (('1234.50',), ('1234', '1.234'), (), ('350000',))
    """
    text = _GROUPING.sub(lambda match: "'" if match[0] == "’" else " " if match[0] not in "'_" else match[0], numeral)
    marks = {sign for sign in text if not sign.isdecimal()}
    if not text.isascii() or not text[:1].isdecimal() or not text[-1:].isdecimal():
        return ()
    if not marks:
        return (text,) if text == "0" or not text.startswith("0") else ()
    decimal = text[max(text.rfind(","), text.rfind("."))] if marks & {",", "."} else ""
    grouping = marks - {decimal}
    if len(grouping) > 1 or not marks <= set(",.'_ "):
        return ()
    return _with_groups(text, grouping.pop(), decimal) if grouping else _with_one_mark(text, decimal)


def _with_groups(text: str, grouping: str, decimal: str) -> tuple[str, ...]:
    """`1.234,50`, `1 234`, `1'234.5`: one sign groups, the other one may divide."""
    whole, _, fraction = text.rpartition(decimal) if decimal else (text, "", "")
    if (decimal and (decimal in whole or not fraction.isdecimal())) or not _is_grouped(whole, grouping):
        return ()
    digits = whole.replace(grouping, "")
    if digits.startswith("0"):
        return ()
    return (f"{digits}.{fraction}" if fraction else digits,)


def _with_one_mark(text: str, mark: str) -> tuple[str, ...]:
    """Digits with commas only, or with points only."""
    if text.count(mark) > 1:
        return (text.replace(mark, ""),) if _is_grouped(text, mark) and not text.startswith("0") else ()
    whole, _, fraction = text.partition(mark)
    if whole.startswith("0") and whole != "0":
        return ()
    divided = f"{whole}.{fraction}"
    is_sure = len(fraction) != 3 or len(whole) > 3 or whole == "0"
    return (divided,) if is_sure else (whole + fraction, divided)


def _is_grouped(whole: str, mark: str) -> bool:
    match = _GROUPED.match(whole)
    return bool(match and match[1] == mark) or (mark == "," and bool(_LAKH.match(whole)))


def _signed(literals: tuple[str, ...], negative: bool) -> tuple[str, ...]:
    return tuple(f"-{literal}" for literal in literals) if negative else literals


def _one_reading(quantity: Quantity, expected: ExpectedNumber) -> str:
    """The one literal; of two the thousands, where a fraction cannot be meant; "" where both can."""
    if len(quantity.readings) == 1:
        return quantity.readings[0]
    money = currencies_of(quantity.before) or currencies_of(quantity.after)
    is_thousands = quantity.mark == "," and (expected.integer or bool(money & _THOUSANDS_COMMA))
    return quantity.readings[0] if is_thousands else ""


# ------------------------------------------------------------------------------------------------- units


def _unit_rule(quantity: Quantity, expected: ExpectedNumber) -> str | Rejection:
    """The repair's name where the unit is the field's own ("" for none at all), or why it is not."""
    if quantity.before and not currencies_of(quantity.before):
        return Rejection("unit", f"{quantity.before!r} before the number is not in the schema")
    if not quantity.before and not quantity.after:
        return ""
    if quantity.before and quantity.after:
        before, after = currencies_of(quantity.before), currencies_of(quantity.after)
        units = before & after
        if not units:
            return Rejection("unit", f"{quantity.before!r} and {quantity.after!r} are two units")
    else:
        units = currencies_of(quantity.before) or units_of(quantity.after)
    return _fitting_rule(quantity.before or quantity.after, units, expected)


def _fitting_rule(word: str, units: Units, expected: ExpectedNumber) -> str | Rejection:
    money = units & CURRENCIES
    if money and expected.currencies and not money & expected.currencies:
        return Rejection("unit", f"the currency is {word!r}, and another field says {_listed(expected.currencies)}")
    if units & (expected.units or expected.currencies) or word.rstrip(".").casefold() in expected.unit_texts:
        return "number_with_marks"
    if money and not (expected.units or expected.currencies) and _is_symbol(word) and expected.mentioned <= money:
        return "currency_symbol"
    if expected.units:
        return Rejection("unit", f"the unit is {word!r}, the schema says {_listed(expected.units)}")
    if not units <= SCALES.keys() or not units:
        rule = "percent" if "percent" in units else "unit"
        return Rejection(rule, f"{word!r} beside the number is not in the schema")
    return Rejection("magnitude", f"{word!r} after the number says its size")


def _is_symbol(word: str) -> bool:
    """A sign of money, and no code or name of it: the way an amount is written where the currency goes without saying."""
    return len(word) == 1 and word in SYMBOLS


def _listed(units: Units) -> str:
    names = sorted(unit.upper() if unit in CURRENCIES else unit for unit in units)
    return " or ".join(names[:3]) + (" …" if len(names) > 3 else "")


def currencies_mentioned(text: str) -> Units:
    """The currencies and their parts that a description speaks of: none of them is a unit, all of them are reasons for doubt.

    >>> sorted(currencies_mentioned("Amount in GBP; amounts in euros must be converted"))
    ['eur', 'gbp']
    """
    mentioned: set[str] = set()
    for match in _CURRENCY_WORD.finditer(text):
        word = match[0]
        is_code = len(word) != 3 or word.isupper()  # "all" and "try" are codes too
        mentioned |= (currencies_of(word) if is_code else NO_UNITS) | (
            units_of(word) & {"cent", "penny"} if len(word) > 2 else NO_UNITS
        )
    return frozenset(mentioned)


def field_units(name: str, x_unit: str) -> Units:
    """The units that a field states: by `x-unit`, else by its own name."""
    return units_of(x_unit) if x_unit else units_in_name(name)


def unit_word(text: str) -> tuple[str, ...]:
    """A word that is a unit though no table has it, as a tuple of one: beside a number it stands for itself."""
    word = text.strip().casefold()
    return (word,) if word and not units_of(text) and not units_in_name(word) else ()


# ------------------------------------------------------------------------------------------------- reasons


def _says_more(text: str) -> Rejection | None:
    """What a text that is not read says beside a number; the words only give the reason a name."""
    if text.startswith("(") or text.endswith((")", "-", "−", "+", "?", "!")):
        return Rejection("parentheses", f"{text!r} may be negative, or says more than a number")
    if _HEDGE.search(text):
        return Rejection("approximation", f"{text!r} is not exact")
    if _RANGE.search(text):
        return Rejection("range", f"{text!r} is more than one number")
    if _NEGATION.search(text):
        return Rejection("negation", f"{text!r} has a negation")
    return None


def loses_digits(literal: str) -> bool:
    """Whether a JSON number has more digits than a float keeps.

    >>> loses_digits("0.1"), loses_digits("98765432109876543.21")
    (False, True)
    """
    return Decimal(literal) != Decimal(repr(float(literal)))


def _finite(literal: str, expected: ExpectedNumber, rule: str) -> ParsedNumber | Rejection:
    """The number of a JSON literal, with all its digits."""
    if literal.lstrip("-").isdecimal():
        return ParsedNumber(int(literal), rule)
    number = float(literal)
    if number in (float("inf"), float("-inf")):
        return Rejection("non_finite", f"{literal!r} is not finite")
    exact = Decimal(literal)
    if expected.integer:
        whole = exact == exact.to_integral_value()
        return (
            ParsedNumber(int(exact), rule)
            if whole
            else Rejection("fraction", f"{literal!r} is a fraction, and a whole number was due")
        )
    if loses_digits(literal):
        return Rejection("digits", f"{literal!r} has more digits than a number keeps")
    return ParsedNumber(number, rule)
