"""The story of a call, told with scripted answers: no driver, no model, no clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from llmguard.core.canonical import Json
from llmguard.core.effects import Answer, Call, Crashed, Effect, Invoke, Returned
from llmguard.core.messages import ModelFailure, ModelReply, Usage
from llmguard.core.model import ModelDefaults
from llmguard.core.outcome import Outcome, Violation
from llmguard.engine.attempt import MAX_DOWNGRADES
from llmguard.engine.budget import Budget
from llmguard.engine.call import guarded_call
from llmguard.engine.check import check
from llmguard.engine.ladder import ConstantRung, EscalateRung, FunctionRung, ModelRung, Retry, SalvageRung
from llmguard.engine.policy import Policy
from llmguard.prompts import compile_prompt
from llmguard.schema import compile_schema

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "city": {"type": ["string", "null"]}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
GOOD = '{"name": "Ada", "age": 36}'


class NoModel(ModelDefaults):
    """Stands in a rung; nobody calls it here."""

    runs_on = "inline"

    def __init__(self, name: str) -> None:
        self.name = name

    def call(self, request, deadline):
        raise AssertionError("a flow performs nothing")

    acall = call


def three_tries(state) -> bool:
    return state.attempt_number >= 3


def model(name: str = "m", **more: object) -> ModelRung:
    return ModelRung(model=NoModel(name), retry=Retry(stop=three_tries, wait=lambda state: 0.0), **more)


def policy(*ladder, schema: Json = PERSON, **more: object) -> Policy:
    compiled = compile_schema(schema)
    return Policy(
        name="person",
        prompt=compile_prompt("Who is {{ who }}?", name="person"),
        schema=compiled,
        output=compiled.response_format("person"),
        ladder=ladder,
        **more,
    )


def tell(policy: Policy, *answers: Answer | str) -> tuple[Outcome[Json], list[Effect]]:
    """Feed the flow these answers in order; a text is a reply. All must be used."""
    left = [ModelReply(answer) if isinstance(answer, str) else answer for answer in answers]
    asked: list[Effect] = []
    flow, said = guarded_call(policy, {"who": "Ada"}), None
    while True:
        try:
            batch = flow.send(said)
        except StopIteration as done:
            assert not left, "the flow did not ask for all answers"
            return done.value, asked
        asked += batch
        said = tuple(left.pop(0) for _ in batch)


def test_a_valid_reply_at_the_first_rung_is_accepted() -> None:
    """One request, the value, nothing else."""
    outcome, asked = tell(policy(model()), GOOD)
    assert (outcome.status, outcome.json, outcome.source) == ("accepted", {"name": "Ada", "age": 36}, "m")
    assert [effect.address for effect in asked] == ["r0/s0/a1/t1"]
    assert outcome.violations == outcome.repairs == ()


def test_a_value_among_words_is_recovered_and_says_why() -> None:
    """What was left out is in the outcome; a fence around the whole reply is the ordinary way to answer."""
    outcome, _ = tell(policy(model()), f"Sure!\n```json\n{GOOD}\n```")
    assert (outcome.status, [repair.kind for repair in outcome.repairs]) == ("recovered", ["extracted"])
    outcome, _ = tell(policy(model()), f"```json\n{GOOD}\n```")
    assert (outcome.status, outcome.repairs) == ("accepted", ())


def test_a_wrong_reply_is_asked_again_with_what_was_wrong() -> None:
    """The second request holds the violation's path and rule; the outcome is recovered."""
    outcome, asked = tell(
        policy(model()), '{"name": "Ada", "age": "old", "city": true}', '{"age": 36, "city": "London"}'
    )
    assert outcome.status == "recovered"
    assert outcome.json == {"name": "Ada", "age": 36, "city": "London"}
    assert "/age" in asked[1].request.messages[-1].content
    assert [attempt.failure for attempt in outcome.attempts] == ["schema", None]


def test_only_the_failed_part_is_asked_for_again() -> None:
    """What was right stays; the second reply is merged into it, and the whole is validated."""
    outcome, asked = tell(policy(model()), '{"name": "Ada", "age": "old"}', '{"age": 36}')
    assert outcome.json == {"name": "Ada", "age": 36}
    assert set(asked[1].request.output.schema["properties"]) == {"age"}


def test_the_request_does_not_grow_with_the_attempts() -> None:
    """Always prompt, last reply, violations."""
    replies = [f'{{"name": {number}, "age": {number}.5}}' for number in range(5)]
    _, asked = tell(policy(model(reasks=4)), *replies)
    assert {len(effect.request.messages) for effect in asked[1:]} == {3}


