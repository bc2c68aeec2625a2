"""One sample of a model: request, retries, reply, verdict, and re-asks until it passes or the same comes twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from llmguard.core.canonical import Json
from llmguard.core.effects import Call, Flow, RetryState, StreamValidator, Wait, call
from llmguard.core.messages import Message, ModelAnswer, ModelFailure, ModelReply, ModelRequest, ResponseFormat
from llmguard.core.outcome import Attempt, FieldSupport, Violation, Violations
from llmguard.engine.budget import BudgetTracker
from llmguard.engine.corrections import Part
from llmguard.engine.ladder import ModelRung
from llmguard.engine.policy import REASKED, Policy
from llmguard.engine.reask import reask_messages, same_problem
from llmguard.engine.verdict import Support, Verdict, catch_as_violation, validate_value
from llmguard.parsing.coerce import Reading, ReadingRules, read
from llmguard.parsing.stream import JsonStreamValidator
from llmguard.prompts.tokens import estimate
from llmguard.schema import Schema, failed_part, merged, with_any_other_property
from llmguard.voting.confidence import field_confidence

MAX_DOWNGRADES = 12
"""Three simpler output techniques, two names of the token limit, four parameters that a server may not know, strict
schemas, the options of a stream, and log-probabilities: an adapter that goes on downgrading after that is broken."""


UNKNOWN_END = Violation(
    "",
    "unknown_finish_reason",
    "the server ended the reply for a reason that is not known; its value is closed",
    severity="flag",
)


_SHAPE_RULES = frozenset(("type", "required", "additionalProperties", "unevaluatedProperties"))
"""Rules about which members there are, and what the whole is; "type" counts for the whole only."""


@dataclass(frozen=True, slots=True)
class Question:
    """What an attempt asks for: a value of `schema`, or only the `part` of it that was wrong. `leaves_out`: members and items
    that do not fit may be left out at the end, so that a growing reply is not judged."""

    messages: tuple[Message, ...]
    output: ResponseFormat
    schema: Schema
    part: Part | None = None
    streamed: bool = False
    leaves_out: bool = False

    @property
    def base(self) -> tuple[Json, ...]:
        """The value whose part is asked for, which is there whatever the reply is."""
        return (self.part.base,) if self.part else ()

    @property
    def stream_validator(self) -> Callable[[], StreamValidator] | None:
        """Makes what reads the reply while it grows, where it is streamed."""
        return self.new_validator if self.streamed else None

    @property
    def judges(self) -> bool:
        """Whether what breaks the JSON Schema ends a stream: not where something may be left out, or the type has its say."""
        return not self.leaves_out and not self.schema.type_judges

    def new_validator(self) -> StreamValidator:
        if self.part is None:
            return JsonStreamValidator(self.schema.json_schema, judges=self.judges)
        fields = with_any_other_property(self.part.schema)  # the whole object is an answer too
        return PartStreamValidator(JsonStreamValidator(fields.json_schema, judges=self.judges), self.part.kept)


@dataclass(slots=True)
class PartStreamValidator:
    """Validates the part that is asked for again; its snapshot is the whole, with what was right before."""

    part: StreamValidator
    kept: Json

    @property
    def violation(self) -> Violation | None:
        return self.part.violation

    def feed(self, delta: str) -> bool:
        return self.part.feed(delta)

    def snapshot(self) -> Json:
        return merged(self.kept, self.part.snapshot())


# ------------------------------------------------------------------------------------------------- what is asked


def draw_sample(
    policy: Policy, rung: ModelRung, inputs: Json, at: str, budget: BudgetTracker, number: int = 0
) -> Flow[Verdict]:
    """Ask, read and evaluate; ask again with what was wrong, until it passes or the same comes twice.

    `number` is that of the sample in its vote, from 0.
    """
    prompt = catch_as_violation("the prompt", (rung.prompt or policy.prompt).render, inputs)
    if isinstance(prompt, Violation):
        return Verdict(failure="crashed", violations=(prompt,))
    question = Question(
        prompt, policy.output, policy.schema, streamed=policy.streamed, leaves_out=policy.reading.leaves_out
    )
    attempts: tuple[Attempt, ...] = ()
    previous: list[tuple[str, Violations]] = []
    while True:
        address = f"{at}/a{len(previous) + 1}"
        tries, answer = yield from send_request(rung, question, address, budget, number, policy.accept is None)
        verdict = evaluate_reply(policy, question, answer, inputs)
        attempts = (*attempts, *tries[:-1], attempt_with_verdict(tries[-1], verdict))
        text = answer.text if isinstance(answer, ModelReply) else ""
        if verdict.failure not in REASKED or len(previous) == rung.reasks or is_repeated(text, verdict, previous):
            return replace(verdict, attempts=attempts)
        previous.append((text, verdict.violations))
        question = reask_question(policy, prompt, text, verdict)


def send_request(
    rung: ModelRung, question: Question, at: str, budget: BudgetTracker, number: int, may_adapt: bool = True
) -> Flow[tuple[tuple[Attempt, ...], ModelAnswer]]:
    """One request, tried again after transport failures as the rung's retry says. Each try is a step, and is charged."""
    request = ModelRequest(
        model=rung.model.name,
        messages=question.messages,
        output=question.output,
        sampling=rung.sampling,
        sample=number,
        may_adapt=may_adapt,
    )
    tries: tuple[Attempt, ...] = ()
    wait: Wait | None = None
    downgrades, elapsed_s = 0, 0.0
    while True:
        address = f"{at}/t{len(tries) + 1}"
        reserved = budget.reserve(request)
        if isinstance(reserved, ModelFailure):
            return (*tries, attempt_of(address, rung, reserved)), reserved
        answer = yield from call(Call(address, rung.model, reserved, wait, question.stream_validator))
        budget.charge(address, answer)
        tries = (*tries, attempt_of(address, rung, answer))
        if isinstance(answer, ModelReply) or not answer.retryable or downgrades > MAX_DOWNGRADES:
            return tries, answer
        downgrades, elapsed_s = downgrades + answer.downgraded, elapsed_s + answer.latency_s
        state = RetryState(len(tries) - downgrades, elapsed_s)  # a downgrade is no try that failed
        if not answer.downgraded and rung.retry.stop(state):
            return tries, answer
        wait = None if answer.downgraded else Wait(rung.retry.wait, state, answer.retry_after_s or 0.0)


