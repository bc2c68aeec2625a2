"""Where the values are in a text: one pass from mark to mark over thoughts, fences and brackets."""

from __future__ import annotations

import re
from dataclasses import replace
from re import IGNORECASE

from llmguard.core.canonical import Json
from llmguard.core.outcome import Repair, Violation
from llmguard.core.patterns import Pattern
from llmguard.parsing.syntax.candidates import Candidate, Parsed
from llmguard.parsing.syntax.code import is_changed_by_code
from llmguard.parsing.syntax.containers import has_left_over
from llmguard.parsing.syntax.notes import Ledger, around, cut_middle
from llmguard.parsing.syntax.placement import NEAR, Place, Placement, place_of
from llmguard.parsing.syntax.strict import NotStrict, load_at
from llmguard.parsing.syntax.strings import Unreadable
from llmguard.parsing.syntax.thoughts import ASIDE_CLOSING, ASIDE_OPENING, CLOSING, OPENING
from llmguard.parsing.syntax.tolerant import Tolerant, TolerantValue

MOST_CANDIDATES = 1000
"""A reply with more values is refused: no answer can be chosen among so many."""

_STRICT_TRIES = 16
"""Values after the first that are tried strictly before they are read tolerantly; a text of fragments is not tried on."""

_MOST_WORK = 4
"""A text may be read so many times over in all, where broken values in it are tried again from their next line."""

_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060\x00"
_FENCES = ("```", "~~~")
_FENCE_MARK = Pattern(r"(?:```++|~~~++)[A-Za-z0-9_+.-]{0,20}+")
_MARK = Pattern(
    rf"(?P<open>{OPENING})|(?P<close>{CLOSING})|(?P<aside>{ASIDE_OPENING})|(?P<aside_end>{ASIDE_CLOSING})"
    r"|(?P<fence>```++[^\n`{\[]{0,40}+|~~~++[^\n~{\[]{0,40}+)|(?P<value>[{\[])",
    IGNORECASE,
)
_MEMBERS_ONLY = Pattern(r"""\s*+["“'][^"”'\n]{1,100}+["”']\s*+:""")
_AFTER = Pattern(r"[ \t\r\n]*+([\]}]++)")
_KEY = r"""["'“][^"'”\n]{0,200}+["'”]\s*+:"""
_GOES_ON = Pattern(rf"""[\s\]}}]*+(?:,?+\s*+["“][^"”\n]{{0,200}}+["”]\s*+:|,\s*+(?:{_KEY}|[A-Za-z_]\w*+\s*+:)|:)""")
_MORE = Pattern(r"""[\s\]}]*+,\s*+(?:["“'\-0-9]|(?:true|false|null|True|False|None)\b)""")
_LITERALS = "true|false|null|True|False|None"
_JSON_LIKE = Pattern(
    r"""\{\s*+(?:["“'„«`]|[\w ]++[:="]|\Z|,)"""
    rf"""|\[\s*+(?:[{{\["“']|(?:-?[0-9][0-9.eE+\-]*+|{_LITERALS})\s*+[,\n]|\Z)"""
)
_DOUBLED = Pattern(r"\{\s*+\{")
_WORDS_ONLY = Pattern(r"\{\s*+\w[\w ]*+\}")
_GAP = Pattern(r"[\s,]*+(?:(?:[-*•]|[0-9]{1,4}+[.)])\s++)?+\Z")
_CALLED = Pattern(r"\s*+([A-Za-z_][\w.]*+\(\s*+[A-Za-z_]\w*+\s*+=(?!=))")
_TUPLE = Pattern(r"\s*+\((?:\s*+['\"]|.*,)")


def candidates_in(text: str, *, max_depth: int, cut: bool, prefix: tuple[Json, int] | None = None) -> Parsed:
    """The candidates of a text that is no strict JSON as a whole. `prefix`: the strict value that it starts with, and
    where that ends."""
    body = _unfenced(text)
    if _MEMBERS_ONLY.match(body):
        body = body.rstrip() + "\n"
        return _alone(text, body, Tolerant(body, 0, max_depth=max_depth, cut=cut, braces=False))
    if called := _CALLED.match(body) or _TUPLE.match(body):
        start = called.start(1) if called.lastindex else body.index("(")
        return _alone(text, body, Tolerant(body, start, max_depth=max_depth, cut=cut))
    return _Search(text, max_depth, cut, prefix).all_candidates()


def _alone(text: str, body: str, reader: Tolerant) -> Parsed:
    """A text that is one value as a whole: members without their braces, a call, or a tuple. Brackets in it are its."""
    try:
        result = reader.read()
    except Unreadable as error:
        return Parsed((Candidate(None, refused=Violation("", error.rule, error.message)),))
    if body[result.end :].strip(" \t\r\n;"):
        return Parsed((Candidate(None, refused=Violation("", "ambiguous_brackets", "text after the value")),))
    return Parsed((candidate_of(result, 0, len(text)),))


