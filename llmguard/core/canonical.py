"""The one strict JSON encoder: what crosses a driver, enters a record or is digested goes through here.

Strict means: for a JSON value, what comes back from `decode(encode(x))` is `x`. NaN, infinities, keys that are no
strings and foreign types are refused, never changed; what has one spelling (dates, UUIDs, enums, dataclasses) crosses as
that. A lone surrogate has one escaped form (`\\ud800`; two halves of a pair are the character they spell), and integers
have any size. Key order is kept; only `digest` sorts.
"""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from typing import Any, TypeAlias

import orjson

Json: TypeAlias = Any
"""A JSON value: None, bool, int, float, str, list, or dict with string keys."""

MAX_DEPTH = 512
_WHITE_SPACE = b" \t\n\r"
_SURROGATE = re.compile("[\ud800-\udfff]")


class EncodingError(ValueError):
    """A value that strict JSON cannot carry; the message says which one, and where."""


def encode(value: Json, *, sort_keys: bool = False) -> bytes:
    """Compact strict JSON of `value`.

    >>> encode({"b": 1, "a": [True, None]})
    b'{"b":1,"a":[true,null]}'
    >>> encode({"x": float("nan")})
    Traceback (most recent call last):
    llmguard.core.canonical.EncodingError: NaN at '/x' is not JSON
    """
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort_keys else None)
    except (TypeError, RecursionError):
        return _encode_slowly(value, sort_keys)
    if b"null" in text:  # orjson writes null for NaN and infinities
        _refuse_what_is_no_json(value, "", 0, plain=False)
    return text


def decode(text: bytes | str) -> Json:
    """The value of JSON that `encode` wrote: exact integers, lone surrogates restored."""
    return json.loads(text)


def decode_plain(text: str) -> tuple[Json, ...]:
    """The value of JSON that is spelled as `encode` spells it, but for white space, as a tuple of one; else ().

    Twice as quick as `json.loads`, and exact: what orjson would read in another way (a key that occurs twice, an integer
    over 64 bits, an infinity) it would also spell in another way.

    >>> decode_plain('{"a": [1.5, null]}'), decode_plain('{"a": 1, "a": 2}'), decode_plain("[18446744073709551616]")
    (({'a': [1.5, None]},), (), ())
    """
    try:
        value = orjson.loads(text)
        spelled = orjson.dumps(value).translate(None, _WHITE_SPACE)
        return (value,) if spelled == text.encode().translate(None, _WHITE_SPACE) else ()
    except (ValueError, TypeError, RecursionError):
        return ()


def digest(value: Json) -> str:
    """32 hexadecimal digits that name `value`, whatever the order of its keys."""
    return digest_bytes(encode(value, sort_keys=True))


def digest_bytes(text: bytes) -> str:
    return blake2b(text, digest_size=16).hexdigest()


def json_roundtrip(value: Json) -> Json:
    """`value` as the other side of a record would see it; EncodingError where it cannot cross."""
    return decode(encode(value))


def _encode_slowly(value: Json, sort_keys: bool) -> bytes:
    """What orjson refuses although it is JSON: long integers, lone surrogates, depth over 254."""
    _refuse_what_is_no_json(value, "", 0, plain=True)
    text = json.dumps(value, ensure_ascii=False, sort_keys=sort_keys, separators=(",", ":"))
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode()


def _refuse_what_is_no_json(value: Json, path: str, depth: int, *, plain: bool) -> None:
    if depth > MAX_DEPTH:
        raise EncodingError(f"more than {MAX_DEPTH} levels deep at {path[:80]!r}")
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise EncodingError(f"{'NaN' if value != value else 'infinity'} at {path!r} is not JSON")
    elif isinstance(value, dict):
        for key, item in value.items():
            if plain and not isinstance(key, str):
                raise EncodingError(f"key {key!r} at {path!r} is {type(key).__name__}, and JSON keys are strings")
            _refuse_what_is_no_json(item, f"{path}/{key}", depth + 1, plain=plain)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            _refuse_what_is_no_json(item, f"{path}/{number}", depth + 1, plain=plain)
    elif plain and not isinstance(value, (str, int, type(None))):
        raise EncodingError(f"{type(value).__name__} at {path!r} is not JSON")
