"""Checks that ship with llmguard: grounding in the source text, and a judge, which is a guarded model call.

`from llmguard.checks import numbers_occur, judge`. Reading order: `grounding` (pure functions of the value and the source),
then `model_judge`. Names load on first use: the grounding checks need no model, and the judge needs the whole of a guard.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmguard.checks.grounding import (
        Source,
        Span,
        dates_in,
        dates_occur,
        find_quote,
        names_occur,
        numbers_in,
        numbers_occur,
        quote_spans,
        quoted,
        sums,
        within,
    )
    from llmguard.checks.model_judge import JudgeVerdict, judge, verdict_of

__all__ = [
    "JudgeVerdict",
    "Source",
    "Span",
    "dates_in",
    "dates_occur",
    "find_quote",
    "judge",
    "names_occur",
    "numbers_in",
    "numbers_occur",
    "quote_spans",
    "quoted",
    "sums",
    "verdict_of",
    "within",
]

_OF_JUDGE = ("JudgeVerdict", "judge", "verdict_of")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'llmguard.checks' has no attribute {name!r}")
    module = "model_judge" if name in _OF_JUDGE else "grounding"
    value: object = getattr(import_module(f"llmguard.checks.{module}"), name)
    globals()[name] = value
    return value
