"""What is between the tokens of broken JSON: white space, invisible characters, and comments."""

from __future__ import annotations

from llmguard.core.patterns import Pattern
from llmguard.parsing.syntax.comments import rule_of_comment
from llmguard.parsing.syntax.containers import Containers
from llmguard.parsing.syntax.strings import Unreadable

_WHITE = Pattern(r"[ \t\n\r]++")
_ODD_WHITE = Pattern(r"[\s\ufeff\u200b-\u200d\u2060\x00]++")
_CLOSERS = {"//": "\n", "#": "\n", "/*": "*/", "<!--": "-->"}


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
            self._known[words] = rule_of_comment(words, opener, at)
        self.stack.note_comment(self._known[words], words)
        return end
