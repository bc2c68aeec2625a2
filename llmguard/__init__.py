"""llmguard: validate what a language model says, and fall back where it cannot be trusted."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmguard.acceptance import certified
    from llmguard.checks import Check, check
    from llmguard.consistency import Fixed, Predictive, SelfConsistency
    from llmguard.errors import GuardRejected, LLMGuardError, LogError, ReplayMismatch, UsageError
    from llmguard.guard import Guard
    from llmguard.judges import judge
    from llmguard.ladder import Retry, constant, escalate, fallback, last_good, salvage
    from llmguard.messages import Message, ModelFailure, ModelReply, ModelRequest, Sampling, Usage
    from llmguard.models.function import FunctionModel
    from llmguard.models.openai import OpenAIModel
    from llmguard.outcome import Alternative, Attempt, FieldSupport, Outcome, Partial, Repair, Violation, Void, Vote
    from llmguard.outcome_log import OutcomeLog
    from llmguard.rungs import rung
    from llmguard.scores import agrees_with
    from llmguard.wrap import guarded

__version__ = "0.1.0"

_HOMES = {
    "llmguard.acceptance": ("certified",),
    "llmguard.rungs": ("rung",),
    "llmguard.checks": ("Check", "check"),
    "llmguard.consistency": (
        "Fixed",
        "Predictive",
        "SelfConsistency",
    ),
    "llmguard.errors": ("GuardRejected", "LLMGuardError", "LogError", "ReplayMismatch", "UsageError"),
    "llmguard.guard": ("Guard",),
    "llmguard.judges": ("judge",),
    "llmguard.ladder": ("Retry", "constant", "escalate", "fallback", "last_good", "salvage"),
    "llmguard.messages": ("Message", "ModelFailure", "ModelReply", "ModelRequest", "Sampling", "Usage"),
    "llmguard.models.function": ("FunctionModel",),
    "llmguard.models.openai": ("OpenAIModel",),
    "llmguard.outcome": (
        "Alternative",
        "Attempt",
        "FieldSupport",
        "Outcome",
        "Partial",
        "Repair",
        "Violation",
        "Void",
        "Vote",
    ),
    "llmguard.outcome_log": ("OutcomeLog",),
    "llmguard.scores": ("agrees_with",),
    "llmguard.wrap": ("guarded",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Alternative",
    "Attempt",
    "Check",
    "FieldSupport",
    "Fixed",
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
    "Predictive",
    "Repair",
    "ReplayMismatch",
    "Retry",
    "Sampling",
    "SelfConsistency",
    "Usage",
    "UsageError",
    "Violation",
    "Void",
    "Vote",
    "agrees_with",
    "certified",
    "check",
    "constant",
    "escalate",
    "fallback",
    "guarded",
    "judge",
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
