"""A record replays exactly, or says at which address it does not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from llmguard import FunctionModel, Guard, ReplayMismatch, check, last_good
from llmguard.core.effects import Returned
from llmguard.engine.call import guarded_call
from llmguard.replay.what_if import what_if
from llmguard.runtime.recorded import replay, replay_exactly
from llmguard.testing import ScriptedModel


def recorded(*replies: str, prompt: str = "How old is {{ who }}?"):
    guard = Guard("age", prompt=prompt, schema=int, models=[ScriptedModel(list(replies))], log=None)
    outcome = guard.run(who="Ada")
    return guard, outcome, guard.log.get(outcome.id).steps


def test_a_record_replays_to_its_outcome() -> None:
    """Without a model, a clock or a thread."""
    guard, outcome, steps = recorded("old", "36")
    audited = outcome.review_reason == "audit"  # a draw
    assert replay(guarded_call(guard.policy, {"who": "Ada"}, audited=audited), steps) == replace(outcome, value=36)


def test_a_changed_prompt_is_a_mismatch_at_the_first_step() -> None:
    """With both sides."""
    _, _, steps = recorded("36")
    other, _, _ = recorded("36", prompt="What age is {{ who }}?")
    with pytest.raises(ReplayMismatch, match="at 'r0/s0/a1/t1': expected the recorded step with digest") as raised:
        replay(guarded_call(other.policy, {"who": "Ada"}), steps)
    assert raised.value.address == "r0/s0/a1/t1"


def test_a_missing_step_is_a_mismatch() -> None:
    """The flow asks for what was not recorded."""
    guard, _, steps = recorded("old", "36")
    with pytest.raises(ReplayMismatch, match="expected no further step: the record ends here"):
        replay(guarded_call(guard.policy, {"who": "Ada"}), steps[:1])


def test_a_step_that_nobody_asks_for_is_a_mismatch() -> None:
    """Each step is used exactly once."""
    guard, _, steps = recorded("36")
    spare = replace(steps[0], address="r9/s0/a1/t1")
    with pytest.raises(ReplayMismatch, match="at 'r9/s0/a1/t1'"):
        replay(guarded_call(guard.policy, {"who": "Ada"}), [*steps, spare])


def with_checks(*checks: object, replies: tuple[str, ...] = ("old", "36")) -> Guard:
    model = ScriptedModel(list(replies))
    return Guard("age", prompt="How old is {{ who }}?", schema=int, models=[model], checks=checks, log=None)


def test_an_exact_replay_of_a_changed_guard_names_the_first_differing_step() -> None:
    """In the record's own order, with both sides: what was recorded, and what is asked instead."""
    guard, outcome, _ = recorded("-36", "36")
    record = guard.log.get(outcome.id)
    assert replay_exactly(guard.policy, record) == replace(outcome, value=outcome.json)
    positive = check(name="positive")(lambda value, inputs: "negative" if value < 0 else None)
    with pytest.raises(ReplayMismatch, match="no further step") as raised:
        replay_exactly(with_checks(positive).policy, record)
    assert raised.value.address == "r0/s0/a2/t1"
    assert "a request to the model 'scripted'" in raised.value.actual


def test_a_step_that_is_not_asked_for_any_more_is_told_with_its_reply() -> None:
    """The first such step of the record, not the alphabetically least."""
    positive = check(name="positive")(lambda value, inputs: f"{value} < 0" if value < 0 else None)
    guard = with_checks(positive, replies=("-36", "old", "36"))
    record = guard.log.get(guard.run(who="Ada").id)
    turned = replace(record, steps=(record.steps[0], *record.steps[:0:-1]))
    with pytest.raises(ReplayMismatch, match="that the call ended without it") as raised:
        replay_exactly(with_checks().policy, turned)
    assert raised.value.address == "r0/s0/a3/t1"
    assert "the reply '36'" in raised.value.expected


def test_the_order_of_concurrent_steps_does_not_matter() -> None:
    """Two effect checks, answered in either order."""
    one = check(name="one", effect=True)(lambda value, inputs: None)
    two = check(name="two", effect=True)(lambda value, inputs: None)
    guard = with_checks(one, two, replies=("36",))
    record = guard.log.get(guard.run(who="Ada").id)
    assert len(record.steps) == 3
    turned = replace(record, steps=record.steps[::-1])
    assert replay_exactly(guard.policy, turned).json == 36


@pytest.mark.parametrize(
    "spoil",
    [
        lambda steps: [*steps, steps[0]],
        lambda steps: [replace(steps[0], answer=Returned(1))],
        lambda steps: [replace(steps[0], address="\x1b[2J/../..")],
        lambda steps: [replace(steps[0], digest="")],
    ],
)
def test_a_hostile_record_is_a_mismatch(spoil) -> None:
    """Never a traceback of another kind."""
    guard, outcome, _ = recorded("36")
    record = guard.log.get(outcome.id)
    with pytest.raises(ReplayMismatch):
        replay_exactly(guard.policy, replace(record, steps=tuple(spoil(record.steps))))


def test_an_answer_that_no_flow_can_read_is_a_mismatch() -> None:
    """A function rung's step that holds what the log never wrote."""
    guard = Guard(
        "age", prompt="p", schema=int, models=[ScriptedModel(["x"])], reasks=0, fallback=[last_good(9)], log=None
    )
    record = guard.log.get(guard.run().id)
    spoiled = replace(record, steps=(record.steps[0], replace(record.steps[1], answer=Returned(5))))
    with pytest.raises(ReplayMismatch, match="an answer that the flow can read"):
        replay_exactly(guard.policy, spoiled)
    with pytest.raises(ReplayMismatch, match="an answer that the flow can read"):
        what_if(guard.policy, spoiled.steps, {})


def test_a_cancelled_call_is_recorded_as_interrupted(tmp_path: Path) -> None:
    """The cancellation passes on, unchanged."""

    async def hangs(request: object) -> str:
        await asyncio.sleep(60)
        return "36"

    url = f"sqlite:///{tmp_path}/log.db"
    guard = Guard("age", prompt="p", schema=int, models=[FunctionModel(hangs)], log=url)

    async def main() -> None:
        task = asyncio.create_task(guard.arun())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert [row.status for row in guard.log.find()] == ["interrupted"]
    guard.log.close()
