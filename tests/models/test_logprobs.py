"""Log-probabilities from a server: asked for, left out where they are refused, and read as tokens of the reply's text."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest
import respx
from hypothesis import given
from hypothesis import strategies as st

from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelAnswer, ModelFailure, ModelReply, Tokens
from llmguard.models.local import LocalModelUnavailable, LocalServer, find_weights, local_model
from llmguard.models.openai import chat_completions, responses
from llmguard.models.openai.api_formats import API_FORMATS
from llmguard.models.openai.logprobs import slice_tokens, tokens_of_text
from llmguard.models.openai.model import OpenAIModel
from llmguard.models.openai.server_capabilities import RequestFeatures, ServerCapabilities
from llmguard.models.transport.failures import ErrorDetails
from llmguard.runtime.execution import TimeLeft
from llmguard.voting.confidence import field_confidence
from tests.support.asking import form, request
from tests.support.fault_server import call_of, chat, error, response

BASE = "https://llm.example/v1"
OPENAI = "https://api.openai.com/v1"
KEY = "sk-proj-4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c"
TEXT = '{"x": 1}'
TOKENS: Tokens = (('{"', -0.5), ("x", -0.25), ('": ', 0.0), ("1", -2.0), ("}", -0.125))


def entries(*tokens: tuple[str | bytes, float]) -> list[dict[str, Any]]:
    """Tokens as OpenAI spells them."""
    return [_entry(token.encode() if isinstance(token, str) else token, logprob) for token, logprob in tokens]


def _entry(token: bytes, logprob: float) -> dict[str, Any]:
    spelled = token.decode("utf-8", "backslashreplace")
    return {"token": spelled, "logprob": logprob, "bytes": list(token), "top_logprobs": []}


def said(content: str = TEXT, logprobs: Any = None, **more: Any) -> Any:
    """A chat completion with log-probabilities beside its message."""
    reply = chat(content, **more)
    reply["choices"][0]["logprobs"] = {"content": entries(*TOKENS) if logprobs is None else logprobs, "refusal": None}
    return reply


def on_blocked(*texts: str, logprobs: Any = None) -> Any:
    """A response whose parts have log-probabilities."""
    parts = [{"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs or []} for text in texts]
    return response({"type": "message", "role": "assistant", "status": "completed", "content": parts})


Ask = Callable[..., ModelAnswer]


def ask_sync(model: OpenAIModel, asked: Any, emit: Any, deadline_s: float = 30.0) -> ModelAnswer:
    ends = TimeLeft(time.monotonic() + deadline_s)
    return model.call(asked, ends) if emit is None else model.stream(asked, ends, emit)


def ask_async(model: OpenAIModel, asked: Any, emit: Any) -> ModelAnswer:
    ends = TimeLeft(time.monotonic() + 30)
    return asyncio.run(model.acall(asked, ends) if emit is None else model.astream(asked, ends, emit))


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Asks over clients that respx sees."""

    def asked(model: dict[str, Any] | None = None, asking: Any = None, emit: Any = None, base: str = BASE) -> Any:
        return request.param(a_model(base, **(model or {})), asking or request_of_a_form(), emit)

    return asked


def request_of_a_form(**options: Any) -> Any:
    return request(output=form(), **options)


def a_model(base: str = BASE, **options: Any) -> OpenAIModel:
    given = {"api_key": KEY, "base_url": base, "max_retries": 0}
    return OpenAIModel(
        "m",
        client=openai.OpenAI(**given, http_client=httpx.Client()),  # type: ignore[arg-type]
        async_client=lambda: openai.AsyncOpenAI(**given, http_client=httpx.AsyncClient()),  # type: ignore[arg-type]
        **{"logprobs": True, **options},
    )


@pytest.fixture
def server() -> Iterator[respx.MockRouter]:
    with respx.mock(base_url=BASE, assert_all_called=False) as router:
        yield router


def bodies(route: respx.Route) -> list[Any]:
    return [json.loads(call.request.content) for call in route.calls]


# --- asked for


def test_chat_completions_are_asked_in_openais_words(ask: Ask, server: respx.MockRouter) -> None:
    """`logprobs: true`; other servers are also told to add no more than one alternative a token."""
    route = server.post("/chat/completions").respond(json=said())
    with respx.mock(base_url=OPENAI) as own:
        own_route = own.post("/chat/completions").respond(json=said())
        assert ask(base=OPENAI).logprobs == ask().logprobs == TOKENS
        assert {"logprobs", "top_logprobs"} & bodies(own_route)[0].keys() == {"logprobs"}
    assert (bodies(route)[0]["logprobs"], bodies(route)[0]["top_logprobs"]) == (True, 1)