# ------------------------------------------------------------------------------------------------- what a reply is worth


def evaluate_reply(policy: Policy, question: Question, answer: ModelAnswer, inputs: Json) -> Verdict:
    """A value of the schema to which no pure check objects, or why there is none."""
    if isinstance(answer, ModelFailure):
        return Verdict(failure=answer.kind, violations=(Violation("", answer.kind, answer.message or answer.kind),))
    if answer.finish_reason == "stopped":
        return evaluate_stopped_reply(question, answer)
    result = catch_as_violation("reading the reply", read_reply, answer, question, policy.reading, inputs)
    if isinstance(result, Violation):
        return Verdict(failure="crashed", violations=(result,))
    if result.failure:
        return Verdict(
            failure=result.failure,
            violations=result.violations,
            repairs=result.repairs,
            candidate=result.candidate or question.base,
        )
    is_merged = question.part is not None  # the reader may have validated a part only
    verdict = validate_value(policy, result.value, inputs, result.repairs, validate=is_merged)
    if answer.finish_reason == "unknown":
        verdict = replace(verdict, flags=(*verdict.flags, UNKNOWN_END))
    if result.flags:
        verdict = replace(verdict, flags=(*result.flags, *verdict.flags))
    if not (answer.logprobs and verdict.passed and not is_merged):
        return verdict
    return replace(verdict, support=Support(fields=confidence_by_field(answer, verdict.value)))


