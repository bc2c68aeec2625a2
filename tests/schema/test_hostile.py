"""Schemas and values that are made to hang, crash or fetch: refused at once, or judged in bounded time."""

from __future__ import annotations

import builtins
import http.server
import io
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmguard.core.errors import UsageError
from llmguard.schema import compile_schema


def refusal(schema: Any, **options: Any) -> str:
    with pytest.raises(UsageError) as refused:
        compile_schema(schema, **options)
    return str(refused.value)


def nested(levels: int, *, keyword: str = "not") -> Any:
    schema: Any = {"type": "integer"}
    for _ in range(levels):
        schema = {keyword: schema}
    return schema


def doubling(levels: int, inward: bool = False) -> Any:
    """`allOf` of the same reference twice, so that each level has twice as much to judge as the one below."""
    definitions: dict[str, Any] = {f"l{levels}": {"type": "integer"}}
    for level in range(levels):
        ref = {"$ref": f"#/$defs/l{level + 1}"}
        definitions[f"l{level}"] = {"allOf": [{"properties": {"c": ref}} if inward else ref] * 2}
    return {"$defs": definitions, "$ref": "#/$defs/l0"}


def deep(levels: int, inner: Any, kind: type = dict) -> Any:
    for _ in range(levels):
        inner = {"c": inner} if kind is dict else [inner]
    return inner


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": ""},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"$defs": {"a": {"properties": {"x": {"anyOf": [{"$ref": "#/$defs/a/properties/x"}]}}}}, "$ref": "#/$defs/a"},
        {"allOf": [{"$ref": "#"}]},
        {"anyOf": [{"type": "integer"}, {"$ref": "#"}]},
        {"oneOf": [{"$ref": "#"}]},
        {"not": {"$ref": "#"}},
        {"if": {"$ref": "#"}},
        {"if": {}, "then": {"$ref": "#"}},
        {"if": {}, "else": {"$ref": "#"}},
        {"dependentSchemas": {"a": {"$ref": "#"}}},
        {"$dynamicAnchor": "a", "$dynamicRef": "#a"},
        {"$anchor": "a", "allOf": [{"$ref": "#a"}]},
        {"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {"a": {"$ref": "#"}}},
        {
            "$schema": "https://json-schema.org/draft/2019-09/schema",
            "$recursiveAnchor": True,
            "not": {"$recursiveRef": "#"},
        },
    ],
    ids=lambda schema: next(key for key in reversed(schema) if not key.startswith("$schema")),
)
def test_a_cycle_that_goes_into_no_part_of_the_value_is_refused(schema: Any) -> None:
    """Judging by it would never end, through whatever keyword it passes; the message shows the circle."""
    assert "leads back to itself for one and the same value" in refusal(schema)


def test_the_circle_is_shown() -> None:
    """Step by step, with the mend."""
    schema = {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}
    assert refusal(schema) == (
        "schema: #/$defs/a → #/$defs/b → #/$defs/b/allOf/0 → #/$defs/a leads back to itself for one and the same value, so"
        " judging it would never end. Expected every cycle to pass through 'properties' or 'items'. Take the reference out,"
        " or put it below a property."
    )


@pytest.mark.parametrize("keyword", ["items", "additionalProperties", "contains", "unevaluatedItems", "propertyNames"])
def test_recursion_into_parts_of_the_value_is_fine(keyword: str) -> None:
    """A tree is a schema like any other."""
    schema = compile_schema({"type": ["array", "object", "integer", "string"], keyword: {"$ref": "#"}})
    assert schema.violations([[1], {"a": [2]}]) == ()


def test_a_tree_is_judged_down_to_its_leaves() -> None:
    """Recursion through properties and items, with the path of what is wrong at the bottom."""
    node = {"properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/node"}}, "v": {"type": "integer"}}}
    tree = compile_schema({"$defs": {"node": node}, "$ref": "#/$defs/node"})
    assert [found.path for found in tree.violations({"kids": [{"kids": [{"v": 1}, {"v": "x"}]}]})] == [
        "/kids/0/kids/1/v"
    ]


