"""What OpenAIModel sends and how it reads a reply, without sending: both APIs, every technique, any schema."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.core.messages import Message, ModelFailure, ModelReply, ModelRequest, Sampling
from llmguard.models.openai import chat_completions, responses
from llmguard.models.openai.server import is_openai
from llmguard.models.openai.server_capabilities import ServerCapabilities, initial_capabilities
from llmguard.models.openai.strict_schema import build_server_schema, find_value_span
from llmguard.models.transport.exchange import HTTPExchange, parse_json_body
from llmguard.models.transport.failures import (
    exception_text,
    failure_from_status,
    parse_error_details,
    redacted_line,
)
from tests.support.asking import SCHEMA, form, request
from tests.support.fault_server import call_of, chat, response

FORM = build_server_schema(form())
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
FUNCTION = {"type": "function", "function": {"name": "thing", "parameters": SCHEMA, "strict": True}}


# --- what is sent

CHAT = {
    "json_schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "thing", "schema": SCHEMA, "strict": True},
        }
    },
    "tool": {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "thing"}}},
    "json_object": {"response_format": {"type": "json_object"}},
    "prompted": {},
}
RESPONSES = {
    "json_schema": {"text": {"format": {"type": "json_schema", "name": "thing", "schema": SCHEMA, "strict": True}}},
    "tool": {
        "tools": [{"type": "function", "name": "thing", "parameters": SCHEMA, "strict": True}],
        "tool_choice": {"type": "function", "name": "thing"},
    },
    "json_object": {"text": {"format": {"type": "json_object"}}},
    "prompted": {},
}


@pytest.mark.parametrize("technique", CHAT)
def test_each_technique_says_what_it_is(technique: Any) -> None:
    """The constraint in the spelling of each API; words are added only where nothing else carries the schema."""
    words = "\n\nAnswer with JSON." if technique in ("json_object", "prompted") else ""
    messages = [
        {"role": "system", "content": "You count."},
        {"role": "user", "content": f"How many?{words}"},
    ]
    asked = request(output=form())
    assert chat_completions.build_chat_body(asked, FORM, ServerCapabilities(technique)) == {
        "model": "m",
        "messages": messages,
        **CHAT[technique],
    }
    assert responses.build_responses_body(asked, FORM, ServerCapabilities(technique)) == {
        "model": "m",
        "input": messages,
        **RESPONSES[technique],
    }


def test_without_a_form_nothing_constrains_the_reply() -> None:
    """A request for plain text carries messages and sampling only."""
    asked = request(temperature=0.0, top_p=0.5, max_tokens=5, seed=1, stop=("END",))
    body = chat_completions.build_chat_body(asked, None, initial_capabilities("auto", is_openai=True))
    assert body == {
        "model": "m",
        "messages": body["messages"],
        "temperature": 0.0,
        "top_p": 0.5,
        "max_completion_tokens": 5,
        "seed": 1,
        "stop": ("END",),
    }
    body = responses.build_responses_body(asked, None, ServerCapabilities("json_schema"))
    assert {name: body[name] for name in body if name not in ("model", "input")} == {
        "temperature": 0.0,
        "top_p": 0.5,
        "max_output_tokens": 5,
    }


def test_openai_and_azure_are_known_by_their_host() -> None:
    """Only there a reply's most tokens are called max_completion_tokens from the start."""
    hosts = {
        "https://api.openai.com/v1": True,
        "https://eu.api.openai.com/v1": True,
        "https://blue.openai.azure.com/openai/v1": True,
        "https://openai.com.evil.example/v1": False,
        "https://notopenai.com/v1": False,
        "http://127.0.0.1:8080/v1": False,
        "": False,
    }
    assert {url: is_openai(url) for url in hosts} == hosts


def test_words_are_put_where_the_model_looks() -> None:
    """They follow the last message that is not the assistant's, as text or as a part, and need one of their own if none is."""

    def said(*messages: Message) -> Any:
        asked = ModelRequest(model="m", messages=messages, output=form())
        return [
            (each["role"], each["content"])
            for each in chat_completions.build_chat_body(asked, FORM, ServerCapabilities("prompted"))["messages"]
        ]

    text = {"type": "text", "text": "Read this."}
    words = {"type": "text", "text": "Answer with JSON."}
    assert said(Message("user", (text,))) == [("user", [text, words])]
    assert said(Message("user", "a"), Message("assistant", "b")) == [
        ("user", "a\n\nAnswer with JSON."),
        ("assistant", "b"),
    ]
    assert said(Message("assistant", "b")) == [("assistant", "b"), ("user", "Answer with JSON.")]


