"""How long a server asks to wait, and which requests no wait can mend."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from llmguard.models.transport.exchange import HTTPExchange
from llmguard.models.transport.failures import failure_from_status, parse_error_details
from llmguard.models.transport.waits import read_wait_s

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "Mon, 99 Nov 99999 12:00:00 GMT"}, None),
        ({}, None),
    ],
)
def test_the_wait_of_a_header_is_read(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds or a date; what is none of them is nothing."""
    assert read_wait_s(headers, None, "", NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset-requests": "1.2s", "x-ratelimit-remaining-requests": "0"}, 1.2),
        ({"x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "0"}, 360.0),
        (
            {
                "x-ratelimit-reset-tokens": "6m0s",
                "x-ratelimit-remaining-tokens": "900",
                "x-ratelimit-reset-requests": "20ms",
                "x-ratelimit-remaining-requests": "0",
            },
            0.02,
        ),
        ({"x-ratelimit-reset": "2"}, 2.0),
        ({"x-ratelimit-reset": str(NOW_S + 5)}, 5.0),
        ({"x-ratelimit-reset": str((NOW_S + 5) * 1_000)}, 5.0),
        ({"ratelimit-reset": "7", "ratelimit-remaining": "0"}, 7.0),
        ({"anthropic-ratelimit-tokens-reset": "2026-11-23T12:00:09Z"}, 9.0),
        ({"x-ratelimit-reset": "later"}, None),
        ({"x-ratelimit-reset-tokens": "6m0s", "retry-after": "3"}, 3.0),
    ],
)
def test_a_limit_that_is_used_up_says_when_it_is_full_again(headers: dict[str, str], seconds: float | None) -> None:
    """A duration, seconds, or a point in time. A limit of which something is left says nothing."""
    assert read_wait_s(headers, None, "", NOW) == seconds


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"error": {"details": [{"@type": RETRY_INFO, "retryDelay": "1.2s"}]}}, 1.2),
        ([{"error": {"details": [{"@type": RETRY_INFO, "retryDelay": {"seconds": 2, "nanos": 500_000_000}}]}}], 2.5),
        ({"error": {"message": "Please try again in 1.8s."}}, 1.8),
        ({"error": {"message": "Rate limit reached: Used 19, Requested 4. Please try again in 6m0s. Visit x"}}, 360.0),
        ({"error": {"message": "Please retry in 36.524s."}}, 36.524),
        ({"error": {"message": "Please retry after 20 seconds. Contact us"}}, 20.0),
        ({"error": {"message": "Try again in 250ms"}}, 0.25),
        ({"error": {"message": "try again in 1 minute and 30 seconds"}}, 90.0),
        ({"error": "Too many requests, wait 2 minutes"}, 120.0),
        ({"error": {"message": "busy", "retry_after": 4}}, 4.0),
        ({"retry_after_ms": 1500}, 1.5),
        ({"error": {"metadata": {"headers": {"X-RateLimit-Reset": str((NOW_S + 8) * 1_000)}}}}, 8.0),
        ({"error": {"message": "Please try again later. Limit 20000 per minute."}}, None),
        ({"error": {"message": "You are on plan 3. Try again."}}, None),
        ({"error": {"details": [{"retryDelay": True}]}}, None),
    ],
)
def test_the_wait_of_a_body_is_read(body: Any, seconds: float | None) -> None:
    """Google's RetryInfo, members made for it, and words with a unit; a number without one is no wait."""
    exchange = HTTPExchange(429, {}, json.dumps(body).encode())
    found = failure_from_status(exchange, parse_error_details(exchange.body), NOW)
    assert (found.kind, found.retry_after_s) == ("rate_limited", seconds)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, {"message": "Request too large: Limit 20000, Requested 31000", "code": "rate_limit_exceeded"}, "context_length"),
        (429, {"message": "TPM: Limit 20,000, Requested 31,000"}, "context_length"),
        (429, {"message": "Rate limit reached: Limit 20000, Used 19900, Requested 400. Try again in 2s"}, "rate_limited"),
        (429, {"message": "Request too large for this plan"}, "context_length"),
        (413, {"message": "too big", "type": "request_too_large"}, "context_length"),
        (413, {"message": "Request too large", "code": "rate_limit_exceeded"}, "context_length"),
    ],
)  # fmt: skip
def test_a_request_over_the_whole_limit_is_not_tried_again(status: int, error: dict[str, str], kind: str) -> None:
    """More than a limit holds at its fullest never fits in; what fits in later does."""
    exchange = HTTPExchange(status, {}, json.dumps({"error": error}).encode())
    found = failure_from_status(exchange, parse_error_details(exchange.body), NOW)
    assert (found.kind, found.retryable) == (kind, kind == "rate_limited")


def test_a_wait_is_no_wait_where_no_try_follows() -> None:
    """The words of a refused request may be the user's own."""
    body = json.dumps({"error": {"message": "no such tool: 'try again in 9 seconds'"}}).encode()
    assert failure_from_status(HTTPExchange(400, {}, body), parse_error_details(body), NOW).retry_after_s is None


def test_the_longest_wait_that_is_asked_for_counts() -> None:
    """A header of 1 s beside "retry after 20 seconds" in the body, as Azure writes it."""
    assert read_wait_s({"retry-after": "1"}, {"retry_after": 2}, "Please retry after 20 seconds.", NOW) == 20.0
    assert read_wait_s({"retry-after": "30"}, None, "Please retry after 20 seconds.", NOW) == 30.0
