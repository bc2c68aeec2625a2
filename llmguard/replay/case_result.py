"""Whether a case holds for today's guard, and the explanation for the reader of a failed one."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import unified_diff

from llmguard.core.canonical import Json
from llmguard.core.effects import Answer, Call, Crashed, Effect
from llmguard.core.messages import ModelFailure, ModelReply
from llmguard.core.outcome import Attempt, Outcome
from llmguard.core.record import Step
from llmguard.core.redaction import redact_text
from llmguard.core.safe_text import safe, safe_json, safe_line
from llmguard.engine.ladder import ModelRung
from llmguard.engine.policy import Policy
from llmguard.replay.cases import Case, Expect, pretty_lines
from llmguard.replay.what_if import FallbackResponder, Responder, WhatIf, replay_steps, what_if

TEXT_CHARS, LINE_CHARS = 2_000, 300
"""Characters shown of a reply, and of one thing that is wrong with it: a screen, and a few lines."""
DIFF_LINES = 2_000
"""A longer diff takes seconds (it is quadratic), and no one reads it."""
SHOWN_ADDRESSES = 5

EXPECTED = {
    "accepted": "a model's value (accepted or recovered)",
    "refused": "no model's value (fallback, escalated or rejected)",
}
FIX = 'the guard, if a reply was right; else what the case expects: "refused", or the right value'
OBJECTORS = {"schema": "schema", "check": "check", "crashed": "crash", "inconsistent": "vote"}
"""What refused a reply, by the failure kind of its attempt."""
PARSER_FAILURES = ("unparsable", "ambiguous", "malformed", "empty", "truncated")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """How a case ended. `outcome` None: undetermined, and `undetermined_at` is the address of the request that nothing
    recorded answers ("inputs" where today's prompt cannot take the case's inputs).

    A `refused` case is undetermined, and passes, where its recorded replies give no model's value: what the model would
    reply when asked again is not known, but what was wrong is no longer accepted.

    `substituted`: addresses whose recorded answer was one to another request. `explanation` is for people, safe to print;
    `diff` is a unified diff of what was expected and today's outcome, empty where it passed. `steps` are the answers of
    this run as they would be recorded today, and `recorded` those that the responder gave:
    `replace(case, steps=result.steps)` is the updated case.
    """

    passed: bool
    outcome: Outcome[Json] | None
    undetermined_at: str = ""
    substituted: tuple[str, ...] = ()
    explanation: str
    diff: str = ""
    steps: tuple[Step, ...] = ()
    recorded: tuple[Step, ...] = ()


def judge_case(
    case: Case, policy: Policy, *, rerun: Collection[str] = (), responder: Responder | None = None
) -> CaseResult:
    """Replay a case before today's guard, and compare its outcome with what the case expects. Only `responder` may ask a
    model.

    A case replays with `match="position"`: a corrected prompt would else make every case undetermined. Answers to another
    request are listed as `substituted`.

    Raises:
        ReplayMismatch: a recorded answer has no form that the flow can read.
    """
    if refusal := _inputs_refused(policy, case.inputs):
        return CaseResult(passed=False, outcome=None, undetermined_at="inputs", explanation=_head(case, refusal))
    replayed = what_if(
        policy,
        case.steps,
        case.inputs,
        match="position",
        rerun=rerun,
        audited=case.audited,
        responder=responder,
    )
    if replayed.outcome is None:
        return _undetermined(case, policy, replayed)
    passed = holds(case.expect, replayed.outcome)
    return CaseResult(
        passed=passed,
        outcome=replayed.outcome,
        substituted=replayed.substituted,
        explanation=_explained(case, replayed, _ended(replayed.outcome), replayed.outcome),
        diff="" if passed else _diff(case.expect, replayed.outcome),
        steps=replayed.steps,
        recorded=replayed.recorded,
    )


def holds(expect: Expect, outcome: Outcome[Json]) -> bool:
    """Whether an outcome is what was expected."""
    if expect.kind == "value":
        return outcome.has_value and alike(expect.value[0], outcome.json)
    return outcome.is_from_model == (expect.kind == "accepted")


def alike(one: Json, other: Json) -> bool:
    """Whether two values are equal: 1 is 1.0 and not true, keys in any order, secrets as the log redacts them.

    >>> alike({"a": 1, "b": [2]}, {"b": [2.0], "a": 1}), alike(1, True), alike([1, 2], [2, 1])
    (True, False, False)
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, str) and isinstance(other, str):
        return one == other or redact_text(one) == redact_text(other)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _inputs_refused(policy: Policy, inputs: Json) -> str:
    """Why today's guard could not be called with a case's inputs; empty where it could."""
    if missing := policy.prompt.missing(inputs):
        return f"today's prompt expects the input {missing[0]!r}, which the case does not have. Add it to its inputs."
    if unknown := policy.prompt.unknown(inputs):
        return f"today's prompt does not take the case's input {unknown[0]!r}. Remove it from its inputs."
    return ""