def test_responses_are_asked_to_include_them(ask: Ask, server: respx.MockRouter) -> None:
    """Beside what the user's own body includes."""
    route = server.post("/responses").respond(json=on_blocked(TEXT, logprobs=entries(*TOKENS)))
    extra = {"include": ["reasoning.encrypted_content"]}
    assert ask({"api": "responses"}).logprobs == ask({"api": "responses", "extra_body": extra}).logprobs == TOKENS
    spelling = "message.output_text.logprobs"
    assert [body["include"] for body in bodies(route)] == [[spelling], ["reasoning.encrypted_content", spelling]]


def test_nobody_is_asked_unless_the_model_says_so(ask: Ask, server: respx.MockRouter) -> None:
    """Neither in the body nor in the settings, so that fingerprints stay."""
    route = server.post("/chat/completions").respond(json=chat())
    assert ask({"logprobs": False}).logprobs == ()
    assert not {"logprobs", "top_logprobs"} & bodies(route)[0].keys()
    assert "logprobs" not in OpenAIModel("m").settings
    assert OpenAIModel("m", logprobs=True).settings["logprobs"] is True
    assert repr(OpenAIModel("m", logprobs=True)) == "OpenAIModel('m', logprobs=True)"


def test_the_users_own_body_has_the_last_word(ask: Ask, server: respx.MockRouter) -> None:
    """Who wants alternatives for other ends gets them."""
    route = server.post("/chat/completions").respond(json=said())
    assert ask({"extra_body": {"top_logprobs": 5}}).logprobs == TOKENS
    assert bodies(route)[0]["top_logprobs"] == 5


@pytest.mark.parametrize("given_", [5, "yes", None])
def test_another_value_than_true_or_false_is_a_mistake(given_: Any) -> None:
    """The number of alternatives is not asked for here."""
    with pytest.raises(UsageError, match="expected True or False"):
        OpenAIModel("m", logprobs=given_)


# --- refused

REFUSALS = {
    "a reasoning model": (
        400,
        error("logprobs are not supported with reasoning models.", code="unsupported_parameter", param="include"),
    ),
    "a model that is closed to it": (403, error("You are not allowed to request logprobs from this model.")),
    "Gemini": (400, error("Logprobs is not enabled for models/gemini-2.5-pro")),
    "vLLM on Gaudi": (400, {"error": {"message": "Gaudi doesn't support logprobs. Please remove 'logprobs'"}}),
    "Mistral": (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "logprobs"]}]}),
    "llama.cpp": (400, {"error": {"code": 400, "message": "logprobs is not supported with tools + stream"}}),
    "not implemented": (501, error("logprobs")),
}


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_server_that_refuses_is_asked_without(api: Any, refusal: str, server: respx.MockRouter) -> None:
    """A downgrade, once: the next request has none, keeps its output form, and its reply has no log-probabilities."""
    status, body = REFUSALS[refusal]
    plain = chat() if api == "chat" else response(TEXT)
    route = server.post(API_FORMATS[api].path)
    route.side_effect = [httpx.Response(status, json=body), httpx.Response(200, json=plain)]
    model, asked = a_model(api=api), request_of_a_form()
    first, second = ask_sync(model, asked, None), ask_sync(model, asked, None)
    assert isinstance(first, ModelFailure)
    assert (first.kind, first.downgraded, first.retryable) == ("bad_request", True, True)
    assert isinstance(second, ModelReply)
    assert (second.text, second.logprobs) == (TEXT, ())
    before, after = bodies(route)
    dropped = {"logprobs", "top_logprobs"} if api == "chat" else {"include"}
    assert {name: value for name, value in before.items() if name not in dropped} == after


def test_other_refusals_do_not_cost_the_log_probabilities() -> None:
    """What is complained of is left out, and a key without access stays a failure of access."""

    def simplified(status: int, text: str, **asked: Any) -> ServerCapabilities | None:
        sampling = request(temperature=0.0).sampling
        simpler = ServerCapabilities("json_schema").simplify(
            status,
            ErrorDetails(text),
            RequestFeatures("logprobs-7b", sampling, **{"has_schema": True, "has_logprobs": True, **asked}),
        )
        return simpler and replace(simpler, last_proven=None)

    assert simplified(400, "unsupported: temperature; sent: logprobs") == ServerCapabilities(
        "json_schema", unsupported=frozenset(["temperature"])
    )
    assert simplified(400, "response_format is not supported") == ServerCapabilities("tool")
    assert simplified(403, "logprobs: no access", has_logprobs=False) is None
    assert simplified(403, "response_format: no access") is None
    assert simplified(404, "The model logprobs-7b does not exist") is None
    assert simplified(429, "logprobs") is None


