"""What the replies of both APIs have in common: texts, the reason why they ended, and the tokens used."""

from __future__ import annotations

from collections.abc import Sequence

from llmguard.core.canonical import EncodingError, Json, encode
from llmguard.core.messages import FailureKind, FinishReason, ModelAnswer, ModelFailure, ModelReply, ModelRequest, Usage
from llmguard.models.openai.logprobs import tokens_of_text
from llmguard.models.transport.failures import redacted_line
from llmguard.prompts.tokens import count_messages, estimate

MAX_TOKENS = 1_000_000_000
"""A larger count is invalid: it might not fit into the log's column, and is estimated like a missing one."""

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
_ABORT_REASONS: dict[str, FailureKind] = {
    "error": "server_error",  # OpenRouter, Mistral
    "insufficient_system_resource": "overloaded",  # DeepSeek
}


def classify_reply(
    reply: Json, request: ModelRequest, text: str, refusal: str, finish_reason: Json, tokens: Json = None
) -> ModelAnswer:
    """The answer for a reply with this text. The reason why it ended comes first: a cut reply may be empty. `tokens`: the
    log-probabilities as the server sent them."""
    usage = read_usage(reply, request, text or refusal)
    reason = finish_reason.lower() if isinstance(finish_reason, str) else ""
    finished = _FINISH_REASONS.get(reason, "stop")
    if reason in _ABORT_REASONS:
        return ModelFailure(_ABORT_REASONS[reason], f"the server broke off the reply: {reason}", usage=usage)
    if refusal and not text:
        return ModelFailure("refusal", redacted_line(refusal), usage=usage)
    if finished == "stop" and not text.strip():
        return ModelFailure("empty", "the reply holds no text", usage=usage)
    model = reply.get("model")
    return ModelReply(
        text,
        finish_reason=finished,
        model=model if isinstance(model, str) else request.model,
        usage=usage,
        logprobs=tokens_of_text(tokens, text),
    )


def join_tool_arguments(arguments: Sequence[Json]) -> str | None:
    """The arguments of tool calls as text; None where one is neither text nor an object.

    Several calls are several candidates; the parser decides between them.
    """
    texts = []
    for each in arguments:
        text = _encode_arguments(each) if isinstance(each, dict) else each  # some servers send the object, not its text
        if not isinstance(text, str | None):
            return None
        texts.append(text or "")
    return "\n".join(texts)


def join_parts(content: Json, part_types: tuple[str, ...]) -> str | None:
    """The text of a content, without parts of other types (such as thinking). None: an unknown shape."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return None
    texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") in part_types]
    if not all(isinstance(text, str) for text in texts):
        return None
    return "".join(map(str, texts))


def read_usage(reply: Json, request: ModelRequest, text: str) -> Usage:
    """Tokens as the provider counted them; what it did not count is estimated."""
    input_tokens, output_tokens = _read_token_counts(reply)
    if input_tokens is not None and output_tokens is not None:
        return Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    return Usage(
        input_tokens=count_messages(request.messages) if input_tokens is None else input_tokens,
        output_tokens=estimate(text) if output_tokens is None else output_tokens,
        estimated=True,
    )


def read_usage_of_failure(reply: Json) -> Usage:
    """Tokens as the provider counted them, for a failed reply: what it did not count is not billed."""
    input_tokens, output_tokens = _read_token_counts(reply)
    return Usage(input_tokens=input_tokens or 0, output_tokens=output_tokens or 0)


def _read_token_counts(reply: Json) -> tuple[int | None, int | None]:
    counts = reply.get("usage")
    if not isinstance(counts, dict):
        return None, None
    return _read_count(counts, "prompt_tokens", "input_tokens"), _read_count(
        counts, "completion_tokens", "output_tokens"
    )


def _read_count(counts: Json, *names: str) -> int | None:
    for name in names:
        count = counts.get(name)
        if isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= MAX_TOKENS:
            return count
    return None


def _encode_arguments(value: Json) -> Json:
    try:
        return encode(value).decode()
    except EncodingError:
        return value
