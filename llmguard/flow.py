"""The story of one guarded call. It decides, and never acts.

    inputs → prompt → request → reply → parse → validate → pure checks → effect checks → accept? → outcome
                        ↑                   │ violations                                    │ no
                        └───── re-ask ──────┘                                               └→ next rung

House rules: no clock, no network, no randomness; nothing is thrown in here, every trouble is an answer; what a user's
pure function raises becomes a violation `crashed`; sub-flows share the purse and nothing else.
Addresses are paths, `r<rung>/s<sample>/a<attempt>/t<try>` and `…/c:<check>`: one step, one address.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

from llmguard.budget import Purse
from llmguard.canonical import Json
from llmguard.checks import Check, as_violations
from llmguard.effects import Call, Crashed, Flow, Invoke, RetryState, Wait, call, invoke, together
from llmguard.ladder import ConstantRung, DeterministicRung, EscalateRung, FunctionRung, LastGoodRung, ModelRung, Rung
from llmguard.messages import (
    NO_USAGE,
    FailureKind,
    Message,
    ModelAnswer,
    ModelFailure,
    ModelReply,
    ModelRequest,
    OutputForm,
)
from llmguard.outcome import Attempt, Outcome, Repair, Status, Violation, Violations
from llmguard.policy import REASKED, Policy
from llmguard.reading import read
from llmguard.reask import reask_messages, same_problem
from llmguard.schema import Schema, failed_part, merged, salvage

P = ParamSpec("P")
T = TypeVar("T")

MAX_DOWNGRADES = 4
"""There are four output techniques; an adapter that goes on downgrading is not believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an attempt or a rung came to. `candidate` is the last value that could be parsed, as a tuple of one."""

    failure: FailureKind | None
    value: Json = None
    violations: Violations = ()
    flags: Violations = ()
    repairs: tuple[Repair, ...] = ()
    candidate: tuple[Json, ...] = ()
    skipped: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()

    @property
    def passed(self) -> bool:
        return self.failure is None


@dataclass(frozen=True, slots=True)
class Question:
    """What an attempt asks for: the whole value, or only the part of `base` (a tuple of one) that was wrong."""

    messages: tuple[Message, ...]
    output: OutputForm
    schema: Schema
    base: tuple[Json, ...] = ()


# ------------------------------------------------------------------------------------------------- the ladder


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


# ------------------------------------------------------------------------------------------------- a model's answer


def sample(policy: Policy, rung: ModelRung, inputs: Json, at: str, purse: Purse) -> Flow[Verdict]:
    """Ask, read, judge; ask again with what was wrong, until it passes or the same comes twice."""
    prompt = shielded("the prompt", policy.prompt.render, inputs)
    if isinstance(prompt, Violation):
        return Verdict(failure="crashed", violations=(prompt,))
    question = Question(prompt, policy.output, policy.schema)
    attempts: tuple[Attempt, ...] = ()
    seen: list[tuple[str, Violations]] = []
    while True:
        here = f"{at}/a{len(seen) + 1}"
        tried, answer = yield from ask(rung, question, here, purse)
        verdict = judged(policy, question, answer, inputs)
        attempts = (*attempts, *tried[:-1], told_by(verdict, tried[-1]))
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
            return (*tried, attempt(here, rung, allowed)), allowed
        answer = yield from call(Call(here, rung.model, allowed, wait))
        purse.pay(answer)
        tried = (*tried, attempt(here, rung, answer))
        if isinstance(answer, ModelReply) or not answer.retryable or downgrades > MAX_DOWNGRADES:
            return tried, answer
        downgrades, elapsed_s = downgrades + answer.downgraded, elapsed_s + answer.latency_s
        state = RetryState(len(tried) - downgrades, elapsed_s)
        if not answer.downgraded and rung.retry.stop(state):
            return tried, answer
        wait = None if answer.downgraded else Wait(rung.retry.wait, state, answer.retry_after_s or 0.0)


def judged(policy: Policy, question: Question, answer: ModelAnswer, inputs: Json) -> Verdict:
    """What an answer is worth: a value of the schema to which no pure check objects, or why not."""
    if isinstance(answer, ModelFailure):
        return Verdict(failure=answer.kind, violations=(Violation("", answer.kind, answer.message or answer.kind),))
    reading = shielded("reading the reply", read, answer, question.schema)
    if isinstance(reading, Violation):
        return Verdict(failure="crashed", violations=(reading,))
    candidate = (
        tuple(merged(question.base[0], part) for part in reading.candidate) if question.base else reading.candidate
    )
    if reading.failure:
        return Verdict(
            failure=reading.failure,
            violations=reading.violations,
            repairs=reading.repairs,
            candidate=candidate or question.base,
        )
    return examined(policy, candidate[0], inputs, reading.repairs, validate=bool(question.base))


def asked_again(policy: Policy, prompt: tuple[Message, ...], text: str, verdict: Verdict) -> Question:
    """Prompt, last reply and what was wrong with it: no longer after many attempts than after one."""
    part = failed_part(policy.schema, verdict.violations) if verdict.failure == "schema" else None
    if part is None:
        return Question(reask_messages(prompt, text, verdict.violations, None), policy.output, policy.schema)
    form = part.output_form(policy.name)
    return Question(reask_messages(prompt, text, verdict.violations, form), form, part, verdict.candidate)


def repeats(text: str, verdict: Verdict, seen: list[tuple[str, Violations]]) -> bool:
    """The same answer, or the same violations, a second time: asking a third time is money lost."""
    return any((text and text == said) or same_problem(verdict.violations, found) for said, found in seen)


# ------------------------------------------------------------------------------------------------- without a model


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


def found_in(row: Json | Crashed) -> Json | Crashed:
    return row if isinstance(row, Crashed) else row["value"] if row else Crashed("crashed", "no good value in the log")


def salvaged(policy: Policy, told: list[Verdict]) -> tuple[Json, tuple[Repair, ...]]:
    """What is right in the last candidate, or a crash that says why there is nothing."""
    for verdict in reversed(told):
        if verdict.candidate:
            kept = salvage(policy.schema, verdict.candidate[0], verdict.violations)
            return kept or (Crashed("crashed", "what is wrong is not optional"), ())
    return Crashed("crashed", "no reply could be parsed"), ()


# ------------------------------------------------------------------------------------------------- what is right


def examined(policy: Policy, value: Json, inputs: Json, repairs: tuple[Repair, ...], *, validate: bool) -> Verdict:
    """Schema (unless the reader did it) and pure checks."""
    found = validated(policy.schema, value) if validate else ()
    if found:
        return Verdict(failure=kind_of(found, "schema"), violations=found, repairs=repairs, candidate=(value,))
    found = tuple(each for check in policy.pure_checks for each in objections(check, value, inputs))
    rejected, flags = split(found)
    if rejected:
        return Verdict(
            failure=kind_of(rejected, "check"), violations=rejected, flags=flags, repairs=repairs, candidate=(value,)
        )
    return Verdict(failure=None, value=value, flags=flags, repairs=repairs, candidate=(value,))


def confirm(policy: Policy, verdict: Verdict, inputs: Json, at: str, rung: Rung) -> Flow[Verdict]:
    """Effect checks, once, on the value to hand out. One that a deterministic rung has no time for is skipped and told."""
    answers = yield from together(*(outside(check, verdict.value, inputs, at) for check in policy.effect_checks))
    late = tuple(name for name, found in answers if isinstance(found, Crashed) and found.kind == "deadline")
    skipped = () if isinstance(rung, ModelRung) else late
    found = tuple(
        each
        for check, (name, said) in zip(policy.effect_checks, answers, strict=True)
        if name not in skipped
        for each in heard(check, said)
    )
    rejected, flags = split(found)
    flags = (
        *verdict.flags,
        *flags,
        *(Violation("", name, "skipped: no time was left for it", severity="flag") for name in skipped),
    )
    if rejected:
        return replace(verdict, failure=kind_of(rejected, "check"), value=None, violations=rejected, flags=flags)
    return replace(verdict, flags=flags, skipped=skipped)


def outside(check: Check, value: Json, inputs: Json, at: str) -> Flow[tuple[str, Json | Crashed]]:
    asked: Invoke[Json] = Invoke(
        f"{at}/c:{check.name}", check.name, check.function, (value, inputs), check.timeout_s, check.place
    )
    return check.name, (yield from invoke(asked))


def objections(check: Check, value: Json, inputs: Json) -> Violations:
    """What a pure check says; one that raises objects too."""
    found = shielded(f"check {check.name!r}", lambda: as_violations(check, check.function(value, inputs)))
    return (replace(found, severity=check.severity),) if isinstance(found, Violation) else found


def heard(check: Check, said: Json | Crashed) -> Violations:
    """What an effect check said."""
    if isinstance(said, Crashed):
        return (Violation("", "crashed", f"check {check.name!r}: {said.error}", severity=check.severity),)
    return objections(replace(check, function=lambda value, inputs: said), None, None)


def validated(schema: Schema, value: Json) -> Violations:
    found = shielded("the schema", schema.violations, value)
    return (found,) if isinstance(found, Violation) else found


def shielded(what: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Violation:
    """The one place where a user's pure function is called: what it raises is a violation."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return Violation("", "crashed", f"{what} raised {type(error).__name__}: {str(error)[:300]}")


