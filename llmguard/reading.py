"""A reply and a schema to a value: how the reply ended first, then its candidates, then the schema."""

from __future__ import annotations

from dataclasses import dataclass

from llmguard.canonical import Json
from llmguard.messages import FailureKind, ModelReply
from llmguard.outcome import Repair, Violation, Violations
from llmguard.parsing import parse
from llmguard.schema import Schema


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reply says. `failure` is None where `value` fits the schema; `candidate` is what was parsed either way, as
    a tuple of one value, or empty."""

    value: Json = None
    violations: Violations = ()
    repairs: tuple[Repair, ...] = ()
    failure: FailureKind | None = None
    candidate: tuple[Json, ...] = ()


def read(reply: ModelReply, schema: Schema) -> Reading:
    """The value of `reply`, or what is wrong with it. A reply that was cut off is never read as if it were whole."""
    if reply.finish_reason == "length":
        return _failed("truncated", "the reply was cut off at its token limit")
    if reply.finish_reason == "content_filter":
        return _failed("content_filter", "the provider's content filter ended the reply")
    if not reply.text.strip():
        return _failed("empty", "the reply holds no text")
    parsed = parse(reply.text)
    if parsed.violation:
        return Reading(violations=(parsed.violation,), failure="unparsable")
    (candidate,) = parsed.candidates
    if violations := schema.violations(candidate.value):
        return Reading(None, violations, candidate.repairs, "schema", (candidate.value,))
    return Reading(candidate.value, (), candidate.repairs, None, (candidate.value,))


def _failed(kind: FailureKind, message: str) -> Reading:
    return Reading(violations=(Violation("", kind, message),), failure=kind)
