"""Strict JSON, exactly as `json.loads` reads it, or a violation where `json.loads` would be silently wrong or raise."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import accumulate

from llmguard.core.canonical import Json, decode_plain
from llmguard.core.outcome import Violation
from llmguard.core.patterns import Pattern
from llmguard.parsing.syntax.escapes import CONTROL_MESSAGE, control_escape_in

MAX_DEPTH = 128
"""Levels of brackets that are read, unless the guard allows more."""

MOST_DEPTH = 512
"""What a guard may allow at most: every strict encoder and validator behind the parser carries it."""

MAX_CHARS = 8 * 1024 * 1024
"""Of a reply: far more than any model writes."""
MAX_DIGITS = 4300
"""Digits of an integer in text: CPython's own bound (CVE-2020-10735)."""

_WHITE_SPACE = " \t\n\r"
_WHITE = Pattern(r"[ \t\n\r]*+")
_MAY_BE_SURROGATE = Pattern(r"\\u[dD][89a-fA-F]")
_SURROGATE = Pattern("[\ud800-\udfff]")
_FLAT_LEVELS = 8
"""Taking out the innermost pairs so many times leaves next to nothing of nearly every reply, and is done in C."""

_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class NotStrict(ValueError):
    """The text is not strict JSON, or is JSON that must not be read silently. `rule` is empty for plain bad syntax.

    `prefix`: the strict value that the text starts with, where only what follows is in the way, and where it ends.
    """

    def __init__(self, rule: str = "", actual: str = "", prefix: tuple[Json, int] | None = None) -> None:
        super().__init__(rule or "not JSON")
        self.rule, self.actual, self.prefix = rule, actual, prefix


def load(text: str) -> Json:
    """The value of strict JSON; NotStrict for anything else. The caller has checked the depth."""
    value = _loaded(text)
    if "\\" in text:
        refuse_control_escapes(text)
    return value


def _loaded(text: str) -> Json:
    if "\\u" not in text and (plain := decode_plain(text)):
        return plain[0]
    try:
        value, end = _scan(text, _after_white(text, 0) if text[:1] in _WHITE_SPACE else 0)
    except json.JSONDecodeError:
        raise NotStrict from None
    except (StopIteration, ValueError, RecursionError) as error:
        raise _as_not_strict(error) from None
    if end != len(text) and _after_white(text, end) != len(text):
        raise NotStrict(prefix=None if may_have_half_characters(text[:end]) else (value, end))
    if may_have_half_characters(text):
        refuse_surrogates(value)
    return value


def load_at(text: str, start: int) -> tuple[Json, int]:
    """The strict JSON value that starts at `start`, and where it ends."""
    try:
        value, end = _scan(text, start)
    except (StopIteration, ValueError, RecursionError) as error:
        raise NotStrict from error
    if may_have_half_characters(text[start:end]):
        refuse_surrogates(value)
    refuse_control_escapes(text[start:end])
    return value, end


def _after_white(text: str, at: int) -> int:
    match = _WHITE.match(text, at) if text[at : at + 1] in _WHITE_SPACE else None
    return match.end() if match else at


def _as_not_strict(error: BaseException) -> NotStrict:
    if isinstance(error, NotStrict):
        return error
    if isinstance(error, RecursionError):
        return NotStrict("too_deep")
    return NotStrict() if isinstance(error, StopIteration) else NotStrict("integer_too_long")


def same_json(one: Json, other: Json) -> bool:
    """Whether two JSON values say the same: 1 is 1.0, and neither is true.

    >>> same_json([1, {"a": 2}], [1.0, {"a": 2}]), same_json(1, True)
    (True, False)
    """
    pairs = [(one, other)]
    while pairs:
        left, right = pairs.pop()
        if isinstance(left, bool) or isinstance(right, bool):
            if left is not right:
                return False
        elif isinstance(left, dict) and isinstance(right, dict):
            if left.keys() != right.keys():
                return False
            pairs += [(item, right[key]) for key, item in left.items()]
        elif isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                return False
            pairs += zip(left, right, strict=True)
        elif left != right:
            return False
    return True