TOO_DEEP = "is nested deeper than 128 levels" if sys.version_info >= (3, 13) else "is nested too deeply to be read"
"""Python 3.13 reads such a text, and its levels are counted; before, it is refused unread."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (doubling(26), "'#/$defs/l11' unfolds to more than 100,000 schemas for one value"),
        (doubling(26, inward=True), "unfolds to more than 10,000,000 schemas for one value"),
        (nested(5_000), "is nested deeper than 128 levels"),
        (lambda: nested(200_000, keyword="items"), "is nested deeper than 128 levels"),
        ('{"not":' * 5_000 + "true" + "}" * 5_000, TOO_DEEP),
        ("[" * 100_000, "is nested too deeply to be read"),
        ({"enum": deep(5_000, 1, list)}, "is nested deeper than 128 levels"),
        (
            {"$defs": {f"l{n}": {"$ref": f"#/$defs/l{n + 1}"} for n in range(5_000)} | {"l5000": {}}, "$ref": "#/$defs/l0"},
            "leads through more than 200 references and combinations",
        ),
        ({"$defs": {str(n): {"$ref": "other.json#/" + str(n)} for n in range(3_000)}}, "is one of more than 1000 references"),
    ],
    ids=["doubling", "doubling inward", "deep", "very deep", "deep text", "brackets", "deep constant", "chain", "many files"],
)  # fmt: skip
def test_a_schema_that_grows_beyond_measure_is_refused_within_a_second(schema: Any, expected: str) -> None:
    """By its size, its depth or what it unfolds to, before anything recurses into it."""
    schema = schema() if callable(schema) else schema
    started = time.process_time()
    assert expected in refusal(schema, registry={"other.json": {str(n): {} for n in range(3_000)}})
    assert time.process_time() - started < 1


def test_a_cycle_through_files_is_refused_too() -> None:
    """References between files are followed before cycles are looked for."""
    files = {"b.json": {"allOf": [{"$ref": "a.json"}]}, "a.json": {"anyOf": [{"$ref": "b.json"}]}}
    assert "leads back to itself" in refusal({"$ref": "a.json"}, registry=files)


# --- nothing is fetched


class _Counting(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        body = json.dumps({"type": "integer"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A server that would gladly give a schema, and the list of what it was asked for."""
    with http.server.HTTPServer(("127.0.0.1", 0), _Counting) as listening:
        listening.asked = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", listening.asked  # type: ignore[attr-defined]
        listening.shutdown()
        thread.join()


@pytest.mark.loopback
def test_no_schema_makes_a_request(server: tuple[str, list[str]]) -> None:
    """`$ref` to a URL and an unknown `$schema` are refused, an `$id` is a name only; the server hears of nothing."""
    url, asked = server
    for key in ("$ref", "$dynamicRef"):
        assert "leads out of the schema's own folder" in refusal({"properties": {"a": {key: f"{url}/a.json"}}})
    assert "no meta-schema is fetched" in refusal({"$schema": f"{url}/schema"})
    assert "'a.json' is not beside it" in refusal({"$id": f"{url}/root.json", "$ref": "a.json"})
    named = compile_schema(
        {"$id": f"{url}/root.json", "$defs": {"a": {"$id": "a.json", "type": "null"}}, "$ref": "a.json"}
    )
    assert len(named.violations(1)) == 1
    beside = compile_schema(
        {"$ref": "a.json"}, registry={"a.json": {"$id": f"{url}/a.json", "$ref": "#/$defs/n", "$defs": {"n": {}}}}
    )
    assert beside.violations(1) == ()
    assert asked == []


