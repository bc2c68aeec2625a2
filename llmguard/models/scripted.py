"""A model whose replies are written down: for tests, examples and first steps. It is a model like any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count
from typing import TypeAlias

from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelAnswer, ModelFailure, ModelReply, ModelRequest, Usage
from llmguard.core.model import Deadline, Emit, ModelDefaults, RunsOn
from llmguard.prompts.tokens import count_messages, estimate

Scripted: TypeAlias = "str | ModelReply | ModelFailure | Callable[[ModelRequest], Scripted]"
"""A text, an answer, or a function of the request that gives one."""

PIECE = 4
"""Characters of a streamed piece: about a token."""


class ScriptedModel(ModelDefaults):
    """Answers in order, one reply per request; `requests` holds what it was asked.

    Args:
        replies: what it says. Texts get an estimated usage; answers are given as they are.
        name: the model's name.
        repeat: begin again after the last reply. Otherwise one request too many is a UsageError.

    A vote asks it for one sample after another, so that the replies are those of the samples in their order. Threads may
    share it; which of them gets which reply is theirs to fight out. `by_request` depends on no order.

    >>> model = ScriptedModel(["no JSON", '{"total": 7}'])
    >>> model.name, len(model.requests)
    ('scripted', 0)
    """

    runs_on: RunsOn = "inline"
    max_parallel = 1
    streams = True

    def __init__(self, replies: Iterable[Scripted], *, name: str = "scripted", repeat: bool = False) -> None:
        if isinstance(replies, str):
            raise UsageError(f"ScriptedModel takes a list of replies, found the text {replies[:60]!r}. Write [text].")
        self._replies = tuple(replies)
        for number, reply in enumerate(self._replies):
            _refuse_what_is_no_reply(reply, number)
        self._name, self._repeat = name, repeat
        self._turns = count()
        self.requests: list[ModelRequest] = []

    @classmethod
    def by_request(cls, function: Callable[[ModelRequest], Scripted], *, name: str = "scripted") -> ScriptedModel:
        """A model that answers each request by `function` of it, in whatever order they come."""
        return cls([function], name=name, repeat=True)

    @property
    def name(self) -> str:
        return self._name

    def call(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        turn = next(self._turns)
        self.requests.append(request)
        return scripted_answer(self._reply(turn), request)

    async def acall(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        return self.call(request, deadline)

    def stream(self, request: ModelRequest, deadline: Deadline, emit: Emit) -> ModelAnswer:
        """The same in pieces of a few characters, as a model's tokens come."""
        return in_pieces(self.call(request, deadline), emit)

    async def astream(self, request: ModelRequest, deadline: Deadline, emit: Emit) -> ModelAnswer:
        return self.stream(request, deadline, emit)

    def _reply(self, turn: int) -> Scripted:
        size = len(self._replies)
        if size and (self._repeat or turn < size):
            return self._replies[turn % size]
        raise UsageError(
            f"ScriptedModel {self._name!r} has {size} {'reply' if size == 1 else 'replies'} and was asked {turn + 1}"
            " times. Write one reply for each request, or repeat=True."
        )


def in_pieces(answer: ModelAnswer, emit: Emit) -> ModelAnswer:
    """Hands on a reply's text bit by bit, up to where no more is wanted."""
    if isinstance(answer, ModelReply):
        for end in range(PIECE, len(answer.text) + PIECE, PIECE):
            if not emit(answer.text[end - PIECE : end]):
                return replace(answer, text=answer.text[:end], finish_reason="stopped")
    return answer


def scripted_answer(reply: Scripted, request: ModelRequest) -> ModelAnswer:
    """The answer that was written down; a function is asked for it."""
    while callable(reply):
        reply = reply(request)
    if isinstance(reply, ModelFailure):
        return reply
    if isinstance(reply, ModelReply):
        return reply if reply.raw else replace(reply, raw=reply.text.encode("utf-8", "surrogatepass"))
    if not isinstance(reply, str):
        raise UsageError(_no_reply("the function of the request returned", reply))
    usage = Usage(input_tokens=count_messages(request.messages), output_tokens=estimate(reply), estimated=True)
    return ModelReply(reply, model=request.model, usage=usage, raw=reply.encode("utf-8", "surrogatepass"))


def _refuse_what_is_no_reply(reply: object, number: int) -> None:
    if not isinstance(reply, str | ModelReply | ModelFailure) and not callable(reply):
        raise UsageError(_no_reply(f"replies[{number}] of ScriptedModel is", reply))


def _no_reply(where: str, found: object) -> str:
    return (
        f"{where} {found!r:.80}, a {type(found).__name__}; expected a text, a ModelReply, a ModelFailure, or a function"
        " of the request that gives one. A JSON value is written as its text."
    )
