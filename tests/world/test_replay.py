"""A record replays exactly, or says at which address it does not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from llmguard import FunctionModel, Guard, ReplayMismatch
from llmguard.flow import guarded
from llmguard.replay import replay
from llmguard.testing import ScriptedModel


def recorded(*replies: str, prompt: str = "How old is {{ who }}?"):
    guard = Guard("age", prompt=prompt, schema=int, models=[ScriptedModel(list(replies))], log=None)
    outcome = guard.run(who="Ada")
    return guard, outcome, guard.log.get(outcome.id).steps


def test_a_record_replays_to_its_outcome() -> None:
    """Without a model, a clock or a thread."""
    guard, outcome, steps = recorded("old", "36")
    assert replay(guarded(guard.policy, {"who": "Ada"}), steps) == replace(outcome, value=36)


def test_a_changed_prompt_is_a_mismatch_at_the_first_step() -> None:
    """With both sides."""
    _, _, steps = recorded("36")
    other, _, _ = recorded("36", prompt="What age is {{ who }}?")
    with pytest.raises(ReplayMismatch, match="at 'r0/s0/a1/t1': expected a request with digest") as raised:
        replay(guarded(other.policy, {"who": "Ada"}), steps)
    assert raised.value.address == "r0/s0/a1/t1"


def test_a_missing_step_is_a_mismatch() -> None:
    """The flow asks for what was not recorded."""
    guard, _, steps = recorded("old", "36")
    with pytest.raises(ReplayMismatch, match="found none at this address"):
        replay(guarded(guard.policy, {"who": "Ada"}), steps[:1])


def test_a_step_that_nobody_asks_for_is_a_mismatch() -> None:
    """Each step is used exactly once."""
    guard, _, steps = recorded("36")
    spare = replace(steps[0], address="r9/s0/a1/t1")
    with pytest.raises(ReplayMismatch, match="at 'r9/s0/a1/t1'"):
        replay(guarded(guard.policy, {"who": "Ada"}), [*steps, spare])


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
