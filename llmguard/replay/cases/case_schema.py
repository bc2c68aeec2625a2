"""The contract of a case file as JSON Schema 2020-12; published as schemas/case.json, which a test holds equal to this."""

from __future__ import annotations

from functools import cache
from typing import get_args

from llmguard.core.canonical import Json
from llmguard.core.messages import (
    FinishReason,
    OwnFailure,
    ReplyFailure,
    RequestFailure,
    TransportFailure,
    VerdictFailure,
)
from llmguard.replay.cases.case import EXPECTED
from llmguard.schema import Schema, compile_schema

CASE_VERSION = 1

_FAILURES = [
    kind
    for kinds in (TransportFailure, RequestFailure, ReplyFailure, VerdictFailure, OwnFailure)
    for kind in get_args(kinds)
]
_TEXT: Json = {"type": "string"}
_FLAG: Json = {"type": "boolean"}
_NUMBER: Json = {"type": "number"}
_NUMBER_OR_NULL: Json = {"type": ["number", "null"]}
_USAGE: Json = {
    "type": "object",
    "properties": {"input_tokens": {"type": "integer"}, "output_tokens": {"type": "integer"}, "estimated": _FLAG},
    "additionalProperties": False,
}
_PAID: Json = {"usage": _USAGE, "cost_usd": _NUMBER_OR_NULL, "latency_s": _NUMBER}


def _answer(tag: str, description: str, required: list[str], properties: Json) -> Json:
    return {
        "description": description,
        "type": "object",
        "properties": {"answer": {"const": tag}, **properties},
        "required": ["answer", *required],
        "additionalProperties": False,
    }


_ANSWERS: Json = {
    "reply": _answer(
        "reply",
        "What a model said.",
        ["text"],
        {"text": _TEXT, "finish_reason": {"enum": list(get_args(FinishReason))}, "model": _TEXT, **_PAID},
    ),
    "failure": _answer(
        "failure",
        "Why there is no reply to read.",
        ["kind"],
        {
            "kind": {"enum": _FAILURES},
            "message": _TEXT,
            "status": {"type": ["integer", "null"]},
            "retry_after_s": _NUMBER_OR_NULL,
            "downgraded": _FLAG,
            "sent": _FLAG,
            **_PAID,
        },
    ),
    "returned": _answer(
        "returned", "What a function of yours gave: any JSON.", [], {"value": True, "latency_s": _NUMBER}
    ),
    "crashed": _answer(
        "crashed",
        "A function of yours that gave nothing.",
        ["kind", "error"],
        {"kind": {"enum": ["crashed", "timeout", "deadline"]}, "error": _TEXT, "latency_s": _NUMBER},
    ),
}

_EXPECT: Json = {
    "description": "What must hold. accepted: the guard gives a model's value. refused: no model's value is handed out."
    " value: the outcome has this value.",
    "type": "object",
    "properties": {
        "kind": {"enum": list(EXPECTED)},
        "value": True,
        "note": {"description": "Why, for whoever meets the red test.", "type": "string"},
    },
    "required": ["kind"],
    "if": {"properties": {"kind": {"const": "value"}}},
    "then": {"required": ["value"]},
    "else": {"properties": {"value": False}},
    "additionalProperties": False,
}

_STEP: Json = {
    "description": "One answer. `address`: where in the call it was asked. `digest` names what was asked; leave it empty in"
    " a step that you write by hand.",
    "type": "object",
    "properties": {
        "address": {"type": "string", "minLength": 1, "maxLength": 1000},
        "digest": {"type": "string", "pattern": "^([0-9a-f]{32})?$"},
        "waited_s": _NUMBER,
        "answer": {
            "type": "object",
            "properties": {"answer": {"enum": list(_ANSWERS)}},
            "required": ["answer"],
            "allOf": [
                {
                    "if": {"properties": {"answer": {"const": tag}}, "required": ["answer"]},
                    "then": {"$ref": f"#/$defs/{tag}"},
                }
                for tag in _ANSWERS
            ],
        },
    },
    "required": ["address", "answer"],
    "additionalProperties": False,
}

CASE_SCHEMA: dict[str, Json] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "llmguard case",
    "description": "A logged call that must come out so: `llmguard promote` writes it, pytest replays it. Edit `expect`,"
    " `inputs` and `steps` by hand as you like.",
    "type": "object",
    "properties": {
        "version": {"const": CASE_VERSION},
        "guard": {"type": "string", "pattern": r"^(?!\.)[a-z0-9_.-]{1,64}$", "not": {"pattern": r"\.$"}},
        "slug": {"type": "string", "pattern": "^[a-z0-9-]{1,80}$"},
        "expect": _EXPECT,
        "inputs": {"description": "What the guard was called with, by name.", "type": "object"},
        "steps": {"type": "array", "items": _STEP},
        "audited": {"description": "Whether the call was drawn for audit, and drew all samples of a vote.", **_FLAG},
        "provenance": {"description": "Where the case comes from. Nothing is decided by it.", "type": "object"},
    },
    "required": ["version", "guard", "slug", "expect", "inputs", "steps"],
    "additionalProperties": False,
    "$defs": _ANSWERS,
}


@cache
def compiled_case_schema() -> Schema:
    """On first use: compiling it loads the validator."""
    return compile_schema(CASE_SCHEMA, where="schema of case files")