def too_deep(text: str, max_depth: int) -> bool:
    """Whether brackets outside strings nest deeper than `max_depth`: counted on the text, before any parse.

    >>> too_deep("[" * 129, 128), too_deep('"' + "[" * 129 + '"', 128)
    (True, False)
    """
    if text.count("[") + text.count("{") <= max_depth:
        return False
    brackets = rest = _brackets_outside_strings(text)
    for _ in range(_FLAT_LEVELS):
        rest = rest.replace(b"[]", b"").replace(b"{}", b"")
    if len(rest) + _FLAT_LEVELS <= max_depth:
        return False
    return any(depth > max_depth for depth in accumulate(map(_STEP.__getitem__, brackets)))


def _brackets_outside_strings(text: str) -> bytes:
    """Without a regular expression, which takes as long as the parse itself."""
    if "\\" in text:
        text = text.replace("\\\\", "").replace('\\"', "")
    return "".join(text.split('"')[::2]).encode("utf-8", "replace").translate(None, _NO_BRACKETS)


def refuse_surrogates(value: Json) -> None:
    """NotStrict where a string of `value` has half a surrogate pair: no UTF-8 has such a character."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            if not encodable(item):
                raise NotStrict("lone_surrogate", ascii(item)[:80])
        elif isinstance(item, dict):
            left += item
            left += item.values()
        elif isinstance(item, list):
            left += item


def refuse_control_escapes(text: str) -> None:
    """NotStrict where an escape of a backspace or a form feed stands before a letter. `text`: JSON, as it was written."""
    if control_escape_in(text, 0, len(text)):
        raise NotStrict("ambiguous_escape", CONTROL_MESSAGE)


def encodable(text: str) -> bool:
    """Whether `text` has no half of a surrogate pair."""
    return text.isascii() or not _SURROGATE.search(text)


def may_have_half_characters(text: str) -> bool:
    """Whether `text` may have half a surrogate pair, as it is or escaped; escapes of complete pairs count too."""
    if not encodable(text):
        return True
    return ("\\ud" in text or "\\uD" in text) and bool(_MAY_BE_SURROGATE.search(text))


_MESSAGES = {
    "duplicate_key": ("the same key stands twice with different values", "each key once"),
    "non_finite": ("a number that is not finite", "a finite number"),
    "integer_too_long": (f"an integer of more than {MAX_DIGITS} digits", "a shorter number"),
    "ambiguous_escape": (CONTROL_MESSAGE, "each backslash of a text as two"),
    "lone_surrogate": ("a string with half a surrogate pair", "whole Unicode characters"),
    "too_deep": ("brackets nest too deep", "fewer levels"),
    "too_large": ("the reply is too large", "a shorter reply"),
}


def violation(rule: str, actual: Json = None) -> Violation:
    """What is wrong with a text that broke `rule`; an empty rule: it is not JSON at all."""
    message, expected = _MESSAGES.get(rule, ("the text is not JSON", "one JSON value"))
    return Violation("", rule or "not_json", message, expected, actual[:80] if isinstance(actual, str) else actual)


def _members(pairs: list[tuple[str, Json]]) -> Json:
    members = dict(pairs)
    if len(members) != len(pairs):
        first: dict[str, Json] = {}
        for key, value in pairs:
            if key in first and not same_json(first[key], value):
                raise NotStrict("duplicate_key", key)
            first[key] = value
    return members


def _not_finite(literal: str) -> Json:
    raise NotStrict("non_finite", literal)


def _finite(literal: str) -> float:
    number = float(literal)
    if number - number != 0.0:  # only infinities
        raise NotStrict("non_finite", literal)
    return number


_decoder = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_not_finite, parse_float=_finite)
_scan: Callable[[str, int], tuple[Json, int]] = _decoder.scan_once  # type: ignore[attr-defined]
