"""What a reply's text holds: candidate values, each with its place, or why there are none."""

from __future__ import annotations

from dataclasses import dataclass

from llmguard.core.canonical import Json
from llmguard.core.outcome import Repair, Violation
from llmguard.parsing.syntax.placement import Place


@dataclass(frozen=True, slots=True)
class Candidate:
    """One value found in a reply, from `start` to `end` (indices of characters).

    `complete`: its closing bracket is in the text. `refused`: why the broken text has no single reading; `value` is then
    None. `unsure`: JSON Pointers of containers whose last entries may belong outside, because a closer is missing.
    `place`: where it stands; `label`: unknown words before it on its line; `final`: a label names it the one answer. `gap`:
    nothing but white space and commas since the last one. `comments`: the pointer of the entry before each, and its words.
    `calls`: the names of what is called with keywords.
    """

    value: Json
    repairs: tuple[Repair, ...] = ()
    start: int = 0
    end: int = 0
    complete: bool = True
    place: Place = "own"
    label: str = ""
    final: bool = False
    refused: Violation | None = None
    gap: bool = False
    unsure: tuple[str, ...] = ()
    comments: tuple[tuple[str, str], ...] = ()
    calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a reply holds: candidates in the order of the text. `violation`: the text cannot be read at all.
    `unbracketed`: the text without fences and thoughts, where it has no bracket, for a schema of one scalar. `text`: what
    the indices are of; `thoughts`: the spans of it that are no part of the answer."""

    candidates: tuple[Candidate, ...] = ()
    violation: Violation | None = None
    unbracketed: str = ""
    text: str = ""
    thoughts: tuple[tuple[int, int], ...] = ()
