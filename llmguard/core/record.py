"""A guarded call as data: start, steps and outcome as canonical JSON with a version and a tagged hash.

How answers, outcomes and whole records are written as JSON, and read back. Times and ids are made by the driver; nothing
here reads a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass, replace
from hashlib import sha256
from operator import attrgetter
from typing import Any, TypeAlias, cast

from llmguard.core.canonical import Json, decode, digest, encode
from llmguard.core.effects import Answer, Crashed, Returned
from llmguard.core.errors import LogError
from llmguard.core.messages import NO_USAGE, ModelFailure, ModelReply, Usage
from llmguard.core.outcome import (
    Alternative,
    Attempt,
    FieldSupport,
    Judgement,
    Outcome,
    Repair,
    Sample,
    Violation,
    Vote,
)
from llmguard.core.redaction import redact, redact_text

RECORD_VERSION = 1
"""Of `record_to_json`. A reader refuses a later one: it may hold what changes the meaning of the rest."""
RAW_LIMIT = 65_536
"""Bytes kept of a reply over the size limit: enough to see what it is. Its hash covers all that was received."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStart:
    """The start of a call, saved before its first request. `inputs_digest` finds calls with the same inputs."""

    id: str
    guard: str
    fingerprint: str
    inputs: Json
    inputs_digest: str
    meta: Json
    started_at: float
    """Seconds since the epoch, UTC."""


@dataclass(frozen=True, slots=True)
class Step:
    """One answered effect: its address, the digest of the request, the answer, and the seconds waited before it was sent."""

    address: str
    digest: str
    answer: Answer
    waited_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Record:
    """All that is kept of one call. `outcome` is None while it runs, or if its process died."""

    opening: CallStart
    steps: tuple[Step, ...]
    outcome: Outcome[Json] | None = None


_ANSWERS: dict[str, type[ModelReply] | type[ModelFailure] | type[Returned] | type[Crashed]] = {
    "reply": ModelReply,
    "failure": ModelFailure,
    "returned": Returned,
    "crashed": Crashed,
}
_TAGS = {kind: tag for tag, kind in _ANSWERS.items()}


def answer_to_json(answer: Answer) -> dict[str, Json]:
    """The answer without its raw bytes, which are kept beside it; fields at their default are left out."""
    fields_set = {"answer": _TAGS[type(answer)], **_non_default_fields(answer, leave_out=("raw", "logprobs"))}
    if isinstance(answer, ModelReply) and answer.logprobs:
        fields_set["logprobs"] = [list(token) for token in answer.logprobs]
    return fields_set


def answer_from_json(data: dict[str, Json], raw: bytes = b"") -> Answer:
    fields_set = dict(data)
    kind = _ANSWERS[fields_set.pop("answer")]
    if "usage" in fields_set:
        fields_set["usage"] = Usage(**fields_set["usage"])
    if "logprobs" in fields_set:
        fields_set["logprobs"] = tuple((token, logprob) for token, logprob in fields_set["logprobs"])
    if raw:
        fields_set["raw"] = raw
    return kind(**fields_set)


def encode_answer(answer: Answer) -> bytes:
    """An answer as it is logged: redacted canonical JSON."""
    return redact(encode(answer_to_json(_without_split_secrets(answer))))


def _without_split_secrets(answer: Answer) -> Answer:
    """Tokens would keep, in pieces, the secret that is redacted in the text."""
    if isinstance(answer, ModelReply) and answer.logprobs and redact_text(answer.text) != answer.text:
        return replace(answer, logprobs=())
    return answer


def decode_answer(text: bytes | str, raw: bytes = b"") -> Answer:
    return answer_from_json(decode(text), raw)


def raw_of(answer: Answer) -> tuple[bytes, str]:
    """The evidence of an answer, redacted, with its tagged hash; both empty where nothing was received."""
    raw = getattr(answer, "raw", b"")
    if not raw:
        return b"", ""
    evidence = redact(raw)
    return evidence[:RAW_LIMIT] if getattr(answer, "kind", "") == "malformed" else evidence, tagged_hash(evidence)


def tagged_hash(text: bytes) -> str:
    return "sha256:" + sha256(text).hexdigest()


