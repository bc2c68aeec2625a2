"""What the replies of both APIs have in common: texts, the reason why they ended, and the tokens used."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

from llmguard.core.canonical import EncodingError, Json, encode
from llmguard.core.errors import UsageError
from llmguard.core.messages import FailureKind, FinishReason, ModelAnswer, ModelFailure, ModelReply, ModelRequest, Usage
from llmguard.models.openai.logprobs import tokens_of_text
from llmguard.models.transport.failures import redacted_line
from llmguard.parsing.syntax import ends_by_itself
from llmguard.prompts.tokens import count_messages, estimate

MAX_TOKENS = 1_000_000_000
"""A larger count is invalid: it might not fit into the log's column, and is estimated like a missing one."""

FinishReasons: TypeAlias = Mapping[str, FinishReason]
"""A server's own words for the end of a reply -> what each means."""

# A word that is in neither table is an end of which nothing is known: see `classify_reply`. A word that is missing costs a reply
# whose text does not end by itself, and never lets a cut one pass.
_FINISH_REASONS: FinishReasons = {
    **dict.fromkeys(
        (
            "stop",
            "tool_calls",
            "function_call",
            "completed",  # the Responses API's status
            "complete",  # Cohere
            "end_turn",  # Anthropic, as are tool_use and stop_sequence
            "tool_use",
            "tool_call",  # Cohere
            "stop_sequence",
            "eos",  # Together
            "eos_token",  # TGI
        ),
        "stop",
    ),
    **dict.fromkeys(
        (
            "length",
            "incomplete",  # the Responses API's status
            "max_tokens",
            "max_output_tokens",
            "max_tool_calls",
            "model_length",  # Mistral
            "model_context_window_exceeded",  # Anthropic
        ),
        "length",
    ),
    **dict.fromkeys(
        (
            "content_filter",
            "safety",  # Google, as are the next three
            "recitation",
            "prohibited_content",
            "blocklist",
            "spii",
            "sensitive",  # Zhipu
            "refusal",  # Anthropic
        ),
        "content_filter",
    ),
}
_ABORT_REASONS: dict[str, FailureKind] = {
    "error": "server_error",  # OpenRouter, Mistral
    "insufficient_system_resource": "overloaded",  # DeepSeek
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyContent:
    """What a server replied, whatever its API. `finish_reason` is its own word, None where it gave none; `tokens` are the
    log-probabilities as it sent them; `others` names what was there beside text, for the message where there is no text."""

    text: str
    refusal: str = ""
    finish_reason: Json = None
    tokens: Json = None
    reasoning_chars: int = 0
    others: tuple[str, ...] = ()


def classify_reply(
    reply: Json, request: ModelRequest, content: ReplyContent, finish_reasons: FinishReasons
) -> ModelAnswer:
    """The answer for a reply with this content. The reason why it ended comes first: a cut reply may be empty.

    Where the reason is unknown, a text that ends by itself (a closed object) is a reply with the finish reason `unknown`, and
    any other counts as cut off.
    """
    text = content.text
    usage = read_usage(reply, request, text or content.refusal)
    word = normalized_finish_reason(content.finish_reason)
    finished = _meaning(word, finish_reasons)
    if word in _ABORT_REASONS and word not in finish_reasons:
        return ModelFailure(_ABORT_REASONS[word], f"the server broke off the reply: {word}", usage=usage)
    if content.refusal and not text:
        return ModelFailure("refusal", redacted_line(content.refusal), usage=usage)
    if not text.strip() and (failure := _failure_without_text(content, finished, word, usage)):
        return failure
    if finished == "unknown" and not ends_by_itself(text):
        return ModelFailure("truncated", _unknown_end_message(word), usage=usage)
    model = reply.get("model")
    return ModelReply(
        text,
        finish_reason=finished,
        model=model if isinstance(model, str) else request.model,
        usage=usage,
        logprobs=tokens_of_text(content.tokens, text),
    )


def normalized_finish_reason(reason: Json) -> str:
    """A server's word as the table has it: `FinishReason.MAX_TOKENS`, `maxTokens` and `max-tokens` are `max_tokens`. Empty
    where there is none."""
    if reason is None:
        return ""
    word = str(reason).strip().rpartition(".")[2]
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])|[\s-]+", "_", word).lower()
    return "" if snake in ("null", "none") else snake


def is_complete_end(reason: Json) -> bool:
    return _meaning(normalized_finish_reason(reason), {}) == "stop"


