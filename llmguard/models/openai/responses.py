"""The Responses API: a request as a body, and the JSON of a reply as an answer. Nothing is sent here."""

from __future__ import annotations

from llmguard.core.canonical import Json
from llmguard.core.messages import Message, ModelAnswer, ModelRequest
from llmguard.models.openai.reply import classify_reply, join_parts, join_tool_arguments, read_usage_of_failure
from llmguard.models.openai.server_capabilities import ServerCapabilities
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


def read_response(reply: Json, request: ModelRequest, capabilities: ServerCapabilities) -> ModelAnswer:
    """The answer for the JSON of a reply, of whatever shape."""
    if not isinstance(reply, dict):
        return malformed_reply(f"expected an object with output, found {type(reply).__name__}")
    if reply.get("error"):
        return failure_from_error(reply["error"], read_usage_of_failure(reply))
    output, status = reply.get("output"), reply.get("status")
    if not isinstance(output, list) or status in ("queued", "in_progress", "failed", "cancelled"):
        got = f"status {status!r} and output {str(output)[:200]}"
        return malformed_reply(f"expected a finished response, found {got}", read_usage_of_failure(reply))
    items = [item for item in output if isinstance(item, dict)]
    parts = _parts(items)
    content = join_parts(parts, ("output_text", "text"))
    arguments = join_tool_arguments([item.get("arguments") for item in items if item.get("type") == "function_call"])
    if content is None or arguments is None:
        return malformed_reply(f"expected text in output, found {str(output)[:200]}", read_usage_of_failure(reply))
    text = (arguments or content) if capabilities.technique == "tool" else (content or arguments)
    tokens = None if arguments else _logprobs(parts)
    return classify_reply(reply, request, text, _refusal(parts), _finish_reason(reply), tokens)


def _parts(items: list[Json]) -> list[Json]:
    """The content parts of the messages, without "commentary": text on the way to the answer."""
    messages = [item for item in items if item.get("type") == "message"]
    final = [message for message in messages if message.get("phase") != "commentary"] or messages
    contents = [message.get("content") for message in final]
    return [part for content in contents if isinstance(content, list) for part in content]


def _logprobs(parts: list[Json]) -> list[Json]:
    lists = [part.get("logprobs") for part in parts if isinstance(part, dict)]
    return [entry for entries in lists if isinstance(entries, list) for entry in entries]


def _refusal(parts: list[Json]) -> str:
    texts = [part.get("refusal") for part in parts if isinstance(part, dict) and part.get("type") == "refusal"]
    return "".join(text for text in texts if isinstance(text, str))


def _finish_reason(reply: Json) -> Json:
    """An incomplete response was cut by the length limit, unless a content filter cut it."""
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
