"""Text to candidate JSON values: strictly first, then out of a fence or prose, each step reported.

Nothing here knows a schema. Depth is counted on the text before anything parses it, and no pattern backtracks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from llmguard.canonical import Json
from llmguard.outcome import Repair, Violation

MAX_DEPTH = 128
MAX_DIGITS = 4300
"""CPython's own bound on the digits of an integer in text (CVE-2020-10735)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A value the text holds, with what had to be done to read it."""

    value: Json
    repairs: tuple[Repair, ...] = ()


@dataclass(frozen=True, slots=True)
class Parsed:
    """The candidates in the order of the text, or the violation that says why there is none."""

    candidates: tuple[Candidate, ...] = ()
    violation: Violation | None = None


class _Refused(ValueError):
    """JSON that is well formed and yet has no safe reading."""


def parse(text: str, *, max_depth: int = MAX_DEPTH) -> Parsed:
    """The values that `text` holds.

    >>> parse('{"a": 1}').candidates[0].value
    {'a': 1}
    >>> parse('Sure: {"a": 1}').candidates[0].repairs[0].rule
    'prose'
    >>> parse('{"a": 1, "a": 2}').violation.message
    "the key 'a' stands twice with different values"
    """
    if _deeper_than(text, max_depth):
        return Parsed(violation=Violation("", "unparsable", f"nested deeper than {max_depth} levels"))
    try:
        return Parsed((Candidate(strict(text)),))
    except _Refused as refused:
        return Parsed(violation=Violation("", "unparsable", str(refused)))
    except ValueError:
        return _within(text)


def strict(text: str) -> Json:
    """Exactly `json.loads`, but duplicate keys with another value, non-finite numbers and lone surrogates are refused."""
    value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int)
    if "\\ud" in text or "\\uD" in text:
        _refuse_surrogates(value)
    return value


def _within(text: str) -> Parsed:
    """A fenced block, else the first brace that starts a value: whatever stands around it is prose."""
    for rule, start, end in _places(text):
        try:
            value = strict(text[start:end]) if rule == "fence" else _anchored(text, start)
        except _Refused as refused:
            return Parsed(violation=Violation("", "unparsable", str(refused)))
        except ValueError:
            continue
        return Parsed((Candidate(value, (Repair("", None, None, "lossless", rule),)),))
    return Parsed(violation=Violation("", "unparsable", "holds no JSON value", expected="JSON", actual=text[:200]))


def _places(text: str) -> Iterator[tuple[str, int, int]]:
    opening = text.find("```")
    if opening >= 0:
        start = text.find("\n", opening)
        end = text.find("```", start) if start >= 0 else -1
        if end >= 0:
            yield "fence", start, end
    braces = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    if braces:
        yield "prose", min(braces), len(text)


def _anchored(text: str, start: int) -> Json:
    decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int)
    value, end = decoder.raw_decode(text, start)
    if "{" in text[end:] or "[" in text[end:]:
        raise _Refused("more than one value in the text, and nothing tells which one is the answer")
    _refuse_surrogates(value)
    return value


def _deeper_than(text: str, limit: int) -> bool:
    """Counts brackets, those in strings too: a bound that is cheap and errs to the safe side only for absurd strings."""
    if text.count("[") + text.count("{") <= limit:
        return False
    depth, in_string, escaped = 0, False, False
    for letter in text:
        if in_string:
            if escaped:
                escaped = False
            elif letter == "\\":
                escaped = True
            elif letter == '"':
                in_string = False
        elif letter == '"':
            in_string = True
        elif letter in "[{":
            depth += 1
            if depth > limit:
                return True
        elif letter in "]}":
            depth -= 1
    return False


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: dict[str, Json] = {}
        for key, value in pairs:
            if key in seen and (seen[key] != value or type(seen[key]) is not type(value)):
                raise _Refused(f"the key {key!r} stands twice with different values")
            seen[key] = value
    return found


def _constant(name: str) -> Json:
    raise _Refused(f"{name} is not a JSON number")


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise _Refused(f"{digits[:40]} is too large for a number")
    return value


def _int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _Refused(f"an integer of {len(digits)} digits")
    return int(digits)


def _refuse_surrogates(value: Json) -> None:
    if isinstance(value, str):
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise _Refused("a string holds half of a surrogate pair, which is no character")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_surrogates(key)
            _refuse_surrogates(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_surrogates(item)
