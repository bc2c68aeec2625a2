"""What is printed moves, hides and reorders nothing on a terminal."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.core.canonical import decode
from llmguard.core.safe_text import clip, safe, safe_json, safe_line

VISIBLE_FORMAT = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13440)}
"""Format characters that are seen: signs of Arabic, Syriac, Kaithi and Egyptian that stand over other letters."""


def obeyed() -> list[str]:
    """Every character of Unicode that a terminal obeys or does not show, by its category."""
    kinds = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    letters = map(chr, range(sys.maxunicode + 1))
    return [each for each in letters if unicodedata.category(each) in kinds and ord(each) not in VISIBLE_FORMAT]


def test_nothing_that_a_terminal_obeys_survives() -> None:
    """Controls, formats, surrogates and separators are spelled out in ASCII, all but the newline."""
    survivors = [f"{ord(each):04x}" for each in obeyed() if not safe(each).isascii()]
    assert survivors == []
    assert [each for each in obeyed() if safe(each) == each] == ["\n"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b2J", r"\x9b2J"),
        ("a\u202eb", r"a\u202eb"),
        ("a\u200bb", r"a\u200bb"),
        ("\U000e0041", r"\U000e0041"),
        ("one\r\ntwo\t.", "one\\r\ntwo\\t."),
        ("\ud800", r"\ud800"),
        ("Größe 大 ❤️ é", "Größe 大 ❤️ é"),
    ],
)
def test_what_is_unsafe_is_spelled_out_and_the_rest_stays(text: str, shown: str) -> None:
    """Escapes stand as Python writes them; letters of every script stay as they are."""
    assert safe(text) == shown


@given(st.text(st.characters(), max_size=40))
def test_json_says_the_same_after_it_was_made_safe(text: str) -> None:
    """Machines read back exactly what was printed for them, on one line."""
    printed = safe_json({"said": text})
    assert decode(printed) == {"said": text}
    assert safe_line(printed) == printed


def test_json_of_a_character_beyond_the_first_plane_is_valid() -> None:
    """A hidden tag character becomes a pair of JSON escapes, which every JSON reader puts together again."""
    printed = safe_json("\U000e0041")
    assert (printed, json.loads(printed)) == (r'"\udb40\udc41"', "\U000e0041")


def test_a_line_is_one_line_and_no_longer_than_asked() -> None:
    """Newlines are spelled out, and what is cut is marked, also of a text of ten million characters."""
    assert safe_line("one\ntwo") == r"one\ntwo"
    assert safe_line("x" * 10_000_000, 5) == "xxxx…"
    assert len(safe_line("\x1b" * 100, 20)) == 20
    assert clip("four", 4) == "four"
