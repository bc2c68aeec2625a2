"""What tests of guards, adapters and stores need: `ScriptedModel`, assertions, a pytest plugin.

`assertions` is about outcomes, `model_contract` about adapters, `store_contract` about stores of outcomes;
`pytest_plugin` replays case files and blocks requests to other machines. Names load on first use, because pytest imports
this package at its start to find the plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmguard.core.messages import ModelFailure, ModelReply
    from llmguard.models.scripted import ScriptedModel
    from llmguard.testing.assertions import assert_outcome
    from llmguard.testing.model_contract import assert_model_contract
    from llmguard.testing.store_contract import assert_store_contract

_HOME = {
    "ModelFailure": "llmguard.core.messages",
    "ModelReply": "llmguard.core.messages",
    "ScriptedModel": "llmguard.models.scripted",
    "assert_model_contract": "llmguard.testing.model_contract",
    "assert_outcome": "llmguard.testing.assertions",
    "assert_store_contract": "llmguard.testing.store_contract",
}
__all__ = [
    "ModelFailure",
    "ModelReply",
    "ScriptedModel",
    "assert_model_contract",
    "assert_outcome",
    "assert_store_contract",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'llmguard.testing' has no attribute {name!r}")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