def split(found: Violations) -> tuple[Violations, Violations]:
    """What rejects, and what only flags."""
    return tuple(v for v in found if v.severity == "reject"), tuple(v for v in found if v.severity == "flag")


def kind_of(found: Violations, otherwise: FailureKind) -> FailureKind:
    """A crash is nobody's answer: it is not sent back to the model."""
    return "crashed" if any(violation.rule == "crashed" for violation in found) else otherwise


# ------------------------------------------------------------------------------------------------- the outcome


def ended(status: Status, source: str, told: list[Verdict], last: Verdict | None = None) -> Outcome[Json]:
    """The one outcome, of all that the rungs came to."""
    attempts = tuple(each for verdict in told for each in verdict.attempts)
    failed = tuple(each for verdict in told for each in verdict.violations)
    flags = last.flags if last else ()
    return Outcome(
        status=status,
        value=last.value if last else None,
        json=last.value if last else None,
        source=source,
        violations=() if last and last.passed and status != "escalated" else failed,
        flags=flags,
        repairs=last.repairs if last else (),
        attempts=attempts,
        usage=sum((each.usage for each in attempts), NO_USAGE),
        skipped_checks=last.skipped if last else (),
        review_probability=1.0 if flags or status == "escalated" else 0.0,
        review_reason="escalated" if status == "escalated" else "flagged" if flags else "",
    )