# --- read


def test_a_reply_without_them_has_none(ask: Ask, server: respx.MockRouter) -> None:
    """A server may say nothing, null, or an empty list."""
    route = server.post("/chat/completions")
    silent = [chat(), said(logprobs=[])]
    for given_ in (None, {}, {"content": None}, [], "none"):
        silent.append(chat())
        silent[-1]["choices"][0]["logprobs"] = given_
    for body in silent:
        route.respond(json=body)
        found = ask()
        assert (found.text, found.logprobs) == (TEXT, ())


def test_a_text_that_came_in_a_tool_call_has_none(ask: Ask, server: respx.MockRouter) -> None:
    """Those that are there are of the words beside the call, even where these look the same."""
    calling = call_of(TEXT)
    calling["choices"][0]["message"]["content"] = TEXT
    calling["choices"][0]["logprobs"] = {"content": entries(*TOKENS)}
    server.post("/chat/completions").respond(json=calling)
    call = {"type": "function_call", "name": "thing", "arguments": TEXT}
    output = [*on_blocked(TEXT, logprobs=entries(*TOKENS))["output"], call]
    server.post("/responses").respond(json=response(*output))
    for api in ("chat", "responses"):
        found = ask({"api": api, "output": "tool"})
        assert (found.text, found.logprobs) == (TEXT, ())


def test_a_wrapped_value_keeps_the_tokens_that_are_its(ask: Ask, server: respx.MockRouter) -> None:
    """What is cut from the text is cut from the tokens; one that is partly left keeps its probability."""
    tokens = (('{"val', -0.5), ('ue": [', -0.25), ("1", -1.0), (", 2", -2.0), ("]}", -4.0))
    server.post("/chat/completions").respond(json=said('{"value": [1, 2]}', entries(*tokens)))
    found = ask(asking=request(output=form({"type": "array"})))
    assert found.text == "[1, 2]"
    assert found.logprobs == (("[", -0.25), ("1", -1.0), (", 2", -2.0), ("]", -4.0))
    confidence = field_confidence(found.text, [1, 2], found.logprobs)
    assert confidence == {"/0": math.exp(-1.0), "/1": math.exp(-2.0)}


def test_several_parts_of_a_response_are_one_text(ask: Ask, server: respx.MockRouter) -> None:
    """Their tokens follow each other; what was said on the way is no part of them."""
    aside = on_blocked(TEXT, logprobs=entries((TEXT, -9.0)))["output"][0] | {"phase": "commentary"}
    answer = on_blocked('{"x"', ": 1}")["output"][0]
    answer["content"][0]["logprobs"] = entries(('{"x"', -1.0))
    answer["content"][1]["logprobs"] = entries((": ", -2.0), ("1}", -3.0))
    server.post("/responses").respond(json=response(aside, answer))
    found = ask({"api": "responses"})
    assert (found.text, found.logprobs) == (TEXT, (('{"x"', -1.0), (": ", -2.0), ("1}", -3.0)))


def test_a_secret_is_spelled_by_no_token(ask: Ask, server: respx.MockRouter) -> None:
    """Where a reply repeats a key, its pieces are neither tokens nor evidence: only whole it can be redacted."""
    for key in (KEY, KEY.replace("4f9a", "b2c3")):  # the one that the client sends, and another
        text = json.dumps({"x": key})
        server.post("/chat/completions").respond(json=said(text, entries(*((letter, -1.0) for letter in text))))
        found = ask()
        assert (found.logprobs, found.raw) == ((), found.text.encode())
        assert found.text == (text if key != KEY else '{"x": "[redacted:api_key]"}')
    server.post("/chat/completions").respond(content=events(*chunks(*text)), headers=STREAM)
    streamed = ask({"logprobs": False}, emit=lambda text: True)
    assert (streamed.text, streamed.raw) == (text, text.encode())


# --- streamed

STREAM = {"content-type": "text/event-stream"}


