"""Recorded answers in the world's place: for an exact replay, and for what a resumed call need not pay for twice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, cast

from llmguard.effects import Answer, Answers, Effect, Flow
from llmguard.errors import ReplayMismatch
from llmguard.record import Step

T = TypeVar("T")


class Recorded:
    """The steps of a record by address. What is asked must be what was asked: the digests are compared."""

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self.steps = {step.address: step for step in steps}
        self.used: set[str] = set()

    def answer(self, effect: Effect) -> Answer | None:
        """The recorded answer, or None where the record has no such step."""
        step = self.steps.get(effect.address)
        if step is None:
            return None
        if step.digest != (asked := effect.digest()):
            raise ReplayMismatch(
                effect.address, expected=f"a request with digest {step.digest}", found=f"one with digest {asked}"
            )
        self.used.add(effect.address)
        return step.answer


def replay(flow: Flow[T], steps: Iterable[Step]) -> T:
    """Run a flow on recorded answers alone: no model, no clock, no thread. Each step is used exactly once."""
    recorded = Recorded(steps)
    answers: Answers | None = None
    while True:
        try:
            batch = flow.send(cast(Answers, answers))
        except StopIteration as done:
            if unused := recorded.steps.keys() - recorded.used:
                raise ReplayMismatch(
                    min(unused), expected="a recorded step to be asked for", found="that it was not"
                ) from None
            return cast(T, done.value)
        answers = tuple(_must(recorded, effect) for effect in batch)


def _must(recorded: Recorded, effect: Effect) -> Answer:
    answer = recorded.answer(effect)
    if answer is None:
        raise ReplayMismatch(effect.address, expected="a recorded step", found="none at this address")
    return answer
