"""One logged outcome compared with what today's guard makes of the same replies."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, Protocol, TypeAlias

from llmguard.core.canonical import EncodingError, Json, encode
from llmguard.core.outcome import Outcome, Violation
from llmguard.core.record import Record
from llmguard.core.redaction import redact
from llmguard.engine.policy import REASKED, Policy
from llmguard.guard.guard import total_cost
from llmguard.replay.what_if import Match, WhatIf, what_if
from llmguard.schema.keywords import as_pointer

Kind: TypeAlias = Literal["same", "newly_failing", "newly_passing", "changed", "undetermined"]
"""`newly_failing`: a model's value was returned, and today none is; `newly_passing`: the other way round; `changed`:
another value, or another rung or person instead of a model; `undetermined`: the log cannot say, which is no evidence."""

DECIDED = ("accepted", "recovered", "fallback", "escalated", "rejected")
"""Statuses of calls that can be replayed: the others ended without an outcome."""

WHY_CHARS = 200
"""Of a sentence that a report lists: two lines of a terminal."""
MAX_DEPTH = 60
"""Down to which differences are located; deeper ones are reported at this depth."""


class RecordSource(Protocol):
    """What is needed of a log."""

    def records_of(self, ids: Sequence[str], *, evidence: bool) -> list[Record]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """One logged outcome and today's. `before` and `after` are statuses, `after` empty where it is undetermined.

    `substituted`: a recorded reply answered another request (`match="position"`): no evidence. `why` is one sentence,
    `reason` what such sentences are counted by. Costs are US dollars at today's prices, None where one is not known.
    """

    id: str
    started_at: float
    kind: Kind
    before: str
    after: str = ""
    substituted: bool = False
    why: str = ""
    reason: str = ""
    cost_before: float | None = None
    cost_after: float | None = None
    same_guard: bool = False
    """Today's guard is the one that made the outcome, by its fingerprint."""

    @property
    def is_evidence(self) -> bool:
        return self.kind != "undetermined" and not self.substituted

    def to_json(self) -> dict[str, Json]:
        """Fields at their default are left out; `substituted` has the key `assumed`.

        >>> ReplayResult(id="1", started_at=0.5, kind="same", before="accepted", after="accepted").to_json()
        {'id': '1', 'started_at': 0.5, 'kind': 'same', 'before': 'accepted', 'after': 'accepted'}
        """
        values = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return {_KEYS.get(name, name): value for name, value, default in values if value != default}

    @classmethod
    def from_json(cls, data: Json) -> ReplayResult:
        return cls(**{_NAMES.get(key, key): value for key, value in data.items()})


_KEYS = {"substituted": "assumed"}
_NAMES = {key: name for name, key in _KEYS.items()}


def replay_record(
    policy: Policy, record: Record, *, match: Match = "request", rerun: Collection[str] = ()
) -> ReplayResult:
    """Replay a finished call with `policy`, without a model, and compare the outcomes."""
    opening, before = record.opening, record.outcome
    assert before is not None, "only a finished call can be replayed"
    if error := input_error(policy, opening.inputs):
        return replace(
            lost_result(opening.id, error), started_at=opening.started_at, before=before.status, reason="inputs"
        )
    audited = before.review_reason == "audit"
    after = what_if(policy, record.steps, opening.inputs, match=match, rerun=rerun, audited=audited)
    kind = compare_outcomes(before, after)
    why, reason = explain_result(kind, before, after)
    return ReplayResult(
        id=opening.id,
        started_at=opening.started_at,
        kind=kind,
        before=before.status,
        after=after.outcome.status if after.outcome else "",
        substituted=bool(after.substituted),
        why=why,
        reason=reason,
        cost_before=total_cost(before.attempts),
        cost_after=total_cost(after.outcome.attempts) if after.outcome else None,
        same_guard=opening.fingerprint == policy.fingerprint,
    )


def replay_page(
    policy: Policy,
    log: RecordSource,
    ids: Sequence[str],
    *,
    match: Match = "request",
    rerun: Collection[str] = (),
) -> Iterator[ReplayResult]:
    """Replay calls in the order of `ids`; a result comes as soon as it is known. One that cannot be read or replayed is
    undetermined."""
    for call_id, record in zip(ids, _read(log, ids), strict=True):
        if isinstance(record, str):
            yield lost_result(call_id, record)
            continue
        try:
            yield replay_record(policy, record, match=match, rerun=rerun)
        except Exception as error:  # of a record that today's llmguard cannot make sense of
            yield lost_result(call_id, f"replaying it raised {type(error).__name__}: {error}")


def _read(log: RecordSource, ids: Sequence[str]) -> list[Record | str]:
    """Each record, or why there is none. One that cannot be decoded does not spoil its page."""
    try:
        records = {record.opening.id: record for record in log.records_of(ids, evidence=False)}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        if len(ids) == 1:
            return [f"its record cannot be read: {type(error).__name__}: {error}"]
        return [each for call_id in ids for each in _read(log, (call_id,))]
    finished = {call_id: record for call_id, record in records.items() if record.outcome}
    return [finished.get(each, "it is no longer in the log") for each in ids]


def lost_result(call_id: str, why: str) -> ReplayResult:
    """The result of a call that could not be replayed."""
    return ReplayResult(id=call_id, started_at=0.0, kind="undetermined", before="", why=why[:WHY_CHARS], reason="lost")


