"""Where a string of broken JSON ends, and what it says: only where the text has one reading."""

from __future__ import annotations

from itertools import pairwise
from json.decoder import scanstring  # type: ignore[attr-defined]
from re import escape
from typing import Literal, NamedTuple, TypeAlias

from llmguard.core.patterns import Pattern
from llmguard.parsing.syntax.escapes import CONTROL_MESSAGE, control_escape_in

EntryKind: TypeAlias = Literal["key", "member", "item"]
"""What a text is read as: it decides which signs may follow it."""


class Unreadable(ValueError):
    """The text has no reading, or more than one. `rule` and `message` say which; `at` is the index in the text, and
    `read_to` how far the text was read to find that out."""

    def __init__(self, rule: str, message: str, at: int, read_to: int = 0) -> None:
        super().__init__(message)
        self.rule, self.message, self.at, self.read_to = rule, message, at, max(at, read_to)


class StringToken(NamedTuple):
    """A string that was read: its value, where it ends, and the rules by which it was repaired."""

    value: str
    end: int
    rules: tuple[str, ...] = ()


CLOSERS = {
    '"': '"',
    "'": "'",
    "`": "`",
    "´": "´",
    "“": "”",
    "”": "”",
    "„": "“”",
    "«": "»",
    "»": "«",
    "‹": "›",
    "‘": "’",
    "’": "’",
    "‚": "‘’",
    "「": "」",
    "『": "』",
    "＂": "＂",
    "＇": "＇",
}
OPENING = "".join(CLOSERS)
_ANY_QUOTE = OPENING + "›」』"
_TRIPLE = ('"""', "'''", "```")

_W = r"[\s\ufeff\u200b-\u200d\u2060\x00]*+"
_NEW_LINE = r"(?=[^\S\n]*+\n)\s*+"
_COMMENT = r"//|\#|/\*|<!--"
_QUOTED_KEY = rf"[{OPENING}][^{_ANY_QUOTE}\n]{{0,200}}+[{_ANY_QUOTE}]{_W}(?:[:=：])"
_BARE_KEY = rf"[^\W\d][\w$.\-]{{0,100}}+{_W}(?:[:=：])"
_KEY_NEXT = rf"(?:{_QUOTED_KEY}|{_BARE_KEY}|{_COMMENT}|\.\.\.|…)"
_ITEM_NEXT = rf"(?:[{OPENING}\[{{+\-.0-9]|(?:true|false|null|True|False|None)\b|{_COMMENT}|…)"


class _Ends(NamedTuple):
    """What follows the closing quote of a string: `loose` where no quote was met inside, `strong` where one was."""

    loose: Pattern
    strong: Pattern


def _ends(closers: str) -> dict[EntryKind, _Ends]:
    """`closers`: the brackets that may be open around the string. After the last one nothing may follow on the same line but
    more structure: `"b"} now"` is text, not an end."""
    tail = rf"[{closers}](?:[^\S\n]|[\]}}),;])*+(?:\Z|\n|[{_ANY_QUOTE}<{{\[]|{_COMMENT})"
    following = rf"[,;，{closers}]|\Z|```|~~~|{_COMMENT}"
    last = rf"[,;]?{_W}(?:{tail}|\Z)"
    return {
        "key": _Ends(Pattern(rf"{_W}(?:[:：]|=>?)"), Pattern(rf"{_W}:")),
        "member": _Ends(
            Pattern(rf"{_W}(?:{following}|{_QUOTED_KEY})|{_NEW_LINE}{_BARE_KEY}"),
            Pattern(rf"{_W}(?:{last}|[,;]{_W}{_KEY_NEXT})|{_NEW_LINE}{_QUOTED_KEY}"),
        ),
        "item": _Ends(
            Pattern(rf"{_W}(?:{following})|\s++[{OPENING}]|{_NEW_LINE}[{{\[0-9\-]"),
            Pattern(rf"{_W}(?:{last}|[,;]{_W}{_ITEM_NEXT})"),
        ),
    }


_ENDS = {False: _ends(r"\]}"), True: _ends(r"\]})")}
"""By whether the innermost container was opened by a parenthesis: if not, `)` closes nothing, and is a sign of the text."""

_VALID = Pattern(r'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"')
_ESCAPES = Pattern(r"(?:\\(?:[\"\\/bfnrt]|u[0-9a-fA-F]{4}))++")
_RUN = {opener: Pattern(rf"[^{escape(opener + closers)}\\\x00-\x1f]*+") for opener, closers in CLOSERS.items()}
_HEX = Pattern(r"\\x([0-9a-fA-F]{2})")
_LONG_CODE = Pattern(r"\\U[0-9a-fA-F]{8}|\\N\{")
_LETTER_ESCAPE = Pattern(r"\\[bfnrtu]")
_LAST_LINE_FEED = Pattern(r"\n[ \t]*+\Z")
_MEASURED = Pattern(r"(?<![\w.\-])[0-9]++(?:[.,/][0-9]++)?+\Z")
_NUMBER_NEXT = Pattern(r"\s*+[+\-.]?[0-9]")
_NO_STRUCTURE = Pattern(r"[^,:{}\[\]]*+\Z")
_ONLY_GLUE = Pattern(r"[\s+]*+\Z")
_INNER_MEMBER = Pattern(rf"[,;{{]{_W}$")


