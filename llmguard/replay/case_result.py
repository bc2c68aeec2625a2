"""Whether a case holds for today's guard, and what to tell whoever meets a red one."""

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
from llmguard.replay.what_if import Live, Otherwise, WhatIf, answered, what_if

SHOWN_TEXT, SHOWN_LINE = 2_000, 300
"""Characters of a reply, and of one thing that is wrong with it."""
DIFF_LINES = 2_000
SHOWN_ADDRESSES = 5

EXPECTED = {
    "accepted": "a model's value (accepted or recovered)",
    "refused": "no model's value (fallback, escalated or rejected)",
}
MEND = 'the guard, if a reply was right; else what the case expects: "refused", or the right value'
SPEAKERS = {"schema": "schema", "check": "check", "crashed": "crash", "inconsistent": "vote"}
"""Who objects, by the failure kind of an attempt; where it is none of these the parser, or the model's side."""
READING = ("unparsable", "ambiguous", "malformed", "empty", "truncated")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """How a case came out. `outcome` None: undetermined, and `undetermined_at` is the address of what nothing recorded
    answers ("inputs" where today's prompt cannot be given the case's inputs).

    Also undetermined, and passed, is a `refused` case of whose recorded replies no model's value comes: what the model
    would say when asked again is not known, but what was wrong is no longer believed.

    `assumed`: addresses whose recorded answer was one to another request. `explanation` is for people, safe to print;
    `diff` is a unified diff of what was expected and what came, empty where it passed. `steps` are the answers of this
    run as they would be recorded today, and `recorded` those that `live` gave: `replace(case, steps=result.steps)` is
    the case renewed.
    """

    passed: bool
    outcome: Outcome[Json] | None
    undetermined_at: str = ""
    assumed: tuple[str, ...] = ()
    explanation: str
    diff: str = ""
    steps: tuple[Step, ...] = ()
    recorded: tuple[Step, ...] = ()


def judge_case(case: Case, policy: Policy, *, fresh: Collection[str] = (), live: Live | None = None) -> CaseResult:
    """Replay a case before today's guard, and judge what it comes to. No model is asked but by `live`.

    A case replays with `same="slot"`: a corrected prompt would else make every case undetermined. Answers that stood in
    for another request are told as `assumed`.

    Raises:
        ReplayMismatch: a recorded answer has no form in which the flow could read it.
    """
    if refusal := _inputs_refused(policy, case.inputs):
        return CaseResult(passed=False, outcome=None, undetermined_at="inputs", explanation=_head(case, refusal))
    found = what_if(policy, case.steps, case.inputs, same="slot", fresh=fresh, audited=case.audited, live=live)
    if found.outcome is None:
        return _undetermined(case, policy, found)
    passed = holds(case.expect, found.outcome)
    return CaseResult(
        passed=passed,
        outcome=found.outcome,
        assumed=found.assumed,
        explanation=_explained(case, found, _ended(found.outcome), found.outcome),
        diff="" if passed else _diff(case.expect, found.outcome),
        steps=found.steps,
        recorded=found.recorded,
    )


def holds(expect: Expect, outcome: Outcome[Json]) -> bool:
    """Whether an outcome is what was expected."""
    if expect.kind == "value":
        return outcome.has_value and alike(expect.value[0], outcome.json)
    return outcome.is_from_model == (expect.kind == "accepted")


