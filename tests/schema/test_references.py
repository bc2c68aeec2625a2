"""References between schemas and files become one self-contained schema, or are refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from llmguard.core.errors import UsageError
from llmguard.schema import compile_schema

ADDRESS = {
    "type": "object",
    "properties": {"zip": {"$ref": "#/$defs/zip"}, "geo": {"$ref": "geo.json"}},
    "$defs": {"zip": {"type": "string", "pattern": "^[0-9]{5}$"}},
}
GEO = {"type": "array", "items": {"type": "number"}, "minItems": 2}
FILES = {"address.json": ADDRESS, "geo.json": GEO, "package.json": {"properties": 5}, "list.json": [1]}


def test_files_beside_the_schema_become_definitions() -> None:
    """What is referred to, and nothing else, stands in `$defs` under a name that tells where it came from."""
    root = {"properties": {"home": {"$ref": "address.json"}, "zip": {"$ref": "address.json#/$defs/zip"}}}
    schema = compile_schema(root, registry=FILES)
    assert schema.json_schema == {
        "properties": {"home": {"$ref": "#/$defs/address"}, "zip": {"$ref": "#/$defs/address_zip"}},
        "$defs": {
            "address": {
                "type": "object",
                "properties": {"zip": {"$ref": "#/$defs/address_zip"}, "geo": {"$ref": "#/$defs/geo"}},
                "$defs": {"zip": {"type": "string", "pattern": "^[0-9]{5}$"}},
            },
            "address_zip": {"type": "string", "pattern": "^[0-9]{5}$"},
            "geo": GEO,
        },
    }
    assert [found.path for found in schema.violations({"home": {"zip": "1", "geo": [1]}, "zip": "1"})] == [
        "/zip",
        "/home/zip",
        "/home/geo",
    ]


def test_a_schema_that_needs_nothing_stays_as_it_is() -> None:
    """Definitions of its own, and references to them, are left untouched; so is what the registry holds beside it."""
    root = {"$id": "https://example.com/a.json", "$defs": {"a": {}}, "items": {"$ref": "#/$defs/a"}}
    assert compile_schema(root, registry=FILES).json_schema == root


def test_names_within_a_schema_are_replaced_by_pointers() -> None:
    """`$anchor`, `$id` and a dynamic reference with one possible target."""
    root = {
        "$id": "https://example.com/schemas/root.json",
        "$defs": {
            "money": {"$anchor": "money", "type": "integer"},
            "line": {"$id": "line.json", "properties": {"price": {"$ref": "root.json#money"}}},
            "tree": {"$dynamicAnchor": "tree", "properties": {"kid": {"$dynamicRef": "#tree"}}, "type": "object"},
        },
        "properties": {"line": {"$ref": "line.json"}, "tree": {"$ref": "#/$defs/tree"}},
    }
    schema = compile_schema(root)
    assert schema.json_schema == {
        "$defs": {
            "money": {"type": "integer"},
            "line": {"properties": {"price": {"$ref": "#/$defs/money"}}},
            "tree": {"properties": {"kid": {"$ref": "#/$defs/tree"}}, "type": "object"},
        },
        "properties": {"line": {"$ref": "#/$defs/line"}, "tree": {"$ref": "#/$defs/tree"}},
    }
    assert [found.path for found in schema.violations({"line": {"price": "1"}, "tree": {"kid": {"kid": 1}}})] == [
        "/line/price",
        "/tree/kid/kid",
    ]


def test_a_dynamic_reference_means_what_the_way_to_it_says() -> None:
    """The same list of T, once of numbers and once of strings (from the official test suite's idea)."""
    root = {
        "$id": "https://example.com/root",
        "properties": {"numbers": {"$ref": "numbers"}, "strings": {"$ref": "strings"}},
        "$defs": {
            "list": {
                "$id": "list",
                "items": {"$dynamicRef": "#item"},
                "$defs": {"default": {"$dynamicAnchor": "item"}},
            },
            "numbers": {"$id": "numbers", "$ref": "list", "$defs": {"n": {"$dynamicAnchor": "item", "type": "number"}}},
            "strings": {"$id": "strings", "$ref": "list", "$defs": {"s": {"$dynamicAnchor": "item", "type": "string"}}},
        },
    }
    schema = compile_schema(root)
    assert schema.violations({"numbers": [1, 2], "strings": ["a"]}) == ()
    assert [found.path for found in schema.violations({"numbers": ["a"], "strings": [1]})] == [
        "/numbers/0",
        "/strings/0",
    ]


def test_absolute_names_are_found_among_the_files() -> None:
    """By the `$id` that a file gave itself, or by a URL under which the caller handed it over."""
    files = {
        "zip.json": {"$id": "https://example.com/zip", "type": "string"},
        "https://example.com/n": {"type": "number"},
    }
    root = {"properties": {"a": {"$ref": "https://example.com/zip"}, "b": {"$ref": "https://example.com/n"}}}
    assert [found.path for found in compile_schema(root, registry=files).violations({"a": 1, "b": "x"})] == ["/a", "/b"]


def test_files_in_folders_refer_to_each_other_from_where_they_are() -> None:
    """A relative name is read from the folder of the file that it stands in, as long as it stays in the registry."""
    files = {
        "common/a.json": {"$ref": "b.json"},
        "common/b.json": {"$ref": "../top.json"},
        "top.json": {"type": "null"},
    }
    schema = compile_schema({"$ref": "common/a.json"}, registry=files)
    assert len(schema.violations(1)) == 1
    assert schema.json_schema["$defs"]["a"] == {"$ref": "#/$defs/b"}


def test_the_meta_schemas_are_known() -> None:
    """A schema for schemas: carried along by the validator, not fetched."""
    schema = compile_schema({"properties": {"s": {"$ref": "https://json-schema.org/draft/2020-12/schema"}}})
    assert schema.violations({"s": {"type": "string"}}) == ()
    assert [found.path for found in schema.violations({"s": {"type": "strin"}})] == ["/s"]


def test_what_looks_like_a_reference_and_is_none_is_left_alone() -> None:
    """In constants, examples, and as the name of a property."""
    root = {
        "const": {"$ref": "http://example.com/x"},
        "examples": [{"$ref": "#/nowhere"}],
        "properties": {"$ref": {"type": "string"}, "$id": {"$ref": "#/$defs/a%20b~1c"}},
        "$defs": {"a b/c": {"type": "null"}},
    }
    assert compile_schema(root).json_schema == root
    assert compile_schema({"$ref": "#/examples/0", "examples": [{"type": "null"}]}).violations(None) == ()


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("adress.json", "'adress.json' is not beside it (did you mean 'address.json'?); there is 'address.json'"),
        ("address.json#/$defs/zipp", "'address.json#/$defs/zipp' points at nothing (did you mean 'zip'?)"),
        ("#/$defs/lines", "'#/$defs/lines' points at nothing (did you mean 'line'?)"),
        ("#nowhere", "'#nowhere' points at nothing"),
        ("address.json#/type", "'address.json#/type' is no schema"),
        ("package.json", "'package.json' is not beside it"),
        ("list.json", "'list.json' is not beside it"),
        ("https://example.com/a.json", "'https://example.com/a.json' leads out of the schema's own folder"),
        ("http://[bad", "a '$ref' or '$id' is no URI"),
    ],
)
def test_a_reference_to_nothing_is_refused_by_name(ref: str, expected: str) -> None:
    """Where it stands, what it says, what is there instead."""
    root = {"properties": {"a": {"$ref": ref}}, "$defs": {"line": {}}}
    with pytest.raises(UsageError) as refused:
        compile_schema(root, registry={"address.json": ADDRESS}, where="schemas/invoice.json")
    assert str(refused.value).startswith("schemas/invoice.json: ")
    assert expected in str(refused.value)


