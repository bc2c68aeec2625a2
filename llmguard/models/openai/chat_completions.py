"""The chat completions API: a request as a body, and the JSON of a reply as an answer. Nothing is sent here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import itemgetter
from types import MappingProxyType

from llmguard.core.canonical import Json
from llmguard.core.messages import NO_USAGE, Message, ModelAnswer, ModelFailure, ModelRequest
from llmguard.models.openai.reply import (
    FinishReasons,
    ReplyContent,
    classify_reply,
    is_complete_end,
    join_parts,
    join_tool_arguments,
    read_usage_of_failure,
)
from llmguard.models.openai.server_capabilities import ServerCapabilities
from llmguard.models.openai.server_errors import describe_error, error_in_body, error_of_other_body
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


def read_chat_completion(
    reply: Json,
    request: ModelRequest,
    capabilities: ServerCapabilities,
    finish_reasons: FinishReasons = MappingProxyType({}),
) -> ModelAnswer:
    """The answer for the JSON of a reply, of whatever shape, and whether it came whole or was collected from a stream."""
    usage = read_usage_of_failure(reply)
    if (error := error_in_body(reply)) is not None:
        return failure_from_error(error, usage)
    choices = reply.get("choices") if isinstance(reply, dict) else None
    if not isinstance(choices, list) or not choices:
        return _failure_without_choice(reply)
    contents = [_read_choice(choice) for choice in _in_order(choices)]
    if isinstance(contents[0], ModelFailure):
        return replace(contents[0], usage=usage)
    content = _join_choices([each for each in contents if not isinstance(each, ModelFailure)], capabilities)
    if content is None:
        return ModelFailure("ambiguous", f"the {len(choices)} choices give different answers", usage=usage)
    return classify_reply(reply, request, content, finish_reasons)


@dataclass(frozen=True, slots=True)
class _ChoiceContent:
    """`content`: the text of a message; `arguments`: that of its tool calls."""

    content: str
    arguments: str
    rest: ReplyContent


def _in_order(choices: list[Json]) -> list[Json]:
    """By their index, where each has one of its own."""
    indexes = [choice.get("index") if isinstance(choice, dict) else None for choice in choices]
    if all(isinstance(index, int) for index in indexes) and len(set(indexes)) == len(indexes):
        return [choice for _, choice in sorted(zip(indexes, choices, strict=True), key=itemgetter(0))]
    return choices


def _read_choice(choice: Json) -> _ChoiceContent | ModelFailure:
    if not isinstance(choice, dict):
        return malformed_reply(f"expected choices, found {str(choice)[:200]}")
    if isinstance(choice.get("error"), dict):  # OpenRouter: the provider failed during the reply
        return failure_from_error(describe_error(choice["error"]), NO_USAGE)
    message = choice.get("message")
    if message is None and isinstance(choice.get("text"), str):
        message = {"content": choice["text"]}  # the older completions API
    if not isinstance(message, dict):
        return malformed_reply(f"expected choices[0].message, found {str(message)[:200]}")
    content, arguments = join_parts(message.get("content")), _arguments_of(message)
    if content.unknown or arguments is None:
        where = f"content: {content.unknown}" if content.unknown else f"tool calls: found {str(message)[:200]}"
        return malformed_reply(f"expected text in choices[0].message, {where}")
    refusal = message.get("refusal")
    rest = ReplyContent(
        text="",
        refusal=refusal if isinstance(refusal, str) and refusal else content.refusal,
        finish_reason=choice.get("finish_reason"),
        tokens=None if arguments else logprobs_in(choice),
        reasoning_chars=_reasoning_chars(message),
        others=content.others,
    )
    return _ChoiceContent(content.text, arguments, rest)


def _join_choices(choices: list[_ChoiceContent], capabilities: ServerCapabilities) -> ReplyContent | None:
    """The content of a reply; None where two choices answer differently.

    Some gateways put the text of one message and its tool call into two choices: they are one message.
    """
    callers = [choice for choice in choices if choice.arguments]
    writers = [choice for choice in choices if choice.content.strip() and not choice.arguments]
    arguments = "\n".join([choice.arguments for choice in callers])
    if len({choice.content.strip() for choice in writers}) > 1:
        return None
    content = next((choice.content for choice in (*callers, *writers) if choice.content.strip()), "")
    text = (arguments or content) if capabilities.technique == "tool" else (content or arguments)
    ends = [choice.rest.finish_reason for choice in (*callers, *writers) or choices[:1]]
    first = (writers or callers or choices)[0].rest
    return replace(
        first,
        text=text,
        finish_reason=next((end for end in ends if not is_complete_end(end)), ends[0]),
        tokens=None if callers else first.tokens,
    )


def logprobs_in(choice: Json) -> Json:
    """The log-probabilities of a choice."""
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


def _arguments_of(message: Json) -> str | None:
    """The arguments of a message's tool calls; None where one has an unknown shape."""
    calls = message.get("tool_calls")
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    functions.append(message.get("function_call"))  # the older form, before tools
    arguments = [each.get("arguments") for each in functions if isinstance(each, dict)]
    return join_tool_arguments([each for each in arguments if each not in (None, "")])


def _reasoning_chars(message: Json) -> int:
    texts = [message.get(name) for name in ("reasoning_content", "reasoning")]
    return max(len(text) if isinstance(text, str) else 0 for text in texts)


def _failure_without_choice(reply: Json) -> ModelFailure:
    usage = read_usage_of_failure(reply)
    if (error := error_of_other_body(reply)) is not None:
        return failure_from_error(error, usage)
    if not isinstance(reply, dict):
        return malformed_reply(f"expected an object with choices, found {type(reply).__name__}")
    got = str(reply["choices"])[:200] if "choices" in reply else f"only {', '.join(list(reply)[:10])[:200]}"
    return malformed_reply(f"expected choices, found {got}", usage)