def encode_outcome(outcome: Outcome[Json]) -> bytes:
    return redact(encode(outcome_to_json(outcome)))


def decode_outcome(text: bytes | str) -> Outcome[Json]:
    return outcome_from_json(decode(text))


def outcome_to_json(outcome: Outcome[Json]) -> dict[str, Json]:
    """`value` is left out: the value in the log is `json`. So are the attempts' texts: they are in the steps."""
    fields_set = _non_default_fields(outcome, leave_out=("value", "attempts", "fields", "_priced"))
    fields_set["attempts"] = [_non_default_fields(attempt, leave_out=("text",)) for attempt in outcome.attempts]
    if outcome.fields:
        fields_set["fields"] = {path: _non_default_fields(support) for path, support in outcome.fields.items()}
    return fields_set


def with_texts(outcome: Outcome[Json], steps: Iterable[Step]) -> Outcome[Json]:
    """The outcome with the text of each attempt, taken from its step."""
    texts = {step.address: step.answer.text for step in steps if isinstance(step.answer, ModelReply)}
    attempts = tuple(replace(attempt, text=texts.get(attempt.address, "")) for attempt in outcome.attempts)
    return replace(outcome, attempts=attempts)


def outcome_from_json(data: dict[str, Json]) -> Outcome[Json]:
    fields_set = dict(data)
    for name, one in _PARTS:
        if name in fields_set:
            fields_set[name] = tuple(one(item) for item in fields_set[name])
    if "usage" in fields_set:
        fields_set["usage"] = Usage(**fields_set["usage"])
    if "fields" in fields_set:
        fields_set["fields"] = {path: _field_support(support) for path, support in fields_set["fields"].items()}
    if "vote" in fields_set:
        fields_set["vote"] = _vote(fields_set["vote"])
    return Outcome(value=fields_set.get("json"), **fields_set)


def interrupted(steps: Iterable[Step]) -> Outcome[Json]:
    """The outcome of a call whose process died or whose caller left: no value, and what was paid for."""
    attempts = tuple(_unjudged(step) for step in steps if isinstance(step.answer, ModelReply | ModelFailure))
    return Outcome(
        status="interrupted",
        violations=(Violation("", "interrupted", "the call ended before it was decided"),),
        attempts=attempts,
        usage=sum((attempt.usage for attempt in attempts), NO_USAGE),
    )


def _unjudged(step: Step) -> Attempt:
    answer = cast(ModelReply | ModelFailure, step.answer)
    reply = answer if isinstance(answer, ModelReply) else None
    return Attempt(
        address=step.address,
        rung=step.address.split("/")[0],
        text=reply.text if reply else "",
        failure="stopped" if reply else cast(ModelFailure, answer).kind,
        message="not judged: the call was interrupted" if reply else cast(ModelFailure, answer).message,
        model=reply.model if reply else "",
        usage=answer.usage,
        cost_usd=answer.cost_usd,
        latency_s=answer.latency_s,
    )


def record_to_json(record: Record) -> dict[str, Json]:
    """The whole record, with a version and a hash over everything else in it."""
    data: dict[str, Json] = {
        "version": RECORD_VERSION,
        "opening": _non_default_fields(record.opening),
        "steps": [step_to_json(step) for step in record.steps],
        "outcome": outcome_to_json(record.outcome) if record.outcome else None,
    }
    return {**data, "hash": record_hash(data)}


def record_hash(data: dict[str, Json]) -> str:
    """The tagged hash of a record's other members."""
    return "blake2b-128:" + digest({name: item for name, item in data.items() if name != "hash"})


def step_to_json(step: Step) -> dict[str, Json]:
    return {
        "address": step.address,
        "digest": step.digest,
        "waited_s": step.waited_s,
        "answer": answer_to_json(step.answer),
    }


def step_from_json(data: dict[str, Json]) -> Step:
    return Step(data["address"], data["digest"], answer_from_json(data["answer"]), data["waited_s"])


