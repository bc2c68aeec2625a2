"""llmguard: validate what a language model says, and fall back where it cannot be trusted."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmguard.checks.model_judge import judge
    from llmguard.core.errors import GuardRejected, LLMGuardError, LogError, ReplayMismatch, UsageError
    from llmguard.core.messages import Message, ModelFailure, ModelReply, ModelRequest, Sampling, Usage
    from llmguard.core.outcome import (
        Alternative,
        Attempt,
        FieldSupport,
        Outcome,
        Partial,
        Repair,
        Violation,
        Void,
        Vote,
    )
    from llmguard.engine.acceptance_policy import certified
    from llmguard.engine.check import Check, check
    from llmguard.engine.ladder import Retry, constant, escalate, fallback, last_good, salvage
    from llmguard.guard.decorator import guarded
    from llmguard.guard.guard import Guard
    from llmguard.guard.rungs import rung
    from llmguard.log import OutcomeLog
    from llmguard.models.function import FunctionModel
    from llmguard.models.openai.model import OpenAIModel
    from llmguard.voting import Fixed, Predictive, SelfConsistency
    from llmguard.voting.scores import agrees_with

__version__ = "0.1.0"

_HOMES = {
    "llmguard.engine.acceptance_policy": ("certified",),
    "llmguard.guard.rungs": ("rung",),
    "llmguard.engine.check": ("Check", "check"),
    "llmguard.voting": (
        "Fixed",
        "Predictive",
        "SelfConsistency",
    ),
    "llmguard.core.errors": ("GuardRejected", "LLMGuardError", "LogError", "ReplayMismatch", "UsageError"),
    "llmguard.guard.guard": ("Guard",),
    "llmguard.checks.model_judge": ("judge",),
    "llmguard.engine.ladder": ("Retry", "constant", "escalate", "fallback", "last_good", "salvage"),
    "llmguard.core.messages": ("Message", "ModelFailure", "ModelReply", "ModelRequest", "Sampling", "Usage"),
    "llmguard.models.function": ("FunctionModel",),
    "llmguard.models.openai.model": ("OpenAIModel",),
    "llmguard.core.outcome": (
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
    "llmguard.log": ("OutcomeLog",),
    "llmguard.voting.scores": ("agrees_with",),
    "llmguard.guard.decorator": ("guarded",),
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
