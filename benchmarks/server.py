"""An OpenAI-compatible server on loopback without latency, in a process of its own, so that its CPU is not counted."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

VALUE = {"name": "Ada Lovelace", "age": 36, "email": "ada@example.com", "score": 0.97, "tags": ["math", "code"]}
BODY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "logprobs": None,
                "message": {"role": "assistant", "content": json.dumps(VALUE), "refusal": None},
            }
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 40, "total_tokens": 60},
    }
).encode()
REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


@contextmanager
def server() -> Iterator[str]:
    """The base URL of a server that lives as long as the block."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.server"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.kill()
        process.wait()


def big_text(size: int) -> str:
    """An object of about `size` characters with many items."""
    items = [
        {"id": number, "name": f"Instrument {number} \u00fc", "price": round(number * 1.25 + 0.5, 2), "tags": ["alpha"]}
        for number in range(max(1, size // 70))
    ]
    return json.dumps({"title": "Catalogue", "items": items, "summary": "All of it was checked."}, ensure_ascii=False)


def stream_of(text: str) -> bytes:
    """Server-sent events with deltas of four characters."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "bench"}
    pieces = [{"content": text[start : start + 4]} for start in range(0, len(text), 4)]
    choices = [{"index": 0, "delta": piece, "finish_reason": None} for piece in pieces]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    return b"".join(b"data: " + json.dumps({**head, "choices": [each]}).encode() + b"\n\n" for each in choices)


STREAMS: dict[int, bytes] = {}


def _answer(connection: socket.socket, body: bytes) -> None:
    """A whole reply; of a model named `big:<size>`, a stream."""
    asked = json.loads(body)
    if not asked.get("stream"):
        connection.sendall(REPLY)
        return
    size = int(asked["model"].partition(":")[2])
    events = STREAMS.get(size) or STREAMS.setdefault(size, stream_of(big_text(size)) + b"data: [DONE]\n\n")
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for start in range(0, len(events), 3_000):
        piece = events[start : start + 3_000]
        connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
    connection.sendall(b"0\r\n\r\n")


def _serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    waiting = b""
    while True:
        head, found, rest = waiting.partition(b"\r\n\r\n")
        if found:
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(rest) >= length:
                _answer(connection, rest[:length])
                waiting = rest[length:]
                continue
        received = connection.recv(65536)
        if not received:
            return
        waiting += received


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
