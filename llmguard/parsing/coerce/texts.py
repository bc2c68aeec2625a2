"""A text read as the number, date, boolean, null or JSON that the schema expects, and a number as the text it was."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from llmguard.core.canonical import Json
from llmguard.core.patterns import Pattern
from llmguard.parsing.coerce.fits import Fit, FitRequest, Fittings, conversion_fit, lossless_repair, rejected_fit
from llmguard.parsing.coerce.nodes import Node
from llmguard.parsing.syntax import Candidate, parse_candidates
from llmguard.parsing.syntax.notes import cut_middle
from llmguard.values.dates import read_date
from llmguard.values.numbers import ParsedNumber, loses_digits, read_number, unit_word
from llmguard.values.rejection import Rejection
from llmguard.values.units import SYMBOLS, currencies_of, units_of
from llmguard.values.words import NOTHING, read_member, read_truth, trimmed

MAX_STRINGIFIED = 3
"""How many times JSON may be in a string of JSON in a string."""

_LITERAL = Pattern(
    r"(?<![\w.+\-])(?:[+\-]?0[xX][0-9a-fA-F]++|[+\-]?\.?[0-9][0-9._]*+(?:[eE][+\-]?[0-9]++)?+)(?![\w+\-])"
)
_PLAIN = Pattern(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+\Z")
_STRING = Pattern(r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"')
_CURRENCY_SYMBOL = Pattern(f"[{SYMBOLS}]")
_MAX_LITERAL_CHARS = 400


def read_text(request: FitRequest, node: Node) -> Fit:
    """A string where a string is expected: a member of the enum, or a date in another form."""
    if node.members is not None:
        return conversion_fit(request, read_member(request.value, node.members, node.labels), "enum_member")
    if node.format == "date":
        return conversion_fit(request, read_date(request.value), "date")
    return Fit(request.value)


def from_text(request: FitRequest, node: Node, max_depth: int, spellings: Spellings) -> Fittings:
    """A string read as a value of each other type that the schema allows."""
    text, types = request.value, node.types
    if "null" in types and "string" not in types and trimmed(text).lower() in NOTHING:
        return [conversion_fit(request, None, "null_in_text")]
    fits: list[Fit] = []
    if types & {"integer", "number"}:
        fits.append(_number(request, node, spellings))
    if "boolean" in types:
        fits.append(conversion_fit(request, read_truth(text), "boolean_in_text"))
    if ("object" in types or "array" in types) and text.lstrip()[:1] in ("{", "[", '"'):
        inner = _json_in(text, request.nested, max_depth)
        if isinstance(inner, Rejection):
            fits.append(rejected_fit(request, inner))
        else:
            fit = yield request._replace(value=inner.value, nested=request.nested + 1)
            moved = (replace(one, path=request.path + one.path) for one in inner.repairs)
            fits.append(fit.after(lossless_repair(request.path, cut_middle(text), None, "stringified"), *moved))
    return fits


def _number(request: FitRequest, node: Node, spellings: Spellings) -> Fit:
    """A text as a number: its unit is the field's own, or the one that a sibling names."""
    expected = node.expected_number
    currencies, units = currencies_of(request.currency), expected.units or units_of(request.unit)
    texts = expected.unit_texts + unit_word(request.unit)
    expected = expected._replace(units=units, unit_texts=texts, currencies=currencies)
    number = read_number(request.value, expected)
    if not isinstance(number, ParsedNumber):
        return rejected_fit(request, number)
    if number.rule == "currency_symbol" and spellings.currency_symbols > 1:
        return rejected_fit(
            request, Rejection("unit", "the reply has amounts in several currencies, and the field names none")
        )
    return conversion_fit(request, number.value, number.rule)


def _json_in(text: str, nested: int, max_depth: int) -> Candidate | Rejection:
    """The one JSON value that a string holds as a whole."""
    if nested >= MAX_STRINGIFIED:
        return Rejection("stringified", f"JSON in strings, more than {MAX_STRINGIFIED} deep")
    inside = parse_candidates(text, max_depth=max_depth)
    if inside.violation or len(inside.candidates) != 1 or inside.candidates[0].refused:
        return Rejection("stringified", "a text that is not one JSON value")
    (whole,) = inside.candidates
    if (text[: whole.start] + text[whole.end :]).strip():
        return Rejection("stringified", "a text with more than one JSON value")
    return whole


class Spellings:
    """How the numbers of a text are spelled in it: where a string is expected, 1.50 is "1.50". Searched when first needed."""

    def __init__(self, source: str) -> None:
        self._source = source

    @cached_property
    def currency_symbols(self) -> int:
        """How many signs of currencies are in the text."""
        return len({match[0] for match in _CURRENCY_SYMBOL.finditer(self._source)})

    @cached_property
    def _bare_literals(self) -> dict[int | float, set[str]]:
        """The literals that stand outside of texts."""
        return _literals(_STRING.sub('""', self._source))

    @cached_property
    def _all_literals(self) -> dict[int | float, set[str]]:
        return _literals(self._source)

    def _of(self, number: int | float) -> set[str]:
        return self._bare_literals.get(number) or self._all_literals.get(number, set())

    def as_text(self, request: FitRequest, node: Node) -> list[Fit]:
        """A number where a string is expected."""
        if "string" not in node.types or node.format:
            return []
        spellings = self._of(request.value)
        if len(spellings) != 1:
            return [rejected_fit(request, Rejection("spelling", "a number whose spelling is in doubt"))]
        (spelling,) = spellings
        if node.members is not None:
            return [read_text(request._replace(value=spelling), node)]
        return [conversion_fit(request, spelling, "text_of_number")]

    def exact(self, number: float) -> str | None:
        """The one literal of the text that a float has fewer digits than; "" where there are several, None where none."""
        longer = {literal for literal in self._of(number) if _PLAIN.match(literal) and loses_digits(literal)}
        return None if not longer else longer.pop() if len(longer) == 1 else ""


def _literals(source: str) -> dict[int | float, set[str]]:
    literals: dict[int | float, set[str]] = {}
    for match in _LITERAL.finditer(source):
        literal = match[0][:_MAX_LITERAL_CHARS]
        value = _value_of(literal)
        if value is not None:
            literals.setdefault(value, set()).add(literal)
    return literals


def _value_of(literal: str) -> int | float | None:
    """The number that a literal of JSON, JSON5 or Python spells; None for a date or a version."""
    try:
        if literal.lstrip("+-")[:2] in ("0x", "0X"):
            return int(literal, 16)
        return int(literal) if literal.lstrip("+-").replace("_", "").isdecimal() else float(literal)
    except ValueError:
        return None


def is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
