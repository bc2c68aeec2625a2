"""Checks that quotes, numbers, dates and names of a value are in the source text; that numbers add up, or are in a range.

Each check is one line: `checks=[quoted("/evidence"), sums("/lines/*/amount", "/total"), within("/rate", 0, 1)]`.
Pointers are JSON Pointers in which `*` means every element or property. `source` is the name of the input that is
searched; without it, the text of all inputs is. Null and absent fields are not checked. That a number or a name is in the
source does not prove that it is the right one; one that is not in the source is made up.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from unicodedata import combining, normalize

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.outcome import Severity, Violation
from llmguard.engine.check import Check
from llmguard.schema.keywords import as_pointer, as_tokens
from llmguard.values.dates import days_in
from llmguard.values.numbers import readings
from llmguard.values.units import NO_UNITS, SCALES, units_in_name, units_of
from llmguard.values.words import normalized_words
from llmguard.voting.normal_forms import MAX_MARKS, exact_number, folded_text

MAX_VIOLATIONS = 20
"""Violations of one check: as many as a re-ask can make use of, whatever the length of a list."""


# ------------------------------------------------------------------------------------------------- quotes


@dataclass(frozen=True, slots=True)
class Span:
    """The position of a quote in the source: characters `start` up to, not including, `stop`."""

    start: int
    stop: int


class Source:
    """A text to find quotes in. White space, Unicode form, and the kind of quotation marks and dashes do not matter."""

    def __init__(self, text: str) -> None:
        self._pieces = _pieces_of(text)
        self._flat = "".join(piece.flat for piece in self._pieces)
        self._starts: list[int] = []
        length = 0
        for piece in self._pieces:
            self._starts.append(length)
            length += len(piece.flat)

    def find(self, quote: str) -> Span | None:
        """The first position of `quote`.

        >>> Source("He said:\\n“It  works.”").find('"It works."')
        Span(start=9, stop=21)
        """
        flat_quote = "".join(piece.flat for piece in _pieces_of(quote.strip()))
        at = self._flat.find(flat_quote) if flat_quote else -1
        return None if at < 0 else Span(self._position(at), self._position(at + len(flat_quote) - 1, after=True))

    def _position(self, at: int, *, after: bool = False) -> int:
        """Where in the original text the normalized character `at` begins, or ends."""
        number = bisect_right(self._starts, at) - 1
        piece = self._pieces[number]
        if piece.by_letter:
            return piece.start + at - self._starts[number] + after
        return piece.stop if after else piece.start


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a text, normalized (`flat`), and its position. `by_letter`: each of its characters stands for one of the
    original."""

    flat: str
    start: int
    stop: int
    by_letter: bool = False


# Quotation marks and dashes that typesetters use for the same character (Unicode chapter 6.2, "General Punctuation").
_SHAPES = str.maketrans(dict.fromkeys("“”„‟«»", '"') | dict.fromkeys("‘’‚‛‹›`´", "'") | dict.fromkeys("‐‑‒–—−", "-"))
_RUN = re.compile(r"\s+|\S+")