def test_images_and_files_take_the_spelling_of_the_responses_api() -> None:
    """Text, images (with or without detail) and files are converted; a part that is known there stays as it is."""
    parts = (
        {"type": "text", "text": "Read"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
        {"type": "image_url", "image_url": "https://pictures.example/1.png"},
        {"type": "file", "file": {"file_id": "f-1"}},
        {"type": "input_audio", "input_audio": {"data": "AA=="}},
    )
    asked = ModelRequest(model="m", messages=(Message("user", parts), Message("assistant", parts[:1])))
    first, second = responses.build_responses_body(asked, None, ServerCapabilities("json_schema"))["input"]
    assert first["content"] == [
        {"type": "input_text", "text": "Read"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
        {"type": "input_image", "image_url": "https://pictures.example/1.png"},
        {"type": "input_file", "file_id": "f-1"},
        {"type": "input_audio", "input_audio": {"data": "AA=="}},
    ]
    assert second["content"] == [{"type": "output_text", "text": "Read"}]
    assert chat_completions.build_chat_body(asked, None, ServerCapabilities("json_schema"))["messages"][0][
        "content"
    ] == list(parts)


# --- the native form of a schema


def nested(levels: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"x": schema}, "required": ["x"], "additionalProperties": False}
    return schema


def of_x(schema: Any) -> Any:
    return {"type": "object", "properties": {"x": schema}, "required": ["x"], "additionalProperties": False}


STRICT = {
    "closed, all required": SCHEMA,
    "annotated": {**SCHEMA, "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "T"},
    "no properties": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    "nullable": of_x({"type": ["string", "null"]}),
    "a reference": {**of_x({"$ref": "#/$defs/A"}), "$defs": {"A": {"type": "string", "enum": ["a"]}}},
    "alternatives": of_x({"anyOf": [{"type": "string"}, {"type": "null"}]}),
    "array": of_x({"type": "array", "items": {"type": "number"}, "minItems": 1}),
    "known format": of_x({"type": "string", "format": "date"}),
    "ten levels": nested(10),
    "an integer, wrapped": {"type": "integer"},
    # Sent in a tightened form since principle 27 of the reading.
    "optional": {**SCHEMA, "required": []},
    "unknown keyword": of_x({"type": "string", "minLength": 1}),
    "default": of_x({"type": "string", "default": "a"}),
    "no type": of_x({"enum": ["a", "b"]}),
    "reference with words": {**of_x({"$ref": "#/$defs/A", "description": "d"}), "$defs": {"A": {"type": "string"}}},
    "oneOf": of_x({"oneOf": [{"type": "string"}]}),
    "unknown format": of_x({"type": "string", "format": "iri"}),
}
LOOSE = {
    "open": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
    "free keys": {"type": "object", "additionalProperties": {"type": "integer"}},
    "true": of_x(True),
    "open definition": {**of_x({"$ref": "#/$defs/A"}), "$defs": {"A": {"type": "object"}}},
    "eleven levels": nested(11),
    "nullable open object": of_x({"type": ["object", "null"], "properties": {}}),
    "open objects in an array": of_x({"type": "array", "items": {"type": "object"}}),
}


@pytest.mark.parametrize("case", STRICT)
def test_what_strict_decoding_takes_is_marked_strict(case: str) -> None:
    """These go to the server with strict: true."""
    assert build_server_schema(form(STRICT[case])).is_strict


@pytest.mark.parametrize("case", LOOSE)
def test_what_strict_decoding_refuses_is_a_hint(case: str) -> None:
    """These go without, for a strict server would refuse the request."""
    made = build_server_schema(form(LOOSE[case]))
    assert not made.is_strict
    assert (
        "strict"
        not in chat_completions.build_chat_body(request(output=form()), made, ServerCapabilities("json_schema"))[
            "response_format"
        ]["json_schema"]
    )
    assert (
        responses.build_responses_body(request(output=form()), made, ServerCapabilities("tool"))["tools"][0]["strict"]
        is False
    )
    assert (
        responses.build_responses_body(request(output=form()), made, ServerCapabilities("json_schema"))["text"][
            "format"
        ]["strict"]
        is False
    )


def test_a_schema_without_an_object_at_the_top_is_wrapped() -> None:
    """References still find their target: definitions stay at the top, and others move along."""
    tree = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "array",
        "items": {"anyOf": [{"$ref": "#"}, {"$ref": "#/$defs/leaf"}, {"$ref": "#/items/anyOf/1"}]},
        "$defs": {"leaf": {"type": "string"}, "tree": {"$ref": "#"}},
    }
    made = build_server_schema(form(tree))
    assert made.is_wrapped
    assert made.json_schema == {
        "type": "object",
        "properties": {
            "value": {
                "type": "array",
                "items": {
                    "anyOf": [
                        {"$ref": "#/properties/value"},
                        {"$ref": "#/$defs/leaf"},
                        {"$ref": "#/properties/value/items/anyOf/1"},
                    ]
                },
            }
        },
        "required": ["value"],
        "additionalProperties": False,
        "$defs": {"leaf": {"type": "string"}, "tree": {"$ref": "#/properties/value"}},
    }
    assert "only member" in made.instruction_for("json_object")
    assert made.instruction_for("prompted") == "Answer with JSON."


def test_any_schema_at_all_has_a_native_form() -> None:
    """True, {} and a reference at the top are wrapped; a name that OpenAI refuses is spelled so that it does not."""
    for schema in (True, {}, {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}}}):
        assert build_server_schema(form(schema)).is_wrapped
    assert build_server_schema(form(name="invoice.v2 (draft)")).name == "invoice_v2__draft_"
    assert build_server_schema(form(name="x" * 99)).name == "x" * 64


