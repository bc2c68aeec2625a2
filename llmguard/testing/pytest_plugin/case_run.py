"""A case file against today's guard: read, replayed (with a live model where that was allowed), and reported."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from llmguard.core.canonical import Json
from llmguard.core.effects import Call, call
from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelAnswer, ModelFailure
from llmguard.core.outcome import Outcome
from llmguard.core.safe_text import clip, safe_json
from llmguard.engine.policy import Policy
from llmguard.guard.guard import Guard
from llmguard.replay.case_result import CaseResult, judge_case
from llmguard.replay.cases import Case, Expect, refuse_names
from llmguard.replay.cases.files import read_case, write_case
from llmguard.replay.what_if import Responder
from llmguard.runtime.execution import NEVER, CallExecution
from llmguard.runtime.sync_driver import drive
from llmguard.testing.pytest_plugin.guards import guard_of

LIVE_FIX = "run pytest with --llmguard-live to ask it, and with --llmguard-record as well to save its reply"
EXPECTED = {"accepted": "a model's value", "refused": "no model's value"}
SHOWN_VALUE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseReport:
    """What a test reports. `failure` is empty where it passed; `properties` go into JUnit's report."""

    failure: str
    sections: tuple[tuple[str, str], ...] = ()
    properties: tuple[tuple[str, str], ...] = ()


def prepared(config: pytest.Config, path: Path, folder: Path) -> Callable[[], CaseReport]:
    """Read the case and find its guard, which may fail; what is returned runs the case."""
    case = case_at(path, folder)
    guard = guard_of(config, case.guard)
    live, record = config.getoption("llmguard_live"), config.getoption("llmguard_record")
    return partial(run_case, case, guard, folder, allow_live=live, record=record)


def case_at(path: Path, folder: Path) -> Case:
    """The case at FOLDER/<guard>/<slug>.json. Its name is its path, as `promote` would name it."""
    refuse_names(path.parent.name, path.stem)
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(os.path.realpath(folder)):
        raise UsageError(f"{path} is a link to {real}, outside of the folder of cases. Put a copy there instead.")
    case = read_case(path)
    if case.guard != path.parent.name:
        raise UsageError(
            f"{path} is a case of guard {case.guard!r}, in the folder of guard {path.parent.name!r}. Move it."
        )
    return replace(case, slug=path.stem)


def run_case(case: Case, guard: Guard[Json], folder: Path, *, allow_live: bool, record: bool) -> CaseReport:
    result = judge_case(case, guard.policy, responder=responder_of(guard.policy) if allow_live else None)
    sections = [("llmguard: assumed", _substituted(result))] if result.substituted else []
    if result.recorded:
        sections.append(("llmguard: live", _answered_live(case, result, folder if record else None)))
    properties = [("llmguard_status", result.outcome.status if result.outcome else "undetermined")]
    return CaseReport(failure=failure_message(case, result), sections=tuple(sections), properties=tuple(properties))


def failure_message(case: Case, result: CaseResult) -> str:
    """Why a case fails, the main point in the first line; empty where it holds."""
    if result.passed:
        return ""
    first = _would_ask(result) if result.outcome is None else _ended(case.expect, result.outcome)
    explanation = result.explanation.removeprefix(f"{case.id}\n")
    return "\n".join(part for part in (first, explanation, result.diff) if part)


def responder_of(policy: Policy) -> Responder:
    """Asks a guard's own models, within the guard's deadline over all requests of one case."""
    ends_at = NEVER if policy.deadline_s is None else time.monotonic() + policy.deadline_s

    def respond(effect: Call) -> ModelAnswer:
        return drive(call(effect), CallExecution(deadline_at=ends_at))

    return respond


def _would_ask(result: CaseResult) -> str:
    address = result.undetermined_at
    if address == "inputs":
        return "the guard no longer takes the case's inputs"
    if "/c:" in address or "/" not in address:
        return f"undetermined: nothing recorded answers {address}"
    return f"undetermined: the guard would call the model at {address}; {LIVE_FIX}"


def _ended(expect: Expect, outcome: Outcome[Json]) -> str:
    """Short: pytest's summary shows it."""
    expected = safe_json(expect.value[0]) if expect.value else EXPECTED[expect.kind]
    actual = safe_json(outcome.json) if expect.value and outcome.has_value else outcome.status
    return f"expected {clip(expected, SHOWN_VALUE)}, got {clip(actual, SHOWN_VALUE)}"


def _substituted(result: CaseResult) -> str:
    return f"recorded for another request, and taken as the answer all the same: {', '.join(result.substituted)}"


def _answered_live(case: Case, result: CaseResult, folder: Path | None) -> str:
    addresses = ", ".join(step.address for step in result.recorded)
    if failed := [step.answer for step in result.recorded if isinstance(step.answer, ModelFailure)]:
        failure = f"{failed[0].kind}: {failed[0].message}"
        return f"asked of the model: {addresses}; not saved, for it gave no reply ({failure})"
    if folder is None:
        return f"asked of the model: {addresses}; not saved (--llmguard-record saves them)"
    path = write_case(folder, replace(case, steps=result.steps), update=True)
    return f"asked of the model: {addresses}; saved in {path}"