def events(*each: Any) -> bytes:
    lines = [b"data: " + (json.dumps(one).encode() if isinstance(one, dict) else one) for one in (*each, b"[DONE]")]
    return b"\n\n".join(lines) + b"\n\n"


def chunks(*texts: str, logprobs: list[Any] | None = None) -> list[Any]:
    """A chat completion in chunks, the tokens of each beside it."""
    found = [
        {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None, **_beside(logprobs, number)}]}
        for number, text in enumerate(texts)
    ]
    return [*found, {"model": "served", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]


def _beside(logprobs: list[Any] | None, number: int) -> dict[str, Any]:
    return {} if logprobs is None else {"logprobs": {"content": logprobs[number]}}


def test_a_streamed_chat_brings_them_in_pieces(ask: Ask, server: respx.MockRouter) -> None:
    """The same as if it had come whole, also where a chunk has none or several."""
    spelled = entries(*TOKENS)
    body = events(*chunks('{"', 'x": ', "", "1}", logprobs=[spelled[:1], spelled[1:3], None, spelled[3:]]))
    server.post("/chat/completions").respond(content=body, headers=STREAM)
    shown: list[str] = []
    found = ask(emit=lambda text: shown.append(text) or True)
    assert (found.text, found.logprobs, "".join(shown)) == (TEXT, TOKENS, TEXT)


@pytest.mark.parametrize("hostile", [[5], [{"a": 1}], ["x"], [[[]]]])
def test_a_hostile_chunk_leaves_the_text(hostile: Any, ask: Ask, server: respx.MockRouter) -> None:
    """Whatever stands where the tokens should."""
    body = events(*chunks(TEXT, logprobs=hostile))
    server.post("/chat/completions").respond(content=body, headers=STREAM)
    found = ask(emit=lambda text: True)
    assert (found.text, found.logprobs) == (TEXT, ())


def streamed_response(whole: Any, *deltas: tuple[Any, Any, str, Any]) -> bytes:
    on_blocked = [
        {
            "type": "response.output_text.delta",
            "output_index": item,
            "content_index": part,
            "delta": text,
            **_of(given_),
        }
        for item, part, text, given_ in deltas
    ]
    return events(*on_blocked, {"type": "response.completed", "response": whole})


def _of(logprobs: Any) -> dict[str, Any]:
    return {} if logprobs is None else {"logprobs": logprobs}


def test_a_streamed_response_brings_them_at_its_end_or_on_its_way(ask: Ask, server: respx.MockRouter) -> None:
    """OpenAI's last event has them all; vLLM's has none, and then those of the deltas count."""
    deltas = [(0, 0, token, entries((token, logprob))) for token, logprob in TOKENS]
    others = [(0, 0, TEXT, entries((TEXT, -9.0)))]
    doubled = on_blocked(TEXT, logprobs=entries(*TOKENS))
    for whole, given_ in ((doubled, []), (doubled, others), (on_blocked(TEXT), deltas)):
        server.post("/responses").respond(content=streamed_response(whole, *given_), headers=STREAM)
        found = ask({"api": "responses"}, emit=lambda text: True)
        assert (found.text, found.logprobs) == (TEXT, TOKENS)


@pytest.mark.parametrize("item", [1, -1, "0", None, [], True])
def test_deltas_of_another_place_are_not_taken_for_the_answers(item: Any, ask: Ask, server: respx.MockRouter) -> None:
    """An index that names no part of the answer, or is none."""
    body = streamed_response(
        on_blocked(TEXT), (item, 0, TEXT, entries((TEXT, -1.0))), (0, item, "", entries((TEXT, -1.0)))
    )
    server.post("/responses").respond(content=body, headers=STREAM)
    found = ask({"api": "responses"}, emit=lambda text: True)
    assert (found.text, found.logprobs) == (TEXT, ())


@pytest.mark.parametrize("whole", [None, [], {"output": 5}, {"output": [5]}, {"output": []}])
def test_an_end_without_output_leaves_what_was_streamed(whole: Any, ask: Ask, server: respx.MockRouter) -> None:
    """Where the last event holds no output, the deltas are the reply, with their tokens (principle 21)."""
    body = streamed_response(whole, (0, 0, TEXT, entries(*TOKENS)))
    server.post("/responses").respond(content=body, headers=STREAM)
    found = ask({"api": "responses"}, emit=lambda text: True)
    assert (found.text, found.logprobs) == (TEXT, TOKENS)


@pytest.mark.parametrize("whole", [{"output": [{"content": "x"}]}, {"status": "failed"}, {"error": {"code": 5}}])
def test_a_hostile_end_is_a_failure_and_no_exception(whole: Any, ask: Ask, server: respx.MockRouter) -> None:
    """Whatever the last event holds, tokens of deltas are put nowhere."""
    body = streamed_response(whole, (0, 0, TEXT, entries(*TOKENS)))
    server.post("/responses").respond(content=body, headers=STREAM)
    assert isinstance(ask({"api": "responses"}, emit=lambda text: True), ModelFailure)


# --- tokens of a text


@given(st.text(min_size=1), st.randoms(use_true_random=False))
def test_any_text_cut_anywhere_comes_back(text: str, random: Any) -> None:
    """Also between the bytes of a character: such tokens become one, and no probability is lost."""
    body, pieces = text.encode(), []
    while body:
        size = random.choice([1, 1, 2, 3, 7])
        pieces.append((body[:size], -random.random()))
        body = body[size:]
    found = tokens_of_text(entries(*pieces), text)
    assert "".join(token for token, _ in found) == text
    assert math.fsum(logprob for _, logprob in found) == pytest.approx(math.fsum(logprob for _, logprob in pieces))


def test_a_character_of_several_tokens_is_one() -> None:
    """With the product of their probabilities."""
    pieces = ((b'"\xf0\x9f', -0.5), (b"\x99", -0.25), (b"\x82", -0.125), (b'"', 0.0))
    assert tokens_of_text(entries(*pieces), '"🙂"') == (('"🙂', -0.875), ('"', 0.0))


def test_what_stands_around_the_text_is_left_out() -> None:
    """White space that the server stripped, thoughts, and the token that ends the reply."""
    around = entries((" <think>", -1.0), ("42?</think>\n", -1.0), ("pa", -0.5), ("id \n", -0.25), ("<|im_end|>", -3.0))
    assert tokens_of_text(around, "paid") == (("pa", -0.5), ("id", -0.25))
    assert tokens_of_text(around, "4") == (("4", -1.0),)


def test_bytes_that_are_no_text_belong_to_none() -> None:
    """They stand around it, or instead of it."""
    given_ = [{"token": "a", "logprob": -0.5, "bytes": [0xFF]}, {"token": "b", "logprob": -0.1}]
    assert (tokens_of_text(given_, "b"), tokens_of_text(given_, "ab")) == ((("b", -0.1),), ())


def test_a_text_that_stands_twice_has_no_place() -> None:
    """Among all tokens; nobody knows which of them it is."""
    assert tokens_of_text(entries(("<think>42</think>", -1.0), ("42", -0.1)), "42") == ()
    assert tokens_of_text(entries(("aaa", -1.0)), "aa") == ()


def test_tokens_without_bytes_are_taken_as_text() -> None:
    """Not every server gives bytes; nor are they given for every token."""
    given_ = [{"token": "é", "logprob": -1}, {"token": "🙂", "logprob": -0.5, "bytes": None}]
    assert tokens_of_text(given_, "é🙂") == (("é", -1.0), ("🙂", -0.5))


def test_a_float_that_ends_just_above_0_is_certainty() -> None:
    """Sums of floats do; more than that is no probability."""
    assert tokens_of_text([{"token": "a", "logprob": 1e-7}], "a") == (("a", 0.0),)
    assert tokens_of_text([{"token": "a", "logprob": -3.4028234663852886e38}], "a") == (("a", -3.4028234663852886e38),)


HOSTILE = [
    {"token": "a", "logprob": 0.5},
    {"token": "a", "logprob": math.nan},
    {"token": "a", "logprob": -math.inf},
    {"token": "a", "logprob": "-0.5"},
    {"token": "a", "logprob": True},
    {"token": "a", "logprob": False},
    {"token": "a", "logprob": -(10**400)},
    {"token": "a", "logprob": None},
    {"token": "a"},
    {"logprob": -0.5},
    {"token": 5, "logprob": -0.5},
    {"token": "a", "logprob": -0.5, "bytes": [256]},
    {"token": "a", "logprob": -0.5, "bytes": [-1]},
    {"token": "a", "logprob": -0.5, "bytes": ["a"]},
    {"token": "a", "logprob": -0.5, "bytes": [98]},
    "a",
    None,
    [],
]


@pytest.mark.parametrize("entry", HOSTILE, ids=range(len(HOSTILE)))
def test_one_bad_entry_spoils_all(entry: Any) -> None:
    """A figure that is none, a token that is none: the others are not trusted either, and nothing is raised."""
    good = {"token": "b", "logprob": -0.1}
    assert (
        tokens_of_text([entry, good], "ab")
        == tokens_of_text([good, entry], "ba")
        == tokens_of_text([entry, good], "b")
        == ()
    )


shapes = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["token", "logprob", "bytes", "content", "x"]), inner, max_size=4)
    ),
)


