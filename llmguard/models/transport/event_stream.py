"""Server-sent events by the standard (WHATWG HTML, 9.2): bytes as they arrive, events as they end."""

from __future__ import annotations

from dataclasses import dataclass

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """`data`: its data lines, joined by line feeds. `name`: of its last `event` line, empty if it has none."""

    data: bytes
    name: str = ""


class EventStreamParser:
    """Events of a stream, however its bytes are cut. Each byte is read once.

    >>> parser = EventStreamParser()
    >>> parser.feed(b": a comment\\r\\ndata: 1\\rdata:2\\n")
    []
    >>> parser.feed(b"\\n")
    [ServerSentEvent(data=b'1\\n2', name='')]
    """

    __slots__ = ("_after_return", "_data", "_is_begun", "_name", "_rest", "stray_line")

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._data: list[bytes] = []
        self._name = ""
        self._is_begun = self._after_return = False
        self.stray_line = b""
        """The first line that holds JSON under no field of the standard, which ignores it. It may be an error that the server
        wrote as it is, or a damaged event."""

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that end in `chunk`."""
        if self._after_return and chunk:  # CR LF, cut between the two
            chunk, self._after_return = chunk.removeprefix(b"\n"), False
        if b"\n" not in chunk and b"\r" not in chunk:
            self._rest.append(chunk)
            return []
        text = b"".join(self._rest) + chunk
        self._after_return = text.endswith(b"\r")
        lines = text.splitlines()  # of bytes: at CR, LF and CR LF only
        self._rest = [] if text.endswith((b"\r", b"\n")) else [lines.pop()]
        return [event for line in lines if (event := self._read_line(line)) is not None]

    def finish(self) -> list[ServerSentEvent]:
        """What the stream ended in the middle of. The standard discards it; whether it is whole shows in its data."""
        rest, self._rest = b"".join(self._rest), []
        last = [self._read_line(rest) if rest else None, self._end_event()]
        return [event for event in last if event is not None]

    def _read_line(self, line: bytes) -> ServerSentEvent | None:
        if not self._is_begun:
            line, self._is_begun = line.removeprefix(BYTE_ORDER_MARK), True
        if not line:
            return self._end_event()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value.decode("utf-8", "replace")
        elif name not in (b"", b"id", b"retry") and not self.stray_line and b"{" in line:
            self.stray_line = line
        return None

    def _end_event(self) -> ServerSentEvent | None:
        data, name = self._data, self._name
        self._data, self._name = [], ""
        return ServerSentEvent(b"\n".join(data), name) if data else None