def record_from_json(data: dict[str, Json]) -> Record:
    """The record that `record_to_json` wrote.

    Raises:
        LogError: it is of another version, or was changed since. What is stored cannot be trusted; a `ReplayMismatch`
            is about a record that can be, and a guard that asks for something else.
    """
    _refuse_other_version(data)
    _refuse_changed_record(data)
    return Record(
        CallStart(**data["opening"]),
        tuple(step_from_json(step) for step in data["steps"]),
        outcome_from_json(data["outcome"]) if data["outcome"] else None,
    )


def _refuse_other_version(data: dict[str, Json]) -> None:
    version = data.get("version")
    if type(version) is not int or version != RECORD_VERSION:
        raise LogError(
            f"a record has version {version!r}, and this llmguard reads version {RECORD_VERSION}. Read it with the llmguard"
            " that wrote it, or a later one."
        )


def _refuse_changed_record(data: dict[str, Json]) -> None:
    if data.get("hash") != (expected := record_hash(data)):
        raise LogError(
            f"a record has hash {data.get('hash')!r:.80}, and its content has {expected!r}: it was changed after it was"
            " written. Use the record as it was written; what may be edited is a case file (`llmguard promote`)."
        )


def _violation(data: Json) -> Violation:
    return Violation(**data)


def _repair(data: Json) -> Repair:
    return Repair(**data)


def _attempt(data: Json) -> Attempt:
    fields_set = dict(data)
    fields_set["violations"] = tuple(_violation(item) for item in fields_set.get("violations", ()))
    fields_set["repairs"] = tuple(_repair(item) for item in fields_set.get("repairs", ()))
    if "usage" in fields_set:
        fields_set["usage"] = Usage(**fields_set["usage"])
    return Attempt(**fields_set)


def _alternative(data: Json) -> Alternative:
    return Alternative(**data)


def _field_support(data: Json) -> FieldSupport:
    return FieldSupport(**{**data, "alternatives": tuple(_alternative(item) for item in data.get("alternatives", ()))})


def _judgement(data: Json) -> Judgement:
    return Judgement(**data)


def _sample(data: Json) -> Sample:
    return Sample(**{**data, "usage": Usage(**data.get("usage", {}))})


def _vote(data: Json) -> Vote:
    samples = tuple(_sample(item) for item in data["samples"])
    violations = tuple(_violation(item) for item in data.get("violations", ()))
    return Vote(**{**data, "candidate": tuple(data["candidate"]), "samples": samples, "violations": violations})


def _itself(data: Json) -> Json:
    return data


_PARTS: tuple[tuple[str, Callable[[Json], object]], ...] = (
    ("violations", _violation),
    ("flags", _violation),
    ("repairs", _repair),
    ("attempts", _attempt),
    ("alternatives", _alternative),
    ("judgements", _judgement),
    ("proposed", _itself),
    ("skipped_checks", _itself),
)


def _non_default_fields(value: Any, leave_out: tuple[str, ...] = ()) -> dict[str, Json]:
    """The fields of a dataclass that are not at their default."""
    get, defaults = _plan(type(value), leave_out)
    return {
        name: item if type(item) in _AS_THEY_ARE else _plain(item)
        for (name, default), item in zip(defaults, get(value), strict=True)
        if item is not default and item != default
    }


def _plain(item: Json) -> Json:
    """Tuples and dataclasses are ours and are spelled out; lists and dicts are JSON already."""
    if isinstance(item, tuple):
        return [_plain(one) for one in item]
    return _non_default_fields(item) if is_dataclass(item) else item


_AS_THEY_ARE = frozenset({str, int, float, bool, dict, list})
_Plan: TypeAlias = tuple[Callable[[Any], tuple[Any, ...]], tuple[tuple[str, object], ...]]
_plans: dict[tuple[type[Any], tuple[str, ...]], _Plan] = {}


def _plan(kind: type[Any], leave_out: tuple[str, ...]) -> _Plan:
    """How the fields of a kind are fetched, and their defaults; worked out once."""
    fields_set = _plans.get((kind, leave_out))
    if fields_set is None:
        kept = tuple((each.name, each.default) for each in fields(kind) if each.name not in leave_out)
        fields_set = _plans[kind, leave_out] = attrgetter(*(name for name, _ in kept)), kept
    return fields_set
