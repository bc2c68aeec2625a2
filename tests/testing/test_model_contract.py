"""`assert_model_contract` names each way in which a model can break the contract."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelFailure, ModelReply
from llmguard.core.model import ModelDefaults
from llmguard.testing import assert_model_contract

TEXT = "It is seven, as ever."


class PlainModel(ModelDefaults):
    """A model that keeps the contract, and of which each test breaks one part."""

    name = "plain"
    runs_on = "inline"

    def call(self, request, deadline):
        return ModelReply(TEXT)


class Numbered(PlainModel):
    def __init__(self) -> None:
        self.count = 0

    def call(self, request, deadline):
        self.count += 1
        return ModelReply(f"reply {self.count}")


class StreamsAnother(PlainModel):
    def stream(self, request, deadline, emit):
        emit("another text")
        return ModelReply(TEXT)


class DoesNotStop(PlainModel):
    streams = True


class Raises(PlainModel):
    def call(self, request, deadline):
        raise ConnectionError("gone")


class UnknownKind(PlainModel):
    def call(self, request, deadline):
        return ModelFailure("tired")  # type: ignore[arg-type]


class LateInCall(PlainModel):
    def call(self, request, deadline):
        time.sleep(1.6)
        return ModelFailure("timeout")

    def stream(self, request, deadline, emit):
        return ModelFailure("timeout")

    async def acall(self, request, deadline):
        return ModelFailure("timeout")


class Busy(PlainModel):
    def call(self, request, deadline):
        return ModelFailure("overloaded")


class LateInThread(LateInCall):
    runs_on = "thread"


class Blocks(PlainModel):
    def call(self, request, deadline):
        time.sleep(0.3)
        return ModelFailure("deadline")


def differing(name: str, value: object) -> PlainModel:
    model = PlainModel()
    setattr(model, name, value)
    return model


def unprepared() -> PlainModel:
    def prepare() -> None:
        raise UsageError("there is no key")

    return differing("prepare", prepare)


def breaches(model: Any, **options: Any) -> list[str]:
    """The lines of the assertion."""
    with pytest.raises(AssertionError) as raised:
        assert_model_contract(model, **options)
    return [line.strip() for line in str(raised.value).splitlines()[1:]]


def test_a_plain_model_keeps_the_contract() -> None:
    """The defaults of the base class are enough."""
    assert_model_contract(PlainModel())
    assert_model_contract(differing("runs_on", "thread"), failing=Busy(), hanging=LateInThread())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            object(),
            "no name, runs_on, defaults, settings, max_parallel, streams, prepare, call, acall, stream, astream",
        ),
        (differing("name", ""), "name: expected a text that is not empty, got ''"),
        (differing("runs_on", "here"), "runs_on: expected one of 'inline', 'thread', 'loop', got 'here'"),
        (differing("defaults", None), "defaults: expected a Sampling, got None"),
        (differing("max_parallel", 0), "max_parallel: expected a whole number of 1 or more, got 0"),
        (differing("streams", "yes"), "streams: expected True or False, got 'yes'"),
        (differing("settings", {"at": {1, 2}}), "settings: expected JSON, got {'at': {1, 2}}"),
        (unprepared(), "prepare: raised there is no key"),
    ],
)
def test_a_wrong_member_is_named(model: object, message: str) -> None:
    """With what was expected and what it is."""
    (line,) = breaches(model)
    assert line.startswith(message)


def test_settings_that_change_are_named() -> None:
    """They would give the same guard another fingerprint in each process."""
    reads = iter(range(9))

    class Changing(PlainModel):
        @property
        def settings(self):
            return {"read": next(reads)}

    assert breaches(Changing())[0].startswith("settings: two reads differ")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Numbered, "expected the same reply from each method, got call: 'reply 1', stream: 'reply 2'"),
        (StreamsAnother, f"stream: expected the text of the reply passed to emit, {TEXT!r}, got 'another text'"),
        (DoesNotStop, "stream: expected a ModelReply with the text"),
        (Raises, "call: expected a ModelReply, got the exception ConnectionError: gone"),
    ],
)
def test_a_wrong_reply_is_named(model: Callable[[], PlainModel], message: str) -> None:
    """With the method that gave it."""
    assert breaches(model())[0].startswith(message)


def test_a_second_request_is_named() -> None:
    """A retry in the adapter would not be counted, nor paid for."""
    counts = iter(range(0, 100, 2))
    assert breaches(PlainModel(), count_requests=lambda: next(counts))[0] == "call: expected exactly one request, got 2"


@pytest.mark.parametrize(
    ("failing", "message"),
    [
        (PlainModel, "call: expected a ModelFailure where the request fails, got ModelReply"),
        (Raises, "call: expected a ModelFailure where the request fails, got the exception ConnectionError: gone"),
        (UnknownKind, "call: unknown kind of ModelFailure 'tired'"),
    ],
)
def test_a_failure_that_is_none_is_named(failing: Callable[[], PlainModel], message: str) -> None:
    """An exception among them."""
    lines = breaches(PlainModel(), failing=failing())
    assert (len(lines), lines[0].startswith(message)) == (4, True)


@pytest.mark.parametrize(
    ("hanging", "message"),
    [
        (PlainModel, "call: expected a ModelFailure at the deadline, got ModelReply"),
        (LateInCall, "call: expected an answer within the deadline of 0.3 s, it took 1.6"),
    ],
)
def test_a_deadline_that_is_not_kept_is_named(hanging: Callable[[], PlainModel], message: str) -> None:
    """An answer that comes late, and one that is no failure."""
    assert breaches(PlainModel(), hanging=hanging())[0].startswith(message)


def test_a_coroutine_that_blocks_its_loop_is_named() -> None:
    """Other calls on the loop would wait for it."""
    lines = breaches(PlainModel(), hanging=Blocks())
    assert [line.partition(" for ")[0] for line in lines] == [
        "acall: blocked the event loop",
        "astream: blocked the event loop",
    ]
