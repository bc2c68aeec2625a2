"""llmguard: validate what a language model says, and fall back where it cannot be trusted."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmguard.build import rung
    from llmguard.checks import Check, check
    from llmguard.errors import GuardRejected, LLMGuardError, LogError, ReplayMismatch, UsageError
    from llmguard.guard import Guard
    from llmguard.ladder import Retry, constant, escalate, fallback, last_good, salvage
    from llmguard.messages import Message, ModelFailure, ModelReply, ModelRequest, Sampling, Usage
    from llmguard.models.function import FunctionModel
    from llmguard.models.openai import OpenAIModel
    from llmguard.outcome import Attempt, Outcome, Partial, Repair, Violation, Void
    from llmguard.outcome_log import OutcomeLog
    from llmguard.wrap import guarded

__version__ = "0.1.0"

_HOMES = {
    "llmguard.build": ("rung",),
    "llmguard.checks": ("Check", "check"),
    "llmguard.errors": ("GuardRejected", "LLMGuardError", "LogError", "ReplayMismatch", "UsageError"),
    "llmguard.guard": ("Guard",),
    "llmguard.ladder": ("Retry", "constant", "escalate", "fallback", "last_good", "salvage"),
    "llmguard.messages": ("Message", "ModelFailure", "ModelReply", "ModelRequest", "Sampling", "Usage"),
    "llmguard.models.function": ("FunctionModel",),
    "llmguard.models.openai": ("OpenAIModel",),
    "llmguard.outcome": ("Attempt", "Outcome", "Partial", "Repair", "Violation", "Void"),
    "llmguard.outcome_log": ("OutcomeLog",),
    "llmguard.wrap": ("guarded",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Attempt",
    "Check",
    "FunctionModel",
    "Guard",
    "GuardRejected",
    "LLMGuardError",
    "LogError",
    "Message",
    "ModelFailure",
    "ModelReply",
    "ModelRequest",
    "OpenAIModel",
    "Outcome",
    "OutcomeLog",
    "Partial",
    "Repair",
    "ReplayMismatch",
    "Retry",
    "Sampling",
    "Usage",
    "UsageError",
    "Violation",
    "Void",
    "check",
    "constant",
    "escalate",
    "fallback",
    "guarded",
    "last_good",
    "rung",
    "salvage",
]


def __getattr__(name: str) -> object:
    """Public names load on first use, so that `import llmguard` stays cheap."""
    if name not in _HOME:
        raise AttributeError(f"module 'llmguard' has no attribute {name!r}")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
