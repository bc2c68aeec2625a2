"""One flow, many drivers: whoever performs the effects, the outcome and the steps are the same."""

from __future__ import annotations

import pytest

from llmguard.core.messages import ModelFailure, ModelReply
from llmguard.core.record import decode_answer, encode_answer
from llmguard.engine.call import guarded_call
from llmguard.runtime.execution import CallExecution
from llmguard.runtime.recorded import replay
from llmguard.runtime.sync_driver import drive
from tests.support.random_policies import SCHEMA, is_audited, random_policy, run

SEEDS = 500
BLOCKS = 10


def by_address(steps):
    found = {step.address: step for step in steps}
    assert len(found) == len(steps), "one step, one address"
    return found


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_driver_and_replay_agree(block: int) -> None:
    """Sync inline, sync threads, async and exact replay of 500 random policies agree in outcome and in steps."""
    for seed in range(block, SEEDS, BLOCKS):
        outcome, live = check_one_way(seed, "inline")
        for driver in ("threads", "async"):
            again, steps = check_one_way(seed, driver)
            assert again == outcome, f"seed {seed} under {driver}"
            assert by_address(steps) == by_address(live), f"seed {seed} under {driver}"
        policy, _ = random_policy(seed)
        kept = [type(step)(step.address, step.digest, decode_answer(encode_answer(step.answer))) for step in live]
        assert replay(guarded_call(policy, {"n": seed}, audited=is_audited(seed)), kept) == outcome


def check_one_way(seed: int, driver: str):
    """One run, with what must hold of every run."""
    policy, models = random_policy(seed)
    outcome, live = run(policy, seed, driver)
    asked = sum(len(model.asked) for model in models)
    assert asked <= policy.budget.requests
    if outcome.has_value:
        assert SCHEMA.violations(outcome.json) == ()
    assert outcome.status in ("accepted", "recovered", "fallback", "escalated", "rejected")
    assert (outcome.status == "rejected") == (not outcome.has_value and outcome.status != "escalated")
    return outcome, live


@pytest.mark.parametrize("block", range(BLOCKS))
def test_a_call_that_died_after_any_step_resumes_to_the_same_outcome(block: int) -> None:
    """Resumed from each prefix of its steps, a call ends the same, with exactly the missing requests."""
    for seed in range(block, SEEDS, BLOCKS):
        policy, _ = random_policy(seed)
        outcome, live = run(policy, seed, "inline")
        for died_after in range(len(live) + 1):
            policy, models = random_policy(seed)
            before = tuple(live[:died_after])
            for model in models:
                model.remember(before)
            driver = "async" if died_after % 4 == 3 else "inline"
            again, steps = run(policy, seed, driver, before)
            assert again == outcome, f"seed {seed}, died after {died_after} steps"
            assert by_address([*before, *steps]) == by_address(live)
            assert replay(guarded_call(policy, {"n": seed}, audited=is_audited(seed)), [*before, *steps]) == outcome
            missing = [step for step in live[died_after:] if isinstance(step.answer, ModelReply | ModelFailure)]
            assert sum(len(model.asked) for model in models) == len(missing)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_an_audit_changes_nothing_of_what_a_call_comes_to(block: int) -> None:
    """Drawn or not, with its further samples and checks, whatever they cost: status, value, source and certificate are the
    same."""
    for seed in range(block, SEEDS, BLOCKS):
        ends = []
        for audited in (False, True):
            policy, _ = random_policy(seed)
            outcome = drive(guarded_call(policy, {"n": seed}, audited=audited), CallExecution(waits=False))
            ends.append((outcome.status, outcome.json, outcome.source, outcome.certificate, outcome.candidate))
        assert ends[0] == ends[1], f"seed {seed}"
