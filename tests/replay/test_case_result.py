"""Whether a case holds for today's guard: a failure on Monday is a red test, and what the red test says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llmguard import Guard, SelfConsistency, check, constant, judge
from llmguard.core.canonical import Json
from llmguard.core.effects import Returned
from llmguard.core.messages import ModelFailure, ModelReply
from llmguard.core.record import Step
from llmguard.core.safe_text import safe
from llmguard.replay.case_result import CaseResult, alike, judge_case
from llmguard.replay.cases import Case, Expect, case_of, expect_of_status
from llmguard.testing import ScriptedModel
from llmguard.voting import Fixed

OBJECT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
STRICT = {**OBJECT, "properties": {"n": {"type": "integer", "minimum": 0}}}


@check
def positive(value: Json, inputs: Json) -> str | None:
    return "n is negative" if value["n"] < 0 else None


def made(*replies: str, schema: object = OBJECT, **options: object) -> Guard:
    options = {"prompt": "How many {{ what }}?", "fallback": [constant({"n": 0})], "reasks": 1, **options}
    return Guard("count", schema=schema, models=[ScriptedModel(list(replies))], log=None, **options)


def case_from(guard: Guard, expect: Expect | None = None, **inputs: Json) -> Case:
    record = guard.log.get(guard.run(**(inputs or {"what": "boxes"})).id)
    return case_of(record, expect or expect_of_status(record), version="0")


def judged(case: Case, guard: Guard, **options: object) -> CaseResult:
    """What is shown is safe to print, whatever it holds."""
    result = judge_case(case, guard.policy, **options)
    assert safe(result.explanation + result.diff) == result.explanation + result.diff
    return result


# ------------------------------------------------------------------------------------------------- the story


def test_a_failure_is_red_until_the_guard_is_mended() -> None:
    """The reply was refused though it was right: red, and green once the check is gone."""
    case = case_from(made('{"n": -5}', '{"n": -5}', checks=[positive]))
    assert case.expect.kind == "accepted"
    red = judged(case, made(checks=[positive]))
    assert (red.passed, red.outcome.status) == (False, "fallback")
    green = judged(case, made())
    assert (green.passed, green.outcome.json, green.substituted) == (True, {"n": -5}, ())


def test_a_wrong_value_that_was_accepted_is_red_until_it_is_refused() -> None:
    """A check added on Tuesday refuses it; what the model would say then is not known, and need not be."""
    case = case_from(made('{"n": -5}'), Expect(kind="refused"))
    red = judged(case, made())
    assert (red.passed, red.outcome.json) == (False, {"n": -5})
    green = judged(case, made(checks=[positive]))
    assert (green.passed, green.outcome, green.undetermined_at) == (True, None, "r0/s0/a2/t1")
    assert "the recorded replies give no model's value" in green.explanation


def test_a_changed_schema_replays_by_assumption_and_says_so() -> None:
    """The request names the schema; a case that a mended schema made undetermined would be of no use."""
    case = case_from(made('{"n": -5}'), Expect(kind="refused"))
    green = judged(case, made(schema=STRICT, prompt="How many {{ what }} are there?"))
    assert (green.passed, green.substituted) == (True, ("r0/s0/a1/t1",))
    assert "assumed   r0/s0/a1/t1: recorded for another request" in green.explanation


def test_a_corrected_value_is_compared_as_json() -> None:
    """As a diff of expected and found."""
    case = case_from(made('{"n": 5}'), Expect(kind="value", value=({"n": 50},), note="reviewed as wrong · ada"))
    red = judged(case, made())
    assert red.diff.splitlines() == [
        "--- expected",
        "+++ today",
        "@@ -1,3 +1,3 @@",
        " {",
        '-  "n": 50',
        '+  "n": 5',
        " }",
    ]
    assert red.explanation.splitlines()[1] == '  expected  {"n":50}'
    assert "because   reviewed as wrong · ada" in red.explanation
    assert judged(replace(case, expect=Expect(kind="value", value=({"n": 5.0},))), made()).passed


def test_a_value_must_be_handed_out() -> None:
    """A provisional value of an escalated call is none; a fallback's value may be what was expected."""
    case = case_from(made('{"n": -5}', checks=[positive], reasks=0), Expect(kind="value", value=({"n": 0},)))
    assert judged(case, made(checks=[positive], reasks=0)).passed
    red = judged(case, made(checks=[positive], reasks=0, fallback=[]))
    assert (red.passed, "+no value: rejected" in red.diff) == (False, True)


