"""Chat completions: a request as the body to send, and the JSON of a reply as an answer. Nothing here sends."""

from __future__ import annotations

from llmguard.core.canonical import Json
from llmguard.core.messages import Message, ModelAnswer, ModelFailure, ModelRequest
from llmguard.models.openai.reply import join_calls, join_parts, judged, usage_of_failure
from llmguard.models.openai.server_capabilities import Dialect
from llmguard.models.openai.strict_schema import NativeForm, instructed
from llmguard.models.transport.failures import failure_in_reply, malformed

PATH = "/chat/completions"


def body(request: ModelRequest, form: NativeForm | None, dialect: Dialect) -> dict[str, Json]:
    messages = instructed(request.messages, form.words(dialect.technique)) if form else request.messages
    asked: dict[str, Json] = {"model": request.model, "messages": [_message(message) for message in messages]}
    if form is not None:
        asked.update(_constraint(form, dialect))
    for name, value in request.sampling.set_fields().items():
        key = dialect.limit if name == "max_tokens" else name
        if key not in dialect.without:
            asked[key] = value
    return asked


def ask_logprobs(body: dict[str, Json], *, is_openai: bool) -> None:
    """llama.cpp adds the 20 likeliest tokens at each place unless told otherwise: 1.6 KB a token."""
    body.setdefault("logprobs", True)
    if not is_openai:
        body.setdefault("top_logprobs", 1)


def answer(reply: Json, request: ModelRequest, dialect: Dialect) -> ModelAnswer:
    """What the JSON of a reply says, whatever its shape."""
    if not isinstance(reply, dict):
        return malformed(f"expected an object with choices, found {type(reply).__name__}")
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return _without_choice(reply)
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        return malformed(f"expected choices[0].message, found {str(message)[:200]}", usage_of_failure(reply))
    if isinstance(choice.get("error"), dict):  # OpenRouter: the provider behind it failed in mid-reply
        return failure_in_reply(choice["error"], usage_of_failure(reply))
    content, arguments = _said(message)
    if content is None or arguments is None:
        return malformed(f"expected text in choices[0].message, found {str(message)[:200]}", usage_of_failure(reply))
    said = (arguments or content) if dialect.technique == "tool" else (content or arguments)
    refusal, tokens = message.get("refusal"), None if arguments else logprobs_in(choice)
    refused = refusal if isinstance(refusal, str) else ""
    return judged(reply, request, said, refused, choice.get("finish_reason"), tokens)


def logprobs_in(choice: Json) -> Json:
    """What a choice, or the chunk of one, says of the tokens of its content."""
    found = choice.get("logprobs")
    return found.get("content") if isinstance(found, dict) else None


def _message(message: Message) -> Json:
    content = message.content if isinstance(message.content, str) else list(message.content)
    return {"role": message.role, "content": content}


def _constraint(form: NativeForm, dialect: Dialect) -> dict[str, Json]:
    strict = {"strict": True} if form.is_strict else {}  # False is the default, and not every server knows the word
    match dialect.technique:
        case "json_schema":
            schema = {"name": form.name, "schema": form.schema, **strict}
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
        case "tool":
            function = {"name": form.name, "parameters": form.schema, **strict}
            return {
                "tools": [{"type": "function", "function": function}],
                "tool_choice": {"type": "function", "function": {"name": form.name}},
            }
        case "json_object":
            return {"response_format": {"type": "json_object"}}
        case "prompted":
            return {}


def _said(message: Json) -> tuple[str | None, str | None]:
    """The content of a message, and the arguments of its tool calls. None where one has another shape."""
    content = join_parts(message.get("content"), ("text",))
    calls = message.get("tool_calls")
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    functions.append(message.get("function_call"))  # before tools there were functions
    return content, join_calls([each.get("arguments") for each in functions if isinstance(each, dict)])


def _without_choice(reply: Json) -> ModelFailure:
    if reply.get("error"):
        return failure_in_reply(reply["error"], usage_of_failure(reply))
    found = str(reply["choices"])[:200] if "choices" in reply else f"only {', '.join(list(reply)[:10])[:200]}"
    return malformed(f"expected choices, found {found}", usage_of_failure(reply))
