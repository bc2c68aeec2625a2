"""How a server is asked for an output form and for sampling, and what it was found not to understand.

Servers that speak OpenAI's protocol refuse parts of it, in words of their own. A refusal that a simpler way of asking
may mend leads to a `Dialect` that asks so; the flow's further try uses it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from llmguard.core.messages import Sampling
from llmguard.models.transport.failures import Complaint

Technique: TypeAlias = Literal["json_schema", "tool", "json_object", "prompted"]
Output: TypeAlias = Literal["auto", "json_schema", "tool", "json_object", "prompted"]
Api: TypeAlias = Literal["chat", "responses"]

TECHNIQUES: tuple[Technique, ...] = get_args(Technique)
"""From the one that binds the model most to the one that every server can: a tool call still carries the schema, a JSON
object only the syntax, a prompt nothing but words."""

# What a refusal names when it is about the technique; in its message, code or parameter.
_NAMES: dict[Technique, tuple[str, ...]] = {
    "json_schema": ("response_format", "text.format", "schema", "grammar", "structured output", "guided"),
    "tool": ("tool", "function", "schema", "grammar"),
    "json_object": ("response_format", "json_object", "text.format", "json mode", "grammar"),
    "prompted": (),
}
_REFUSALS = frozenset((400, 404, 422, 500, 501))
FORBIDDEN = 403
"""OpenAI's answer to who asks some models for log-probabilities; of anything else it says that the key may not."""
_UNSUPPORTED = ("unsupported", "not support", "unknown", "unrecognized", "not permitted", "extra_forbidden")
_SAMPLING = ("temperature", "top_p", "seed", "stop")
_LIMITS = ("max_completion_tokens", "max_tokens")


@dataclass(frozen=True, slots=True)
class Dialect:
    """`limit`: what the chat API calls the most tokens of a reply. `without`: parameters that are not sent."""

    technique: Technique
    limit: str = "max_tokens"
    without: frozenset[str] = frozenset()
    is_fixed: bool = False

    def simpler(self, status: int, complaint: Complaint, asked: Asked) -> Dialect | None:
        """The dialect that may mend a refusal of `asked`, or None where it is about something else."""
        if status not in _REFUSALS and status != FORBIDDEN:
            return None
        # A model may be called "tool-…": where it is named, nothing is said of tools.
        said = re.sub(rf"(?<![\w.-]){re.escape(asked.model.lower())}(?![\w-])", " ", complaint.text)
        if status == FORBIDDEN:
            return self._without_logprobs(said, asked)
        return (
            self._without_parameter(said, asked.sampling)
            or self._without_logprobs(said, asked)
            or self._with_other_technique(said, asked)
        )

    def _without_parameter(self, said: str, sampling: Sampling) -> Dialect | None:
        if not any(word in said for word in _UNSUPPORTED):
            return None
        given = sampling.set_fields()
        if "max_tokens" in given and self.limit in said and self.limit not in self.without:
            other = _LIMITS[1 - _LIMITS.index(self.limit)]
            # Both were refused: neither is sent.
            return replace(self, limit=other, without=self.without | {self.limit})
        for name in _SAMPLING:
            if name in given and name in said and name not in self.without:
                return replace(self, without=self.without | {name})
        return None

    def _without_logprobs(self, said: str, asked: Asked) -> Dialect | None:
        """Nobody needs them: any word against them will do."""
        if not asked.has_logprobs or "logprobs" not in said or "logprobs" in self.without:
            return None
        return replace(self, without=self.without | {"logprobs"})

    def _with_other_technique(self, said: str, asked: Asked) -> Dialect | None:
        if self.is_fixed or not asked.has_form or not any(name in said for name in _NAMES[self.technique]):
            return None
        return replace(self, technique=TECHNIQUES[TECHNIQUES.index(self.technique) + 1])


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request a refusal may be about."""

    model: str
    sampling: Sampling
    has_form: bool
    has_logprobs: bool = False


def first_dialect(output: Output, *, is_openai: bool) -> Dialect:
    """OpenAI's newer models know only `max_completion_tokens`; most other servers know only `max_tokens`."""
    limit = _LIMITS[0] if is_openai else _LIMITS[1]
    if output == "auto":
        return Dialect(TECHNIQUES[0], limit)
    return Dialect(output, limit, is_fixed=True)
