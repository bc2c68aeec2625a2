"""An error that a server tells with status 200, in the body or in an event of a stream, whatever its shape."""

from __future__ import annotations

from llmguard.core.canonical import Json

_WORDS = (
    "message",
    "msg",
    "detail",
    "details",
    "error",
    "errors",
    "error_message",
    "error_msg",
    "errmsg",
    "err_msg",
    "error_description",
    "status_msg",
    "description",
    "reason",
    "title",
    "fault",
)
"""Members that hold the words of an error, in lower case, the most telling first (OpenAI, vLLM, FastAPI, RFC 9457, Google, and
gateways in front of them). A name that is missing here makes the body `malformed`, which gives no value either."""
_DEEPEST = 3
"""Levels: `{"detail": [{"msg": ...}]}` has three."""
_CODES_OF_SUCCESS = (None, 0, "0", 200, "200")


def error_in_body(body: Json) -> Json:
    """The error that a body tells beside whatever else it holds, or None.

    >>> error_in_body({"object": "error", "message": "The queue is full", "code": 503})
    {'message': 'The queue is full', 'code': 503}
    """
    if isinstance(body, list) and len(body) == 1:  # Google wraps it
        body = body[0]
    if not isinstance(body, dict):
        return None
    error = body.get("error")
    if _says_something(error):
        return describe_error(error)
    if body.get("object") == "error" or body.get("type") == "error":
        return describe_error(body)
    return None


def error_of_other_body(body: Json) -> Json:
    """The error of a body that holds no reply, or None: whatever words it has are the server's."""
    fields = body[0] if isinstance(body, list) and len(body) == 1 else body
    return describe_error(fields) if isinstance(fields, dict) and _words_in(fields, nested=True) else None


def is_plainly_error(event: Json) -> bool:
    """Whether an event without a part of the reply is an error: it has `detail`, or a code beside words."""
    fields = _folded(event)
    has_code = any(fields.get(name) not in _CODES_OF_SUCCESS for name in ("code", "error_code", "status_code"))
    return bool(_words_in({"detail": fields.get("detail")}) or (has_code and _words_in(fields)))


def describe_error(error: Json) -> Json:
    """An error as an object with `message`, and `code` and `type` where it has them."""
    if not isinstance(error, dict):
        return {"message": _words_in(error) or str(error)[:300]}
    fields = _folded(error)
    message = _words_in(error, nested=True)
    described = {name: fields[name] for name in ("code", "type") if fields.get(name) not in (None, "", "error")}
    return {"message": message, **described} if message or described else {"message": str(error)[:300]}


def _says_something(error: Json) -> bool:
    """Whether `error` says anything: null, false, "" and an object of such are the absence of an error."""
    if isinstance(error, dict):
        return any(value not in (None, "", 0, False, [], {}) for value in error.values())
    return bool(error)


def _words_in(value: Json, depth: int = 0, *, nested: bool = False) -> str:
    """The first words of an error. `nested`: also in an object under any name, such as `base_resp`."""
    if isinstance(value, str) or depth > _DEEPEST:
        return value.strip() if isinstance(value, str) else ""
    if isinstance(value, list):
        return "; ".join(filter(None, (_words_in(item, depth + 1) for item in value[:3])))
    if not isinstance(value, dict):
        return ""
    fields = _folded(value)
    for name in _WORDS:
        if name in fields and (words := _words_in(fields[name], depth + 1)):
            return words
    inner = [item for item in value.values() if isinstance(item, dict)] if nested else []
    return next(filter(None, (_words_in(item, depth + 1) for item in inner)), "")


def _folded(fields: Json) -> dict[str, Json]:
    return {str(name).lower(): value for name, value in fields.items()}
