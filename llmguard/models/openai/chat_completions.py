"""The chat completions API: a request as a body, and the JSON of a reply as an answer. Nothing is sent here."""

from __future__ import annotations

from llmguard.core.canonical import Json
from llmguard.core.messages import Message, ModelAnswer, ModelFailure, ModelRequest
from llmguard.models.openai.reply import classify_reply, join_parts, join_tool_arguments, read_usage_of_failure
from llmguard.models.openai.server_capabilities import ServerCapabilities
from llmguard.models.openai.strict_schema import ServerSchema, append_instruction
from llmguard.models.transport.failures import failure_from_error, malformed_reply


def build_chat_body(
    request: ModelRequest, schema: ServerSchema | None, capabilities: ServerCapabilities
) -> dict[str, Json]:
    instruction = schema.instruction_for(capabilities.technique) if schema else ""
    messages = append_instruction(request.messages, instruction)
    body: dict[str, Json] = {"model": request.model, "messages": [_message(message) for message in messages]}
    if schema is not None:
        body.update(_constrain_output(schema, capabilities))
    for name, value in request.sampling.set_fields().items():
        key = capabilities.limit_parameter if name == "max_tokens" else name
        if key not in capabilities.unsupported:
            body[key] = value
    return body


def add_chat_logprobs(body: dict[str, Json], is_openai: bool) -> None:
    """Without `top_logprobs`, llama.cpp adds the 20 likeliest tokens at each position: 1.6 KB a token."""
    body.setdefault("logprobs", True)
    if not is_openai:
        body.setdefault("top_logprobs", 1)


def read_chat_completion(reply: Json, request: ModelRequest, capabilities: ServerCapabilities) -> ModelAnswer:
    """The answer for the JSON of a reply, of whatever shape."""
    if not isinstance(reply, dict):
        return malformed_reply(f"expected an object with choices, found {type(reply).__name__}")
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return _failure_without_choice(reply)
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        return malformed_reply(f"expected choices[0].message, found {str(message)[:200]}", read_usage_of_failure(reply))
    if isinstance(choice.get("error"), dict):  # OpenRouter: the provider failed during the reply
        return failure_from_error(choice["error"], read_usage_of_failure(reply))
    content, arguments = _texts_of(message)
    if content is None or arguments is None:
        return malformed_reply(
            f"expected text in choices[0].message, found {str(message)[:200]}", read_usage_of_failure(reply)
        )
    text = (arguments or content) if capabilities.technique == "tool" else (content or arguments)
    refusal, tokens = message.get("refusal"), None if arguments else logprobs_in(choice)
    refusal_text = refusal if isinstance(refusal, str) else ""
    return classify_reply(reply, request, text, refusal_text, choice.get("finish_reason"), tokens)


def logprobs_in(choice: Json) -> Json:
    """The log-probabilities of a choice, or of a chunk of one."""
    logprobs = choice.get("logprobs")
    return logprobs.get("content") if isinstance(logprobs, dict) else None


def _message(message: Message) -> Json:
    content = message.content if isinstance(message.content, str) else list(message.content)
    return {"role": message.role, "content": content}


def _constrain_output(schema: ServerSchema, capabilities: ServerCapabilities) -> dict[str, Json]:
    strict = {"strict": True} if schema.is_strict else {}  # False is the default, and some servers refuse the member
    match capabilities.technique:
        case "json_schema":
            named_schema = {"name": schema.name, "schema": schema.json_schema, **strict}
            return {"response_format": {"type": "json_schema", "json_schema": named_schema}}
        case "tool":
            function = {"name": schema.name, "parameters": schema.json_schema, **strict}
            return {
                "tools": [{"type": "function", "function": function}],
                "tool_choice": {"type": "function", "function": {"name": schema.name}},
            }
        case "json_object":
            return {"response_format": {"type": "json_object"}}
        case "prompted":
            return {}


def _texts_of(message: Json) -> tuple[str | None, str | None]:
    """The content of a message and the arguments of its tool calls; None where one has an unknown shape."""
    content = join_parts(message.get("content"), ("text",))
    calls = message.get("tool_calls")
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    functions.append(message.get("function_call"))  # the older form, before tools
    return content, join_tool_arguments([each.get("arguments") for each in functions if isinstance(each, dict)])


def _failure_without_choice(reply: Json) -> ModelFailure:
    if reply.get("error"):
        return failure_from_error(reply["error"], read_usage_of_failure(reply))
    got = str(reply["choices"])[:200] if "choices" in reply else f"only {', '.join(list(reply)[:10])[:200]}"
    return malformed_reply(f"expected choices, found {got}", read_usage_of_failure(reply))