def read_string(text: str, start: int, kind: EntryKind, *, in_parentheses: bool = False) -> StringToken:
    """The string whose opening quote is at `start`; Unreadable where its end or its escapes are in doubt."""
    quote = text[start]
    ends = _ENDS[in_parentheses][kind]
    if quote == '"' and (match := _VALID.match(text, start + 1)) and ends.loose.match(text, end := match.end()):
        if end == start + 2 and text.startswith('"""', start):
            return _triple(text, start)
        if control_escape_in(text, start + 1, end):
            raise Unreadable("ambiguous_escape", CONTROL_MESSAGE, start, end)
        return StringToken(scanstring(text, start + 1)[0], end)
    if text.startswith(_TRIPLE, start):
        return _triple(text, start)
    end = _end_of_run(text, start)
    if quote != '"' and text[end : end + 1] in CLOSERS[quote] and ends.loose.match(text, end + 1) and end < len(text):
        return StringToken(text[start + 1 : end], end + 1, (_style(quote),))
    return _Scan(text, start, quote, kind, ends).read()


def _end_of_run(text: str, start: int) -> int:
    """The index of the first character that may end or change the string: a quote of its kind, an escape, a control character."""
    match = _RUN[text[start]].match(text, start + 1)
    return match.end() if match else start + 1


def _triple(text: str, start: int) -> StringToken:
    """A Python-like string in three quotes, or a fenced block: neither has escapes here, so a backslash leaves it in doubt."""
    end = text.find(text[start : start + 3], start + 3)
    if end < 0:
        raise Unreadable("unterminated_string", "a string in three quotes has no end", start, len(text))
    inside = text[start + 3 : end]
    if "\\" in inside or text[end + 3 : end + 4] == text[start]:
        raise Unreadable("ambiguous_string", "a string in three quotes has more than one reading", start)
    return StringToken(_without_info(inside, start) if text[start] == "`" else inside, end + 3, ("triple_quotes",))


def _without_info(inside: str, start: int) -> str:
    """The content of a fenced block (CommonMark 4.5): the line after the opening marks names a language or a file, and the line
    feeds after it and before the closing marks are the fence's."""
    info, line_feed, content = inside.partition("\n")
    if line_feed:
        return _LAST_LINE_FEED.sub("", content)
    if " " in info.strip():
        raise Unreadable("ambiguous_string", "a fence on one line may begin with the name of a language", start)
    return inside


