"""Whether a server heeds how a request constrains the output: learned from the form of its replies, as a refusal is.

Some servers take `response_format` or `tools` with status 200 and ignore them. The schema then stands nowhere in the words,
and the model cannot know it. A technique by which two replies came in another form, and none in the right one, is given up for
words. One reply in the right form settles that the technique works, and no reply is examined from then on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import orjson

from llmguard.core.canonical import Json
from llmguard.models.openai.server_capabilities import Technique
from llmguard.models.openai.strict_schema import ServerSchema

IGNORED_REPLIES = 2
"""One reply of another form may be the model's slip."""
_STARTS = re.compile(r"(?:^|\n|[:>\]`])[ \t]{0,8}([{\[])")
"""Where a value may begin: a line, after a colon, or after a tag."""
_MOST_STARTS = 20
_decoder = json.JSONDecoder()
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


class TechniqueEvidence:
    """What the replies to one model object say of each technique."""

    def __init__(self) -> None:
        self._ignored: dict[Technique, int] = {}
        self._heeded: set[Technique] = set()

    def is_ignored(self, technique: Technique) -> bool:
        """Whether to ask in words instead."""
        return technique not in self._heeded and self._ignored.get(technique, 0) >= IGNORED_REPLIES

    def add(self, technique: Technique, text: str, schema: ServerSchema) -> None:
        """Take the text of a whole reply into account, as the server sent it."""
        if technique in self._heeded or technique == "prompted":
            return
        if has_form(text, schema):
            self._heeded.add(technique)
        else:
            self._ignored[technique] = self._ignored.get(technique, 0) + 1


def has_form(text: str, schema: ServerSchema) -> bool:
    """Whether a reply holds JSON of the schema's shape: its type, and for an object its members, which a model that was not
    told the schema would not name so. What stands in them, and around it, is the reader's to judge."""
    text = text.strip()
    return any(_has_shape(value, schema) for value in _values(text)) or _is_plain_text(text, schema)


def _values(text: str) -> Iterator[Json]:
    """The JSON values that are the text, or begin a line of it, after a thought's end for example."""
    with suppress(ValueError):
        yield orjson.loads(text)
        return
    for start in islice(_STARTS.finditer(text), _MOST_STARTS):
        with suppress(ValueError, RecursionError):
            yield _decoder.raw_decode(text, start.start(1))[0]


def _has_shape(value: Json, schema: ServerSchema) -> bool:
    if not schema.is_wrapped:
        return _has_members(value, schema.original)
    inner = value["value"] if isinstance(value, dict) and value.keys() == {"value"} else value
    return _has_type(inner, schema.original["properties"]["value"])


def _is_plain_text(text: str, schema: ServerSchema) -> bool:
    """A bare text where the value is one: its reader takes it as it stands."""
    if not schema.is_wrapped:
        return False
    value = schema.original["properties"]["value"]
    if not isinstance(value, dict):
        return True
    return (value.get("type") == "string" and "enum" not in value) or text in value.get("enum", ())


def _has_members(value: Json, schema: Json) -> bool:
    if not isinstance(value, dict):
        return False
    named = schema.get("properties", {}).keys()
    strangers = value.keys() - named if schema.get("additionalProperties") is False else ()
    return (
        not strangers and value.keys() >= set(schema.get("required", ())) and (not named or bool(value.keys() & named))
    )


def _has_type(value: Json, schema: Json) -> bool:
    """Whether the type is one that the schema names; what it says by reference or alternatives is left to the reader."""
    names = schema.get("type", ()) if isinstance(schema, dict) else ()
    allowed = [kind for name in ([names] if isinstance(names, str) else names) for kind in _TYPES.get(name, ())]
    return not allowed or isinstance(value, tuple(allowed))
