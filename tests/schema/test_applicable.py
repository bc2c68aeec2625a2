"""What may apply to a part of a value: by name, by number, through references and branches."""

from __future__ import annotations

from llmguard.core.canonical import Json
from llmguard.schema.applicable import (
    MAX_SCHEMAS,
    is_declared,
    is_set,
    item_schemas,
    other_choices,
    property_schemas,
    root_schemas,
    wants_whole_number,
)
from llmguard.schema.navigate import SchemaDocument


def test_items_by_number_references_to_nowhere_and_endless_branches() -> None:
    """Items by number, references to nowhere, branches that never end, and types as lists."""
    schema = {
        "$defs": {"loop": {"anyOf": [{"$ref": "#/$defs/loop"}, {"enum": ["x", "y"]}]}},
        "prefixItems": [{"enum": [1, 2]}, {"$ref": "#/nowhere"}, {"$ref": "other.json"}, {"$ref": "#/prefixItems/0"}],
        "items": {"$ref": "#/$defs/loop"},
        "then": {"type": ["integer", "null"]},
    }
    root = root_schemas(SchemaDocument(schema))
    assert other_choices(item_schemas(root, 0), 1) == [2]
    assert [len(item_schemas(root, number)) for number in (1, 2, 3)] == [1, 1, 2]
    assert other_choices(item_schemas(root, 9), "x") == ["y"]
    assert other_choices(item_schemas(item_schemas(root, 0), 0), "x") == []
    assert wants_whole_number(root)


def test_items_before_2020_12() -> None:
    """A list of schemas under `items` is by position, and says nothing of later items."""
    old = root_schemas(SchemaDocument({"items": [{"enum": ["a", "b"]}]}))
    assert other_choices(item_schemas(old, 0), "a") == ["b"]
    assert item_schemas(old, 1) == ()


def test_properties_by_name_else_as_any_other_name() -> None:
    """A name that no branch has is judged as an additional property; where there are such, names are data."""
    schema = {"allOf": [{"properties": {"a": {"const": 1}}}], "additionalProperties": {"enum": [1, 2]}}
    root = root_schemas(SchemaDocument(schema))
    assert other_choices(property_schemas(root, "a"), 1) == []
    assert other_choices(property_schemas(root, "b"), 1) == [2]
    assert [is_declared(root, name) for name in "ab"] == [True, False]


def test_sets_and_the_bound() -> None:
    """Unique items have no order; of very many branches the first are looked at."""
    assert is_set(root_schemas(SchemaDocument({"anyOf": [{"uniqueItems": True}]})))
    many: Json = {"anyOf": [{"const": number} for number in range(100)]}
    assert len(root_schemas(SchemaDocument(many))) == MAX_SCHEMAS