# ------------------------------------------------------------------------------------------------- what is told


def test_what_was_wrong_with_no_reply_is_told_once() -> None:
    """Why a constant did not help, or a vote came to nothing; not again what an attempt says already."""
    case = case_from(made('{"n": -5}'), Expect(kind="value", value=({"n": -1},)))
    strict = made(checks=[positive], reasks=0, fallback=[constant({"n": -1})])
    found = "(whole value): n is negative [positive]"
    assert judged(case, strict).explanation.splitlines()[-2:] == [
        f"    check     {found}",
        "  also      (whole value): constant: n is negative [positive]",
    ]
    votes = made('{"n": 1}', '{"n": 2}', consistency=SelfConsistency(n_max=2, stop=Fixed(2)))
    split = judged(case_from(votes), votes)
    assert "  vote      /n: " in split.explanation
    failing = made(ModelFailure("auth", "no key"), fallback=[])
    assert "also" not in judged(case_from(failing, Expect(kind="accepted")), failing).explanation


def test_a_red_test_says_what_was_said_read_and_expected() -> None:
    """Reply, repairs, what schema and checks say, each with its speaker."""
    case = case_from(made("dunno", 'It is ```json\n{"n": -5}\n```', checks=[positive]))
    red = judged(case, made(checks=[positive]))
    lines = red.explanation.splitlines()
    assert lines[0] == case.id
    assert lines[1] == "  expected  a model's value (accepted or recovered)"
    assert lines[2] == "  got       fallback by constant"
    assert "  r0/s0/a1/t1  scripted" in lines
    assert "    reply     dunno" in lines
    assert any(line.startswith("    parser    ") for line in lines)
    assert any(line.startswith("    repaired  ") for line in lines)
    assert "    check     (whole value): n is negative [positive]" in lines
    assert red.diff.splitlines()[:2] == ["--- expected", "+++ today"]


def test_what_the_schema_says_is_told_as_its_own() -> None:
    """Path, message and rule."""
    red = judged(case_from(made('{"n": -5}', reasks=0, schema=STRICT)), made(schema=STRICT, reasks=0))
    assert "    schema    /n: must be at least 0; got -5 [minimum]" in red.explanation


def test_hostile_replies_are_shown_and_not_obeyed() -> None:
    """Escapes, bidi and a megabyte."""
    said = '{"n": "\x1b[2J\u202e\x9b"}\n\r\x07' + "x" * 1_000_000
    red = judged(case_from(made(said, said)), made())
    assert "\\x1b[2J\\u202e\\x9b" in red.explanation
    assert len(red.explanation) < 20_000


def test_a_diff_of_very_long_values_says_only_that_they_differ() -> None:
    """No quadratic work for a hostile value."""
    schema = {"type": "array"}
    case = case_from(made(str(list(range(3000))), schema=schema, fallback=[]), Expect(kind="value", value=([],)))
    assert judged(case, made(schema=schema, fallback=[])).diff == (
        "expected 1 lines, got 3,002 others: too long for a diff"
    )


def test_inputs_that_todays_prompt_does_not_take_are_told() -> None:
    """Not a crash of the prompt, which a case that expects a refusal would take for one."""
    case = case_from(made('{"n": 1}'), Expect(kind="refused"))
    red = judged(case, made(prompt="How many {{ things }}?"))
    assert (red.passed, red.undetermined_at) == (False, "inputs")
    assert "expects the input 'things'" in red.explanation
    red = judged(replace(case, inputs={"what": "x", "more": 1}), made())
    assert "does not take the case's input 'more'" in red.explanation


