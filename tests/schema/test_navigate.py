"""The walker of schemas: what stands below a location, what it refers to, and what judges the same value."""

from __future__ import annotations

from llmguard.core.canonical import Json
from llmguard.schema.keywords import DRAFTS
from llmguard.schema.navigate import ALTERNATIVES, MAX_HOPS, SchemaDocument, applied, value_at

LATEST = DRAFTS[0]
DRAFT_7 = next(draft for draft in DRAFTS if draft.name == "7")


def pointers(schema: Json, *keywords: str, depth_first: bool = False) -> list[str]:
    root = SchemaDocument(schema, LATEST).root
    return [location.pointer for location in applied([root], keywords, depth_first=depth_first)]


def test_children_are_the_schemas_that_stand_directly_below() -> None:
    """Each with the keyword that holds it; unknown keywords hold none."""
    schema = {"properties": {"a/b": {}}, "items": True, "anyOf": [{}, {}], "unknown": {}, "enum": [{}]}
    children = [(keyword, child.pointer) for keyword, child in SchemaDocument(schema, LATEST).root.children]
    assert children == [
        ("properties", "/properties/a~1b"),
        ("items", "/items"),
        ("anyOf", "/anyOf/0"),
        ("anyOf", "/anyOf/1"),
    ]


def test_a_child_by_name() -> None:
    """A property, a single schema, or None for a name, a keyword or a draft that has none."""
    root = SchemaDocument({"properties": {"a": False}, "not": {"type": "null"}, "prefixItems": [{}]}, DRAFT_7).root
    assert [str(root.child("properties", "a")), str(root.child("not"))] == [
        "Location('/properties/a')",
        "Location('/not')",
    ]
    assert [root.child("properties", "b"), root.child("if"), root.child("anyOf")] == [None, None, None]
    assert root.listed("prefixItems") == ()


def test_before_2019_09_a_reference_stands_alone() -> None:
    """What is beside it is written, and not read."""
    schema = {
        "definitions": {"a": {"type": "string"}},
        "properties": {"x": {"$ref": "#/definitions/a", "type": "null"}},
    }
    old = SchemaDocument(schema, DRAFT_7).at("/properties/x")
    new = SchemaDocument(schema, LATEST).at("/properties/x")
    assert old is not None
    assert new is not None
    assert [old.types, old.resolved.types, new.types] == [(), ("string",), ("null",)]
    assert old.written == new.written


def test_references_end() -> None:
    """A cycle, a reference to nowhere, and one that leads out of the document."""
    loop = SchemaDocument({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#"}}}, LATEST).root
    assert loop.resolved.pointer == ("" if MAX_HOPS % 2 == 0 else "/$defs/a")
    assert [location.pointer for location in applied([loop])] == ["", "/$defs/a"]
    for ref in ("#/nowhere", "other.json", "#anchor", 7):
        assert SchemaDocument({"$ref": ref}).root.referenced is None


def test_what_judges_the_same_value_level_by_level_or_depth_first() -> None:
    """Only through the keywords that were asked for, and `$ref`; `true` and `false` are left out."""
    schema = {
        "allOf": [{"anyOf": [{"const": 1}]}, {"$ref": "#/$defs/d"}, True],
        "then": {"not": {}},
        "$defs": {"d": {"oneOf": [{}]}},
    }
    assert pointers(schema) == [""]
    assert pointers(schema, "allOf") == ["", "/allOf/0", "/allOf/1", "/$defs/d"]
    every = ("allOf", *ALTERNATIVES, "then")
    assert pointers(schema, *every)[:4] == ["", "/allOf/0", "/allOf/1", "/then"]
    assert pointers(schema, *every, depth_first=True)[:4] == ["", "/allOf/0", "/allOf/0/anyOf/0", "/allOf/1"]


def test_items_by_position_and_the_others() -> None:
    """The two keywords changed their names in 2020-12."""
    new = SchemaDocument({"prefixItems": [{}, {}], "items": False}, LATEST).root
    old = SchemaDocument({"items": [{}, {}], "additionalItems": False}, DRAFT_7).root
    assert [[each.pointer for each in root.prefix] for root in (new, old)] == [
        ["/prefixItems/0", "/prefixItems/1"],
        ["/items/0", "/items/1"],
    ]
    assert [str(new.rest), str(old.rest)] == ["Location('/items')", "Location('/additionalItems')"]


def test_types_choices_and_branches() -> None:
    """`const` before `enum`; () and None where a schema says nothing."""
    root = SchemaDocument({"type": "string", "const": "a", "enum": ["a", "b"], "oneOf": [{}], "anyOf": [{}, {}]}).root
    assert (root.types, root.enum) == (("string",), ["a"])
    assert [[each.pointer for each in group] for group in root.branches] == [["/anyOf/0", "/anyOf/1"], ["/oneOf/0"]]
    assert (SchemaDocument(True).root.types, SchemaDocument(True).root.enum) == ((), None)


def test_a_path_of_a_value() -> None:
    """Names of members and numbers of items; None where nothing is."""
    assert value_at({"a": [1, {"b": 2}]}, ["a", "1", "b"]) == 2
    assert [value_at([1], [token]) for token in ("1", "-1", "x")] == [None, None, None]
    assert value_at(3, ["a"]) is None
