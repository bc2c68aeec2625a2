"""A model behind OpenAI's API or a compatible one: chat completions or responses, through the official SDK."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Final, get_args

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelAnswer, ModelFailure, ModelReply, ModelRequest, Sampling
from llmguard.core.model import Deadline, Emit, RunsOn
from llmguard.core.redaction import redact_text
from llmguard.models.network_guard import guard_transport
from llmguard.models.openai.api_formats import API_FORMATS
from llmguard.models.openai.ignored_techniques import TechniqueEvidence
from llmguard.models.openai.logprobs import slice_tokens
from llmguard.models.openai.reply import read_finish_reasons, read_usage
from llmguard.models.openai.server import Server, is_openai, resolve_server
from llmguard.models.openai.server_capabilities import (
    FORBIDDEN,
    Api,
    Output,
    RequestFeatures,
    ServerCapabilities,
    initial_capabilities,
)
from llmguard.models.openai.server_errors import error_of_other_body
from llmguard.models.openai.stream_events import DONE, StreamReader
from llmguard.models.openai.strict_schema import ServerSchema, build_server_schema, find_value_span
from llmguard.models.transport.background import arun_within, run_within
from llmguard.models.transport.exchange import HTTPExchange, parse_json_body
from llmguard.models.transport.failures import (
    failure_from_error,
    failure_from_status,
    malformed_reply,
    parse_error_details,
)

if TYPE_CHECKING:
    from llmguard.models.openai.sdk_transport import SendResult, Transport
    from llmguard.models.openai.user_client import UserAsyncClient, UserClient

_MAX_TIMEOUT_S = 86_400.0
"""A day; timers of operating systems overflow somewhere above."""
_SHORTEST_KEY = 8
"""Characters. A shorter key protects nothing, and replacing it would damage replies that hold it by chance."""
_CACHED_SCHEMAS = 256
"""Server schemas that are kept; a guard has one, and one for each part that is re-asked."""
_REDACTED = "[redacted:api_key]"
_SENDING = "llmguard.models.openai.user_client"
"""The module that sends over any client; it loads the SDK."""
_TOO_LATE: Final = ModelFailure("deadline", "no time was left to send the request", sent=False)


class OpenAIModel:
    """A model of OpenAI, or of any server with a compatible API (Azure, vLLM, llama.cpp, Ollama, OpenRouter, …).

    A call sends exactly one HTTP request. A failure of the model or the network is returned as a `ModelFailure`, never
    raised. The constructor reads no file, sends nothing and does not import the SDK; `prepare()`, which a guard calls
    when it is built, finds a missing key.

    Args:
        model: its name, as the server knows it.
        api: "chat" (chat completions) or "responses". The latter has neither seed nor stop: they are not sent.
        base_url: of the server; OPENAI_BASE_URL, or OpenAI's own.
        api_key: OPENAI_API_KEY if None. A server on this machine needs none.
        output: how the reply is constrained to the schema. "auto" begins with "json_schema" and, if the server refuses it,
            goes on to "tool", "json_object" and "prompted"; this object does not try again what was refused once.
        timeout_s: seconds for one request, above 0 and at most 86,400; less if the guard's deadline is nearer.
        client, async_client: an SDK client (`OpenAI`, `AzureOpenAI`, …) to send over, or a function that creates one. Its
            settings are kept, except that retries and redirects are off.
        max_reply_bytes: of a reply, decompressed; a longer one is `malformed`.
        logprobs: request the log-probability of each token, which gives the confidence of a field. If a server refuses,
            requests go out without it; a server that replies by a tool call gives none.
        max_parallel: samples of one vote that are requested at the same time.
        temperature, top_p, max_tokens, seed, stop: the sampling, unless guard or rung override it.
        headers: sent with every request.
        extra_body: members to add to the body, such as `{"reasoning_effort": "low"}`.
        finish_reasons: what a server's own words for the end of a reply mean, such as `{"done": "stop"}`: "stop", "length" or
            "content_filter". After a word that is not known, only a reply that ends by itself is read.

    >>> OpenAIModel("gpt-5-mini", timeout_s=20)
    OpenAIModel('gpt-5-mini')
    """

    def __init__(
        self,
        model: str,
        *,
        api: Api = "chat",
        base_url: str | None = None,
        api_key: str | None = None,
        output: Output = "auto",
        timeout_s: float = 60.0,
        client: UserClient = None,
        async_client: UserAsyncClient = None,
        max_reply_bytes: int = 8 * 1024 * 1024,
        logprobs: bool = False,
        max_parallel: int = 8,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        seed: int | None = None,
        stop: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
        extra_body: Mapping[str, Json] | None = None,
        finish_reasons: Mapping[str, str] | None = None,
    ) -> None:
        _refuse_name(model)
        _refuse_choice("api", api, get_args(Api))
        _refuse_choice("output", output, get_args(Output))
        _refuse_bounds(timeout_s, max_reply_bytes)
        _refuse_flag("logprobs", logprobs)
        _refuse_parallel(max_parallel)
        self.max_parallel = max_parallel
        _refuse_clients(client, async_client, base_url=base_url, api_key=api_key, headers=headers)
        self._name, self._api, self._output = model, API_FORMATS[api], output
        self._base_url, self._api_key = base_url, api_key
        self._timeout_s, self._max_reply_bytes = timeout_s, max_reply_bytes
        self._logprobs = logprobs
        self._client, self._async_client, self._process = client, async_client, os.getpid()
        self._headers, self._extra_body = dict(headers or {}), dict(extra_body or {})
        self._finish_reasons = read_finish_reasons(finish_reasons)
        self._defaults = Sampling(
            temperature=temperature, top_p=top_p, max_tokens=max_tokens, seed=seed, stop=tuple(stop)
        )
        self._schemas: dict[tuple[str, str, str, bool], ServerSchema] = {}
        self._capabilities: ServerCapabilities | None = None
        self._evidence = TechniqueEvidence()
        self._transport: Transport | None = None
        self._key = b""

    def __repr__(self) -> str:
        arguments = [
            f"{name}={value!r}"
            for name, value in {**self.settings, "base_url": self._base_url}.items()
            if value not in (None, "chat", "auto", {})
        ]
        return f"OpenAIModel({', '.join([repr(self._name), *arguments])})"

    @property
    def name(self) -> str:
        return self._name

    @property
    def runs_on(self) -> RunsOn:
        """Inline over clients of our own, which keep the deadline; a user's client may not, and runs in a thread."""
        if self._client is not None:
            return "thread"
        return "inline" if self._async_client is None else "loop"

    @property
    def streams(self) -> bool:
        return True

    @property
    def defaults(self) -> Sampling:
        """A guard puts it into each request; nothing is added to a request by this class."""
        return self._defaults

    @property
    def settings(self) -> Json:
        """What decides the requests besides name and sampling, for a guard's fingerprint."""
        logprobs = {"logprobs": True} if self._logprobs else {}
        finish_reasons = {"finish_reasons": dict(self._finish_reasons)} if self._finish_reasons else {}
        return {
            "api": self._api.name,
            "output": self._output,
            "base_url": _server_in_fingerprint(self._base_url),
            "extra_body": self._extra_body,
            **finish_reasons,
            **logprobs,
        }

    def prepare(self) -> None:
        """Raises UsageError for what cannot work: no key, or an invalid address. Sends nothing."""
        if self._client is None and self._async_client is None:
            self._server()

    def _server(self) -> Server:
        return resolve_server(
            self._name,
            base_url=self._base_url,
            api_key=self._api_key,
            headers=self._headers,
            max_reply_bytes=self._max_reply_bytes,
        )

    def call(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        if not self._is_ready(deadline):
            return _TOO_LATE
        query = self._query(request)
        transport, body = self._connect(), self._body(query)
        result = transport.post(self._api.path, body, self._seconds_left(deadline), self._unasked_stream().add)
        return self._read_result(result, query, deadline)

    async def acall(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        if not await self._is_ready_on_loop(deadline):
            return _TOO_LATE
        query = self._query(request)
        transport, body = self._connect(), self._body(query)
        result = await transport.apost(self._api.path, body, self._seconds_left(deadline), self._unasked_stream().add)
        return self._read_result(result, query, deadline)

    def stream(self, request: ModelRequest, deadline: Deadline, emit: Emit) -> ModelAnswer:
        """`call` that passes the reply's text to `emit` as it arrives."""
        if not self._is_ready(deadline):
            return _TOO_LATE
        query = self._query(request)
        reader = self._stream_reader(query, emit)
        transport, body = self._connect(), self._streaming_body(query)
        result = transport.post(self._api.path, body, self._seconds_left(deadline), reader.add)
        return self._read_streamed(reader, result, query, deadline, emit)

    async def astream(self, request: ModelRequest, deadline: Deadline, emit: Emit) -> ModelAnswer:
        if not await self._is_ready_on_loop(deadline):
            return _TOO_LATE
        query = self._query(request)
        reader = self._stream_reader(query, emit)
        transport, body = self._connect(), self._streaming_body(query)
        result = await transport.apost(self._api.path, body, self._seconds_left(deadline), reader.add)
        return self._read_streamed(reader, result, query, deadline, emit)

    # --- the request

    def _seconds_left(self, deadline: Deadline) -> float:
        return min(self._timeout_s, deadline.remaining_s())

    def _is_ready(self, deadline: Deadline) -> bool:
        """Whether there is time to send, and the SDK is loaded. That takes a second or more at the first request, and is done
        in another thread: an import that an exception from outside cuts short would leave its lock taken."""
        left_s = self._seconds_left(deadline)
        if left_s > 0 and not _is_sdk_loaded():
            try:
                run_within(left_s, _SENDING, _load_sdk)
            except TimeoutError:
                return False
        return left_s > 0

    async def _is_ready_on_loop(self, deadline: Deadline) -> bool:
        left_s = self._seconds_left(deadline)
        if left_s > 0 and not _is_sdk_loaded():
            try:
                await arun_within(left_s, _SENDING, _load_sdk)
            except TimeoutError:
                return False
        return left_s > 0

    def _query(self, request: ModelRequest) -> _Query:
        schema, known = self._server_schema(request), self._capabilities or self._initial_capabilities()
        capabilities = known
        if schema is not None:
            if not known.sends_strict:
                schema = schema.hint or schema
            if request.output is not None and request.output.in_words:
                schema = replace(schema, in_words=True)
            if request.may_adapt and self._evidence.is_ignored(known.technique):
                capabilities = replace(known, technique="prompted")
        return _Query(request, schema, capabilities, known)

    def _server_schema(self, request: ModelRequest) -> ServerSchema | None:
        """The request's output schema as a server takes it, built once for each schema."""
        if request.output is None:
            return None
        output = request.output
        key = (output.digest, output.name, output.instruction, output.drops_unknown)
        schema = self._schemas.get(key)
        if schema is None:
            if len(self._schemas) >= _CACHED_SCHEMAS:
                self._schemas.clear()
            schema = self._schemas[key] = build_server_schema(output)
        return schema

    def _initial_capabilities(self) -> ServerCapabilities:
        client = self._client if self._client is not None else self._async_client
        url = str(getattr(client, "base_url", "")) if client is not None else self._server().base_url
        self._capabilities = initial_capabilities(self._output, is_openai=is_openai(url))
        return self._capabilities

    def _body(self, query: _Query) -> Json:
        body: Json = self._api.build_body(query.request, query.schema, query.capabilities)
        body["stream"] = False  # some servers stream unless they are told not to
        body.update(self._extra_body)
        if self._logprobs and "logprobs" not in query.capabilities.unsupported:
            self._api.add_logprobs(body, query.capabilities.is_openai)
        return body

    def _streaming_body(self, query: _Query) -> Json:
        body = {**self._body(query), "stream": True}
        if self._api.name == "chat" and query.capabilities.sends_stream_options:
            body["stream_options"] = {"include_usage": True}
        return body

    def _connect(self) -> Transport:
        """The transport, created at the first request: the SDK is loaded then."""
        if self._transport is not None:
            return self._transport
        transport: Transport
        if self._client is None and self._async_client is None:
            server = self._server()
            transport = _load_sdk().SDKTransport(server)
            key, url = server.api_key, server.base_url
        else:
            create = import_module(_SENDING).UserClientTransport
            transport = create(self._client, self._async_client, self._max_reply_bytes, process=self._process)
            key = str(getattr(self._client or self._async_client, "api_key", ""))
            url = str(getattr(self._client or self._async_client, "base_url", ""))
        self._key = key.encode() if len(key) >= _SHORTEST_KEY else b""
        self._transport = guard_transport(transport, self._name, url)
        return self._transport

    # --- the answer

    def _read_result(self, result: SendResult, query: _Query, deadline: Deadline) -> ModelAnswer:
        if isinstance(result, ModelFailure):
            is_late = result.kind == "timeout" and deadline.remaining_s() <= 0
            return replace(result, kind="deadline") if is_late else result
        exchange = self._redact_key(result)
        if exchange.status >= 300:
            return self._read_refusal(exchange, query)
        self._note_success(query)
        if exchange.incomplete_reason:
            return replace(malformed_reply(exchange.incomplete_reason), raw=exchange.body)
        try:
            reply = parse_json_body(_without_done(exchange.body))
        except ValueError as error:
            return self._read_unasked_stream(exchange, query, error)
        return self._finish(self._read_reply(reply, query), exchange, query)

    def _read_reply(self, reply: Json, query: _Query) -> ModelAnswer:
        """The one reader of replies, whether they came whole or in events."""
        return self._api.read_reply(reply, query.request, query.capabilities, self._finish_reasons)

    def _read_unasked_stream(self, exchange: HTTPExchange, query: _Query, error: ValueError) -> ModelAnswer:
        """A body that is no JSON: some servers stream unless they are told not to, or whatever they are told."""
        reader = self._unasked_stream()
        reader.add(exchange.body)
        reader.finish()
        if reader.has_events:
            return self._read_events(reader, exchange, query)
        start = exchange.body[:80].decode("utf-8", "replace")
        kind = exchange.headers.get("content-type", "no content-type")
        message = f"expected JSON, found {kind} that begins {start!r} ({error})" if exchange.body else "no body"
        return replace(malformed_reply(message), raw=exchange.body)

    def _unasked_stream(self) -> StreamReader:
        """Reads a stream that comes for a plain reply, and ends the request where the stream ends."""
        return StreamReader(self._api.collector(), lambda text: True)

    def _stream_reader(self, query: _Query, emit: Emit) -> StreamReader:
        """A wrapped value is emitted at the end, once it can be unwrapped."""
        return StreamReader(self._api.collector(), (lambda text: True) if query.is_wrapped else emit)

    def _read_streamed(
        self, reader: StreamReader, result: SendResult, query: _Query, deadline: Deadline, emit: Emit
    ) -> ModelAnswer:
        """The answer as if it had not been streamed, or the text up to where it was stopped."""
        reader.finish()
        if reader.stopped:
            raw = result.body if not isinstance(result, ModelFailure) else b""
            usage = read_usage({}, query.request, reader.text)
            return ModelReply(reader.text, finish_reason="stopped", model=self._name, usage=usage, raw=raw)
        if isinstance(result, ModelFailure) and reader.has_events and reader.is_whole:
            result = HTTPExchange(200, {}, reader.body)  # whole before the connection failed, or was left open
        if (
            isinstance(result, ModelFailure)
            or result.status >= 300
            or result.incomplete_reason
            or not reader.has_events
        ):
            answer = self._read_result(result, query, deadline)
        else:
            self._note_success(query)
            answer = self._read_events(reader, self._redact_key(result), query)
        if isinstance(answer, ModelReply) and (query.is_wrapped or not reader.text):
            emit(answer.text)
        return answer

    def _read_events(self, reader: StreamReader, exchange: HTTPExchange, query: _Query) -> ModelAnswer:
        """The answer in a stream's events: the body that they collect to, read as one that came whole."""
        usage = read_usage({}, query.request, reader.text)
        if reader.damage:
            answer: ModelAnswer = malformed_reply(reader.damage, usage)
        elif reader.is_whole:
            answer = self._read_reply(reader.collector.whole_reply(), query)
        else:
            error = error_of_other_body(reader.collector.words_of_server)
            cut = ModelFailure("connection", "the stream was cut", usage=usage)
            answer = failure_from_error(error, usage) if error is not None else cut
        return self._finish(answer, exchange, query, streamed=True)

    def _finish(
        self, answer: ModelAnswer, exchange: HTTPExchange, query: _Query, *, streamed: bool = False
    ) -> ModelAnswer:
        """With its evidence, and unwrapped."""
        self._learn_form(answer, query)
        answer = replace(answer, raw=_evidence(answer, exchange.body, in_pieces=streamed or self._logprobs))
        if isinstance(answer, ModelReply) and query.is_wrapped:
            start, end = find_value_span(answer.text)
            return replace(answer, text=answer.text[start:end], logprobs=slice_tokens(answer.logprobs, start, end))
        return answer

    def _learn_form(self, answer: ModelAnswer, query: _Query) -> None:
        """Whether the server heeds the technique: not where another was tried in words, nor where the user chose it, and
        OpenAI's own servers do."""
        known, schema = query.known, query.schema
        if schema is None or schema.in_words or known.is_fixed or known.is_openai or not query.request.may_adapt:
            return
        if isinstance(answer, ModelReply) and answer.finish_reason == "stop":
            self._evidence.add(query.capabilities.technique, answer.text, schema)

    def _note_success(self, query: _Query) -> None:
        """The request got through, so that what was left out of it was refused for itself."""
        if query.known.last_proven is not None and self._capabilities == query.known:
            self._capabilities = query.known.proven()

    def _read_refusal(self, exchange: HTTPExchange, query: _Query) -> ModelFailure:
        """The failure. Where a simpler request may succeed, the next one is simpler."""
        details = parse_error_details(exchange.body)
        failure = failure_from_status(exchange, details, datetime.now(UTC))
        if failure.kind not in ("bad_request", "not_found", "server_error") and exchange.status != FORBIDDEN:
            return failure
        request, known = query.request, query.known
        has_schema = query.schema is not None and query.capabilities.technique != "prompted"
        is_strict = has_schema and query.is_strict
        features = RequestFeatures(request.model, request.sampling, has_schema, self._logprobs, is_strict)
        simpler = known.simplify(exchange.status, details, features)
        if self._capabilities == known:  # else another thread has changed them meanwhile
            self._capabilities = simpler or known.disproven()
        if simpler is None:
            return failure
        return replace(failure, kind="bad_request", downgraded=True)

    def _redact_key(self, exchange: HTTPExchange) -> HTTPExchange:
        """A server may echo the key, and the patterns of redaction do not know every key."""
        if self._key and self._key in exchange.body:
            return replace(exchange, body=exchange.body.replace(self._key, _REDACTED.encode()))
        return exchange


@dataclass(frozen=True, slots=True)
class _Query:
    """A request, with its output schema as the server takes it and what the server supports.

    `known`: what was learned from refusals; `capabilities` may ask in words instead of a technique that is ignored.
    """

    request: ModelRequest
    schema: ServerSchema | None
    capabilities: ServerCapabilities
    known: ServerCapabilities

    @property
    def is_strict(self) -> bool:
        return self.schema is not None and self.schema.is_strict

    @property
    def is_wrapped(self) -> bool:
        return self.schema is not None and self.schema.is_wrapped and self.capabilities.technique != "prompted"


def _evidence(answer: ModelAnswer, body: bytes, *, in_pieces: bool) -> bytes:
    """The body as received. Where it also holds a secret piece by piece, which redaction would miss, the text instead."""
    if not in_pieces or not isinstance(answer, ModelReply):
        return body
    is_secret = _REDACTED in answer.text or redact_text(answer.text) != answer.text
    return answer.text.encode("utf-8", "surrogatepass") if is_secret else body


def _without_done(body: bytes) -> bytes:
    """A body without the end of an event stream that some servers put behind its JSON."""
    end = _DONE_BEHIND_JSON.search(body, max(0, len(body) - _LONGEST_END)) if body.rstrip().endswith(DONE) else None
    return body[: end.start()] if end and body.lstrip()[:1] == b"{" else body


_DONE_BEHIND_JSON = re.compile(rb"\s*data:\s*\[DONE\]\s*\Z")
_LONGEST_END = 64
"""Bytes of that end, with the white space around it."""


def _load_sdk() -> ModuleType:
    """The module that sends over clients of our own."""
    import_module(_SENDING)
    return import_module("llmguard.models.openai.sdk_transport")


def _is_sdk_loaded() -> bool:
    """Whether `_load_sdk` takes no time: what the module defines comes after what it imports."""
    return hasattr(sys.modules.get(_SENDING), "UserClientTransport")


def _refuse_name(model: str) -> None:
    if not isinstance(model, str) or not model or model != model.strip() or not model.isprintable():
        raise UsageError(
            f"model name {model!r}: expected the name as the server knows it, without spaces around it, such as"
            " 'gpt-5-mini'."
        )


def _refuse_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{name}={value!r} of OpenAIModel: expected one of {', '.join(map(repr, choices))}.")


def _refuse_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise UsageError(f"{name}={value!r} of OpenAIModel: expected True or False.")


def _server_in_fingerprint(base_url: str | None) -> str | None:
    """The server in a fingerprint: on this machine without its port, which may change with each start."""
    return _LOOPBACK.sub(r"\1", base_url, count=1) if base_url else base_url


_LOOPBACK = re.compile(r"(?i)^(https?://(?:localhost|127\.0\.0\.1|\[::1\])):\d+(?=/|$)")


def _refuse_parallel(max_parallel: int) -> None:
    if not isinstance(max_parallel, int) or isinstance(max_parallel, bool) or max_parallel < 1:
        raise UsageError(f"OpenAIModel(max_parallel=...): expected a whole number of 1 or more, got {max_parallel!r}.")


def _refuse_bounds(timeout_s: float, max_reply_bytes: int) -> None:
    if not isinstance(timeout_s, int | float) or not 0 < timeout_s <= _MAX_TIMEOUT_S:
        raise UsageError(f"timeout_s={timeout_s!r} of OpenAIModel: expected seconds, above 0 and at most 86,400.")
    if not isinstance(max_reply_bytes, int) or max_reply_bytes < 1:
        raise UsageError(f"max_reply_bytes={max_reply_bytes!r} of OpenAIModel: expected a number of bytes above 0.")


def _refuse_clients(client: object, async_client: object, **own: object) -> None:
    for name, value in (("client", client), ("async_client", async_client)):
        if value is not None and not callable(value) and not hasattr(value, "post"):
            raise UsageError(
                f"{name}= of OpenAIModel is a {type(value).__name__}; expected a client of the openai package, or a"
                " function that makes one."
            )
    both = [name for name, value in own.items() if value is not None]
    if both and (client is not None or async_client is not None):
        raise UsageError(f"OpenAIModel was given a client and {', '.join(both)}=. Set that on the client itself.")
