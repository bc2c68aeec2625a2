"""The Responses API: a request as a body, and the JSON of a reply as an answer. Nothing is sent here."""

from __future__ import annotations

from types import MappingProxyType

from llmguard.core.canonical import Json
from llmguard.core.messages import Message, ModelAnswer, ModelFailure, ModelRequest
from llmguard.models.openai.reply import (
    FinishReasons,
    ReplyContent,
    classify_reply,
    join_parts,
    join_tool_arguments,
    read_usage_of_failure,
)
from llmguard.models.openai.server_capabilities import ServerCapabilities
from llmguard.models.openai.server_errors import error_in_body, error_of_other_body
from llmguard.models.openai.strict_schema import ServerSchema, append_instruction
from llmguard.models.transport.failures import failure_from_error, malformed_reply

_SAMPLING = {"temperature": "temperature", "top_p": "top_p", "max_tokens": "max_output_tokens"}
"""This API's names of the sampling parameters; it has no seed and no stop."""
_LOGPROBS = "message.output_text.logprobs"


def build_responses_body(
    request: ModelRequest, schema: ServerSchema | None, capabilities: ServerCapabilities
) -> dict[str, Json]:
    instruction = schema.instruction_for(capabilities.technique) if schema else ""
    messages = append_instruction(request.messages, instruction)
    body: dict[str, Json] = {"model": request.model, "input": [_message(message) for message in messages]}
    if schema is not None:
        body.update(_constrain_output(schema, capabilities))
    for name, value in request.sampling.set_fields().items():
        if name in _SAMPLING and name not in capabilities.unsupported:
            body[_SAMPLING[name]] = value
    return body


def add_responses_logprobs(body: dict[str, Json], is_openai: bool) -> None:
    """In this API they are one of the parts that a response may include."""
    included = body.get("include")
    body["include"] = [*(included if isinstance(included, list) else ()), _LOGPROBS]


def read_response(
    reply: Json,
    request: ModelRequest,
    capabilities: ServerCapabilities,
    finish_reasons: FinishReasons = MappingProxyType({}),
) -> ModelAnswer:
    """The answer for the JSON of a reply, of whatever shape, and whether it came whole or was collected from a stream."""
    usage = read_usage_of_failure(reply)
    if (error := error_in_body(reply)) is not None:
        return failure_from_error(error, usage)
    output, status = (reply.get("output"), reply.get("status")) if isinstance(reply, dict) else (None, None)
    if not isinstance(output, list) or status in ("queued", "in_progress", "failed", "cancelled"):
        return _failure_without_output(reply, output, status)
    items = [item for item in output if isinstance(item, dict)]
    messages = _messages(items)
    parts = _parts(messages)
    content = join_parts(parts)
    arguments = join_tool_arguments([item.get("arguments") for item in items if item.get("type") == "function_call"])
    if content.unknown or arguments is None:
        return malformed_reply(f"expected text in output, {content.unknown or f'found {str(output)[:200]}'}", usage)
    text = (arguments or content.text) if capabilities.technique == "tool" else (content.text or arguments)
    return classify_reply(
        reply,
        request,
        ReplyContent(
            text=text,
            refusal=content.refusal,
            finish_reason=_finish_reason(reply, messages),
            tokens=None if arguments else _logprobs(parts),
            reasoning_chars=_reasoning_chars(items),
            others=content.others,
        ),
        finish_reasons,
    )


def _failure_without_output(reply: Json, output: Json, status: Json) -> ModelFailure:
    usage = read_usage_of_failure(reply)
    is_response = isinstance(reply, dict) and (output is not None or status is not None)
    if not is_response and (error := error_of_other_body(reply)) is not None:
        return failure_from_error(error, usage)
    if not isinstance(reply, dict):
        return malformed_reply(f"expected an object with output, found {type(reply).__name__}")
    found = f"status {status!r}" if isinstance(output, list) else f"status {status!r} and output {str(output)[:200]}"
    return malformed_reply(f"expected a finished response, found {found}", usage)


def _messages(items: list[Json]) -> list[Json]:
    """The messages, without "commentary": text on the way to the answer."""
    messages = [item for item in items if item.get("type") == "message"]
    return [message for message in messages if message.get("phase") != "commentary"] or messages


def _parts(messages: list[Json]) -> list[Json]:
    contents = [message.get("content") for message in messages]
    return [
        part
        for content in contents
        for part in (content if isinstance(content, list) else [content] if isinstance(content, str) else ())
    ]


def _logprobs(parts: list[Json]) -> list[Json]:
    lists = [part.get("logprobs") for part in parts if isinstance(part, dict)]
    return [entry for entries in lists if isinstance(entries, list) for entry in entries]


def _reasoning_chars(items: list[Json]) -> int:
    reasoning = [item for item in items if item.get("type") == "reasoning"]
    parts = [part for item in reasoning for name in ("content", "summary") for part in _list_in(item, name)]
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return sum(len(text) for text in texts if isinstance(text, str)) or len(reasoning)


def _list_in(item: Json, name: str) -> list[Json]:
    return item[name] if isinstance(item.get(name), list) else []


def _finish_reason(reply: Json, messages: list[Json]) -> Json:
    """The response's status, or why it is incomplete. `incomplete_details` without a reason say nothing."""
    details = reply.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    if reason:
        return reason if reason == "content_filter" else "incomplete"
    if any(message.get("status") == "incomplete" for message in messages):
        return "incomplete"
    return reply.get("status")


def _message(message: Message) -> Json:
    if isinstance(message.content, str):
        return {"role": message.role, "content": message.content}
    return {"role": message.role, "content": [_part(part, message.role) for part in message.content]}


def _part(part: Json, role: str) -> Json:
    """A content part as this API writes it; unknown parts stay as they are."""
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


def _constrain_output(schema: ServerSchema, capabilities: ServerCapabilities) -> dict[str, Json]:
    match capabilities.technique:
        case "json_schema":
            output = {"name": schema.name, "schema": schema.json_schema, "strict": schema.is_strict}
            return {"text": {"format": {"type": "json_schema", **output}}}
        case "tool":
            # In this API a function is strict by default.
            function = {"name": schema.name, "parameters": schema.json_schema, "strict": schema.is_strict}
            return {
                "tools": [{"type": "function", **function}],
                "tool_choice": {"type": "function", "name": schema.name},
            }
        case "json_object":
            return {"text": {"format": {"type": "json_object"}}}
        case "prompted":
            return {}
