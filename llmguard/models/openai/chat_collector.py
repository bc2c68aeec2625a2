"""The chunks of a streamed chat completion as the completion that the server would have sent whole.

Chunks belong to their choice by `index`; fragments of tool calls to their call by `index` and id.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from operator import attrgetter

from llmguard.core.canonical import Json
from llmguard.models.openai.reply import is_complete_end, join_parts, text_of_arguments
from llmguard.models.openai.server_errors import describe_error, error_in_body, is_plainly_error

_COPIED = ("id", "model", "usage")
_JOINED = ("refusal", "reasoning_content", "reasoning")
"""Members of a message, beside `content`, whose pieces are texts."""


class ChatCollector:
    """Chunks of one chat completion."""

    needs_no_more = False
    """The counts of tokens may follow the last text."""

    def __init__(self) -> None:
        self._whole: dict[str, Json] = {}
        self._choices: dict[Json, _Choice] = {}
        self._foreign: Json = None
        self.damage = ""

    @property
    def has_ended(self) -> bool:
        return "error" in self._whole or any(choice.finish_reasons for choice in self._choices.values())

    def add_error(self, error: Json) -> None:
        self._whole["error"] = describe_error(error)

    def add_event(self, event: Json, name: str) -> str:
        self._whole.update({name: event[name] for name in _COPIED if event.get(name)})
        choices = event.get("choices")
        error = error_in_body(event) or (event if not choices and is_plainly_error(event) else None)
        if error is not None:
            self.add_error(error)
        if choices is None or choices == []:
            self._foreign = event
            return ""
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            self.damage = f"expected choices in an event of the stream, found {str(choices)[:200]}"
            return ""
        return "".join([self._add_choice(choice) for choice in choices])

    def whole_reply(self) -> Json:
        if "error" in self._whole:
            return {name: self._whole[name] for name in self._whole if name != "id"}
        if not self._choices and self._foreign is not None:
            return self._foreign
        return {**self._whole, "choices": [choice.to_json() for choice in self._choices.values()]}

    @property
    def words_of_server(self) -> Json:
        """The last event without a part of the reply: where a stream is cut, it may say why."""
        return self._foreign

    def _add_choice(self, chunk: Json) -> str:
        index = chunk.get("index")
        key = 0 if index is None else str(index)
        key = 0 if key == "0" else key
        choice = self._choices.get(key)
        if choice is None:
            choice = self._choices[key] = _Choice(0 if index is None else index)
        text = choice.add(chunk)
        self.damage = self.damage or choice.damage
        return text if choice is next(iter(self._choices.values())) else ""


class _Choice:
    """One choice. A `delta` is a piece of its message; a `message` is the whole of it so far."""

    def __init__(self, index: Json) -> None:
        self._index = index
        self._content: list[Json] = []
        self._texts: dict[str, list[str]] = {}
        self._calls = _Calls()
        self._function_call: _Call | None = None
        self._messages: list[Json] = []
        self._logprobs: list[Json] = []
        self._others: dict[str, Json] = {}
        self._has_delta = False
        self.finish_reasons: list[Json] = []
        self.damage = ""

    def add(self, chunk: Json) -> str:
        reason = chunk.get("finish_reason")
        if reason not in (None, "", "null"):  # DashScope spells the absence of a reason so
            self.finish_reasons.append(reason)
        logprobs = chunk.get("logprobs")
        if isinstance(logprobs, dict) and isinstance(logprobs.get("content"), list):
            self._logprobs += logprobs["content"]
        if isinstance(chunk.get("error"), dict):
            self._others["error"] = chunk["error"]
        delta, message = chunk.get("delta"), chunk.get("message")
        if isinstance(message, dict):
            self._messages.append(message)
        if delta is None and message is None and isinstance(chunk.get("text"), str):
            delta = {"content": chunk["text"]}  # the older completions API
        if delta is None or isinstance(delta, dict):
            return self._add_delta(delta) if delta else ""
        self.damage = f"expected a delta in a choice of the stream, found {str(delta)[:200]}"
        return ""

    def to_json(self) -> Json:
        choice = {"index": self._index, "message": self._message(), "finish_reason": self._finish_reason()}
        return {**choice, "logprobs": {"content": self._logprobs}, **self._others}

    def _add_delta(self, delta: Json) -> str:
        self._has_delta = True
        texts = []
        content = delta.get("content")
        if content not in (None, ""):
            self._content.append(content)
            texts.append(join_parts(content).text)
        for name in _JOINED:
            if isinstance(delta.get(name), str):
                self._texts.setdefault(name, []).append(delta[name])
        calls = delta.get("tool_calls")
        texts += [self._calls.add(call) for call in (calls if isinstance(calls, list) else [calls] if calls else ())]
        if isinstance(delta.get("function_call"), dict):
            self._function_call = self._function_call or _Call({})
            texts.append(self._function_call.add(delta["function_call"]))
        return "".join(texts)

    def _message(self) -> Json:
        if not self._has_delta:
            return self._whole_message()
        message: dict[str, Json] = {"role": "assistant", "content": _join_pieces(self._content)}
        message |= {name: "".join(pieces) for name, pieces in self._texts.items()}
        if calls := self._calls.to_json():
            message["tool_calls"] = calls
        if self._function_call is not None:
            message["function_call"] = self._function_call.function()
        return message

    def _whole_message(self) -> Json:
        """The last of the messages where each goes on with the one before, else the one that their contents join to."""
        if len(self._messages) < 2:
            return self._messages[0] if self._messages else {"role": "assistant", "content": None}
        contents = [message["content"] for message in self._messages if isinstance(message.get("content"), str)]
        contents = [content for content in contents if content]
        growing = [later.startswith(earlier) for earlier, later in pairwise(contents)]
        last = {name: value for message in self._messages for name, value in message.items() if value}
        if all(growing):
            return {**last, "content": contents[-1] if contents else last.get("content")}
        if any(growing):
            self.damage = "the messages of the stream are neither pieces nor wholes"
        return {**last, "content": "".join(contents)}

    def _finish_reason(self) -> Json:
        """The first one that is no complete end, for a later "stop" does not mend a cut; else the last."""
        broken = [reason for reason in self.finish_reasons if not is_complete_end(reason)]
        return broken[0] if broken else (self.finish_reasons or [None])[-1]


class _Calls:
    """The tool calls of a message, whose fragments may alternate."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}

    def add(self, fragment: Json) -> str:
        """The new text of the first call."""
        if not isinstance(fragment, dict):
            self._calls.append(_Call(fragment))
            return ""
        index, id_ = fragment.get("index"), fragment.get("id")
        function = fragment.get("function")
        is_named = isinstance(function, dict) and bool(function.get("name"))
        call = self._call_of(index, id_ if isinstance(id_, str) else "", is_named)
        if call is None:
            call = _Call({name: value for name, value in fragment.items() if name != "function"})
            self._calls.append(call)
        if isinstance(index, int):
            self._by_index[index] = call
        if isinstance(id_, str) and id_:
            self._by_id.setdefault(id_, call)
        text = call.add(function) if isinstance(function, dict) else ""
        return text if call is self._calls[0] else ""

    def _call_of(self, index: Json, id_: str, is_named: bool) -> _Call | None:
        """The call that a fragment goes on with. Some servers give each of several whole calls the index 0, and some repeat
        the name, or make up an id, in each fragment."""
        if isinstance(index, int):
            call = self._by_index.get(index)
            is_other = call is not None and id_ and call.id and id_ != call.id and is_named
            return None if is_other else call
        if id_ and (id_ in self._by_id or is_named):
            return self._by_id.get(id_)
        last = self._calls[-1] if self._calls else None
        return None if last is not None and is_named and last.looks_whole else last

    def to_json(self) -> list[Json]:
        """In the order of their indexes, where each has one."""
        calls = self._calls
        if all(isinstance(call.index, int) for call in calls):
            calls = sorted(calls, key=attrgetter("index"))
        return [call.to_json() for call in calls]


