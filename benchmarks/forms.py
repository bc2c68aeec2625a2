"""How many tokens a model is told about a schema: in words (prompted output) against the JSON Schema itself.

    python -m benchmarks.forms

Over the schemas of tests/corpus and of the registry; tokens are `tokens.estimate`'s, and the JSON Schema is compact.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from llmguard.core.canonical import Json, encode
from llmguard.prompts.tokens import estimate
from llmguard.schema import compile_schema

ROOT = Path(__file__).parent.parent


def schemas() -> dict[str, Json]:
    found: dict[str, Json] = json.loads((ROOT / "tests" / "corpus" / "schemas.json").read_text(encoding="utf-8"))
    for path in sorted((ROOT / "schemas").glob("*.json")):
        if path.name == "case.json":  # a contract of files, and no model's output
            continue
        found[f"schemas/{path.name}"] = json.loads(path.read_text(encoding="utf-8"))
    return found


def forms() -> Iterator[tuple[str, int, int]]:
    """(name, tokens of the words, tokens of the JSON Schema)."""
    for name, schema in schemas().items():
        words = compile_schema(schema).response_format(name).instruction
        yield name, estimate(words), estimate(encode(schema).decode())


def main() -> None:
    rows = list(forms())
    print(f"{'tokens to tell a schema':30s} {'words':>6s} {'schema':>7s} {'ratio':>6s}")
    for name, words, schema in rows:
        print(f"{name:30s} {words:6d} {schema:7d} {words / schema:6.2f}")
    words, schema = sum(row[1] for row in rows), sum(row[2] for row in rows)
    print(f"{'all':30s} {words:6d} {schema:7d} {words / schema:6.2f}")


if __name__ == "__main__":
    main()
