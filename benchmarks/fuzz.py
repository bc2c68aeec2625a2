"""Mutated replies through parser, schema and flow: whatever a model says, the outcome is an outcome. Then values rendered as
models do, and edits of these that change what they say (benchmarks/renderings.py): read as what they say, or refused.

`make fuzz` runs a minute of each (FUZZ_SECONDS); `make test` runs two seconds of it. Replies come from a few seeds here, from the
hostile corpus, each with its own schema, and from the folder that LLMGUARD_CORPORA names.
A finding is printed with the reply that made it, and ends with exit status 1.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from benchmarks.renderings import report, trials
from benchmarks.scoreboard import load
from llmguard.core.canonical import decode, encode
from llmguard.core.messages import ModelReply
from llmguard.engine.call import guarded_call
from llmguard.engine.ladder import ModelRung, SalvageRung
from llmguard.engine.policy import Policy
from llmguard.parsing.coerce import ReadingRules, reading_rules
from llmguard.prompts import compile_prompt
from llmguard.runtime.execution import CallExecution
from llmguard.runtime.sync_driver import drive
from llmguard.schema import Schema, compile_schema
from llmguard.testing import ScriptedModel

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "total": {"type": "number"},
        "paid": {"type": "boolean"},
        "kind": {"enum": ["invoice", "receipt"]},
        "date": {"type": "string", "format": "date"},
        "lines": {"type": "array", "items": {"type": "object", "properties": {"amount": {"type": "integer"}}}},
    },
    "required": ["name", "total"],
    "additionalProperties": False,
}
SEEDS = [
    '{"name": "Ada", "total": 12.50, "paid": true, "kind": "invoice", "date": "2026-03-03", "lines": [{"amount": 1}]}',
    '```json\n{"name": "Ada", "total": 12.50}\n```',
    "Sure! Here it is: {'name': 'Ada', 'total': 1,250.40 EUR, } // done",
    '<think>{"name": "draft"}</think>{"name": "Ada\\ud83d\\ude00", "total": 1e400}',
    '{"name": "Ada", "total": NaN, "total": -0}',
    '[{"name": "a"}, {"name": "b"',
]
RULES = [
    reading_rules(),
    reading_rules(("lossless", "syntactic", "lossy"), allow_truncated=True),
    reading_rules((), {"/total": ("lossless",)}),
]
MAX_CHARS = 5_000
PUNCTUATION = "{}[]\",:\\/`'\n\t \x00\ud800\u202e-+.eE09"
SPLINTERS = [*PUNCTUATION, "```", "<think>", "\\u", "null", "true", "NaN", "//", "/*", "...", '""', "é😀"]


def replies(folder: str | None) -> list[tuple[str, Schema]]:
    """The seeds, the hostile corpus, and every `raw` or `reply` of the corpora, each with a schema to read it by."""
    usual = compile_schema(SCHEMA)
    cases = [case for case in load() if len(case.reply) <= MAX_CHARS]
    schemas = {id(case.schema): case.schema for case in cases}
    compiled = {key: compile_schema(schema) for key, schema in schemas.items()}
    hostile = [(case.reply, compiled[id(case.schema)]) for case in cases]
    return [*((text, usual) for text in [*SEEDS, *texts_in(folder)]), *hostile]


def texts_in(folder: str | None) -> list[str]:
    found: list[str] = []
    for path in sorted(Path(folder).glob("*.jsonl")) if folder else []:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            found += [row[name] for name in ("raw", "reply") if isinstance(row.get(name), str)]
    return found


def mutated(text: str, rng: random.Random) -> str:
    """One to eight cuts, doublings, swaps and splinters."""
    for _ in range(rng.randint(1, 8)):
        at, to = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        piece = text[at : min(to, at + 40)]
        text = rng.choice(
            [
                text[:at] + text[at + 1 :],
                text[:at] + rng.choice(SPLINTERS) + text[at:],
                text[:at] + piece * rng.randint(2, 9) + text[at:],
                text[:at] + text[to:],
                text[at:] + text[:at],
            ]
        )
    return text


def policy(model: ScriptedModel, schema: Schema, rules: ReadingRules) -> Policy:
    return Policy(
        reading=rules,
        name="fuzz",
        prompt=compile_prompt("{{ n }}", name="fuzz"),
        schema=schema,
        output=schema.response_format("fuzz"),
        ladder=(ModelRung(model=model, reasks=1), SalvageRung()),
    )


def tries(seconds: float, seed: int, folder: str | None = None) -> Iterator[tuple[str, str]]:
    """(reply, what it raised) for each finding; runs for `seconds`."""
    rng, known = random.Random(seed), replies(folder)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        text, schema = rng.choice(known)
        text = mutated(text, rng)
        reply = ModelReply(text, finish_reason=rng.choice(["stop", "stop", "stop", "length"]))
        try:
            outcome = drive(
                guarded_call(policy(ScriptedModel([reply, reply]), schema, rng.choice(RULES)), {"n": 1}),
                CallExecution(),
            )
            assert outcome.status != "fallback" or outcome.repairs
            assert not outcome.has_value or not schema.violations(outcome.json)
            decode(encode(outcome.json))
        except Exception:
            yield text, traceback.format_exc()


def main() -> None:
    seconds = float(os.environ.get("FUZZ_SECONDS", "60"))
    seed = int(os.environ.get("FUZZ_SEED", time.time()))
    print(f"fuzzing for {seconds:.0f} s with FUZZ_SEED={seed}", flush=True)
    for text, raised in tries(seconds, seed, os.environ.get("LLMGUARD_CORPORA")):
        print(ascii(text), raised, sep="\n")
        sys.exit(1)
    print("nothing raised", flush=True)
    ends = time.monotonic() + seconds
    numbers = itertools.takewhile(lambda _: time.monotonic() < ends, itertools.count())
    sys.exit(report(trial for number in numbers for trial in trials(f"{seed}/{number}")))


if __name__ == "__main__":
    main()
