"""Points in time as people write them: ISO dates and times, ages such as `2h`, and `now`, `today` and `yesterday`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from llmguard.core.errors import UsageError

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DAYS_AGO = {"today": 0, "yesterday": 1}
_AGE = re.compile(r"(\d{1,6})([smhdw])")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DAY = timedelta(days=1)


def parse_time(text: str, now: datetime, *, end_of_day: bool = False) -> float:
    """Seconds since the epoch. `now` is naive local time, and so are dates and times without a time zone.

    `end_of_day`: a date without a time means the end of that day, so that `--until 2026-05-03` includes the day.

    >>> noon = datetime(2026, 5, 3, 12)
    >>> parse_time("2h", noon) == noon.timestamp() - 7200, parse_time("2026-05-03T12:00", noon) == noon.timestamp()
    (True, True)
    """
    word = text.strip().lower()
    if age := _AGE.fullmatch(word):
        return max(0.0, now.timestamp() - int(age[1]) * _UNIT_SECONDS[age[2]])
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if word == "now":
        return now.timestamp()
    if word in _DAYS_AGO:
        return (midnight - _DAYS_AGO[word] * _DAY + end_of_day * _DAY).timestamp()
    return _parse_iso(text.strip(), end_of_day)


def _parse_iso(text: str, end_of_day: bool) -> float:
    try:
        parsed = datetime.fromisoformat(text)
        return (parsed + _DAY if end_of_day and _DATE.fullmatch(text) else parsed).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"time {text!r} is not understood. Write a date (2026-05-03), a time (2026-05-03T14:30), an age (45m, 2h, 3d,"
            " 1w), or now, today, yesterday."
        ) from None
