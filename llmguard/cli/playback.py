"""Recorded replies of the demo's model in its place, where it cannot run: what it really said, in the same order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from llmguard.core.canonical import Json
from llmguard.core.messages import ModelFailure, ModelReply, ModelRequest, Usage
from llmguard.core.record import Step
from llmguard.models.scripted import ScriptedModel


def playback(name: str, replies: Mapping[str, Sequence[Json]]) -> ScriptedModel:
    """A model that says again what was recorded: to a document's first request its first reply, and so on.

    `replies` holds them by the document's text. A document that asks once more than was recorded gets its last reply
    again; one without any gets the failure `not_found`.
    """
    turns: Counter[str] = Counter()

    def again(request: ModelRequest) -> ModelReply | ModelFailure:
        said = " ".join(message.content for message in request.messages if isinstance(message.content, str))
        document = next((text for text in replies if text in said), "")
        recorded = replies.get(document)
        if not recorded:
            return ModelFailure("not_found", "no reply to this request was recorded", sent=False)
        turns[document] += 1
        return _reply(name, recorded[min(turns[document], len(recorded)) - 1])

    return ScriptedModel.by_request(again, name=name)


def _reply(name: str, recorded: Json) -> ModelReply:
    text = recorded["text"]
    usage = Usage(input_tokens=recorded["input_tokens"], output_tokens=recorded["output_tokens"])
    return ModelReply(
        text,
        finish_reason=recorded["finish_reason"],
        model=name,
        usage=usage,
        cost_usd=0.0,
    )


def recorded_replies(steps: Iterable[Step]) -> list[Json]:
    """The replies that a record's steps hold, as `playback` takes them."""
    answers = [step.answer for step in steps]
    return [
        {
            "text": answer.text,
            "finish_reason": answer.finish_reason,
            "input_tokens": answer.usage.input_tokens,
            "output_tokens": answer.usage.output_tokens,
        }
        for answer in answers
        if isinstance(answer, ModelReply)
    ]
