"""What is sent to a model and what may come back, whoever provides it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from llmguard.core.canonical import Json

Role: TypeAlias = Literal["system", "user", "assistant"]

TransportFailure: TypeAlias = Literal["timeout", "connection", "rate_limited", "overloaded", "server_error"]
RequestFailure: TypeAlias = Literal["auth", "not_found", "bad_request", "context_length"]
ReplyFailure: TypeAlias = Literal["refusal", "content_filter", "truncated", "empty", "malformed"]
VerdictFailure: TypeAlias = Literal["unparsable", "ambiguous", "schema", "check", "inconsistent"]
OwnFailure: TypeAlias = Literal["deadline", "budget", "crashed", "superseded", "stopped"]
FailureKind: TypeAlias = TransportFailure | RequestFailure | ReplyFailure | VerdictFailure | OwnFailure

TRANSPORT: frozenset[str] = frozenset(get_args(TransportFailure))
"""Failures that another try may mend."""

FinishReason: TypeAlias = Literal["stop", "length", "content_filter", "unknown", "stopped"]
"""`unknown`: the server gave a reason that is not known; only a text that ends by itself is whole then. `stopped`: a watcher
ended the request, because no continuation could mend what it had seen."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. `content` is text, or a tuple of content parts as OpenAI spells them
    (`{"type": "text", ...}`, `{"type": "image_url", ...}`)."""

    role: Role
    content: str | tuple[Json, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the model draws its tokens; None leaves the provider's default."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()

    def set_fields(self) -> dict[str, Json]:
        """What was set, by name."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) not in (None, ())}


PROVIDERS_DEFAULTS = Sampling()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFormat:
    """The form that the reply must have. `instruction` says it in words to a model that cannot be constrained; `digest`
    names the schema, so that it is not encoded again for every request. `drops_unknown`: members that the schema does not
    name are dropped when the reply is read, as by a Python type, so that its objects may be closed. `in_words`: to be said in
    words too, because the last reply was of another form."""

    name: str
    schema: Json = field(repr=False)
    instruction: str = field(repr=False)
    digest: str
    drops_unknown: bool = False
    in_words: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One request, provider-free. `sample` makes equal requests of one vote different. `may_adapt`: the adapter may ask for the
    output in a way that it learned from earlier replies; not under `accept=`, which was certified for one way of asking."""

    model: str
    messages: tuple[Message, ...]
    output: ResponseFormat | None = None
    sampling: Sampling = PROVIDERS_DEFAULTS
    sample: int = 0
    may_adapt: bool = True

    def to_json(self) -> Json:
        """What the request says, as JSON: equal for equal requests. What follows from it (`in_words`) is left out."""
        return [
            self.model,
            [[message.role, message.content] for message in self.messages],
            self.output.digest if self.output else "",
            self.sampling.set_fields(),
            self.sample,
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one or several requests. `estimated`: at least one part was counted here, not by the provider."""

    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            estimated=self.estimated or other.estimated,
        )


NO_USAGE = Usage()

Tokens: TypeAlias = tuple[tuple[str, float], ...]
"""Pieces of a text, each with the natural logarithm of the probability that the model gave it."""


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What a model said. `raw` is the evidence: the body as received, in bytes; `latency_s` counts from sending.

    `logprobs`: the tokens of `text` in order, each with the natural logarithm of its probability; joined they are `text`.
    Empty where the server gave none, or none that surely belong to `text`.
    """

    text: str
    finish_reason: FinishReason = field(default="stop", kw_only=True)
    model: str = field(default="", kw_only=True)
    usage: Usage = field(default=NO_USAGE, kw_only=True)
    cost_usd: float | None = field(default=None, kw_only=True)
    logprobs: Tokens = field(default=(), kw_only=True, repr=False)
    raw: bytes = field(default=b"", kw_only=True, repr=False, compare=False)
    latency_s: float = field(default=0.0, kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class ModelFailure:
    """Why there is no reply to read. `downgraded`: the adapter will ask with a simpler output technique next time.
    `sent`: a request went out, and may have been paid for."""

    kind: FailureKind
    message: str = ""
    status: int | None = field(default=None, kw_only=True)
    retry_after_s: float | None = field(default=None, kw_only=True)
    downgraded: bool = field(default=False, kw_only=True)
    sent: bool = field(default=True, kw_only=True)
    usage: Usage = field(default=NO_USAGE, kw_only=True)
    cost_usd: float | None = field(default=None, kw_only=True)
    raw: bytes = field(default=b"", kw_only=True, repr=False, compare=False)
    latency_s: float = field(default=0.0, kw_only=True, compare=False)

    @property
    def retryable(self) -> bool:
        """Whether the same request may be tried again at the same rung."""
        return self.sent and (self.downgraded or self.kind in TRANSPORT)


ModelAnswer: TypeAlias = ModelReply | ModelFailure