# ------------------------------------------------------------------------------------------------- undetermined


def _undetermined(case: Case, policy: Policy, replayed: WhatIf) -> CaseResult:
    text = f"undetermined: today's guard needs {replayed.needed} at {replayed.undetermined_at}, and nothing recorded answers"
    ended = _ended_by(case, policy, replayed, _not_recorded)
    refused = None
    if case.expect.kind == "refused":
        refused = _ended_by(case, policy, replayed, _silent_model(policy, replayed.steps))
    passed = refused is not None and _refuses_a_reply(refused)
    if passed:
        text = "the recorded replies give no model's value; what the model would reply when asked again is not recorded"
    return CaseResult(
        passed=passed,
        outcome=None,
        undetermined_at=replayed.undetermined_at,
        substituted=replayed.substituted,
        explanation=_explained(case, replayed, text, ended, add_fix=not passed),
        steps=replayed.steps,
        recorded=replayed.recorded,
    )


def _ended_by(
    case: Case, policy: Policy, replayed: WhatIf, fallback_responder: FallbackResponder
) -> Outcome[Json] | None:
    """The outcome of the same run if `fallback_responder` answered what is not recorded."""
    return replay_steps(
        policy, replayed.steps, case.inputs, audited=case.audited, fallback_responder=fallback_responder
    ).outcome


def _refuses_a_reply(outcome: Outcome[Json]) -> bool:
    return not outcome.is_from_model and any(each.text and each.failure for each in outcome.attempts)


def _silent_model(policy: Policy, steps: tuple[Step, ...]) -> FallbackResponder:
    """A model that replies nothing more. Two things stay unknown: the verdict of a check or a judge on a model's value,
    and the result of a vote of which only some samples are recorded."""
    replied = {_rung_of(step.address) for step in steps if isinstance(step.answer, ModelReply)}

    def respond(effect: Effect) -> Answer | None:
        rung = _rung_of(effect.address)
        if isinstance(policy.ladder[rung], ModelRung):
            more_of_a_vote = _LATER_SAMPLE.search(effect.address) and rung in replied
            if more_of_a_vote or "/c:" in effect.address or not isinstance(effect, Call):
                return None
        return _not_recorded(effect)

    return respond


def _rung_of(address: str) -> int:
    """The number of the rung; -1 where a recorded address is not one of a rung."""
    match = _RUNG.match(address)
    return int(match[1]) if match else -1


def _not_recorded(effect: Effect) -> Answer:
    if isinstance(effect, Call):
        return ModelFailure("stopped", "not recorded", sent=False)
    return Crashed("crashed", "not recorded")


_RUNG = re.compile("r([0-9]{1,4})(?:/|$)")
_LATER_SAMPLE = re.compile("^r[0-9]+/s[1-9][0-9]*/a1/")

# ------------------------------------------------------------------------------------------------- explanation


def _explained(
    case: Case, replayed: WhatIf, result: str, outcome: Outcome[Json] | None, *, add_fix: bool = False
) -> str:
    lines = [_head(case, result)]
    if outcome:
        lines.append(f"  inputs    {safe_line(safe_json(case.inputs), LINE_CHARS)}")
    if case.expect.note:
        lines.append(f"  because   {safe_line(case.expect.note, LINE_CHARS)}")
    if outcome:
        lines += [line for attempt in outcome.attempts for line in _attempt_lines(attempt)]
    if replayed.outcome:
        lines += _later_lines(replayed.outcome)
    if replayed.substituted:
        addresses = ", ".join(safe_line(each, LINE_CHARS) for each in replayed.substituted[:SHOWN_ADDRESSES])
        more = len(replayed.substituted) - SHOWN_ADDRESSES
        lines.append(f"  assumed   {addresses}{f' and {more} more' if more > 0 else ''}: recorded for another request")
    lines += _fix(replayed) if add_fix else ()
    if replayed.outcome and case.expect.kind == "accepted" and not holds(case.expect, replayed.outcome):
        lines.append(f"  to fix    {FIX}")
    return "\n".join(lines)