def _pieces_of(text: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    for run in _RUN.finditer(text):
        start, stop, text_part = run.start(), run.end(), run[0]
        if text_part[0].isspace():
            pieces.append(_Piece(" ", start, stop))
        elif text_part.isascii():
            pieces.append(_Piece(text_part.translate(_SHAPES), start, stop, by_letter=True))
        else:
            pieces += _clusters(text_part, start)
    return pieces


def _clusters(word: str, at: int) -> Iterator[_Piece]:
    """Characters with their combining marks; at most `MAX_MARKS`, because putting marks in order is quadratic."""
    start = 0
    for end in range(1, len(word) + 1):
        if end == len(word) or not combining(word[end]) or end - start > MAX_MARKS:
            flat = normalize("NFKC", word[start:end].translate(_SHAPES))
            yield _Piece(flat, at + start, at + end)
            start = end


def find_quote(quote: str, text: str) -> Span | None:
    """The position of `quote` in `text`, or None.

    >>> find_quote("nothing else", "There is nothing\\nelse.")
    Span(start=9, stop=21)
    """
    return Source(text).find(quote)


def quoted(*pointers: str, source: str | None = None, severity: Severity = "reject") -> Check:
    """Every text at these pointers is in the source, word for word.

    >>> quoted("/evidence")({"evidence": "at once"}, {"document": "Pay at  once."})
    []
    """

    def find(value: Json, inputs: Mapping[str, Json]) -> list[Violation]:
        text = Source(_source_text(inputs, source))
        return [
            _missing(at, quote, "does not stand in the source as quoted")
            for at, quote in _texts_at(value, pointers)
            if text.find(quote) is None
        ][:MAX_VIOLATIONS]

    return _check("quoted", pointers, {"source": source}, find, severity)


def quote_spans(value: Json, inputs: Mapping[str, Json], *pointers: str, source: str | None = None) -> dict[str, Span]:
    """The pointer and the position of each quote that is in the source, for example for a review page to mark.

    >>> quote_spans({"evidence": ["at once", "never"]}, {"document": "Pay at once."}, "/evidence/*")
    {'/evidence/0': Span(start=4, stop=11)}
    """
    text = Source(_source_text(inputs, source))
    spans = {at: text.find(quote) for at, quote in _texts_at(value, pointers)}
    return {at: span for at, span in spans.items() if span}


# ------------------------------------------------------------------------------------------------- numbers

_NUMERAL = re.compile(r"\d+(?:[.,'’_\u00a0\u202f\u2009]\d+)*(?:[eE][+-]?\d{1,3}(?!\w))?")
_SPACED_NUMERAL = re.compile(r"(?<![\d.,])\d{1,3}(?: \d{3})+(?:[.,]\d+)?(?!\d)")
_SCALE = re.compile(r"([ \u00a0\u202f-]?)([^\W\d_]{1,10})\b")
_BEFORE_SCALE = " \u00a0\u202f-"
_NEGATIVE = ("-", "−", "(", "–")
_LONGEST_NUMERAL = 60  # bounds the work on a text of digits; no real number has as many


def numbers_in(text: str) -> frozenset[Fraction]:
    """Every number that digits in `text` may mean: `1,234` means two, `5 %` also 0.05, `-3` and `3-5` also 3; "1.2 million" is
    one number, and not 1.2.

    >>> sorted(map(float, numbers_in("5 chairs at 1,234 less 10%"))), sorted(map(float, numbers_in("1.2 million")))
    ([0.1, 1.234, 5.0, 10.0, 1234.0], [1200000.0])
    """
    return frozenset(meaning for meanings in _numerals(text) for meaning in meanings)


def _numerals(text: str) -> Iterator[tuple[Fraction, ...]]:
    """What each numeral in a text may mean."""
    for pattern in (_NUMERAL, _SPACED_NUMERAL):
        for match in pattern.finditer(text):
            if match.end() - match.start() <= _LONGEST_NUMERAL:
                yield tuple(_meanings(match, text))


def _meanings(match: re.Match[str], text: str) -> Iterator[Fraction]:
    """Each number that a numeral may mean with the words and signs beside it."""
    numeral = match[0]
    if numeral.isascii() and numeral.isdecimal():
        numbers = [Fraction(int(numeral))]
    else:
        numbers = [Fraction(literal) for literal in readings(numeral)] or list(_parts(numeral))
    percent = text[match.end() : match.end() + 2].lstrip().startswith(("%", "％"))
    negative = text[max(0, match.start() - 2) : match.start()].rstrip().endswith(_NEGATIVE)
    for number in numbers:
        for scale in _scales(text, match.end()):
            yield number * scale
            if percent:
                yield number * scale / 100
            if negative:
                yield -number * scale
                if percent:
                    yield -number * scale / 100


def _scales(text: str, at: int) -> tuple[int, ...]:
    """What the word after a numeral multiplies it by; 1 too where the word may be a unit, or a letter that stands apart."""
    if text[at : at + 1] not in _BEFORE_SCALE and not text[at : at + 1].isalpha():
        return (1,)
    match = _SCALE.match(text, at)
    units = units_of(match[2]) if match else NO_UNITS
    scales = tuple(SCALES[unit] for unit in sorted(units & SCALES.keys()))
    if not match or not scales:
        return (1,)
    is_sure = units - {"kelvin", "byte"} <= SCALES.keys() and (len(match[2]) > 1 or not match[1])
    return scales if is_sure else (1, *scales)


def _parts(numeral: str) -> Iterator[Fraction]:
    """`3,4,5` is not a number, each of its parts is; `1e3` is one."""
    if re.fullmatch(r"\d+(?:\.\d+)?[eE][+-]?\d{1,3}", numeral):
        yield Fraction(numeral)
    for part in re.findall(r"\d+", numeral):
        yield Fraction(int(part))


def numbers_occur(*pointers: str, source: str | None = None, severity: Severity = "reject") -> Check:
    """Every number at these pointers (also one written as text) is in the source as digits, by value.

    >>> [str(violation) for violation in numbers_occur("/total")({"total": 13.5}, {"document": "Total due: 12,50 EUR"})]
    ['/total: 13.5 does not occur in the source []']
    """

    def find(value: Json, inputs: Mapping[str, Json]) -> list[Violation]:
        known = numbers_in(_source_text(inputs, source))
        return [
            _missing(at, each, "does not occur in the source")
            for at, each in _values_at(value, pointers)
            if not _occurs(each, known, _scale_of_name(at))
        ][:MAX_VIOLATIONS]

    return _check("numbers_occur", pointers, {"source": source}, find, severity)


def _occurs(value: Json, known: frozenset[Fraction], scale: int = 1) -> bool:
    """`scale`: what the field's own name says its numbers are counted in, as `profit_millions` does."""
    if isinstance(value, str):
        return all(not known.isdisjoint(_meanings(match, value)) for match in _NUMERAL.finditer(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    number = exact_number(value)
    return number in known or (scale != 1 and number * scale in known)


def _scale_of_name(pointer: str) -> int:
    name = next((token for token in reversed(as_tokens(pointer)) if not token.isdecimal()), "")
    scales = units_in_name(normalized_words(name)) & SCALES.keys()
    return SCALES[min(scales)] if scales else 1


# ------------------------------------------------------------------------------------------------- dates


def dates_in(text: str) -> frozenset[str]:
    """Every day that `text` may name, as ISO 8601 dates: 03/04/2024 may be two days, 1/2/24 is in this century.

    >>> dates_in("due 3 March 2024") == dates_in("2024-03-03")
    True
    """
    return days_in(folded_text(text))


def dates_occur(*pointers: str, source: str | None = None, severity: Severity = "reject") -> Check:
    """Every date at these pointers is in the source, in whatever format.

    >>> dates_occur("/due")({"due": "2024-03-01"}, {"document": "Due by March 1st, 2024."})
    []
    """

    def find(value: Json, inputs: Mapping[str, Json]) -> list[Violation]:
        known = dates_in(_source_text(inputs, source))
        return [
            _missing(at, text, "is no date that occurs in the source")
            for at, text in _texts_at(value, pointers)
            if not (dates := dates_in(text)) or not dates & known
        ][:MAX_VIOLATIONS]

    return _check("dates_occur", pointers, {"source": source}, find, severity)


# ------------------------------------------------------------------------------------------------- names

_WORD = re.compile(r"\w+")


def names_occur(*pointers: str, source: str | None = None, severity: Severity = "reject") -> Check:
    """Every name at these pointers is in the source: its words next to each other, also as `Lovelace, Ada`.

    >>> names_occur("/by")({"by": "Ada Lovelace"}, {"document": "signed: LOVELACE, Ada"})
    []
    """

    def find(value: Json, inputs: Mapping[str, Json]) -> list[Violation]:
        known = _words(_source_text(inputs, source))
        return [
            _missing(at, name, "does not occur in the source")
            for at, name in _texts_at(value, pointers)
            if not any(each in known for each in _orders(_words(name)))
        ][:MAX_VIOLATIONS]

    return _check("names_occur", pointers, {"source": source}, find, severity)


def _words(text: str) -> str:
    """The words of a text, each between blanks, so that a search finds whole words only."""
    return f" {' '.join(_WORD.findall(folded_text(text)))} "


def _orders(words: str) -> tuple[str, ...]:
    *rest, last = words.split() or [""]
    return (words, f" {' '.join([last, *rest])} ") if rest else (words,)


# ------------------------------------------------------------------------------------------------- sums and ranges


def sums(parts: str, total: str, *, abs_tol: float = 0.005, severity: Severity = "reject") -> Check:
    """The numbers at `parts` add up to the one at `total`, within `abs_tol`.

    >>> [str(violation) for violation in sums("/lines/*/amount", "/total")({"lines": [{"amount": 1}], "total": 3}, {})]
    ['/total: is 3, but the numbers at /lines/*/amount add up to 1 []']
    """

    def find(value: Json, inputs: Mapping[str, Json]) -> list[Violation]:
        numbers = [exact_number(each) for _, each in _values_at(value, (parts,)) if _is_number(each)]
        totals = [(at, each) for at, each in _values_at(value, (total,)) if _is_number(each)]
        added = sum(numbers, Fraction(0))
        return [
            Violation(at, "", f"is {each}, but the numbers at {parts} add up to {_plain(added)}", _plain(added), each)
            for at, each in totals
            if abs(exact_number(each) - added) > exact_number(abs_tol)
        ]

    return _check("sums", (parts, total), {"abs_tol": abs_tol}, find, severity)


def within(
    pointer: str, low: float | None = None, high: float | None = None, *, severity: Severity = "reject"
) -> Check:
    """Every number at `pointer` is at least `low` and at most `high`.

    >>> [str(violation) for violation in within("/age", 0, 150)({"age": 200}, {})]
    ['/age: is 200, and at most 150 is allowed []']
    """
    if low is None and high is None:
        raise UsageError(f"within({pointer!r}) has neither low nor high: give at least one.")
    if low is not None and high is not None and low > high:
        raise UsageError(f"within({pointer!r}): low={low!r} is above high={high!r}, so that no number is valid.")

    def find(value: Json, inputs: Mapping[str, Json]) -> list[Violation]:
        numbers = [(at, each) for at, each in _values_at(value, (pointer,)) if _is_number(each)]
        too_low = [
            Violation(at, "", f"is {n}, and at least {low} is allowed", low, n) for at, n in numbers if _below(n, low)
        ]
        too_high = [
            Violation(at, "", f"is {n}, and at most {high} is allowed", high, n) for at, n in numbers if _above(n, high)
        ]
        return (too_low + too_high)[:MAX_VIOLATIONS]

    return _check("within", (pointer,), {"low": low, "high": high}, find, severity)


def _below(number: float, low: float | None) -> bool:
    return low is not None and number < low


def _above(number: float, high: float | None) -> bool:
    return high is not None and number > high


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(number: Fraction) -> Json:
    return int(number) if number.denominator == 1 else float(number)


# ------------------------------------------------------------------------------------------------- pointers and checks


def _check(
    name: str,
    pointers: tuple[str, ...],
    options: Mapping[str, Json],
    function: Callable[[Json, Mapping[str, Json]], list[Violation]],
    severity: Severity,
) -> Check:
    """A check whose version includes its options: the same function with other options is another check."""
    if not pointers:
        raise UsageError(f'{name}(): expected at least one JSON Pointer, as in {name}("/total").')
    for pointer in pointers:
        if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
            raise UsageError(f'{name}: expected a JSON Pointer, as "/lines/*/amount"; got {pointer!r}.')
    settings = ", ".join(f"{option}={value!r}" for option, value in options.items() if value is not None)
    version = f"{name} {_VERSIONS.get(name, 1)} {pointers!r} {settings}"
    return Check(name=f"{name} {' '.join(pointers)}", function=function, severity=severity, version=version)


_VERSIONS = {"numbers_occur": 2, "dates_occur": 2, "names_occur": 2}
"""Raised where a check would find otherwise: since 2, numbers, dates and letters are read as `values` reads them in a reply."""


def _missing(at: str, value: Json, what: str) -> Violation:
    excerpt = value if not isinstance(value, str) or len(value) <= 80 else value[:80] + "…"
    return Violation(at, "", f"{excerpt!r} {what}", None, excerpt)


def _texts_at(value: Json, pointers: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(at, each) for at, each in _values_at(value, pointers) if isinstance(each, str)]


def _values_at(value: Json, pointers: tuple[str, ...]) -> list[tuple[str, Json]]:
    """The pointers and values that the patterns match, without null."""
    matches: list[tuple[str, Json]] = []
    for pattern in pointers:
        level: list[tuple[tuple[str, ...], Json]] = [((), value)]
        for step in as_tokens(pattern):
            level = [below for path, each in level for below in _steps(path, each, step)]
        matches += [(as_pointer(path), each) for path, each in level if each is not None]
    return matches


def _steps(path: tuple[str, ...], value: Json, step: str) -> Iterator[tuple[tuple[str, ...], Json]]:
    if isinstance(value, dict):
        names = list(value) if step == "*" and "*" not in value else [step] if step in value else []
        yield from (((*path, name), value[name]) for name in names)
    elif isinstance(value, list):
        numbers = range(len(value)) if step == "*" else [int(step)] if step.isdecimal() else []
        yield from (((*path, str(number)), value[number]) for number in numbers if number < len(value))


def _source_text(inputs: Mapping[str, Json], source: str | None) -> str:
    if source is None:
        return "\n".join(_all_text(inputs))
    if source not in inputs:
        raise UsageError(f"the source of this check is the input {source!r}; the inputs are {', '.join(inputs)}.")
    return "\n".join(_all_text(inputs[source]))


def _all_text(value: Json) -> Iterator[str]:
    """All texts and numbers in a value, depth first, without recursion: inputs may be nested to any depth."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, Mapping):
            waiting += reversed(list(each.values()))
        elif isinstance(each, list | tuple):
            waiting += reversed(each)
        elif each is not None and not isinstance(each, bool):
            yield repr(each)
