"""The story of one guarded call. It decides, and never acts.

    inputs → prompt → request → reply → parse → validate → pure checks → vote → assembled value:     → accept? → outcome
                        ↑                   │ violations                          validate, pure checks,  │ no
                        └───── re-ask ──────┘                                     effect checks, judges   └→ next rung

House rules: no clock, no network, no randomness; nothing is thrown in here, every trouble is an answer; what a user's
pure function raises becomes a violation `crashed`; sub-flows share the purse and nothing else.
Addresses are paths, `r<rung>/s<sample>/a<attempt>/t<try>` and `…/c:<check>`: one step, one address.
"""

from __future__ import annotations

from dataclasses import replace

from llmguard.core.canonical import Json, json_roundtrip
from llmguard.core.effects import Call, Crashed, Flow, Invoke, RetryState, Wait, call, invoke, together
from llmguard.core.messages import ModelAnswer, ModelFailure, ModelReply, ModelRequest
from llmguard.core.outcome import Attempt, Outcome, Repair, Violation, Violations
from llmguard.engine.acceptance_policy import Permit, permit_of
from llmguard.engine.budget import Purse
from llmguard.engine.check import Check, Judged
from llmguard.engine.ladder import ConstantRung, DeterministicRung, EscalateRung, FunctionRung, LastGoodRung, ModelRung
from llmguard.engine.outcome_assembly import Ending, ended, named, provisional, source_of, status_of
from llmguard.engine.policy import REASKED, Policy
from llmguard.engine.verdict import (
    Question,
    Verdict,
    allowed,
    asked_again,
    attempt_of,
    blamed,
    confirmed,
    examined,
    found_in,
    judged,
    judged_attempt,
    repeats,
    salvaged,
    shielded,
    still_allowed,
)
from llmguard.engine.vote import decided, elected, is_unchecked, missing, samples_of, under, with_samples
from llmguard.voting import Draw

STILL = "certificate/still"
"""Where the certificate is looked up again, at the end of a rung. A resumed call takes no recorded answer there."""

MAX_DOWNGRADES = 10
"""Three simpler output techniques, two names of the token limit, four parameters that a server may not know, and
log-probabilities: an adapter that goes on downgrading is not believed."""


def guarded(
    policy: Policy, inputs: Json, at: str = "", purse: Purse | None = None, *, audited: bool = False
) -> Flow[Outcome[Json]]:
    """One call. `audited`: it was drawn at random for a review, which changes nothing of what it comes to."""
    purse = purse or Purse(policy.budget)
    told: list[Verdict] = []
    status, source, last = yield from descend(policy, inputs, at, purse, told)
    if audited:
        told = yield from study(policy, inputs, at, purse, told)
    return ended(policy, status, source, told, last, audited)


def descend(policy: Policy, inputs: Json, at: str, purse: Purse, told: list[Verdict]) -> Flow[Ending]:
    """Down the ladder until the value of a rung passes."""
    for number, rung in enumerate(policy.ladder):
        here = f"{at}r{number}"
        if isinstance(rung, EscalateRung):
            return "escalated", rung.label, provisional(policy, told)
        if isinstance(rung, ModelRung):
            told.append((yield from climb(policy, rung, inputs, here, purse)))
        else:
            told.append((yield from supply(policy, rung, inputs, here, purse, told)))
        if told[-1].passed:
            return status_of(rung, told), source_of(rung, told[-1]), told[-1]
    return "rejected", "", None


