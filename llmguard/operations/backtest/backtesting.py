"""One logged outcome beside what today's guard makes of the same replies."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

from llmguard.core.canonical import EncodingError, Json, encode
from llmguard.core.outcome import Outcome, Violation
from llmguard.core.record import Record
from llmguard.core.redaction import redact
from llmguard.engine.policy import REASKED, Policy
from llmguard.guard.guard import price_of
from llmguard.replay.what_if import Same, WhatIf, what_if
from llmguard.schema.keywords import as_pointer

Kind: TypeAlias = Literal["same", "newly_failing", "newly_passing", "changed", "undetermined"]
"""`newly_failing`: a model's value was handed out, and today none is; `newly_passing`: the other way round; `changed`:
another value, or another rung or person instead of a model; `undetermined`: the log cannot say, which is no evidence."""

KINDS: tuple[Kind, ...] = ("same", "newly_failing", "newly_passing", "changed", "undetermined")
DECIDED = ("accepted", "recovered", "fallback", "escalated", "rejected")
"""Statuses of calls that can be judged again: the others never came to an outcome."""

WHY_CHARS = 200
MAX_DEPTH = 60


class Records(Protocol):
    """What is asked of a log."""

    def records_of(self, ids: Sequence[str], *, evidence: bool) -> list[Record]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejudged:
    """What became of one logged outcome. `before` and `after` are statuses, `after` empty where it is undetermined.

    `assumed`: a recorded reply stood in for one to another request (same slot): no evidence. `why` is one sentence,
    `reason` what such sentences are counted by. Costs are US dollars at today's prices, None where one is not known.
    """

    id: str
    started_at: float
    kind: Kind
    before: str
    after: str = ""
    assumed: bool = False
    why: str = ""
    reason: str = ""
    cost_before: float | None = None
    cost_after: float | None = None
    same_guard: bool = False
    """Today's guard is the one that decided it, by its fingerprint."""

    @property
    def is_evidence(self) -> bool:
        return self.kind != "undetermined" and not self.assumed


def judged(policy: Policy, record: Record, *, same: Same = "request", fresh: Collection[str] = ()) -> Rejudged:
    """A finished call judged again by `policy`, without a model."""
    opening, before = record.opening, record.outcome
    assert before is not None, "only a finished call can be judged again"
    if refusal := inputs_refused(policy, opening.inputs):
        return replace(lost(opening.id, refusal), started_at=opening.started_at, before=before.status, reason="inputs")
    audited = before.review_reason == "audit"
    after = what_if(policy, record.steps, opening.inputs, same=same, fresh=fresh, audited=audited)
    kind = compared(before, after)
    why, reason = explained(kind, before, after)
    return Rejudged(
        id=opening.id,
        started_at=opening.started_at,
        kind=kind,
        before=before.status,
        after=after.outcome.status if after.outcome else "",
        assumed=bool(after.assumed),
        why=why,
        reason=reason,
        cost_before=price_of(before.attempts),
        cost_after=price_of(after.outcome.attempts) if after.outcome else None,
        same_guard=opening.fingerprint == policy.fingerprint,
    )


def judged_page(
    policy: Policy,
    log: Records,
    ids: Sequence[str],
    *,
    same: Same = "request",
    fresh: Collection[str] = (),
) -> Iterator[Rejudged]:
    """Calls judged again, in the order of `ids`, each as it is done; one that cannot be read or judged is undetermined."""
    for call_id, record in zip(ids, _read(log, ids), strict=True):
        if isinstance(record, str):
            yield lost(call_id, record)
            continue
        try:
            yield judged(policy, record, same=same, fresh=fresh)
        except Exception as error:  # of a record that today's llmguard cannot make sense of
            yield lost(call_id, f"judging it raised {type(error).__name__}: {error}")


def _read(log: Records, ids: Sequence[str]) -> list[Record | str]:
    """Each record, or why there is none. One that cannot be decoded does not spoil its page."""
    try:
        found = {record.opening.id: record for record in log.records_of(ids, evidence=False)}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        if len(ids) == 1:
            return [f"its record cannot be read: {type(error).__name__}: {error}"]
        return [each for call_id in ids for each in _read(log, (call_id,))]
    return [found[each] if each in found and found[each].outcome else "it is no longer in the log" for each in ids]


def lost(call_id: str, why: str) -> Rejudged:
    """What stands for a call that could not be judged."""
    return Rejudged(id=call_id, started_at=0.0, kind="undetermined", before="", why=why[:WHY_CHARS], reason="lost")


