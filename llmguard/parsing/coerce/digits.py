"""Every digit of a number, where the target is a Decimal: from the number's text, never by way of a float."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from llmguard.core.canonical import Json, json_roundtrip
from llmguard.core.outcome import Violation
from llmguard.parsing.coerce.fits import lossless_repair
from llmguard.parsing.coerce.result import Reading, no_reading
from llmguard.parsing.coerce.texts import Spellings
from llmguard.schema import Schema
from llmguard.schema.keywords import as_pointer

MAX_NUMBERS = 40
"""Numbers of one reply with more digits than a float keeps; each is tried in the schema by itself."""


def with_all_digits(result: Reading, text: str, schema: Schema) -> Reading:
    """The reading with each number that a float cuts as the text that it was, where the schema takes it so: a Decimal does.

    A `float` keeps what floats keep, as `json.loads` reads it. Where the reply spells two numbers that are one float, and a
    Decimal is due, there is no value.
    """
    spellings = Spellings(text)
    numbers = [
        (path, exact) for path, number in _floats(result.value) if (exact := spellings.exact(number)) is not None
    ]
    if not numbers:
        return result
    if len(numbers) > MAX_NUMBERS:
        return _refused("")
    for path, literal in numbers:
        value = _with(result.value, path, literal or "0")
        if schema.violations(value):
            continue
        if not literal:
            return _refused(as_pointer(tuple(map(str, path))))
        repair = lossless_repair(as_pointer(tuple(map(str, path))), literal, literal, "exact_number")
        result = replace(result, value=value, candidate=(value,), repairs=(*result.repairs, repair))
    return result


def _refused(path: str) -> Reading:
    message = "a number has more digits than can be kept"
    return no_reading("schema", Violation(path, "digits", message, "a number in quotes, with all its digits"))


def _floats(value: Json) -> Iterator[tuple[tuple[str | int, ...], float]]:
    left: list[tuple[tuple[str | int, ...], Json]] = [((), value)]
    while left:
        path, item = left.pop()
        if isinstance(item, float):
            yield path, item
        elif isinstance(item, dict):
            left += (((*path, key), each) for key, each in item.items() if isinstance(each, float | dict | list))
        elif isinstance(item, list):
            left += (
                ((*path, number), each) for number, each in enumerate(item) if isinstance(each, float | dict | list)
            )


def _with(value: Json, path: tuple[str | int, ...], text: str) -> Json:
    """A copy of `value` with `text` at `path`."""
    if not path:
        return text
    copy = json_roundtrip(value)
    holder = copy
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = text
    return copy
