"""A schema as a few lines of text."""

from __future__ import annotations

import pytest

from llmguard.core.canonical import Json
from llmguard.schema.outline import outline


def test_a_schema_is_outlined_in_a_few_lines() -> None:
    """One line for a field, with its bounds; optional fields are marked; lists and references are described."""
    schema = {
        "type": "object",
        "required": ["lines"],
        "properties": {
            "lines": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/line"}},
            "currency": {"enum": ["EUR", "USD"]},
            "due": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        },
        "$defs": {"line": {"type": "object", "properties": {"amount": {"type": "number", "exclusiveMinimum": 0}}}},
    }
    assert outline(schema) == [
        "object",
        "  lines       list of as #/$defs/line, at least 1 item",
        '  currency ?  one of "EUR", "USD"',
        "  due ?       string, format date or null",
        "#/$defs/line: object",
        "  amount ?  number, above 0",
    ]


@pytest.mark.parametrize("schema", [True, False, {}, [], None, {"enum": [list(range(9999))]}, {"type": 3, "items": 4}])
def test_any_json_has_an_outline(schema: Json) -> None:
    """Invalid schemas, too, give short lines."""
    assert all(len(line) < 150 for line in outline(schema))
