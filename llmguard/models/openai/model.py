"""A model behind OpenAI's API or one that speaks like it: chat completions or responses, through the official SDK."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Final, get_args

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelAnswer, ModelFailure, ModelReply, ModelRequest, Sampling
from llmguard.core.model import Deadline, Emit, RunsOn
from llmguard.core.redaction import redact_text
from llmguard.models.network_guard import kept_here
from llmguard.models.openai import chat_completions, responses
from llmguard.models.openai.logprobs import cut
from llmguard.models.openai.reply import usage_of
from llmguard.models.openai.server import Server, is_openai, server_of
from llmguard.models.openai.server_capabilities import FORBIDDEN, Api, Asked, Dialect, Output, first_dialect
from llmguard.models.openai.stream_events import COLLECTORS, Streamed
from llmguard.models.openai.strict_schema import NativeForm, native_form, value_span
from llmguard.models.transport.exchange import Exchange, parse
from llmguard.models.transport.failures import complaint_of, failure_of, malformed

if TYPE_CHECKING:
    from llmguard.models.openai.sdk_transport import Sent, Wire
    from llmguard.models.openai.user_client import GivenAsyncClient, GivenClient

_MAX_TIMEOUT_S = 86_400.0
_SHORTEST_KEY = 8
"""Characters; what is shorter keeps nobody out, and stands in texts by chance."""
_FORMS_KEPT = 256
"""Output forms whose native spelling is kept; a guard has one, and one for each part that is re-asked."""
_REDACTED = "[redacted:api_key]"
_APIS = {"chat": chat_completions, "responses": responses}
_TOO_LATE: Final = ModelFailure("deadline", "no time was left to send the request", sent=False)


class OpenAIModel:
    """One model of OpenAI, or of any server that speaks its protocol (Azure, vLLM, llama.cpp, Ollama, OpenRouter, …).

    A call sends exactly one HTTP request and never raises for a model's or a network's trouble: that is a
    `ModelFailure`. The constructor reads no file, asks no server and does not import the SDK; `prepare()`, which a
    guard calls when it is built, finds a missing key.

    Args:
        model: its name, as the server knows it.
        api: "chat" (chat completions) or "responses". The latter knows neither seed nor stop: they are not sent.
        base_url: of the server; OPENAI_BASE_URL, or OpenAI's own.
        api_key: OPENAI_API_KEY if None. A server on this machine needs none.
        output: how the reply is held to the schema. "auto" begins with "json_schema" and, when the server refuses it,
            goes on to "tool", "json_object" and "prompted"; what was refused once is not asked again by this object.
        timeout_s: seconds that one request may take in all, from 0 to 86,400; less if the guard's deadline is nearer.
        client, async_client: the SDK's own (`OpenAI`, `AzureOpenAI`, …) to send over, or functions that make one. What
            they are set to stays, but for retries and redirects, which are off.
        max_reply_bytes: of a reply, decompressed; a longer one is `malformed`.
        logprobs: ask for the log-probability of each token, from which comes the confidence of a field. A server that
            refuses is asked without; one whose text comes in a tool call gives none.
        max_parallel: samples of one vote that are asked for at the same time.
        temperature, top_p, max_tokens, seed, stop: what stands in a request unless guard or rung say otherwise.
        headers: sent with every request.
        extra_body: members to add to the body, such as `{"reasoning_effort": "low"}`.

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
        client: GivenClient = None,
        async_client: GivenAsyncClient = None,
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
    ) -> None:
        _refuse_name(model)
        _refuse_choice("api", api, get_args(Api))
        _refuse_choice("output", output, get_args(Output))
        _refuse_bounds(timeout_s, max_reply_bytes)
        _refuse_flag("logprobs", logprobs)
        _refuse_parallel(max_parallel)
        self.max_parallel = max_parallel
        _refuse_clients(client, async_client, base_url=base_url, api_key=api_key, headers=headers)
        self._name, self._api, self._output = model, api, output
        self._base_url, self._api_key = base_url, api_key
        self._timeout_s, self._max_reply_bytes = timeout_s, max_reply_bytes
        self._logprobs = logprobs
        self._client, self._async_client, self._process = client, async_client, os.getpid()
        self._headers, self._extra_body = dict(headers or {}), dict(extra_body or {})
        self._defaults = Sampling(
            temperature=temperature, top_p=top_p, max_tokens=max_tokens, seed=seed, stop=tuple(stop)
        )
        self._forms: dict[tuple[str, str, str], NativeForm] = {}
        self._dialect: Dialect | None = None
        self._wire: Wire | None = None
        self._key = b""

    def __repr__(self) -> str:
        given = [
            f"{name}={value!r}"
            for name, value in {**self.settings, "base_url": self._base_url}.items()
            if value not in (None, "chat", "auto", {})
        ]
        return f"OpenAIModel({', '.join([repr(self._name), *given])})"

    @property
    def name(self) -> str:
        return self._name

    @property
    def runs_on(self) -> RunsOn:
        """Inline over clients of our own, which keep the deadline; one passed in may have to be left behind."""
        if self._client is not None:
            return "thread"
        return "inline" if self._async_client is None else "loop"

    @property
    def streams(self) -> bool:
        return True

    @property
    def defaults(self) -> Sampling:
        """What a guard puts into each request; nothing is added to a request here."""
        return self._defaults

    @property
    def settings(self) -> Json:
        """What beside name and sampling decides what this model is asked: for a guard's fingerprint."""
        asked = {"logprobs": True} if self._logprobs else {}
        return {
            "api": self._api,
            "output": self._output,
            "base_url": _named_server(self._base_url),
            "extra_body": self._extra_body,
            **asked,
        }

    def prepare(self) -> None:
        """Raises UsageError for what cannot work: no key, or an address that is none. Sends nothing."""
        if self._client is None and self._async_client is None:
            self._server()

    def _server(self) -> Server:
        return server_of(
            self._name,
            base_url=self._base_url,
            api_key=self._api_key,
            headers=self._headers,
            max_reply_bytes=self._max_reply_bytes,
        )

    def call(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        left_s = min(self._timeout_s, deadline.remaining_s())
        if left_s <= 0:
            return _TOO_LATE
        dialect, form = self._dialect or self._first_dialect(), self._form(request)
        sent = (self._wire or self._connected()).post(_APIS[self._api].PATH, self._body(request, form, dialect), left_s)
        return self._answer(sent, request, form, dialect, deadline)

    async def acall(self, request: ModelRequest, deadline: Deadline) -> ModelAnswer:
        left_s = min(self._timeout_s, deadline.remaining_s())
        if left_s <= 0:
            return _TOO_LATE
        dialect, form = self._dialect or self._first_dialect(), self._form(request)
        body = self._body(request, form, dialect)
        sent = await (self._wire or self._connected()).apost(_APIS[self._api].PATH, body, left_s)
        return self._answer(sent, request, form, dialect, deadline)

    def stream(self, request: ModelRequest, deadline: Deadline, emit: Emit) -> ModelAnswer:
        """`call` that hands on the reply's text as it comes."""
        left_s = min(self._timeout_s, deadline.remaining_s())
        if left_s <= 0:
            return _TOO_LATE
        dialect, form = self._dialect or self._first_dialect(), self._form(request)
        streamed, body = self._streamed(request, form, dialect, emit)
        sent = (self._wire or self._connected()).post(_APIS[self._api].PATH, body, left_s, streamed.add)
        return self._whole(streamed, sent, request, form, dialect, deadline, emit)

    async def astream(self, request: ModelRequest, deadline: Deadline, emit: Emit) -> ModelAnswer:
        left_s = min(self._timeout_s, deadline.remaining_s())
        if left_s <= 0:
            return _TOO_LATE
        dialect, form = self._dialect or self._first_dialect(), self._form(request)
        streamed, body = self._streamed(request, form, dialect, emit)
        sent = await (self._wire or self._connected()).apost(_APIS[self._api].PATH, body, left_s, streamed.add)
        return self._whole(streamed, sent, request, form, dialect, deadline, emit)

    def _streamed(
        self, request: ModelRequest, form: NativeForm | None, dialect: Dialect, emit: Emit
    ) -> tuple[Streamed, Json]:
        """Who hears the reply, and the body that asks for it. A wrapped value is shown when it can be unwrapped."""
        body = {**self._body(request, form, dialect), "stream": True}
        if self._api == "chat" and dialect.limit == "max_completion_tokens":  # OpenAI's own; others may refuse the word
            body["stream_options"] = {"include_usage": True}
        shown = (lambda text: True) if _is_wrapped(form, dialect) else emit
        return Streamed(COLLECTORS[self._api](), shown), body

    def _whole(
        self,
        streamed: Streamed,
        sent: Sent,
        request: ModelRequest,
        form: NativeForm | None,
        dialect: Dialect,
        deadline: Deadline,
        emit: Emit,
    ) -> ModelAnswer:
        """The answer as if it had come whole, or what was said until it was stopped."""
        if streamed.stopped:
            said = usage_of({}, request, streamed.text)
            raw = sent.body if not isinstance(sent, ModelFailure) else b""
            return ModelReply(streamed.text, finish_reason="stopped", model=self._name, usage=said, raw=raw)
        if isinstance(sent, ModelFailure) or sent.status >= 300 or sent.trouble or not streamed.any:
            answer = self._answer(sent, request, form, dialect, deadline)
        else:
            whole = streamed.collector.reply()
            said = usage_of({}, request, streamed.text)
            if whole is None:
                return ModelFailure("connection", "the stream was cut", usage=said, raw=self._without_key(sent).body)
            answer = _APIS[self._api].answer(whole, request, dialect)
            answer = self._finished(answer, self._without_key(sent), form, dialect, streamed=True)
        if isinstance(answer, ModelReply) and (_is_wrapped(form, dialect) or not streamed.any):
            emit(answer.text)
        return answer

    def _body(self, request: ModelRequest, form: NativeForm | None, dialect: Dialect) -> Json:
        body = _APIS[self._api].body(request, form, dialect)
        body.update(self._extra_body)
        if self._logprobs and "logprobs" not in dialect.without:
            _APIS[self._api].ask_logprobs(body, is_openai=dialect.limit == "max_completion_tokens")
        return body

    def _form(self, request: ModelRequest) -> NativeForm | None:
        """The request's output form as a server takes it, worked out once for each schema."""
        if request.output is None:
            return None
        output = request.output
        key = (output.digest, output.name, output.instruction)
        form = self._forms.get(key)
        if form is None:
            if len(self._forms) >= _FORMS_KEPT:
                self._forms.clear()
            form = self._forms[key] = native_form(output)
        return form

    def _answer(
        self, sent: Sent, request: ModelRequest, form: NativeForm | None, dialect: Dialect, deadline: Deadline
    ) -> ModelAnswer:
        if isinstance(sent, ModelFailure):
            late = sent.kind == "timeout" and deadline.remaining_s() <= 0
            return replace(sent, kind="deadline") if late else sent
        sent = self._without_key(sent)
        if sent.status >= 300:
            return self._refused(sent, request, dialect)
        return self._finished(_read(sent, self._api, request, dialect), sent, form, dialect)

    def _finished(
        self, answer: ModelAnswer, sent: Exchange, form: NativeForm | None, dialect: Dialect, *, streamed: bool = False
    ) -> ModelAnswer:
        answer = replace(answer, raw=_evidence(answer, sent.body, in_pieces=streamed or self._logprobs))
        if isinstance(answer, ModelReply) and _is_wrapped(form, dialect):
            start, end = value_span(answer.text)
            return replace(answer, text=answer.text[start:end], logprobs=cut(answer.logprobs, start, end))
        return answer

    def _refused(self, sent: Exchange, request: ModelRequest, dialect: Dialect) -> ModelFailure:
        """A failure; if a simpler way of asking may mend it, the next request is asked that way."""
        complaint = complaint_of(sent.body)
        failure = failure_of(sent, complaint, datetime.now(UTC))
        if failure.kind not in ("bad_request", "not_found", "server_error") and sent.status != FORBIDDEN:
            return failure
        asked = Asked(request.model, request.sampling, request.output is not None, self._logprobs)
        simpler = dialect.simpler(sent.status, complaint, asked)
        if simpler is None:
            return failure
        if self._dialect == dialect:  # another thread may have learned it meanwhile
            self._dialect = simpler
        return replace(failure, kind="bad_request", downgraded=True)

    def _without_key(self, sent: Exchange) -> Exchange:
        """A server may echo the key, and not every key has a shape that is known for one."""
        if self._key and self._key in sent.body:
            return replace(sent, body=sent.body.replace(self._key, _REDACTED.encode()))
        return sent

    def _first_dialect(self) -> Dialect:
        given = self._client if self._client is not None else self._async_client
        url = str(getattr(given, "base_url", "")) if given is not None else self._server().base_url
        self._dialect = first_dialect(self._output, is_openai=is_openai(url))
        return self._dialect

    def _connected(self) -> Wire:
        """The SDK is loaded here, at the first request."""
        wire: Wire
        if self._client is None and self._async_client is None:
            server = self._server()
            wire, key = import_module("llmguard.models.openai.sdk_transport").OwnWire(server), server.api_key
            url = server.base_url
        else:
            given = import_module("llmguard.models.openai.user_client").GivenWire
            wire = given(self._client, self._async_client, self._max_reply_bytes, process=self._process)
            key = str(getattr(self._client or self._async_client, "api_key", ""))
            url = str(getattr(self._client or self._async_client, "base_url", ""))
        wire = kept_here(wire, self._name, url)
        self._wire, self._key = wire, key.encode() if len(key) >= _SHORTEST_KEY else b""
        return wire


def _is_wrapped(form: NativeForm | None, dialect: Dialect) -> bool:
    return form is not None and form.is_wrapped and dialect.technique != "prompted"


def _evidence(answer: ModelAnswer, body: bytes, *, in_pieces: bool) -> bytes:
    """The body as received; where it also spells a secret piece by piece, so that nobody could redact it, the text."""
    if not in_pieces or not isinstance(answer, ModelReply):
        return body
    is_secret = _REDACTED in answer.text or redact_text(answer.text) != answer.text
    return answer.text.encode("utf-8", "surrogatepass") if is_secret else body


def _read(sent: Exchange, api: Api, request: ModelRequest, dialect: Dialect) -> ModelAnswer:
    if sent.trouble:
        return malformed(sent.trouble)
    try:
        reply = parse(sent.body)
    except ValueError as error:
        begins = sent.body[:80].decode("utf-8", "replace")
        kind = sent.headers.get("content-type", "no content-type")
        return malformed(f"expected JSON, found {kind} that begins {begins!r} ({error})" if sent.body else "no body")
    answer: ModelAnswer = _APIS[api].answer(reply, request, dialect)
    return answer


def _refuse_name(model: str) -> None:
    if not isinstance(model, str) or not model or model != model.strip() or not model.isprintable():
        raise UsageError(
            f"model name {model!r}: expected the name as the server knows it, without spaces around it, such as"
            " 'gpt-5-mini'."
        )


def _refuse_choice(what: str, found: str, choices: tuple[str, ...]) -> None:
    if found not in choices:
        raise UsageError(f"{what}={found!r} of OpenAIModel: expected one of {', '.join(map(repr, choices))}.")


def _refuse_flag(what: str, found: object) -> None:
    if not isinstance(found, bool):
        raise UsageError(f"{what}={found!r} of OpenAIModel: expected True or False.")


def _named_server(base_url: str | None) -> str | None:
    """The server as a fingerprint names it: on this machine without its port, which another start may change."""
    return _LOOPBACK.sub(r"\1", base_url, count=1) if base_url else base_url


_LOOPBACK = re.compile(r"(?i)^(https?://(?:localhost|127\.0\.0\.1|\[::1\])):\d+(?=/|$)")


def _refuse_parallel(max_parallel: int) -> None:
    if not isinstance(max_parallel, int) or isinstance(max_parallel, bool) or max_parallel < 1:
        raise UsageError(f"OpenAIModel(max_parallel=...) wants a whole number from 1 on, found {max_parallel!r}.")


def _refuse_bounds(timeout_s: float, max_reply_bytes: int) -> None:
    if not isinstance(timeout_s, int | float) or not 0 < timeout_s <= _MAX_TIMEOUT_S:
        raise UsageError(f"timeout_s={timeout_s!r} of OpenAIModel: expected seconds, above 0 and at most 86,400.")
    if not isinstance(max_reply_bytes, int) or max_reply_bytes < 1:
        raise UsageError(f"max_reply_bytes={max_reply_bytes!r} of OpenAIModel: expected a number of bytes above 0.")


def _refuse_clients(client: object, async_client: object, **own: object) -> None:
    for name, given in (("client", client), ("async_client", async_client)):
        if given is not None and not callable(given) and not hasattr(given, "post"):
            raise UsageError(
                f"{name}= of OpenAIModel is a {type(given).__name__}; expected a client of the openai package, or a"
                " function that makes one."
            )
    both = [name for name, value in own.items() if value is not None]
    if both and (client is not None or async_client is not None):
        raise UsageError(f"OpenAIModel was given a client and {', '.join(both)}=. Set that on the client itself.")
