"""Words for what is wrong: one clause for each keyword, and values short enough to be quoted in it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from llmguard.core.canonical import Json

MAX_CHARS = 200
"""No `expected` or `actual` text is longer; a message's own quotes are shorter still."""

_QUOTED_CHARS = 80
_LISTED = 12
"""Options that a message lists; a model reads no more of them."""
_FORMAT_EXAMPLES = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T09:30:00Z",
    "time": "09:30:00Z",
    "duration": "P1DT2H",
    "email": "ann@example.com",
    "uri": "https://example.com/a",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
    "ipv4": "192.0.2.1",
    "hostname": "example.com",
}
_TYPES = {
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}


def clause(keyword: str, expected: Json, actual: Json) -> str:
    """What a value that breaks `keyword: expected` must be.

    >>> clause("enum", ["EUR", "USD"], "Eur")
    "must be one of 'EUR', 'USD'; got 'Eur'"
    >>> clause("type", "integer", "12")
    "must be an integer; got '12'"
    """
    return f"{_demand(keyword, expected, actual)}; got {brief(actual)}"


def _demand(keyword: str, expected: Json, actual: Json) -> str:
    match keyword:
        case "type":
            return f"must be {either(_TYPES.get(str(name), str(name)) for name in as_list(expected))}"
        case "enum":
            options = as_list(expected)
            return f"must be one of {listed(options)}{hint(actual, options) if len(options) > _LISTED else ''}"
        case "const":
            return f"must be {brief(expected)}"
        case "minimum" | "maximum":
            return f"must be at {'least' if keyword == 'minimum' else 'most'} {brief(expected)}"
        case "exclusiveMinimum" | "exclusiveMaximum" if not isinstance(expected, bool):
            return f"must be {'above' if keyword == 'exclusiveMinimum' else 'below'} {brief(expected)}"
        case "multipleOf":
            return f"must be a multiple of {brief(expected)}"
        case "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties":
            return f"must have at {'least' if keyword.startswith('min') else 'most'} {_sized(keyword, expected)}"
        case "pattern":
            return f"must match the pattern {brief(expected)}"
        case "format":
            example = _FORMAT_EXAMPLES.get(expected)
            return f"must be in the format {brief(expected)}" + (f", such as '{example}'" if example else "")
        case "contentEncoding":
            return f"must be encoded in {brief(expected)}"
        case "contentMediaType":
            return f"must hold {brief(expected)}"
        case "uniqueItems":
            return "must have no two equal items"
        case "not":
            return "must not fit what 'not' describes"
        case _:
            return f"must fit {keyword!r}: {brief(expected)}"


def _sized(keyword: str, count: Json) -> str:
    noun = {"Length": "character", "Items": "item", "Properties": "property"}[keyword[3:]]
    if count == 1:
        return f"1 {noun}"
    return f"{brief(count)} {'properties' if noun == 'property' else noun + 's'}"


def brief(value: Json) -> str:
    """A value in a message: JSON's words, strings quoted and cut, containers by their size; never a control character.

    >>> brief("x" * 500).endswith("…'"), brief({"a": 1}), brief(None)
    (True, 'an object with 1 property', 'null')
    """
    if isinstance(value, str):
        return quote_printable(value if len(value) <= _QUOTED_CHARS else value[: _QUOTED_CHARS - 1] + "…")
    if isinstance(value, dict | list):
        return f"{'an' if isinstance(value, dict) else 'a'} {summary(value)}"
    return str(scalar(value))


def quote_printable(text: str) -> str:
    """`text` in quotes; what does not print (control, bidirectional, zero-width, half a pair) is escaped, a backslash is not.

    >>> print(quote_printable("a" + chr(10) + chr(0x202e)))
    'a\\n\\u202e'
    """
    return f"'{text if text.isprintable() else ''.join(map(_printable, text))}'"


def _printable(letter: str) -> str:
    return letter if letter.isprintable() else repr(letter)[1:-1]


def clipped(value: Json) -> Json:
    """`value` as data of a violation: scalars as they are, long strings cut, a list of scalars up to its first dozen."""
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value[: _LISTED + 1]):
        more = [f"… ({len(value)} in all)"] if len(value) > _LISTED else []
        return [clipped(item) for item in value[:_LISTED]] + more
    if isinstance(value, dict | list):
        return summary(value)
    if isinstance(value, str) and len(value) > MAX_CHARS:
        return value[: MAX_CHARS - 1] + "…"
    return value if isinstance(value, str | float | bool | None) or value.bit_length() <= 512 else scalar(value)


def summary(value: Json) -> str:
    """A container by its size."""
    count, noun = len(value), "property" if isinstance(value, dict) else "item"
    plural = noun if count == 1 else {"property": "properties", "item": "items"}[noun]
    return f"{'object' if isinstance(value, dict) else 'list'} with {count} {plural}"


def scalar(value: Json) -> str:
    """A number, true, false or null as JSON spells it; an integer of more than 60 digits by its size."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int) and value.bit_length() > 200:
        return f"an integer of about {int(value.bit_length() * 0.30103) + 1} digits"
    return repr(value)


def listed(options: Iterable[Json]) -> str:
    """Options side by side, the first dozen of many.

    >>> listed(range(20))
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 … (20 in all)'
    """
    known = list(options)
    text = ", ".join(brief(option) for option in known[:_LISTED])
    return text if len(known) <= _LISTED else f"{text} … ({len(known)} in all)"


def either(options: Iterable[str]) -> str:
    """'a', 'a or b', 'a, b or c'."""
    *most, last = options
    return f"{', '.join(most)} or {last}" if most else last


def hint(actual: Json, known: Iterable[Json]) -> str:
    """' (did you mean …?)' where a known value is similar to the actual one. What is compared is cut: it may be hostile."""
    near = nearest(actual, known)
    return f" (did you mean {quote_printable(near)}?)" if near else ""


def nearest(actual: Json, known: Iterable[Json], cutoff: float = 0.75) -> str | None:
    if not isinstance(actual, str) or len(actual) > 64:
        return None
    options = {option[:64].lower(): option for option in list(known)[:100] if isinstance(option, str)}
    near = get_close_matches(actual.lower(), options, n=1, cutoff=cutoff)
    return options[near[0]] if near else None


def as_list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]
