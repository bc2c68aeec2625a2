"""A model with scripted replies, for tests, examples and first steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count
from typing import TypeAlias

from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelAnswer, ModelFailure, ModelReply, ModelRequest, Usage
from llmguard.core.model import Deadline, Emit, ModelDefaults, RunsOn
from llmguard.prompts.tokens import count_messages, estimate

ScriptedReply: TypeAlias = "str | ModelReply | ModelFailure | Callable[[ModelRequest], ScriptedReply]"
"""A text, an answer, or a function of the request that returns one."""

PIECE_SIZE = 4
"""Characters of a streamed piece: about a token."""


class ScriptedModel(ModelDefaults):
    """Gives its replies in order, one per request; `requests` holds the requests.

    Args:
        replies: the replies. Texts get an estimated usage; a ModelReply or ModelFailure is returned as it is.
        name: the model's name.
        repeat: begin again after the last reply. Otherwise a request after the last reply is a UsageError.

    A vote requests one sample after another, so the replies are the samples in their order. Threads may share it, but
    which thread gets which reply is not defined; `by_request` does not depend on the order.

    >>> model = ScriptedModel(["no JSON", '{"total": 7}'])
    >>> model.name, len(model.requests)
    ('scripted', 0)
    """

    runs_on: RunsOn = "inline"
    max_parallel = 1
    streams = True

    def __init__(self, replies: Iterable[ScriptedReply], *, name: str = "scripted", repeat: bool = False) -> None:
        if isinstance(replies, str):
            raise UsageError(f"ScriptedModel takes a list of replies, found the text {replies[:60]!r}. Write [text].")
        self._replies = tuple(replies)
        for number, reply in enumerate(self._replies):
            _refuse_invalid_reply(reply, number)
        self._name, self._repeat = name, repeat
        self._turns = count()
        self.requests: list[ModelRequest] = []

    @classmethod
    def by_request(cls, function: Callable[[ModelRequest], ScriptedReply], *, name: str = "scripted") -> ScriptedModel:
        """A model whose reply to each request is `function(request)`, whatever the order of the requests."""
        return cls([function], name=name, repeat=True)

    @property
    def name(self) -> str:
        return self._name

    def call(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        turn = next(self._turns)
        self.requests.append(request)
        return build_answer(self._reply(turn), request)

    async def acall(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        return self.call(request, deadline)

    def stream(self, request: ModelRequest, deadline: Deadline, emit: Emit) -> ModelAnswer:
        """`call` in pieces of a few characters, like tokens."""
        return emit_in_pieces(self.call(request, deadline), emit)

    async def astream(self, request: ModelRequest, deadline: Deadline, emit: Emit) -> ModelAnswer:
        return self.stream(request, deadline, emit)

    def _reply(self, turn: int) -> ScriptedReply:
        size = len(self._replies)
        if size and (self._repeat or turn < size):
            return self._replies[turn % size]
        raise UsageError(
            f"ScriptedModel {self._name!r} has {size} {'reply' if size == 1 else 'replies'} and was asked {turn + 1}"
            " times. Write one reply for each request, or repeat=True."
        )


def emit_in_pieces(answer: ModelAnswer, emit: Emit) -> ModelAnswer:
    """Pass a reply's text to `emit` in pieces, until it returns False."""
    if isinstance(answer, ModelReply):
        for end in range(PIECE_SIZE, len(answer.text) + PIECE_SIZE, PIECE_SIZE):
            if not emit(answer.text[end - PIECE_SIZE : end]):
                return replace(answer, text=answer.text[:end], finish_reason="stopped")
    return answer


def build_answer(reply: ScriptedReply, request: ModelRequest) -> ModelAnswer:
    """The answer for a scripted reply; a function is called with the request."""
    while callable(reply):
        reply = reply(request)
    if isinstance(reply, ModelFailure):
        return reply
    if isinstance(reply, ModelReply):
        return reply if reply.raw else replace(reply, raw=reply.text.encode("utf-8", "surrogatepass"))
    if not isinstance(reply, str):
        raise UsageError(_invalid_reply_message("the function of the request returned", reply))
    usage = Usage(input_tokens=count_messages(request.messages), output_tokens=estimate(reply), estimated=True)
    return ModelReply(reply, model=request.model, usage=usage, raw=reply.encode("utf-8", "surrogatepass"))


def _refuse_invalid_reply(reply: object, number: int) -> None:
    if not isinstance(reply, str | ModelReply | ModelFailure) and not callable(reply):
        raise UsageError(_invalid_reply_message(f"replies[{number}] of ScriptedModel is", reply))


def _invalid_reply_message(where: str, value: object) -> str:
    return (
        f"{where} {value!r:.80}, a {type(value).__name__}; expected a text, a ModelReply, a ModelFailure, or a function"
        " of the request that gives one. A JSON value is written as its text."
    )
