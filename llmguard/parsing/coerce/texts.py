"""A text read as the number, date, truth, null or JSON that the schema wants, and a number as the text it was spelled."""

from __future__ import annotations

from dataclasses import replace

from llmguard.core.canonical import Json
from llmguard.core.patterns import Pattern
from llmguard.parsing.coerce.fits import Ask, Fit, Fittings, converted, doubted, lossless
from llmguard.parsing.coerce.nodes import Node
from llmguard.parsing.syntax import Candidate, parse
from llmguard.parsing.syntax.notes import clipped
from llmguard.values.dates import read_date
from llmguard.values.numbers import ParsedNumber, read_number
from llmguard.values.rejection import Rejection
from llmguard.values.words import NOTHING, read_member, read_truth, trimmed

MAX_STRINGIFIED = 3
"""How many times over JSON may stand in a string."""

_LITERAL = Pattern(r"-?[0-9][0-9.eE+\-]*+")
_MAX_LITERAL_CHARS = 400


def read_text(ask: Ask, node: Node) -> Fit:
    """A string where a string is due: a member of the enum, or a date in another form."""
    if node.members is not None:
        return converted(ask, read_member(ask.value, node.members, node.labels), "enum_member")
    if node.format == "date":
        return converted(ask, read_date(ask.value), "date")
    return Fit(ask.value)


def from_text(ask: Ask, node: Node, max_depth: int) -> Fittings:
    """Readings of a string as something else."""
    text, types = ask.value, node.types
    if "null" in types and "string" not in types and trimmed(text).lower() in NOTHING:
        return [converted(ask, None, "null_in_text")]
    found: list[Fit] = []
    if types & {"integer", "number"}:
        found.append(_number(ask, node))
    if "boolean" in types:
        found.append(converted(ask, read_truth(text), "boolean_in_text"))
    if ("object" in types or "array" in types) and text.lstrip()[:1] in ("{", "[", '"'):
        inner = _json_in(text, ask.nested, max_depth)
        if isinstance(inner, Rejection):
            found.append(doubted(ask, inner))
        else:
            fit = yield ask._replace(value=inner.value, nested=ask.nested + 1)
            moved = (replace(one, path=ask.path + one.path) for one in inner.repairs)
            found.append(fit.after(lossless(ask.path, clipped(text), None, "stringified"), *moved))
    return found


def _number(ask: Ask, node: Node) -> Fit:
    currency = ask.currency if len(ask.currency) == 3 else ""
    read = read_number(ask.value, node.expected_number._replace(currency=currency))
    return converted(ask, read.value, read.rule) if isinstance(read, ParsedNumber) else doubted(ask, read)


def _json_in(text: str, nested: int, max_depth: int) -> Candidate | Rejection:
    """The one JSON value that a string holds as a whole."""
    if nested >= MAX_STRINGIFIED:
        return Rejection("stringified", f"JSON in strings, more than {MAX_STRINGIFIED} deep")
    inside = parse(text, max_depth=max_depth)
    if inside.violation or len(inside.candidates) != 1 or inside.candidates[0].refused:
        return Rejection("stringified", "a text that is not one JSON value")
    (whole,) = inside.candidates
    if (text[: whole.start] + text[whole.end :]).strip():
        return Rejection("stringified", "a text with more than one JSON value")
    return whole


class Spellings:
    """How the numbers of a text are spelled in it: where a text is due, 1.50 is "1.50". Looked up when first needed."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._known: dict[float, set[str]] | None = None

    def as_text(self, ask: Ask, node: Node) -> list[Fit]:
        """A number where a text is due."""
        if "string" not in node.types or node.format:
            return []
        spelling = str(ask.value) if isinstance(ask.value, int) else self._of(ask.value)
        if not spelling:
            return [doubted(ask, Rejection("spelling", "a number whose spelling is in doubt"))]
        if node.members is not None:
            return [read_text(ask._replace(value=spelling), node)]
        return [converted(ask, spelling, "text_of_number")]

    def _of(self, value: float) -> str:
        if self._known is None:
            self._known = {}
            for found in _LITERAL.finditer(self._source):
                self._add(found[0][:_MAX_LITERAL_CHARS], self._known)
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
