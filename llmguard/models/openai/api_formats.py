"""OpenAI's two APIs as data: how each writes a request, and reads a reply or the events of a streamed one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llmguard.core.canonical import Json
from llmguard.core.messages import ModelAnswer, ModelRequest
from llmguard.models.openai import chat_completions, responses
from llmguard.models.openai.chat_collector import ChatCollector
from llmguard.models.openai.reply import FinishReasons
from llmguard.models.openai.response_collector import ResponseCollector
from llmguard.models.openai.server_capabilities import Api, ServerCapabilities
from llmguard.models.openai.stream_events import EventCollector
from llmguard.models.openai.strict_schema import ServerSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiFormat:
    """`add_logprobs` takes a body and whether the server is OpenAI's own. `read_reply` reads a body that came whole, or the one
    that `collector` makes of a stream's events."""

    name: Api
    path: str
    build_body: Callable[[ModelRequest, ServerSchema | None, ServerCapabilities], dict[str, Json]]
    add_logprobs: Callable[[dict[str, Json], bool], None]
    read_reply: Callable[[Json, ModelRequest, ServerCapabilities, FinishReasons], ModelAnswer]
    collector: Callable[[], EventCollector]


API_FORMATS: dict[Api, ApiFormat] = {
    "chat": ApiFormat(
        name="chat",
        path="/chat/completions",
        build_body=chat_completions.build_chat_body,
        add_logprobs=chat_completions.add_chat_logprobs,
        read_reply=chat_completions.read_chat_completion,
        collector=ChatCollector,
    ),
    "responses": ApiFormat(
        name="responses",
        path="/responses",
        build_body=responses.build_responses_body,
        add_logprobs=responses.add_responses_logprobs,
        read_reply=responses.read_response,
        collector=ResponseCollector,
    ),
}
