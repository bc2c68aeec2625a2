"""CPU per guarded call with its outcome durable at return, against the bare `openai` client with `json.loads`.

Both talk to a local server without latency, in interleaved rounds, so that a busy machine hits both. CPU is the whole
process's (the log's writer thread counts); a ratio is read within one run.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.server import VALUE, server

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "age", "email", "score", "tags"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 100},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "email": {"type": "string", "pattern": "^[^@ ]+@[^@ ]+$"},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 10},
    },
}
PROMPT = "Extract the person from: {{ text }}"
TEXT = "Ada Lovelace, 36, ada@example.com"
ROUNDS, CALLS = 9, 150


def bare(base_url: str) -> Callable[[], object]:
    from openai import OpenAI

    client = OpenAI(base_url=base_url, api_key="x")
    messages: Any = [{"role": "user", "content": f"Extract the person from: {TEXT}"}]

    def call() -> object:
        reply = client.chat.completions.create(model="bench", messages=messages)
        return json.loads(reply.choices[0].message.content or "")

    return call


def guard(base_url: str, folder: Path) -> Any:
    from llmguard import Guard, OpenAIModel

    model = OpenAIModel("bench", base_url=base_url, api_key="x")
    return Guard("bench", prompt=PROMPT, schema=SCHEMA, models=[model], log=f"sqlite:///{folder}/bench.db")


def cpu_us(call: Callable[[], object], between_s: float = 0.0) -> float:
    """CPU microseconds per call of the whole process, pauses between calls included in time but not in CPU."""
    began = time.process_time()
    for _ in range(CALLS):
        assert call() == VALUE
        if between_s:
            time.sleep(between_s)
    return (time.process_time() - began) / CALLS * 1e6


def with_fdatasync(call: Callable[[], object], folder: Path) -> Callable[[], object]:
    """What any client pays that has something on the disk when it returns."""
    target = os.open(folder / "bare", os.O_CREAT | os.O_WRONLY)

    def synced() -> object:
        value = call()
        os.pwrite(target, b"x" * 4096, 0)
        os.fdatasync(target)
        return value

    return synced


def compare(first: Callable[[], object], second: Callable[[], object], between_s: float = 0.0) -> tuple[float, float]:
    """Medians over interleaved rounds."""
    rows = [(cpu_us(first, between_s), cpu_us(second, between_s)) for _ in range(ROUNDS)]
    return median(row[0] for row in rows), median(row[1] for row in rows)


def in_loop(base_url: str, folder: Path) -> tuple[float, float]:
    """The same with the async clients, one call after the other."""
    from openai import AsyncOpenAI

    guarded = guard(base_url, folder)
    client = AsyncOpenAI(base_url=base_url, api_key="x")
    messages: Any = [{"role": "user", "content": f"Extract the person from: {TEXT}"}]

    async def abare() -> object:
        reply = await client.chat.completions.create(model="bench", messages=messages)
        return json.loads(reply.choices[0].message.content or "")

    async def aguarded() -> object:
        return await guarded.acall(text=TEXT)

    with asyncio.Runner() as runner:
        run = runner.run
        return compare(lambda: run(abare()), lambda: run(aguarded()))


def main() -> None:
    with server() as base_url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain, guarded = bare(base_url), guard(base_url, folder)
        for call in (plain, lambda: guarded(text=TEXT)):
            cpu_us(call)
        print("CPU per call, outcome durable at return (µs)      bare  llmguard  ratio")
        for title, rows in (
            ("sync, hot loop", compare(plain, lambda: guarded(text=TEXT))),
            (
                "the same, one fdatasync after each bare call",
                compare(with_fdatasync(plain, folder), lambda: guarded(text=TEXT)),
            ),
            ("sync, 8 ms between calls", compare(plain, lambda: guarded(text=TEXT), 0.008)),
            ("async, one after the other", in_loop(base_url, folder)),
        ):
            print(f"{title:45s} {rows[0]:8.0f} {rows[1]:9.0f} {rows[1] / rows[0]:6.2f}")


if __name__ == "__main__":
    main()
