"""A streamed reply: server-sent events as their bytes arrive, and at the end the reply as if it had not been streamed."""

from __future__ import annotations

from typing import Protocol

import orjson

from llmguard.core.canonical import Json
from llmguard.core.model import Emit
from llmguard.models.openai.chat_completions import logprobs_in


class EventCollector(Protocol):
    """Collects the events of one API."""

    def add_event(self, event: Json) -> str:
        """The new text in the event."""

    def whole_reply(self) -> Json | None:
        """The reply as if it had not been streamed; None if the stream was cut."""


class StreamReader:
    """Reads the bytes of a streamed reply and passes its text to `emit`; `stopped` once `emit` returned False."""

    def __init__(self, collector: EventCollector, emit: Emit) -> None:
        self.collector, self._emit = collector, emit
        self._rest: list[bytes] = []
        self._texts: list[str] = []
        self.has_events = self.stopped = False

    def add(self, chunk: bytes) -> bool:
        """Read the next bytes; False where no more are needed. Each byte is read once, wherever the chunks are cut."""
        if b"\n" not in chunk:
            self._rest.append(chunk)
            return True
        *lines, rest = (b"".join(self._rest) + chunk).split(b"\n")
        self._rest = [rest]
        return all(self._read_line(line.rstrip(b"\r")) for line in lines)

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def _read_line(self, line: bytes) -> bool:
        """Only `data:` matters here, not comments, names and ids of events (WHATWG HTML, 9.2.6)."""
        if not line.startswith(b"data:"):
            return True
        data = line[5:].strip()
        if data == b"[DONE]":
            self.has_events = True
            return True
        try:
            event = orjson.loads(data)
        except ValueError:
            return True
        self.has_events = True
        text = self.collector.add_event(event) if isinstance(event, dict) else ""
        if text:
            self._texts.append(text)
            self.stopped = not self._emit(text)
        return not self.stopped


class ChatCollector:
    """Chunks of a chat completion (the first choice of each)."""

    def __init__(self) -> None:
        self._whole: dict[str, Json] = {}
        self._texts: dict[str, list[str]] = {"content": [], "refusal": [], "arguments": []}
        self._finished: Json = None
        self._logprobs: list[Json] = []

    def add_event(self, event: Json) -> str:
        for name in ("model", "usage", "error"):
            if event.get(name):
                self._whole[name] = event[name]
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        self._finished = choice.get("finish_reason") or self._finished
        if isinstance(entries := logprobs_in(choice), list):
            self._logprobs += entries
        delta = choice.get("delta")
        return self._delta(delta) if isinstance(delta, dict) else ""

    def _delta(self, delta: Json) -> str:
        new = {"content": delta.get("content"), "refusal": delta.get("refusal"), "arguments": _arguments(delta)}
        for name, text in new.items():
            if isinstance(text, str):
                self._texts[name].append(text)
        return "".join(text for name in ("content", "arguments") if isinstance(text := new[name], str))

    def whole_reply(self) -> Json | None:
        if self._finished is None and "error" not in self._whole:
            return None
        texts = {name: "".join(pieces) or None for name, pieces in self._texts.items()}
        message: dict[str, Json] = {"content": texts["content"], "refusal": texts["refusal"]}
        if texts["arguments"]:
            message["tool_calls"] = [{"function": {"arguments": texts["arguments"]}}]
        if "error" in self._whole:
            return self._whole
        choice = {"message": message, "finish_reason": self._finished, "logprobs": {"content": self._logprobs}}
        return {**self._whole, "choices": [choice]}


def _arguments(delta: Json) -> str | None:
    calls = delta.get("tool_calls")
    texts = [
        call["function"].get("arguments")
        for call in (calls if isinstance(calls, list) else ())
        if isinstance(call, dict) and isinstance(call.get("function"), dict)
    ]
    return "".join(text for text in texts if isinstance(text, str)) or None


class ResponseCollector:
    """Events of the Responses API. The last one has the whole response, at some servers without log-probabilities."""

    _TEXT_EVENTS = ("response.output_text.delta", "response.function_call_arguments.delta")
    _LAST_EVENTS = ("response.completed", "response.incomplete", "response.failed")

    def __init__(self) -> None:
        self._whole: Json | None = None
        self._logprobs: dict[tuple[int, int], list[Json]] = {}

    def add_event(self, event: Json) -> str:
        kind = event.get("type")
        if kind in self._LAST_EVENTS:
            self._whole = event.get("response")
        elif kind == "error":
            self._whole = {"error": event}
        if kind in self._TEXT_EVENTS and event.get("logprobs"):
            self._add_logprobs(event.get("output_index"), event.get("content_index"), event["logprobs"])
        delta = event.get("delta")
        return delta if kind in self._TEXT_EVENTS and isinstance(delta, str) else ""

    def whole_reply(self) -> Json | None:
        for (item, part), entries in self._logprobs.items():
            content = _value_at(self._whole, "output", item, "content", part)
            if isinstance(content, dict) and not content.get("logprobs"):
                content["logprobs"] = entries
        return self._whole

    def _add_logprobs(self, item: Json, part: Json, entries: Json) -> None:
        if isinstance(item, int) and isinstance(part, int) and isinstance(entries, list):
            self._logprobs.setdefault((item, part), []).extend(entries)


def _value_at(value: Json, *path: str | int) -> Json:
    """The value at `path`; None where there is none."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and 0 <= step < len(value) else None
    return value