def test_the_same_answer_twice_ends_the_reasking() -> None:
    """A third request would be money lost."""
    outcome, asked = tell(policy(model(reasks=5)), "no JSON", "no JSON")
    assert (outcome.status, len(asked)) == ("rejected", 2)


def test_the_same_violations_twice_end_the_reasking() -> None:
    """Though the words around them differ."""
    outcome, asked = tell(policy(model(reasks=5)), 'One: {"name": true, "age": 1}', 'Two: {"name": true}')
    assert (outcome.status, len(asked)) == ("rejected", 2)


@pytest.mark.parametrize("kind", ["timeout", "connection", "rate_limited", "overloaded", "server_error"])
def test_a_transport_failure_is_tried_again(kind: str) -> None:
    """Until the stop strategy says so; each try is a step and an attempt."""
    outcome, asked = tell(policy(model()), ModelFailure(kind), ModelFailure(kind), GOOD)
    assert outcome.status == "recovered"
    assert [effect.address for effect in asked] == ["r0/s0/a1/t1", "r0/s0/a1/t2", "r0/s0/a1/t3"]
    outcome, _ = tell(policy(model()), *[ModelFailure(kind)] * 3)
    assert outcome.status == "rejected"


@pytest.mark.parametrize(
    "kind", ["auth", "not_found", "bad_request", "context_length", "refusal", "content_filter", "crashed"]
)
def test_another_failure_goes_to_the_next_rung_at_once(kind: str) -> None:
    """A second model answers: recovered."""
    outcome, asked = tell(policy(model("small"), model("large")), ModelFailure(kind), GOOD)
    assert (outcome.status, outcome.source) == ("recovered", "large")
    assert [effect.address for effect in asked] == ["r0/s0/a1/t1", "r1/s0/a1/t1"]


def test_the_wait_before_a_retry_is_what_the_server_asked_for() -> None:
    """`Retry-After` reaches the driver."""
    _, asked = tell(policy(model()), ModelFailure("rate_limited", retry_after_s=7.5), GOOD)
    assert asked[1].wait.at_least_s == 7.5
    assert asked[0].wait is None


def test_a_downgrade_is_a_further_try_without_a_wait() -> None:
    """It is counted as a request, and not as a try of the retry policy."""
    down = ModelFailure("bad_request", downgraded=True)
    outcome, asked = tell(policy(model()), down, down, down, GOOD)
    assert outcome.status == "recovered"
    assert [effect.wait for effect in asked] == [None] * 4


def test_an_adapter_that_downgrades_for_ever_is_not_believed() -> None:
    """The flow ends."""
    asks = MAX_DOWNGRADES + 2
    outcome, asked = tell(policy(model()), *[ModelFailure("bad_request", downgraded=True)] * asks)
    assert (outcome.status, len(asked)) == ("rejected", asks)


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("\x00", "empty"),
        ("\ud800", "unparsable"),
        ("null", "schema"),
        ("[" * 100_000, "unparsable"),
        pytest.param("a" * 8_000_000, "unparsable", marks=pytest.mark.slow),
        (ModelReply(GOOD, finish_reason="length"), "truncated"),
        (ModelReply(GOOD, finish_reason="content_filter"), "content_filter"),
    ],
)
def test_a_hostile_reply_is_an_outcome(reply: str | ModelReply, failure: str) -> None:
    """Never an exception, and never a value."""
    outcome, _ = tell(policy(model(reasks=0)), reply)
    assert (outcome.status, outcome.attempts[0].failure) == ("rejected", failure)


def test_the_fallback_answers_when_no_model_does() -> None:
    """Its value is validated like a reply."""
    rungs = (model(reasks=0), ConstantRung(value={"name": 1}), ConstantRung(value={"name": "nobody", "age": 0}))
    outcome, _ = tell(policy(*rungs), "no JSON")
    assert (outcome.status, outcome.source, outcome.json["name"]) == ("fallback", "constant", "nobody")
    assert outcome.violations == ()


def test_a_function_rung_is_asked_with_grace() -> None:
    """It may run after the deadline, and gets the inputs."""
    rule = FunctionRung(function=lambda inputs: None, name="rule", timeout_s=2)
    outcome, asked = tell(policy(rule), Returned({"name": "Ada", "age": 1}))
    assert (outcome.status, outcome.source) == ("fallback", "rule")
    assert (asked[0].ignores_deadline, asked[0].arguments, asked[0].timeout_s) == (True, ({"who": "Ada"},), 2)


