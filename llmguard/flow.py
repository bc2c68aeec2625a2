"""The story of one guarded call. It decides, and never acts.

    inputs → prompt → request → reply → parse → validate → pure checks → effect checks → accept? → outcome
                        ↑                   │ violations                                    │ no
                        └───── re-ask ──────┘                                               └→ next rung

House rules: no clock, no network, no randomness; nothing is thrown in here, every trouble is an answer; what a user's
pure function raises becomes a violation `crashed`; sub-flows share the purse and nothing else.
Addresses are paths, `r<rung>/s<sample>/a<attempt>/t<try>` and `…/c:<check>`: one step, one address.
"""

from __future__ import annotations

from dataclasses import replace

from llmguard.budget import Purse
from llmguard.canonical import Json
from llmguard.checks import Check
from llmguard.effects import Call, Crashed, Flow, Invoke, RetryState, Wait, call, invoke, together
from llmguard.ladder import ConstantRung, DeterministicRung, EscalateRung, FunctionRung, LastGoodRung, ModelRung, Rung
from llmguard.messages import ModelAnswer, ModelFailure, ModelReply, ModelRequest
from llmguard.outcome import Attempt, Outcome, Repair, Violation, Violations
from llmguard.policy import REASKED, Policy
from llmguard.verdict import (
    Question,
    Verdict,
    asked_again,
    attempt_of,
    confirmed,
    ended,
    examined,
    found_in,
    judged,
    judged_attempt,
    provisional,
    repeats,
    salvaged,
    shielded,
    status_of,
)

MAX_DOWNGRADES = 10
"""Four output techniques, two names of the token limit, four parameters that a server may not know: an adapter that goes
on downgrading is not believed."""


def guarded(policy: Policy, inputs: Json, at: str = "", purse: Purse | None = None) -> Flow[Outcome[Json]]:
    """Down the ladder until the value of a rung passes."""
    purse = purse or Purse(policy.budget)
    told: list[Verdict] = []
    for number, rung in enumerate(policy.ladder):
        if isinstance(rung, EscalateRung):
            return ended("escalated", rung.label, told, provisional(policy, told))
        told.append((yield from climb(policy, rung, inputs, f"{at}r{number}", purse, told)))
        if told[-1].passed:
            return ended(status_of(rung, told), rung.label, told, told[-1])
    return ended("rejected", "", told)


def climb(policy: Policy, rung: Rung, inputs: Json, at: str, purse: Purse, told: list[Verdict]) -> Flow[Verdict]:
    """One rung: a value, and what the world says of it."""
    if isinstance(rung, ModelRung):
        verdict = yield from sample(policy, rung, inputs, f"{at}/s0", purse)
    else:
        verdict = yield from supply(policy, rung, inputs, at, told)
    if verdict.passed and policy.effect_checks:
        verdict = yield from confirm(policy, verdict, inputs, at, rung)
    return verdict


def sample(policy: Policy, rung: ModelRung, inputs: Json, at: str, purse: Purse) -> Flow[Verdict]:
    """Ask, read, judge; ask again with what was wrong, until it passes or the same comes twice."""
    prompt = shielded("the prompt", policy.prompt.render, inputs)
    if isinstance(prompt, Violation):
        return Verdict(failure="crashed", violations=(prompt,))
    question = Question(prompt, policy.output, policy.schema, watched=policy.watched)
    attempts: tuple[Attempt, ...] = ()
    seen: list[tuple[str, Violations]] = []
    while True:
        here = f"{at}/a{len(seen) + 1}"
        tried, answer = yield from ask(rung, question, here, purse)
        verdict = judged(policy, question, answer, inputs)
        attempts = (*attempts, *tried[:-1], judged_attempt(verdict, tried[-1]))
        text = answer.text if isinstance(answer, ModelReply) else ""
        if verdict.failure not in REASKED or len(seen) == rung.reasks or repeats(text, verdict, seen):
            return replace(verdict, attempts=attempts)
        seen.append((text, verdict.violations))
        question = asked_again(policy, prompt, text, verdict)


def ask(rung: ModelRung, question: Question, at: str, purse: Purse) -> Flow[tuple[tuple[Attempt, ...], ModelAnswer]]:
    """One request, tried again after transport failures as the rung's retry says: each try is a step and is paid."""
    request = ModelRequest(
        model=rung.model.name, messages=question.messages, output=question.output, sampling=rung.sampling
    )
    tried: tuple[Attempt, ...] = ()
    wait: Wait | None = None
    downgrades, elapsed_s = 0, 0.0
    while True:
        here = f"{at}/t{len(tried) + 1}"
        allowed = purse.take(request)
        if isinstance(allowed, ModelFailure):
            return (*tried, attempt_of(here, rung, allowed)), allowed
        answer = yield from call(Call(here, rung.model, allowed, wait, question.watch))
        purse.pay(answer)
        tried = (*tried, attempt_of(here, rung, answer))
        if isinstance(answer, ModelReply) or not answer.retryable or downgrades > MAX_DOWNGRADES:
            return tried, answer
        downgrades, elapsed_s = downgrades + answer.downgraded, elapsed_s + answer.latency_s
        state = RetryState(len(tried) - downgrades, elapsed_s)
        if not answer.downgraded and rung.retry.stop(state):
            return tried, answer
        wait = None if answer.downgraded else Wait(rung.retry.wait, state, answer.retry_after_s or 0.0)


def supply(policy: Policy, rung: DeterministicRung, inputs: Json, at: str, told: list[Verdict]) -> Flow[Verdict]:
    """A deterministic rung's value, validated like a reply."""
    repairs: tuple[Repair, ...] = ()
    if isinstance(rung, ConstantRung):
        value = rung.value
    elif isinstance(rung, FunctionRung):
        value = yield from invoke(Invoke(at, rung.name, rung.function, (inputs,), rung.timeout_s, rung.place, True))
    elif isinstance(rung, LastGoodRung):
        asked = (policy.name, inputs, rung.max_age_s)
        value = found_in((yield from invoke(Invoke(at, rung.label, rung.lookup, asked, grace=True))))
    else:
        value, repairs = salvaged(policy, told)
    if isinstance(value, Crashed):
        return Verdict(failure="crashed", violations=(Violation("", "crashed", f"{rung.label}: {value.error}"),))
    return examined(policy, value, inputs, repairs, validate=True)


def confirm(policy: Policy, verdict: Verdict, inputs: Json, at: str, rung: Rung) -> Flow[Verdict]:
    """Effect checks, once, on the value to hand out; a deterministic rung skips, and tells, what it has no time for."""
    answers = yield from together(*(outside(check, verdict.value, inputs, at) for check in policy.effect_checks))
    return confirmed(policy, verdict, answers, lenient=not isinstance(rung, ModelRung))


def outside(check: Check, value: Json, inputs: Json, at: str) -> Flow[Json | Crashed]:
    asked: Invoke[Json] = Invoke(
        f"{at}/c:{check.name}", check.name, check.function, (value, inputs), check.timeout_s, check.place
    )
    return (yield from invoke(asked))
