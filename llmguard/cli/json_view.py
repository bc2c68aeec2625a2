"""JSON for people: on one line where it fits, else indented."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from llmguard.core.canonical import Json
from llmguard.core.safe_text import safe_json

LINE = 76
"""Characters of a value that is printed on one line: with its label it fits into 80 columns."""
MAX_INDENT = 40
"""Deeper values are printed on one line, however long."""


def pretty(value: Json, indent: int = 0) -> str:
    """`value` on as many lines as it needs; every scalar as strict JSON without control characters.

    >>> print(pretty({"category": "billing", "urgent": False}))
    {"category": "billing", "urgent": false}
    """
    short = _on_one_line(value, LINE - indent)
    if short is not None or indent >= MAX_INDENT:
        return short if short is not None else safe_json(value)
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        items = [f"{inner}{safe_json(key)}: {pretty(item, indent + 2)}" for key, item in value.items()]
    else:
        items = [f"{inner}{pretty(item, indent + 2)}" for item in value]
    opened, closed = "{}" if isinstance(value, dict) else "[]"
    return f"{opened}\n" + ",\n".join(items) + f"\n{' ' * indent}{closed}"


def _on_one_line(value: Json, room: int) -> str | None:
    """None if it is longer than `room`; a scalar always fits. Stops as soon as the room is used up."""
    if not isinstance(value, dict | list):
        return safe_json(value)
    opened, closed = "{}" if isinstance(value, dict) else "[]"
    written = _joined(_pieces(value), max(room, 2) - 2)
    return None if written is None else opened + written + closed


def _pieces(value: Json) -> Iterator[str | None]:
    for item in value.items() if isinstance(value, dict) else value:
        key = f"{safe_json(item[0])}: " if isinstance(value, dict) else ""
        text = _on_one_line(item[1] if isinstance(value, dict) else item, LINE)
        yield None if text is None else key + text


def _joined(pieces: Iterable[str | None], room: int) -> str | None:
    parts: list[str] = []
    used = 0
    for piece in pieces:
        used += len(piece or "") + 2
        if piece is None or used - 2 > room:
            return None
        parts.append(piece)
    return ", ".join(parts)
