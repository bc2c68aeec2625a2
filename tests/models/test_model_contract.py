"""The adapters that ship keep the contract of a model, and so does what wraps one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from llmguard import Guard, UsageError
from llmguard.core.messages import ModelAnswer, ModelFailure, ModelReply, ModelRequest, Sampling
from llmguard.core.model import Deadline, Emit, Model, WrappedModel
from llmguard.models.function import FunctionModel
from llmguard.models.openai.model import OpenAIModel
from llmguard.models.scripted import ScriptedModel
from llmguard.testing import assert_model_contract
from tests.support.fault_server import FaultServer, Script, answer, chat, hang, response

TEXT = "It is seven, as ever."
BUSY = ModelFailure("overloaded", "busy")


class CountingModel(WrappedModel):
    """Counts the requests that reach a model."""

    def __init__(self, inner: Model) -> None:
        super().__init__(inner)
        self.count = 0

    def call(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        self.count += 1
        return super().call(request, deadline)

    async def acall(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        self.count += 1
        return await super().acall(request, deadline)

    def stream(self, request: ModelRequest, deadline: Deadline, emit: Emit) -> ModelAnswer:
        self.count += 1
        return super().stream(request, deadline, emit)

    async def astream(self, request: ModelRequest, deadline: Deadline, emit: Emit) -> ModelAnswer:
        self.count += 1
        return await super().astream(request, deadline, emit)


def as_events(*events: object) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)


def chat_events() -> bytes:
    pieces = [{"choices": [{"delta": {"content": TEXT[at : at + 7]}}]} for at in range(0, len(TEXT), 7)]
    return as_events(*pieces, {"choices": [{"delta": {}, "finish_reason": "stop"}]})


def response_events() -> bytes:
    kind = "response.output_text.delta"
    pieces = [{"type": kind, "delta": TEXT[at : at + 7]} for at in range(0, len(TEXT), 7)]
    return as_events(*pieces, {"type": "response.completed", "response": response(TEXT)})


def whole_or_streamed(whole: object, events: bytes) -> Script:
    """A server that streams where it is asked to."""

    def send(connection, request):
        is_streamed = request.body.get("stream", False)
        body, kind = (events, "text/event-stream") if is_streamed else (whole, "application/json")
        answer(200, body, content_type=kind)(connection, request)

    return send


@pytest.fixture(params=["chat", "responses"])
def api(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def answering(api: str) -> Iterator[FaultServer]:
    events = chat_events() if api == "chat" else response_events()
    with FaultServer([whole_or_streamed(chat(TEXT) if api == "chat" else response(TEXT), events)]) as server:
        yield server


@pytest.fixture
def failing() -> Iterator[FaultServer]:
    with FaultServer([answer(503, {"error": {"message": "busy"}})]) as server:
        yield server


@pytest.fixture
def hanging() -> Iterator[FaultServer]:
    with FaultServer([hang]) as server:
        yield server


def openai_model(server: FaultServer, api: str) -> OpenAIModel:
    return OpenAIModel("m", base_url=server.base_url, api_key="key", api=api, temperature=0.25)  # type: ignore[arg-type]


@pytest.mark.loopback
def test_the_openai_adapter_keeps_the_contract(
    api: str, answering: FaultServer, failing: FaultServer, hanging: FaultServer
) -> None:
    """Over HTTP, with both of OpenAI's APIs."""
    assert_model_contract(
        openai_model(answering, api),
        failing=openai_model(failing, api),
        hanging=openai_model(hanging, api),
        count_requests=lambda: len(answering.requests),
    )


@pytest.mark.loopback
def test_a_wrapped_model_keeps_the_contract(
    api: str, answering: FaultServer, failing: FaultServer, hanging: FaultServer
) -> None:
    """What counts its requests sees each one, whole or streamed."""
    counting = CountingModel(openai_model(answering, api))
    assert_model_contract(
        counting,
        failing=CountingModel(openai_model(failing, api)),
        hanging=CountingModel(openai_model(hanging, api)),
        count_requests=lambda: counting.count,
    )
    assert counting.count == len(answering.requests)


def test_a_scripted_model_keeps_the_contract() -> None:
    """A test double is a model like any other."""
    model = ScriptedModel([TEXT], repeat=True)
    busy = ScriptedModel([BUSY], repeat=True)
    assert_model_contract(model, failing=busy, count_requests=lambda: len(model.requests))


def slow(request: ModelRequest) -> str:
    time.sleep(5)
    return "late"


def test_a_function_model_keeps_the_contract() -> None:
    """With a limit on its time, and as a coroutine."""

    async def later(request: ModelRequest) -> str:
        return TEXT

    assert_model_contract(FunctionModel(lambda request: TEXT), failing=FunctionModel(lambda request: BUSY))
    assert_model_contract(
        FunctionModel(lambda request: TEXT, timeout_s=60.0), hanging=FunctionModel(slow, timeout_s=60.0)
    )
    assert_model_contract(FunctionModel(later))


def guard_over(model: Model, **options: object) -> Guard[object]:
    return Guard("g", prompt="x", schema={"type": "object"}, models=[model], log=None, **options)


@pytest.mark.loopback
def test_a_wrapper_loses_nothing_of_the_model(api: str, answering: FaultServer) -> None:
    """A guard over a wrapped model has the fingerprint of one over the model itself, and sends the same request."""
    model = openai_model(answering, api)
    counting = CountingModel(model)
    assert guard_over(counting).fingerprint == guard_over(model).fingerprint
    assert (counting.defaults, counting.settings, counting.max_parallel, counting.streams) == (
        Sampling(temperature=0.25),
        model.settings,
        model.max_parallel,
        True,
    )
    guard_over(model, reasks=0).run()
    guard_over(counting, reasks=0).run()
    plain, wrapped = answering.requests
    assert wrapped.body == plain.body
    assert (plain.body["temperature"], counting.count) == (0.25, 1)


def test_a_wrapper_may_lower_the_parallelism() -> None:
    """A class attribute overrides what the model inside says."""

    class OneAtATime(WrappedModel):
        max_parallel = 1

    assert OneAtATime(OpenAIModel("m", max_parallel=8)).max_parallel == 1


def test_a_model_that_lacks_members_is_refused_when_the_guard_is_built() -> None:
    """The message names them, and the two base classes that have them."""

    class FourMembers:
        name = "four"
        runs_on = "inline"

        def call(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
            return ModelReply("7")

        async def acall(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
            return ModelReply("7")

    with pytest.raises(UsageError) as raised:
        guard_over(FourMembers())  # type: ignore[arg-type]
    assert str(raised.value) == (
        "models= takes names and models, got FourMembers, which has no defaults, settings, max_parallel, streams, prepare,"
        " stream, astream. Derive an adapter from llmguard.models.ModelDefaults, and what wraps another model from"
        " llmguard.models.WrappedModel."
    )
