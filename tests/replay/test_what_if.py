"""Recorded answers before today's guard: what it makes of them, and what nothing recorded answers."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard import Guard, ReplayMismatch, UsageError, check
from llmguard.core.canonical import Json
from llmguard.core.effects import Crashed, Returned
from llmguard.core.messages import ModelFailure, ModelReply
from llmguard.core.model import ModelDefaults
from llmguard.core.record import Step
from llmguard.engine.call import guarded_call
from llmguard.engine.policy import Policy
from llmguard.replay.what_if import rerun_names, what_if
from llmguard.runtime.recorded import replay
from llmguard.testing import ScriptedModel
from tests.support.random_policies import is_audited, random_policy, run

PROMPT = "How old is {{ who }}?"


def made(*replies: str, prompt: str = PROMPT, schema: object = int, name: str = "scripted", **options: object) -> Guard:
    model = ScriptedModel(list(replies), name=name)
    return Guard("age", prompt=prompt, schema=schema, models=[model], log=None, **options)


def steps_of(guard: Guard, **inputs: Json) -> tuple[Step, ...]:
    return guard.log.get(guard.run(**(inputs or {"who": "Ada"})).id).steps


def mute(policy: Policy) -> Policy:
    """The same policy over models that may not be asked."""

    class Forbidden(ModelDefaults):
        runs_on = "inline"

        def __init__(self, name: str) -> None:
            self.name = name

        def call(self, request: object, deadline: object) -> object:
            raise AssertionError("a what-if replay made a request")

        acall = call

    def forbidden(rung):
        if not hasattr(rung, "model"):
            return rung
        variants = tuple(forbidden(each) for each in rung.variants)
        return replace(rung, model=Forbidden(rung.model.name), variants=variants)

    return replace(policy, ladder=tuple(forbidden(rung) for rung in policy.ladder))


# ------------------------------------------------------------------------------------------------- always


@given(st.integers(0, 100_000))
def test_what_if_of_the_same_guard_is_its_outcome(seed: int) -> None:
    """For random policies, votes, judges and audits; every step is used, nothing is assumed, no model asked."""
    policy, _ = random_policy(seed)
    outcome, heard = run(policy, seed, "sync")
    found = what_if(mute(policy), heard, {"n": seed}, audited=is_audited(seed))
    assert (found.outcome, found.undetermined_at, found.unused, found.substituted) == (outcome, "", (), ())
    assert sorted(found.steps, key=str) == sorted(heard, key=str)


@given(st.integers(0, 100_000), st.integers(0, 100_000), st.sampled_from(["request", "position"]))
def test_another_guard_gives_an_outcome_or_says_where_it_would_ask(seed: int, other: int, match) -> None:
    """Never an exception. What it used replays exactly, and what it assumed is told."""
    policy, _ = random_policy(seed)
    _, heard = run(policy, seed, "sync")
    todays = mute(random_policy(other)[0])
    found = what_if(todays, heard, {"n": seed}, match=match)
    assert (found.outcome is None) == bool(found.undetermined_at) == bool(found.needed)
    assert len(found.unused) + len(found.steps) == len(heard)
    assert not found.recorded
    assert match == "position" or not found.substituted
    if found.outcome is not None:
        assert replay(guarded_call(todays, {"n": seed}), found.steps) == found.outcome


@given(st.integers(0, 100_000), st.randoms(use_true_random=False))
def test_a_hostile_record_gives_a_result_or_a_mismatch(seed: int, rng) -> None:
    """Steps that are turned round, doubled, of wrong kinds and with garbage for addresses."""
    policy, _ = random_policy(seed)
    _, heard = run(policy, seed, "sync")
    answers = [ModelReply("\x1b[2J"), ModelFailure("auth"), Returned({"x": []}), Returned(5), Crashed("crashed", "")]
    addresses = ["", "r0", "../..", "r9999999999999999999999999", "r" + "9" * 6000, "\x00", "r0/s0/a1/t1", "é٣"]
    spoiled = [*heard, *rng.choices(heard, k=2)] if heard else []
    spoiled += [Step(rng.choice(addresses), rng.choice(["", *(s.digest for s in heard)]), rng.choice(answers))] * 2
    spoiled = [replace(each, answer=rng.choice(answers)) if rng.random() < 0.2 else each for each in spoiled]
    rng.shuffle(spoiled)
    with contextlib.suppress(ReplayMismatch):
        found = what_if(mute(policy), spoiled, {"n": seed}, match=rng.choice(["request", "position"]))
        assert len(found.unused) + len(found.steps) == len(spoiled)


# ------------------------------------------------------------------------------------------------- matching


def test_a_changed_schema_judges_the_same_reply_anew() -> None:
    """The request names the schema, so the reply stands in its place, and that is told."""
    steps = steps_of(made("-5"))
    todays = made(schema={"type": "integer", "maximum": -1}).policy
    assert what_if(todays, steps, {"who": "Ada"}).undetermined_at == "r0/s0/a1/t1"
    found = what_if(todays, steps, {"who": "Ada"}, match="position")
    assert (found.outcome.json, found.substituted) == (-5, ("r0/s0/a1/t1",))


def test_a_changed_check_needs_no_assumption() -> None:
    """The same request was asked; what comes after the refused reply is not recorded."""
    steps = steps_of(made("-5"))
    positive = check(name="positive")(lambda value, inputs: "negative" if value < 0 else None)
    found = what_if(made(checks=[positive]).policy, steps, {"who": "Ada"})
    assert (found.outcome, found.undetermined_at, found.substituted) == (None, "r0/s0/a2/t1", ())
    assert found.needed == "a request to the model 'scripted'"
    assert [step.address for step in found.steps] == ["r0/s0/a1/t1"]


def test_an_equal_request_elsewhere_answers_too() -> None:
    """Today another model is asked first: the recorded reply is found at its later rung."""
    steps = steps_of(made("36"))
    models = [ScriptedModel([], name="new"), ScriptedModel([], name="scripted")]
    todays = Guard("age", prompt=PROMPT, schema=int, models=models, log=None)
    failed = Step("r0/s0/a1/t1", "", ModelFailure("auth"))
    found = what_if(todays.policy, [failed, *steps], {"who": "Ada"}, match="position")
    assert (found.outcome.json, found.outcome.source) == (36, "scripted")
    assert found.substituted == ("r0/s0/a1/t1",)
    assert what_if(todays.policy, steps, {"who": "Ada"}).unused == ("r0/s0/a1/t1",)


def test_retries_of_equal_requests_come_in_their_order() -> None:
    """By the numbers in their addresses: the tenth try comes after the second."""
    guard = made()
    digest = steps_of(made("36"))[0].digest
    steps = [Step(f"x/t{n}", digest, ModelFailure("timeout", str(n))) for n in (10, 9, 2)]
    found = what_if(guard.policy, steps, {"who": "Ada"})
    assert [attempt.message for attempt in found.outcome.attempts] == ["2", "9", "10"]
    assert found.unused == ()


def test_what_has_its_own_step_takes_it_first() -> None:
    """Two checks with the same name of function and arguments; the second one's step is not taken by the first."""
    seen = check(name="seen", effect=True)(lambda value, inputs: None)
    guard = made("36", checks=[seen])
    reply, confirmed = steps_of(guard)
    spare = replace(confirmed, address="a", answer=Returned("objects"))
    found = what_if(guard.policy, [reply, spare, confirmed], {"who": "Ada"})
    assert (found.outcome.status, found.unused) == ("accepted", ("a",))


