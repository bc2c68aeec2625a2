"""One value of broken JSON, read in one pass without recursion: each repair is named, and doubt ends the reading.

The grammar is JSON with what models do to it. Where the broken text could mean two things, `Unreadable` says so.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from llmguard.core.canonical import Json
from llmguard.core.patterns import Pattern
from llmguard.parsing.syntax.containers import ContainerFrame, Containers
from llmguard.parsing.syntax.gaps import Gaps
from llmguard.parsing.syntax.notes import Ledger
from llmguard.parsing.syntax.plain import (
    container_key_at,
    flat_at,
    take_flat_items,
    take_flat_members,
    take_items,
    take_lax_items,
    take_members,
)
from llmguard.parsing.syntax.scalars import Scalar, literal_call_at, number_at, unquoted_at, word_at
from llmguard.parsing.syntax.strict import NotStrict, may_have_half_characters, refuse_surrogates
from llmguard.parsing.syntax.strings import OPENING, EntryKind, Unreadable, read_string

_PREFIX = Pattern(r"[uU](?=['\"])")
_CALL = Pattern(r"[A-Za-z_][\w.]*+\((?=\s*+(?:[A-Za-z_]\w*+\s*+=(?!=)|\)))")
_BARE_KEY = Pattern(r"[^\W\d][\w$.\-]*+|[$_][\w$.\-]*+|[0-9]++(?=\s*+:)")
_COLON = Pattern(r"[:：]|=>?")
_ELLIPSIS = Pattern(r"(?:\.{3,}+|…)[ \t]*+,?+")
_FENCES = ("```", "~~~")


class TolerantValue(NamedTuple):
    """A value that was read from broken text, up to `end`. `closed`: its own closers were there; `doubtful`: some were
    not, so that what follows may belong to it. The rest as in `Containers`."""

    value: Json
    end: int
    closed: bool
    ledger: Ledger
    unsure: tuple[str, ...] = ()
    doubtful: bool = False
    comments: tuple[tuple[str, str], ...] = ()
    calls: tuple[str, ...] = ()


class Tolerant:
    """Reads the value that starts with a bracket at `start`.

    `cut`: the text was cut off, so that what is incomplete at its end is left out, and named. `braces=False`: the text
    starts with the members of an object whose braces are missing.
    """

    def __init__(self, text: str, start: int, *, max_depth: int, cut: bool = False, braces: bool = True) -> None:
        self.text, self.start, self.cut = text, start, cut
        self.position = start
        self.stack = Containers(text, max_depth)
        self.gaps = Gaps(text, self.stack)
        if not braces:
            self.stack.open("{", start)
            self.stack.note("missing_braces", text[start : start + 20], "{")

    def read(self) -> TolerantValue:
        """The value; Unreadable where the text has no single reading."""
        stack = self.stack
        if not stack.frames:
            self.open_first()
        while stack.frames:
            frame = stack.frames[-1]
            if frame.ready:
                self.after_entry(frame)
            elif frame.is_object:
                self.member(frame)
            else:
                self.item(frame)
        self.refuse_half_characters()
        doubtful = stack.early >= 0 or not stack.closed
        return TolerantValue(
            stack.result,
            self.position,
            stack.closed,
            stack.ledger,
            tuple(stack.unsure),
            doubtful,
            tuple(stack.comments),
            tuple(stack.calls),
        )

    def refuse_half_characters(self) -> None:
        if may_have_half_characters(self.text[self.start : self.position]):
            try:
                refuse_surrogates(self.stack.result)
            except NotStrict as error:
                raise Unreadable(error.rule, "a string with half a surrogate pair", self.start, self.position) from None

    # -- containers

    def open_first(self) -> None:
        if match := _CALL.match(self.text, self.start):
            self.open_call(match)
        else:
            self.open(self.text[self.start])

    def open(self, opener: str) -> None:
        self.stack.open(opener, self.position)
        self.position += 1

    def open_call(self, match: re.Match[str]) -> None:
        self.stack.note("call", match[0], "{")
        self.stack.calls.append(match[0].rstrip("("))
        self.stack.open("call", self.position)
        self.position = match.end()

    def close_or_finish(self, sign: str) -> None:
        if not sign:
            self.finish()
        else:
            self.stack.close(sign, self.position)
            self.position += 1

    def finish(self) -> None:
        """The text ends while containers are open."""
        self.stack.finish(self.position, cut=self.cut)

    def finish_cut(self) -> None:
        """The text ends where a value, or a part of one, was due."""
        if not self.cut:
            raise Unreadable("unterminated", "the text ends in the middle of a value", len(self.text))
        self.finish()

    def finish_cut_string(self, error: Unreadable) -> None:
        """The same within a string."""
        if not self.cut or error.rule != "unterminated_string":
            raise error
        self.position = len(self.text)
        self.finish()

    # -- entries

    def member(self, frame: ContainerFrame) -> None:
        """Members up to one that is not plain, and then that one."""
        if self.has_room():
            self.position = take_flat_members(self.text, self.position, frame)
        self.position = take_members(self.text, self.position, frame, self.stack)
        if not frame.ready:
            self.odd_member(frame)

    def odd_member(self, frame: ContainerFrame) -> None:
        if key_and_start := container_key_at(self.text, self.position):
            frame.key, self.position = key_and_start
            self.value("member")
            return
        sign = self.skip()
        if sign == "" or sign in "}])":
            self.close_or_finish(sign)
        elif sign == "," and (frame.value or len(self.stack.frames) == 1):
            self.position += 1
            self.stack.note("extra_comma", ",", "")
        elif not self.ellipsis(frame):
            self.key_and_value(frame, sign)

    def key_and_value(self, frame: ContainerFrame, sign: str) -> None:
        try:
            frame.key = self.key(sign)
        except Unreadable as error:
            return self.finish_cut_string(error)
        rest = self.skip()
        colon = _COLON.match(self.text, self.position)
        if not colon:
            if not rest:
                return self.finish_cut()
            raise Unreadable("no_colon", f"no colon after {frame.key!r}", self.position)
        if colon[0] != ":":
            self.stack.note("separator", colon[0], ":")
        self.position = colon.end()
        if self.skip():
            self.value("member")
        else:
            self.finish_cut()
        return None

    def key(self, sign: str) -> str:
        if prefix := _PREFIX.match(self.text, self.position):
            self.position = prefix.end()
            return self.string("key")
        if sign in OPENING:
            return self.string("key")
        match = _BARE_KEY.match(self.text, self.position)
        if not match:
            actual = self.text[self.position : self.position + 20]
            raise Unreadable("no_key", f"a key was due, found {actual!r}", self.position)
        self.position = match.end()
        self.stack.note("unquoted_key", match[0], match[0])
        return match[0]

    def item(self, frame: ContainerFrame) -> None:
        """Items up to one that is not plain, and then that one."""
        if frame.opener == "[":
            self.plain_items(frame)
        if not frame.ready:
            self.odd_item(frame)

    def plain_items(self, frame: ContainerFrame) -> None:
        self.skip()
        if self.has_room():
            self.position = take_flat_items(self.text, self.position, frame)
            if not frame.ready:
                self.position = take_lax_items(self.text, self.position, frame, self.stack)
        if not frame.ready:
            self.position = take_items(self.text, self.position, frame, self.stack)

    def odd_item(self, frame: ContainerFrame) -> None:
        sign = self.skip()
        if sign == "" or sign in "}])":
            self.close_or_finish(sign)
        elif sign in "{[" or not self.ellipsis(frame):
            self.value("item")

    def after_entry(self, frame: ContainerFrame) -> None:
        """Read what is between two entries, or after the last."""
        sign = self.skip()
        if sign and sign in ",;，":
            if sign != ",":
                self.stack.note("separator", sign, ",")
            self.position += 1
            frame.ready, frame.comma = False, True
        elif sign == "" or sign in "}])":
            self.close_or_finish(sign)
        elif self.text.startswith(_FENCES, self.position):
            self.finish()  # the fence ends before its value does
        elif not self.ellipsis(frame):
            self.stack.note("missing_comma", "", ",")
            frame.ready = False

    def ellipsis(self, frame: ContainerFrame) -> bool:
        """`...` for entries that the model left out."""
        match = _ELLIPSIS.match(self.text, self.position)
        if not match:
            return False
        self.stack.note("ellipsis", match[0], "")
        self.position = match.end()
        frame.ready, frame.comma = not match[0].endswith(","), False
        return True

    # -- values

    def value(self, kind: EntryKind) -> None:
        """The value that starts here becomes the entry that is due."""
        sign = self.text[self.position]
        if sign in "{[(":
            self.container(sign, kind)
        elif sign.isalpha() and self.call():
            return
        elif sign in OPENING:
            self.put_text(kind)
        elif sign in ",;}])" or sign == ":":
            raise Unreadable("no_value", f"a value was due, found {sign!r}", self.position)
        else:
            self.scalar(kind)

    def container(self, sign: str, kind: EntryKind) -> None:
        flat = flat_at(self.text, self.position) if kind == "member" and self.has_room() else None
        if flat:
            self.stack.put(flat[0], self.position)
            self.position = flat[1]
        else:
            self.open(sign)

    def has_room(self) -> bool:
        """Whether a flat container, which is two levels deep at most, stays within the limit."""
        return len(self.stack.frames) + 2 <= self.stack.max_depth

    def call(self) -> bool:
        """`Person(name="Ada")` and `dict(name="Ada")` are objects; some calls are scalars; `u"…"` is a text."""
        if prefix := _PREFIX.match(self.text, self.position):
            self.position = prefix.end()
            self.put_text("member" if self.stack.frames[-1].is_object else "item")
        elif scalar := literal_call_at(self.text, self.position):
            self.put(scalar)
        elif match := _CALL.match(self.text, self.position):
            self.open_call(match)
        else:
            return False
        return True

    def put_text(self, kind: EntryKind) -> None:
        try:
            value = self.string(kind)
        except Unreadable as error:
            self.finish_cut_string(error)
        else:
            self.stack.put(value, self.position)

    def string(self, kind: EntryKind) -> str:
        in_parentheses = self.stack.frames[-1].opener in ("(", "call")
        token = read_string(self.text, self.position, kind, in_parentheses=in_parentheses)
        for rule in token.rules:
            before = self.text[self.position : min(token.end, self.position + 120)]
            self.stack.note(rule, before, token.value[:120])
        self.position = token.end
        return token.value

    def scalar(self, kind: EntryKind) -> None:
        """A number, a word, or a text without quotes. A number that ends the text may lack digits: 12 may be 125."""
        number = number_at(self.text, self.position, kind)
        if number and number.end == len(self.text):
            self.position = number.end
            self.finish_cut()
            return
        scalar = number or word_at(self.text, self.position)
        if scalar and not (self.cut and scalar.end == len(self.text)):
            self.put(scalar)
        else:
            self.put_unquoted(unquoted_at(self.text, self.position, kind, cut=self.cut))

    def put_unquoted(self, scalar: Scalar) -> None:
        frame = self.stack.frames[-1]
        if scalar.rule == "ellipsis":
            self.stack.note("ellipsis", scalar.before, "")
            self.position, frame.ready, frame.comma = scalar.end, True, False
        else:
            self.put(scalar)
            frame.unquoted += 1

    def put(self, scalar: Scalar) -> None:
        if scalar.rule:
            self.stack.note(scalar.rule, scalar.before, scalar.value)
        self.stack.put(scalar.value, self.position)
        self.position = scalar.end

    def skip(self) -> str:
        """The next sign after white space and comments, or "" at the end."""
        self.position = self.gaps.after(self.position)
        return self.text[self.position : self.position + 1]
