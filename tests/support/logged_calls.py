"""Calls for tests of the log, and processes that make them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llmguard.core.canonical import Json, digest
from llmguard.core.messages import ModelFailure, ModelReply, Usage
from llmguard.core.outcome import Attempt, Outcome, Violation
from llmguard.core.record import CallStart, Step
from llmguard.log import MemoryLog, OutcomeLog

USAGE = Usage(input_tokens=100, output_tokens=20)


def opening(call_id: str, at: float = 1_700_000_000.0, **given: Any) -> CallStart:
    inputs = given.pop("inputs", {"ticket": f"the parcel of {call_id} is lost"})
    known: dict[str, Any] = {"guard": "triage", "fingerprint": "f1", "meta": {}} | given
    return CallStart(id=call_id, inputs=inputs, inputs_digest=digest(inputs), started_at=at, **known)


def replied(text: str = '{"category": "parcel"}', *, address: str = "r0/s0/a0/t0", model: str = "small-1") -> Step:
    raw = b'{"choices": [{"message": {"content": "..."}}]}'
    return Step(address, "d" * 32, ModelReply(text, model=model, usage=USAGE, raw=raw, latency_s=0.5))


def failed(kind: Any = "timeout", *, address: str = "r0/s0/a0/t0") -> Step:
    return Step(address, "d" * 32, ModelFailure(kind, "no answer", status=504, raw=b"<html>"), 0.25)


def outcome(call_id: str, status: Any = "accepted", value: Json = None, **given: Any) -> Outcome[Json]:
    value = {"category": "parcel"} if value is None else value
    known: dict[str, Any] = {"guard": "triage", "fingerprint": "f1", "source": "small-1"} | given
    if "attempts" not in known:
        known["attempts"] = (Attempt(address="r0/s0/a0/t0", rung="small-1", text="...", model="small-1", usage=USAGE),)
    return Outcome(status=status, value=value, json=value, usage=USAGE, id=call_id, **known)


def missed(kind: str = "timeout", rule: str | None = None, **given: Any) -> Attempt:
    violations = (Violation("/total", rule, "is wrong"),) if rule else ()
    return Attempt(address="r0/s0/a0/t0", rung="small-1", failure=kind, violations=violations, usage=USAGE, **given)


def log_call(log: OutcomeLog | MemoryLog, call_id: str, at: float = 1_700_000_000.0, **given: Any) -> None:
    """One whole call: opening, one answer, outcome half a second later."""
    took = given.pop("took", 0.5)
    begun = {name: given.pop(name) for name in ("guard", "fingerprint", "meta", "inputs") if name in given}
    log.begin(opening(call_id, at, **begun))
    log.step(call_id, given.pop("step", replied()))
    named = {name: begun[name] for name in ("guard", "fingerprint") if name in begun}
    log.finish(call_id, outcome(call_id, **named, **given), at + took)


@contextmanager
def child(work: Callable[[int], None]) -> Iterator[tuple[int, int]]:
    """A forked process that does `work(pipe)`, and the end of the pipe to read; it is killed if it still runs."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reading)
            work(writing)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    try:
        yield pid, reading
    finally:
        os.close(reading)
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def lines_of(reading: int) -> list[str]:
    """What a child said until it ended."""
    with os.fdopen(os.dup(reading), "rb") as pipe:
        return pipe.read().decode().splitlines()


def say(writing: int, line: str) -> None:
    os.write(writing, line.encode() + b"\n")


def until(holds: Callable[[], object], seconds: float = 5.0) -> None:
    """Waits for a fact of the world; it is there in milliseconds, or never."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.002)
