"""Hostile text is read in linear time: twice the text, at most 2.6 times the CPU, over families of adversarial text.

    python -m benchmarks.linear

The families go through parser and reading with a schema. Times are CPU of this thread, the best of several, so that a
busy machine matters little; what takes less than 20 ms is too quick to tell.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

from benchmarks.parsing import SCHEMA
from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import read
from llmguard.schema import compile_schema

MOST_GROWTH = 2.6
MOST_CPU_S = 2.0
HALF = 256 * 1024
MEGABYTE = 1024 * 1024
TOO_QUICK_S = 0.02
_SIGNS = ["{", "[", '"', "'", ",", ":", "a", "1", " ", "\n", "\\", "//", "/*", "```", "}", "]", "<think>", "…"]


def _mixed(size: int) -> str:
    rng = random.Random(1)
    return "".join(rng.choice(_SIGNS) for _ in range(size // 2))


def _repeated(start: str, part: str, end: str = "") -> Callable[[int], str]:
    return lambda size: start + part * (size // len(part)) + end


FAMILIES: dict[str, Callable[[int], str]] = {
    "brackets": _repeated("", "[]{}"),
    "quotes": _repeated('{"a": ', '"x '),
    "fences": _repeated("", '```json\n{"a": '),
    "backslashes": _repeated('{"a":"', "\\"),
    "commas": _repeated("{", "a: , "),
    "comments": _repeated("{", "//x\n"),
    "escapes": _repeated('{"a":"', "\\u00e9\\q"),
    "keys": _repeated("{", '"a" '),
    "digits": _repeated('{"a": ', "1", "x}"),
    "white space": _repeated('{"a": "b"', "\n", "zzz"),
    "unicode": _repeated('{"a":"', "é😀“"),
    "mix": _mixed,
    "prose": _repeated("", "if (x) { y } "),
    "answers": _repeated("", '{"a":1} '),
    "broken answers": _repeated("", '{"a":1,x '),
    "words and brackets": _repeated("", '["a" "b: {c '),
    "thoughts": _repeated("", "<think>"),
    "thoughts closed": _repeated('{"a":1}' * 900, "</think>"),
    "calls": _repeated("", "f(a="),
    "apostrophes": _repeated("{'a': '", "it's "),
    "text without quotes": _repeated("{a: ", "b "),
    "wrong members": _repeated(
        '{"items": [', '{"id": "1", "name": 5, "price": "$1", "active": "yes", "tags": "x"},', "]}"
    ),
    "long number": _repeated("[0.", "1", "]"),
    "numbers in a text": _repeated('{"title": 1.5, "summary": "', "1.5 ", '"}'),
    "closers": _repeated('{"a":1}', " ]"),
    "strings of members": _repeated('{"a": "', '" , "b'),
}


def cpu_s(text: str, times: int = 3) -> float:
    """CPU seconds of reading `text`, the best of several."""
    schema, reply, best = compile_schema(SCHEMA), ModelReply(text), float("inf")
    for _ in range(times):
        began = time.thread_time()
        read(reply, schema)
        best = min(best, time.thread_time() - began)
    return best


def growth(family: str, half: int = HALF) -> tuple[float, float]:
    """CPU seconds of twice `half` characters, and how many times those of `half` that is."""
    one, two = cpu_s(FAMILIES[family](half)), cpu_s(FAMILIES[family](2 * half))
    return two, two / max(one, TOO_QUICK_S)


def main() -> int:
    failed = []
    print(f"{'adversarial family':25s} {'512 KB, ms':>10s} {'growth':>7s} {'1 MB, ms':>9s}")
    for family in FAMILIES:
        two, times = growth(family)
        megabyte = cpu_s(FAMILIES[family](MEGABYTE), 1)
        print(f"{family:25s} {two * 1e3:10.0f} {times:7.2f} {megabyte * 1e3:9.0f}")
        failed += [family] if times > MOST_GROWTH or megabyte > MOST_CPU_S else []
    flood = cpu_s("[" * 100_000)
    print(f"{'[ x 100,000':25s} {flood * 1e3:10.1f}")
    return int(bool(failed) or flood > 0.05)


if __name__ == "__main__":
    sys.exit(main())
