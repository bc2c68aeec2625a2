"""An output schema as a server takes it: an object at the top, and strict wherever OpenAI's strict decoding has a form of it.

Another type at the top is wrapped as `{"value": …}`. The reply is unwrapped by cutting its text, never by encoding it
again, so that the parser sees the model's own text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace

from llmguard.core.canonical import Json
from llmguard.core.messages import Message, ResponseFormat
from llmguard.schema.strict_form import strict_form

_ANNOTATIONS = ("$schema", "$id", "$comment")
_DEFINITIONS = ("$defs", "definitions")

_NAME = re.compile("[^a-zA-Z0-9_-]")
_WRAPPED = re.compile(r'\s*\{\s*"value"\s*:\s*')
_IN_AN_OBJECT = '\nPut this value into a JSON object, as its only member: {"value": ...}.'
_decoder = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class ServerSchema:
    """`json_schema` as it is sent. `is_wrapped`: the value is the member "value" of an object.

    `changes`: what the strict form changes; `obstacles`: why there is none, and the schema is sent as a hint.
    """

    name: str
    json_schema: Json = field(repr=False)
    is_wrapped: bool
    is_strict: bool
    instruction: str = field(repr=False)
    changes: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()
    in_words: bool = False
    hint: ServerSchema | None = field(default=None, repr=False)
    """The same for a server that takes no strict schema: as a hint, and unchanged."""

    @property
    def original(self) -> Json:
        """The schema as it was given, wrapped if it is sent so: by it the reply is read."""
        return self.hint.json_schema if self.hint else self.json_schema

    @property
    def summary(self) -> str:
        """How it is sent, and why not as strict, in one sentence."""
        if self.obstacles:
            return f"sent as a hint, for strict decoding takes no form of it: {'; '.join(self.obstacles)}"
        return f"sent as strict; changed: {', '.join(self.changes)}" if self.changes else "sent as strict, as it is"

    def instruction_for(self, technique: str) -> str:
        """The schema in words, for a technique that does not send it, or where the last reply was of another form."""
        if technique == "prompted":
            return self.instruction
        if technique != "json_object" and not self.in_words:
            return ""
        return self.instruction + _IN_AN_OBJECT if self.is_wrapped else self.instruction


def build_server_schema(output: ResponseFormat) -> ServerSchema:
    schema = output.schema if isinstance(output.schema, dict) else {}
    is_wrapped = schema.get("type") != "object"
    json_schema = _wrap(schema) if is_wrapped else _drop_keys(schema, _ANNOTATIONS)
    name = _NAME.sub("_", output.name)[:64] or "output"
    hint = ServerSchema(name, json_schema, is_wrapped, False, output.instruction)
    form = strict_form(json_schema, closes=output.drops_unknown)
    if form.obstacles:
        return replace(hint, obstacles=form.obstacles)
    return replace(hint, json_schema=form.json_schema, is_strict=True, changes=form.changes, hint=hint)


def append_instruction(messages: tuple[Message, ...], instruction: str) -> tuple[Message, ...]:
    """The messages with `instruction` at the end of the last one that is not the assistant's."""
    if not instruction:
        return messages
    for number in range(len(messages) - 1, -1, -1):
        if messages[number].role != "assistant":
            return (*messages[:number], _append_text(messages[number], instruction), *messages[number + 1 :])
    return (*messages, Message("user", instruction))


def _append_text(message: Message, text: str) -> Message:
    if isinstance(message.content, str):
        return Message(message.role, f"{message.content}\n\n{text}")
    return Message(message.role, (*message.content, {"type": "text", "text": text}))


def find_value_span(text: str) -> tuple[int, int]:
    """The span of the value in `{"value": …}`, start and end; of any other text, all of it.

    >>> value_span('{"value": [1.50, 2e3]}'), value_span('{"value": 1, "note": 2}')
    ((10, 21), (0, 23))
    """
    whole = (0, len(text))
    start = _WRAPPED.match(text)
    if start is None:
        return whole
    try:
        _, end = _decoder.raw_decode(text, start.end())
    except (ValueError, RecursionError):
        return whole
    return (start.end(), end) if text[end:].strip() == "}" else whole


def _wrap(schema: Json) -> Json:
    """Definitions stay at the top, where `#/$defs/…` finds them; other references into the document are moved with the schema."""
    definitions = {name: _move_references(schema[name]) for name in _DEFINITIONS if name in schema}
    value = _move_references(_drop_keys(schema, (*_ANNOTATIONS, *_DEFINITIONS)))
    return {
        "type": "object",
        "properties": {"value": value},
        "required": ["value"],
        "additionalProperties": False,
        **definitions,
    }


def _move_references(node: Json) -> Json:
    """The node with its references pointing below `#/properties/value`."""
    if isinstance(node, list):
        return [_move_references(item) for item in node]
    if not isinstance(node, dict):
        return node
    moved = {key: _move_references(item) for key, item in node.items()}
    reference = node.get("$ref")
    if isinstance(reference, str) and reference.startswith("#") and not reference.startswith(("#/$defs/", "#/defin")):
        moved["$ref"] = "#/properties/value" + reference[1:]
    return moved


def _drop_keys(schema: Json, names: tuple[str, ...]) -> Json:
    return {key: item for key, item in schema.items() if key not in names}
