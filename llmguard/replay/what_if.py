"""What would today's guard do with yesterday's replies? The record answers, and says what it cannot answer.

Matching: an effect is answered by the recorded step at its own address if the two requests are equal (equal digest), else
by any unused step with an equal request, in the order of addresses, so that retries of equal requests come in their order.
With `match="position"` a step at the same address may also answer another request; it is then `substituted`, and never
evidence. Pure checks are part of the flow and run again. Nothing here makes a request.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast, get_args

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

Match: TypeAlias = Literal["request", "position"]
"""Which recorded step may answer a request: one with an equal request, or also the one at the same address."""
MATCHES: tuple[Match, ...] = get_args(Match)

Responder: TypeAlias = Callable[[Call], ModelAnswer]
"""Answers a request that the record cannot answer: a real model, where the user allowed it."""

FallbackResponder: TypeAlias = Callable[[Effect], Answer | None]
"""Called last for what the record cannot answer; None: it has no answer either."""

ERROR_CHARS = 500
"""Of an exception's text: a user's exception may hold a whole document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """What today's guard makes of recorded answers. `outcome` None: undetermined, and `undetermined_at` is the address
    of the first effect that nothing recorded answers; `needed` describes that effect.

    `substituted`: addresses whose recorded answer was one to another request. `unused`: addresses of recorded steps that
    no effect used. `steps`: every answer of this run as it would be recorded today; `recorded`: those of them that are
    new, from the responder.
    """

    outcome: Outcome[Json] | None
    undetermined_at: str = ""
    needed: str = ""
    substituted: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    recorded: tuple[Step, ...] = ()
    steps: tuple[Step, ...] = ()


def what_if(
    policy: Policy,
    record_steps: Iterable[Step],
    inputs: Json,
    *,
    match: Match = "request",
    rerun: Collection[str] = (),
    audited: bool = False,
    responder: Responder | None = None,
) -> WhatIf:
    """Run today's guard over recorded answers.

    Args:
        policy: today's guard (`guard.policy`).
        record_steps: what was answered (`log.get(id).steps`).
        inputs: of the call (`log.get(id).opening.inputs`).
        match: "position" lets a step answer another request at its address; it is then `substituted`.
        rerun: names of effect checks and functions to run now, in this thread, instead of taking their recorded answers.
        audited: whether the call was sampled for audit (`outcome.review_reason == "audit"`).
        responder: called for each request to a model that the record cannot answer; without it nothing is requested.

    Raises:
        UsageError: `match`, or what `responder` returned, is invalid.
        ReplayMismatch: a recorded answer has no form that the flow can read.

    >>> from llmguard import Guard
    >>> from llmguard.testing import ScriptedModel
    >>> model = ScriptedModel(["-5"])
    >>> before = Guard("age", prompt="How old is {{ who }}?", schema=int, models=[model], log=None)
    >>> record = before.log.get(before.run(who="Ada").id)
    >>> schema = {"type": "integer", "minimum": 0}
    >>> after = Guard("age", prompt="How old is {{ who }}?", schema=schema, models=[model], log=None)
    >>> what_if(before.policy, record.steps, record.opening.inputs).outcome.json
    -5
    >>> what_if(after.policy, record.steps, record.opening.inputs, match="position").undetermined_at
    'r0/s0/a2/t1'
    """
    return replay_steps(
        policy,
        record_steps,
        inputs,
        match=match,
        rerun=rerun,
        audited=audited,
        fallback_responder=_by_model(responder) if responder else None,
    )


def rerun_names(policy: Policy) -> tuple[str, ...]:
    """What `rerun=` may name: the effect checks that are functions, and the rungs that call one."""
    checks = [check.name for check in policy.effect_checks if check.judge is None]
    return (*checks, *(rung.label for rung in policy.ladder if isinstance(rung, FallbackRung) and rung.invokes))


