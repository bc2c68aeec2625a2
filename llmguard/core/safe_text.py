"""Text that a terminal shows and does not obey: what moves, hides or reorders is spelled out.

Escaped are C0 (but the newline), DEL, C1, what changes the direction of text (bidi), what has no width (zero-width
spaces and joiners, fillers, tags, invisible selectors) and lone surrogates, which have no encoding.
See Unicode TR36, "Unicode Security Considerations", and CVE-2021-42574 ("Trojan Source").
"""

from __future__ import annotations

import re

from llmguard.core.canonical import Json, encode

_OBEYED = (
    r"\x00-\x09\x0b-\x1f\x7f-\x9f"  # C0 but the newline, DEL, C1
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidi
    r"\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0"
    r"\ufe00-\ufe0d\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # no width
    r"\u2028\u2029\ud800-\udfff"  # line and paragraph separator, surrogates
)
_UNSAFE = re.compile(f"[{_OBEYED}]")
_UNSAFE_OR_NEWLINE = re.compile(f"[\n{_OBEYED}]")
_SHORT = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}


def safe(text: str) -> str:
    r"""`text` with everything a terminal would obey spelled out; newlines stay.

    >>> print(safe("evil\u202etxt.exe\x1b[2J"))
    evil\u202etxt.exe\x1b[2J
    """
    return _UNSAFE.sub(_spelled, text)


def safe_line(text: str, limit: int | None = None) -> str:
    r"""The same on one line, with newlines spelled out too, and clipped to `limit` characters.

    >>> print(safe_line("one\ntwo", 5))
    one\…
    """
    if limit is None:
        return _UNSAFE_OR_NEWLINE.sub(_spelled, text)
    return clip(_UNSAFE_OR_NEWLINE.sub(_spelled, text[: limit + 1]), limit)


def clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def safe_json(value: Json) -> str:
    r"""`value` as strict JSON on one line, safe to print: what is unsafe is a JSON escape.

    >>> print(safe_json({"said": "evil\u202etxt"}))
    {"said":"evil\u202etxt"}
    """
    return _UNSAFE.sub(_json_escape, encode(value).decode())


def _spelled(match: re.Match[str]) -> str:
    letter = match[0]
    code = ord(letter)
    if letter in _SHORT:
        return _SHORT[letter]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
