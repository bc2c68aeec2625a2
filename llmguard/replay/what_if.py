"""What would today's guard do with yesterday's replies? The record answers, and says what it cannot answer.

Matching: an effect is answered by the recorded step at its own address if that asked the same (equal digest), else by any
unused step that asked the same, in the order of addresses, so that retries of equal requests come in their order. With
`same="slot"` a step at the same address may also stand in for another request; that is `assumed`, and never evidence.
Pure checks are in the flow and run anew. Nothing here makes a request.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast

from llmguard.core.canonical import Json, json_roundtrip
from llmguard.core.effects import Answer, Answers, Batch, Call, Crashed, Effect, Flow, Invoke, Returned
from llmguard.core.errors import LLMGuardError, ReplayMismatch, UsageError
from llmguard.core.messages import ModelAnswer, ModelFailure, ModelReply
from llmguard.core.outcome import Outcome
from llmguard.core.record import Step
from llmguard.core.redaction import redact_text
from llmguard.engine.call import guarded_call
from llmguard.engine.ladder import FallbackRung
from llmguard.engine.policy import Policy
from llmguard.runtime.threads import background_loop

Same: TypeAlias = Literal["request", "slot"]
"""Which recorded step may answer a request: one that asked the same, or also the one in its place."""

Live: TypeAlias = Callable[[Call], ModelAnswer]
"""Answers a request that the record cannot answer: a real model, where the user said so."""

Otherwise: TypeAlias = Callable[[Effect], Answer | None]
"""Asked last for what the record cannot answer; None: nobody knows."""

ERROR_CHARS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """What today's guard makes of recorded answers. `outcome` None: undetermined, and `undetermined_at` is the address
    of the first effect that nothing recorded answers; `wanted` says in words what stands there.

    `assumed`: addresses whose recorded answer was one to something else. `unused`: addresses of recorded steps that nobody
    asked for. `steps`: every answer of this run as it would be recorded today; `recorded`: those of them that are new,
    given by `live`.
    """

    outcome: Outcome[Json] | None
    undetermined_at: str = ""
    wanted: str = ""
    assumed: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    recorded: tuple[Step, ...] = ()
    steps: tuple[Step, ...] = ()


def what_if(
    policy: Policy,
    record_steps: Iterable[Step],
    inputs: Json,
    *,
    same: Same = "request",
    fresh: Collection[str] = (),
    audited: bool = False,
    live: Live | None = None,
) -> WhatIf:
    """Run today's guard over recorded answers.

    Args:
        policy: today's guard (`guard.policy`).
        record_steps: what was answered (`log.get(id).steps`).
        inputs: of the call (`log.get(id).opening.inputs`).
        same: "slot" lets a step stand in for another request at its address, marked `assumed`.
        fresh: names of effect checks and functions to run now, in this thread, instead of taking their recorded answers.
        audited: whether the call was drawn for audit (`outcome.review_reason == "audit"`).
        live: asked for each request to a model that the record cannot answer; without it nothing is ever requested.

    Raises:
        UsageError: `same` or what `live` gave is none.
        ReplayMismatch: a recorded answer has no form in which the flow could read it.

    >>> from llmguard import Guard
    >>> from llmguard.testing import ScriptedModel
    >>> model = ScriptedModel(["-5"])
    >>> before = Guard("age", prompt="How old is {{ who }}?", schema=int, models=[model], log=None)
    >>> record = before.log.get(before.run(who="Ada").id)
    >>> schema = {"type": "integer", "minimum": 0}
    >>> after = Guard("age", prompt="How old is {{ who }}?", schema=schema, models=[model], log=None)
    >>> what_if(before.policy, record.steps, record.opening.inputs).outcome.json
    -5
    >>> what_if(after.policy, record.steps, record.opening.inputs, same="slot").undetermined_at
    'r0/s0/a2/t1'
    """
    return answered(
        policy,
        record_steps,
        inputs,
        same=same,
        fresh=fresh,
        audited=audited,
        otherwise=_by_model(live) if live else None,
    )


def fresh_names(policy: Policy) -> tuple[str, ...]:
    """What `fresh=` may name: the effect checks that are functions, and the rungs that ask one."""
    checks = [check.name for check in policy.effect_checks if check.judge is None]
    return (*checks, *(rung.label for rung in policy.ladder if isinstance(rung, FallbackRung) and rung.invokes))


def answered(
    policy: Policy,
    steps: Iterable[Step],
    inputs: Json,
    *,
    same: Same = "request",
    fresh: Collection[str] = (),
    audited: bool = False,
    otherwise: Otherwise | None = None,
) -> WhatIf:
    """`what_if` for any kind of last answer: `otherwise` is asked for every effect, also for functions."""
    if same not in ("request", "slot"):
        raise UsageError(f"same= is 'request' or 'slot', found {same!r}.")
    asking = _Asking(_Shelf(steps), same == "slot", frozenset(fresh), otherwise)
    flow = guarded_call(policy, inputs, audited=audited)
    outcome = asking.drive(flow)
    if outcome is not None:
        outcome = replace(outcome, guard=policy.name, fingerprint=policy.fingerprint)
    return WhatIf(
        outcome=outcome,
        undetermined_at=asking.missing.address if asking.missing else "",
        wanted=in_words(asking.missing) if asking.missing else "",
        assumed=tuple(asking.assumed),
        unused=tuple(step.address for step in asking.shelf.unused()),
        recorded=tuple(asking.recorded),
        steps=tuple(asking.heard),
    )


class _Asking:
    """One run: where its answers come from, and what became of them."""

    def __init__(self, shelf: _Shelf, slots: bool, fresh: frozenset[str], otherwise: Otherwise | None) -> None:
        self.shelf, self.slots, self.fresh, self.otherwise = shelf, slots, fresh, otherwise
        self.missing: Effect | None = None
        self.assumed: list[str] = []
        self.recorded: list[Step] = []
        self.heard: list[Step] = []

    def drive(self, flow: Flow[Outcome[Json]]) -> Outcome[Json] | None:
        answers: Answers | None = None
        while True:
            try:
                batch = flow.send(cast(Answers, answers))
            except StopIteration as done:
                return cast("Outcome[Json]", done.value)
            except LLMGuardError:
                raise
            except Exception as error:  # the flow trusts its driver; a record may be anybody's
                raise self._unreadable(error) from error
            answers = self._answers(batch)
            if answers is None:
                flow.close()
                return None

    def _answers(self, batch: Batch) -> Answers | None:
        """One answer for each, or None where nobody knows the first of them."""
        found = self._from_record(batch)
        for number, effect in enumerate(batch):
            if found[number] is None and (answer := self._anew(effect)) is None:
                self.missing = effect
                self.heard += [step for step in found if step]
                return None
            elif found[number] is None:
                found[number] = Step(effect.address, effect.digest(), cast(Answer, answer))
        steps = cast("list[Step]", found)
        self.heard += steps
        return tuple(step.answer for step in steps)

    def _from_record(self, batch: Batch) -> list[Step | None]:
        """What has its own step takes it first, so that no other takes that away."""
        asked = [None if self._is_fresh(effect) else effect.digest() for effect in batch]
        found = [
            digest and self.shelf.take(effect, digest, effect.address)
            for effect, digest in zip(batch, asked, strict=True)
        ]
        for number, (effect, digest) in enumerate(zip(batch, asked, strict=True)):
            if digest and not found[number]:
                found[number] = self.shelf.take(effect, digest) or self._in_its_place(effect)
        return [
            Step(effect.address, digest or "", step.answer, step.waited_s) if step else None
            for effect, digest, step in zip(batch, asked, found, strict=True)
        ]

    def _in_its_place(self, effect: Effect) -> Step | None:
        step = self.shelf.take(effect, None, effect.address) if self.slots else None
        if step is not None:
            self.assumed.append(effect.address)
        return step

    def _is_fresh(self, effect: Effect) -> bool:
        return isinstance(effect, Invoke) and effect.name in self.fresh

    def _anew(self, effect: Effect) -> Answer | None:
        if self._is_fresh(effect):
            return run_here(cast("Invoke[Json]", effect))
        answer = self.otherwise(effect) if self.otherwise else None
        if answer is not None:
            self.recorded.append(Step(effect.address, effect.digest(), answer))
        return answer

    def _unreadable(self, error: Exception) -> ReplayMismatch:
        last = self.heard[-1].address if self.heard else ""
        said = redact_text(f"{type(error).__name__}: {error}")[:ERROR_CHARS]
        return ReplayMismatch(last, expected="an answer that the flow can read", found=f"one on which it raised {said}")


class _Shelf:
    """The steps of a record, each of which is taken once. Of several at one address the first comes first."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self.steps = list(steps)
        self.taken: set[int] = set()
        self._at: dict[str, list[int]] = {}
        for number, step in enumerate(self.steps):
            self._at.setdefault(step.address, []).append(number)
        self._asked: dict[str, list[int]] | None = None

    def take(self, effect: Effect, digest: str | None, address: str | None = None) -> Step | None:
        """The next step that asked `digest` (None: anything), at `address` (None: anywhere), and answers such an effect."""
        numbers = self._at.get(address, ()) if address is not None else self._that_asked(digest or "")
        kinds = _KINDS[type(effect)]
        for number in numbers:
            step = self.steps[number]
            if number not in self.taken and digest in (None, step.digest) and isinstance(step.answer, kinds):
                self.taken.add(number)
                return step
        return None

    def unused(self) -> list[Step]:
        left = [step for number, step in enumerate(self.steps) if number not in self.taken]
        return sorted(left, key=_place)

    def _that_asked(self, digest: str) -> list[int]:
        if self._asked is None:
            self._asked = {}
            for number in sorted(range(len(self.steps)), key=lambda each: _place(self.steps[each])):
                self._asked.setdefault(self.steps[number].digest, []).append(number)
        return self._asked.get(digest, [])


