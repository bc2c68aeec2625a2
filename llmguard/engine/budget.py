"""What one call may spend, and what is left of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from llmguard.core.effects import Answers, Batch
from llmguard.core.messages import ModelAnswer, ModelFailure, ModelReply, ModelRequest
from llmguard.prompts.tokens import count_messages

SMALLEST_REPLY_TOKENS = 16
"""Fewer tokens than this are no reply worth paying a prompt for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that one call may spend, over all rungs. None: no bound."""

    requests: int = 50
    tokens: int | None = None
    usd: float | None = None


@dataclass(slots=True)
class Spent:
    """What a call has spent, over all rungs, samples and judges. `charged` has the addresses of the answers it counts."""

    requests: int = 0
    tokens: int = 0
    usd: float = 0.0
    out_of_time: bool = False
    charged: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class BudgetTracker:
    """What a call may still spend. The flow asks it before every request; sub-flows share what is spent.

    Tokens are bounded before they are spent: a request's `max_tokens` is what is left after an estimate of its prompt,
    and its part of that where `parallel` requests go out together.
    """

    budget: Budget
    parallel: int = 1
    spent: Spent = field(default_factory=Spent)

    def split(self, among: int) -> BudgetTracker:
        """For one of so many sub-flows that go on together."""
        return replace(self, parallel=self.parallel * max(1, among))

    def affordable_requests(self, count: int) -> int:
        """How many of `count` requests may go out together. The cost of one is known when it is answered, so the first
        goes alone, and then as many as there is money for at that price."""
        if self.budget.usd is None:
            return count
        if not self.spent.requests:
            return 1
        price = self.spent.usd / self.spent.requests
        return max(1, min(count, int((self.budget.usd - self.spent.usd) / price))) if price else count

    @property
    def is_exhausted(self) -> bool:
        """Whether no further request would be allowed, whatever it asked."""
        budget = self.budget
        return (
            self.spent.out_of_time
            or self.spent.requests >= budget.requests
            or (budget.usd is not None and self.spent.usd >= budget.usd)
            or (budget.tokens is not None and self.spent.tokens >= budget.tokens)
        )

    def reserve(self, request: ModelRequest) -> ModelRequest | ModelFailure:
        """The request as it may be sent, or why it may not."""
        if self.spent.out_of_time:
            return ModelFailure("deadline", "no time is left for a request")
        if self.spent.requests >= self.budget.requests:
            return ModelFailure(
                "budget", f"{self.spent.requests} requests are spent of budget_requests={self.budget.requests}"
            )
        if self.budget.usd is not None and self.spent.usd >= self.budget.usd:
            return ModelFailure("budget", f"{self.spent.usd:.6f} dollars are spent of budget_usd={self.budget.usd}")
        reserved = self._within_tokens(request)
        if isinstance(reserved, ModelRequest):
            self.spent.requests += 1
        return reserved

    def charge_batch(self, batch: Batch, answers: Answers) -> None:
        """Counts what came together, before the first sub-flow goes on and reserves more."""
        for effect, answer in zip(batch, answers, strict=True):
            if isinstance(answer, ModelReply | ModelFailure):
                self.charge(effect.address, answer)

    def charge(self, address: str, answer: ModelAnswer) -> None:
        """Counts what an answer cost, once: a sub-flow charges what its batch may have charged before."""
        if address in self.spent.charged:
            return
        self.spent.charged.add(address)
        self.spent.tokens += answer.usage.total_tokens
        self.spent.usd += answer.cost_usd or 0.0
        if isinstance(answer, ModelFailure):
            self.spent.out_of_time |= answer.kind == "deadline"
            self.spent.requests -= not answer.sent

    def _within_tokens(self, request: ModelRequest) -> ModelRequest | ModelFailure:
        if self.budget.tokens is None:
            return request
        left = (self.budget.tokens - self.spent.tokens) // self.parallel - prompt_estimate(request)
        if left < SMALLEST_REPLY_TOKENS:
            return ModelFailure("budget", f"{self.spent.tokens} tokens are spent of budget_tokens={self.budget.tokens}")
        own = request.sampling.max_tokens
        return replace(request, sampling=replace(request.sampling, max_tokens=min(own or left, left)))


def prompt_estimate(request: ModelRequest) -> int:
    """Tokens of the messages, by the deterministic estimate, so that live and replay decide alike."""
    return count_messages(request.messages)