def test_a_fallback_that_crashes_goes_to_the_next_rung() -> None:
    """Recorded as crashed, with what it said."""
    rule = FunctionRung(function=lambda inputs: None, name="rule")
    outcome, _ = tell(policy(rule, rule), Crashed("crashed", "ValueError: boom"), Crashed("timeout", "late"))
    assert outcome.status == "rejected"
    assert [violation.rule for violation in outcome.violations] == ["crashed", "crashed"]
    assert "boom" in outcome.violations[0].message


def test_salvage_keeps_what_is_right() -> None:
    """The failed optional field goes, and the loss is reported."""
    outcome, _ = tell(policy(model(reasks=0), SalvageRung()), '{"name": "Ada", "age": 36, "city": true}')
    assert (outcome.status, outcome.source) == ("fallback", "salvage")
    assert (outcome.json["name"], outcome.json["age"], outcome.json.get("city")) == ("Ada", 36, None)
    assert {repair.kind for repair in outcome.repairs} == {"lossy"}


def test_salvage_does_not_make_up_what_is_required() -> None:
    """A wrong required field cannot be left out."""
    outcome, _ = tell(policy(model(reasks=0), SalvageRung()), '{"name": "Ada", "age": "old"}')
    assert outcome.status == "rejected"


def test_escalation_ends_the_call_with_a_draft() -> None:
    """The last value that fits the schema is provisional; the outcome goes to review."""
    picky = check(name="picky")(lambda value, inputs: "never good enough")
    outcome, _ = tell(policy(model(reasks=0), EscalateRung(), checks=(picky,)), GOOD)
    assert (outcome.status, outcome.json, outcome.has_value) == ("escalated", {"name": "Ada", "age": 36}, False)
    assert (outcome.review_probability, outcome.review_reason) == (1.0, "escalated")
    assert [violation.rule for violation in outcome.violations] == ["picky"]


def test_escalation_has_no_draft_where_nothing_fits() -> None:
    """A value that breaks its schema is not shown as one."""
    outcome, _ = tell(policy(model(reasks=0), EscalateRung()), '{"name": 1}')
    assert (outcome.status, outcome.json) == ("escalated", None)


# ------------------------------------------------------------------------------------------------- checks


def test_a_pure_check_objects_and_the_model_is_told() -> None:
    """Its message is in the next request."""
    adult = check(name="adult")(lambda value, inputs: "must be an adult" if value["age"] < 18 else None)
    outcome, asked = tell(policy(model(), checks=(adult,)), '{"name": "Ada", "age": 3}', GOOD)
    assert outcome.status == "recovered"
    assert "must be an adult" in asked[1].request.messages[-1].content


def test_a_flag_accepts_and_sends_to_review() -> None:
    """The value is handed out, and marked."""
    doubt = check(name="doubt", severity="flag")(lambda value, inputs: "looks odd")
    outcome, _ = tell(policy(model(), checks=(doubt,)), GOOD)
    assert (outcome.status, outcome.review_probability, outcome.review_reason) == ("accepted", 1.0, "flagged")
    assert [flag.message for flag in outcome.flags] == ["looks odd"]


@pytest.mark.parametrize("broken", [lambda value, inputs: 1 / 0, lambda value, inputs: True, lambda value, inputs: [3]])
def test_a_check_that_is_broken_is_no_fault_of_the_model(broken: Callable[..., object]) -> None:
    """Crashed, not re-asked: the next rung answers."""
    rungs = (model(), ConstantRung(value={"name": "x", "age": 0}))
    outcome, asked = tell(policy(*rungs, checks=(check(name="broken")(broken),)), GOOD)
    assert outcome.status == "rejected", "the constant meets the same check"
    assert {violation.rule for violation in outcome.violations} == {"crashed"}
    assert len(asked) == 1


def test_a_prompt_that_raises_is_crashed() -> None:
    """The user's function is pure code of theirs; it costs the rung, not the call."""
    prompt = compile_prompt(lambda inputs: 1 / 0, name="p")
    rungs = (model(), ConstantRung(value={"name": "x", "age": 0}))
    outcome, asked = tell(replace(policy(*rungs), prompt=prompt))
    assert (outcome.status, asked) == ("fallback", [])
    outcome, _ = tell(replace(policy(model()), prompt=prompt))
    assert "ZeroDivisionError" in outcome.violations[0].message


def effect_check(name: str = "lookup", **more: object):
    return check(name=name, effect=True, **more)(lambda value, inputs: None)


