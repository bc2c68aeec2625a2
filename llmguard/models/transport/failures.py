"""What a server's answer means where it is no reply: a failure kind, a short message without secrets, when to retry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from llmguard.core.canonical import Json
from llmguard.core.messages import NO_USAGE, FailureKind, ModelFailure, Usage
from llmguard.core.redaction import redact_text
from llmguard.models.transport.exchange import Exchange, parse

MESSAGE_LIMIT = 300
"""Characters of a failure's message."""
_READ_LIMIT = 4_000
"""Characters of a server's words that are looked at."""

_BY_STATUS: dict[int, FailureKind] = {
    401: "auth",
    402: "auth",
    403: "auth",
    404: "not_found",
    405: "not_found",
    408: "timeout",
    409: "server_error",  # OpenAI: another request holds the resource; its SDK tries again
    410: "not_found",
    413: "context_length",
    425: "overloaded",
    429: "rate_limited",
    503: "overloaded",
    529: "overloaded",
}
# Codes and types say more than the status. A spent quota comes as 429, but no other try mends it: it is `auth`, for the
# account may not be used.
_BY_CODE: dict[str, FailureKind] = {
    "billing_hard_limit_reached": "auth",
    "content_filter": "content_filter",
    "content_policy_violation": "content_filter",
    "context_length_exceeded": "context_length",
    "exceed_context_size_error": "context_length",
    "insufficient_quota": "auth",
    "invalid_api_key": "auth",
    "json_validate_failed": "malformed",  # Groq: the model's own text broke the form
    "model_not_found": "not_found",
    "overloaded_error": "overloaded",
    "rate_limit_error": "rate_limited",
    "rate_limit_exceeded": "rate_limited",
    "server_is_overloaded": "overloaded",
    "tool_use_failed": "malformed",  # Groq
}
_TOO_LONG = (
    "context length",
    "context window",
    "context size",
    "maximum context",
    "prompt is too long",
    "too many tokens",
    "input is too long",
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error in a server's own words. `code` holds its code and type, lower case."""

    message: str
    code: tuple[str, ...] = ()
    param: str = ""
    status: int | None = None

    @property
    def text(self) -> str:
        """All that was said, lower case, to look for words in."""
        return " ".join((*self.code, self.param, self.message)).lower()


def complaint_of(body: bytes) -> Complaint:
    """Reads the usual spellings of an error; any other body is its own message."""
    try:
        found = parse(body)
    except ValueError:
        found = None
    said = _error_in(found)
    if isinstance(said, str):
        return Complaint(said[:_READ_LIMIT])
    if not isinstance(said, dict):
        return Complaint(body[:_READ_LIMIT].decode("utf-8", "replace"))
    message = said.get("message")
    return Complaint(
        message[:_READ_LIMIT] if isinstance(message, str) else body[:_READ_LIMIT].decode("utf-8", "replace"),
        tuple(str(said[name])[:100].lower() for name in ("code", "type") if isinstance(said.get(name), str | int)),
        said["param"][:100] if isinstance(said.get("param"), str) else "",
        _status_in(said.get("code")),
    )


def failure_of(exchange: Exchange, complaint: Complaint, now: datetime) -> ModelFailure:
    """The failure that a status over 299 stands for."""
    if 300 <= exchange.status < 400:
        return _redirected(exchange)
    kind = _kind(exchange.status, complaint)
    return ModelFailure(
        kind,
        short(f"HTTP {exchange.status}: {complaint.message or 'no body'}"),
        status=exchange.status,
        retry_after_s=retry_after_s(exchange.headers, now),
        raw=exchange.body,
    )


def failure_in_reply(error: Json, usage: Usage) -> ModelFailure:
    """The failure of an error object that came with status 200."""
    said = error if isinstance(error, dict) else {"message": str(error)[:_READ_LIMIT]}
    code = tuple(str(said[name])[:100].lower() for name in ("code", "type") if isinstance(said.get(name), str | int))
    complaint = Complaint(str(said.get("message", ""))[:_READ_LIMIT], code, "", _status_in(said.get("code")))
    kind = _kind(complaint.status or 500, complaint)
    return ModelFailure(kind, short(f"an error with status 200: {complaint.message or error}"), usage=usage)


def malformed(what: str, usage: Usage = NO_USAGE) -> ModelFailure:
    return ModelFailure("malformed", short(what), usage=usage)


def short(text: str) -> str:
    """One line without secrets. They are taken out before the text is cut, or half a key would be left over."""
    line = " ".join(redact_text(text[:_READ_LIMIT]).split())
    return line if len(line) <= MESSAGE_LIMIT else line[: MESSAGE_LIMIT - 1] + "…"


def words_of(error: BaseException) -> str:
    """What an exception says, or the one behind it: some of a network's say nothing."""
    found: BaseException | None = error
    while found is not None:
        if said := str(found):
            return said
        error, found = found, found.__cause__ or found.__context__
    return type(error).__name__


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that the server asks to wait (RFC 9110, 10.2.3: seconds or a date; OpenAI adds milliseconds)."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        seconds = _number(headers.get(name, ""))
        if seconds is not None:
            return max(0.0, seconds * unit_s)
    return _seconds_until(headers["retry-after"], now) if "retry-after" in headers else None


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


def _error_in(found: Json) -> Json:
    if isinstance(found, list) and len(found) == 1:  # Google wraps it
        found = found[0]
    if not isinstance(found, dict):
        return None
    for name in ("error", "detail", "message"):
        if isinstance(found.get(name), str | dict) and found[name]:
            return found if name == "message" else found[name]
    return None


def _status_in(code: Json) -> int | None:
    return code if isinstance(code, int) and 400 <= code <= 599 else None


def _kind(status: int, complaint: Complaint) -> FailureKind:
    for code in complaint.code:
        if code in _BY_CODE and not (status == 413 and code == "rate_limit_exceeded"):
            return _BY_CODE[code]
    if status in (400, 413, 422, 500) and any(words in complaint.text for words in _TOO_LONG):
        return "context_length"
    if status >= 500:
        return _BY_STATUS.get(status, "server_error")
    return _BY_STATUS.get(status, "bad_request")


def _redirected(exchange: Exchange) -> ModelFailure:
    return ModelFailure(
        "not_found",
        short(
            f"HTTP {exchange.status}: redirected to {exchange.headers.get('location', 'nowhere')}, which is not"
            " followed, for it would hand on the key. Set base_url to the final address."
        ),
        status=exchange.status,
        raw=exchange.body,
    )