def unwrapped(text: str) -> str:
    start, end = find_value_span(text)
    return text[start:end]


json_texts = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
).map(json.dumps)
spaces = st.text(alphabet=" \n\t\r", max_size=3)


@given(json_texts, spaces, spaces, spaces)
def test_a_wrapped_value_is_cut_out_character_for_character(text: str, one: str, two: str, three: str) -> None:
    """Whatever spaces stand around it, what the parser sees is what the model wrote."""
    assert unwrapped(f'{one}{{{two}"value":{three}{text}{two}}}{one}') == text


@pytest.mark.parametrize(
    "text",
    [
        '{"value": 1, "note": 2}',
        '{"value": 1',
        '{"value": }',
        '{"values": 1}',
        "[1]",
        "",
        '{"value": 1}}',
        "x",
        '{"value": ' + "[" * 100_000,
        '{"value": 1} 2',
        '{"value": 01}',
    ],
    ids=range(11),
)
def test_what_is_not_wrapped_stays(text: str) -> None:
    """Anything but an object with the one member "value" is handed on unchanged, for the parser to judge."""
    assert unwrapped(text) == text


def test_duplicate_keys_stay_visible_in_a_wrapped_value() -> None:
    """Cutting hides nothing: a value with a key twice still has it twice."""
    assert unwrapped('{"value": {"a": 1, "a": 2}}') == '{"a": 1, "a": 2}'


# --- how a reply is read

ASKED = request(output=form())


def read_chat(reply: Any, technique: Any = "json_schema") -> Any:
    return chat_completions.read_chat_completion(reply, ASKED, ServerCapabilities(technique))


def read_response(reply: Any, technique: Any = "json_schema") -> Any:
    return responses.read_response(reply, ASKED, ServerCapabilities(technique))


def test_text_is_found_where_servers_put_it() -> None:
    """In the content, in its text parts without the thinking, or in a call's arguments, as text or as an object."""
    thinking = [
        {"type": "thinking", "thinking": []},
        {"type": "text", "text": '{"x"'},
        {"type": "text", "text": ": 1}"},
    ]
    legacy = chat(None, function_call={"name": "thing", "arguments": '{"x": 1}'})
    for reply in (chat(), chat(thinking), call_of('{"x": 1}'), legacy):
        assert read_chat(reply).text == '{"x": 1}'
    assert read_chat(call_of({"x": 1})).text == '{"x":1}'
    assert read_chat({**chat(), "model": None}).model == "m"


def test_a_tool_call_comes_before_the_chat_around_it() -> None:
    """Asked by a tool, the arguments count; asked otherwise, the content."""
    call = {"type": "function", "function": {"name": "thing", "arguments": '{"x": 2}'}}
    reply = chat("Sure, I call it.", tool_calls=[call])
    assert read_chat(reply, "tool").text == '{"x": 2}'
    assert read_chat(reply).text == "Sure, I call it."
    assert read_chat(chat("no call"), "tool").text == "no call"