def candidate_of(result: TolerantValue, start: int, end: int) -> Candidate:
    return Candidate(
        result.value,
        result.ledger.listed(),
        start,
        end,
        result.closed,
        unsure=result.unsure,
        comments=result.comments,
        calls=result.calls,
    )


class _Search:
    """One pass. `first`: where the text begins, which may be the value that it is about; `last`: where the last value ended."""

    def __init__(self, text: str, max_depth: int, cut: bool, prefix: tuple[Json, int] | None) -> None:
        self.text, self.max_depth, self.cut, self.prefix = text, max_depth, cut, prefix
        self.first = len(text) - len(text.lstrip())
        if _DOUBLED.match(text, self.first):
            self.first = text.index("{", self.first + 1)
        self.candidates: list[Candidate] = []
        self.last = 0
        self.fence = ""
        self.thoughts: list[tuple[int, int]] = []
        self.thought_since = -1
        self.aside = False
        self.all_thoughts = 0  # so many candidates from the first on are thoughts
        self.strict_tries = _STRICT_TRIES
        self.work = 0

    def all_candidates(self) -> Parsed:
        position = 0
        while mark := _MARK.search(self.text, position):
            position = self.step(mark)
            if len(self.candidates) > MOST_CANDIDATES:
                return Parsed(tuple(self.candidates), violation=_too_many())
        if self.thought_since >= 0:
            if not self.aside:
                return Parsed(violation=_unfinished_thought(self.text[self.thought_since : self.thought_since + 40]))
            self.thoughts.append((self.thought_since, len(self.text)))
        deep = next((one.refused for one in self.candidates if one.refused and one.refused.rule == "too_deep"), None)
        if deep:
            return Parsed(violation=deep)
        return Parsed(tuple(self.candidates), None, self.unbracketed(), self.text, tuple(self.thoughts))

    # -- marks

    def step(self, mark: re.Match[str]) -> int:
        """Read what a mark is the start of; returns where to look on."""
        if mark["open"] or mark["aside"]:
            if self.thought_since < 0:
                self.thought_since, self.aside = mark.start(), bool(mark["aside"])
        elif mark["close"] or (mark["aside_end"] and self.thought_since >= 0):
            self.end_thought(mark)
        elif mark["fence"]:
            self.fence = "" if self.fence else mark["fence"]
        elif not self.is_prose(mark.start()):
            return self.value(mark.start())
        return mark.end()

    def is_prose(self, start: int) -> bool:
        """Whether a bracket starts no value: it is doubled, or has only words in it."""
        return bool(_DOUBLED.match(self.text, start)) or (
            start != self.first and bool(_WORDS_ONLY.match(self.text, start))
        )

    def end_thought(self, mark: re.Match[str]) -> None:
        """A closing tag; without an opening one, all that came before it was thought."""
        start = max(self.thought_since, 0)
        self.thoughts.append((start, mark.end()))
        number = len(self.candidates)
        while number > self.all_thoughts and self.candidates[number - 1].start >= start:
            number -= 1
            self.candidates[number] = replace(self.candidates[number], place="thought")
        if number == self.all_thoughts:
            self.all_thoughts = len(self.candidates)
        self.thought_since = -1
        self.last = mark.end()

    def value(self, start: int) -> int:
        """The value at `start` becomes a candidate, or a refused one; returns where to look on."""
        try:
            result = self.read(start)
        except Unreadable as error:
            return self.refused(start, error)
        if result.closed and is_changed_by_code(self.text, start, result.end):
            return self.refused(start, Unreadable("changed_by_code", "code after the value changes it", result.end))
        if result.closed and self.goes_on(result, start):
            doubt = Unreadable("ambiguous_brackets", "the text goes on after the value was closed", result.end)
            return self.refused(start, doubt)
        extra = _AFTER.match(self.text, result.end) if result.closed else None
        if extra:
            result.ledger.wants("extra_closer")
            result.ledger.add("extra_closer", "", extra[1], "")
        end = extra.end() if extra else result.end
        self.add(candidate_of(result, start, end))
        return end

    def goes_on(self, result: TolerantValue, start: int) -> bool:
        """Whether what follows a value that was closed reads like a part of it."""
        following = self.text[result.end : result.end + 1]
        if result.ledger and (following.isalnum() or following == '"'):
            return True
        if _GOES_ON.match(self.text, result.end) or has_left_over(self.text, result.end):
            return True
        return (result.doubtful or start == self.first) and bool(_MORE.match(self.text, result.end))

    def read(self, start: int) -> TolerantValue:
        """Strictly where that is cheap, then tolerantly."""
        if self.prefix and start == self.first:
            return TolerantValue(*self.prefix, True, Ledger())
        if self.strict_tries and not self.cut and start != self.first:
            try:
                return TolerantValue(*load_at(self.text, start), True, Ledger())
            except NotStrict:
                self.strict_tries -= 1
        return Tolerant(self.text, start, max_depth=self.max_depth, cut=self.cut).read()

    def refused(self, start: int, error: Unreadable) -> int:
        """Text that looks like JSON and cannot be read; other brackets are prose."""
        if start == self.first or _JSON_LIKE.match(self.text, start) or error.rule == "too_deep":
            snippet = cut_middle(self.text[max(start, error.at - 40) : error.at + 40])
            reason = Violation("", error.rule, error.message, "one JSON value with one reading", snippet)
            end = max(start, error.at)
            self.candidates.append(Candidate(None, (), start, end, False, *self.placement(start, end), refused=reason))
        self.work += error.read_to - start
        if self.work > _MOST_WORK * len(self.text):
            return max(start + 1, error.read_to)
        if error.rule.startswith("unterminated"):
            line = self.text.find("\n", start, error.read_to)
            if line >= 0:
                return line
        return max(start + 1, error.at)

    # -- where a value stands

    def placement(self, start: int, end: int) -> Placement:
        if self.thought_since >= 0:
            return Placement("thought")
        rest = self.text[end : end + NEAR].partition("\n")[0]
        ends_line = not any(sign.isalnum() or sign in "?？" for sign in _FENCE_MARK.sub("", rest))
        return place_of(self.text[max(self.last, start - NEAR) : start], ends_line=ends_line)

    def add(self, candidate: Candidate) -> None:
        between = self.text[self.last : candidate.start]
        if any(repair.rule == "unquoted_value" for repair in candidate.repairs) and not self.stands_alone(candidate):
            return
        gap = bool(self.candidates) and bool(_GAP.match(between))
        before = between if self.candidates else self.text[: candidate.start]
        place, label, final = self.placement(candidate.start, candidate.end)
        noted = candidate.repairs + self.surroundings(before, candidate) + self.set_aside(place)
        self.candidates.append(replace(candidate, repairs=noted, place=place, label=label, final=final, gap=gap))
        self.last = candidate.end

    def set_aside(self, found_at: Place) -> tuple[Repair, ...]:
        """The repair that leaves out a thought before an answer."""
        if not self.thoughts or found_at == "thought":
            return ()
        start, end = self.thoughts[-1]
        return (around("thought", self.text[start : min(end, start + NEAR)]),)

    def stands_alone(self, candidate: Candidate) -> bool:
        """Words in brackets within a sentence are no JSON."""
        line = self.text.rfind("\n", 0, candidate.start) + 1
        before = self.text[line : candidate.start].strip()
        return not before or before.startswith(_FENCES) or before.endswith((":", "="))

    def surroundings(self, before: str, candidate: Candidate) -> tuple[Repair, ...]:
        """The repair that leaves out the text around a value; a fence around all of it is the ordinary way to answer."""
        after = self.text[candidate.end : candidate.end + NEAR]
        outside = before.strip() + after.strip()
        if not outside.strip(_INVISIBLE):
            return (around("invisible_character", ascii(cut_middle(outside))),) if outside else ()
        if not _FENCE_MARK.sub("", outside).strip(" \t\r\n" + _INVISIBLE):
            return ()
        return (around("prose", before.strip() or after.strip()),)

    def unbracketed(self) -> str:
        """The text without thoughts and fences, where it holds no value in brackets."""
        if any(one.place != "thought" for one in self.candidates):
            return ""
        parts, position = [], 0
        for start, end in self.thoughts:
            parts.append(self.text[position:start])
            position = max(position, end)
        return _unfenced("".join((*parts, self.text[position:]))).strip(" \t\r\n" + _INVISIBLE)


def _unfenced(text: str) -> str:
    """The inside of a text that is one fenced block as a whole; else the text."""
    stripped = text.strip(" \t\r\n" + _INVISIBLE)
    for mark in _FENCES:
        if stripped.startswith(mark) and stripped.endswith(mark) and stripped.count(mark) == 2:
            first, _, rest = stripped[3:-3].partition("\n")
            is_info = bool(rest) and not any(
                sign in first for sign in "{[\"'"
            )  # CommonMark 4.5: it may be several words
            return rest if is_info else stripped[3:-3].removeprefix("json")
    return text


def _too_many() -> Violation:
    return Violation("", "too_many_values", f"more than {MOST_CANDIDATES} values", "one value")


def _unfinished_thought(beginning: str) -> Violation:
    message = "the reply ends inside a thought, before any answer"
    return Violation("", "truncated", message, "a whole reply", beginning)
