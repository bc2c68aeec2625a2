"""CPU of a streamed reply, watched and shown as it grows, against the bare text stream of the `openai` client."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks.server import big_text, server

SIZES = (2_000, 20_000, 100_000)
ITEM = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "name": {"type": "string"},
        "price": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["id", "name", "price", "tags"],
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "items": {"type": "array", "items": ITEM},
        "summary": {"type": "string"},
    },
    "required": ["title", "items", "summary"],
    "additionalProperties": False,
}


def bare(base_url: str, size: int) -> Callable[[], int]:
    from openai import OpenAI

    client = OpenAI(base_url=base_url, api_key="x")
    messages: Any = [{"role": "user", "content": "list"}]

    def call() -> int:
        texts = []
        for event in client.chat.completions.create(model=f"big:{size}", messages=messages, stream=True):
            if event.choices and event.choices[0].delta.content:
                texts.append(event.choices[0].delta.content)
        assert json.loads("".join(texts)) == json.loads(big_text(size))
        return len(texts)

    return call


def watched(base_url: str, size: int) -> Callable[[], int]:
    from llmguard import Guard, OpenAIModel

    model = OpenAIModel(f"big:{size}", base_url=base_url, api_key="x")
    guard = Guard("big", prompt="list", schema=SCHEMA, models=[model], log=None)

    def call() -> int:
        with guard.stream() as stream:
            shown = sum(1 for _ in stream)
        assert stream.outcome.value == json.loads(big_text(size))
        return shown

    return call


def cpu_ms(call: Callable[[], int]) -> tuple[float, int]:
    began = time.process_time()
    shown = call()
    return (time.process_time() - began) * 1e3, shown


def main() -> None:
    with server() as base_url:
        print("CPU of one streamed reply (ms)           bare  watched  ratio  partials")
        found = []
        for size in SIZES:
            calls = bare(base_url, size), watched(base_url, size)
            for call in calls:
                call()
            rows = [(cpu_ms(calls[0])[0], *cpu_ms(calls[1])) for _ in range(7)]
            one, other = median(row[0] for row in rows), median(row[1] for row in rows)
            found.append(other)
            print(f"{size:>7} characters                    {one:8.1f} {other:8.1f} {other / one:6.2f} {rows[0][2]:9}")
    slope = math.log(found[-1] / found[0]) / math.log(SIZES[-1] / SIZES[0])
    print(f"growth exponent of the watched stream    {slope:8.2f}")


if __name__ == "__main__":
    main()