def compared(before: Outcome[Json], after: WhatIf) -> Kind:
    """What the caller would notice: no model's value any more, one now, another value, or another kind of end."""
    today = after.outcome
    if today is None:
        return "undetermined"
    passed, passes = before.is_from_model, today.is_from_model
    if passed != passes:
        return "newly_failing" if passed else "newly_passing"
    if (passed or before.status == today.status) and same_value(handed_out(before), handed_out(today)):
        return "same"
    return "changed"


def handed_out(outcome: Outcome[Json]) -> tuple[Json, ...]:
    """The value that the caller gets, as a tuple of one, or empty."""
    return (outcome.json,) if outcome.has_value else ()


def same_value(one: tuple[Json, ...], other: tuple[Json, ...]) -> bool:
    """Whether two values are spelled alike as the log spells them: secrets redacted, keys in any order.

    >>> same_value(({"a": 1, "b": 2},), ({"b": 2, "a": 1},)), same_value((1,), (True,)), same_value((), (None,))
    (True, False, False)
    """
    return len(one) == len(other) and all(map(_alike, one, other))


def _alike(one: Json, other: Json) -> bool:
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
    elif not _alike(one, other):
        yield at, one, other


# ------------------------------------------------------------------------------------------------- in words


def inputs_refused(policy: Policy, inputs: Json) -> str:
    """Why today's guard could not be called so; empty where it could."""
    if not isinstance(inputs, dict):
        return "the log does not have its inputs"
    if missing := policy.prompt.missing(inputs):
        return f"today's prompt wants an input {missing[0]!r} that the call did not have"
    if unknown := policy.prompt.unknown(inputs):
        return f"today's prompt does not take the input {unknown[0]!r}"
    return ""


def explained(kind: Kind, before: Outcome[Json], after: WhatIf) -> tuple[str, str]:
    """A judgement in one sentence, and what it has in common with others: rule and path without the numbers of list
    items, or the address at which a model would be asked. Both empty for `same`."""
    why, reason, today = "", "", after.outcome
    if today is None:
        reason = "refuses the recorded reply, and would ask again" if _is_reask(after) else f"needs {after.wanted}"
        why = f"{reason}, at {after.undetermined_at}"
    elif kind == "newly_failing":
        why, reason = _refused_by(today)
    elif kind == "newly_passing":
        why, reason = (f"before: {said}" for said in _refused_by(before))
    elif kind == "changed":
        why, reason = _change(before, today)
    return why[:WHY_CHARS], reason[:WHY_CHARS]


def _is_reask(after: WhatIf) -> bool:
    """Whether a request is missing that follows a reply which was refused."""
    return re.search("/a[0-9]+/t1$", after.undetermined_at) is not None and "/a1/" not in after.undetermined_at


def _refused_by(outcome: Outcome[Json]) -> tuple[str, str]:
    found = _objection(outcome)
    if found is None:
        return f"ends {outcome.status}", outcome.status
    return str(found), rule_at(found)


def _change(before: Outcome[Json], today: Outcome[Json]) -> tuple[str, str]:
    if not (before.has_value and today.has_value):
        return (f"{before.status} is {today.status}",) * 2
    at, one, other = next(differences(before.json, today.json), ((), before.json, today.json))
    path = as_pointer(at)
    return f"{path or '(whole value)'}: {_short(one)} is {_short(other)}", f"value at {general(path)}"


def _objection(outcome: Outcome[Json]) -> Violation | None:
    """What was last held against a model's reply; where there was none, why not."""
    refused = [attempt for attempt in outcome.attempts if attempt.failure in REASKED]
    told = (violation for attempt in reversed(refused or outcome.attempts) for violation in attempt.violations)
    return next(told, None) or next(iter(outcome.violations), None)


def rule_at(violation: Violation) -> str:
    """What violations of many values have in common.

    >>> rule_at(Violation("/lines/3", "required", "required property 'sku' is missing", expected="sku"))
    'required at /lines/*/sku'
    """
    missing = violation.expected if violation.rule == "required" else None
    below = as_pointer((missing,)) if isinstance(missing, str) else ""
    return f"{violation.rule} at {general(violation.path + below)}"


def general(path: str) -> str:
    """A path without the numbers of list items.

    >>> general("/lines/3/amount")
    '/lines/*/amount'
    """
    return "/".join("*" if part.isdecimal() else part for part in path.split("/")) or "the whole value"


def _short(value: Json) -> str:
    text = encode(value).decode()
    return text if len(text) <= 60 else text[:59] + "…"
