"""One value of broken JSON, read in one pass without recursion: each mend is named, and doubt ends the reading.

The grammar is JSON with what models do to it. Where the broken text could mean two things, `Unreadable` says so.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from llmguard.core.canonical import Json
from llmguard.core.patterns import Pattern
from llmguard.parsing.syntax.containers import Containers, Frame
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
from llmguard.parsing.syntax.scalars import Scalar, bare_at, literal_call_at, number_at, word_at
from llmguard.parsing.syntax.strict import NotStrict, may_have_half_characters, refuse_surrogates
from llmguard.parsing.syntax.strings import OPENING, RunsOn, Unreadable, read_string

_PREFIX = Pattern(r"[uU](?=['\"])")
_CALL = Pattern(r"[A-Za-z_][\w.]*+\((?=\s*+(?:[A-Za-z_]\w*+\s*+=(?!=)|\)))")
_BARE_KEY = Pattern(r"[^\W\d][\w$.\-]*+|[$_][\w$.\-]*+|[0-9]++(?=\s*+:)")
_COLON = Pattern(r"[:：]|=>?")
_ELLIPSIS = Pattern(r"(?:\.{3,}+|…)[ \t]*+,?+")
_FENCES = ("```", "~~~")


class Found(NamedTuple):
    """A value that was read from broken text, up to `end`. `closed`: its own closers stood there; `doubtful`: some did
    not, so that what follows may belong to it."""

    value: Json
    end: int
    closed: bool
    ledger: Ledger
    unsure: tuple[str, ...] = ()
    doubtful: bool = False


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

    def run(self) -> Found:
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
        return Found(stack.result, self.position, stack.closed, stack.ledger, tuple(stack.unsure), doubtful)

    def refuse_half_characters(self) -> None:
        if may_have_half_characters(self.text[self.start : self.position]):
            try:
                refuse_surrogates(self.stack.result)
            except NotStrict as error:
                raise Unreadable(error.rule, "a string with half a surrogate pair", self.start, self.position) from None

    # -- containers

    def open_first(self) -> None:
        if found := _CALL.match(self.text, self.start):
            self.open_call(found)
        else:
            self.open(self.text[self.start])

    def open(self, opener: str) -> None:
        self.stack.open(opener, self.position)
        self.position += 1

    def open_call(self, found: re.Match[str]) -> None:
        self.stack.note("call", found[0], "{")
        self.stack.open("call", self.position)
        self.position = found.end()

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

    def member(self, frame: Frame) -> None:
        """Members up to one that is not plain, and then that one."""
        if self.has_room():
            self.position = take_flat_members(self.text, self.position, frame)
        self.position = take_members(self.text, self.position, frame, self.stack)
        if not frame.ready:
            self.odd_member(frame)

    def odd_member(self, frame: Frame) -> None:
        if found := container_key_at(self.text, self.position):
            frame.key, self.position = found
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

    def key_and_value(self, frame: Frame, sign: str) -> None:
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
        if found := _PREFIX.match(self.text, self.position):
            self.position = found.end()
            return self.string("key")
        if sign in OPENING:
            return self.string("key")
        found = _BARE_KEY.match(self.text, self.position)
        if not found:
            here = self.text[self.position : self.position + 20]
            raise Unreadable("no_key", f"a key was due, found {here!r}", self.position)
        self.position = found.end()
        self.stack.note("unquoted_key", found[0], found[0])
        return found[0]

    def item(self, frame: Frame) -> None:
        """Items up to one that is not plain, and then that one."""
        if frame.opener == "[":
            self.plain_items(frame)
        if not frame.ready:
            self.odd_item(frame)

    def plain_items(self, frame: Frame) -> None:
        self.skip()
        if self.has_room():
            self.position = take_flat_items(self.text, self.position, frame)
            if not frame.ready:
                self.position = take_lax_items(self.text, self.position, frame, self.stack)
        if not frame.ready:
            self.position = take_items(self.text, self.position, frame, self.stack)

    def odd_item(self, frame: Frame) -> None:
        sign = self.skip()
        if sign == "" or sign in "}])":
            self.close_or_finish(sign)
        elif sign in "{[" or not self.ellipsis(frame):
            self.value("item")

    def after_entry(self, frame: Frame) -> None:
        """What stands between two entries, or after the last."""
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

    def ellipsis(self, frame: Frame) -> bool:
        """`...` for entries that the model left out."""
        found = _ELLIPSIS.match(self.text, self.position)
        if not found:
            return False
        self.stack.note("ellipsis", found[0], "")
        self.position = found.end()
        frame.ready, frame.comma = not found[0].endswith(","), False
        return True

    # -- values

    def value(self, place: RunsOn) -> None:
        """The value that starts here becomes the entry that is due."""
        sign = self.text[self.position]
        if sign in "{[(":
            self.container(sign, place)
        elif sign.isalpha() and self.call():
            return
        elif sign in OPENING:
            self.put_text(place)
        elif sign in ",;}])" or sign == ":":
            raise Unreadable("no_value", f"a value was due, found {sign!r}", self.position)
        else:
            self.scalar(place)

    def container(self, sign: str, place: RunsOn) -> None:
        flat = flat_at(self.text, self.position) if place == "member" and self.has_room() else None
        if flat:
            self.stack.put(flat[0], self.position)
            self.position = flat[1]
        else:
            self.open(sign)

    def has_room(self) -> bool:
        """Whether a flat container, which is two levels deep at most, stays within the limit."""
        return len(self.stack.frames) + 2 <= self.stack.max_depth

    def call(self) -> bool:
        """`Person(name="Ada")` and `dict(name="Ada")` are objects; some calls stand for a scalar; `u"…"` is a text."""
        if found := _PREFIX.match(self.text, self.position):
            self.position = found.end()
            self.put_text("member" if self.stack.frames[-1].is_object else "item")
        elif scalar := literal_call_at(self.text, self.position):
            self.put(scalar)
        elif found := _CALL.match(self.text, self.position):
            self.open_call(found)
        else:
            return False
        return True

    def put_text(self, place: RunsOn) -> None:
        try:
            value = self.string(place)
        except Unreadable as error:
            self.finish_cut_string(error)
        else:
            self.stack.put(value, self.position)

    def string(self, place: RunsOn) -> str:
        found = read_string(self.text, self.position, place)
        for rule in found.rules:
            before = self.text[self.position : min(found.end, self.position + 120)]
            self.stack.note(rule, before, found.value[:120])
        self.position = found.end
        return found.value

    def scalar(self, place: RunsOn) -> None:
        """A number, a word, or a text without quotes. A number that ends the text may lack digits: 12 may be 125."""
        number = number_at(self.text, self.position, place)
        if number and number.end == len(self.text):
            self.position = number.end
            self.finish_cut()
            return
        found = number or word_at(self.text, self.position)
        if found and not (self.cut and found.end == len(self.text)):
            self.put(found)
        else:
            self.bare(bare_at(self.text, self.position, place, cut=self.cut))

    def bare(self, found: Scalar) -> None:
        frame = self.stack.frames[-1]
        if found.rule == "ellipsis":
            self.stack.note("ellipsis", found.before, "")
            self.position, frame.ready, frame.comma = found.end, True, False
        else:
            self.put(found)
            frame.bare += 1

    def put(self, found: Scalar) -> None:
        if found.rule:
            self.stack.note(found.rule, found.before, found.value)
        self.stack.put(found.value, self.position)
        self.position = found.end

    def skip(self) -> str:
        """The next sign after white space and comments, or "" at the end."""
        self.position = self.gaps.after(self.position)
        return self.text[self.position : self.position + 1]
