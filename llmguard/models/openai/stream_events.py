"""A streamed reply: server-sent events as their bytes come, and at the end the reply as if it had come whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import orjson

from llmguard.core.canonical import Json
from llmguard.core.model import Emit
from llmguard.models.openai.chat_completions import logprobs_in


class Collector(Protocol):
    """Gathers the events of one API. `take` returns the text that is new; `reply` is the whole, or None if it was cut."""

    def take(self, event: Json) -> str: ...
    def reply(self) -> Json | None: ...


class Streamed:
    """Hears the bytes of a reply and hands on its text; `stopped` once `emit` wants no more."""

    def __init__(self, collector: Collector, emit: Emit) -> None:
        self.collector, self._emit = collector, emit
        self._rest: list[bytes] = []
        self._texts: list[str] = []
        self.any = self.stopped = False

    def add(self, chunk: bytes) -> bool:
        """Takes the next bytes; False where no more are wanted. Each is looked at once, however the lines are cut."""
        if b"\n" not in chunk:
            self._rest.append(chunk)
            return True
        *lines, rest = (b"".join(self._rest) + chunk).split(b"\n")
        self._rest = [rest]
        return all(self._line(line.rstrip(b"\r")) for line in lines)

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def _line(self, line: bytes) -> bool:
        """Only `data:` counts; comments, names and ids of events say nothing that is not in it (WHATWG HTML, 9.2.6)."""
        if not line.startswith(b"data:"):
            return True
        data = line[5:].strip()
        if data == b"[DONE]":
            self.any = True
            return True
        try:
            event = orjson.loads(data)
        except ValueError:
            return True
        self.any = True
        text = self.collector.take(event) if isinstance(event, dict) else ""
        if text:
            self._texts.append(text)
            self.stopped = not self._emit(text)
        return not self.stopped


class ChatCollector:
    """Chunks of a chat completion (the first choice of each)."""

    def __init__(self) -> None:
        self._whole: dict[str, Json] = {}
        self._said: dict[str, list[str]] = {"content": [], "refusal": [], "arguments": []}
        self._finished: Json = None
        self._logprobs: list[Json] = []

    def take(self, event: Json) -> str:
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
                self._said[name].append(text)
        return "".join(text for name in ("content", "arguments") if isinstance(text := new[name], str))

    def reply(self) -> Json | None:
        if self._finished is None and "error" not in self._whole:
            return None
        said = {name: "".join(texts) or None for name, texts in self._said.items()}
        message: dict[str, Json] = {"content": said["content"], "refusal": said["refusal"]}
        if said["arguments"]:
            message["tool_calls"] = [{"function": {"arguments": said["arguments"]}}]
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
    """Events of the Responses API; the last one carries the whole response, at some servers without log-probabilities."""

    _TEXTS = ("response.output_text.delta", "response.function_call_arguments.delta")
    _ENDS = ("response.completed", "response.incomplete", "response.failed")

    def __init__(self) -> None:
        self._whole: Json | None = None
        self._logprobs: dict[tuple[int, int], list[Json]] = {}

    def take(self, event: Json) -> str:
        kind = event.get("type")
        if kind in self._ENDS:
            self._whole = event.get("response")
        elif kind == "error":
            self._whole = {"error": event}
        if kind in self._TEXTS and event.get("logprobs"):
            self._add_logprobs(event.get("output_index"), event.get("content_index"), event["logprobs"])
        delta = event.get("delta")
        return delta if kind in self._TEXTS and isinstance(delta, str) else ""

    def reply(self) -> Json | None:
        for (item, part), entries in self._logprobs.items():
            said = _at(self._whole, "output", item, "content", part)
            if isinstance(said, dict) and not said.get("logprobs"):
                said["logprobs"] = entries
        return self._whole

    def _add_logprobs(self, item: Json, part: Json, entries: Json) -> None:
        if isinstance(item, int) and isinstance(part, int) and isinstance(entries, list):
            self._logprobs.setdefault((item, part), []).extend(entries)


def _at(value: Json, *path: str | int) -> Json:
    """What stands at `path`; None where nothing does."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and 0 <= step < len(value) else None
    return value


COLLECTORS: dict[str, Callable[[], Collector]] = {"chat": ChatCollector, "responses": ResponseCollector}
