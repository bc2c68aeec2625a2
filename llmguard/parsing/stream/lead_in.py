"""Where the value begins in a reply that is still being written: after prose, a fence, and the model's thoughts."""

from __future__ import annotations

import re

from llmguard.parsing.syntax.thoughts import ASIDE_CLOSING, ASIDE_OPENING, CLOSING, OPENING, UNFINISHED

# `held` is what the next delta may complete: at the end of the text, and never long.
_MARK = re.compile(
    rf"(?P<open>{OPENING}|{ASIDE_OPENING})|(?P<close>{CLOSING}|{ASIDE_CLOSING})|(?P<held>{UNFINISHED})"
    r"|(?P<value>[{\[])",
    re.IGNORECASE,
).search
_CLEAN = re.compile(r"(?:```|~~~)?(?:json[5c]?)?", re.IGNORECASE).fullmatch
_BLANK = " \t\r\n\ufeff\u200b\u200c\u200d\u2060\x00"
_FIRST = re.compile(rf"[^{_BLANK}]").search
_LONGEST_FENCE = 16
"""Characters that are kept of the text before the value: more is prose."""


class LeadIn:
    """Reads up to the value. `openers`: the characters that a value of the root's type begins with; in prose only these
    begin it, since a bracket there may be a citation.

    `clean`: outside of thoughts there was no text but the opening of a fence, so that what begins now is the answer, and
    not an example or a draft.
    """

    __slots__ = ("_text", "_thinking", "held", "openers")

    def __init__(self, openers: str) -> None:
        self.openers = openers
        self.held = ""
        self._text = ""
        self._thinking = False

    @property
    def clean(self) -> bool:
        return _CLEAN(self._text) is not None

    def search(self, text: str, position: int) -> int:
        """The index where the value begins, or -1; `held` is then the end of `text` that has to be read again."""
        if (first := self._scalar(text, position)) >= 0:
            return first
        while mark := _MARK(text, position):
            self._add(text[position : mark.start()])
            kind = mark.lastgroup
            if kind == "held":
                self.held = mark[0]
                return -1
            if kind == "value" and self._begins(mark[0]):
                return mark.start()
            self._pass(str(kind), mark[0])
            position = mark.end()
        self._add(text[position:])
        return -1

    def _scalar(self, text: str, position: int) -> int:
        """A scalar is at the very beginning, or nowhere."""
        if self._text or self._thinking or self.openers[0] in "{[":
            return -1
        first = _FIRST(text, position)
        return first.start() if first and first[0] in self.openers else -1

    def _begins(self, sign: str) -> bool:
        return not self._thinking and (sign in self.openers or self.clean)

    def _pass(self, kind: str, sign: str) -> None:
        if kind == "value":
            self._add(sign)
        elif kind == "open":
            self._thinking = True
        else:  # without an opening tag, all that came before was thought
            self._thinking, self._text = False, ""

    def _add(self, words: str) -> None:
        if not self._thinking and len(self._text) <= _LONGEST_FENCE:
            self._text += words.strip(_BLANK)[: _LONGEST_FENCE + 1]