def test_several_calls_are_several_candidates() -> None:
    """Which of two calls is meant is not decided here: the parser sees both."""
    calls = [{"function": {"arguments": text}} for text in ('{"x": 1}', '{"x": 2}')]
    assert read_chat(chat(None, tool_calls=calls), "tool").text == '{"x": 1}\n{"x": 2}'


def test_calls_of_a_wrong_shape_are_no_crash() -> None:
    """Calls that are no calls leave the reply empty, arguments that are no text make it malformed."""
    for calls in (5, [5], [{}], [{"function": 5}], [{"function": {}}], []):
        assert read_chat(chat(None, tool_calls=calls)).kind == "empty"
    for arguments in (5, [1], float("nan"), {"x": float("nan")}):
        assert read_chat(call_of(arguments)).kind == "malformed"


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("stop", "stop"),
        ("tool_calls", "stop"),
        ("", "stop"),
        (None, "stop"),
        ("null", "stop"),
        ("end_turn", "stop"),
        ("eos", "stop"),
        ("stop_sequence", "stop"),
        ("FinishReason.STOP", "stop"),
        ("FinishReason.MAX_TOKENS", "length"),
        ("maxTokens", "length"),
        (
            5,
            "unknown",
        ),  # known ends are the only ones: after any other a closed object is read, and flagged (principle 23)
        ("abort", "unknown"),
        ("length", "length"),
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
        ("content_filter", "content_filter"),
        ("SAFETY", "content_filter"),
    ],
)
def test_finish_reasons_are_read_in_every_dialect(said: Any, read: str) -> None:
    """What OpenAI, Mistral and Google call the end of a reply."""
    assert read_chat(chat(finish_reason=said)).finish_reason == read


def test_a_refusal_beside_text_is_text() -> None:
    """Only a refusal that stands alone is one."""
    assert isinstance(read_chat(chat('{"x": 1}', refusal="")), ModelReply)
    assert read_chat(chat('{"x": 1}', refusal="well")).text == '{"x": 1}'
    assert read_chat(chat(None, refusal=5)).kind == "empty"


def test_the_final_message_of_a_response_is_the_answer() -> None:
    """Reasoning, searches and commentary are not; several parts are one text."""
    commentary = {"type": "message", "phase": "commentary", "content": [{"type": "output_text", "text": "Let me see."}]}
    parts = [{"type": "output_text", "text": '{"x"'}, {"type": "output_text", "text": ": 1}"}]
    final = {"type": "message", "phase": "final_answer", "content": parts}
    assert read_response(response({"type": "reasoning", "summary": []}, commentary, final)).text == '{"x": 1}'
    assert read_response(response(commentary)).text == "Let me see."
    call = {"type": "function_call", "name": "thing", "arguments": '{"x": 2}'}
    assert read_response(response(call)).text == '{"x": 2}'
    assert read_response(response("Sure.", call), "tool").text == '{"x": 2}'