def read_reply(reply: ModelReply, question: Question, rules: ReadingRules, inputs: Json) -> Reading:
    """The whole value, whichever part of it was asked for."""
    if question.part:
        return question.part.reading_of(reply, rules, inputs)
    return read(reply, question.schema, rules, inputs)


def evaluate_stopped_reply(question: Question, reply: ModelReply) -> Verdict:
    """A reply that its stream validator ended. The validator is pure: it finds the same violation again, live and in replay."""
    validator = question.new_validator()
    validator.feed(reply.text)
    violation = validator.violation or Violation("", "stopped", "the reply was ended before it was whole")
    message = f"{violation.message} (stopped after about {estimate(reply.text)} tokens)"
    return Verdict(failure="schema", violations=(replace(violation, message=message),), candidate=question.base)


def confidence_by_field(reply: ModelReply, value: Json) -> dict[str, FieldSupport]:
    """The model's confidence in each field, where its server reports log-probabilities."""
    confidence = catch_as_violation("confidence", field_confidence, reply.text, value, reply.logprobs)
    if isinstance(confidence, Violation):  # an unknown confidence is no reason to refuse a value
        return {}
    return {path: FieldSupport(confidence=each) for path, each in confidence.items()}


# ------------------------------------------------------------------------------------------------- asking again


def reask_question(policy: Policy, prompt: tuple[Message, ...], text: str, verdict: Verdict) -> Question:
    """Prompt, last reply and what was wrong with it: no longer after many attempts than after one."""
    is_partial = verdict.failure == "schema" and verdict.candidate
    part = failed_part(policy.schema, verdict.violations) if is_partial else None
    in_words = policy.accept is None and is_of_another_form(verdict)
    if part is None:
        messages = reask_messages(prompt, text, verdict.violations, None)
        output = replace(policy.output, in_words=in_words)
        return Question(messages, output, policy.schema, streamed=policy.streamed, leaves_out=policy.reading.leaves_out)
    form = replace(part.response_format(policy.name), in_words=in_words)
    messages = reask_messages(prompt, text, verdict.violations, form)
    return Question(
        messages,
        form,
        policy.schema,
        Part(part, policy.schema, verdict.candidate[0]),
        policy.streamed,
        policy.reading.leaves_out,
    )


def is_of_another_form(verdict: Verdict) -> bool:
    """Whether the reply was prose, or of another shape than the schema's: perhaps the model was never told the form, because
    its server ignores how the request constrains the output."""
    if verdict.failure == "unparsable":
        return True
    wrong = [
        each for each in verdict.violations if each.rule in _SHAPE_RULES and (each.rule != "type" or not each.path)
    ]
    return verdict.failure == "schema" and bool(wrong)


def is_repeated(text: str, verdict: Verdict, previous: list[tuple[str, Violations]]) -> bool:
    """The same answer, or the same violations, a second time: asking a third time is money lost."""
    return any(
        (text and text == earlier_text) or same_problem(verdict.violations, violations)
        for earlier_text, violations in previous
    )


# ------------------------------------------------------------------------------------------------- attempts


def attempt_of(at: str, rung: ModelRung, answer: ModelAnswer) -> Attempt:
    """A try as the outcome lists it."""
    failure = answer if isinstance(answer, ModelFailure) else None
    reply = answer if isinstance(answer, ModelReply) else None
    return Attempt(
        address=at,
        rung=rung.label,
        text=reply.text if reply else "",
        failure=failure.kind if failure else None,
        message=failure.message if failure else "",
        model=reply.model if reply else "",
        usage=answer.usage,
        cost_usd=answer.cost_usd,
        latency_s=answer.latency_s,
    )


def attempt_with_verdict(attempt: Attempt, verdict: Verdict) -> Attempt:
    """The attempt whose reply was evaluated, with its verdict."""
    return replace(attempt, failure=verdict.failure, violations=verdict.violations, repairs=verdict.repairs)