def test_effect_checks_run_once_together_on_the_value_to_hand_out() -> None:
    """Not on a reply that was rejected before."""
    checks = (effect_check("one"), effect_check("two"))
    outcome, asked = tell(policy(model(), checks=checks), "no JSON", GOOD, Returned(None), Returned([]))
    assert outcome.status == "recovered"
    assert [effect.address for effect in asked if isinstance(effect, Invoke)] == ["r0/c:one", "r0/c:two"]


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        (Returned("no such customer"), "lookup"),
        (Returned([{"path": "/age", "rule": "", "message": "wrong"}]), "lookup"),
        (Crashed("crashed", "boom"), "crashed"),
        (Crashed("timeout", "late"), "crashed"),
        (Crashed("deadline", "late"), "crashed"),
        (Returned(False), "crashed"),
    ],
)
def test_an_effect_check_that_objects_leads_to_the_next_rung(said: Answer, rule: str) -> None:
    """The model is not asked again; a second model is."""
    rungs = (model("small"), model("large"))
    outcome, _ = tell(policy(*rungs, checks=(effect_check(),)), GOOD, said, GOOD, Returned(None))
    assert (outcome.status, outcome.source) == ("recovered", "large")
    outcome, _ = tell(policy(model(), checks=(effect_check(),)), GOOD, said)
    assert [violation.rule for violation in outcome.violations] == [rule]


def test_a_check_that_a_fallback_has_no_time_for_is_skipped_and_told() -> None:
    """The deterministic value is handed out, flagged."""
    rung = ConstantRung(value={"name": "x", "age": 0})
    outcome, _ = tell(policy(rung, checks=(effect_check(),)), Crashed("deadline", "late"))
    assert (outcome.status, outcome.skipped_checks) == ("fallback", ("lookup",))
    assert outcome.review_reason == "flagged"


# ------------------------------------------------------------------------------------------------- budget and time


def test_requests_never_exceed_the_budget() -> None:
    """Retries, re-asks and later models count alike."""
    rungs = (model("small", reasks=3), model("large"))
    outcome, asked = tell(policy(*rungs, budget=Budget(requests=3)), "1", ModelFailure("timeout"), "2")
    assert (outcome.status, len(asked)) == ("rejected", 3)
    assert outcome.attempts[-1].failure == "budget"


def test_tokens_are_bounded_before_they_are_spent() -> None:
    """A request may answer with no more than what is left."""
    reply = ModelReply("no JSON", usage=Usage(input_tokens=10, output_tokens=60))
    outcome, asked = tell(policy(model(), budget=Budget(tokens=100)), reply)
    assert asked[0].request.sampling.max_tokens <= 100
    assert outcome.attempts[-1].failure == "budget"
    assert outcome.usage.total_tokens == 70


def test_money_is_counted() -> None:
    """When it is spent, no request goes out."""
    reply = ModelReply("no JSON", cost_usd=0.02)
    outcome, asked = tell(policy(model(), budget=Budget(usd=0.01)), reply)
    assert (outcome.attempts[-1].failure, len(asked)) == ("budget", 1)


def test_after_the_deadline_no_request_is_sent_and_the_fallback_answers() -> None:
    """The deterministic rungs come whatever the time."""
    rungs = (model("small"), model("large"), ConstantRung(value={"name": "x", "age": 0}))
    outcome, asked = tell(policy(*rungs), ModelFailure("deadline"))
    assert (outcome.status, len(asked)) == ("fallback", 1)
    assert [attempt.failure for attempt in outcome.attempts] == ["deadline", "deadline"]


def test_a_request_that_was_not_sent_is_not_counted() -> None:
    """A retry that would come too late leaves the budget to the next model."""
    rungs = (model("small"), model("large"))
    late = ModelFailure("timeout", "too late", sent=False)
    outcome, asked = tell(policy(*rungs, budget=Budget(requests=2)), ModelFailure("rate_limited"), late, GOOD)
    assert (outcome.status, outcome.source) == ("recovered", "large")
    assert isinstance(asked[-1], Call)


def test_a_flagging_violation_keeps_its_place() -> None:
    """Path, expected and actual of a check's violation stay; rule and severity are the check's."""
    found = Violation("/age", "mine", "odd", expected=1, actual=2)
    doubt = check(name="doubt", severity="flag")(lambda value, inputs: [found])
    outcome, _ = tell(policy(model(), checks=(doubt,)), GOOD)
    assert outcome.flags == (Violation("/age", "doubt", "odd", 1, 2, "flag"),)


def test_a_check_that_changes_the_value_changes_nothing() -> None:
    """It sees a copy: what was validated is what is handed out."""

    def spoils(value: Json, inputs: Json) -> None:
        value["age"] = "old"

    outcome, _ = tell(policy(model(), checks=(check(spoils),)), GOOD)
    assert outcome.value == {"name": "Ada", "age": 36}
