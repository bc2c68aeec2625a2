"""The containers that are open while broken text is read: what an entry, a closer and the end of the text do to them."""

from __future__ import annotations

from dataclasses import dataclass

from llmguard.core.canonical import Json
from llmguard.core.patterns import Pattern
from llmguard.parsing.syntax.notes import Ledger, pointer
from llmguard.parsing.syntax.strict import same_json
from llmguard.parsing.syntax.strings import OPENING, Unreadable

_CLOSER = {"{": "}", "[": "]", "(": ")", "call": ")"}
_MONEY_TUPLE = Pattern(r"\(\s*-?[$€£]?[0-9]{1,3}(?:,[0-9]{3})++(?:\.[0-9]*)?\s*\)")
_GOES_ON = Pattern(rf"[\s\]}}]*+,\s*+(?:[{OPENING}\-0-9]|true|false|null)")
_CLOSES_MORE = Pattern(r"\s*+[\]}]")
_BEGUN_LINE = Pattern(r"\n[ \t]++\Z")
_ENDS_HERE = Pattern(r"\s*+(?:(?:`{3,}+|~{3,}+)\s*+)?+\Z")
_LEFT_OVER = Pattern(
    rf"[\s\]}}]*+(?=[^\[\]{{}}]*?(?:[{OPENING}0-9]|\b(?:true|false|null|True|False|None)\b))[^\[\]{{}}]++[\]}}]"
    rf"|[ \t]*+(?:[{OPENING}][^\n{OPENING}]{{0,200}}+[{OPENING}]|-?[0-9][0-9.eE+\-]*+)[ \t]*+(?:[,\]}}\n]|\Z)"
)
_LOOK_BACK = 200


def has_left_over(text: str, end: int) -> bool:
    """Whether what follows a value that ends there was a part of it: texts or numbers, and a bracket that closes nothing, as
    after a list that was closed too early. `extra` closers alone are none.

    >>> has_left_over('["a"] "b", "c"]', 5), has_left_over('["a"]] and so on', 5)
    (True, False)
    """
    return bool(_LEFT_OVER.match(text, end))


@dataclass(slots=True, eq=False)
class ContainerFrame:
    """An open container. `ready`: the last entry is complete and a comma or the closer is next; `comma`: there was one;
    `unquoted`: how many of its texts had no quotes."""

    opener: str
    value: Json
    at: int
    key: str | int = ""
    ready: bool = False
    comma: bool = False
    unquoted: int = 0

    @property
    def is_object(self) -> bool:
        return self.opener in ("{", "call")


