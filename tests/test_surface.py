"""The public names, pinned: one that comes or goes is a decision."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import llmguard

SURFACE = """
Alternative Attempt Check FieldSupport Fixed FunctionModel Guard GuardRejected LLMGuardError LogError Message ModelFailure
ModelReply ModelRequest OpenAIModel Outcome OutcomeLog Partial Predictive Repair ReplayMismatch Retry Sampling SelfConsistency
Usage UsageError Violation Void Vote agrees_with certified check constant escalate fallback guarded judge last_good rung salvage
""".split()


def test_the_surface_is_what_is_listed() -> None:
    """Sorted, and every name loads."""
    assert llmguard.__all__ == sorted(SURFACE)
    assert all(getattr(llmguard, name) is not None for name in SURFACE)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module."""
    assert not hasattr(llmguard, "Gaurd")
    assert set(SURFACE) <= set(dir(llmguard))


def test_public_dataclasses_are_frozen() -> None:
    """Data is not changed under anybody's hands."""
    kinds = [thing for name in SURFACE if dataclasses.is_dataclass(thing := getattr(llmguard, name))]
    assert len(kinds) >= 10
    assert all(kind.__dataclass_params__.frozen for kind in kinds)


def test_exceptions_have_one_root() -> None:
    """`except LLMGuardError` catches what llmguard raises on purpose."""
    kinds = [thing for name in SURFACE if isinstance(thing := getattr(llmguard, name), type)]
    assert all(issubclass(kind, llmguard.LLMGuardError) for kind in kinds if issubclass(kind, Exception))


def test_the_import_loads_nothing_heavy() -> None:
    """`import llmguard` costs next to nothing, and a guard's import no SDK."""
    program = (
        "import sys, llmguard; print('llmguard.guard.guard' in sys.modules); from llmguard import Guard;"
        "print([name for name in ('openai', 'pydantic', 'alembic', 'tiktoken', 'genai_prices') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n[]\n"