def read_finish_reasons(finish_reasons: Mapping[str, str] | None) -> FinishReasons:
    """The argument `finish_reasons` of a model, with its words as they are compared; UsageError where it is invalid."""
    meanings = ("stop", "length", "content_filter")
    if not isinstance(finish_reasons, Mapping | None):
        raise UsageError(
            f"finish_reasons={finish_reasons!r} of OpenAIModel: expected a mapping, such as {{'done': 'stop'}}."
        )
    for word, meaning in (finish_reasons or {}).items():
        if not isinstance(word, str) or not word.strip() or meaning not in meanings:
            raise UsageError(
                f"finish_reasons={{{word!r}: {meaning!r}}} of OpenAIModel: expected a server's word, and one of"
                f" {', '.join(map(repr, meanings))}."
            )
    return {normalized_finish_reason(word): cast(FinishReason, end) for word, end in (finish_reasons or {}).items()}


def _meaning(word: str, finish_reasons: FinishReasons) -> FinishReason:
    if not word:
        return "stop"  # the body is whole, or the stream ended with [DONE]
    return finish_reasons.get(word) or _FINISH_REASONS.get(word, "unknown")


def _failure_without_text(
    content: ReplyContent, finished: FinishReason, word: str, usage: Usage
) -> ModelFailure | None:
    """A filter and the length limit may leave nothing; where the limit went to reasoning, the message says so."""
    if finished == "length" and content.reasoning_chars:
        message = (
            f"the token limit was reached after {content.reasoning_chars} characters of reasoning and no text; raise"
            " max_tokens, or lower the reasoning effort"
        )
        return ModelFailure("truncated", message, usage=usage)
    if finished in ("length", "content_filter"):
        return None
    beside = [f"{content.reasoning_chars} characters of reasoning"] if content.reasoning_chars else []
    beside += content.others
    without = f", only {', '.join(beside)}" if beside else ""
    ended = f" (finish reason {word[:40]!r})" if finished == "unknown" else ""
    return ModelFailure("empty", redacted_line(f"the reply holds no text{without}{ended}"), usage=usage)


def _unknown_end_message(word: str) -> str:
    return redacted_line(
        f"the reply ended with the finish reason {word[:40]!r}, which is not known, and its text does not end by itself: it"
        f" may be cut. If this server ends whole replies so, write OpenAIModel(finish_reasons={{{word[:40]!r}: 'stop'}})"
    )


def join_tool_arguments(arguments: Sequence[Json]) -> str | None:
    """The arguments of tool calls as text; None where one is neither text nor an object.

    Several calls are several candidates; the parser decides between them.
    """
    texts = [text_of_arguments(each) for each in arguments]
    return None if None in texts else "\n".join(map(str, texts))


def text_of_arguments(arguments: Json) -> str | None:
    """The arguments of one call, or a piece of them; some servers send the object, not its text."""
    text = _encode_arguments(arguments) if isinstance(arguments, dict) else arguments
    return text or "" if isinstance(text, str | None) else None


@dataclass(frozen=True, slots=True)
class JoinedParts:
    """The text of a content. `unknown`: why it cannot be read, empty if it can. `others`: the types of its parts that are no
    text, such as thinking; `refusal`: the text of its parts of that type."""

    text: str = ""
    unknown: str = ""
    others: tuple[str, ...] = ()
    refusal: str = ""


_TEXT_PARTS = ("text", "output_text", None)
_OTHER_PARTS = frozenset(
    "thinking redacted_thinking reasoning reasoning_text summary_text refusal image image_url output_image audio output_audio"
    " input_audio file tool_use tool_call tool_calls server_tool_use citation citations annotations reference".split()
)
"""Parts that are not the answer's text (OpenAI, Anthropic, Mistral). A type that is in neither table makes the reply malformed
if it has a text, for the text might be a part of the answer."""


def join_parts(content: Json) -> JoinedParts:
    """The text of a content: a text, or a list of parts."""
    if content is None or isinstance(content, str):
        return JoinedParts(content or "")
    parts = [content] if isinstance(content, dict) else content
    if not isinstance(parts, list):
        return JoinedParts(unknown=f"found {type(content).__name__}")
    texts, refusals, others = [], [], []
    for part in parts:
        kind, text = (part.get("type"), _text_of_part(part)) if isinstance(part, dict) else ("text", part)
        if not isinstance(kind, str | None) or kind in _TEXT_PARTS:
            if not isinstance(text, str) or not isinstance(kind, str | None):
                return JoinedParts(unknown=f"found a part {str(part)[:80]}")
            texts.append(text)
        elif kind == "refusal":
            refusals.append(part.get("refusal"))
        elif kind not in _OTHER_PARTS and text is not None:
            return JoinedParts(unknown=f"found a part of type {kind[:40]!r}: {str(part)[:80]}")
        else:
            others.append(f"a part of type {kind[:40]!r}")
    refusal = "".join(text for text in refusals if isinstance(text, str))
    return JoinedParts("".join(texts), "", tuple(dict.fromkeys(others)), refusal)


def _text_of_part(part: Json) -> Json:
    text = part.get("text")
    return text.get("value") if isinstance(text, dict) and "value" in text else text  # as OpenAI's assistants write it


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
    counts = reply.get("usage") if isinstance(reply, dict) else None
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