def alike(one: Json, other: Json) -> bool:
    """Whether two values say the same: 1 is 1.0 and not true, keys in any order, secrets as the log spells them.

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
        return f"today's prompt wants the input {missing[0]!r}, which the case does not have. Add it to its inputs."
    if unknown := policy.prompt.unknown(inputs):
        return f"today's prompt does not take the case's input {unknown[0]!r}. Take it out of its inputs."
    return ""


# ------------------------------------------------------------------------------------------------- undetermined


def _undetermined(case: Case, policy: Policy, found: WhatIf) -> CaseResult:
    said = f"undetermined: today's guard needs {found.wanted} at {found.undetermined_at}, and nothing recorded answers"
    told, refused = _ended_by(case, policy, found, _nothing_more), None
    if case.expect.kind == "refused":
        refused = _ended_by(case, policy, found, _silence(policy, found.steps))
    passed = refused is not None and _refuses_a_reply(refused)
    if passed:
        said = (
            "no model's value comes of the recorded replies; what the model would say when asked again is not recorded"
        )
    return CaseResult(
        passed=passed,
        outcome=None,
        undetermined_at=found.undetermined_at,
        assumed=found.assumed,
        explanation=_explained(case, found, said, told, mend=not passed),
        steps=found.steps,
        recorded=found.recorded,
    )


def _ended_by(case: Case, policy: Policy, found: WhatIf, otherwise: Otherwise) -> Outcome[Json] | None:
    """What the same run would come to if `otherwise` answered what is not recorded."""
    return answered(policy, found.steps, case.inputs, audited=case.audited, otherwise=otherwise).outcome


def _refuses_a_reply(outcome: Outcome[Json]) -> bool:
    return not outcome.is_from_model and any(each.text and each.failure for each in outcome.attempts)


def _silence(policy: Policy, steps: tuple[Step, ...]) -> Otherwise:
    """A model that says nothing more. What stays unknown: what a check or a judge would say of a model's value, and how a
    vote would end of which only some samples are recorded."""
    replied = {_rung_of(step.address) for step in steps if isinstance(step.answer, ModelReply)}

    def otherwise(effect: Effect) -> Answer | None:
        rung = _rung_of(effect.address)
        if isinstance(policy.ladder[rung], ModelRung):
            more_of_a_vote = _LATER_SAMPLE.search(effect.address) and rung in replied
            if more_of_a_vote or "/c:" in effect.address or not isinstance(effect, Call):
                return None
        return _nothing_more(effect)

    return otherwise


def _rung_of(address: str) -> int:
    """The number of the rung; -1 in a recorded address that is none."""
    found = _RUNG.match(address)
    return int(found[1]) if found else -1


def _nothing_more(effect: Effect) -> Answer:
    if isinstance(effect, Call):
        return ModelFailure("stopped", "not recorded", sent=False)
    return Crashed("crashed", "not recorded")


_RUNG = re.compile("r([0-9]{1,4})(?:/|$)")
_LATER_SAMPLE = re.compile("^r[0-9]+/s[1-9][0-9]*/a1/")

# ------------------------------------------------------------------------------------------------- in words


def _explained(case: Case, found: WhatIf, result: str, outcome: Outcome[Json] | None, *, mend: bool = False) -> str:
    lines = [_head(case, result)]
    if outcome:
        lines.append(f"  given     {safe_line(safe_json(case.inputs), SHOWN_LINE)}")
    if case.expect.note:
        lines.append(f"  because   {safe_line(case.expect.note, SHOWN_LINE)}")
    if outcome:
        lines += [line for attempt in outcome.attempts for line in _attempt_lines(attempt)]
    if found.outcome:
        lines += _later_lines(found.outcome)
    if found.assumed:
        shown = ", ".join(safe_line(each, SHOWN_LINE) for each in found.assumed[:SHOWN_ADDRESSES])
        more = len(found.assumed) - SHOWN_ADDRESSES
        lines.append(f"  assumed   {shown}{f' and {more} more' if more > 0 else ''}: recorded for another request")
    lines += _mend(found) if mend else ()
    if found.outcome and case.expect.kind == "accepted" and not holds(case.expect, found.outcome):
        lines.append(f"  to mend   {MEND}")
    return "\n".join(lines)


def _head(case: Case, result: str) -> str:
    expected = (
        safe_line(safe_json(case.expect.value[0]), SHOWN_LINE) if case.expect.value else EXPECTED[case.expect.kind]
    )
    return f"{case.id}\n  expected  {expected}\n  found     {safe_line(result, SHOWN_LINE)}"


def _ended(outcome: Outcome[Json]) -> str:
    source = f" by {outcome.source}" if outcome.source else ""
    return f"{outcome.status}{source}"


def _attempt_lines(attempt: Attempt) -> Iterator[str]:
    """What one reply said, and what was made of it."""
    if attempt.message == "not recorded":
        return
    yield f"  {safe_line(attempt.address, SHOWN_LINE)}  {safe_line(attempt.rung, SHOWN_LINE)}"
    if attempt.text:
        yield "    said      " + _indented(_clipped(attempt.text))
    for repair in attempt.repairs:
        change = f"{safe_json(repair.before)} → {safe_json(repair.after)}"
        where = safe_line(f"{repair.path or '(whole reply)'}: {repair.rule}", SHOWN_LINE)
        yield f"    repaired  {where} {safe_line(change, 120)}"
    yield from _verdict_lines(attempt)


def _later_lines(outcome: Outcome[Json]) -> Iterator[str]:
    """What was wrong with no reply, but with what a vote or a later rung made of them: a constant may fail a check too."""
    last = {_rung_of(attempt.address): attempt for attempt in outcome.attempts}
    told = [each for attempt in last.values() for each in attempt.violations]
    silent = {attempt.failure for attempt in last.values() if not attempt.violations}
    voted = [] if outcome.vote is None else [each for each in outcome.vote.violations if each not in told]
    yield from (f"  vote      {safe_line(str(each), SHOWN_LINE)}" for each in voted)
    told += voted
    for each in outcome.violations:
        if each in told:
            told.remove(each)
        elif each.rule not in silent:
            yield f"  also      {safe_line(str(each), SHOWN_LINE)}"


def _verdict_lines(attempt: Attempt) -> Iterator[str]:
    if attempt.failure is None:
        yield "    passed    it fits the schema and every pure check"
        return
    speaker = SPEAKERS.get(attempt.failure) or ("parser" if attempt.failure in READING else "failed")
    for violation in attempt.violations:
        yield f"    {speaker:<8}  {safe_line(str(violation), SHOWN_LINE)}"
    if not attempt.violations:
        yield f"    {speaker:<8}  {safe_line(f'{attempt.failure} {attempt.message}', SHOWN_LINE)}"


def _clipped(text: str) -> str:
    left = len(text) - SHOWN_TEXT
    return safe(text[:SHOWN_TEXT]) + (f" … ({left:,} more characters)" if left > 0 else "")


def _indented(text: str) -> str:
    return text.replace("\n", "\n" + " " * 14)


def _mend(found: WhatIf) -> Iterator[str]:
    if found.wanted.startswith("a request"):
        yield "  to mend   let a live model answer and record it (pytest --llmguard-live), or promote a newer outcome"
        return
    step = safe_json({"address": found.undetermined_at, "answer": {"answer": "returned", "value": None}})
    yield f"  to mend   run it (name it as fresh), or write its answer into the case's steps: {step}"


def _diff(expect: Expect, outcome: Outcome[Json]) -> str:
    """Lines of expected and found; of very long values only that they differ."""
    if expect.kind == "value":
        expected = pretty_lines(expect.value[0], sort_keys=True)
        found = pretty_lines(outcome.json, sort_keys=True) if outcome.has_value else [f"no value: {outcome.status}"]
    else:
        expected = [EXPECTED[expect.kind]]
        found = [safe_line(_ended(outcome))]
        found += pretty_lines(outcome.json, sort_keys=True) if outcome.has_value else []
    if max(len(expected), len(found)) > DIFF_LINES:
        return f"expected {len(expected):,} lines and found {len(found):,} others: too long for a diff"
    return "\n".join(unified_diff(expected, found, "expected", "today", lineterm=""))
