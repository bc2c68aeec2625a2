"""What one call may spend, and what is left of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from llmguard.messages import ModelAnswer, ModelFailure, ModelRequest
from llmguard.tokens import count_messages

SMALLEST_REPLY_TOKENS = 16
"""Fewer tokens than this are no reply worth paying a prompt for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that one call may spend, over all rungs. None: no bound."""

    requests: int = 50
    tokens: int | None = None
    usd: float | None = None


@dataclass(slots=True)
class Purse:
    """What a call has spent. The flow asks it before every request; sub-flows share it.

    Tokens are bounded before they are spent: a request's `max_tokens` is what is left after an estimate of its prompt.
    """

    budget: Budget
    requests: int = 0
    tokens: int = 0
    usd: float = 0.0
    out_of_time: bool = field(default=False)
    parallel: int = 1
    """Requests that go out together: each gets its part of the tokens that are left."""

    @property
    def is_spent(self) -> bool:
        """Whether no further request would be allowed, whatever it asked."""
        budget = self.budget
        return (
            self.out_of_time
            or self.requests >= budget.requests
            or (budget.usd is not None and self.usd >= budget.usd)
            or (budget.tokens is not None and self.tokens >= budget.tokens)
        )

    def take(self, request: ModelRequest) -> ModelRequest | ModelFailure:
        """The request as it may be sent, or why it may not."""
        if self.out_of_time:
            return ModelFailure("deadline", "no time is left for a request")
        if self.requests >= self.budget.requests:
            return ModelFailure(
                "budget", f"{self.requests} requests are spent of budget_requests={self.budget.requests}"
            )
        if self.budget.usd is not None and self.usd >= self.budget.usd:
            return ModelFailure("budget", f"{self.usd:.6f} dollars are spent of budget_usd={self.budget.usd}")
        allowed = self._within_tokens(request)
        if isinstance(allowed, ModelRequest):
            self.requests += 1
        return allowed

    def pay(self, answer: ModelAnswer) -> None:
        self.tokens += answer.usage.total_tokens
        self.usd += answer.cost_usd or 0.0
        if isinstance(answer, ModelFailure):
            self.out_of_time |= answer.kind == "deadline"
            self.requests -= not answer.sent

    def _within_tokens(self, request: ModelRequest) -> ModelRequest | ModelFailure:
        if self.budget.tokens is None:
            return request
        left = (self.budget.tokens - self.tokens) // self.parallel - prompt_estimate(request)
        if left < SMALLEST_REPLY_TOKENS:
            return ModelFailure("budget", f"{self.tokens} tokens are spent of budget_tokens={self.budget.tokens}")
        own = request.sampling.max_tokens
        return replace(request, sampling=replace(request.sampling, max_tokens=min(own or left, left)))


def prompt_estimate(request: ModelRequest) -> int:
    """Tokens of the messages, by the deterministic estimate, so that live and replay decide alike."""
    return count_messages(request.messages)
