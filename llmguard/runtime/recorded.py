"""Recorded answers instead of the world: for a resumed call, which pays for nothing twice, and for exact replay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar, cast

from llmguard.core.canonical import Json
from llmguard.core.effects import Answer, Answers, Batch, Call, Crashed, Effect, Flow, Returned
from llmguard.core.errors import LLMGuardError, ReplayMismatch
from llmguard.core.messages import ModelFailure, ModelReply
from llmguard.core.outcome import Outcome
from llmguard.core.record import Record, Step
from llmguard.core.safe_text import safe_line
from llmguard.engine.call import guarded_call
from llmguard.engine.policy import Policy

T = TypeVar("T")

MAX_QUOTED_CHARS = 120
"""Of a reply or a name in a message: enough to recognise it on one line of a terminal."""


class Recorded:
    """The steps of a record by address. A request must be the one that was recorded: the digests are compared."""

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self.steps = {step.address: step for step in steps}
        self.used: set[str] = set()

    def answer(self, effect: Effect) -> Answer | None:
        """The recorded answer, or None where the record has no such step."""
        step = self.steps.get(effect.address)
        if step is None:
            return None
        if step.digest != (digest := effect.digest()):
            raise ReplayMismatch(
                effect.address, expected=f"a request with digest {step.digest}", actual=f"one with digest {digest}"
            )
        self.used.add(effect.address)
        return step.answer


def replay(flow: Flow[T], steps: Iterable[Step]) -> T:
    """Run a flow on recorded answers alone: no model, no clock, no thread. Each step is used exactly once.

    Raises:
        ReplayMismatch: at the first step, in the record's own order, that is not what the flow asks for.
    """
    recorded = list(steps)
    left = _by_address(recorded)
    answers: Answers | None = None
    last = ""
    while True:
        try:
            batch = flow.send(cast(Answers, answers))
        except StopIteration as done:
            if left:
                raise _not_requested(_first(recorded, left), "that the call ended without it") from None
            return cast(T, done.value)
        except LLMGuardError:
            raise
        except Exception as error:  # the flow trusts its driver; a record may be from anywhere
            raised = f"one on which it raised {type(error).__name__}: {safe_line(str(error), MAX_QUOTED_CHARS)}"
            raise ReplayMismatch(last, expected="an answer that the flow can read", actual=raised) from error
        _compare(batch, recorded, left)
        answers = tuple(left.pop(effect.address).answer for effect in batch)
        last = batch[0].address


def replay_exactly(policy: Policy, record: Record, *, audited: bool | None = None) -> Outcome[Json]:
    """The outcome of a record under a guard that must ask exactly what was asked.

    `audited`: whether the call was drawn for audit; None: as its outcome says. The order between concurrent steps does
    not matter. The outcome is today's: checks run again and may differ.

    Raises:
        ReplayMismatch: names the first differing step, in the record's own order, with both sides.
    """
    if audited is None:
        audited = record.outcome is not None and record.outcome.review_reason == "audit"
    outcome = replay(guarded_call(policy, record.opening.inputs, audited=audited), record.steps)
    return replace(outcome, id=record.opening.id, guard=policy.name, fingerprint=policy.fingerprint)


def _by_address(steps: Sequence[Step]) -> dict[str, Step]:
    left: dict[str, Step] = {}
    for step in steps:
        if step.address in left:
            raise ReplayMismatch(step.address, expected="one recorded step", actual="several at this address")
        left[step.address] = step
    return left


def _compare(batch: Batch, steps: Sequence[Step], left: dict[str, Step]) -> None:
    """Raises for the step that comes first in the record, if any of the batch differs."""
    wrong = {effect.address: effect for effect in batch if _differs(effect, left.get(effect.address))}
    if not wrong:
        return
    known = left.keys() & wrong.keys()
    if known:
        step = _first(steps, known)
        raise ReplayMismatch(step.address, expected=_describe_step(step), actual=_describe_request(wrong[step.address]))
    effect = next(iter(wrong.values()))
    instead = left.keys() - {each.address for each in batch}
    if instead:
        raise _not_requested(
            _first(steps, instead), f"{_describe_request(effect)} at {safe_line(effect.address, MAX_QUOTED_CHARS)!r}"
        )
    raise ReplayMismatch(
        effect.address, expected="no further step: the record ends here", actual=_describe_request(effect)
    )


def _differs(effect: Effect, step: Step | None) -> bool:
    if step is None or step.digest != effect.digest():
        return True
    kinds = (ModelReply, ModelFailure) if isinstance(effect, Call) else (Returned, Crashed)
    return not isinstance(step.answer, kinds)


def _first(steps: Sequence[Step], addresses: Iterable[str]) -> Step:
    among = set(addresses)
    return next(step for step in steps if step.address in among)


def _not_requested(step: Step, actual: str) -> ReplayMismatch:
    return ReplayMismatch(step.address, expected=_describe_step(step), actual=actual)


def _describe_step(step: Step) -> str:
    answer = step.answer
    if isinstance(answer, ModelReply):
        answered = f"the reply {safe_line(answer.text, MAX_QUOTED_CHARS)!r}"
    elif isinstance(answer, ModelFailure):
        answered = f"the failure {answer.kind}"
    else:
        answered = (
            "what a function returned" if isinstance(answer, Returned) else f"a function that ended {answer.kind}"
        )
    return f"the recorded step with digest {safe_line(step.digest, 40)} ({answered})"


def _describe_request(effect: Effect) -> str:
    what = f"a request to the model {effect.model.name!r}" if isinstance(effect, Call) else f"function {effect.name!r}"
    return f"{what} with digest {effect.digest()}"
