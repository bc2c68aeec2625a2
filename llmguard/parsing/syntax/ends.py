"""Whether a text shows by itself that it is whole, where nothing else says so."""

from __future__ import annotations

import re

from llmguard.core.patterns import Pattern
from llmguard.parsing.syntax.strict import NotStrict, load

_BRACKET = Pattern(r"[{}\[\]]")
_STRING_OR_BRACKET = Pattern(r'"(?:[^"\\]|\\.)*+(?P<end>"|\Z)|[{}\[\]]', re.DOTALL)
_OPENING_FENCE = Pattern(r"(?:```|~~~)\w{0,20}[ \t]*\n")
_CLOSING_FENCE = Pattern(r"\n[ \t]*+(?:```|~~~)\Z")


def ends_by_itself(text: str) -> bool:
    """Whether a text ends with an object, list or quoted text that is closed there; a number or a word might go on.

    >>> ends_by_itself('Here: {"a": "}"}'), ends_by_itself('{"a": "}"'), ends_by_itself("81")
    (True, False, False)
    """
    text = text.strip()
    if fence := _CLOSING_FENCE.search(text):
        opening = _OPENING_FENCE.match(text)
        text = text[opening.end() if opening else 0 : fence.start()].strip()
    return _is_closed(text) if text.endswith(("}", "]")) else text.endswith('"') and _is_quoted(text)


def _is_quoted(text: str) -> bool:
    try:
        return isinstance(load(text), str)
    except NotStrict:
        return False


def _is_closed(text: str) -> bool:
    """Whether every bracket outside of quotes is closed, the last one at the end. Quotes count inside of brackets only."""
    position = depth = 0
    while mark := (_STRING_OR_BRACKET if depth else _BRACKET).search(text, position):
        position = mark.end()
        if mark[0] in "{[":
            depth += 1
        elif mark[0] in "}]":
            depth -= 1
        elif not mark["end"]:
            return False
        if depth < 0:
            return False
    return depth == 0 and position == len(text)