def climb(policy: Policy, rung: ModelRung, inputs: Json, at: str, purse: Purse) -> Flow[Verdict]:
    """A model rung: one sample or a vote, what the world says of its value, and whether that may be accepted."""
    permit = (yield from permitted(policy, f"{at}/certificate")) if policy.accept else Permit()
    if rung.consistency is None:
        verdict = yield from sample(policy, rung, inputs, f"{at}/s0", purse)
    else:
        verdict = yield from poll(policy, under(permit, rung), inputs, at, purse)
    if verdict.passed:
        verdict = yield from confirm(policy, verdict, inputs, at, purse)
    verdict = allowed(policy, verdict, permit, inputs)
    if verdict.support.certificate is not None:
        verdict = still_allowed(verdict, (yield from permitted(policy, f"{at}/{STILL}", ignores_deadline=True)))
    return blamed(verdict)


def permitted(policy: Policy, at: str, *, ignores_deadline: bool = False) -> Flow[Permit]:
    """The certificate that holds now: before anything is asked, because its plan says how many samples to draw, and again
    before the value is handed out, because a resumed call may have begun days ago."""
    assert policy.accept is not None
    return permit_of(
        (yield from invoke(Invoke(at, "certificate", policy.accept.lookup, (), ignores_deadline=ignores_deadline)))
    )


def poll(policy: Policy, rung: ModelRung, inputs: Json, at: str, purse: Purse) -> Flow[Verdict]:
    """A vote: samples are drawn until it is decided."""
    drawn: list[Verdict] = []
    while isinstance(settled := decided(rung, drawn), Draw):
        drawn += yield from draw(policy, rung, inputs, at, purse, len(drawn), settled.count)
    return elected(policy, rung, inputs, settled, drawn)


def study(policy: Policy, inputs: Json, at: str, purse: Purse, told: list[Verdict]) -> Flow[list[Verdict]]:
    """An audit: all samples of a vote, and every candidate checked, so that one review can judge other plans too. It comes
    last, with the time and the budget that are left."""
    studied: list[Verdict] = []
    for number, (rung, verdict) in enumerate(zip(policy.ladder, told, strict=False)):
        here = f"{at}r{number}"
        if is_unchecked(verdict):
            verdict = yield from confirm(policy, verdict, inputs, here, purse, lenient=True)
        while isinstance(rung, ModelRung) and (count := missing(rung, verdict, purse)):
            drawn = yield from draw(policy, rung, inputs, here, purse, samples_of(verdict), count)
            verdict = with_samples(rung, verdict, drawn)
        studied.append(verdict)
    return studied


def draw(
    policy: Policy, rung: ModelRung, inputs: Json, at: str, purse: Purse, first: int, count: int
) -> Flow[list[Verdict]]:
    """Samples that are asked for at the same time: as many of `count` as the models and the budget bear."""
    numbers = rung.batch(first, purse.affordable(count))
    unseen, share = replace(policy, watched=False), purse.split(len(numbers))  # nobody knows yet which one counts
    return (
        yield from together(
            *(sample(unseen, rung.drawing(number), inputs, f"{at}/s{number}", share, number) for number in numbers),
            on_answers=share.hear,
        )
    )


def sample(policy: Policy, rung: ModelRung, inputs: Json, at: str, purse: Purse, number: int = 0) -> Flow[Verdict]:
    """Ask, read, judge; ask again with what was wrong, until it passes or the same comes twice."""
    prompt = shielded("the prompt", (rung.prompt or policy.prompt).render, inputs)
    if isinstance(prompt, Violation):
        return Verdict(failure="crashed", violations=(prompt,))
    question = Question(prompt, policy.output, policy.schema, watched=policy.watched)
    attempts: tuple[Attempt, ...] = ()
    seen: list[tuple[str, Violations]] = []
    while True:
        here = f"{at}/a{len(seen) + 1}"
        tried, answer = yield from ask(rung, question, here, purse, number)
        verdict = judged(policy, question, answer, inputs)
        attempts = (*attempts, *tried[:-1], judged_attempt(verdict, tried[-1]))
        text = answer.text if isinstance(answer, ModelReply) else ""
        if verdict.failure not in REASKED or len(seen) == rung.reasks or repeats(text, verdict, seen):
            return replace(verdict, attempts=attempts)
        seen.append((text, verdict.violations))
        question = asked_again(policy, prompt, text, verdict)