def test_an_answer_of_the_wrong_kind_is_no_answer() -> None:
    """A function's for a request."""
    (step,) = steps_of(made("36"))
    spoiled = replace(step, answer=Returned(36))
    found = what_if(made().policy, [spoiled], {"who": "Ada"}, match="position")
    assert (found.undetermined_at, found.unused) == ("r0/s0/a1/t1", ("r0/s0/a1/t1",))


# ------------------------------------------------------------------------------------------------- fresh and live


def counted(said: object, calls: list[Json], name: str = "known"):
    def function(value: Json, inputs: Json) -> object:
        calls.append(value)
        if isinstance(said, Exception):
            raise said
        return said

    return check(name=name, effect=True)(function)


def test_effect_checks_come_from_the_record() -> None:
    """Unless they are named as fresh."""
    calls: list[Json] = []
    steps = steps_of(made("36", checks=[counted(None, calls)]))
    todays = made(checks=[counted("unknown person", calls)])
    assert rerun_names(todays.policy) == ("known",)
    assert what_if(todays.policy, steps, {"who": "Ada"}).outcome.status == "accepted"
    assert calls == [36]
    found = what_if(todays.policy, steps, {"who": "Ada"}, rerun=["known"])
    assert (found.outcome.status, calls) == ("rejected", [36, 36])
    assert found.unused == ("r0/c:known",)
    assert found.recorded == ()


