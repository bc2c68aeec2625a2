"""Log-probabilities as servers give them, as tokens of the text that a reply shows; none where that is not sure.

OpenAI, and the servers that speak like it, give a list of `{"token": …, "logprob": …, "bytes": [...]}`. What is in it
may be more than the text: white space that was stripped, a token that ends the reply, thoughts. It may also be anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from llmguard.core.canonical import Json
from llmguard.core.messages import Tokens
from llmguard.core.redaction import redact_text

_LEAST, _MOST = -1e300, 1e-6
"""What counts as a log-probability. llama.cpp sends the lowest float for zero, and sums of floats end just above 0."""


def tokens_of(entries: Json, text: str) -> Tokens:
    """The tokens that `text` is joined of; empty unless all entries are sound and `text` stands in them exactly once.

    A character that several tokens make together is one token, with the product of their probabilities; a token that
    is only partly of the text is clipped, and keeps its probability.

    >>> tokens_of([{"token": " 4", "logprob": -0.5}, {"token": "2\\n", "logprob": -0.25}], "42")
    (('4', -0.5), ('2', -0.25))
    """
    if not entries:
        return ()
    pieces = _pieces(entries)
    said, wanted = b"".join(piece for piece, _ in pieces), text.encode("utf-8", "surrogatepass")
    start = said.find(wanted)
    if not wanted or start < 0 or said.find(wanted, start + 1) >= 0 or redact_text(text) != text:
        return ()
    return _in_characters(_clipped(pieces, start, start + len(wanted)))


def cut(tokens: Tokens, start: int, end: int) -> Tokens:
    """The tokens of the characters from `start` to `end` of the text."""
    return tuple(_clipped(tokens, start, end))


def _pieces(entries: Json) -> list[tuple[bytes, float]]:
    """The bytes and log-probability of each entry; none at all where one is not sound."""
    if not isinstance(entries, list):
        return []
    found = [(_bytes_in(entry), _logprob_in(entry)) for entry in entries]
    sound = [(piece, logprob) for piece, logprob in found if piece is not None and logprob is not None]
    return sound if len(sound) == len(found) else []


def _bytes_in(entry: Json) -> bytes | None:
    if not isinstance(entry, dict):
        return None
    spelled, token = entry.get("bytes"), entry.get("token")
    if not isinstance(spelled, list):
        return token.encode("utf-8", "surrogatepass") if isinstance(token, str) else None
    try:
        return bytes(spelled)
    except (TypeError, ValueError):
        return None


def _logprob_in(entry: Json) -> float | None:
    found = entry.get("logprob") if isinstance(entry, dict) else None
    if isinstance(found, int | float) and not isinstance(found, bool) and _LEAST <= found <= _MOST:  # NaN is not
        return min(float(found), 0.0)
    return None


def _clipped(pieces: Iterable[tuple[Json, float]], start: int, end: int) -> list[tuple[Json, float]]:
    """The pieces (of text or of bytes) between two places, without empty ones."""
    found, at = [], 0
    for piece, logprob in pieces:
        inside = piece[max(0, start - at) : max(0, end - at)]
        at += len(piece)
        if inside:
            found.append((inside, logprob))
    return found


def _in_characters(pieces: list[tuple[bytes, float]]) -> Tokens:
    """Pieces of UTF-8 as text: those that share a character become one."""
    starts = [number for number, (piece, _) in enumerate(pieces) if piece[0] & 0xC0 != 0x80]
    whole = [pieces[start:end] for start, end in pairwise([*starts, len(pieces)])]
    return tuple((_text(parts), sum(logprob for _, logprob in parts)) for parts in whole)


def _text(parts: list[tuple[bytes, float]]) -> str:
    return b"".join(piece for piece, _ in parts).decode("utf-8", "surrogatepass")