def ask(
    rung: ModelRung, question: Question, at: str, purse: Purse, number: int
) -> Flow[tuple[tuple[Attempt, ...], ModelAnswer]]:
    """One request, tried again after transport failures as the rung's retry says: each try is a step and is paid."""
    request = ModelRequest(
        model=rung.model.name,
        messages=question.messages,
        output=question.output,
        sampling=rung.sampling,
        sample=number,
    )
    tried: tuple[Attempt, ...] = ()
    wait: Wait | None = None
    downgrades, elapsed_s = 0, 0.0
    while True:
        here = f"{at}/t{len(tried) + 1}"
        allowed = purse.take(request)
        if isinstance(allowed, ModelFailure):
            return (*tried, attempt_of(here, rung, allowed)), allowed
        answer = yield from call(Call(here, rung.model, allowed, wait, question.stream_validator))
        purse.pay(answer)
        tried = (*tried, attempt_of(here, rung, answer))
        if isinstance(answer, ModelReply) or not answer.retryable or downgrades > MAX_DOWNGRADES:
            return tried, answer
        downgrades, elapsed_s = downgrades + answer.downgraded, elapsed_s + answer.latency_s
        state = RetryState(len(tried) - downgrades, elapsed_s)
        if not answer.downgraded and rung.retry.stop(state):
            return tried, answer
        wait = None if answer.downgraded else Wait(rung.retry.wait, state, answer.retry_after_s or 0.0)


def supply(
    policy: Policy, rung: DeterministicRung, inputs: Json, at: str, purse: Purse, told: list[Verdict]
) -> Flow[Verdict]:
    """A deterministic rung's value, validated like a reply."""
    repairs: tuple[Repair, ...] = ()
    if isinstance(rung, ConstantRung):
        value = rung.value
    elif isinstance(rung, FunctionRung):
        value = yield from invoke(Invoke(at, rung.name, rung.function, (inputs,), rung.timeout_s, rung.runs_on, True))
    elif isinstance(rung, LastGoodRung):
        asked = (policy.name, inputs, rung.max_age_s)
        value = found_in((yield from invoke(Invoke(at, rung.label, rung.lookup, asked, ignores_deadline=True))))
    else:
        value, repairs = salvaged(policy, told)
    if isinstance(value, Crashed):
        return Verdict(failure="crashed", violations=(Violation("", "crashed", f"{rung.label}: {value.error}"),))
    verdict = examined(policy, value, inputs, repairs, validate=True)
    if verdict.passed:
        verdict = yield from confirm(policy, verdict, inputs, at, purse, lenient=True)
    return named(rung, verdict)


def confirm(
    policy: Policy, verdict: Verdict, inputs: Json, at: str, purse: Purse, *, lenient: bool = False
) -> Flow[Verdict]:
    """Effect checks and judges, once, on the value to hand out; a deterministic rung skips, and tells, what it has no
    time for."""
    if not policy.effect_checks:
        return verdict
    value = json_roundtrip(
        verdict.candidate[0]
    )  # the user's code gets a copy: what was validated is what is handed out
    share = purse.split(sum(check.judge is not None for check in policy.effect_checks))
    asked = (outside(check, value, inputs, at, share) for check in policy.effect_checks)
    answers = yield from together(*asked, on_answers=share.hear)
    return confirmed(policy, verdict, answers, lenient=lenient)


def outside(check: Check, value: Json, inputs: Json, at: str, purse: Purse) -> Flow[Json | Crashed | Judged]:
    here = f"{at}/c:{check.name}"
    if check.judge is not None:
        return (yield from check.judge(value, inputs, here + "/", purse))
    asked: Invoke[Json] = Invoke(here, check.name, check.function, (value, inputs), check.timeout_s, check.runs_on)
    return (yield from invoke(asked))
