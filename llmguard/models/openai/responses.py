"""The Responses API: a request as the body to send, and the JSON of a reply as an answer. Nothing here sends."""

from __future__ import annotations

from llmguard.core.canonical import Json
from llmguard.core.messages import Message, ModelAnswer, ModelRequest
from llmguard.models.openai.reply import join_calls, join_parts, judged, usage_of_failure
from llmguard.models.openai.server_capabilities import Dialect
from llmguard.models.openai.strict_schema import NativeForm, instructed
from llmguard.models.transport.failures import failure_in_reply, malformed

PATH = "/responses"
_SAMPLING = {"temperature": "temperature", "top_p": "top_p", "max_tokens": "max_output_tokens"}
"""What this API knows of sampling; it has no seed and no stop."""
_LOGPROBS = "message.output_text.logprobs"


def body(request: ModelRequest, form: NativeForm | None, dialect: Dialect) -> dict[str, Json]:
    messages = instructed(request.messages, form.words(dialect.technique)) if form else request.messages
    asked: dict[str, Json] = {"model": request.model, "input": [_message(message) for message in messages]}
    if form is not None:
        asked.update(_constraint(form, dialect))
    for name, value in request.sampling.set_fields().items():
        if name in _SAMPLING and name not in dialect.without:
            asked[_SAMPLING[name]] = value
    return asked


def ask_logprobs(body: dict[str, Json], *, is_openai: bool) -> None:
    """Here they are one of the things that a response may include."""
    included = body.get("include")
    body["include"] = [*(included if isinstance(included, list) else ()), _LOGPROBS]


def answer(reply: Json, request: ModelRequest, dialect: Dialect) -> ModelAnswer:
    """What the JSON of a reply says, whatever its shape."""
    if not isinstance(reply, dict):
        return malformed(f"expected an object with output, found {type(reply).__name__}")
    if reply.get("error"):
        return failure_in_reply(reply["error"], usage_of_failure(reply))
    output, status = reply.get("output"), reply.get("status")
    if not isinstance(output, list) or status in ("queued", "in_progress", "failed", "cancelled"):
        found = f"status {status!r} and output {str(output)[:200]}"
        return malformed(f"expected a finished response, found {found}", usage_of_failure(reply))
    items = [item for item in output if isinstance(item, dict)]
    parts = _parts(items)
    content = join_parts(parts, ("output_text", "text"))
    arguments = join_calls([item.get("arguments") for item in items if item.get("type") == "function_call"])
    if content is None or arguments is None:
        return malformed(f"expected text in output, found {str(output)[:200]}", usage_of_failure(reply))
    said = (arguments or content) if dialect.technique == "tool" else (content or arguments)
    tokens = None if arguments else _logprobs(parts)
    return judged(reply, request, said, _refusal(parts), _finish_reason(reply), tokens)


def _parts(items: list[Json]) -> list[Json]:
    """The content parts of the messages; what a model says on its way to the answer ("commentary") is none."""
    messages = [item for item in items if item.get("type") == "message"]
    final = [message for message in messages if message.get("phase") != "commentary"] or messages
    found = [message.get("content") for message in final]
    return [part for content in found if isinstance(content, list) for part in content]


def _logprobs(parts: list[Json]) -> list[Json]:
    found = [part.get("logprobs") for part in parts if isinstance(part, dict)]
    return [entry for entries in found if isinstance(entries, list) for entry in entries]


def _refusal(parts: list[Json]) -> str:
    said = [part.get("refusal") for part in parts if isinstance(part, dict) and part.get("type") == "refusal"]
    return "".join(text for text in said if isinstance(text, str))


def _finish_reason(reply: Json) -> Json:
    """Any incomplete response is a cut one, unless a filter cut it."""
    details = reply.get("incomplete_details")
    if reply.get("status") != "incomplete" and not isinstance(details, dict):
        return "stop"
    reason = details.get("reason") if isinstance(details, dict) else None
    return reason if reason == "content_filter" else "length"


def _message(message: Message) -> Json:
    if isinstance(message.content, str):
        return {"role": message.role, "content": message.content}
    return {"role": message.role, "content": [_part(part, message.role) for part in message.content]}


def _part(part: Json, role: str) -> Json:
    """A content part in this API's spelling; one that has no other spelling stays as it is."""
    match part:
        case {"type": "text", "text": text}:
            return {"type": "output_text" if role == "assistant" else "input_text", "text": text}
        case {"type": "image_url", "image_url": str(url)}:
            return {"type": "input_image", "image_url": url}
        case {"type": "image_url", "image_url": {"url": url, **rest}}:
            return {"type": "input_image", "image_url": url, **rest}
        case {"type": "file", "file": {**file}}:
            return {"type": "input_file", **file}
        case _:
            return part


def _constraint(form: NativeForm, dialect: Dialect) -> dict[str, Json]:
    match dialect.technique:
        case "json_schema":
            schema = {"type": "json_schema", "name": form.name, "schema": form.schema, "strict": form.is_strict}
            return {"text": {"format": schema}}
        case "tool":
            # Here a function is strict unless it says otherwise.
            function = {"type": "function", "name": form.name, "parameters": form.schema, "strict": form.is_strict}
            return {"tools": [function], "tool_choice": {"type": "function", "name": form.name}}
        case "json_object":
            return {"text": {"format": {"type": "json_object"}}}
        case "prompted":
            return {}
