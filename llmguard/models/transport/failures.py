"""A server's error reply as a `ModelFailure`: its kind, a short message without secrets, and when to retry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from llmguard.core.canonical import Json
from llmguard.core.messages import NO_USAGE, TRANSPORT, FailureKind, ModelFailure, Usage
from llmguard.core.redaction import redact_text
from llmguard.models.transport.exchange import HTTPExchange, parse_json_body
from llmguard.models.transport.waits import read_retry_after_s, read_wait_s

MESSAGE_LIMIT = 300
"""Characters of a failure's message: it is shown in one line of a terminal or a page."""
_READ_LIMIT = 4_000
"""Characters of a server's error that are read: an error page may be megabytes."""

# Tried again are the kinds in `llmguard.core.messages.TRANSPORT`: timeout, rate_limited, overloaded, server_error. A status that
# is not listed is `server_error` from 500 on, else `bad_request`.
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
# Codes and types say more than the status. A spent quota comes as 429, but no retry helps: it is `auth`, because the
# account may not be used.
_BY_CODE: dict[str, FailureKind] = {
    "billing_hard_limit_reached": "auth",
    "content_filter": "content_filter",
    "content_policy_violation": "content_filter",
    "context_length_exceeded": "context_length",
    "exceed_context_size_error": "context_length",
    "insufficient_quota": "auth",
    "invalid_api_key": "auth",
    "json_validate_failed": "malformed",  # Groq: the model's own text does not match the schema
    "model_not_found": "not_found",
    "overloaded_error": "overloaded",
    "rate_limit_error": "rate_limited",
    "rate_limit_exceeded": "rate_limited",
    "request_too_large": "context_length",  # Anthropic
    "server_is_overloaded": "overloaded",
    "tool_use_failed": "malformed",  # Groq
}
_TOO_LONG_PHRASES = (
    "context length",
    "context window",
    "context size",
    "maximum context",
    "prompt is too long",
    "too many tokens",
    "input is too long",
    "request too large",
)
# OpenAI and Groq: "… tokens per min (TPM): Limit 20000, Requested 31000." More than the whole limit never fits in, however
# long one waits; less than it ("Limit 20000, Used 19000, Requested 2000") does.
_LIMIT_AND_REQUEST = re.compile(r"\blimit:?\s{0,2}([\d,]{1,15})\b.{0,80}?\brequested:?\s{0,2}([\d,]{1,15})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """An error as the server describes it. `code` holds its code and type, lower case."""

    message: str
    code: tuple[str, ...] = ()
    param: str = ""
    status: int | None = None

    @property
    def text(self) -> str:
        """All of it, lower case, to search for words."""
        return " ".join((*self.code, self.param, self.message)).lower()


def parse_error_details(body: bytes) -> ErrorDetails:
    """Read the usual shapes of an error; any other body is the message itself."""
    try:
        reply = parse_json_body(body)
    except ValueError:
        reply = None
    error = _find_error(reply)
    if isinstance(error, str):
        return ErrorDetails(error[:_READ_LIMIT])
    if not isinstance(error, dict):
        return ErrorDetails(body[:_READ_LIMIT].decode("utf-8", "replace"), param=_param(reply))
    message = error.get("message")
    return ErrorDetails(
        message[:_READ_LIMIT] if isinstance(message, str) else body[:_READ_LIMIT].decode("utf-8", "replace"),
        _codes(error),
        _param(error),
        _status_of_code(error.get("code")),
    )


def failure_from_status(exchange: HTTPExchange, details: ErrorDetails, now: datetime) -> ModelFailure:
    """The failure for a status above 299."""
    if 300 <= exchange.status < 400:
        return _redirect_failure(exchange)
    kind = _failure_kind(exchange.status, details)
    return ModelFailure(
        kind,
        redacted_line(f"HTTP {exchange.status}: {details.message or 'no body'}"),
        status=exchange.status,
        retry_after_s=_wait_s(exchange, details, kind, now),
        raw=exchange.body,
    )


def _wait_s(exchange: HTTPExchange, details: ErrorDetails, kind: FailureKind, now: datetime) -> float | None:
    """The wait that is asked for. Words and members are read only where a wait helps: elsewhere they may be the user's own."""
    if kind not in TRANSPORT:
        return read_retry_after_s(exchange.headers, now)
    try:
        reply = parse_json_body(exchange.body)
    except ValueError:
        reply = None
    return read_wait_s(exchange.headers, reply, details.message, now)


def failure_from_error(error: Json, usage: Usage) -> ModelFailure:
    """The failure of an error object that came with status 200."""
    fields = error if isinstance(error, dict) else {"message": str(error)[:_READ_LIMIT]}
    message, status = str(fields.get("message", ""))[:_READ_LIMIT], _status_of_code(fields.get("code"))
    details = ErrorDetails(message, _codes(fields), "", status)
    kind = _failure_kind(details.status or 500, details)
    return ModelFailure(
        kind,
        redacted_line(f"an error with status 200: {details.message or error}"),
        retry_after_s=read_wait_s({}, fields, message, datetime.now(UTC)) if kind in TRANSPORT else None,
        usage=usage,
    )


def _codes(error: Json) -> tuple[str, ...]:
    return tuple(str(error[name])[:100].lower() for name in ("code", "type") if isinstance(error.get(name), str | int))


def malformed_reply(message: str, usage: Usage = NO_USAGE) -> ModelFailure:
    return ModelFailure("malformed", redacted_line(message), usage=usage)


def redacted_line(text: str) -> str:
    """One line without secrets, cut to `MESSAGE_LIMIT`. They are removed before the cut, which might leave half a key."""
    line = " ".join(redact_text(text[:_READ_LIMIT]).split())
    return line if len(line) <= MESSAGE_LIMIT else line[: MESSAGE_LIMIT - 1] + "…"


def exception_text(error: BaseException) -> str:
    """The message of an exception, or of its cause: some network exceptions have none."""
    current: BaseException | None = error
    while current is not None:
        if text := str(current):
            return text
        error, current = current, current.__cause__ or current.__context__
    return type(error).__name__


def _param(error: Json) -> str:
    """The parameter that an error names as its cause: OpenAI's `param`, FastAPI's `detail[0].loc` without "body"."""
    if not isinstance(error, dict):
        return ""
    param, details = error.get("param"), error.get("detail")
    if isinstance(param, str):
        return param[:100]
    place = details[0].get("loc") if isinstance(details, list) and details and isinstance(details[0], dict) else None
    names = [str(step) for step in place if step != "body"] if isinstance(place, list) else []
    return ".".join(names)[:100]


def _find_error(reply: Json) -> Json:
    if isinstance(reply, list) and len(reply) == 1:  # Google wraps it
        reply = reply[0]
    if not isinstance(reply, dict):
        return None
    for name in ("error", "detail", "message"):
        if isinstance(reply.get(name), str | dict) and reply[name]:
            return reply if name == "message" else reply[name]
    return None


def _status_of_code(code: Json) -> int | None:
    return code if isinstance(code, int) and 400 <= code <= 599 else None


def _failure_kind(status: int, details: ErrorDetails) -> FailureKind:
    is_too_large = status in (413, 429) and _exceeds_limit(details.text)
    for code in details.code:
        if code in _BY_CODE and not (_BY_CODE[code] == "rate_limited" and (status == 413 or is_too_large)):
            return _BY_CODE[code]
    if is_too_large:
        return "context_length"
    if status in (400, 413, 422, 500) and any(phrase in details.text for phrase in _TOO_LONG_PHRASES):
        return "context_length"
    if status >= 500:
        return _BY_STATUS.get(status, "server_error")
    return _BY_STATUS.get(status, "bad_request")


def _exceeds_limit(text: str) -> bool:
    """Whether one request is larger than what the server takes in its whole time span."""
    found = _LIMIT_AND_REQUEST.search(text)
    if found is None:
        return "request too large" in text
    limit, requested = (int(number.replace(",", "") or 0) for number in found.groups())
    return requested > limit


def _redirect_failure(exchange: HTTPExchange) -> ModelFailure:
    return ModelFailure(
        "not_found",
        redacted_line(
            f"HTTP {exchange.status}: redirected to {exchange.headers.get('location', 'nowhere')}, which is not"
            " followed, for it would hand on the key. Set base_url to the final address."
        ),
        status=exchange.status,
        raw=exchange.body,
    )
