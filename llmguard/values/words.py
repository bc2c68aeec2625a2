"""Words that mean a value: members of a choice and names of properties by their likeness, yes and no, and words for nothing.

Likeness never drops or moves a digit, a sign, a point, a slash, or a mark at an end: `-1` is not `1`, `A-` is not `A`,
`1.5 mg` is not `15 mg`. Folded are letter case, white space, `_` and a hyphen between letters, and accents; no-break
spaces and hyphens, invisible marks and the two Unicode forms of one letter look alike and are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from unicodedata import combining, normalize

from llmguard.core.canonical import Json
from llmguard.core.patterns import Pattern
from llmguard.values.rejection import Rejection
from llmguard.values.units import case_counts

TRUTH = {"true": True, "yes": True, "false": False, "no": False}
NOTHING = frozenset(("null", "none", "nil", "n/a"))
ABSENT = frozenset(("", "null", "none", "nil", "n/a", "na", "-", "--", "unknown", "not specified", "not applicable"))
"""Texts that may mean that there is no value; wider than `NOTHING`, which is read as null."""

_PAIRS = {'"': '"', "'": "'", "`": "`", "*": "*", "“": "”", "‘": "’", "«": "»", "[": "]"}
"""Marks of quotation and emphasis, which come off in pairs only: 7" is no quoted 7."""

_FULL_STOPS = ".!。"
_SEPARATORS = Pattern(r"[\s_\-./]++")
_CAMEL = Pattern(r"(?<=[a-z0-9])(?=[A-Z])")
_INVISIBLE = Pattern("[\u00ad\u200b-\u200f\u2060\ufe0e\ufe0f\ufeff]")
_LOOKALIKES = {
    0x2010: "-", 0x2011: "-", 0x2012: "-", 0x2013: "-", 0x2018: "'", 0x2019: "'", 0x02BC: "'", 0x201C: '"', 0x201D: '"',
    **{0xFF01 + offset: chr(0x21 + offset) for offset in range(94)},
}  # fmt: skip
"""Typographic hyphens and quotation marks, and full-width ASCII (U+FF01 to U+FF5E), as their plain forms."""

_BETWEEN_LETTERS = Pattern(r"(?<=[^\W\d_])[-_\s]++(?=[^\W\d_])")
_GAPS = Pattern(r"(?<=[^\s_])[\s_]++(?=[^\s_])")
_BETWEEN_DIGITS = Pattern(r"(?<=\d)[\s_]++(?=\d)")
_MEASURE = Pattern(r"(?<=\d)[\s_]?([^\W\d_]{1,5}(?:/[a-z]{1,2})?)(?!\w)")
_LATIN_MARKS = range(0x300, 0x370)
"""Combining marks of alphabets (U+0300 to U+036F): accents. Those of other scripts are letters of their own."""


def trimmed(text: str) -> str:
    """Without white space, and without quotation marks or Markdown emphasis around it in pairs, and one full stop after it.

    >>> trimmed(' **"paid".** '), trimmed('7"'), trimmed("A-")
    ('paid', '7"', 'A-')
    """
    text = text.strip()
    for _ in range(_MOST_LAYERS):
        inner = text
        if len(text) > 1 and text[-1] in _FULL_STOPS and (text[-2].isalnum() or text[-2] in _CLOSING):
            inner = text[:-1] if text[-1] != "!" or not text[-2].isdigit() else text
        elif len(text) > 2 and _PAIRS.get(text[0]) == text[-1]:
            inner = text[1:-1].strip()
        if inner == text:
            return text
        text = inner
    return text


_MOST_LAYERS = 8
_CLOSING = frozenset(_PAIRS.values())


def normalized_words(name: str) -> str:
    """A name with one separator and without case: `firstName`, `First Name` and `first-name` are one.

    >>> normalized_words("firstName"), normalized_words("First Name"), normalized_words("API_KEY")
    ('first name', 'first name', 'api key')
    """
    return _SEPARATORS.sub(" ", _CAMEL.sub(" ", name)).strip().casefold()


def normalized_key(name: str) -> str:
    """A name without case and separators: `firstname` is `first_name` too."""
    return _SEPARATORS.sub("", name).casefold()


# ------------------------------------------------------------------------------------------------- likeness


def plain_form(text: str) -> str:
    """The text as it looks: canonical form, without invisible marks, typographic marks as plain ones, blanks as one blank.

    >>> plain_form("in\\u2011house") == "in-house", plain_form("San\\u00a0Juan") == "San Juan", plain_form("10⁸") == "10⁸"
    (True, True, True)
    """
    if text.isascii():
        return " ".join(text.split())
    if len(text) <= MAX_CHARS:  # marks are put in order in quadratic time
        text = normalize("NFC", text)
    return " ".join(_INVISIBLE.sub("", text).translate(_LOOKALIKES).split())


MAX_CHARS = 400
"""Of a text that is put in canonical form: names and members are shorter."""


