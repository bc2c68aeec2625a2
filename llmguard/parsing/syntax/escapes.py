"""Escapes of JSON that may be a backslash which was not doubled: LaTeX, paths and patterns.

`"\\frac"` is valid JSON, and its value is a form feed and "rac". A backspace or a form feed before a letter is never meant, so
it is refused; a tab or a line feed often is, so it is a flag where it makes a known word or a path whole.
"""

from __future__ import annotations

from llmguard.core.patterns import Pattern

CONTROL_MESSAGE = "a backslash before b or f makes a control character, where a backslash may be meant: write it as two"

_CONTROL = Pattern(r"(?<!\\)(?:\\\\)*+\\[bf](?=[^\W\d_])")
_WORD = Pattern(
    r"(?<!\\)(?:\\\\)*+\\(?:t(?:heta|imes|au|ext(?:bf|it|rm|tt)?|ilde|frac|riangle)|n(?:abla|eq|u|ot|otin|mid)"
    r"|r(?:ho|ightarrow|ight|angle|ceil|floor))(?![A-Za-z])"
)
"""Commands of LaTeX that begin with t, n or r (Lamport, "LaTeX", tables 3.3 to 3.15). The table only flags: what it lacks is read
as JSON says."""

_OF_LINE_FEEDS = (r"\nab", r"\neq", r"\nu", r"\not", r"\nmi")
"""How the words of `_WORD` begin that begin with a line feed: a valid reply is full of these."""

_PATH = Pattern(r'"[A-Za-z]:(?:\\\\?[\w .\-]{1,60}){0,10}?(?<!\\)(?:\\\\)*+\\[tnr]\w')
_EXCERPT = 30


def control_escape_in(text: str, start: int, end: int) -> bool:
    """Whether JSON text has an escaped backspace or form feed before a letter."""
    if text.find("\\b", start, end) < 0 and text.find("\\f", start, end) < 0:
        return False
    return bool(_CONTROL.search(text, start, end))


def doubtful_escape_in(text: str) -> str:
    """The first place where a tab, line feed or carriage return may be a backslash and a letter, in an excerpt; or "".

    >>> doubtful_escape_in(r'{"formula": "\\theta"}'), doubtful_escape_in(r'{"note": "one\\nother"}')
    ('\\\\theta"}', '')
    """
    may_be_word = "\\t" in text or "\\r" in text or any(beginning in text for beginning in _OF_LINE_FEEDS)
    match = _WORD.search(text) if may_be_word else None
    if match is None and ":\\" in text:
        match = _PATH.search(text)
    return text[match.start() : match.start() + _EXCERPT] if match else ""
