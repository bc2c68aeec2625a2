"""Confidence of each field: the probability that the model gave to the tokens of the field's value.

Only characters of the value count, not quotes, keys or punctuation; a token with at least one of them counts whole. The
probability is the server's; some (llama.cpp) report that of the model before a response format restricted it. It says
how likely the model is to write the same again, not whether that is true.
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
from llmguard.parsing.coerce.sentences import text_after_label
from llmguard.parsing.coerce.unbracketed import MAX_CHARS
from llmguard.parsing.syntax import Candidate, Parsed, parse_candidates, same_json
from llmguard.parsing.syntax.strict import MOST_DEPTH, NotStrict, load_at
from llmguard.schema.keywords import as_pointer
from llmguard.values.words import normalized_key, trimmed

Span: TypeAlias = tuple[int, int]
"""Position of a value in the text: index of its first character, and of the one after its last."""

MOST_MARKS = 100_000
"""Brackets, commas and colons of a text; one with more gets no confidence, because each costs a microsecond."""

MOST_POINTED = 4_000_000
"""Characters of all pointers together: a long key above many values is repeated in the pointer of each of them."""

_LEAST = -1000.0
"""Logarithm of a probability that a float cannot distinguish from 0: exp(-746) is 0.0."""

_AROUND = frozenset(("prose", "fence", "thought", "invisible_character"))
"""Repairs that remove what surrounds the value and leave the value itself unchanged."""

_WHITE = " \t\n\r"
_MARK = Pattern(
    r'[ \t\n\r]*+(?:(?P<key>"(?:[^"\\]|\\.)*+"[ \t\n\r]*+:)|(?P<text>"(?:[^"\\]|\\.)*+")|(?P<open>[\[{])|(?P<close>[\]}])'
    r"|(?P<comma>,)|(?P<scalar>[-+.0-9A-Za-z]++))"
)


def field_confidence(text: str, value: Json, tokens: Sequence[tuple[str, float]]) -> dict[str, float]:
    """JSON Pointer of each scalar in `value` -> the probability, from 0 to 1, that the model gave to its tokens.

    `tokens` are those of `text`, with natural logarithms; `value` is the value parsed from the text. The result is empty
    where positions are uncertain: the tokens do not join to the text, or the value was repaired, converted or occurs
    twice. An empty string has no characters and no confidence. A text that is nothing but the value has the pointer "".

    >>> tokens = (('{"', 0.0), ("paid", 0.0), ('": ', 0.0), ("tr", -0.5), ("ue", -0.25), ("}", 0.0))
    >>> round(field_confidence('{"paid": true}', {"paid": True}, tokens)["/paid"], 4)
    0.4724
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
    """The confidence of a field that may be a list or an object: the smallest of its scalars; None where none is known.

    >>> confidence_of("/tags", {"/tags/0": 0.9, "/tags/1": 0.5, "/tagset": 0.1})
    0.5
    """
    below = f"{pointer}/"
    return min((one for at, one in confidences.items() if at == pointer or at.startswith(below)), default=None)


def _are_tokens_of(tokens: Sequence[tuple[str, float]], text: str) -> bool:
    """Whether they join to the text, each with the logarithm of a probability (NaN is none)."""
    valid = all(isinstance(token, str) and isinstance(log, float | int) and log <= 0.0 for token, log in tokens)
    return valid and "".join(token for token, _ in tokens) == text


def value_spans(text: str, value: Json) -> Mapping[str, Span]:
    """JSON Pointer of each scalar of `value` -> its position in `text`, inside its quotes; {} where that is uncertain.

    >>> value_spans('Here you are: {"a": ["x", 10]}', {"a": ["x", 10]})
    {'/a/0': (22, 23), '/a/1': (26, 28)}
    """
    if sum(map(text.count, "[{,:")) > MOST_MARKS:
        return {}
    parsed = parse_candidates(text, max_depth=MOST_DEPTH)
    equal = [one for one in parsed.candidates if _is_plain(one) and same_json(one.value, value)]
    if len(equal) == 1:
        return _spans_at(text, equal[0].start, value)
    return _span_without_json(text, parsed, value) if isinstance(value, str) and not equal else {}


def _is_plain(candidate: Candidate) -> bool:
    """Whether the candidate may be the answer, written in the text without any change."""
    is_whole = candidate.complete and candidate.refused is None and candidate.place != "thought"
    return is_whole and all(_is_around(repair) for repair in candidate.repairs)


def _is_around(repair: Repair) -> bool:
    return repair.rule in _AROUND


def _spans_at(text: str, start: int, value: Json) -> Mapping[str, Span]:
    """The spans of the value at `start`, where the text has strict JSON for the same value."""
    while text[start : start + 1] in _WHITE and start < len(text):
        start += 1
    try:
        parsed, _ = load_at(text, start)
    except NotStrict:
        return {}
    return _SpanFinder(text, start).spans() if same_json(parsed, value) else {}


def _span_without_json(text: str, parsed: Parsed, value: str) -> Mapping[str, Span]:
    """The position of `value` in a text without JSON: all of the text, or after "the answer is", and not twice."""
    bare = parsed.unbracketed or text.strip()
    words = (trimmed(bare), trimmed(text_after_label(bare))) if len(bare) <= MAX_CHARS else ()
    match = bare if bare == value else next((word for word in words if _are_one_word(word, value)), "")
    start = text.find(match) if match else -1
    return {"": (start, start + len(match))} if start >= 0 and text.rfind(match) == start else {}


def _are_one_word(one: str, other: str) -> bool:
    """Whether they differ in case and separators only, as a member of an enum and the model's spelling of it may."""
    return bool(normalized_key(one)) and normalized_key(one) == normalized_key(other)


class _SpanFinder:
    """One walk over strict JSON, from mark to mark, that notes the position of each scalar."""

    def __init__(self, text: str, start: int) -> None:
        self._text, self._at = text, start
        self._above: list[tuple[str, int]] = []  # pointer of each open container, and the index of an array's element
        self._pointer = ""
        self._pointed = 0
        self._spans: dict[str, Span] = {}
        self._twice: set[str] = set()

    def spans(self) -> Mapping[str, Span]:
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
            self._open(is_array=self._text[start] == "[")
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

    def _open(self, *, is_array: bool) -> None:
        self._above.append((self._pointer, 0 if is_array else -1))
        if is_array:
            self._point(("0",))

    def _next(self) -> None:
        """After a comma: in an array the next element; in an object the next key sets the pointer."""
        pointer, index = self._above[-1]
        if index >= 0:
            self._above[-1] = (pointer, index + 1)
            self._point((str(index + 1),))

    def _point(self, token: tuple[str, ...]) -> None:
        self._pointer = self._above[-1][0] + as_pointer(token)
        self._pointed += len(self._pointer)

    def _note(self, start: int, end: int) -> None:
        """A key that occurs twice has its value in two places: it gets no span."""
        if self._pointer in self._spans:
            self._twice.add(self._pointer)
        elif end > start:
            self._spans[self._pointer] = (start, end)