class _Call:
    def __init__(self, fields: Json) -> None:
        self._fields = fields
        self._function: dict[str, Json] = {}
        self._arguments: list[Json] = []

    @property
    def index(self) -> Json:
        return self._fields.get("index") if isinstance(self._fields, dict) else None

    @property
    def id(self) -> Json:
        return self._fields.get("id") if isinstance(self._fields, dict) else None

    @property
    def looks_whole(self) -> bool:
        last = self._arguments[-1] if self._arguments else None
        return isinstance(last, dict) or (isinstance(last, str) and last.rstrip().endswith("}"))

    def add(self, function: Json) -> str:
        self._function |= {name: value for name, value in function.items() if name != "arguments" and value}
        arguments = function.get("arguments")
        if arguments in (None, ""):
            return ""
        self._arguments.append(arguments)
        return text_of_arguments(arguments) or ""

    def function(self) -> Json:
        arguments = self._arguments
        texts = [text_of_arguments(piece) for piece in arguments]
        if len(arguments) > 1 and all(text is not None for text in texts):
            return {**self._function, "arguments": "".join(map(str, texts))}
        return {**self._function, "arguments": arguments[0] if len(arguments) == 1 else arguments or None}

    def to_json(self) -> Json:
        if not isinstance(self._fields, dict):
            return self._fields
        return {**self._fields, "function": self.function()}


def _join_pieces(pieces: Sequence[Json]) -> Json:
    """The content of a message: a text where all pieces are texts, else its parts, else what is neither."""
    if all(isinstance(piece, str) for piece in pieces):
        return "".join(pieces) or None
    parts: list[Json] = []
    for piece in pieces:
        if isinstance(piece, list):
            parts += piece
        elif isinstance(piece, str):
            parts.append({"type": "text", "text": piece})
        elif isinstance(piece, dict):
            parts.append(piece)
        else:
            return piece
    return parts