# ------------------------------------------------------------------------------------------------- undetermined


def test_what_was_never_asked_is_undetermined_and_says_how_to_mend_it() -> None:
    """A request: a live model or a newer outcome. A function: run it, or write its answer down."""
    case = case_from(made('{"n": 5}'), Expect(kind="accepted"))
    result = judged(replace(case, steps=()), made())
    assert (result.passed, result.outcome, result.undetermined_at) == (False, None, "r0/s0/a1/t1")
    assert "--llmguard-live" in result.explanation
    known = check(name="known", effect=True)(lambda value, inputs: None)
    result = judged(case, made(checks=[known]))
    assert (result.passed, result.undetermined_at) == (False, "r0/c:known")
    by_hand = '{"address":"r0/c:known","answer":{"answer":"returned","value":null}}'
    assert by_hand in result.explanation
    assert judged(case, made(checks=[known]), rerun=["known"]).passed
    mended = replace(case, steps=(*case.steps, Step("r0/c:known", "", Returned(None))))
    assert judged(mended, made(checks=[known])).passed


def test_a_refusal_is_not_concluded_from_an_unknown_check() -> None:
    """Nobody knows what an effect check would say of the value: undetermined, not passed."""
    case = case_from(made('{"n": 5}'), Expect(kind="refused"))
    known = check(name="known", effect=True)(lambda value, inputs: "unknown")
    assert not judged(case, made(checks=[known])).passed
    assert judged(case, made(checks=[known]), rerun=["known"]).passed


def test_a_refusal_is_not_concluded_from_no_reply() -> None:
    """Nor from samples of a vote that nobody drew."""
    case = case_from(made('{"n": 5}'), Expect(kind="refused"))
    assert not judged(replace(case, steps=()), made()).passed
    vote = made(consistency=SelfConsistency(n_max=5))
    result = judged(case, vote)
    assert (result.passed, result.outcome) == (False, None)
    refused = made(consistency=SelfConsistency(n_max=5), checks=[positive])
    result = judged(case_from(made('{"n": -5}'), Expect(kind="refused")), refused)
    assert (result.passed, result.undetermined_at) == (False, "r0/s1/a1/t1")


def test_a_refusal_is_not_concluded_from_a_judge_that_was_not_asked() -> None:
    """A judge that says nothing objects; that is no word on the value."""
    case = case_from(made('{"n": -5}', '{"n": 5}', checks=[positive]), Expect(kind="refused"))
    strict = Guard("strict", prompt="Is {{ value }} right?", schema=bool, models=[ScriptedModel([])], log=None)
    result = judged(case, made(checks=[positive, judge(strict)]))
    assert (result.passed, result.undetermined_at) == (False, "r0/c:strict/r0/s0/a1/t1")


def test_live_answers_renew_a_case() -> None:
    """The new steps replay exactly afterwards."""
    case = case_from(made("dunno", "dunno"), Expect(kind="accepted"))
    shorter = replace(case, steps=case.steps[:1])
    result = judged(shorter, made(), responder=lambda call: ModelReply('{"n": 7}'))
    assert (result.passed, [step.address for step in result.recorded]) == (True, ["r0/s0/a2/t1"])
    renewed = judged(replace(case, steps=result.steps), made())
    assert (renewed.passed, renewed.substituted, renewed.outcome.json) == (True, (), {"n": 7})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (None, 0, False),
        ("1", 1, False),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ([1], [1, 1], False),
        ({"k": "sk-proj-4f9a8b7c6d5e4f3a2b1c"}, {"k": "[redacted:openai_key]"}, True),
        ([], {}, False),
    ],
)
def test_values_say_the_same(one: Json, other: Json, same: bool) -> None:
    """Numbers by their size, truth values apart, secrets as the log spells them."""
    assert alike(one, other) is alike(other, one) is same
