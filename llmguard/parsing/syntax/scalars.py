"""Numbers, words and texts without quotes in broken JSON: each read where it has one reading, by a named rule."""

from __future__ import annotations

from re import IGNORECASE
from typing import NamedTuple

from llmguard.core.canonical import Json
from llmguard.core.patterns import Pattern
from llmguard.parsing.syntax.strict import MAX_DIGITS
from llmguard.parsing.syntax.strings import EntryKind, Unreadable

WORDS: dict[str, bool | None] = {
    "true": True, "false": False, "null": None, "True": True, "False": False, "None": None, "TRUE": True,
    "FALSE": False, "NULL": None, "Null": None, "nil": None, "undefined": None,
}  # fmt: skip
_JSON_WORDS = frozenset(("true", "false", "null"))
_LIKELY_WORDS = ("true", "false", "null", "True", "False", "None")
_NOT_FINITE = frozenset(("NaN", "nan", "Infinity", "inf", "Inf", "INF", "NAN"))

_NUMBER = Pattern(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+")
_JSON5_NUMBER = Pattern(
    r"\+?(-?)(?:(0[xX][0-9a-fA-F]{1,64}+)|((?:0|[1-9][0-9]{0,2}(?:_[0-9]{3})++|[1-9][0-9]*+)?+(?:\.[0-9]*+)?+"
    r"(?:[eE][+-]?[0-9]++)?+))"
)
_ENDS = Pattern(r"[ \t]*+(?:[,;}\])\n\r\"]|\Z|//|\#|/\*)")
_DIGIT_COMMA = Pattern(r",[0-9]")
_DIGIT_COMMA_IN = Pattern(r"[0-9],[0-9]")
_GROUPS = Pattern(r"[^0-9,]*+[0-9]{1,3}(?:,[0-9]{3})++(?:\.[0-9]++)?+[^0-9,]*+\Z")
_AND_SO_ON = Pattern(
    r"(?:\(?\+?[0-9]* ?more\b.*|etc\.?|and so on\.?|and more\.?|…|\.\.\..*|rest omitted)\Z", IGNORECASE
)
_WORD = Pattern(r"[-+]?[A-Za-z]++")
_ONLY_NUMBER = Pattern(r"[+-]?[0-9]++(?:\.[0-9]*+)?+(?:[eE][+-]?[0-9]++)?+\Z")
_GLUED = Pattern(r"(?:[+-]?[0-9][0-9.eE+-]*+|true|false|null|True|False|None){2,}+\Z")
_NUMBERISH = Pattern(r"(?=[eE+.\-]*+[0-9])[0-9eE+.\-]++\Z")
_NO_NUMBER = Pattern(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z|[0-9]++(?:\.[0-9]++){2,}\Z|0[0-9]++\Z")
_BARE_SIGN = r"[^,;{}\[\]\"'`:\n\r()“”„‘’«»]|:(?=[0-9/])|(?<=[A-Za-z])['’](?=[A-Za-z])"
_IN_PARENTHESES = r"\((?:[^(),{}\[\]\"\n\r]|(?<=[0-9]),(?=[0-9]))*+\)"
_BARE = {
    "member": Pattern(rf"(?:{_BARE_SIGN}|(?<=[0-9]),(?=[0-9])|{_IN_PARENTHESES})++"),
    "item": Pattern(rf"(?:{_BARE_SIGN}|{_IN_PARENTHESES})++"),
}
_COMMENT = Pattern(r"\s(?://|#|/\*)|^(?://|#|/\*)")
_LITERAL_CALL = Pattern(
    r"Decimal\(\s*'(-?[0-9]++(?:\.[0-9]++)?+)'\s*\)|Decimal\(\s*\"(-?[0-9]++(?:\.[0-9]++)?+)\"\s*\)"
    r"|(?:datetime\.)?date\(\s*([0-9]{4}),\s*([0-9]{1,2}),\s*([0-9]{1,2})\s*\)"
)


class Scalar(NamedTuple):
    """A scalar that was read up to `end`. `rule` is the repair that it took, "" for none; `before` is its text."""

    value: Json
    end: int
    rule: str = ""
    before: str = ""


def number_at(text: str, at: int, kind: EntryKind) -> Scalar | None:
    """A number as JSON, JSON5 or Python write it; None where there is none."""
    match = _NUMBER.match(text, at)
    if kind == "member" and match and _DIGIT_COMMA.match(text, match.end()):
        return None  # 1,250.40: no key starts with a digit, so the comma is part of the number
    if match and _ENDS.match(text, match.end()):
        return Scalar(json_number(match[0], at), match.end())
    if text[at] not in "+-.0123456789":
        return None
    odd = _JSON5_NUMBER.match(text, at)
    if not odd or not odd[0].strip("+-.") or not _ENDS.match(text, odd.end()):
        return None
    sign, hexadecimal, decimal = odd.groups()
    plain = sign + (str(int(hexadecimal, 16)) if hexadecimal else _plain_number(decimal))
    return Scalar(json_number(plain, at), odd.end(), "number", odd[0])


def word_at(text: str, at: int) -> Scalar | None:
    """true, false or null, in JSON's or another language's spelling; None where there is none of them."""
    match = _WORD.match(text, at)
    if not match or not _ENDS.match(text, match.end()):
        return None
    if match[0].lstrip("+-") in _NOT_FINITE:
        raise Unreadable("non_finite", f"{match[0]} is not a JSON number", at)
    if match[0] not in WORDS:
        return None
    rule = "" if match[0] in _JSON_WORDS else "literal"
    return Scalar(WORDS[match[0]], match.end(), rule, match[0])


def literal_call_at(text: str, at: int) -> Scalar | None:
    """`Decimal("1.5")` and `datetime.date(2024, 3, 5)`: Python's own calls for a scalar."""
    match = _LITERAL_CALL.match(text, at)
    if not match:
        return None
    decimal, other, year, month, day = match.groups()
    value = f"{year}-{month:0>2}-{day:0>2}" if year else json_number(decimal or other, at)
    return Scalar(value, match.end(), "call", match[0])


def unquoted_at(text: str, at: int, kind: EntryKind, *, cut: bool) -> Scalar:
    """A text without quotes, up to the next comma, closer or line end. Its rule is `ellipsis` for "and so on"."""
    match = _BARE[kind].match(text, at)
    end = match.end() if match else at
    token = text[at:end]
    if comment := _COMMENT.search(token):
        token, end = token[: comment.start()], at + comment.start()
    token = token.rstrip()
    if _AND_SO_ON.match(token):
        return Scalar(None, end, "ellipsis", token)
    if end == len(text) and not cut:
        raise Unreadable("unterminated", "the text ends in the middle of a value", end)
    _refuse_doubtful(token, kind, text, at, end)
    after = text[end : end + 1]
    if not token or (after not in ",;}])\n\r/#" and not after.isspace()):
        raise Unreadable("no_value", f"no JSON value: {text[at : end + 20]!r}", at)
    return Scalar(token, end, "unquoted_value", token)


def json_number(literal: str, at: int) -> int | float:
    """The number that JSON's `literal` spells; Unreadable where it is too long or not finite."""
    if not any(sign in literal for sign in ".eE"):
        if len(literal) > MAX_DIGITS:
            raise Unreadable("integer_too_long", f"an integer of more than {MAX_DIGITS} digits", at)
        return int(literal)
    number = float(literal)
    if number in (float("inf"), float("-inf")):
        raise Unreadable("non_finite", f"the number {literal[:20]} is not finite", at)
    return number


def _refuse_doubtful(token: str, kind: EntryKind, text: str, at: int, end: int) -> None:
    if kind == "item" and token[-1:].isdigit() and _DIGIT_COMMA.match(text, end):
        raise Unreadable("ambiguous_number", f"{token[:40]!r} may go on after the comma", end)
    if kind == "member" and _DIGIT_COMMA_IN.search(token) and not _GROUPS.match(token):
        raise Unreadable("ambiguous_number", f"{token[:40]!r} may be one number or two entries", at)
    if _is_broken_scalar(token):
        raise Unreadable("ambiguous_value", f"{token[:40]!r} may be a damaged number or word", at)


def _is_broken_scalar(token: str) -> bool:
    """Several scalars without a comma, or a number or word that lacks a sign: a text without quotes it is not."""
    parts = token.split()
    if len(parts) > 1:
        scalars = sum(part in WORDS or bool(_ONLY_NUMBER.match(part)) for part in parts)
        return scalars == len(parts) or (scalars > 1 and bool(_ONLY_NUMBER.match(parts[0])))
    if _GLUED.match(token):
        return True
    if _NUMBERISH.match(token):
        return not _NO_NUMBER.match(token)
    return any(_is_nearly(token, word) for word in _LIKELY_WORDS)


def _is_nearly(token: str, word: str) -> bool:
    """A beginning of `word`, or `word` with one letter missing, added or changed."""
    if word.startswith(token):
        return True
    if abs(len(token) - len(word)) > 1:
        return False
    start = 0
    while start < min(len(token), len(word)) and token[start] == word[start]:
        start += 1
    one, other = token[start:], word[start:]
    return one[1:] == other or one == other[1:] or one[1:] == other[1:]


def _plain_number(decimal: str) -> str:
    """JSON's spelling of a JSON5 or Python number: `.5`, `5.`, `1_000`."""
    whole, dot, rest = decimal.replace("_", "").partition(".")
    return f"{whole or '0'}{dot}{rest if rest[:1].isdigit() else dot and '0' + rest}"
