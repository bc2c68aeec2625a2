"""A streamed reply: its events as they arrive, collected into the body that the server would have sent whole.

The body is read by the same code as one that came whole, so that both give the same answer.
"""

from __future__ import annotations

from typing import Protocol

from llmguard.core.canonical import Json
from llmguard.core.model import Emit
from llmguard.models.openai.server_errors import error_in_body, is_plainly_error
from llmguard.models.transport.event_stream import EventStreamParser, ServerSentEvent
from llmguard.models.transport.exchange import parse_json_body

DONE = b"[DONE]"
_WITHOUT_CONTENT = frozenset(("ping", "heartbeat", "keepalive", "keep-alive"))
"""Names of events that only keep a connection open. A name that is missing here makes the reply malformed, if its data is no
JSON: a part of the reply would be lost otherwise."""


class EventCollector(Protocol):
    """Collects the events of one API. `damage`: why the events are not a whole reply, empty if they are."""

    damage: str

    @property
    def has_ended(self) -> bool:
        """Whether the reply has come to its end, or to an error."""

    @property
    def needs_no_more(self) -> bool:
        """Whether nothing that counts can follow what has come."""

    @property
    def words_of_server(self) -> Json:
        """The last event that is no part of a reply: where the stream is cut, it may say why."""

    def add_event(self, event: Json, name: str) -> str:
        """The new text in the event, an object; `name` is the event's."""

    def add_error(self, error: Json) -> None:
        """An error that the server told in the stream."""

    def whole_reply(self) -> Json:
        """The body as the server would have sent it whole."""


class StreamReader:
    """Reads the bytes of a streamed reply and passes its text to `emit`; `stopped` once `emit` returned False."""

    def __init__(self, collector: EventCollector, emit: Emit) -> None:
        self.collector, self._emit = collector, emit
        self._parser = EventStreamParser()
        self._texts: list[str] = []
        self._chunks: list[bytes] = []
        self.has_events = self.stopped = self._is_done = self._is_over = self._is_cut = False
        self._damage = ""

    def add(self, chunk: bytes) -> bool:
        """Read the next bytes; False where no more are needed: the stream was stopped, has ended, or cannot be read."""
        self._chunks.append(chunk)
        self._is_over = self._is_over or not all(self._read_event(event) for event in self._parser.feed(chunk))
        return not self._is_over

    def finish(self) -> None:
        """No more bytes come."""
        if not self._is_over:
            for event in self._parser.finish():
                self._read_event(event)
            if self._damage:  # by where the connection ended
                self._damage, self._is_cut = "", True
        if self.has_events and self._parser.stray_line and not self.stopped:
            self._read_stray_line(self._parser.stray_line)

    @property
    def text(self) -> str:
        """What was emitted."""
        return "".join(self._texts)

    @property
    def body(self) -> bytes:
        """The bytes as received."""
        return b"".join(self._chunks)

    @property
    def damage(self) -> str:
        """Why the events are not a whole reply; empty if nothing is wrong with them."""
        return self._damage or self.collector.damage

    @property
    def is_whole(self) -> bool:
        """Whether the end of the reply has come, and not merely the end of the connection."""
        return not self._is_cut and (self._is_done or self.collector.has_ended)

    def _read_event(self, event: ServerSentEvent) -> bool:
        data = event.data.strip()
        if data == DONE:
            self._is_done = True
            return False
        if not data or event.name in _WITHOUT_CONTENT:
            return True
        try:
            return self._collect(parse_json_body(data), event.name)
        except ValueError as error:
            return self._read_lines(event, error)

    def _read_lines(self, event: ServerSentEvent, error: ValueError) -> bool:
        """An event whose data is no JSON: several objects, where a server leaves out the empty lines between events; the words
        of an error; or damage."""
        self.has_events = True
        if event.name == "error":
            self.collector.add_error(event.data.decode("utf-8", "replace"))
            return False
        lines = event.data.split(b"\n")
        if len(lines) > 1 and all(line.strip() == DONE or _is_object(line) for line in lines):
            return all(self._read_event(ServerSentEvent(line, event.name)) for line in lines)
        start = event.data[:80].decode("utf-8", "replace")
        self._damage = f"an event of the stream cannot be read: {start!r} ({error})"
        return False

    def _collect(self, value: Json, name: str) -> bool:
        self.has_events = True
        if name == "error" and not (isinstance(value, dict) and value.get("error")):
            self.collector.add_error(value)
            return False
        if not isinstance(value, dict):
            self._damage = f"an event of the stream is no object: {str(value)[:80]!r}"
            return False
        text = self.collector.add_event(value, name)
        if text:
            self._texts.append(text)
            self.stopped = not self._emit(text)
        return not (self.stopped or self.damage or self.collector.needs_no_more)

    def _read_stray_line(self, line: bytes) -> None:
        """An error that stands in the stream without a field, or in the field `error` (llama.cpp); else damage."""
        try:
            value = parse_json_body(line[line.index(b"{") :])
        except ValueError:
            value = None
        if isinstance(value, dict) and (line.startswith(b"error:") or error_in_body(value) or is_plainly_error(value)):
            self.collector.add_error(value.get("error") or value)
        else:
            start = line[:80].decode("utf-8", "replace")
            self._damage = self._damage or f"a line of the stream is no part of an event: {start!r}"


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(parse_json_body(line), dict)
    except ValueError:
        return False