def test_a_file_in_another_draft_is_refused() -> None:
    """One document is read by one draft."""
    files: dict[str, Any] = {"old.json": {"$schema": "http://json-schema.org/draft-07/schema#"}}
    with pytest.raises(UsageError, match=r"written in draft 2020-12, and 'old\.json'"):
        compile_schema({"$ref": "old.json"}, registry=files)


def test_a_part_in_another_draft_is_refused() -> None:
    """Verdicts would follow its own draft and names, and no message could: the whole is read by one draft."""
    part = {"$schema": "http://json-schema.org/draft-04/schema", "id": "parts/box", "type": "object"}
    with pytest.raises(UsageError, match=r"the part at '/\$defs/box' names a draft of its own"):
        compile_schema({"properties": {"box": {"$ref": "#/$defs/box"}}, "$defs": {"box": part}})


def test_a_part_that_names_the_draft_of_the_whole_is_read() -> None:
    """A part that was copied from a file of its own says again what the whole says."""
    uri = "https://json-schema.org/draft/2020-12/schema"
    schema = compile_schema(
        {"properties": {"box": {"$ref": "#/$defs/box"}}, "$defs": {"box": {"$schema": uri, "type": "object"}}}
    )
    assert [each.path for each in schema.violations({"box": 1})] == ["/box"]


