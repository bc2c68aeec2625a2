"""The exceptions of llmguard, split by who is to blame.

LLMGuardError
 ├── UsageError       you: a bad schema, prompt or configuration; raised when the guard is built
 ├── GuardRejected    the model: no rung gave a value that can be trusted; carries the outcome
 ├── ReplayMismatch   the record: what is asked is not what was recorded
 └── LogError         the disk: the log, or a record in it, cannot be opened, read or written

A model's or a network's trouble is never an exception in the core: it is an answer to the flow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmguard.core.outcome import Outcome


class LLMGuardError(Exception):
    """The root: `except LLMGuardError` catches all that llmguard raises on purpose."""


class UsageError(LLMGuardError):
    """An argument cannot work. The message says what was expected, what was found, where, and how to mend it."""


class GuardRejected(LLMGuardError):
    """A guarded call ended without a value. `outcome` says what was tried and what was wrong each time."""

    def __init__(self, outcome: Outcome[object]) -> None:
        super().__init__(outcome.explain())
        self.outcome = outcome

    def __reduce__(self) -> tuple[type[GuardRejected], tuple[Outcome[object]]]:
        """With its outcome: an exception crosses processes as its class and the arguments to make it from."""
        return type(self), (self.outcome,)


class ReplayMismatch(LLMGuardError):
    """The flow asks for something else than what is recorded at `address`: what was `expected`, and the `actual` request."""

    def __init__(self, address: str, *, expected: str, actual: str) -> None:
        super().__init__(
            f"at {address!r}: expected {expected}, got {actual}. The guard, its inputs or llmguard changed since the"
            " record was made: replay it as what-if, or renew the record."
        )
        self.address, self.expected, self.actual = address, expected, actual

    def __reduce__(self) -> tuple[object, ...]:
        return _replay_mismatch, (self.address, self.expected, self.actual)


def _replay_mismatch(address: str, expected: str, actual: str) -> ReplayMismatch:
    return ReplayMismatch(address, expected=expected, actual=actual)


class LogError(LLMGuardError):
    """The outcome log, or a record in it, cannot be opened, read or written."""