@given(shapes | st.lists(st.fixed_dictionaries({"token": shapes, "logprob": shapes, "bytes": shapes})), st.text())
def test_any_json_is_tokens_or_none(given_: Any, text: str) -> None:
    """Where there are tokens, they join to the text."""
    found = tokens_of_text(given_, text)
    assert not found or "".join(token for token, _ in found) == text


@given(shapes, shapes)
def test_any_json_in_a_reply_is_read(beside: Any, inside: Any) -> None:
    """In either API, wherever it stands: the text is the text."""
    spoiled = chat(TEXT)
    spoiled["choices"][0]["logprobs"] = beside
    part = {"type": "output_text", "text": TEXT, "logprobs": inside}
    output = [{"type": "message", "content": [part]}]
    capabilities, asked = ServerCapabilities("json_schema"), request()
    for found in (
        chat_completions.read_chat_completion(spoiled, asked, capabilities),
        responses.read_response(response(*output), asked, capabilities),
    ):
        assert isinstance(found, ModelReply)
        assert found.text == TEXT


def test_a_million_tokens_of_something_else_cost_a_moment() -> None:
    """They are looked at once, and none is kept."""
    many = [{"token": "a", "logprob": -0.5}] * 1_000_000
    began = time.perf_counter()
    assert tokens_of_text(many, TEXT) == ()
    assert time.perf_counter() - began < 10


