"""Whether a case holds for today's guard, and what to tell whoever meets a red one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from llmguard.canonical import Json
from llmguard.cases import Case
from llmguard.outcome import Outcome
from llmguard.policy import Policy
from llmguard.record import Step
from llmguard.replay import Live


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """How a case came out. `outcome` None: undetermined, at the address `undetermined_at`.

    `assumed`: addresses whose recorded answer was one to another request. `explanation` is for people, safe to print;
    `diff` is a unified diff of what was expected and what came, empty where it passed. `steps` are the answers of this
    run as they would be recorded today, and `recorded` those that `live` gave: `replace(case, steps=result.steps)` is
    the case renewed.
    """

    passed: bool
    outcome: Outcome[Json] | None
    undetermined_at: str = ""
    assumed: tuple[str, ...] = ()
    explanation: str
    diff: str = ""
    steps: tuple[Step, ...] = ()
    recorded: tuple[Step, ...] = ()


def judge_case(case: Case, policy: Policy, *, fresh: Collection[str] = (), live: Live | None = None) -> CaseResult:
    """Replay a case before today's guard, and judge what it comes to."""
    raise NotImplementedError
