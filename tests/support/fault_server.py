"""A real HTTP/1.1 server on 127.0.0.1 that answers by a script, faults included: raw sockets, a thread per connection."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    target: str
    headers: dict[str, str]
    raw_body: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw_body)


Script: TypeAlias = Callable[[socket.socket, Request], None]
"""Answers one request on its connection; where it returns without closing it, the connection stays open for the next."""


@dataclass
class FaultServer:
    """Answers each request with the next script, and with the last one for ever. Use it in a `with` statement."""

    scripts: Iterable[Script]
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> FaultServer:
        self._left = list(self.scripts)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._accepting.join(5)
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # gone already
                continue

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            with self._lock:
                self._open.add(connection)
            try:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while (request := read_request(connection)) is not None:
                    self._next(request)(connection, request)
            except OSError:  # the client is gone, or the script closed the connection
                return
            finally:
                with self._lock:
                    self._open.discard(connection)

    def _next(self, request: Request) -> Script:
        with self._lock:
            self.requests.append(request)
            return self._left.pop(0) if len(self._left) > 1 else self._left[0]


def read_request(connection: socket.socket) -> Request | None:
    """The next request; None where the client closed the connection."""
    buffer = b""
    while b"\r\n\r\n" not in buffer:
        if not (chunk := connection.recv(65_536)):
            return None
        buffer += chunk
    head, _, body = buffer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        if not (chunk := connection.recv(65_536)):
            return None
        body += chunk
    return Request(first.split()[1], headers, body)


# --- answers


def answer(status: int, body: object, *, chunked: bool = False, **headers: str) -> Script:
    """A whole answer; a body that is no bytes is sent as JSON. `retry_after="1"` is the header Retry-After."""

    def send(connection: socket.socket, request: Request) -> None:
        connection.sendall(message(status, body(request) if callable(body) else body, chunked=chunked, **headers))

    return send


def message(status: int, body: object, *, chunked: bool = False, **headers: str) -> bytes:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"content_type": "application/json", **headers}
    if chunked:
        fields["transfer_encoding"] = "chunked"
        text = b"%x\r\n%b\r\n0\r\n\r\n" % (len(text), text) if text else b"0\r\n\r\n"
    else:
        fields.setdefault("content_length", str(len(text)))
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items()]
    return f"HTTP/1.1 {status} Said\r\n{''.join(lines)}\r\n".encode("latin-1") + text


def raw(text: bytes) -> Script:
    """Sends the bytes and closes the connection: a reply that is cut, or that is no HTTP."""

    def send(connection: socket.socket, request: Request) -> None:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_RDWR)

    return send


def reset(connection: socket.socket, request: Request) -> None:
    """Ends the connection by RST instead of an answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hang(connection: socket.socket, request: Request) -> None:
    """Never answers; returns when the client gives up."""
    while connection.recv(65_536):
        continue


def drip(text: bytes, after: int = 0, every_s: float = 0.1) -> Script:
    """Sends `after` bytes at once, and the others one by one."""

    def send(connection: socket.socket, request: Request) -> None:
        connection.sendall(text[:after])
        for number in range(after, len(text)):
            time.sleep(every_s)
            connection.sendall(text[number : number + 1])

    return send


# --- what a model says


def chat(
    content: object = '{"x": 1}', *, finish_reason: object = "stop", usage: object = "given", **said: object
) -> Any:
    """A chat completion."""
    tokens = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": content, **said}}
    reply = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "served", "choices": [choice]}
    return {**reply, "usage": tokens} if usage == "given" else reply


def call_of(arguments: object, name: str = "thing") -> dict[str, Any]:
    """A message that calls a tool."""
    call = {"id": "t-1", "type": "function", "function": {"name": name, "arguments": arguments}}
    return chat(None, finish_reason="tool_calls", tool_calls=[call])


def response(*output: object, status: str = "completed", **said: object) -> Any:
    """A response of the Responses API; a text stands for a message."""
    items = [_message(item) if isinstance(item, str) else item for item in output]
    usage = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
    reply = {"id": "r-1", "object": "response", "model": "served", "status": status, "error": None}
    return {**reply, "incomplete_details": None, "output": items, "usage": usage, **said}


def _message(text: str, **said: object) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "role": "assistant", "status": "completed", "content": [part], **said}


def error(text: str, *, code: object = None, type: str = "invalid_request_error", param: object = None) -> Any:
    """An error in OpenAI's spelling."""
    return {"error": {"message": text, "type": type, "param": param, "code": code}}
