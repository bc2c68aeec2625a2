"""The recorded replies of the demo's model, for machines on which it cannot run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from llmguard.core.canonical import Json
from llmguard.core.messages import ModelFailure, ModelReply, ModelRequest, Usage
from llmguard.core.record import Step
from llmguard.models.scripted import ScriptedModel


def playback(name: str, replies: Mapping[str, Sequence[Json]]) -> ScriptedModel:
    """A model that repeats recorded replies, by document: the first reply to the first request, and so on.

    `replies`: of each document's text. Further requests for a document get its last reply again; those for an unknown
    document get the failure `not_found`.
    """
    turns: Counter[str] = Counter()

    def repeat_reply(request: ModelRequest) -> ModelReply | ModelFailure:
        prompt = " ".join(message.content for message in request.messages if isinstance(message.content, str))
        document = next((text for text in replies if text in prompt), "")
        recorded = replies.get(document)
        if not recorded:
            return ModelFailure("not_found", "no reply to this request was recorded", sent=False)
        turns[document] += 1
        return _reply(name, recorded[min(turns[document], len(recorded)) - 1])

    return ScriptedModel.by_request(repeat_reply, name=name)


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
    """The replies among a record's steps, in the form of `playback`."""
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
