"""25 hostile schemas in a process of their own: each is refused when it is built, or judges its value, within a second."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = r"""
import json, time
from llmguard.core.errors import UsageError
from llmguard.schema import compile_schema

def nested(levels, keyword, wrap=lambda inner: inner):
    schema = {"type": "integer"}
    for _ in range(levels):
        schema = {keyword: wrap(schema)}
    return schema

def doubling(levels, keyword):
    defs = {f"l{n}": {keyword: [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**defs, f"l{levels}": {"type": "integer"}}, "$ref": "#/$defs/l0"}

def deep(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value

loop = {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
tree = {"$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}}}, "$ref": "#/$defs/t"}
union = {"$defs": {"u": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/u"}}, {"type": "integer"}]}}, "$ref": "#/$defs/u"}
CASES = [
    ({"$ref": "#"}, 1), (loop, 1), ({"allOf": [{"$ref": "#"}]}, 1), ({"anyOf": [{"$ref": "#"}]}, 1),
    ({"not": {"$ref": "#"}}, 1), ({"if": {"$ref": "#"}}, 1), ({"oneOf": [{"$ref": "#"}, True]}, 1),
    (doubling(26, "allOf"), 1), (doubling(26, "anyOf"), 1), (doubling(20, "oneOf"), "x"),
    (nested(5000, "not"), 1), (nested(5000, "items"), 1), (nested(5000, "allOf", lambda inner: [inner]), 1),
    (nested(5000, "properties", lambda inner: {"a": inner}), {}),
    ({"pattern": "^(a+)+$"}, "a" * 40 + "!"), ({"pattern": "(a|aa)+$"}, "a" * 60 + "b"), ({"pattern": "(((("}, "x"),
    ({"uniqueItems": True}, [{"a": n} for n in range(4000)]), (tree, deep(500)), (union, deep(400) + ["x"]),
    ({"$ref": "http://127.0.0.1:1/x.json"}, 1), ({"$ref": "file:///etc/passwd"}, 1), ({"$schema": "http://127.0.0.1:1/s"}, 1),
    ({"enum": [str(n) for n in range(100_000)]}, "x"), ({"required": [str(n) for n in range(20_000)]}, {}),
]
for number, (schema, value) in enumerate(CASES):
    began = time.process_time()
    try:
        ended = "judged" if compile_schema(schema).violations(value) is not None else ""
    except UsageError:
        ended = "refused"
    print(json.dumps([number, ended, time.process_time() - began]), flush=True)
"""


@pytest.mark.slow
def test_no_schema_hangs_or_kills_its_process() -> None:
    """The process lives to the end, and says of each what became of it."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    rows = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (ended.returncode, len(rows)) == (0, 25), ended.stderr[-500:]
    assert {row[1] for row in rows} == {"judged", "refused"}
    assert [row for row in rows if row[2] > 1.0] == []