def status_of(rung: Rung, told: list[Verdict]) -> Status:
    if not isinstance(rung, ModelRung):
        return "fallback"
    clean = len(told) == 1 and len(told[0].attempts) == 1 and not told[0].repairs
    return "accepted" if clean else "recovered"


def provisional(policy: Policy, told: list[Verdict]) -> Verdict | None:
    """What a person is shown as a draft: the last candidate that fits the schema, though a check objected."""
    for verdict in reversed(told):
        if verdict.candidate and not validated(policy.schema, verdict.candidate[0]):
            return replace(verdict, value=verdict.candidate[0])
    return None


def attempt(at: str, rung: ModelRung, answer: ModelAnswer) -> Attempt:
    return Attempt(
        address=at,
        rung=rung.label,
        text="" if isinstance(answer, ModelFailure) else answer.text,
        failure=answer.kind if isinstance(answer, ModelFailure) else None,
        message=answer.message if isinstance(answer, ModelFailure) else "",
        model="" if isinstance(answer, ModelFailure) else answer.model,
        usage=answer.usage,
        cost_usd=answer.cost_usd,
        latency_s=answer.latency_s,
    )


def told_by(verdict: Verdict, last: Attempt) -> Attempt:
    """The attempt whose reply was judged, with the verdict."""
    return replace(last, failure=verdict.failure, violations=verdict.violations, repairs=verdict.repairs)
