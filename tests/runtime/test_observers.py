"""Observers: who is told of the start and end of calls and steps."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

import pytest

from llmguard import Guard, ModelFailure, UsageError, check, constant
from llmguard.core.canonical import Json
from llmguard.core.effects import Effect
from llmguard.core.outcome import Outcome
from llmguard.core.record import CallStart, Step
from llmguard.runtime.observers import Observer
from llmguard.testing import ScriptedModel


@dataclass
class Spans(Observer):
    """Collects spans as a tracer would: a call is the parent of its steps."""

    started: list[str] = field(default_factory=list)
    ended: list[tuple[str, str]] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    calls: list[tuple[str, str, float]] = field(default_factory=list)

    def on_call_start(self, start: CallStart) -> None:
        self.started.append(f"call {start.guard}")
        self.open.add(start.id)

    def on_step_start(self, call_id: str, effect: Effect) -> None:
        assert call_id in self.open
        self.started.append(effect.address)
        self.open.add(effect.address)

    def on_step_end(self, call_id: str, step: Step) -> None:
        assert call_id in self.open
        self.open.discard(step.address)
        self.ended.append((step.address, type(step.answer).__name__))

    def on_call_end(self, call_id: str, outcome: Outcome[Json], ended_at: float) -> None:
        assert outcome.id == call_id
        self.open.discard(call_id)
        self.calls.append((outcome.guard, outcome.status, ended_at))


@check(effect=True)
def is_known(value: Json, inputs: Json) -> str | None:
    return None if value else "unknown"


def guard_of(*observers: Observer) -> Guard[int]:
    model = ScriptedModel([ModelFailure("overloaded", retry_after_s=0.0), "none", "36"])
    return Guard(
        "age", prompt="How old?", schema=int, models=[model], checks=[is_known], observers=observers, log=None, audit=0
    )


STEPS = ["r0/s0/a1/t1", "r0/s0/a1/t2", "r0/s0/a2/t1", "r0/c:is_known"]
ANSWERS = ["ModelFailure", "ModelReply", "ModelReply", "Returned"]


@pytest.mark.parametrize("way", ["sync", "async", "stream"])
def test_an_observer_sees_the_start_and_end_of_the_call_and_of_each_step(way: str) -> None:
    """In the order in which they happen, and with none left open: retries, re-asks and effect checks are steps."""
    spans = Spans()
    guard = guard_of(spans)
    if way == "sync":
        guard.run()
    elif way == "async":
        asyncio.run(guard.arun())
    else:
        with guard.stream() as stream:
            list(stream)
    assert spans.started == ["call age", *STEPS]
    assert spans.ended == list(zip(STEPS, ANSWERS, strict=True))
    assert [call[:2] for call in spans.calls] == [("age", "recovered")]
    assert spans.open == set()


def test_the_log_has_the_outcome_before_an_observer_is_told() -> None:
    """Who exports an outcome may look it up."""

    class LooksUp(Observer):
        def on_call_end(self, call_id: str, outcome: Outcome[Json], ended_at: float) -> None:
            record = guard.log.get(call_id)
            logged.append(record is not None and record.outcome is not None)

    logged: list[bool] = []
    guard = guard_of(LooksUp())
    guard.run()
    assert logged == [True]


def test_an_observer_that_raises_costs_no_call(caplog: pytest.LogCaptureFixture) -> None:
    """Each time it is a warning that names the method; the others are told, and the record is whole."""

    class Broken(Observer):
        def on_call_start(self, start: CallStart) -> None:
            raise OSError("no exporter")

        def on_step_end(self, call_id: str, step: Step) -> None:
            raise OSError("no exporter")

    spans = Spans()
    guard = guard_of(Broken(), spans)
    with caplog.at_level(logging.WARNING, "llmguard"):
        outcome = guard.run()
    assert (outcome.value, [ended for ended, _ in spans.ended]) == (36, STEPS)
    assert {record.getMessage().split(": ")[1] for record in caplog.records} == {
        f"{Broken.__qualname__}.on_call_start",
        f"{Broken.__qualname__}.on_step_end",
    }


def test_observers_are_no_part_of_the_fingerprint() -> None:
    """Who looks on does not decide an outcome."""
    assert guard_of().fingerprint == guard_of(Spans()).fingerprint


def test_a_call_that_is_left_ends_for_its_observers_too() -> None:
    """As interrupted."""
    spans = Spans()
    with guard_of(spans).stream():
        pass
    assert [call[1] for call in spans.calls] == ["interrupted"]


def test_a_rung_without_steps_is_a_call_without_steps() -> None:
    """A constant asks the world nothing."""
    spans = Spans()
    Guard("c", prompt="p", schema=int, fallback=[constant(1)], observers=[spans], log=None).run()
    assert (spans.started, spans.ended) == (["call c"], [])


@pytest.mark.parametrize("wrong", [1, Spans, print])
def test_what_is_no_observer_is_refused_when_the_guard_is_built(wrong: object) -> None:
    """A class in the place of an object, too."""
    with pytest.raises(UsageError, match=r"observers= of guard 'age': expected objects derived from .*Observer, got"):
        guard_of(wrong)  # type: ignore[arg-type]
