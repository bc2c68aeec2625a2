"""A model's JSON reply while it is being written: the value so far, and violations that no continuation can repair.

The text is read once, delta by delta, by one state after the other; no character is read twice. Only strict JSON is read
here. At any other text the validator stops, and the final reading, which repairs, decides; so the validator never shows a
value that the final reading would not give.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import TypeAlias

from llmguard.core.canonical import Json
from llmguard.core.outcome import Violation
from llmguard.parsing.stream.lead_in import LeadIn
from llmguard.parsing.stream.locations import StreamLocation, StreamLocations
from llmguard.parsing.stream.scalars import SCALARS, Refusal
from llmguard.parsing.stream.stack import MISSING, StreamFrame, refusal_violation
from llmguard.parsing.syntax import same_json
from llmguard.parsing.syntax.escapes import control_escape_in
from llmguard.schema.keywords import as_pointer
from llmguard.schema.words import clause, clipped

MAX_DEPTH = 128
MAX_TOKEN_CHARS = 200
"""Names come from the model, so a long one is cut in a path."""

_WHITE = re.compile(r"[ \t\n\r]*+").match
_IN_STRING = re.compile(r'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL).match
# Whole characters only: an escape of half a surrogate pair goes with the other half. A backspace or a form feed before a letter
# is none (`syntax.escapes`).
_WHOLE = re.compile(
    r'(?:[^"\\\x00-\x1f]++|\\(?:["\\/nrt]|[bf](?=[\W\d_])|u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    r"|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))*+"
).match
_HALF = re.compile(
    r"\\(?:[bf]|u[0-9a-fA-F]{0,3}|u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?)?\Z"
).match
_LONE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}").match
_SURROGATE = re.compile("[\ud800-\udfff]").search
_BARE = re.compile(r"[-+.0-9A-Za-z]*+").match
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+").fullmatch
_WORDS = {"true": True, "false": False, "null": None}
_NOT_FINITE = frozenset(("NaN", "Infinity", "-Infinity"))
_KIND_OF = {'"': "string", "{": "object", "[": "array", "t": "boolean", "f": "boolean", "n": "null", "N": "not finite",
            "I": "not finite", **dict.fromkeys("-0123456789", "number")}  # fmt: skip
_NAMES = {
    "string": "a string",
    "object": "an object",
    "array": "a list",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
_OPENERS = {"string": '"', "number": "-0123456789", "integer": "-0123456789", "boolean": "tf", "null": "n"}
_QUOTES = frozenset("\"'“”‘’„«»`")
_MESSAGES = {
    "duplicate_key": ("the same key stands twice with different values", "each key once"),
    "non_finite": ("a number that is not finite", "a finite number"),
    "integer_too_long": ("an integer of more digits than are read", "a shorter number"),
    "lone_surrogate": ("a string with half a surrogate pair", "whole Unicode characters"),
    "too_deep": ("brackets nest too deep", "fewer levels"),
}

_State: TypeAlias = "Callable[[JsonStreamValidator, str, int], int]"


class JsonStreamValidator:
    """Reads one reply as it grows. Made for one request; not thread-safe.

    `value` is the value so far, None before its first part is known. It is one live object that grows; copy it to keep
    it. A member or item appears when it is complete, an object or list with its first entry, and a string whose schema
    has `"x-stream": true` while it grows. `version` increases whenever `value` has something new.

    `violation` is set once no continuation of the value can repair it; from then on `feed` does nothing. It is only set
    for what the final reading (`coerce`) refuses too, whatever it repairs: not for a string where a number is expected,
    since the string may hold one. Words that take back the whole answer and give another are a second answer, not a
    continuation; a value that begins after prose may be an example, so only its depth is judged. `strict_only` judges by
    the letter of the schema. `locations`: those of the schema, to be shared by the validators of several requests; it
    then decides `strict_only`. `judges=False`: only text that no reading takes is refused, whatever the schema says.

    >>> validator = JsonStreamValidator({"properties": {"count": {"type": "integer", "maximum": 9}}, "type": "object"})
    >>> [validator.feed(delta) for delta in ('{"name": "A', 'da", "count', '": 12', '}')]
    [False, True, False, True]
    >>> validator.value, str(validator.violation)
    ({'name': 'Ada', 'count': 12}, '/count: must be at most 9; got 12 [maximum]')
    """

    __slots__ = (
        "_asides",
        "_before",
        "_doubt",
        "_frame",
        "_grown",
        "_held",
        "_in_key",
        "_judges",
        "_lead_in",
        "_length",
        "_limit",
        "_max_depth",
        "_parts",
        "_quiet",
        "_root",
        "_stack",
        "_state",
        "_strict",
        "characters_read",
        "version",
        "violation",
    )

    def __init__(
        self,
        schema_json: Json,
        *,
        max_depth: int = MAX_DEPTH,
        strict_only: bool = False,
        judges: bool = True,
        locations: StreamLocations | None = None,
    ) -> None:
        locations = locations or StreamLocations(schema_json, strict_only=strict_only)
        self._strict = locations.strict_only
        self._judges = judges
        self._max_depth = max_depth
        self._lead_in = LeadIn(_openers(locations.root))
        self._root = self._frame = StreamFrame(locations.anything, is_list=True, sure=False)
        self._root.child, self._root.key, self._root.shown = locations.root, 0, True
        self._stack: list[StreamFrame] = []
        self._state: _State = JsonStreamValidator._search
        self._held = ""  # the end of the last delta, that needs the next one
        self._parts: list[str] = []  # of the string, number or word that is being read
        self._quiet: list[str] | None = None  # the same, while nothing but text can come
        self._in_key = False
        self._grown = False  # the string that is being read is shown as it grows
        self._length, self._limit = 0, 0
        self._doubt: Violation | None = None
        self._asides, self._before = 0, 0
        self.version = 0
        self.violation: Violation | None = None
        self.characters_read = 0

    @property
    def value(self) -> Json:
        """The value so far; None before its first part is known."""
        shown = self._root.value
        return shown[0] if shown else None

    def snapshot(self) -> Json:
        """`value` as it is now: the open containers are copied, what is complete is shared."""
        kept: Json = [*self._root.value]
        original, copied = self._root.value, kept
        key: Json = 0
        for frame in self._stack:
            if not _holds(original, key, frame.value):
                break  # nothing of it is shown, or it is a second member of a name
            copied[key] = frame.value.copy()
            original, copied = frame.value, copied[key]
            key = len(original) - 1 if frame.is_list else frame.key
        return kept[0] if kept else None

    def feed(self, delta: str) -> bool:
        """Read on; returns whether `value` has something new."""
        quiet = self._quiet
        if quiet is not None and '"' not in delta and "\\" not in delta:
            self.characters_read += len(delta)
            quiet.append(delta)
            return False
        if self.violation is not None:
            return False
        self.characters_read += len(delta)
        version = self.version
        text = self._held + delta if self._held else delta
        self._held = ""
        position, end = 0, len(text)
        while position < end:
            position = self._state(self, text, position)
        if self._asides:
            self.version = self._before
        return self.version != version

    # --- before the value, and after it

    def _search(self, text: str, position: int) -> int:
        preamble = self._lead_in
        start = preamble.search(text, position)
        if start < 0:
            self._held, preamble.held = preamble.held, ""
            return len(text)
        root = self._root
        if text[start] in "{[":
            root.sure = self._judges and preamble.clean and (self._strict or not root.child.is_scalar)
            self._state = JsonStreamValidator._value
            return self._open(text, start)
        root.sure = self._judges and self._strict and preamble.clean
        self._state = JsonStreamValidator._value
        return start

    def _rest(self, text: str, position: int) -> int:
        """Nothing more is read: the value is complete, or the text is not strict JSON."""
        return len(text)

    def _lose(self, text: str, position: int) -> int:
        """Not strict JSON: the final reading may repair it. After brackets in prose the search for a value goes on."""
        in_prose = not (self._lead_in.clean or self.version or self._asides)
        if in_prose and len(self._stack) == 1 and not self._frame.value and text[position] not in _QUOTES:
            self._stack.clear()
            self._frame = self._root
            self._state = JsonStreamValidator._search
            return position
        self._state, self._quiet, self._doubt = JsonStreamValidator._rest, None, None
        return len(text)

    # --- between values

    def _value(self, text: str, position: int) -> int:
        """A value comes next."""
        sign = text[position]
        if sign == '"':
            return self._begin_string(text, position + 1)
        if sign in " \t\n\r":
            return _WHITE(text, position).end()  # type: ignore[union-attr]
        if sign not in _KIND_OF:
            return self._lose(text, position)
        if sign in "{[":
            return self._open(text, position)
        if self._refuses_kind(sign):
            return len(text)
        self._parts = []
        self._state = JsonStreamValidator._literal
        return self._literal(text, position)

    def _first_item(self, text: str, position: int) -> int:
        if text[position] == "]":
            return self._close(text, position + 1)
        return self._next_item(text, position)

    def _next_item(self, text: str, position: int) -> int:
        if text[position] in " \t\n\r":
            return _WHITE(text, position).end()  # type: ignore[union-attr]
        if text[position] not in _KIND_OF:
            return self._lose(text, position)
        if self._doubt is not None:
            return self._violate(text, self._doubt)
        frame = self._frame
        refusal = frame.next_item()
        if refusal:
            return self._violate(
                text, refusal_violation(self._path(0), refusal, _items(int(frame.key) + 1), "", frame.location)
            )
        self._state = JsonStreamValidator._value
        return self._value(text, position)

    def _first_key(self, text: str, position: int) -> int:
        if text[position] == "}":
            return self._close(text, position + 1)
        return self._next_key(text, position)

    def _next_key(self, text: str, position: int) -> int:
        sign = text[position]
        if sign == '"':
            if self._doubt is not None:
                return self._violate(text, self._doubt)
            self._in_key = True
            self._parts = []
            self._state = JsonStreamValidator._string
            return self._string(text, position + 1)
        if sign in " \t\n\r":
            return _WHITE(text, position).end()  # type: ignore[union-attr]
        return self._lose(text, position)

    def _colon(self, text: str, position: int) -> int:
        sign = text[position]
        if sign == ":":
            self._state = JsonStreamValidator._value
            self._begin_member()
            return position + 1
        if sign in " \t\n\r":
            return _WHITE(text, position).end()  # type: ignore[union-attr]
        return self._lose(text, position)

    def _after(self, text: str, position: int) -> int:
        """A comma or the closer comes next."""
        sign, frame = text[position], self._frame
        if sign == ",":
            self._state = JsonStreamValidator._next_item if frame.is_list else JsonStreamValidator._next_key
            return position + 1
        if sign == frame.closer:
            return self._close(text, position + 1)
        if sign in " \t\n\r":
            return _WHITE(text, position).end()  # type: ignore[union-attr]
        return self._lose(text, position)

    def _begin_member(self) -> None:
        frame = self._frame
        key = str(frame.key)
        if key in frame.value:
            frame.twice = frame.value[key]
            self._put_aside()
        refusal = frame.next_member(key)
        if refusal:
            self._refuse_member(frame, *refusal)

    def _refuse_member(self, frame: StreamFrame, refusal: Refusal, name: str) -> None:
        """An unexpected member is refused at its own path, anything else at that of the object."""
        path = self._path(0) + as_pointer((_cut(name),)) if name else self._path(0)
        self._violate("", refusal_violation(path, refusal, frame.value, name, frame.location))

    # --- objects and lists

    def _open(self, text: str, position: int) -> int:
        sign, parent = text[position], self._frame
        if len(self._stack) >= self._max_depth:
            return self._violate(text, self._unreadable("too_deep", self._max_depth))
        if self._refuses_kind(sign):
            return len(text)
        frame = StreamFrame(parent.child.unfold(), is_list=sign == "[", sure=parent.sure, is_root=parent is self._root)
        if frame.is_root:
            self._hide_mismatch(frame)
        frame.shown = parent.twice is not MISSING
        self._stack.append(frame)
        self._frame = frame
        self._state = JsonStreamValidator._first_item if frame.is_list else JsonStreamValidator._first_key
        return position + 1

    def _hide_mismatch(self, frame: StreamFrame) -> None:
        """A root of another type than the schema's is wrapped, or wrong: nothing of it is shown."""
        types = frame.location.types
        if types and ("array" if frame.is_list else "object") not in types:
            self._root.twice = None
            self._put_aside()

    def _close(self, text: str, position: int) -> int:
        if self._doubt is not None:
            return self._violate(text, self._doubt)
        frame = self._frame
        refusal = frame.at_end()
        if refusal:
            return self._violate(text, refusal_violation(self._path(0), refusal[0], frame.value, "", frame.location))
        if not frame.shown:
            self._show()
            self.version += 1
        self._stack.pop()
        self._frame = parent = self._stack[-1] if self._stack else self._root
        if parent is self._root:
            self._state = JsonStreamValidator._rest
            return len(text)
        self._state = JsonStreamValidator._after
        if parent.twice is not MISSING:
            self._second(parent, frame.value)
        return position

    def _show(self) -> None:
        """The innermost container, and what is around it, become part of the value."""
        stack = self._stack
        first = len(stack)
        while first and not stack[first - 1].shown:
            first -= 1
        parent = stack[first - 1] if first else self._root
        for frame in stack[first:]:
            frame.shown = True
            _attach(parent, frame.value)
            parent = frame

    def _put(self, value: Json) -> None:
        """A complete scalar becomes the next entry."""
        frame = self._frame
        self._state = JsonStreamValidator._after
        if frame.twice is not MISSING:
            self._second(frame, value)
            return
        if not frame.shown:
            self._show()
        if frame.is_list:
            frame.value.append(value)
        elif value is None and frame.location.is_absent_if_null(str(frame.key)):
            return
        else:
            frame.value[frame.key] = value
        self.version += 1
        if frame is self._root:
            self._state = JsonStreamValidator._rest

    # --- the same key twice

    def _put_aside(self) -> None:
        """What follows is not shown, until `_second` has compared it."""
        if not self._asides:
            self._before = self.version
        self._asides += 1

    def _second(self, frame: StreamFrame, value: Json) -> None:
        first, frame.twice = frame.twice, MISSING
        self._asides -= 1
        if not self._asides:
            self.version = self._before
        if not same_json(first, value):
            self._suspect(self._unreadable("duplicate_key", str(frame.key)))
        frame.value[frame.key] = value

    # --- strings

    def _begin_string(self, text: str, position: int) -> int:
        frame = self._frame
        location = frame.child
        if self._refuses_kind('"'):
            return len(text)
        self._in_key = False
        self._parts = []
        self._grown = location.streams and frame.twice is MISSING and not self._asides
        if self._grown or (location.longest is not None and frame.sure):
            self._length, self._limit = 0, location.longest if location.longest is not None and frame.sure else -1
            self._state = JsonStreamValidator._watched
            return self._watched(text, position)
        self._state = JsonStreamValidator._string
        return self._string(text, position)

    def _string(self, text: str, position: int) -> int:
        """A string that is of interest only when it is complete."""
        stop = _IN_STRING(text, position).end()  # type: ignore[union-attr]
        parts = self._parts
        parts.append(text[position:stop])
        if stop == len(text):
            self._quiet = parts
            return stop
        self._quiet = None
        if text[stop] == "\\":
            self._held = "\\"
            return len(text)
        return self._end_string(text, stop)

    def _end_string(self, text: str, stop: int) -> int:
        parts = self._parts
        raw = parts[0] if len(parts) == 1 else "".join(parts)
        try:
            value = scanstring(raw + '"', 0)[0]
        except ValueError:
            return self._lose(text, stop)
        if control_escape_in(raw, 0, len(raw)):
            return self._lose(text, stop)
        if not value.isascii() and _SURROGATE(value):
            return self._half_character(text)
        if self._in_key:
            self._frame.key = value
            self._state = JsonStreamValidator._colon
        else:
            self._whole_string(value)
        return stop + 1

    def _whole_string(self, value: str) -> None:
        self._put(value)
        self._judge_string(value)

    def _judge_string(self, value: str) -> None:
        frame = self._frame
        judge = frame.child.on_string
        if judge is not None and frame.sure and (refusal := judge(value, value)):
            self._suspect(self._refused(refusal, value))

    def _watched(self, text: str, position: int) -> int:
        """A string that is shown as it grows, or that may become too long."""
        stop = _WHOLE(text, position).end()  # type: ignore[union-attr]
        if stop > position:
            piece = text[position:stop]
            self._grow(scanstring(piece + '"', 0)[0] if "\\" in piece else piece)
        if self._state is not JsonStreamValidator._watched or stop == len(text):
            return len(text)
        if text[stop] == '"':
            self._end_watched()
            return stop + 1
        if _HALF(text, stop):
            self._held = text[stop:]
            return len(text)
        return self._half_character(text) if _LONE(text, stop) else self._lose(text, stop)

    def _grow(self, piece: str) -> None:
        if not piece.isascii() and _SURROGATE(piece):
            self._half_character(piece)
            return
        if self._grown:
            self._show_growing(piece)
        if not self._grown or self._limit >= 0:
            self._parts.append(piece)
        self._length += len(piece)
        if 0 <= self._limit < self._length:
            self._judge_length()

    def _show_growing(self, piece: str) -> None:
        frame = self._frame
        self.version += 1
        if not self._length:
            if not frame.shown:
                self._show()
            _attach(frame, piece)
            return
        where, key = frame.value, -1 if frame.is_list else frame.key
        # The text must have no other name while it grows: then CPython lengthens it in place, and does not copy it.
        text = where[key]
        where[key] = None
        text += piece
        where[key] = text

    def _judge_length(self) -> None:
        text = "".join(self._parts)
        self._parts = [text]
        refusal = self._frame.child.scalars.too_long(text)
        if refusal:
            self._violate("", self._refused(refusal, text))
        self._limit = 2 * self._length

    def _end_watched(self) -> None:
        frame = self._frame
        if self._grown and self._length:
            self._state = JsonStreamValidator._rest if frame is self._root else JsonStreamValidator._after
            self._judge_string(frame.value[-1 if frame.is_list else frame.key])
        else:
            self._whole_string("".join(self._parts))

    def _half_character(self, text: str) -> int:
        self._state, self._quiet = JsonStreamValidator._rest, None
        return self._violate(text, self._unreadable("lone_surrogate", None)) if self._lead_in.clean else len(text)

    # --- numbers and words

    def _literal(self, text: str, position: int) -> int:
        """A number, true, false or null: complete where something else follows."""
        stop = _BARE(text, position).end()  # type: ignore[union-attr]
        self._parts.append(text[position:stop])
        if stop == len(text):
            return stop
        if text[stop] not in " \t\n\r,]}":
            return self._lose(text, stop)
        literal = self._parts[0] if len(self._parts) == 1 else "".join(self._parts)
        if literal in _WORDS:
            self._whole_word(_WORDS[literal])
        elif _NUMBER(literal):
            self._whole_number(literal)
        elif literal in _NOT_FINITE:
            self._not_read("non_finite", literal)
        else:
            return self._lose(text, stop)
        return stop

    def _whole_word(self, value: bool | None) -> None:
        frame = self._frame
        judge = frame.child.on_null if value is None else frame.child.on_truth
        self._put(value)
        if judge is None or not frame.sure:
            return
        if value is None and not frame.is_list and not self._strict and frame.key not in frame.location.required:
            return  # null means that the property is absent
        if refusal := judge(value, ""):
            self._suspect(self._refused(refusal, value))

    def _whole_number(self, literal: str) -> None:
        try:
            value: int | float = int(literal) if literal.lstrip("-").isdigit() else float(literal)
        except ValueError:  # more digits than Python converts
            self._not_read("integer_too_long", literal)
            return
        if value - value != 0:
            self._not_read("non_finite", literal)
            return
        frame = self._frame
        judge = frame.child.on_number
        self._put(value)
        if judge is not None and frame.sure and (refusal := judge(value, literal)):
            self._suspect(self._refused(refusal, value))

    def _not_read(self, rule: str, literal: str) -> None:
        """A literal that the final reading does not accept either."""
        self._suspect(self._unreadable(rule, literal[:80]))
        self._state = JsonStreamValidator._after if self._doubt or self.violation else JsonStreamValidator._rest

    # --- violations

    def _refuses_kind(self, sign: str) -> bool:
        """By the letter, a value of the wrong type is refused at its first character."""
        location = self._frame.child
        if not (self._frame.sure and _KIND_OF[sign] in location.refused):
            return False
        demand = clause(*location.demanded, None).partition("; got ")[0]
        message = f"{demand}; got {_NAMES[_KIND_OF[sign]]}"
        self._violate("", Violation(self._path(), "type", message, clipped(location.demanded[1])))
        return True

    def _suspect(self, violation: Violation) -> None:
        """A violation, if the last token ends where it seems to: in broken JSON `1,250` is one number."""
        if not self._lead_in.clean:
            return
        if self._strict:
            self._violate("", violation)
        else:
            self._doubt = violation

    def _violate(self, text: str, violation: Violation) -> int:
        """Reading ends with a violation."""
        self.violation = violation
        self._state, self._quiet = JsonStreamValidator._rest, None
        return len(text)

    def _refused(self, refusal: Refusal, actual: Json) -> Violation:
        return refusal_violation(self._path(), refusal, actual, "", self._frame.location)

    def _unreadable(self, rule: str, actual: Json) -> Violation:
        message, expected = _MESSAGES[rule]
        return Violation(self._path(), rule, message, expected, actual)

    def _path(self, entry: int = 1) -> str:
        """The path of the next entry; with 0, that of the innermost container."""
        frames = self._stack if entry else self._stack[:-1]
        return as_pointer(tuple(_cut(str(frame.key)) for frame in frames))


def _openers(root: StreamLocation) -> str:
    """What a value of the root's type may begin with."""
    brackets = "".join(sign for sign, kind in (("{", "object"), ("[", "array")) if kind in root.types)
    if brackets or not root.types:
        return brackets or "{["
    return "".join(dict.fromkeys("".join(_OPENERS[kind] for kind in sorted(root.types & SCALARS))))


def _holds(container: Json, key: Json, value: Json) -> bool:
    entry = container.get(key) if isinstance(container, dict) else container[key] if container else None
    return entry is value


def _attach(frame: StreamFrame, entry: Json) -> None:
    if frame.is_list:
        frame.value.append(entry)
    else:
        frame.value[frame.key] = entry


def _items(count: int) -> list[None]:
    """A list of that length, for a message that mentions only its length."""
    return [None] * count


def _cut(token: str) -> str:
    return token if len(token) <= MAX_TOKEN_CHARS else token[:MAX_TOKEN_CHARS] + "…"
