"""What is between the tokens of broken JSON: white space, invisible characters, and comments."""

from __future__ import annotations

from re import IGNORECASE

from llmguard.core.patterns import Pattern
from llmguard.parsing.syntax.containers import Containers
from llmguard.parsing.syntax.strings import Unreadable

_WHITE = Pattern(r"[ \t\n\r]++")
_ODD_WHITE = Pattern(r"[\s\ufeff\u200b-\u200d\u2060\x00]++")
_CLOSERS = {"//": "\n", "#": "\n", "/*": "*/", "<!--": "-->"}
_DOUBT = Pattern(
    r"\b(?:approx\w*|roughly|maybe|perhaps|or|probably|possibly|guess\w*|estimat\w*|uncertain|unsure|unknown|unclear"
    r"|assum\w*|\.\.\.|…|more|omit\w*|remaining|rest|etc|and so on|continu\w*|truncat\w*|same as|repeat\w*"
    r"|[0-9]+ others?|further|additional\w*|brevity|skip\w*|left out|similar\w*|todo|fixme|placeholder|wrong|incorrect"
    r"|hypothetical|circa|not (?:sure|certain|[0-9])|or [0-9\"'])|\?|~",
    IGNORECASE,
)
"""A comment that says that the value beside it is uncertain or incomplete."""

_READ_OF_A_COMMENT = 400
"""Characters of a comment that are searched for such words: a long one is prose, and says it at its beginning."""


class Gaps:
    """Goes from one token to the next. A comment is classified once, however often it is repeated."""

    def __init__(self, text: str, stack: Containers) -> None:
        self.text, self.stack = text, stack
        self._known: dict[str, str] = {}

    def after(self, at: int) -> int:
        """Where the next token starts; the length of the text where there is none."""
        text = self.text
        while True:
            if match := _WHITE.match(text, at):
                at = match.end()
            sign = text[at : at + 1]
            if sign == "" or sign in '{}[]",:' or sign.isalnum():
                return at
            end = self._comment(sign, at) if sign in "/#<" else self._invisible(at)
            if end == at:
                return at
            at = end

    def _invisible(self, at: int) -> int:
        match = _ODD_WHITE.match(self.text, at)
        if not match:
            return at
        self.stack.note("invisible_character", ascii(match[0]), "")
        return match.end()

    def _comment(self, sign: str, at: int) -> int:
        text = self.text
        opener = "#" if sign == "#" else text[at : at + 4] if sign == "<" else text[at : at + 2]
        closer = _CLOSERS.get(opener)
        if closer is None:
            return at
        end = text.find(closer, at + len(opener))
        if end < 0 and closer != "\n":
            raise Unreadable("unterminated_comment", "a comment has no end", at, len(text))
        end = len(text) if end < 0 else end + len(closer) * (closer != "\n")
        words = text[at:end]
        if words not in self._known:
            self._known[words] = "doubtful_comment" if _DOUBT.search(words[:_READ_OF_A_COMMENT]) else "comment"
        self.stack.note(self._known[words], words, "")
        return end