_KINDS: dict[type[Effect], tuple[type[Answer], ...]] = {
    Call: (ModelReply, ModelFailure),
    Invoke: (Returned, Crashed),
}
_NUMBER = re.compile("([0-9]+)")


def _place(step: Step) -> list[object]:
    """Orders addresses by their numbers: r0/s0/a2 before r0/s0/a10."""
    parts = _NUMBER.split(step.address)
    return [(len(part.lstrip("0")), part.lstrip("0")) if number % 2 else part for number, part in enumerate(parts)]


def run_here(effect: Invoke[Json]) -> Answer:
    """A function of the user's, in this thread; one that is async on the background loop."""
    try:
        value = effect.function(*effect.arguments)
        if inspect.isawaitable(value):
            value = asyncio.run_coroutine_threadsafe(_awaited(value), background_loop()).result(effect.timeout_s)
        return Returned(json_roundtrip(value))
    except Exception as error:
        return Crashed("crashed", redact_text(f"{type(error).__name__}: {error}")[:ERROR_CHARS])


async def _awaited(value: Awaitable[Json]) -> Json:
    return await value


def _by_model(live: Live) -> Otherwise:
    def otherwise(effect: Effect) -> Answer | None:
        if not isinstance(effect, Call):
            return None
        try:
            answer = live(effect)
        except LLMGuardError:
            raise
        except Exception as error:  # an adapter of the user's
            return ModelFailure("crashed", redact_text(f"{type(error).__name__}: {error}")[:ERROR_CHARS])
        if not isinstance(answer, ModelReply | ModelFailure):
            raise UsageError(f"live= gives a ModelReply or a ModelFailure, found {type(answer).__name__}.")
        return answer

    return otherwise


def in_words(effect: Effect) -> str:
    """What would be asked, for a reader."""
    if isinstance(effect, Call):
        return f"a request to the model {effect.model.name!r}"
    return f"the function {effect.name!r}"