class Containers:
    """The open containers, innermost last, and the value that the outermost becomes.

    `unsure`: pointers of containers whose last entries may belong outside; `early`: where one was closed by the closer
    of another around it, -1 where none was. `comments`: the pointer of the entry before each, and its words; `calls`: what
    was called with keywords, as `Person(name="Ada")`.
    """

    def __init__(self, text: str, max_depth: int) -> None:
        self.text, self.max_depth = text, max_depth
        self.frames: list[ContainerFrame] = []
        self.ledger = Ledger()
        self.result: Json = None
        self.unsure: list[str] = []
        self.comments: list[tuple[str, str]] = []
        self.calls: list[str] = []
        self.early = -1
        self.closed = True

    def open(self, opener: str, at: int) -> None:
        value: Json = {} if opener in ("{", "call") else []
        if not self.frames:
            self.result = value
        if len(self.frames) >= self.max_depth:
            raise Unreadable("too_deep", f"brackets nest deeper than {self.max_depth} levels", at)
        self.frames.append(ContainerFrame(opener, value, at))

    def put(self, value: Json, at: int) -> None:
        """`value` becomes the next entry of the innermost container."""
        frame = self.frames[-1]
        if frame.is_object:
            key = frame.key
            if key in frame.value and not same_json(frame.value[key], value):
                raise Unreadable("duplicate_key", f"the key {key!r} stands twice with different values", at)
            frame.value[key] = value
        else:
            frame.value.append(value)
        frame.ready, frame.comma = True, False

    def close(self, closer: str, at: int) -> None:
        """A closing bracket: of the innermost container, or of an outer one, whose inner ones were forgotten."""
        if closer != _CLOSER[self.frames[-1].opener]:
            self._close_forgotten(closer, at)
        if self.frames[-1].comma:
            self.note("trailing_comma", ",", "")
        self._end(at + 1)
        if not self.frames and self.early >= 0 and self._is_doubtful_end(at + 1):
            raise Unreadable("ambiguous_brackets", "it is not clear which bracket was forgotten", at + 1)

    def finish(self, at: int, *, cut: bool) -> None:
        """The text, or the fence around it, ends at `at` while containers are open."""
        if cut:
            self.note("truncated", self.text[-40:], "")
        elif not self._lacks_only_the_last_brace(at):
            raise Unreadable("unterminated", "the text ends before its value does", at, len(self.text))
        else:
            self._doubt_inner_closers(at)
        while self.frames:
            self.note("missing_closer", "", _CLOSER[self.frames[-1].opener])
            if cut and self._is_half_an_item():
                self.frames.pop()
            else:
                self._end(at)
        self.closed = False

    def note(self, rule: str, before: Json, after: Json) -> None:
        """Record a repair of the entry that is being read."""
        if self.ledger.wants(rule):
            self.ledger.add(rule, pointer(self._steps()), before, after)

    def note_comment(self, rule: str, words: str) -> None:
        self.note(rule, words, "")
        if self.frames:
            self.comments.append((pointer(self._steps()), words))

    def _steps(self) -> list[str | int]:
        return [frame.key if frame.is_object else max(len(frame.value) - frame.ready, 0) for frame in self.frames]

    def _lacks_only_the_last_brace(self, at: int) -> bool:
        """Whether only the outermost object is open, after a whole member, where the text ends or the fence around it. Any list
        may have had more items, and a closer inside may have had more members before it: then the reply was cut."""
        frame = self.frames[-1]
        is_whole = frame.is_object and frame.ready and not frame.comma and len(self.frames) == 1
        return is_whole and bool(_ENDS_HERE.match(self.text, at)) and not _BEGUN_LINE.search(self.text)

    def _is_half_an_item(self) -> bool:
        return len(self.frames) > 1 and self.frames[-1].opener != "[" and self.frames[-2].opener == "["

    def _close_forgotten(self, closer: str, at: int) -> None:
        if all(closer != _CLOSER[frame.opener] for frame in self.frames):
            raise Unreadable("stray_closer", f"{closer!r} closes nothing", at)
        if self.early >= 0 or closer != _CLOSER[self.frames[-2].opener]:
            raise Unreadable("ambiguous_brackets", "several closing brackets are missing", at)
        while closer != _CLOSER[self.frames[-1].opener]:
            self.note("missing_closer", "", _CLOSER[self.frames[-1].opener])
            self._doubt_inner_closers(at)
            self._end(at)
            self.early = at if self.early < 0 else self.early

    def _is_doubtful_end(self, end: int) -> bool:
        """Whether it matters which bracket was forgotten: more follows, or more came after the forgotten one."""
        if _GOES_ON.match(self.text, end):
            return True
        only_closers = not self.text[self.early : end].strip("]}) \t\r\n,")
        return not only_closers and bool(_CLOSES_MORE.match(self.text, end))

    def _end(self, at: int) -> None:
        frame = self.frames.pop()
        if frame.opener == "(":
            self._check_tuple(frame)
        if (
            frame.unquoted
            and frame.opener == "["
            and sum(isinstance(item, str) for item in frame.value) > frame.unquoted
        ):
            raise Unreadable("ambiguous_value", "a list of texts with and without quotes", frame.at, at)
        if self.frames:
            self.put(frame.value, at)

    def _check_tuple(self, frame: ContainerFrame) -> None:
        if (len(frame.value) < 2 and not frame.comma) or _MONEY_TUPLE.match(self.text, frame.at):
            raise Unreadable("ambiguous_parentheses", "parentheses may mean a negative amount", frame.at)
        self.note("tuple", "(", "[")

    def _doubt_inner_closers(self, at: int) -> None:
        """Containers of the same kind that closed just before one whose closer is missing: the missing one may be
        theirs, and their last entries may belong outside. Only a schema can tell."""
        if self.text[max(0, at - _LOOK_BACK) : at].rstrip()[-1:] not in ("]", "}"):
            return
        outer = self.frames[-1].value
        steps: list[str | int] = [
            frame.key if isinstance(frame.value, dict) else len(frame.value) for frame in self.frames[:-1]
        ]
        while outer:
            last = next(reversed(outer)) if isinstance(outer, dict) else len(outer) - 1
            inner = outer[last]
            if type(inner) is not type(outer):
                return
            steps.append(last)
            if len(inner) > 1:
                self.unsure.append(pointer(steps))
            outer = inner
