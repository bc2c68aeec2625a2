"""A text read as the number, date, boolean, null or JSON that the schema expects, and a number as the text it was."""

from __future__ import annotations

from dataclasses import replace

from llmguard.core.canonical import Json
from llmguard.core.patterns import Pattern
from llmguard.parsing.coerce.fits import Fit, FitRequest, Fittings, conversion_fit, lossless_repair, rejected_fit
from llmguard.parsing.coerce.nodes import Node
from llmguard.parsing.syntax import Candidate, parse_candidates
from llmguard.parsing.syntax.notes import cut_middle
from llmguard.values.dates import read_date
from llmguard.values.numbers import ParsedNumber, read_number
from llmguard.values.rejection import Rejection
from llmguard.values.words import NOTHING, read_member, read_truth, trimmed

MAX_STRINGIFIED = 3
"""How many times JSON may be in a string of JSON in a string."""

_LITERAL = Pattern(r"-?[0-9][0-9.eE+\-]*+")
_MAX_LITERAL_CHARS = 400


def read_text(request: FitRequest, node: Node) -> Fit:
    """A string where a string is expected: a member of the enum, or a date in another form."""
    if node.members is not None:
        return conversion_fit(request, read_member(request.value, node.members, node.labels), "enum_member")
    if node.format == "date":
        return conversion_fit(request, read_date(request.value), "date")
    return Fit(request.value)


def from_text(request: FitRequest, node: Node, max_depth: int) -> Fittings:
    """A string read as a value of each other type that the schema allows."""
    text, types = request.value, node.types
    if "null" in types and "string" not in types and trimmed(text).lower() in NOTHING:
        return [conversion_fit(request, None, "null_in_text")]
    fits: list[Fit] = []
    if types & {"integer", "number"}:
        fits.append(_number(request, node))
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


def _number(request: FitRequest, node: Node) -> Fit:
    currency = request.currency if len(request.currency) == 3 else ""
    number = read_number(request.value, node.expected_number._replace(currency=currency))
    if isinstance(number, ParsedNumber):
        return conversion_fit(request, number.value, number.rule)
    return rejected_fit(request, number)


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
        self._known: dict[float, set[str]] | None = None

    def as_text(self, request: FitRequest, node: Node) -> list[Fit]:
        """A number where a string is expected."""
        if "string" not in node.types or node.format:
            return []
        spelling = str(request.value) if isinstance(request.value, int) else self._of(request.value)
        if not spelling:
            return [rejected_fit(request, Rejection("spelling", "a number whose spelling is in doubt"))]
        if node.members is not None:
            return [read_text(request._replace(value=spelling), node)]
        return [conversion_fit(request, spelling, "text_of_number")]

    def _of(self, value: float) -> str:
        if self._known is None:
            self._known = {}
            for match in _LITERAL.finditer(self._source):
                self._add(match[0][:_MAX_LITERAL_CHARS], self._known)
        spellings: set[str] = self._known.get(value, set())
        return next(iter(spellings)) if len(spellings) == 1 else ""

    @staticmethod
    def _add(literal: str, known: dict[float, set[str]]) -> None:
        try:
            known.setdefault(float(literal), set()).add(literal)
        except ValueError:  # a date, or a version
            return


def is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
