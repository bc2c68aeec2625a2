"""A case as text and back: strict on the way in, stable to diff on the way out.

A file is read by the same rules whoever wrote it: JSON without NaN and without duplicate keys, of bounded size and depth,
that fits `case_schema.CASE_SCHEMA`. What is wrong is a UsageError that names the file and the path in it. There is no
checksum: a case may be edited by hand, and version control has its history.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import cast

from llmguard.core.canonical import MAX_DEPTH, EncodingError, Json, decode, decode_plain, encode
from llmguard.core.errors import UsageError
from llmguard.core.outcome import Violation
from llmguard.core.record import Step, answer_from_json, answer_to_json
from llmguard.core.redaction import redact
from llmguard.core.safe_text import safe_json, safe_line
from llmguard.replay.cases.case import Case, Expect
from llmguard.replay.cases.case_schema import CASE_VERSION, compiled_case_schema

MAX_CASE_BYTES = 8 * 1024 * 1024
"""One call's inputs and replies are hardly larger."""

SHOWN_VIOLATIONS = 3
SHOWN = 200
"""Violations, and characters of each, in a message."""


def case_to_json(case: Case) -> dict[str, Json]:
    """The case as JSON, redacted. Our keys have a fixed order; those of inputs and values keep theirs, because a prompt may
    render an object, and replay must render the same text."""
    expect: dict[str, Json] = {"kind": case.expect.kind}
    if case.expect.value:
        expect["value"] = case.expect.value[0]
    if case.expect.note:
        expect["note"] = case.expect.note
    data: dict[str, Json] = {
        "version": CASE_VERSION,
        "guard": case.guard,
        "slug": case.slug,
        "expect": expect,
        "inputs": case.inputs,
        "steps": [_step_to_json(step) for step in case.steps],
        "audited": case.audited,
        "provenance": dict(sorted(case.provenance.items())),
    }
    try:
        return cast("dict[str, Json]", decode(redact(encode(data))))
    except EncodingError as error:
        raise UsageError(f"case {case.id!r} cannot be written as JSON: {safe_line(str(error), SHOWN)}.") from None


def _step_to_json(step: Step) -> dict[str, Json]:
    waited = {"waited_s": step.waited_s} if step.waited_s else {}
    return {"address": step.address, "digest": step.digest, **waited, "answer": answer_to_json(step.answer)}


def case_text(case: Case) -> str:
    """The content of a case file: one item to a line, and control characters as JSON escapes.

    >>> print("\\n".join(pretty_lines({"b": [1, {}], "a": "x"})))
    {
      "b": [
        1,
        {}
      ],
      "a": "x"
    }
    """
    return "\n".join(pretty_lines(case_to_json(case))) + "\n"


def pretty_lines(value: Json, *, sort_keys: bool = False) -> list[str]:
    """JSON over as many lines as it has items; every scalar safe to print."""
    return list(_lines(value, "", sort_keys))


def _lines(value: Json, indent: str, sort_keys: bool) -> Iterator[str]:
    if not value or not isinstance(value, dict | list):
        yield safe_json(value)
        return
    inner = indent + "  "
    if isinstance(value, dict):
        items = sorted(value.items()) if sort_keys else value.items()
        parts = [(f"{safe_json(key)}: ", item) for key, item in items]
    else:
        parts = [("", item) for item in value]
    yield "{" if isinstance(value, dict) else "["
    for number, (key, item) in enumerate(parts):
        *before, last = _lines(item, inner, sort_keys)
        if before:
            yield inner + key + before[0]
            yield from before[1:]
            yield last + ("," if number < len(parts) - 1 else "")
        else:
            yield inner + key + last + ("," if number < len(parts) - 1 else "")
    yield indent + ("}" if isinstance(value, dict) else "]")


# ------------------------------------------------------------------------------------------------- and back


def case_from_text(text: bytes, where: str) -> Case:
    """The case in the content of a file; `where` names the file in messages."""
    if len(text) > MAX_CASE_BYTES:
        raise UsageError(
            f"{where}: a case file has at most {MAX_CASE_BYTES // 1024 // 1024} MB, this one {len(text):,} bytes."
        )
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: it is not UTF-8 text ({error.reason} at byte {error.start}).") from None
    return case_from_json(_parsed(decoded, where), where)


def _parsed(text: str, where: str) -> Json:
    if plain := decode_plain(text):
        return plain[0]

    def unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        members: dict[str, Json] = {}
        for key, value in pairs:
            if key in members:
                raise UsageError(f"{where}: the key {key[:SHOWN]!r} is there twice in one object. Leave one of them.")
            members[key] = value
        return members

    def refuse(constant: str) -> Json:
        raise UsageError(f"{where}: {constant} is not JSON. Write a number, null or a text.")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except RecursionError:
        raise UsageError(f"{where}: it is more than {MAX_DEPTH} levels deep.") from None
    except ValueError as error:
        raise UsageError(f"{where}: it is not JSON: {safe_line(str(error), SHOWN)}.") from None


def case_from_json(data: Json, where: str) -> Case:
    """The case; UsageError says what is wrong at which place of `where`.

    >>> data = {"version": 1, "guard": "age", "slug": "a", "expect": {"kind": "accepted"}, "inputs": {}, "steps": []}
    >>> case_from_json(data, "a.json").expect
    Expect(kind='accepted', value=(), note='')
    >>> case_from_json({**data, "slug": 7}, "a.json")
    Traceback (most recent call last):
    llmguard.core.errors.UsageError: a.json is not a case file: at /slug: must be a string; got 7.
    """
    _refuse_depth(data, where)
    if isinstance(data, dict) and type(version := data.get("version")) is int and version > CASE_VERSION:
        raise UsageError(
            f"{where}: this is a case of version {version}, and this llmguard reads {CASE_VERSION}. Upgrade llmguard, or"
            " promote the outcome again."
        )
    if wrong := compiled_case_schema().violations(data):
        raise UsageError(
            f"{where} is not a case file: {'; '.join(_describe(each) for each in wrong[:SHOWN_VIOLATIONS])}."
        )
    return Case(
        guard=data["guard"],
        slug=data["slug"],
        inputs=data["inputs"],
        steps=tuple(_step(step) for step in data["steps"]),
        expect=_expect(data["expect"]),
        provenance=data.get("provenance", {}),
        audited=data.get("audited", False),
    )


def _refuse_depth(data: Json, where: str) -> None:
    try:
        encode(data)
    except EncodingError as error:
        raise UsageError(f"{where}: {safe_line(str(error), SHOWN)}.") from None


def _describe(violation: Violation) -> str:
    return safe_line(f"at {violation.path or 'the top'}: {violation.message}", SHOWN)


def _expect(data: Json) -> Expect:
    return Expect(
        kind=data["kind"], value=(data["value"],) if data["kind"] == "value" else (), note=data.get("note", "")
    )


def _step(data: Json) -> Step:
    answer = data["answer"]
    if answer["answer"] == "returned":
        answer = {"value": None, **answer}
    return Step(data["address"], data.get("digest", ""), answer_from_json(answer), data.get("waited_s", 0.0))
