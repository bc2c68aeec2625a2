"""What a server supports of OpenAI's API: how the output is constrained, and which parameters are sent.

Compatible servers refuse parts of the API, each with its own message. Where a simpler request may succeed, the refusal leads
to `ServerCapabilities` without that part, and the guard's next try uses them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from llmguard.core.messages import Sampling
from llmguard.models.transport.failures import ErrorDetails

Technique: TypeAlias = Literal["json_schema", "tool", "json_object", "prompted"]
Output: TypeAlias = Literal["auto", "json_schema", "tool", "json_object", "prompted"]
Api: TypeAlias = Literal["chat", "responses"]

TECHNIQUES: tuple[Technique, ...] = get_args(Technique)
"""From the strictest to the one that every server supports: a tool call still carries the schema, a JSON object only the
syntax, a prompt only words."""

# Words in the message, code or parameter of a refusal that is about the technique.
_TECHNIQUE_WORDS: dict[Technique, tuple[str, ...]] = {
    "json_schema": ("response_format", "text.format", "schema", "grammar", "structured output", "guided"),
    "tool": ("tool", "function", "schema", "grammar"),
    "json_object": ("response_format", "json_object", "text.format", "json mode", "grammar"),
    "prompted": (),
}
_REFUSAL_STATUSES = frozenset((400, 404, 422, 500, 501))
FORBIDDEN = 403
"""OpenAI's status where a model gives no log-probabilities; otherwise the key lacks a permission."""
_UNSUPPORTED_WORDS = ("unsupported", "not support", "unknown", "unrecognized", "not permitted", "extra_forbidden")
_SAMPLING_PARAMETERS = ("temperature", "top_p", "seed", "stop")
_LIMIT_PARAMETERS = ("max_completion_tokens", "max_tokens")


@dataclass(frozen=True, slots=True)
class ServerCapabilities:
    """`limit_parameter`: the chat API's name for the most tokens of a reply. `unsupported`: parameters that are not sent."""

    technique: Technique
    limit_parameter: str = "max_tokens"
    unsupported: frozenset[str] = frozenset()
    is_fixed: bool = False

    @property
    def is_openai(self) -> bool:
        """Whether the server is taken for OpenAI's own, by the name of the limit that it takes."""
        return self.limit_parameter == _LIMIT_PARAMETERS[0]

    def simplify(self, status: int, details: ErrorDetails, features: RequestFeatures) -> ServerCapabilities | None:
        """The capabilities with which a refused request may succeed; None where the refusal is about something else."""
        if status not in _REFUSAL_STATUSES and status != FORBIDDEN:
            return None
        # A model may be called "tool-…": its name says nothing about tools.
        text = re.sub(rf"(?<![\w.-]){re.escape(features.model.lower())}(?![\w-])", " ", details.text)
        if status == FORBIDDEN:
            return self._without_logprobs(text, features)
        return (
            self._without_parameter(text, features.sampling)
            or self._without_logprobs(text, features)
            or self._with_other_technique(text, features)
        )

    def _without_parameter(self, text: str, sampling: Sampling) -> ServerCapabilities | None:
        if not any(word in text for word in _UNSUPPORTED_WORDS):
            return None
        parameters = sampling.set_fields()
        if "max_tokens" in parameters and self.limit_parameter in text and self.limit_parameter not in self.unsupported:
            other = _LIMIT_PARAMETERS[1 - _LIMIT_PARAMETERS.index(self.limit_parameter)]
            # If the other one is refused as well, neither is sent.
            return replace(self, limit_parameter=other, unsupported=self.unsupported | {self.limit_parameter})
        for name in _SAMPLING_PARAMETERS:
            if name in parameters and name in text and name not in self.unsupported:
                return replace(self, unsupported=self.unsupported | {name})
        return None

    def _without_logprobs(self, text: str, features: RequestFeatures) -> ServerCapabilities | None:
        """They are optional: any message that names them is enough to leave them out."""
        if not features.has_logprobs or "logprobs" not in text or "logprobs" in self.unsupported:
            return None
        return replace(self, unsupported=self.unsupported | {"logprobs"})

    def _with_other_technique(self, text: str, features: RequestFeatures) -> ServerCapabilities | None:
        is_about_technique = any(word in text for word in _TECHNIQUE_WORDS[self.technique])
        if self.is_fixed or not features.has_schema or not is_about_technique:
            return None
        return replace(self, technique=TECHNIQUES[TECHNIQUES.index(self.technique) + 1])


@dataclass(frozen=True, slots=True)
class RequestFeatures:
    """The parts of a request that a server may refuse."""

    model: str
    sampling: Sampling
    has_schema: bool
    has_logprobs: bool = False


def initial_capabilities(output: Output, *, is_openai: bool) -> ServerCapabilities:
    """OpenAI's newer models know only `max_completion_tokens`; most other servers know only `max_tokens`."""
    limit_parameter = _LIMIT_PARAMETERS[0] if is_openai else _LIMIT_PARAMETERS[1]
    if output == "auto":
        return ServerCapabilities(TECHNIQUES[0], limit_parameter)
    return ServerCapabilities(output, limit_parameter, is_fixed=True)