def replay_steps(
    policy: Policy,
    steps: Iterable[Step],
    inputs: Json,
    *,
    match: Match = "request",
    rerun: Collection[str] = (),
    audited: bool = False,
    fallback_responder: FallbackResponder | None = None,
) -> WhatIf:
    """`what_if` for any kind of last answer: `fallback_responder` is called for every effect, also for functions."""
    if match not in MATCHES:
        raise UsageError(f"match= must be 'request' or 'position', got {match!r}.")
    replay = _Replay(_RecordedAnswers(steps), match == "position", frozenset(rerun), fallback_responder)
    flow = guarded_call(policy, inputs, audited=audited)
    outcome = replay.drive(flow)
    if outcome is not None:
        outcome = replace(outcome, guard=policy.name, fingerprint=policy.fingerprint)
    return WhatIf(
        outcome=outcome,
        undetermined_at=replay.missing.address if replay.missing else "",
        needed=describe_effect(replay.missing) if replay.missing else "",
        substituted=tuple(replay.substituted),
        unused=tuple(step.address for step in replay.recorded_answers.unused()),
        recorded=tuple(replay.new_steps),
        steps=tuple(replay.steps),
    )


class _Replay:
    """One run: where its answers come from, and which steps it made."""

    def __init__(
        self,
        recorded_answers: _RecordedAnswers,
        by_position: bool,
        rerun: frozenset[str],
        fallback_responder: FallbackResponder | None,
    ) -> None:
        self.recorded_answers, self.by_position, self.rerun = recorded_answers, by_position, rerun
        self.fallback_responder = fallback_responder
        self.missing: Effect | None = None
        self.substituted: list[str] = []
        self.new_steps: list[Step] = []
        self.steps: list[Step] = []

    def drive(self, flow: Flow[Outcome[Json]]) -> Outcome[Json] | None:
        answers: Answers | None = None
        while True:
            try:
                batch = flow.send(cast(Answers, answers))
            except StopIteration as done:
                return cast("Outcome[Json]", done.value)
            except LLMGuardError:
                raise
            except Exception as error:  # the flow trusts its driver, and a record may come from anywhere
                raise self._unreadable(error) from error
            answers = self._answers(batch)
            if answers is None:
                flow.close()
                return None

    def _answers(self, batch: Batch) -> Answers | None:
        """One answer for each effect, or None where one has no answer."""
        steps = self._from_record(batch)
        for number, effect in enumerate(batch):
            if steps[number] is None and (answer := self._new_answer(effect)) is None:
                self.missing = effect
                self.steps += [step for step in steps if step]
                return None
            elif steps[number] is None:
                steps[number] = Step(effect.address, effect.digest(), cast(Answer, answer))
        complete = cast("list[Step]", steps)
        self.steps += complete
        return tuple(step.answer for step in complete)

    def _from_record(self, batch: Batch) -> list[Step | None]:
        """Steps at their own address go first, so that no other effect of the batch uses them up."""
        digests = [None if self._is_rerun(effect) else effect.digest() for effect in batch]
        steps = [
            digest and self.recorded_answers.pop(effect, digest, effect.address)
            for effect, digest in zip(batch, digests, strict=True)
        ]
        for number, (effect, digest) in enumerate(zip(batch, digests, strict=True)):
            if digest and not steps[number]:
                steps[number] = self.recorded_answers.pop(effect, digest) or self._at_its_position(effect)
        return [
            Step(effect.address, digest or "", step.answer, step.waited_s) if step else None
            for effect, digest, step in zip(batch, digests, steps, strict=True)
        ]

    def _at_its_position(self, effect: Effect) -> Step | None:
        step = self.recorded_answers.pop(effect, None, effect.address) if self.by_position else None
        if step is not None:
            self.substituted.append(effect.address)
        return step

    def _is_rerun(self, effect: Effect) -> bool:
        return isinstance(effect, Invoke) and effect.name in self.rerun

    def _new_answer(self, effect: Effect) -> Answer | None:
        if self._is_rerun(effect):
            return run_function(cast("Invoke[Json]", effect))
        answer = self.fallback_responder(effect) if self.fallback_responder else None
        if answer is not None:
            self.new_steps.append(Step(effect.address, effect.digest(), answer))
        return answer

    def _unreadable(self, error: Exception) -> ReplayMismatch:
        last = self.steps[-1].address if self.steps else ""
        text = _redacted(error)
        return ReplayMismatch(
            last, expected="an answer that the flow can read", actual=f"one on which it raised {text}"
        )