def test_a_wrong_file_is_refused_as_the_schema_is() -> None:
    """What a reference brings in is checked like what was given."""
    with pytest.raises(UsageError, match=r"'/\$defs/bad/type' must be one of"):
        compile_schema({"$ref": "bad.json"}, registry={"bad.json": {"type": "nubmer"}})


def test_two_references_in_one_schema_both_hold() -> None:
    """`$ref` and `$dynamicRef` side by side are two demands on the same value."""
    root = {
        "$defs": {"a": {"$anchor": "a", "minimum": 3}, "b": {"$dynamicAnchor": "b", "multipleOf": 2}},
        "items": {"$ref": "#a", "$dynamicRef": "#b", "allOf": [{"maximum": 9}]},
    }
    schema = compile_schema(root)
    assert schema.json_schema["items"] == {"allOf": [{"maximum": 9}, {"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}
    assert sorted(found.path for found in schema.violations([4, 2, 5, 10])) == ["/1", "/2", "/3"]


def test_in_older_drafts_a_reference_to_a_file_stands_alone() -> None:
    """What is beside it says nothing, as before; only annotations and definitions stay."""
    draft_7 = "http://json-schema.org/draft-07/schema#"
    root = {"$schema": draft_7, "properties": {"a": {"$ref": "n.json", "title": "A", "maximum": 1, "$id": "ignored/"}}}
    schema = compile_schema(root, registry={"n.json": {"type": "number", "$id": "n.json"}})
    assert schema.json_schema == {
        "$schema": draft_7,
        "properties": {"a": {"title": "A", "$ref": "#/definitions/n"}},
        "definitions": {"n": {"type": "number"}},
    }
    assert schema.violations({"a": 5}) == ()


def test_names_of_definitions_do_not_collide() -> None:
    """A name that is taken gets a number, also for targets that are true or false."""
    files = {"a/x.json": {"type": "null"}, "b/x.json": True, "c.json": {"$ref": "b/x.json"}}
    root = {"$defs": {"x": {}}, "prefixItems": [{"$ref": "a/x.json"}, {"$ref": "b/x.json"}, {"$ref": "c.json"}]}
    schema = compile_schema(root, registry=files)
    assert schema.json_schema == {
        "$defs": {"x": {}, "x_2": {"type": "null"}, "x_3": True, "c": {"$ref": "#/$defs/x_3"}},
        "prefixItems": [{"$ref": "#/$defs/x_2"}, {"$ref": "#/$defs/x_3"}, {"$ref": "#/$defs/c"}],
    }


def test_a_name_that_is_no_text_is_refused_and_not_a_crash() -> None:
    """Half a surrogate pair in the name of a property, with something to warn of below it."""
    with pytest.raises(UsageError, match="cannot be compiled"):
        compile_schema({"properties": {"\ud800": {"requird": 1}}})