def _head(case: Case, result: str) -> str:
    expected = (
        safe_line(safe_json(case.expect.value[0]), LINE_CHARS) if case.expect.value else EXPECTED[case.expect.kind]
    )
    return f"{case.id}\n  expected  {expected}\n  got       {safe_line(result, LINE_CHARS)}"


def _ended(outcome: Outcome[Json]) -> str:
    source = f" by {outcome.source}" if outcome.source else ""
    return f"{outcome.status}{source}"


def _attempt_lines(attempt: Attempt) -> Iterator[str]:
    """One reply, its repairs, and what refused it."""
    if attempt.message == "not recorded":
        return
    yield f"  {safe_line(attempt.address, LINE_CHARS)}  {safe_line(attempt.rung, LINE_CHARS)}"
    if attempt.text:
        yield "    reply     " + _indented(_clipped(attempt.text))
    for repair in attempt.repairs:
        change = f"{safe_json(repair.before)} → {safe_json(repair.after)}"
        where = safe_line(f"{repair.path or '(whole reply)'}: {repair.rule}", LINE_CHARS)
        yield f"    repaired  {where} {safe_line(change, 120)}"
    yield from _verdict_lines(attempt)


def _later_lines(outcome: Outcome[Json]) -> Iterator[str]:
    """Violations of no single reply, but of a vote's result or a later rung: a constant may fail a check too."""
    last = {_rung_of(attempt.address): attempt for attempt in outcome.attempts}
    listed = [each for attempt in last.values() for each in attempt.violations]
    unexplained = {attempt.failure for attempt in last.values() if not attempt.violations}
    of_vote = [] if outcome.vote is None else [each for each in outcome.vote.violations if each not in listed]
    yield from (f"  vote      {safe_line(str(each), LINE_CHARS)}" for each in of_vote)
    listed += of_vote
    for each in outcome.violations:
        if each in listed:
            listed.remove(each)
        elif each.rule not in unexplained:
            yield f"  also      {safe_line(str(each), LINE_CHARS)}"


def _verdict_lines(attempt: Attempt) -> Iterator[str]:
    if attempt.failure is None:
        yield "    passed    it fits the schema and every pure check"
        return
    objector = OBJECTORS.get(attempt.failure) or ("parser" if attempt.failure in PARSER_FAILURES else "failed")
    for violation in attempt.violations:
        yield f"    {objector:<8}  {safe_line(str(violation), LINE_CHARS)}"
    if not attempt.violations:
        yield f"    {objector:<8}  {safe_line(f'{attempt.failure} {attempt.message}', LINE_CHARS)}"


def _clipped(text: str) -> str:
    left = len(text) - TEXT_CHARS
    return safe(text[:TEXT_CHARS]) + (f" … ({left:,} more characters)" if left > 0 else "")


def _indented(text: str) -> str:
    return text.replace("\n", "\n" + " " * 14)


def _fix(replayed: WhatIf) -> Iterator[str]:
    if replayed.needed.startswith("a request"):
        yield "  to fix    let a live model answer and record it (pytest --llmguard-live), or promote a newer outcome"
        return
    step = safe_json({"address": replayed.undetermined_at, "answer": {"answer": "returned", "value": None}})
    yield f"  to fix    run it (name it as rerun), or write its answer into the case's steps: {step}"


def _diff(expect: Expect, outcome: Outcome[Json]) -> str:
    """Lines of the expected and of today's value; of very long values only that they differ."""
    if expect.kind == "value":
        expected = pretty_lines(expect.value[0], sort_keys=True)
        actual = pretty_lines(outcome.json, sort_keys=True) if outcome.has_value else [f"no value: {outcome.status}"]
    else:
        expected = [EXPECTED[expect.kind]]
        actual = [safe_line(_ended(outcome))]
        actual += pretty_lines(outcome.json, sort_keys=True) if outcome.has_value else []
    if max(len(expected), len(actual)) > DIFF_LINES:
        return f"expected {len(expected):,} lines, got {len(actual):,} others: too long for a diff"
    return "\n".join(unified_diff(expected, actual, "expected", "today", lineterm=""))
