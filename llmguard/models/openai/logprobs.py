"""Log-probabilities as servers send them, matched to the text of a reply; none where the match is not certain.

OpenAI and compatible servers send a list of `{"token": …, "logprob": …, "bytes": [...]}`. It may hold more than the
text: stripped white space, an end-of-reply token, thoughts. It may also have any other shape.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from llmguard.core.canonical import Json
from llmguard.core.messages import Tokens
from llmguard.core.redaction import redact_text

_LEAST, _MOST = -1e300, 1e-6
"""The range of a valid log-probability. llama.cpp sends the lowest float for zero; sums of floats end just above 0."""


def tokens_of_text(entries: Json, text: str) -> Tokens:
    """The tokens that join to `text`; empty unless all entries are valid and hold `text` exactly once.

    Tokens that share a character become one token, with the product of their probabilities. A token that is only partly
    in the text is clipped and keeps its probability.

    >>> tokens_of([{"token": " 4", "logprob": -0.5}, {"token": "2\\n", "logprob": -0.25}], "42")
    (('4', -0.5), ('2', -0.25))
    """
    if not entries:
        return ()
    pieces = _read_entries(entries)
    joined, target = b"".join(piece for piece, _ in pieces), text.encode("utf-8", "surrogatepass")
    start = joined.find(target)
    if not target or start < 0 or joined.find(target, start + 1) >= 0 or redact_text(text) != text:
        return ()
    return _merge_characters(_clip(pieces, start, start + len(target)))


def slice_tokens(tokens: Tokens, start: int, end: int) -> Tokens:
    """The tokens of the characters from `start` to `end` of the text."""
    return tuple(_clip(tokens, start, end))


def _read_entries(entries: Json) -> list[tuple[bytes, float]]:
    """The bytes and log-probability of each entry; empty where one is invalid."""
    if not isinstance(entries, list):
        return []
    pieces = [(_bytes_in(entry), _logprob_in(entry)) for entry in entries]
    valid = [(piece, logprob) for piece, logprob in pieces if piece is not None and logprob is not None]
    return valid if len(valid) == len(pieces) else []


def _bytes_in(entry: Json) -> bytes | None:
    if not isinstance(entry, dict):
        return None
    octets, token = entry.get("bytes"), entry.get("token")
    if not isinstance(octets, list):
        return token.encode("utf-8", "surrogatepass") if isinstance(token, str) else None
    try:
        return bytes(octets)
    except (TypeError, ValueError):
        return None


def _logprob_in(entry: Json) -> float | None:
    logprob = entry.get("logprob") if isinstance(entry, dict) else None
    if isinstance(logprob, bool) or not isinstance(logprob, int | float):
        return None
    if _LEAST <= logprob <= _MOST:  # false for NaN
        return min(float(logprob), 0.0)
    return None


def _clip(pieces: Iterable[tuple[Json, float]], start: int, end: int) -> list[tuple[Json, float]]:
    """The pieces (of text or of bytes) between two offsets, without empty ones."""
    inside, at = [], 0
    for piece, logprob in pieces:
        part = piece[max(0, start - at) : max(0, end - at)]
        at += len(piece)
        if part:
            inside.append((part, logprob))
    return inside


def _merge_characters(pieces: list[tuple[bytes, float]]) -> Tokens:
    """Pieces of UTF-8 as text; those that share a character become one."""
    starts = [number for number, (piece, _) in enumerate(pieces) if piece[0] & 0xC0 != 0x80]
    whole = [pieces[start:end] for start, end in pairwise([*starts, len(pieces)])]
    return tuple((_text(parts), sum(logprob for _, logprob in parts)) for parts in whole)


def _text(parts: list[tuple[bytes, float]]) -> str:
    return b"".join(piece for piece, _ in parts).decode("utf-8", "surrogatepass")
