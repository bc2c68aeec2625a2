"""How long a server asks to wait before the next try: said by a header, by a member of the body, or in words.

A `Retry-After` header, a member made for it and the sentence "try again in 1.2s" are asked for as such: the longest counts.
Where there is none of them, the time counts at which a used-up limit is full again. Nothing that is read shortens a wait that
the guard makes anyway.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from llmguard.core.canonical import Json

_UNITS_S = {
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600.0),
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
}
_AMOUNT = r"(\d{1,9}(?:\.\d{1,9})?)\s{0,2}(" + "|".join(sorted(_UNITS_S, key=len, reverse=True)) + r")(?![a-z])"
_PART = re.compile(_AMOUNT)
_DURATION = re.compile(rf"{_AMOUNT}(?:[ ,]{{0,2}}(?:and )?{_AMOUNT}){{0,3}}")
# "Please try again in 6m0s", "retry after 20 seconds", "wait 1.5 s before …", "Please retry in 36.5s.", "available in 2 minutes"
_ASKED = re.compile(r"\b(?:again|retry|retrying|wait|available|resets?)\b[^.\d]{0,40}?(?=\d)")
_EPOCH_S = 1e9
"""A larger number of seconds is a point in time, in seconds since 1970; a thousand times that, in milliseconds."""

# Members of the error or of what stands around it, lower case without "_" and "-", and their unit in seconds.
_MEMBERS = {
    "retryafter": 1.0,
    "retryafters": 1.0,
    "retryafterseconds": 1.0,
    "retryaftersec": 1.0,
    "retryafterms": 0.001,
    "retryaftermilliseconds": 0.001,
    "retrydelay": 1.0,  # of google.rpc.RetryInfo, "1.2s": ai.google.dev/api, error details
}
_INSIDE = ("error", "details", "detail", "metadata", "headers")
"""Where those members stand: Google's `error.details`, OpenRouter's `error.metadata.headers`."""
_MAX_LEVELS = 6

# The headers of a limit: when it is full again, and how much of it is left. OpenAI and compatible servers; the IETF's draft
# (draft-ietf-httpapi-ratelimit-headers-07, seconds); Anthropic's (a time).
_RESETS = (
    *((f"x-ratelimit-reset{part}", f"x-ratelimit-remaining{part}") for part in ("-requests", "-tokens", "")),
    ("ratelimit-reset", "ratelimit-remaining"),
    *(
        (f"anthropic-ratelimit-{part}-reset", f"anthropic-ratelimit-{part}-remaining")
        for part in ("requests", "tokens", "input-tokens", "output-tokens")
    ),
)


def read_wait_s(headers: Mapping[str, str], reply: Json, message: str, now: datetime) -> float | None:
    """The seconds that the server asks to wait; None where it asks for none. `reply`: its body, parsed."""
    asked = [
        *_present(read_retry_after_s(headers, now)),
        *_members(reply, now, _MAX_LEVELS),
        *_present(read_wait_in_words_s(message)),
    ]
    return max(asked or _resets(headers, now), default=None)


def _present(seconds: float | None) -> tuple[float, ...]:
    return () if seconds is None else (seconds,)


def read_retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds of a header made for it (RFC 9110, 10.2.3: seconds or a date; OpenAI adds milliseconds)."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        seconds = _number(headers.get(name, ""))
        if seconds is not None:
            return max(0.0, seconds * unit_s)
    return _seconds_until(headers["retry-after"], now) if "retry-after" in headers else None


def read_wait_in_words_s(message: str) -> float | None:
    """The duration in "Please try again in 1m2.5s".

    >>> read_wait_in_words_s("Rate limit reached. Please try again in 1m2.5s."), read_wait_in_words_s("Limit 20000")
    (62.5, None)
    """
    text = message.lower()
    for asked in _ASKED.finditer(text):
        if seconds := _duration_s(text, asked.end()):
            return seconds
    return None


def _duration_s(text: str, start: int = 0) -> float | None:
    found = _DURATION.match(text, start)
    if found is None:
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(found.group()))


def _members(reply: Json, now: datetime, levels: int) -> Iterator[float]:
    """The waits in members made for it, wherever servers put them."""
    if isinstance(reply, list):
        for each in reply[:10]:
            yield from _members(each, now, levels - 1)
    if not isinstance(reply, dict) or levels == 0:
        return
    for name, value in reply.items():
        plain = name.lower().replace("_", "").replace("-", "")
        if plain in _MEMBERS:
            seconds = _member_s(value, _MEMBERS[plain])
            if seconds is not None:
                yield seconds
        elif plain in _INSIDE:
            if plain == "headers" and isinstance(value, dict):
                headers = {key.lower(): str(each) for key, each in value.items()}
                yield from _resets(headers, now)
            yield from _members(value, now, levels - 1)


def _member_s(value: Json, unit_s: float) -> float | None:
    """A number in the member's own unit; a text with a unit of its own; a protobuf duration."""
    if isinstance(value, dict):
        value, nanos = value.get("seconds"), value.get("nanos")
        seconds = _number(str(value))
        return None if seconds is None else seconds + (_number(str(nanos)) or 0.0) * 1e-9
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    number = _number(str(value))
    if number is not None:
        return max(0.0, number * unit_s)
    return _duration_s(str(value).strip().lower())


def _resets(headers: Mapping[str, str], now: datetime) -> Iterator[float]:
    """When each limit of which nothing is left is full again."""
    for reset, remaining in _RESETS:
        if reset in headers and (_number(headers.get(remaining, "0")) or 0.0) <= 0:
            seconds = _reset_s(headers[reset].strip(), now)
            if seconds is not None:
                yield seconds


def _reset_s(text: str, now: datetime) -> float | None:
    number = _number(text)
    if number is not None:
        if number < _EPOCH_S:
            return max(0.0, number)
        at_s = number / 1_000 if number >= _EPOCH_S * 1_000 else number
        return max(0.0, at_s - now.timestamp())
    if "t" in text.lower()[8:12]:  # 2026-11-23T12:00:30Z
        try:
            return max(0.0, datetime.fromisoformat(text).timestamp() - now.timestamp())
        except (ValueError, OverflowError):
            return None
    return _duration_s(text.lower())


def _seconds_until(date: str, now: datetime) -> float | None:
    from email.utils import parsedate_to_datetime  # takes 10 ms to import, and few servers send dates

    try:
        until = parsedate_to_datetime(date)
        return max(0.0, (until if until.tzinfo else until.replace(tzinfo=now.tzinfo)).timestamp() - now.timestamp())
    except (ValueError, TypeError, OverflowError):
        return None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