class _Scan:
    """One pass over a string that is not plain; `inner` are the quotes met that do not end it."""

    def __init__(self, text: str, start: int, quote: str, kind: EntryKind, ends: _Ends) -> None:
        self.text, self.start, self.quote, self.kind, self.after = text, start, quote, kind, ends
        self.closers = CLOSERS[quote]
        self.parts: list[str] = []
        self.rules = {} if quote == '"' else {_style(quote): None}
        self.inner: list[int] = []
        self.nested = 0
        self.odd_escape = self.letter_escape = self.sign_escape = self.code_escape = False

    def read(self) -> StringToken:
        text, position, run_at = self.text, self.start + 1, _RUN[self.quote].match
        while True:
            end = run_at(text, position).end()  # type: ignore[union-attr]
            self.parts.append(text[position:end])
            if end == len(text):
                raise Unreadable("unterminated_string", "a string has no end", self.start, end)
            sign = text[end]
            if sign == "\\":
                position = self.escape(end)
            elif sign in self.closers and self.closes(end):
                return self.done(end + 1)
            else:
                self.append(sign, end)
                position = end + 1

    def append(self, sign: str, at: int) -> None:
        """A quote or a control character that belongs to the string."""
        self.parts.append(sign)
        if sign < " ":
            self.rules["control_character"] = None
        elif sign in self.closers:
            self.inner.append(at)
            self.rules["unescaped_quote"] = None
        else:
            self.nested += 1

    def escape(self, at: int) -> int:
        if match := _ESCAPES.match(self.text, at):
            escapes = match[0]
            self.letter_escape = self.letter_escape or bool(_LETTER_ESCAPE.search(escapes))
            if escapes.endswith(("\\b", "\\f")) and self.text[match.end() : match.end() + 1].isalpha():
                raise Unreadable("ambiguous_escape", CONTROL_MESSAGE, at, match.end())
            self.parts.append(scanstring(escapes + '"', 0)[0])
            return match.end()
        following = self.text[at + 1 : at + 2]
        if following and (following in self.closers or following == self.quote or following == "'"):
            self.parts.append(following)
            self.rules["escape"] = None
        elif following == "_" and self.kind == "key":  # Markdown's escape of the underscore
            self.parts.append("_")
            self.rules["escape"] = None
        elif match := _HEX.match(self.text, at):
            self.parts.append(chr(int(match[1], 16)))
            self.code_escape = True
            self.rules["escape"] = None
            return match.end()
        elif (
            following.isalpha() and following not in "ux" and not _LONG_CODE.match(self.text, at)
        ) or following in ".*[]()+?{}^$|-<>~#!&":
            self.parts.append("\\" + following)
            self.odd_escape = self.odd_escape or following.isalpha()
            self.sign_escape = self.sign_escape or not following.isalpha()
            self.rules["escape"] = None
        else:
            raise Unreadable("ambiguous_escape", f"the escape {self.text[at : at + 2]!r} has more than one reading", at)
        return at + 2

    def closes(self, at: int) -> bool:
        inner = len(self.inner)
        if not inner and not self.nested:
            return bool(self.after.loose.match(self.text, at + 1))
        if not self.after.strong.match(self.text, at + 1):
            return False
        if len(self.closers) == 1 and self.closers != self.quote:
            return inner == self.nested
        self.refuse_doubtful_quotes(at)
        return True

    def refuse_doubtful_quotes(self, at: int) -> None:
        """Inner quotes have one meaning where they are in pairs around words, or are apostrophes or inches."""
        marks = [mark for mark in self.inner if not self.is_mark_of_its_own(mark)]
        pairs = list(zip(marks[::2], marks[1::2], strict=False))
        if len(marks) % 2 or not all(self.opens(one) and self.ends(other) for one, other in pairs):
            raise Unreadable(
                "ambiguous_string", "a string has quotes in it that leave its end in doubt", self.start, at
            )
        if self.inner[:1] == [self.start + 1] and self.inner[-1] == at - 1:
            raise Unreadable("ambiguous_string", "the quotes of a string are doubled", self.start, at)
        edges = [self.start, *self.inner, at]
        for one, other in pairwise(edges):
            between = self.text[one + 1 : other]
            if (one != self.start or other != at) and between and _ONLY_GLUE.match(between) and not between.isalnum():
                raise Unreadable("ambiguous_string", "two strings stand side by side", self.start, at)
        if self.kind == "key" and not _NO_STRUCTURE.match(self.text, self.start, at):
            raise Unreadable("ambiguous_string", "a key may hold a value, its colon missing", self.start, at)
        if any(self.looks_like_member(one, other) for one, other in pairs):
            raise Unreadable("ambiguous_string", "a string may hold the next member", self.start, at)

    def is_mark_of_its_own(self, at: int) -> bool:
        before, after = self.text[at - 1], self.text[at + 1 : at + 2]
        if self.quote in "'’‘":
            return before.isalpha() and (after.isalpha() or (before == "s" and after == " "))
        return len(self.inner) == 1 and self.is_inches(at)

    def is_inches(self, at: int) -> bool:
        """The mark after a number that stands alone, and before more words: `a 27" screen`. Not `B52"`, a slip; not
        `10" 11"`, two texts that lost their quotes; and not `27""`, which may be a slip too."""
        is_measured = _MEASURED.search(self.text[max(self.start + 1, at - 20) : at])
        return bool(is_measured and self.text[at + 1] != self.quote and not _NUMBER_NEXT.match(self.text, at + 1))

    def opens(self, at: int) -> bool:
        before, after = self.text[at - 1], self.text[at + 1 : at + 2]
        return not before.isalnum() and not after.isspace()

    def ends(self, at: int) -> bool:
        before, after = self.text[at - 1], self.text[at + 1 : at + 2]
        return not before.isspace() and not after.isalnum()

    def looks_like_member(self, one: int, other: int) -> bool:
        """`…, "key": …` or `{"key": …` inside a string: its closing quote may have been forgotten."""
        follows = self.text[other + 1 : other + 20].lstrip()[:1]
        return follows == ":" and bool(_INNER_MEMBER.search(self.text[max(0, one - 20) : one]))

    def done(self, end: int) -> StringToken:
        mixed = self.odd_escape and (self.letter_escape or self.code_escape)
        if mixed or (self.sign_escape and not self.odd_escape):
            raise Unreadable("ambiguous_escape", "a string mixes escapes with bare backslashes", self.start, end)
        return StringToken("".join(self.parts), end, tuple(self.rules))


def _style(quote: str) -> str:
    return "single_quotes" if quote == "'" else "typographic_quotes"
