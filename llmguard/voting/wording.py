"""Whether two texts say the same in nearly the same words: misspellings and articles may differ, nothing else.

"not approved" and "now approved" are one letter apart, and so are "20 mg" and "200 mg". A list of the words that turn a
meaning would never be whole, so the rule is the other way round: every word must be there in both texts, in the same order,
spelled alike. What may be missing or added are the few words of `LIGHT`, a closed class of grammar.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from llmguard.values.words import without_case

LIGHT = frozenset(
    "the a an der die das den dem des ein eine einen einem einer le la les un une el los las uno una il lo gli i o os as um"
    " uma het een de".split()
)
"""Articles of English, German, French, Spanish, Italian, Portuguese and Dutch: leaving one out changes no answer."""

MIN_LETTERS = 5
"""Of a word that may be misspelled: of shorter ones, one letter makes another word ("not" and "now")."""

_MARKS = ".,;:!\"'()[]{}…“”„‘’«»`*_"
_SIGNS = frozenset("?+-−<>=≤≥≈~%/$€£¥₹°#&|^")
_LAST_ALPHABETIC = "\u058f"
"""Latin, Greek, Cyrillic and Armenian stand before it: elsewhere a letter may be a word."""


class Wording(NamedTuple):
    """The words of a text that carry its meaning, in their order. `exact`: those that must be the same to the letter."""

    words: tuple[str, ...]
    exact: frozenset[int]


def wording(text: str) -> Wording:
    """The words of a text without articles and punctuation; a number keeps its sign, its marks and the word after it.

    >>> wording("The dose is 20 mg.").words, wording("Paid (twice)").words
    (('dose', 'is', '20', 'mg'), ('paid', 'twice'))
    """
    words: list[str] = []
    exact: set[int] = set()
    after_number = False
    for written in without_case(text).split():
        word, is_number = _word(written)
        if not word or (word in LIGHT and not after_number):
            continue
        if is_number or after_number:
            exact.add(len(words))
        words.append(word)
        after_number = is_number
    return Wording(tuple(words), frozenset(exact))


def same_wording(one: Wording, other: Wording) -> bool:
    """Whether both have the same words, up to a misspelling of long ones.

    >>> same_wording(wording("Ada Lovelace"), wording("Ada Lovelacce")), same_wording(wording("not paid"), wording("now paid"))
    (True, False)
    """
    if len(one.words) != len(other.words) or one.exact != other.exact:
        return False
    pairs = enumerate(zip(one.words, other.words, strict=True))
    return all(
        mine == theirs or (at not in one.exact and _is_misspelling(mine, theirs)) for at, (mine, theirs) in pairs
    )


def _word(written: str) -> tuple[str, bool]:
    """A word without the punctuation around it, and whether it has a digit: then signs before it and after it count."""
    stripped = written.strip(_MARKS)
    has_digit = any(sign.isdigit() for sign in stripped)
    if has_digit or any(sign in _SIGNS for sign in stripped):
        return stripped, has_digit
    start = 0
    while start < len(stripped) and not stripped[start].isalnum():
        start += 1
    end = len(stripped)
    while end > start and not (stripped[end - 1].isalnum() or ord(stripped[end - 1]) > 0x2FF):
        end -= 1
    return stripped[start:end], False


def _is_misspelling(one: str, other: str) -> bool:
    """One letter more, less or other, or two changed places, in a long word of letters that begins alike."""
    if min(len(one), len(other)) < MIN_LETTERS or abs(len(one) - len(other)) > 1 or one[0] != other[0]:
        return False
    if not (one.isalpha() and other.isalpha()) or max(one + other) > _LAST_ALPHABETIC:
        return False
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    if len(one) != len(other):
        return one[start + 1 :] == other[start:] or one[start:] == other[start + 1 :]
    swapped = Counter(one) == Counter(other) and one[start + 2 :] == other[start + 2 :]
    return one[start + 1 :] == other[start + 1 :] or swapped