@given(st.lists(st.tuples(st.text(max_size=4), st.just(-0.5))), st.integers(0, 20), st.integers(0, 20))
def test_a_cut_has_the_text_between_its_ends(tokens: Any, one: int, other: int) -> None:
    """Without empty tokens."""
    text = "".join(token for token, _ in tokens)
    start, end = sorted((one, other))
    found = slice_tokens(tuple(tokens), start, end)
    assert "".join(token for token, _ in found) == text[start:end]
    assert all(token for token, _ in found)


# --- a real model

try:
    find_weights()
except LocalModelUnavailable as unavailable:
    WHY_NOT: str | None = str(unavailable)
else:
    WHY_NOT = None


def ask_once(server: LocalServer, asked: Any, emit: Any) -> ModelAnswer:
    """Over a connection of its own: under load the server may end one that is kept."""
    with openai.OpenAI(base_url=server.base_url, api_key="none") as client:
        return ask_sync(OpenAIModel(server.model, client=client, logprobs=True, timeout_s=300), asked, emit, 300.0)


@pytest.mark.real_model
@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
def test_the_local_model_tells_how_sure_it_was() -> None:
    """Whole and streamed, as JSON and as a word: its tokens join to the text, and each field has its confidence."""
    schema = {
        "type": "object",
        "properties": {"sentiment": {"enum": ["positive", "negative"]}, "stars": {"type": "integer", "maximum": 5}},
        "required": ["sentiment", "stars"],
        "additionalProperties": False,
    }
    asked = request(
        "Review: I love this lamp 🙂\nSentiment?", form(schema, "review"), seed=1, max_tokens=80, temperature=0.0
    )
    plain = request("Say é🙂 and nothing else.", max_tokens=12, seed=1, temperature=0.0)
    with local_model() as server:
        replies = [ask_once(server, each, emit) for each in (asked, plain) for emit in (None, lambda text: True)]
    for reply in replies:
        assert isinstance(reply, ModelReply)
        assert "".join(token for token, _ in reply.logprobs) == reply.text
        assert all(logprob <= 0.0 for _, logprob in reply.logprobs)
    first, again = replies[0], replies[1]
    assert isinstance(first, ModelReply)
    assert isinstance(again, ModelReply)
    value = json.loads(first.text)
    confidence = field_confidence(first.text, value, first.logprobs)
    assert confidence.keys() == {"/sentiment", "/stars"}
    assert all(0.0 < one <= 1.0 for one in confidence.values())
    assert field_confidence(again.text, json.loads(again.text), again.logprobs) == pytest.approx(confidence, rel=1e-2)
