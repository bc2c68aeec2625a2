"""Points in time as people write them."""

from __future__ import annotations

from datetime import datetime

import pytest

from llmguard.core.errors import UsageError
from llmguard.operations.points_in_time import parse_time

NOON = datetime(2026, 5, 3, 12, 0, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOON),
        ("2h", datetime(2026, 5, 3, 10)),
        ("3d", datetime(2026, 4, 30, 12)),
        ("1w", datetime(2026, 4, 26, 12)),
        ("90s", datetime(2026, 5, 3, 11, 58, 30)),
        ("today", datetime(2026, 5, 3)),
        ("Yesterday", datetime(2026, 5, 2)),
        ("2026-05-01", datetime(2026, 5, 1)),
        ("2026-05-01T14:30", datetime(2026, 5, 1, 14, 30)),
    ],
)
def test_a_time_is_an_iso_date_an_age_or_a_day(text: str, expected: datetime) -> None:
    """Dates that name no time zone are local."""
    assert parse_time(text, NOON) == expected.timestamp()


def test_a_time_with_a_zone_is_that_parse_time() -> None:
    """An offset in the text wins over the local zone."""
    assert parse_time("1970-01-01T01:00:00+01:00", NOON) == 0.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2026-05-01", datetime(2026, 5, 2)), ("today", datetime(2026, 5, 4)), ("yesterday", datetime(2026, 5, 3))],
)
def test_until_a_day_takes_the_day_in(text: str, expected: datetime) -> None:
    """`--until 2026-05-01` reaches to the end of that day; a time of day is taken as it is."""
    assert parse_time(text, NOON, end_of_day=True) == expected.timestamp()
    assert parse_time("2026-05-01T14:30", NOON, end_of_day=True) == datetime(2026, 5, 1, 14, 30).timestamp()


@pytest.mark.parametrize("text", ["", "soon", "2x", "-2h", "2026-13-01", "h", "9999-12-31"])
def test_a_time_that_is_invalid_is_refused_with_examples(text: str) -> None:
    """The sentence shows what can be written instead."""
    with pytest.raises(UsageError, match=r"is not understood\. Write a date \(2026-05-03\)"):
        parse_time(text, NOON, end_of_day=True)


def test_an_age_before_all_time_is_the_beginning() -> None:
    """A person who asks for the last thousand years gets everything."""
    assert parse_time("999999w", NOON) == 0.0
