"""A case file against today's guard: read, replayed (with a live model where that was allowed), and put into words."""

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
from llmguard.replay.what_if import Live
from llmguard.runtime.execution import NEVER, CallExecution
from llmguard.runtime.sync_driver import drive
from llmguard.testing.pytest_plugin.guards import guard_of

LIVE_MEND = "run pytest with --llmguard-live to ask it, and with --llmguard-record as well to keep what it says"
EXPECTED = {"accepted": "a model's value", "refused": "no model's value"}
SHOWN_VALUE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a test reports. `failure` is empty where it passed; `properties` go into JUnit's report."""

    failure: str
    sections: tuple[tuple[str, str], ...] = ()
    properties: tuple[tuple[str, str], ...] = ()


def prepared(config: pytest.Config, path: Path, folder: Path) -> Callable[[], Judged]:
    """Everything that can be wrong before the guard is asked; then what asks it."""
    case = case_at(path, folder)
    guard = guard_of(config, case.guard)
    live, record = config.getoption("llmguard_live"), config.getoption("llmguard_record")
    return partial(judged, case, guard, folder, live=live, record=record)


def case_at(path: Path, folder: Path) -> Case:
    """The case at FOLDER/<guard>/<slug>.json. It is named by its place, as promote would name it."""
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


def judged(case: Case, guard: Guard[Json], folder: Path, *, live: bool, record: bool) -> Judged:
    found = judge_case(case, guard.policy, live=asking(guard.policy) if live else None)
    sections = [("llmguard: assumed", _assumed(found))] if found.assumed else []
    if found.recorded:
        sections.append(("llmguard: live", _answered_live(case, found, folder if record else None)))
    properties = [("llmguard_status", found.outcome.status if found.outcome else "undetermined")]
    return Judged(failure=failure(case, found), sections=tuple(sections), properties=tuple(properties))


def failure(case: Case, found: CaseResult) -> str:
    """Why a case is red, the news in the first line; empty where it holds."""
    if found.passed:
        return ""
    first = _would_ask(found) if found.outcome is None else _ended(case.expect, found.outcome)
    explanation = found.explanation.removeprefix(f"{case.id}\n")
    return "\n".join(part for part in (first, explanation, found.diff) if part)


def asking(policy: Policy) -> Live:
    """Asks a guard's own models, within the guard's deadline over all requests of one case."""
    ends_at = NEVER if policy.deadline_s is None else time.monotonic() + policy.deadline_s

    def ask(effect: Call) -> ModelAnswer:
        return drive(call(effect), CallExecution(deadline_at=ends_at))

    return ask


def _would_ask(found: CaseResult) -> str:
    if found.undetermined_at == "inputs":
        return "the guard no longer takes the case's inputs"
    if "/c:" in found.undetermined_at or "/" not in found.undetermined_at:
        return f"undetermined: nothing recorded answers {found.undetermined_at}"
    return f"undetermined: the guard would call the model at {found.undetermined_at}; {LIVE_MEND}"


def _ended(expect: Expect, outcome: Outcome[Json]) -> str:
    """Short: it stands in pytest's summary."""
    expected = safe_json(expect.value[0]) if expect.value else EXPECTED[expect.kind]
    found = safe_json(outcome.json) if expect.value and outcome.has_value else outcome.status
    return f"expected {clip(expected, SHOWN_VALUE)}, found {clip(found, SHOWN_VALUE)}"


def _assumed(found: CaseResult) -> str:
    return f"recorded for another request, and taken as the answer all the same: {', '.join(found.assumed)}"


def _answered_live(case: Case, found: CaseResult, folder: Path | None) -> str:
    told = ", ".join(step.address for step in found.recorded)
    if failed := [step.answer for step in found.recorded if isinstance(step.answer, ModelFailure)]:
        return f"asked of the model: {told}; not kept, for it gave no reply ({failed[0].kind}: {failed[0].message})"
    if folder is None:
        return f"asked of the model: {told}; not kept (--llmguard-record keeps them)"
    path = write_case(folder, replace(case, steps=found.steps), update=True)
    return f"asked of the model: {told}; kept in {path}"
