"""How sure a model was of each field: the probability that it gave the tokens of the field's value.

Only characters of the value count, not quotes, keys or punctuation; a token that holds one of them counts whole, also
where it holds others too. The probability is the server's: at some (llama.cpp) that of the model before an output form
held it. It says what the model would have written again, and not whether that is true.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from math import exp, fsum
from typing import TypeAlias

from llmguard.core.canonical import Json, decode
from llmguard.core.outcome import Repair
from llmguard.core.patterns import Pattern
from llmguard.parsing.coerce.unbracketed import MAX_CHARS, without_lead
from llmguard.parsing.coerce.words import squeezed, trimmed
from llmguard.parsing.syntax import Candidate, Parsed, parse, same
from llmguard.parsing.syntax.strict import MOST_DEPTH, NotStrict, load_at
from llmguard.schema.keywords import as_pointer

Span: TypeAlias = tuple[int, int]
"""Where a value stands in the text: index of its first character, and of the one after its last."""

MOST_MARKS = 100_000
"""Brackets, commas and colons of a text; one with more gets no confidence, for each costs a microsecond."""

MOST_POINTED = 4_000_000
"""Characters of all pointers together: a long key over many values would be spelled for each of them."""

_LEAST = -1000.0
"""The logarithm of a probability that a float cannot tell from 0."""

_AROUND = frozenset(("prose", "fence", "thought", "invisible_character"))
"""What a reader leaves aside without a change to the value."""

_WHITE = " \t\n\r"
_MARK = Pattern(
    r'[ \t\n\r]*+(?:(?P<key>"(?:[^"\\]|\\.)*+"[ \t\n\r]*+:)|(?P<text>"(?:[^"\\]|\\.)*+")|(?P<open>[\[{])|(?P<close>[\]}])'
    r"|(?P<comma>,)|(?P<scalar>[-+.0-9A-Za-z]++))"
)


def field_confidence(text: str, value: Json, tokens: Sequence[tuple[str, float]]) -> dict[str, float]:
    """JSON Pointer of each scalar in `value` -> the probability, from 0 to 1, that the model gave its tokens.

    `tokens` are those of `text`, with natural logarithms; `value` is what the text was read as. Only what is sure is
    told: nothing ({}) where the tokens do not join to the text, where the value was repaired, converted or said twice,
    and for an empty text, which has no character. A text that is nothing but the word has the pointer "".

    >>> tokens = (('{"', 0.0), ("paid", 0.0), ('": ', 0.0), ("tr", -0.5), ("ue", -0.25), ("}", 0.0))
    >>> {pointer: round(found, 4) for pointer, found in field_confidence('{"paid": true}', {"paid": True}, tokens).items()}
    {'/paid': 0.4724}
    """
    if not tokens or not _are_tokens_of(tokens, text):
        return {}
    ends = list(accumulate(len(token) for token, _ in tokens))
    starts = [0, *ends[:-1]]
    logprobs = [max(logprob, _LEAST) for _, logprob in tokens]
    return {
        pointer: exp(fsum(logprobs[bisect_right(ends, start) : bisect_left(starts, end)]))
        for pointer, (start, end) in value_spans(text, value).items()
    }


def confidence_of(pointer: str, confidences: Mapping[str, float]) -> float | None:
    """Of a field that may be a list or an object: the smallest of the scalars in it; None where none is known.

    >>> confidence_of("/tags", {"/tags/0": 0.9, "/tags/1": 0.5, "/tagset": 0.1})
    0.5
    """
    below = f"{pointer}/"
    return min((one for at, one in confidences.items() if at == pointer or at.startswith(below)), default=None)


def _are_tokens_of(tokens: Sequence[tuple[str, float]], text: str) -> bool:
    """Whether they join to the text, each with the logarithm of a probability (NaN is none)."""
    sound = all(isinstance(token, str) and isinstance(found, float | int) and found <= 0.0 for token, found in tokens)
    return sound and "".join(token for token, _ in tokens) == text


def value_spans(text: str, value: Json) -> Mapping[str, Span]:
    """JSON Pointer of each scalar of `value` -> where it stands in `text`, inside its quotes; {} where that is not sure.

    >>> value_spans('Here you are: {"a": ["x", 10]}', {"a": ["x", 10]})
    {'/a/0': (22, 23), '/a/1': (26, 28)}
    """
    if sum(map(text.count, "[{,:")) > MOST_MARKS:
        return {}
    parsed = parse(text, max_depth=MOST_DEPTH)
    equal = [one for one in parsed.candidates if _is_plain(one) and same(one.value, value)]
    if len(equal) == 1:
        return _spans_at(text, equal[0].start, value)
    return _bare_span(text, parsed, value) if isinstance(value, str) and not equal else {}


def _is_plain(candidate: Candidate) -> bool:
    """Whether the candidate may be the answer as it stands in the text."""
    is_whole = candidate.complete and candidate.refused is None and candidate.may_be_answer
    return is_whole and all(_is_around(repair) for repair in candidate.repairs)


def _is_around(repair: Repair) -> bool:
    return repair.rule in _AROUND


def _spans_at(text: str, start: int, value: Json) -> Mapping[str, Span]:
    """The spans of the value at `start`, where strict JSON stands there that says the same."""
    while text[start : start + 1] in _WHITE and start < len(text):
        start += 1
    try:
        found, _ = load_at(text, start)
    except NotStrict:
        return {}
    return _Places(text, start).found() if same(found, value) else {}


def _bare_span(text: str, parsed: Parsed, value: str) -> Mapping[str, Span]:
    """Where a text without JSON says `value`: as all of it, or after "the answer is", and nowhere else."""
    bare = parsed.bare or text.strip()
    words = (trimmed(bare), trimmed(without_lead(bare))) if len(bare) <= MAX_CHARS else ()
    said = bare if bare == value else next((word for word in words if _are_one_word(word, value)), "")
    start = text.find(said) if said else -1
    return {"": (start, start + len(said))} if start >= 0 and text.rfind(said) == start else {}


def _are_one_word(one: str, other: str) -> bool:
    """Whether they differ in case and separators only, as the member of an enum and the word for it may."""
    return bool(squeezed(one)) and squeezed(one) == squeezed(other)


class _Places:
    """One walk over strict JSON, from mark to mark, that notes where each scalar stands."""

    def __init__(self, text: str, start: int) -> None:
        self._text, self._at = text, start
        self._above: list[tuple[str, int]] = []  # pointer of each open container, and the index of an array's element
        self._pointer = ""
        self._pointed = 0
        self._spans: dict[str, Span] = {}
        self._twice: set[str] = set()

    def found(self) -> Mapping[str, Span]:
        for kind, start, end in self._marks():
            self._step(kind, start, end)
            if self._pointed > MOST_POINTED:
                return {}
            if not self._above:
                break
        return {pointer: span for pointer, span in self._spans.items() if pointer not in self._twice}

    def _marks(self) -> Iterator[tuple[str, int, int]]:
        while mark := _MARK.match(self._text, self._at):
            self._at = mark.end()
            kind = str(mark.lastgroup)
            yield kind, *mark.span(kind)

    def _step(self, kind: str, start: int, end: int) -> None:
        if kind == "open":
            self._opened(is_array=self._text[start] == "[")
        elif kind == "close":
            self._above.pop()
        elif kind == "key":
            self._point((str(decode(self._text[start : self._text.rindex('"', start, end) + 1])),))
        elif kind == "comma":
            self._next()
        elif kind == "text":
            self._note(start + 1, end - 1)
        else:
            self._note(start, end)

    def _opened(self, *, is_array: bool) -> None:
        self._above.append((self._pointer, 0 if is_array else -1))
        if is_array:
            self._point(("0",))

    def _next(self) -> None:
        """After a comma: in an array the next element; in an object a key will say."""
        pointer, index = self._above[-1]
        if index >= 0:
            self._above[-1] = (pointer, index + 1)
            self._point((str(index + 1),))

    def _point(self, token: tuple[str, ...]) -> None:
        self._pointer = self._above[-1][0] + as_pointer(token)
        self._pointed += len(self._pointer)

    def _note(self, start: int, end: int) -> None:
        """A key that stands twice says the same twice, in other tokens: it gets none."""
        if self._pointer in self._spans:
            self._twice.add(self._pointer)
        elif end > start:
            self._spans[self._pointer] = (start, end)
