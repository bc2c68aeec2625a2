"""The events of a streamed response of the Responses API as the response that the server would have sent whole.

Its last event has the whole response, at some servers without output or without log-probabilities: then the items that were
done count, or what their deltas join to.
"""

from __future__ import annotations

from llmguard.core.canonical import Json
from llmguard.models.openai.server_errors import describe_error, error_in_body, is_plainly_error

_LAST_EVENTS = {
    "response.completed": "completed",
    "response.done": "completed",  # OpenRouter, at first
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}
_TEXTS = {"output_text": ("text", "message"), "refusal": ("refusal", "message")}
"""The middle of an event's type -> the member of a part with this text, and the type of its item."""
_MOST_ITEMS = 10_000
"""Of a response, and of the parts of an item."""


class ResponseCollector:
    """Events of one response."""

    def __init__(self) -> None:
        self._response: dict[str, Json] = {}
        self._error: Json = None
        self._items: dict[int, _Item] = {}
        self._logprobs: dict[tuple[int, int], list[Json]] = {}
        self._foreign: Json = None
        self.has_ended = False
        self.damage = ""

    @property
    def needs_no_more(self) -> bool:
        return self.has_ended

    @property
    def words_of_server(self) -> Json:
        """The last event of an unknown type: where a stream is cut, it may say why."""
        return self._foreign

    def add_error(self, error: Json) -> None:
        self._error, self.has_ended = describe_error(error), True

    def add_event(self, event: Json, name: str) -> str:
        kind = event.get("type") or name
        if not isinstance(kind, str) or not kind.startswith("response."):
            return self._add_other(event)
        if isinstance(event.get("response"), dict):
            self._response |= event["response"]
        if kind in _LAST_EVENTS:
            self._response.setdefault("status", _LAST_EVENTS[kind])
            self.has_ended = True
            if self._response["status"] in ("queued", "in_progress"):
                self._response["status"] = _LAST_EVENTS[kind]
            return ""
        return self._add_part(event, kind.removeprefix("response."))

    def whole_reply(self) -> Json:
        if self._error is not None:
            return {"error": self._error, **{name: self._response.get(name) for name in ("model", "usage")}}
        if not self._response and not self._items:
            return self._foreign
        whole = dict(self._response)
        if not any(_holds_text(item) for item in _list(whole.get("output"))):
            whole["output"] = [item.to_json() for _, item in sorted(self._items.items())] or whole.get("output")
        if not self.has_ended and whole.get("status") in ("queued", "in_progress"):  # the stream ended with [DONE]
            del whole["status"]
        return self._with_logprobs(whole)

    def _add_other(self, event: Json) -> str:
        """An error, or an event of no meaning here."""
        if (error := error_in_body(event)) is not None:
            self.add_error(error)
        elif is_plainly_error(event):
            self.add_error(event)
        elif isinstance(event.get("output"), list):  # the whole response as one event
            self._response, self.has_ended = event, True
        else:
            self._foreign = event
        return ""

    def _add_part(self, event: Json, kind: str) -> str:
        index = event.get("output_index")
        middle, _, last = kind.rpartition(".")
        if last not in ("delta", "done", "added") or not _is_position(index, absent_is_first=True):
            return ""
        if middle not in (*_TEXTS, "function_call_arguments", "output_item", "content_part"):
            return ""
        item = self._items.setdefault(index or 0, _Item())
        if middle == "output_item":
            item.add_item(event.get("item"), is_done=last == "done")
            return ""
        text = item.add_part(event, middle, is_done=last == "done")
        if text is None:
            self.damage = f"expected text in an event {kind!r} of the stream, found {str(event)[:200]}"
            return ""
        if middle == "output_text" and last == "delta":
            self._add_logprobs(index, event.get("content_index"), event.get("logprobs"))
        return "" if item.is_commentary or middle == "refusal" else text

    def _add_logprobs(self, item: Json, part: Json, entries: Json) -> None:
        if _is_position(item) and _is_position(part) and isinstance(entries, list):
            self._logprobs.setdefault((item, part), []).extend(entries)

    def _with_logprobs(self, whole: Json) -> Json:
        for (item, part), entries in self._logprobs.items():
            content = _value_at(whole, "output", item, "content", part)
            if isinstance(content, dict) and not content.get("logprobs"):
                content["logprobs"] = entries
        return whole


class _Item:
    """One item of the output: as it was added, its parts as they grow, and as it was done."""

    def __init__(self) -> None:
        self._added: Json = None
        self._done: Json = None
        self._parts: dict[int, tuple[str, list[str]]] = {}
        self._done_parts: dict[int, Json] = {}
        self._arguments: list[str] = []
        self._is_call = False

    @property
    def is_commentary(self) -> bool:
        return isinstance(self._added, dict) and self._added.get("phase") == "commentary"

    def add_item(self, item: Json, *, is_done: bool) -> None:
        if is_done:
            self._done = item
        else:
            self._added = item

    def add_part(self, event: Json, kind: str, *, is_done: bool) -> str | None:
        """The new text; None where the event has none."""
        if kind == "function_call_arguments":
            self._is_call = True
            text = event.get("arguments" if is_done else "delta")
            if not isinstance(text, str):
                return None
            if is_done:
                self._arguments.clear()
            self._arguments.append(text)
            return "" if is_done else text
        number = event.get("content_index")
        if not _is_position(number, absent_is_first=True):
            return ""
        number = number or 0
        if kind == "content_part":
            if is_done:
                self._done_parts[number] = event.get("part")
            return ""
        member, _ = _TEXTS[kind]
        text = event.get(member if is_done else "delta")
        if not isinstance(text, str):
            return None
        pieces = self._parts.setdefault(number, (kind, []))[1]
        if is_done:
            pieces.clear()
        pieces.append(text)
        return "" if is_done else text

    def to_json(self) -> Json:
        """As it was done, if that has its text; else as it grew."""
        if self._done is not None and _holds_text(self._done):
            return self._done
        given = self._done if isinstance(self._done, dict) else self._added
        item = dict(given) if isinstance(given, dict) else {"type": "function_call" if self._is_call else "message"}
        if self._is_call:
            return {**item, "arguments": "".join(self._arguments)}
        if not self._parts and not self._done_parts:
            return item
        numbers = sorted({*self._parts, *self._done_parts})
        item["content"] = [self._part(number) for number in numbers]
        return {name: value for name, value in item.items() if name != "status" or self._done is not None}

    def _part(self, number: int) -> Json:
        done = self._done_parts.get(number)
        if number not in self._parts or (isinstance(done, dict) and _part_holds_text(done)):
            return done
        kind, pieces = self._parts[number]
        return {"type": kind, _TEXTS[kind][0]: "".join(pieces)}


def _holds_text(item: Json) -> bool:
    if not isinstance(item, dict):
        return False
    if item.get("arguments"):
        return True
    content = item.get("content")
    return bool(content) if isinstance(content, str) else any(_part_holds_text(part) for part in _list(content))


def _part_holds_text(part: Json) -> bool:
    return (
        isinstance(part, dict)
        and part.get("type") != "reasoning_text"
        and bool(part.get("text") or part.get("refusal"))
    )


def _is_position(value: Json, *, absent_is_first: bool = False) -> bool:
    if value is None:
        return absent_is_first
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_ITEMS


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _value_at(value: Json, *path: str | int) -> Json:
    """The value at `path`; None where there is none."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and 0 <= step < len(value) else None
    return value