def _cased(text: str) -> str:
    return without_case(plain_form(text))


def without_case(text: str) -> str:
    """Case folded, but for the symbol of a unit beside a number that is another one in another case.

    >>> without_case("Use 3 MW, not 3 mW"), without_case("5 KG")
    ('use 3 MW, not 3 mW', '5 kg')
    """
    parts: list[str] = []
    at = 0
    for match in _MEASURE.finditer(text):
        if case_counts(match[1]):
            parts += text[at : match.start(1)].casefold(), match[1]
            at = match.end(1)
    return "".join((*parts, text[at:].casefold()))


def _spaced(text: str) -> str:
    """One blank for each separator between letters; blanks beside a digit go, but not those between two digits."""
    words = _BETWEEN_LETTERS.sub(" ", _CAMEL.sub(" ", plain_form(text)))
    return _cased(_GAPS.sub(" ", words))


def _joined(text: str) -> str:
    """Without separators; between two digits one stays."""
    parts = _BETWEEN_DIGITS.sub("\x00", _BETWEEN_LETTERS.sub("", plain_form(text)))
    return _cased(_GAPS.sub("", parts))


def _unaccented(text: str) -> str:
    joined = _joined(text)
    if joined.isascii() or len(joined) > MAX_CHARS:
        return joined
    return "".join(sign for sign in normalize("NFD", joined) if ord(sign) not in _LATIN_MARKS or not combining(sign))


LIKENESS: tuple[Callable[[str], str], ...] = (str, plain_form, _cased, _spaced, _joined, _unaccented)
"""Ways to compare a text with a name, the strictest first: the first that has a match decides. What is alike by one is alike by
those after it."""


def meanings_of(text: str, options: Sequence[tuple[str, Json]]) -> list[Json]:
    """What `text` may mean of `options`, each a spelling and its meaning: nothing, one, or several where it is in doubt.

    >>> meanings_of("On hold", [("ON_HOLD", 1), ("SHIPPED", 2)]), meanings_of("-1", [("1", 1)])
    ([1], [])
    """
    widest, likely = LIKENESS[-1], LIKENESS[-1](text)
    options = [option for option in options if widest(option[0]) == likely]
    for level in LIKENESS if options else ():
        normalized = level(text)
        if matches := {
            (type(meaning), meaning): meaning for spelling, meaning in options if level(spelling) == normalized
        }:
            return list(matches.values())
    return []


def bare_name(key: str) -> str:
    """A key without marks of quotation or emphasis in pairs, Markdown's backslash before `_`, and a colon of its own.

    >>> bare_name("**First name**:"), bare_name("A-")
    ('First name', 'A-')
    """
    name = key.strip().removesuffix(":").strip().replace("\\_", "_")
    while len(name) > 2 and _PAIRS.get(name[0]) == name[-1]:
        name = name[1:-1].strip().removesuffix(":").strip()
    return name


def read_truth(text: str) -> bool | Rejection:
    """Exact words only: "not true" is no truth.

    >>> read_truth("Yes."), read_truth("not true").rule
    (True, 'not_a_boolean')
    """
    truth = TRUTH.get(trimmed(text).lower())
    return Rejection("not_a_boolean", f"{text[:60]!r} is not yes or no") if truth is None else truth


def read_member(text: str, members: Sequence[Json], labels: Mapping[str, Json]) -> Json | Rejection:
    """The one member that `text` names: as it is written, else by likeness, or by a label.

    >>> read_member("on hold", ["ON_HOLD", "SHIPPED"], {}), read_member("Billing.", ["BILLING", "SALES"], {})
    ('ON_HOLD', 'BILLING')
    >>> read_member("2.5 mg", ["5 mg", "25 mg"], {}).rule, read_member("B-", ["B", "C"], {}).rule
    ('not_a_member', 'not_a_member')
    """
    options = [(member, member) for member in members if isinstance(member, str)] + list(labels.items())
    for form in dict.fromkeys((text, _sentence(text))):
        matches = meanings_of(form, options)
        if len(matches) == 1:
            return matches[0]
        if matches:
            return Rejection("ambiguous_member", f"{text[:60]!r} may be {' or '.join(sorted(map(str, matches)))}")
    return Rejection("not_a_member", f"{text[:60]!r}{_odd_letters(text)} is not one of the allowed values")


def _sentence(text: str) -> str:
    """The text without a pair of quotation marks or emphasis around it, or a full stop after a letter: "Billing."."""
    bare = trimmed(text)
    return text if bare[-1:].isdigit() and text.strip().endswith(tuple(_FULL_STOPS)) else bare


def _odd_letters(text: str) -> str:
    """The code points of the letters that may look like others."""
    odd = list(dict.fromkeys(sign for sign in text[:60] if not sign.isascii()))[:4]
    return f" (with {', '.join(f'U+{ord(sign):04X}' for sign in odd)})" if odd else ""