def test_what_a_fresh_function_raises_is_an_answer() -> None:
    """As live; one that is async runs too."""
    steps = steps_of(made("36"))
    found = what_if(made(checks=[counted(ValueError("boom"), [])]).policy, steps, {"who": "Ada"}, rerun=["known"])
    assert found.outcome.violations[0].message == "check 'known': ValueError: boom"

    @check(name="known", effect=True)
    async def later(value: Json, inputs: Json) -> str:
        return "from the loop"

    found = what_if(made(checks=[later]).policy, steps, {"who": "Ada"}, rerun=["known"])
    assert found.outcome.violations[0].message == "from the loop"


def test_a_check_that_was_never_asked_is_undetermined() -> None:
    """It is named, so that a reader can tell it to run."""
    found = what_if(made(checks=[counted(None, [])]).policy, steps_of(made("36")), {"who": "Ada"})
    assert (found.undetermined_at, found.needed) == ("r0/c:known", "the function 'known'")


def test_another_value_takes_its_place_only_by_assumption() -> None:
    """An answer about 36 says nothing of 37."""
    steps = steps_of(made("36", checks=[counted(None, [])]))
    spoken = [replace(steps[0], answer=ModelReply("37")), steps[1]]
    todays = made(checks=[counted(None, [])]).policy
    assert what_if(todays, spoken, {"who": "Ada"}).undetermined_at == "r0/c:known"
    assert what_if(todays, spoken, {"who": "Ada"}, match="position").substituted == ("r0/c:known",)


def test_live_answers_what_is_missing_and_is_recorded() -> None:
    """The new steps can be saved: with them the replay is exact."""
    steps = steps_of(made("old", "-5"))[:1]
    todays = made().policy
    asked = []

    def live(call):
        asked.append(call.address)
        return ModelReply("36")

    found = what_if(todays, steps, {"who": "Ada"}, responder=live)
    assert (found.outcome.json, asked) == (36, ["r0/s0/a2/t1"])
    assert [step.address for step in found.recorded] == asked
    assert what_if(todays, found.steps, {"who": "Ada"}).outcome == found.outcome


def test_trouble_of_a_live_model_is_an_answer() -> None:
    """What is no answer at all is misuse."""

    def breaks(call):
        raise OSError("no route")

    found = what_if(made().policy, (), {"who": "Ada"}, responder=breaks)
    assert found.outcome.attempts[0].failure == "crashed"
    with pytest.raises(UsageError, match="got str"):
        what_if(made().policy, (), {"who": "Ada"}, responder=lambda call: "36")

    def refuses(call):
        raise UsageError("live models are refused here")

    with pytest.raises(UsageError, match="refused here"):
        what_if(made().policy, (), {"who": "Ada"}, responder=refuses)


def test_a_function_is_not_asked_live() -> None:
    """`live` is for models; a function runs when it is named as fresh."""
    todays = made(checks=[counted(None, [])]).policy
    found = what_if(todays, (), {"who": "Ada"}, responder=lambda call: ModelReply("36"))
    assert found.undetermined_at == "r0/c:known"


def test_an_unknown_way_of_matching_is_misuse() -> None:
    """One sentence."""
    with pytest.raises(UsageError, match="match= must be 'request' or 'position', got 'any'"):
        what_if(made().policy, (), {}, match="any")
