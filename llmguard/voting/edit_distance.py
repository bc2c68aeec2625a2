"""Edit distance of two texts, normalised: bit-parallel, and bounded in time whatever a model writes.

Myers, "A fast bit-vector algorithm for approximate string matching based on dynamic programming" (1999), in the form for
whole texts of Hyyrö, "A bit-vector algorithm for computing Levenshtein and Damerau edit distances" (2003).
Up to `MAX_SYMBOLS` characters are compared; a longer text is compared by its words, and one of more words than that as
a bag of words, whose distance is a lower bound of the edit distance over words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from operator import ne
from typing import TypeAlias

MAX_SYMBOLS = 400
"""Symbols of a text that are compared one by one: beyond, the quadratic cost of many long samples would be felt."""

FEW = 4
"""Edits up to which following the diagonals (Ukkonen 1985) was measured to be faster than bit vectors."""

Symbols: TypeAlias = Sequence[Hashable]


def normalised_distance(one: str, other: str) -> float:
    """Insertions, deletions and substitutions per symbol of the longer text, from 0 (equal) to 1.

    >>> normalised_distance("kitten", "sitting")
    0.42857142857142855
    """
    if one == other:
        return 0.0
    longest = max(len(one), len(other))
    if longest <= MAX_SYMBOLS:
        return edits(one, other) / longest
    words, others = one.split(), other.split()
    longest = max(len(words), len(others), 1)
    return (edits(words, others) if longest <= MAX_SYMBOLS else bag_edits(words, others)) / longest


def bag_edits(one: Symbols, other: Symbols) -> int:
    """The edits that are needed whatever the order of the symbols: at most `edits(one, other)`."""
    mine, theirs = Counter(one), Counter(other)
    return max((mine - theirs).total(), (theirs - mine).total())


def edits(one: Symbols, other: Symbols, least: int = 0) -> int:
    """The least number of symbols to insert, delete or substitute; it is known to be at least `least`.

    >>> edits("flaw", "lawn")
    2
    """
    start, stop = _shared(one, other)
    one, other = one[start : len(one) - stop], other[start : len(other) - stop]
    if not one or not other:
        return len(one) + len(other)
    few = _few(one, other, FEW) if least <= FEW else None
    if few is not None:
        return few
    return _myers(one, other) if len(one) >= len(other) else _myers(other, one)


def _shared(one: Symbols, other: Symbols) -> tuple[int, int]:
    """How many symbols both begin with, and how many of the rest both end with."""
    shorter = min(len(one), len(other))
    start = 0
    while start < shorter and one[start] == other[start]:
        start += 1
    stop = 0
    while stop < shorter - start and one[-1 - stop] == other[-1 - stop]:
        stop += 1
    return start, stop


def _few(one: Symbols, other: Symbols, limit: int) -> int | None:
    """The edits if they are at most `limit`: how far each diagonal reaches with so many edits (Ukkonen 1985)."""
    rows, columns = len(one), len(other)
    if abs(columns - rows) > limit:
        return None
    reach: dict[int, int] = {}
    for count in range(limit + 1):
        further: dict[int, int] = {}
        for diagonal in range(-count, count + 1):
            row = max(reach.get(diagonal, -1) + 1, reach.get(diagonal - 1, -1), reach.get(diagonal + 1, -1) + 1)
            row = min(row, rows, columns - diagonal)
            if row >= 0 and row + diagonal >= 0:
                while row < rows and row + diagonal < columns and one[row] == other[row + diagonal]:
                    row += 1
                further[diagonal] = row
        if further.get(columns - rows) == rows:
            return count
        reach = further
    return None


def _myers(pattern: Symbols, text: Symbols) -> int:
    """One step per symbol of `text`; a column of the table of distances is two integers of differences."""
    positions: dict[Hashable, int] = {}
    for position, symbol in enumerate(pattern):
        positions[symbol] = positions.get(symbol, 0) | 1 << position
    full, last = (1 << len(pattern)) - 1, 1 << (len(pattern) - 1)
    rising, falling, distance = full, 0, len(pattern)
    for symbol in text:
        equal = positions.get(symbol, 0)
        diagonal = (((equal & rising) + rising) ^ rising) | equal | falling
        up, down = falling | ~(diagonal | rising), rising & diagonal
        distance += bool(up & last) - bool(down & last)
        up, down = up << 1 | 1, down << 1
        rising, falling = (down | ~(diagonal | up)) & full, up & diagonal & full
    return distance


class Distances:
    """Distances between texts, by their numbers: computed once, and only where bounds do not decide.

    A text's symbols are its characters, or its words where it or the one it is compared with is long.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._letters = [_Symbols(text) if len(text) <= MAX_SYMBOLS else None for text in texts]
        _number_symbols([each for each in self._letters if each])
        self._words = [_Symbols(text.split()) for text in texts] if None in self._letters else []
        _number_symbols(self._words)
        self._known: dict[tuple[int, int], float] = {}

    def of(self, one: int, other: int) -> float:
        """The normalised distance, as `normalised_distance` gives it."""
        pair = (one, other) if one < other else (other, one)
        distance = self._known.get(pair)
        if distance is None:
            distance = self._known[pair] = self._computed(*self._pair(*pair))
        return distance

    def at_least(self, one: int, other: int) -> float:
        """A lower bound at a hundredth of the cost: edits that are needed whatever the order of symbols."""
        mine, theirs = self._pair(one, other)
        return _bag_edits(mine, theirs) / max(mine.size, theirs.size, 1)

    def is_close(self, one: int, other: int, limit: float) -> bool:
        """Whether the distance is at most `limit`."""
        mine, theirs = self._pair(one, other)
        allowed = limit * max(mine.size, theirs.size)
        if _bag_edits(mine, theirs) > allowed:
            return False
        if mine.size == theirs.size and sum(map(ne, mine.symbols, theirs.symbols)) <= allowed:
            return True
        return self.of(one, other) <= limit

    def _pair(self, one: int, other: int) -> tuple[_Symbols, _Symbols]:
        mine, theirs = self._letters[one], self._letters[other]
        return (mine, theirs) if mine and theirs else (self._words[one], self._words[other])

    def _computed(self, mine: _Symbols, theirs: _Symbols) -> float:
        least, longest = _bag_edits(mine, theirs), max(mine.size, theirs.size, 1)
        if longest > MAX_SYMBOLS:
            return least / longest
        if mine.size == theirs.size and sum(map(ne, mine.symbols, theirs.symbols)) == least:
            return least / longest
        return edits(mine.symbols, theirs.symbols, least) / longest


class _Symbols:
    """A text as a sequence of symbols, and as a bag: bit i stands for the i-th pair (symbol, occurrence) of all texts."""

    __slots__ = ("bag", "size", "symbols")

    def __init__(self, symbols: Symbols) -> None:
        self.symbols, self.size, self.bag = symbols, len(symbols), 0


def _number_symbols(texts: Sequence[_Symbols]) -> None:
    bits: dict[tuple[Hashable, int], int] = {}
    for text in texts:
        positions = [
            bits.setdefault((symbol, occurrence), len(bits))
            for symbol, count in Counter(text.symbols).items()
            for occurrence in range(count)
        ]
        text.bag = _with_bits(positions)


def _with_bits(positions: list[int]) -> int:
    """By way of a byte string: an integer that grows bit by bit would be quadratic."""
    row = bytearray(max(positions, default=0) // 8 + 1)
    for position in positions:
        row[position // 8] |= 1 << position % 8
    return int.from_bytes(row, "little")


def _bag_edits(one: _Symbols, other: _Symbols) -> int:
    return max((one.bag & ~other.bag).bit_count(), (other.bag & ~one.bag).bit_count())