class _RecordedAnswers:
    """The steps of a record, each of which answers once. Of several at one address the first comes first."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self.steps = list(steps)
        self.used: set[int] = set()
        self._by_address: dict[str, list[int]] = {}
        for number, step in enumerate(self.steps):
            self._by_address.setdefault(step.address, []).append(number)
        self._by_digest: dict[str, list[int]] | None = None

    def pop(self, effect: Effect, digest: str | None, address: str | None = None) -> Step | None:
        """The next step with this digest (None: any), at `address` (None: any), whose answer is one to such an effect."""
        numbers = self._by_address.get(address, ()) if address is not None else self._with_digest(digest or "")
        answer_types = _ANSWER_TYPES[type(effect)]
        for number in numbers:
            step = self.steps[number]
            if number not in self.used and digest in (None, step.digest) and isinstance(step.answer, answer_types):
                self.used.add(number)
                return step
        return None

    def unused(self) -> list[Step]:
        left = [step for number, step in enumerate(self.steps) if number not in self.used]
        return sorted(left, key=_address_order)

    def _with_digest(self, digest: str) -> list[int]:
        if self._by_digest is None:
            self._by_digest = {}
            for number in sorted(range(len(self.steps)), key=lambda each: _address_order(self.steps[each])):
                self._by_digest.setdefault(self.steps[number].digest, []).append(number)
        return self._by_digest.get(digest, [])


_ANSWER_TYPES: dict[type[Effect], tuple[type[Answer], ...]] = {
    Call: (ModelReply, ModelFailure),
    Invoke: (Returned, Crashed),
}
_NUMBER = re.compile("([0-9]+)")


def _address_order(step: Step) -> list[object]:
    """Sorts addresses by their numbers: r0/s0/a2 before r0/s0/a10. (By length and digits: an int may be too long.)"""
    parts = _NUMBER.split(step.address)
    return [(len(part.lstrip("0")), part.lstrip("0")) if number % 2 else part for number, part in enumerate(parts)]


def run_function(effect: Invoke[Json]) -> Answer:
    """Call a function of the user's in this thread; one that is async on the background loop."""
    try:
        value = effect.function(*effect.arguments)
        if inspect.isawaitable(value):
            value = asyncio.run_coroutine_threadsafe(_awaited(value), background_loop()).result(effect.timeout_s)
        return Returned(json_roundtrip(value))
    except Exception as error:
        return Crashed("crashed", _redacted(error))


async def _awaited(value: Awaitable[Json]) -> Json:
    return await value


def _by_model(responder: Responder) -> FallbackResponder:
    def respond(effect: Effect) -> Answer | None:
        if not isinstance(effect, Call):
            return None
        try:
            answer = responder(effect)
        except LLMGuardError:
            raise
        except Exception as error:  # an adapter of the user's
            return ModelFailure("crashed", _redacted(error))
        if not isinstance(answer, ModelReply | ModelFailure):
            raise UsageError(f"responder= must return a ModelReply or a ModelFailure, got {type(answer).__name__}.")
        return answer

    return respond


def _redacted(error: Exception) -> str:
    return redact_text(f"{type(error).__name__}: {error}")[:ERROR_CHARS]


def describe_effect(effect: Effect) -> str:
    """What would be requested, for a reader."""
    if isinstance(effect, Call):
        return f"a request to the model {effect.model.name!r}"
    return f"the function {effect.name!r}"
