"""What a server supports of OpenAI's API: how the output is constrained, and which parameters are sent.

Compatible servers refuse parts of the API, each with its own message. Where a simpler request may succeed, the refusal leads
to `ServerCapabilities` without that part, and the guard's next try uses them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from llmguard.core.canonical import Json
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
_LIMIT_PARAMETERS = ("max_completion_tokens", "max_tokens")

# How a refusal names a sampling parameter, by whatever verb: as the API spells it, or as a compatible server's own API does
# (Google's topP and maxOutputTokens, Anthropic's stop_sequences). "stop" is also a verb: it counts in quotes, at the
# beginning, before a colon, "sequence" or a form of "be", and after "parameter" or "argument".
_NAMED: dict[str, re.Pattern[str]] = {
    "temperature": re.compile(r"(?<![\w-])temperature(?![\w-])"),
    "top_p": re.compile(r"(?<![\w-])top_?p(?![\w-])"),
    "seed": re.compile(r"(?<![\w-])seed(?![\w-])"),
    "stop": re.compile(
        r"^stop\b|['\"`]stop(?:_?sequences)?['\"`]|(?<![\w-])stop(?:[_ ]?sequences?\b| (?:is|are|must|was|not|words?)\b|:)"
        r"|(?:param(?:eter)?|argument|field|option)s?:? stop\b"
    ),
}
_OTHER_LIMITS = re.compile(r"(?<![\w-])max_?(?:output|new)_?tokens(?![\w-])")
# What no server takes is the user's mistake, and is not left out: the bounds that OpenAI's reference gives.
_BOUNDS: dict[str, tuple[float, float]] = {"temperature": (0.0, 2.0), "top_p": (0.0, 1.0), "max_tokens": (1, math.inf)}
_NO_PARAM = frozenset(("", "none", "null", "body"))
_INVALID_STRICT = re.compile(r"(?<![\w-])strict(?![\w-])|invalid[ _](?:json[ _])?schema")


@dataclass(frozen=True, slots=True)
class ServerCapabilities:
    """`limit_parameter`: the chat API's name for the most tokens of a reply. `unsupported`: parameters that are not sent.

    `last_proven`: what was last known to work, until a request without a newly refused parameter gets through. A refusal
    that goes on without the parameter was about something else.
    """

    technique: Technique
    limit_parameter: str = "max_tokens"
    unsupported: frozenset[str] = frozenset()
    is_fixed: bool = False
    last_proven: ServerCapabilities | None = None

    @property
    def is_openai(self) -> bool:
        """Whether the server is taken for OpenAI's own, by the name of the limit that it takes."""
        return self.limit_parameter == _LIMIT_PARAMETERS[0]

    @property
    def sends_strict(self) -> bool:
        return "strict" not in self.unsupported

    @property
    def sends_stream_options(self) -> bool:
        """Servers other than OpenAI's may refuse the member."""
        return self.is_openai and "stream_options" not in self.unsupported

    def proven(self) -> ServerCapabilities:
        """After a request that got through."""
        return replace(self, last_proven=None) if self.last_proven else self

    def disproven(self) -> ServerCapabilities:
        """After a refusal that no simpler request mends: the parameters that were left out for it are sent again."""
        return self.last_proven or self

    def simplify(self, status: int, details: ErrorDetails, features: RequestFeatures) -> ServerCapabilities | None:
        """The capabilities with which a refused request may succeed; None where the refusal is about something else."""
        if status not in _REFUSAL_STATUSES and status != FORBIDDEN:
            return None
        # A model may be called "tool-…": its name says nothing about tools.
        text = re.sub(rf"(?<![\w.-]){re.escape(features.model.lower())}(?![\w-])", " ", details.text)
        if status == FORBIDDEN:
            return self._without_logprobs(text, features)
        param = details.param.lower()
        return (
            self._without_parameter(text if param in _NO_PARAM else param, features.sampling)
            or self._without_logprobs(text, features)
            or self._without_strict(text, features)
            or self._with_other_technique(text, features)
        )

    def _without_parameter(self, text: str, sampling: Sampling) -> ServerCapabilities | None:
        """`text`: the parameter that the server names as such, or all that it says where it names none."""
        sent = {name: value for name, value in sampling.set_fields().items() if _is_possible(name, value)}
        if "max_tokens" in sent and self._names_limit(text):
            other = _LIMIT_PARAMETERS[1 - _LIMIT_PARAMETERS.index(self.limit_parameter)]
            # If the other one is refused as well, neither is sent.
            return replace(self._without(self.limit_parameter), limit_parameter=other)
        for name, pattern in _NAMED.items():
            if name in sent and name not in self.unsupported and pattern.search(text):
                return self._without(name)
        if self.is_openai and "stream_options" in text and "stream_options" not in self.unsupported:
            return self._without("stream_options")
        return None

    def _names_limit(self, text: str) -> bool:
        own = rf"(?<![\w-]){self.limit_parameter}(?![\w-])"
        named = re.search(own, text) or _OTHER_LIMITS.search(text)
        return self.limit_parameter not in self.unsupported and named is not None

    def _without(self, name: str) -> ServerCapabilities:
        return replace(self, unsupported=self.unsupported | {name}, last_proven=self.last_proven or self)

    def _without_logprobs(self, text: str, features: RequestFeatures) -> ServerCapabilities | None:
        """They are optional: any message that names them is enough to leave them out."""
        if not features.has_logprobs or "logprobs" not in text or "logprobs" in self.unsupported:
            return None
        return replace(self, unsupported=self.unsupported | {"logprobs"})

    def _without_strict(self, text: str, features: RequestFeatures) -> ServerCapabilities | None:
        """The schema is sent as a hint then, by the same technique."""
        if not features.is_strict or not self.sends_strict or not _INVALID_STRICT.search(text):
            return None
        return replace(self, unsupported=self.unsupported | {"strict"})

    def _with_other_technique(self, text: str, features: RequestFeatures) -> ServerCapabilities | None:
        is_about_technique = any(word in text for word in _TECHNIQUE_WORDS[self.technique])
        if self.is_fixed or not features.has_schema or not is_about_technique:
            return None
        technique = TECHNIQUES[TECHNIQUES.index(self.technique) + 1]
        proven = replace(self.last_proven, technique=technique) if self.last_proven else None
        return replace(self, technique=technique, last_proven=proven)


def _is_possible(name: str, value: Json) -> bool:
    """Whether some server may take the value."""
    low, high = _BOUNDS.get(name, (-math.inf, math.inf))
    return not isinstance(value, int | float) or low <= value <= high


@dataclass(frozen=True, slots=True)
class RequestFeatures:
    """The parts of a request that a server may refuse."""

    model: str
    sampling: Sampling
    has_schema: bool
    has_logprobs: bool = False
    is_strict: bool = False


def initial_capabilities(output: Output, *, is_openai: bool) -> ServerCapabilities:
    """OpenAI's newer models know only `max_completion_tokens`; most other servers know only `max_tokens`."""
    limit_parameter = _LIMIT_PARAMETERS[0] if is_openai else _LIMIT_PARAMETERS[1]
    if output == "auto":
        return ServerCapabilities(TECHNIQUES[0], limit_parameter)
    return ServerCapabilities(output, limit_parameter, is_fixed=True)