def test_no_schema_reads_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is there and would do is refused like one that is not, and nothing is opened."""
    there = tmp_path / "a.json"
    there.write_text('{"type": "integer"}')
    monkeypatch.chdir(tmp_path)
    compile_schema({"$ref": "b.json"}, registry={"b.json": {}})  # what is imported on first use is imported now
    refusal({"type": "nubmer"})
    opened: list[object] = []

    def recorded(file: object, *args: Any, **options: Any) -> Any:
        opened.append(file)
        raise OSError(f"{file} was opened")

    monkeypatch.setattr(builtins, "open", recorded)
    monkeypatch.setattr(io, "open", recorded)
    for ref in (
        there.as_uri(),
        str(there),
        "file:a.json",
        f"../{tmp_path.name}/a.json",
        "sub/../../a.json",
        "..\\a.json",
    ):
        assert "leads out of the schema's own folder" in refusal({"$ref": ref})
    assert "'a.json' is not beside it; there is no other schema" in refusal({"$ref": "a.json"})
    assert opened == []


# --- hostile values


UNION = {
    "$defs": {
        "node": {
            "anyOf": [
                {"type": "object", "properties": {"op": {"const": "a"}, "c": {"$ref": "#/$defs/node"}}, "required": ["c"]},
                {"type": "object", "properties": {"op": {"const": "b"}, "c": {"$ref": "#/$defs/node"}}, "required": ["c"]},
                {"type": "integer"},
            ]
        }
    },
    "$ref": "#/$defs/node",
}  # fmt: skip
TWICE = {"allOf": [{"properties": {"c": {"$ref": "#"}}}] * 2, "type": ["object", "integer"]}


@pytest.mark.parametrize("schema", [UNION, TWICE], ids=["union", "twice"])
@pytest.mark.parametrize("levels", [20, 128])
def test_a_deep_value_of_a_recursive_schema_is_explained_at_once(schema: Any, levels: int) -> None:
    """Listing all branches of all branches would double with each level; only the likeliest is followed."""
    compiled = compile_schema(schema)
    started = time.process_time()
    found = compiled.violations(deep(levels, "bad"))
    assert time.process_time() - started < 2
    assert [(each.path, each.message) for each in found] == [
        ("/c" * levels, "must be an object or an integer; got 'bad'")
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [list, dict])
@pytest.mark.parametrize(
    ("schema", "rule"),
    [
        ({"items": {"$ref": "#"}, "additionalProperties": {"$ref": "#"}, "type": ["array", "object"]}, "type"),
        (UNION, None),
        ({"const": 1}, "const"),
        ({"enum": [[1], {"c": 1}]}, "enum"),
        ({"uniqueItems": True, "maxProperties": 0, "maxItems": 0}, None),
        ({"not": {}}, "not"),
        ({"unevaluatedProperties": False, "unevaluatedItems": False}, None),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_512_levels_are_judged_even_on_a_small_stack(schema: Any, rule: str | None, kind: type) -> None:
    """The most that crosses from a fallback function; neither Python's nor the machine's stack runs out."""
    results: list[Any] = []

    def judge() -> None:
        results.append(compile_schema(schema).violations(deep(511, "bad", kind)))

    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=judge)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert results and results[0]
    assert rule is None or [found.rule for found in results[0]] == [rule]


def test_a_catastrophic_pattern_is_linear() -> None:
    """Values are judged by an engine that does not backtrack."""
    started = time.process_time()
    assert len(compile_schema({"pattern": "^(a+)+$"}).violations("a" * 5_000 + "!")) == 1
    assert time.process_time() - started < 1


@pytest.mark.slow
def test_large_values_cost_no_more_than_their_size() -> None:
    """100,000 unexpected properties or wrong items are told by twenty of them, soon."""
    described = {f"name{number}": {"type": "string"} for number in range(60)}
    schema = compile_schema({"properties": described, "required": list(described), "additionalProperties": False})
    lists = compile_schema(
        {"items": {"anyOf": [{"type": "object", "required": ["k"]}, {"type": "string"}]}, "uniqueItems": True}
    )
    started = time.process_time()
    assert len(schema.violations({f"nane{number}": number for number in range(100_000)})) == 20
    assert len(lists.violations([{"k": number} for number in range(50_000)] + [{}] * 50_000)) == 20
    assert time.process_time() - started < 4