def test_a_response_says_why_it_ended() -> None:
    """Incomplete for its length, for a filter, or for a reason of its own, which is a cut reply as well."""
    ends = {
        "max_output_tokens": "length",
        "content_filter": "content_filter",
        "max_tool_calls": "length",
        None: "length",
    }
    for reason, expected in ends.items():
        details = {"reason": reason} if reason else None
        found = read_response(response("{", status="incomplete", incomplete_details=details))
        assert found.finish_reason == expected


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (response({"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}), "refusal"),
        (response(), "empty"),
        (response({"type": "function_call", "arguments": None}), "empty"),
        (response("x", error={"code": "rate_limit_exceeded", "message": "slow down"}), "rate_limited"),
        (response(status="failed", error={"code": "server_error", "message": "oops"}), "server_error"),
        (response(status="failed"), "malformed"),
        (response(status="queued"), "malformed"),
        ({**response(), "output": None}, "malformed"),
        (response({"type": "message", "content": [{"type": "output_text", "text": 5}]}), "malformed"),
        (response({"type": "function_call", "arguments": 5}), "malformed"),
        ([], "malformed"),
        (response(5, {"type": "message", "content": 5}), "empty"),
    ],
)
def test_a_broken_response_is_a_failure_of_its_kind(reply: Any, kind: str) -> None:
    """The Responses API has its own ways to fail."""
    found = read_response(reply)
    assert isinstance(found, ModelFailure)
    assert found.kind == kind


keys = st.sampled_from(
    "choices message content tool_calls function arguments refusal finish_reason usage prompt_tokens error code output"
    " type text phase status incomplete_details reason model function_call".split()
)
shapes = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["text", "message", "x", "", "function_call"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=30,
)


@given(shapes)
def test_no_shape_of_a_reply_is_an_exception(reply: Any) -> None:
    """Any JSON at all is a reply or a failure, for either API and whatever was asked."""
    for technique in ("json_schema", "tool"):
        assert isinstance(read_chat(reply, technique), ModelReply | ModelFailure)
        assert isinstance(read_response(reply, technique), ModelReply | ModelFailure)


# --- failures


SPELLINGS = [
    (b'{"error": {"message": "no", "type": "t", "code": "C", "param": "p"}}', ("no", ("c", "t"), "p", None)),
    (b'{"error": {"message": "no", "code": 429}}', ("no", ("429",), "", 429)),
    (b'{"error": "no"}', ("no", (), "", None)),
    (b'{"object": "error", "message": "no", "code": 400}', ("no", ("400",), "", 400)),
    (b'{"detail": "no"}', ("no", (), "", None)),
    (b'[{"error": {"message": "no"}}]', ("no", (), "", None)),
    (b'{"detail": [{"loc": ["body"]}]}', ('{"detail": [{"loc": ["body"]}]}', (), "", None)),
    (b'{"error": {"code": true}}', ('{"error": {"code": true}}', ("true",), "", None)),
    (b"plain", ("plain", (), "", None)),
    (b"\xff", ("\N{REPLACEMENT CHARACTER}", (), "", None)),
    (b"", ("", (), "", None)),
]


@pytest.mark.parametrize(("body", "read"), SPELLINGS)
def test_errors_are_read_in_every_spelling(body: bytes, read: Any) -> None:
    """OpenAI's, vLLM's, FastAPI's, Google's; anything else is its own message."""
    found = parse_error_details(body)
    assert (found.message, found.code, found.param, found.status) == read


def test_a_message_is_one_short_line_without_secrets() -> None:
    """Secrets go before the text is cut, so that no half of a key is left over."""
    key = "sk-proj-4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c"
    assert redacted_line(f"a\n b\t\x85{key}") == "a b [redacted:openai_key]"
    cut = redacted_line("x" * 280 + " " + key)
    assert (len(cut), "sk-proj" in cut) == (300, False)
    assert redacted_line("x" * 9_000_000) == "x" * 299 + "…"


def test_an_error_that_says_nothing_is_named_by_its_cause() -> None:
    """Some of a network's errors have no words: the one behind them speaks, or its type."""
    silent = ValueError()
    silent.__cause__ = ConnectionResetError()
    assert exception_text(silent) == "ConnectionResetError"
    silent.__cause__ = OSError("reset by peer")
    assert exception_text(silent) == "reset by peer"


@given(st.integers(300, 999), st.binary(max_size=200) | shapes.map(lambda found: json.dumps(found).encode()))
def test_every_error_body_is_a_failure(status: int, body: bytes) -> None:
    """Any bytes with any status over 299 are one failure with a message of at most 300 characters."""
    exchange = HTTPExchange(status, {}, body)
    details = parse_error_details(body)
    found = failure_from_status(exchange, details, NOW)
    assert (found.status, found.raw, len(found.message) <= 300) == (status, body, True)
    asked = ServerCapabilities("json_schema").simplify(status, details, _asked("m"))
    assert asked is None or asked.technique == "tool"


def _asked(model: str) -> Any:
    from llmguard.models.openai.server_capabilities import RequestFeatures

    return RequestFeatures(model, Sampling(), has_schema=True)


def test_a_models_name_is_no_complaint_about_tools() -> None:
    """That `tool-7b` does not exist says nothing about tool calls."""
    details = parse_error_details(b'{"error": "The model `tool-7b` does not exist"}')
    assert ServerCapabilities("tool").simplify(404, details, _asked("tool-7b")) is None
    assert ServerCapabilities("tool").simplify(404, details, _asked("m")) == ServerCapabilities("json_object")


def test_what_careless_servers_write_is_read() -> None:
    """A lone surrogate or NaN in a body is no reason to drop the reply."""
    assert parse_json_body(b'{"a": "\\ud800", "b": NaN}')["a"] == "\ud800"
