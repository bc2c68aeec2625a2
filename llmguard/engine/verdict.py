"""What an attempt or a rung came to, and how it is judged: the pure decisions that the flow asks for.

Every call into a user's pure code (prompt, schema, checks) passes `shielded`: what it raises becomes a violation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import ParamSpec, TypeAlias, TypeVar

from llmguard.core.canonical import Json, json_roundtrip
from llmguard.core.effects import Crashed, StreamValidator
from llmguard.core.messages import FailureKind, Message, ModelAnswer, ModelFailure, ModelReply, ResponseFormat
from llmguard.core.outcome import (
    Alternative,
    Attempt,
    FieldSupport,
    Judgement,
    Repair,
    Violation,
    Violations,
    Vote,
)
from llmguard.engine.acceptance_policy import Permit, Score
from llmguard.engine.check import Check, Judged, as_violations
from llmguard.engine.ladder import ModelRung
from llmguard.engine.policy import Policy
from llmguard.engine.reask import reask_messages, same_problem
from llmguard.parsing.coerce import read
from llmguard.parsing.stream import JsonStreamValidator
from llmguard.prompts.tokens import estimate
from llmguard.schema import Schema, failed_part, merged, salvage
from llmguard.voting.confidence import field_confidence
from llmguard.voting.scores import least_confidence

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """What speaks for a model's value beside its passing: votes, confidence, judges, a certificate. `proposed` is a value
    that passed all but acceptance, as a tuple of one; `judging` the requests of judges."""

    vote: Vote | None = None
    fields: Mapping[str, FieldSupport] = field(default_factory=dict)
    alternatives: tuple[Alternative, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    judging: tuple[Attempt, ...] = ()
    score: float | None = None
    proposed: tuple[Json, ...] = ()
    certificate: str | None = None


NO_SUPPORT = Support()


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
    support: Support = NO_SUPPORT

    @property
    def passed(self) -> bool:
        return self.failure is None


@dataclass(frozen=True, slots=True)
class Question:
    """What an attempt asks for: the whole value, or only the part of `base` (a tuple of one) that was wrong."""

    messages: tuple[Message, ...]
    output: ResponseFormat
    schema: Schema
    base: tuple[Json, ...] = ()
    watched: bool = False

    @property
    def stream_validator(self) -> Callable[[], StreamValidator] | None:
        """Makes what reads the reply while it grows, where it is streamed."""
        return self.watcher if self.watched else None

    def watcher(self) -> StreamValidator:
        watcher = JsonStreamValidator(self.schema.json_schema)
        return PartWatcher(watcher, self.base[0]) if self.base else watcher


@dataclass(slots=True)
class PartWatcher:
    """Watches the part that is asked for again; what it shows is the whole, with what was right before."""

    part: StreamValidator
    base: Json

    @property
    def violation(self) -> Violation | None:
        return self.part.violation

    def feed(self, delta: str) -> bool:
        return self.part.feed(delta)

    def snapshot(self) -> Json:
        return merged(self.base, self.part.snapshot())


# ------------------------------------------------------------------------------------------------- judging


def judged(policy: Policy, question: Question, answer: ModelAnswer, inputs: Json) -> Verdict:
    """What an answer is worth: a value of the schema to which no pure check objects, or why not."""
    if isinstance(answer, ModelFailure):
        return Verdict(failure=answer.kind, violations=(Violation("", answer.kind, answer.message or answer.kind),))
    if answer.finish_reason == "stopped":
        return stopped(question, answer)
    reading = shielded("reading the reply", read, answer, question.schema, policy.reading)
    if isinstance(reading, Violation):
        return Verdict(failure="crashed", violations=(reading,))
    candidate = (
        tuple(merged(question.base[0], part, question.schema) for part in reading.candidate)
        if question.base
        else reading.candidate
    )
    if reading.failure:
        return Verdict(
            failure=reading.failure,
            violations=reading.violations,
            repairs=reading.repairs,
            candidate=candidate or question.base,
        )
    verdict = examined(policy, candidate[0], inputs, reading.repairs, validate=bool(question.base))
    told = answer.logprobs and verdict.passed and not question.base
    return replace(verdict, support=Support(fields=_confidence(answer, verdict.value))) if told else verdict


def _confidence(reply: ModelReply, value: Json) -> dict[str, FieldSupport]:
    """How sure the model was of each field, where its server tells."""
    found = shielded("confidence", field_confidence, reply.text, value, reply.logprobs)
    if isinstance(found, Violation):  # what is not known keeps no value back
        return {}
    return {path: FieldSupport(confidence=confidence) for path, confidence in found.items()}


def stopped(question: Question, reply: ModelReply) -> Verdict:
    """A reply that its watcher ended: the watcher is pure, so it finds the same again, live and in replay."""
    watcher = question.watcher()
    watcher.feed(reply.text)
    found = watcher.violation or Violation("", "stopped", "the reply was ended before it was whole")
    spent = f"{found.message} (stopped after about {estimate(reply.text)} tokens)"
    return Verdict(failure="schema", violations=(replace(found, message=spent),), candidate=question.base)


def examined(policy: Policy, value: Json, inputs: Json, repairs: tuple[Repair, ...], *, validate: bool) -> Verdict:
    """Schema (unless the reader did it) and pure checks."""
    found = validated(policy.schema, value) if validate else ()
    if found:
        return Verdict(failure=kind_of(found, "schema"), violations=found, repairs=repairs, candidate=(value,))
    shown = json_roundtrip(value) if policy.pure_checks else value  # a copy: what was validated is what is handed out
    found = tuple(each for check in policy.pure_checks for each in objections(check, shown, inputs))
    rejected, flags = split(found)
    if rejected:
        return Verdict(
            failure=kind_of(rejected, "check"), violations=rejected, flags=flags, repairs=repairs, candidate=(value,)
        )
    return Verdict(failure=None, value=value, flags=flags, repairs=repairs, candidate=(value,))


Said: TypeAlias = Json | Crashed | Judged


def confirmed(policy: Policy, verdict: Verdict, answers: Sequence[Said], *, lenient: bool) -> Verdict:
    """The verdict after the effect checks. `lenient`: one that came too late is skipped and flagged."""
    told = list(zip(policy.effect_checks, answers, strict=True))
    skipped = tuple(check.name for check, said in told if lenient and _too_late(said))
    found = tuple(each for check, said in told if check.name not in skipped for each in heard(check, said))
    rejected, flags = split(found)
    judged = [said for check, said in told if isinstance(said, Judged) and check.name not in skipped]
    support = (
        _judged_support(verdict.support, judged, refused=bool(rejected)) if judged or rejected else verdict.support
    )
    flags = (*verdict.flags, *flags, *(_skipped(name) for name in skipped))
    if not rejected:
        return replace(verdict, flags=flags, skipped=skipped, support=support)
    failure = verdict.failure or kind_of(rejected, "check")
    violations = (*verdict.violations, *rejected)
    return replace(verdict, failure=failure, value=None, violations=violations, flags=flags, support=support)


def _judged_support(support: Support, judged: Sequence[Judged], *, refused: bool) -> Support:
    return replace(
        support,
        vote=replace(support.vote, refused=True) if refused and support.vote else support.vote,
        judgements=tuple(each.judgement for each in judged),
        judging=tuple(attempt for each in judged for attempt in each.attempts),
    )


def allowed(policy: Policy, verdict: Verdict, permit: Permit, inputs: Json) -> Verdict:
    """The verdict under `accept=certified(...)`: what no certificate covers is proposed, and not handed out."""
    if not verdict.passed or (policy.accept is None and verdict.support.vote is None):
        return verdict
    score = shielded(
        "certified(score=...)", _score, policy.accept.score if policy.accept else "agreement", verdict, inputs
    )
    if isinstance(score, Violation):
        return _refused(verdict, score, "crashed")
    verdict = replace(verdict, support=replace(verdict.support, score=score))
    if policy.accept is None:
        return verdict
    if permit.void:
        return _refused(verdict, Violation("", "certified", permit.void))
    if permit.at_least is not None and (score is None or not score >= permit.at_least):
        said = f"its score is below {permit.at_least:g}, from which on the certificate {permit.certificate} holds"
        return _refused(verdict, Violation("", "certified", said, expected=permit.at_least, actual=score))
    return replace(verdict, support=replace(verdict.support, certificate=permit.certificate))


def blamed(verdict: Verdict) -> Verdict:
    """Why a rung gave nothing, told where it is looked for also when another rung answers: with its vote, or with the
    request whose reply had passed alone."""
    if verdict.passed or not verdict.attempts:
        return verdict
    vote, last = verdict.support.vote, verdict.attempts[-1]
    if vote is not None:
        return replace(verdict, support=replace(verdict.support, vote=replace(vote, violations=verdict.violations)))
    if last.failure is not None:
        return verdict
    last = replace(last, failure=verdict.failure, violations=verdict.violations)
    return replace(verdict, attempts=(*verdict.attempts[:-1], last))


def still_allowed(verdict: Verdict, permit: Permit) -> Verdict:
    """The verdict, if its certificate is the one that holds at the end of the call, too."""
    began = verdict.support.certificate
    if permit.certificate == began and not permit.void:
        return verdict
    said = permit.void or f"certificate {began}, by which the call began, is not the newest any more"
    support = replace(verdict.support, certificate=None)
    return _refused(replace(verdict, support=support), Violation("", "certified", said))


def _refused(verdict: Verdict, why: Violation, failure: FailureKind = "check") -> Verdict:
    support = replace(verdict.support, proposed=(verdict.value,))
    return replace(verdict, failure=failure, value=None, violations=(why,), support=support)


def _score(score: Score, verdict: Verdict, inputs: Json) -> float | None:
    """A number, or None where nothing tells it; NaN is neither above a threshold nor below."""
    found = _told_score(score, verdict, inputs)
    if found is not None and not isfinite(found):
        raise ValueError(f"the score is {found!r}, expected a number")
    return found


def _told_score(score: Score, verdict: Verdict, inputs: Json) -> float | None:
    if callable(score):
        return float(score(json_roundtrip(verdict.value), inputs))  # a copy: what was validated is what is handed out
    if score == "agreement":
        return verdict.support.vote.agreement if verdict.support.vote else None
    return least_confidence(verdict.support.fields)


def _too_late(said: Said) -> bool:
    return said.late if isinstance(said, Judged) else isinstance(said, Crashed) and said.kind == "deadline"


def _skipped(name: str) -> Violation:
    return Violation("", name, "skipped: no time or budget was left for it", severity="flag")


def objections(check: Check, value: Json, inputs: Json) -> Violations:
    """What a pure check says; one that raises objects too."""
    found = shielded(f"check {check.name!r}", lambda: as_violations(check, check.function(value, inputs)))
    return (replace(found, severity=check.severity),) if isinstance(found, Violation) else found


def heard(check: Check, said: Said) -> Violations:
    """What an effect check or a judge said."""
    if isinstance(said, Judged):
        return said.violations
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


# ------------------------------------------------------------------------------------------------- asking again


def asked_again(policy: Policy, prompt: tuple[Message, ...], text: str, verdict: Verdict) -> Question:
    """Prompt, last reply and what was wrong with it: no longer after many attempts than after one."""
    parted = verdict.failure == "schema" and verdict.candidate
    part = failed_part(policy.schema, verdict.violations) if parted else None
    if part is None:
        messages = reask_messages(prompt, text, verdict.violations, None)
        return Question(messages, policy.output, policy.schema, watched=policy.watched)
    form = part.output_form(policy.name)
    messages = reask_messages(prompt, text, verdict.violations, form)
    return Question(messages, form, part, verdict.candidate, policy.watched)


def repeats(text: str, verdict: Verdict, seen: list[tuple[str, Violations]]) -> bool:
    """The same answer, or the same violations, a second time: asking a third time is money lost."""
    return any((text and text == said) or same_problem(verdict.violations, found) for said, found in seen)


# ------------------------------------------------------------------------------------------------- without a model


def found_in(row: Json | Crashed) -> Json | Crashed:
    return row if isinstance(row, Crashed) else row["value"] if row else Crashed("crashed", "no good value in the log")


def salvaged(policy: Policy, told: list[Verdict]) -> tuple[Json, tuple[Repair, ...]]:
    """What is right in the last candidate, or a crash that says why there is nothing."""
    for verdict in reversed(told):
        if verdict.candidate:
            kept = salvage(policy.schema, verdict.candidate[0], verdict.violations)
            return kept or (Crashed("crashed", "what is wrong is not optional"), ())
    return Crashed("crashed", "no reply could be parsed"), ()


# ------------------------------------------------------------------------------------------------- attempts


def attempt_of(at: str, rung: ModelRung, answer: ModelAnswer) -> Attempt:
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


def judged_attempt(verdict: Verdict, last: Attempt) -> Attempt:
    """The attempt whose reply was judged, with the verdict."""
    return replace(last, failure=verdict.failure, violations=verdict.violations, repairs=verdict.repairs)