def compare_outcomes(before: Outcome[Json], after: WhatIf) -> Kind:
    """What the caller would notice: no model's value any more, one now, another value, or another kind of end."""
    today = after.outcome
    if today is None:
        return "undetermined"
    passed, passes = before.is_from_model, today.is_from_model
    if passed != passes:
        return "newly_failing" if passed else "newly_passing"
    if (passed or before.status == today.status) and is_same_value(_returned(before), _returned(today)):
        return "same"
    return "changed"


def _returned(outcome: Outcome[Json]) -> tuple[Json, ...]:
    """The value that the caller gets, as a tuple of one, or empty."""
    return (outcome.json,) if outcome.has_value else ()


def is_same_value(one: tuple[Json, ...], other: tuple[Json, ...]) -> bool:
    """Whether two values are written alike in the log: secrets redacted, keys in any order.

    >>> is_same_value(({"a": 1, "b": 2},), ({"b": 2, "a": 1},)), is_same_value((1,), (True,)), is_same_value((), (None,))
    (True, False, False)
    """
    return len(one) == len(other) and all(map(_is_same, one, other))


def _is_same(one: Json, other: Json) -> bool:
    try:
        return redact(encode(one, sort_keys=True)) == redact(encode(other, sort_keys=True))
    except EncodingError:  # what the log could not take either
        return False


def differences(one: Json, other: Json, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Json, Json]]:
    """Where two values differ, as deep as both have the same keys or as many items.

    >>> list(differences({"a": [1, 2], "b": 3}, {"a": [1, 4], "b": 3}))
    [(('a', '1'), 2, 4)]
    """
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys() and len(at) < MAX_DEPTH:
        for name in one:
            yield from differences(one[name], other[name], (*at, name))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other) and len(at) < MAX_DEPTH:
        for number, item in enumerate(one):
            yield from differences(item, other[number], (*at, str(number)))
    elif not _is_same(one, other):
        yield at, one, other


# ------------------------------------------------------------------------------------------------- reasons


def input_error(policy: Policy, inputs: Json) -> str:
    """Why today's guard could not be called with these inputs; empty where it could."""
    if not isinstance(inputs, dict):
        return "the log does not have its inputs"
    if missing := policy.prompt.missing(inputs):
        return f"today's prompt expects an input {missing[0]!r} that the call did not have"
    if unknown := policy.prompt.unknown(inputs):
        return f"today's prompt does not take the input {unknown[0]!r}"
    return ""


def explain_result(kind: Kind, before: Outcome[Json], after: WhatIf) -> tuple[str, str]:
    """A result in one sentence, and what it has in common with others: rule and path without the numbers of list items,
    or the address at which a model would be asked. Both empty for `same`."""
    why, reason, today = "", "", after.outcome
    if today is None:
        reason = "refuses the recorded reply, and would ask again" if _is_reask(after) else f"needs {after.needed}"
        why = f"{reason}, at {after.undetermined_at}"
    elif kind == "newly_failing":
        why, reason = _refused_by(today)
    elif kind == "newly_passing":
        why, reason = (f"before: {text}" for text in _refused_by(before))
    elif kind == "changed":
        why, reason = _change(before, today)
    return why[:WHY_CHARS], reason[:WHY_CHARS]


def _is_reask(after: WhatIf) -> bool:
    """Whether the missing request is one that follows a refused reply."""
    return re.search("/a[0-9]+/t1$", after.undetermined_at) is not None and "/a1/" not in after.undetermined_at


def _refused_by(outcome: Outcome[Json]) -> tuple[str, str]:
    violation = _last_objection(outcome)
    if violation is None:
        return f"ends {outcome.status}", outcome.status
    return str(violation), rule_at(violation)


def _change(before: Outcome[Json], today: Outcome[Json]) -> tuple[str, str]:
    if not (before.has_value and today.has_value):
        return (f"{before.status} is {today.status}",) * 2
    at, one, other = next(differences(before.json, today.json), ((), before.json, today.json))
    path = as_pointer(at)
    return f"{path or '(whole value)'}: {_short(one)} is {_short(other)}", f"value at {without_numbers(path)}"


def _last_objection(outcome: Outcome[Json]) -> Violation | None:
    """The last violation of a model's reply; where there was none, of the outcome."""
    refused = [attempt for attempt in outcome.attempts if attempt.failure in REASKED]
    violations = (violation for attempt in reversed(refused or outcome.attempts) for violation in attempt.violations)
    return next(violations, None) or next(iter(outcome.violations), None)


def rule_at(violation: Violation) -> str:
    """What violations of many values have in common.

    >>> rule_at(Violation("/lines/3", "required", "required property 'sku' is missing", expected="sku"))
    'required at /lines/*/sku'
    """
    missing = violation.expected if violation.rule == "required" else None
    below = as_pointer((missing,)) if isinstance(missing, str) else ""
    return f"{violation.rule} at {without_numbers(violation.path + below)}"


def without_numbers(path: str) -> str:
    """A path without the numbers of list items.

    >>> without_numbers("/lines/3/amount")
    '/lines/*/amount'
    """
    return "/".join("*" if part.isdecimal() else part for part in path.split("/")) or "the whole value"


def _short(value: Json) -> str:
    text = encode(value).decode()
    return text if len(text) <= 60 else text[:59] + "…"
