"""What reading a reply costs: a valid one against `json.loads`, validation against jsonschema-rs, repair against json_repair.

    python -m benchmarks.parsing

CPU of this thread, the best of several runs; a ratio is read within one run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import jsonschema_rs
import orjson

from llmguard.core.canonical import Json
from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import read
from llmguard.parsing.syntax import parse_candidates
from llmguard.schema import compile_schema

ITEM = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "name", "price", "active", "tags"],
    "properties": {
        "id": {"type": "integer", "minimum": 0},
        "name": {"type": "string", "minLength": 1},
        "price": {"type": "number", "minimum": 0},
        "active": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["title", "items", "summary"],
    "properties": {
        "title": {"type": "string"},
        "items": {"type": "array", "items": ITEM},
        "summary": {"type": "string"},
    },
}
DAMAGED_CHARS = 100_000


def catalogue(chars: int) -> dict[str, Json]:
    """A value of the schema whose JSON has about so many characters."""
    items = [
        {
            "id": n,
            "name": f"Instrument number {n} ü",
            "price": round(n * 1.25 + 0.5, 2),
            "active": n % 3 == 0,
            "tags": ["a", "b"],
        }
        for n in range(max(1, (chars - 120) // 92))
    ]
    return {"title": "Catalogue of instruments", "items": items, "summary": "All of them were checked by hand."}


def damaged(value: Json) -> Iterator[tuple[str, str]]:
    """(damage, text) for each way in which models spoil JSON."""
    text = json.dumps(value, ensure_ascii=False)
    yield "trailing commas", text.replace("}]", "},]").replace('"]}', '",]}')
    yield "missing commas", text.replace("}, {", "}\n {")
    yield "single quotes", text.replace('"', "'")
    yield "typographic quotes", "".join(part + "“”"[n % 2] for n, part in enumerate(text.split('"')))[:-1]
    yield "bare keys", text.replace('"id":', "id:").replace('"name":', "name:").replace('"price":', "price:")
    yield "comments", text.replace("}, {", "}, // next item\n {")
    yield "Python words", text.replace("true", "True").replace("false", "False")
    yield "missing closer", text[:-1]
    yield "fence and prose", f"Sure, here it is:\n```json\n{text}\n```\nHope it helps."
    yield "cut off at 90 %", text[: len(text) * 9 // 10]


def cpu_us(call: Callable[[], object], calls: int, rounds: int = 7) -> float:
    """CPU microseconds of one call, the best of several rounds."""
    best = float("inf")
    for _ in range(rounds):
        began = time.thread_time()
        for _ in range(calls):
            call()
        best = min(best, (time.thread_time() - began) / calls)
    return best * 1e6


def no_twins(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """The duplicate-key hook that one writes by hand."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def valid(chars: int, *, escaped: bool = False) -> None:
    text, schema = json.dumps(catalogue(chars), ensure_ascii=escaped), compile_schema(SCHEMA)
    value, reply, bare = json.loads(text), ModelReply(text), jsonschema_rs.validator_for(SCHEMA, validate_formats=True)
    calls = max(5, 2_000_000 // len(text))
    hooked = cpu_us(lambda: json.loads(text, object_pairs_hook=no_twins), calls)
    quick = cpu_us(lambda: orjson.loads(text), calls)
    alone, ours = cpu_us(lambda: bare.is_valid(value), calls), cpu_us(lambda: schema.violations(value), calls)
    whole = cpu_us(lambda: read(reply, schema), calls)
    print(
        f"valid, {len(text):7,d} characters{' with escapes' * escaped}: read {whole:.1f} µs; json.loads with a hook {hooked:.1f},"
        f" orjson {quick:.1f}; without validation {(whole - ours) / hooked:.2f} times the hook; validation {ours:.1f},"
        f" {ours / alone:.2f} times jsonschema-rs; over orjson {whole - quick:+.1f} µs"
    )


def repair() -> None:
    try:
        import json_repair
    except ImportError:
        print("json_repair is not installed: repair is not compared")
        json_repair = None
    schema = compile_schema(SCHEMA)
    print(f"{'100 KB of damaged JSON, ms':30s} {'parse':>7s} {'read':>7s} {'json_repair':>12s} {'times':>6s}")
    for damage, text in damaged(catalogue(DAMAGED_CHARS)):
        cut = damage.startswith("cut")
        parsing = cpu_us(lambda text=text, cut=cut: parse_candidates(text, cut=cut), 1) / 1e3  # type: ignore[misc]
        reading = cpu_us(lambda text=text: read(ModelReply(text), schema), 1) / 1e3  # type: ignore[misc]
        theirs = cpu_us(lambda text=text: json_repair.loads(text), 1, 3) / 1e3 if json_repair else 0.0  # type: ignore[misc]
        print(f"{damage:30s} {parsing:7.1f} {reading:7.1f} {theirs:12.1f} {theirs / parsing:6.1f}")


def main() -> None:
    for chars in (1_000, 10_000, DAMAGED_CHARS):
        valid(chars)
    valid(1_000, escaped=True)
    repair()


if __name__ == "__main__":
    main()
