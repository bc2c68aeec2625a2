"""What tests of guards need: `ScriptedModel`, `assert_outcome`, and the pytest plugin.

Names load on first use, because pytest imports this package at its start to find the plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmguard.core.messages import ModelFailure, ModelReply
    from llmguard.models.scripted import ScriptedModel
    from llmguard.testing.assertions import assert_outcome

__all__ = ["ModelFailure", "ModelReply", "ScriptedModel", "assert_outcome"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'llmguard.testing' has no attribute {name!r}")
    value: object = getattr(import_module("llmguard.testing.assertions"), name)
    globals()[name] = value
    return value
