"""A parameter that a server refuses is left out once, whatever the words; what was about something else is sent again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmguard.core.messages import ModelFailure, ModelReply, Sampling
from llmguard.models.openai.model import OpenAIModel
from llmguard.models.openai.server_capabilities import RequestFeatures, ServerCapabilities
from llmguard.models.transport.failures import parse_error_details
from tests.support.asking import ask_sync, form, request
from tests.support.fault_server import FaultServer, answer, chat, error

pytestmark = pytest.mark.loopback
SENT = Sampling(temperature=0.2, top_p=0.9, max_tokens=50, seed=3, stop=("END",))


def left_out(status: int, body: Any, sampling: Sampling = SENT) -> set[str]:
    """The parameters that the next request leaves out."""
    features = RequestFeatures("model-x", sampling, has_schema=True)
    simpler = ServerCapabilities("json_schema").simplify(
        status, parse_error_details(json.dumps(body).encode()), features
    )
    return set(simpler.unsupported) if simpler else set()


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("`temperature` is deprecated for this model.", "temperature"),
        ("temperature: this model takes 1 and nothing else", "temperature"),
        ("Only temperature=1 is allowed for this model", "temperature"),
        ("generation_config.temperature must be default", "temperature"),
        ("This model has no 'seed'", "seed"),
        ('Invalid JSON payload received. Unknown name "topP"', "top_p"),
        ("top_p cannot be given for reasoning models", "top_p"),
        ("stop sequences are unavailable here", "stop"),
        ("'stop' is not allowed", "stop"),
        ("Unsupported parameter: stop", "stop"),
        ("max_tokens is gone", "max_tokens"),
        ("maxOutputTokens: field required elsewhere", "max_tokens"),
    ],
)
def test_a_named_parameter_is_left_out(said: str, name: str) -> None:
    """Whatever the verb, and in a compatible server's own spelling."""
    assert left_out(400, {"error": {"message": said}}) == {name}


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "messages: at least one is needed"}},
        {"error": {"message": "the server had to stop reading"}},
        {"error": {"message": "unseeded; multi-temperature-mix is no model"}},
        {"error": {"message": "bad role; temperature is fine", "param": "messages"}},
        {"detail": [{"loc": ["body", "messages"], "msg": "x"}], "body": {"temperature": 0.2, "seed": 3}},
    ],
)
def test_what_is_about_something_else_leaves_nothing_out(body: Any) -> None:
    """A word that happens to be there, and a body that is echoed beside the parameter that is at fault."""
    assert left_out(400, body) == set()


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"error": {"message": "not for this model", "param": "seed"}}, "seed"),
        ({"error": {"message": "temperature is not for this model", "param": "None"}}, "temperature"),
        ({"detail": [{"loc": ["body", "top_p"], "msg": "Extra inputs are not permitted"}]}, "top_p"),
    ],
)
def test_the_place_that_a_server_names_decides(body: Any, name: str) -> None:
    """OpenAI's param, FastAPI's loc."""
    assert left_out(422, body) == {name}


def test_only_what_was_sent_is_left_out() -> None:
    """A parameter that was not sent cannot be the cause; nor can a value that no server takes be mended so."""
    said = {"error": {"message": "'temperature' is wrong"}}
    assert left_out(400, said, Sampling(seed=1)) == left_out(400, said, Sampling(temperature=-1.0)) == set()


def test_a_parameter_that_was_not_the_cause_is_sent_again() -> None:
    """It is remembered as refused once a request without it got through, and not before."""
    wrong = answer(400, error("'temperature' and role are odd"))
    with FaultServer([wrong, answer(400, error("the role is odd")), answer(200, chat())]) as server:
        model = OpenAIModel("m", base_url=server.base_url)
        asked = request(output=form(), temperature=0.2)
        found = [ask_sync(model, asked) for _ in range(3)]
        assert ["temperature" in each.body for each in server.requests] == [True, False, True]
    assert [isinstance(each, ModelFailure) and each.downgraded for each in found] == [True, False, False]


def test_a_parameter_that_was_the_cause_is_remembered() -> None:
    """Later calls take one request."""
    refusal = answer(400, error("temperature is frozen here"))
    with FaultServer([refusal, answer(200, chat()), answer(400, error("roles")), answer(200, chat())]) as server:
        model = OpenAIModel("m", base_url=server.base_url)
        asked = request(output=form(), temperature=0.2)
        found = [ask_sync(model, asked) for _ in range(4)]
        assert ["temperature" in each.body for each in server.requests] == [True, False, False, False]
    assert [isinstance(each, ModelReply) for each in found] == [False, True, False, True]
