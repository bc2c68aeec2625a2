"""One effect in the current thread: what both drivers share."""

from __future__ import annotations

import time
from typing import cast

from llmguard.core.canonical import json_roundtrip
from llmguard.core.effects import Answer, Call, Effect, Returned
from llmguard.core.messages import ModelAnswer
from llmguard.runtime.execution import CallExecution, StreamingReply, TimeLeft, answer_for_error, with_latency
from llmguard.runtime.threads import Job


def perform(
    effect: Effect,
    left: TimeLeft,
    pause: float,
    caught: type[BaseException] = Exception,
    growing: StreamingReply | None = None,
) -> Answer | None:
    """Perform an effect in this thread, after a pause. None: the caller no longer waits for it."""
    if not left.pause(pause):
        return None
    began = time.monotonic()
    try:
        if isinstance(effect, Call):
            answer: Answer = _call_model(effect, left, growing)
        else:
            answer = Returned(json_roundtrip(effect.function(*effect.arguments)))
    except caught as error:
        answer = answer_for_error(effect, error)
    return with_latency(answer, began)


def _call_model(effect: Call, left: TimeLeft, growing: StreamingReply | None) -> ModelAnswer:
    if growing is None:
        return effect.model.call(effect.request, left)
    return effect.model.stream(effect.request, left, growing.emit)


def perform_inline(effect: Effect, execution: CallExecution) -> Answer:
    """In the caller's own thread, where its thread-locals and connections work. Nothing bounds it."""
    return cast(Answer, perform(effect, TimeLeft(execution.deadline_at), execution.pause_before(effect)))


def cancel(job: Job, left: TimeLeft) -> None:
    job.leave()
    left.stop()
