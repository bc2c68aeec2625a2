"""What both of OpenAI's APIs have in common in a reply: texts, the reason of its end, and the tokens it took."""

from __future__ import annotations

from collections.abc import Sequence

from llmguard.core.canonical import EncodingError, Json, encode
from llmguard.core.messages import FailureKind, FinishReason, ModelAnswer, ModelFailure, ModelReply, ModelRequest, Usage
from llmguard.models.openai.logprobs import tokens_of
from llmguard.models.transport.failures import short
from llmguard.prompts.tokens import count_messages, estimate

MAX_TOKENS = 1_000_000_000
"""Counts above are no counts: a number that a log could not hold is estimated like a missing one."""

_FINISH_REASONS: dict[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",  # Mistral
    "content_filter": "content_filter",
    "safety": "content_filter",  # Google
    "recitation": "content_filter",
    "prohibited_content": "content_filter",
    "blocklist": "content_filter",
}
_BROKEN_OFF: dict[str, FailureKind] = {
    "error": "server_error",  # OpenRouter, Mistral
    "insufficient_system_resource": "overloaded",  # DeepSeek
}


def judged(
    reply: Json, request: ModelRequest, said: str, refusal: str, finished: Json, tokens: Json = None
) -> ModelAnswer:
    """The answer for a reply with these words. Why it ended comes first: a cut reply may well be empty. `tokens`: what
    the server says of their probabilities."""
    usage = usage_of(reply, request, said or refusal)
    reason = finished.lower() if isinstance(finished, str) else ""
    finish_reason = _FINISH_REASONS.get(reason, "stop")
    if reason in _BROKEN_OFF:
        return ModelFailure(_BROKEN_OFF[reason], f"the server broke off the reply: {reason}", usage=usage)
    if refusal and not said:
        return ModelFailure("refusal", short(refusal), usage=usage)
    if finish_reason == "stop" and not said.strip():
        return ModelFailure("empty", "the reply holds no text", usage=usage)
    model = reply.get("model")
    return ModelReply(
        said,
        finish_reason=finish_reason,
        model=model if isinstance(model, str) else request.model,
        usage=usage,
        logprobs=tokens_of(tokens, said),
    )


def join_calls(arguments: Sequence[Json]) -> str | None:
    """The arguments of tool calls as text; None where one is neither text nor an object.

    Several calls are several candidates: which of them is meant is not decided here.
    """
    texts = []
    for each in arguments:
        text = _encoded(each) if isinstance(each, dict) else each  # some servers send the object itself
        if not isinstance(text, str | None):
            return None
        texts.append(text or "")
    return "\n".join(texts)


def join_parts(content: Json, kinds: tuple[str, ...]) -> str | None:
    """The text of a content; parts of other kinds (thinking, say) are no part of the answer. None: another shape."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return None
    texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") in kinds]
    if not all(isinstance(text, str) for text in texts):
        return None
    return "".join(map(str, texts))


def usage_of(reply: Json, request: ModelRequest, said: str) -> Usage:
    """Tokens as the provider counted them; what it did not count is estimated."""
    asked, given = _counted(reply)
    if asked is not None and given is not None:
        return Usage(input_tokens=asked, output_tokens=given)
    return Usage(
        input_tokens=count_messages(request.messages) if asked is None else asked,
        output_tokens=estimate(said) if given is None else given,
        estimated=True,
    )


def usage_of_failure(reply: Json) -> Usage:
    """Tokens as the provider counted them, for a reply that broke: what it did not count was not asked to be paid."""
    asked, given = _counted(reply)
    return Usage(input_tokens=asked or 0, output_tokens=given or 0)


def _counted(reply: Json) -> tuple[int | None, int | None]:
    counts = reply.get("usage")
    if not isinstance(counts, dict):
        return None, None
    return _count(counts, "prompt_tokens", "input_tokens"), _count(counts, "completion_tokens", "output_tokens")


def _count(counts: Json, *names: str) -> int | None:
    for name in names:
        found = counts.get(name)
        if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= MAX_TOKENS:
            return found
    return None


def _encoded(value: Json) -> Json:
    try:
        return encode(value).decode()
    except EncodingError:
        return value
