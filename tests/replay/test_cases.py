"""A case as text and back, what a file may not be, and a logged call into a case."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.core.canonical import Json
from llmguard.core.effects import Crashed, Returned
from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelFailure, ModelReply, Usage
from llmguard.core.outcome import Attempt, Outcome, Violation
from llmguard.core.record import CallStart, Record, Step
from llmguard.core.safe_text import safe
from llmguard.replay.cases import (
    CASE_SCHEMA,
    MAX_CASE_BYTES,
    Case,
    Expect,
    case_from_json,
    case_from_text,
    case_of,
    case_text,
    case_to_json,
    expect_of_review,
    expect_of_status,
    failure_key,
    pretty_lines,
    slug_of,
)
from llmguard.schema import compile_schema

ROOT = Path(__file__).parent.parent.parent
DIGEST = "0" * 32
SCHEMA = compile_schema(CASE_SCHEMA)
TEXTS = st.text(max_size=20)
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
USAGES = st.builds(
    Usage, input_tokens=st.integers(0, 10**6), output_tokens=st.integers(0, 10**6), estimated=st.booleans()
)
REPLIES = st.builds(
    ModelReply,
    TEXTS,
    finish_reason=st.sampled_from(["stop", "length", "content_filter", "stopped"]),
    model=TEXTS,
    usage=USAGES,
    cost_usd=st.none() | st.floats(0, 10),
    latency_s=st.floats(0, 100),
)
FAILURES = st.builds(
    ModelFailure,
    st.sampled_from(["timeout", "auth", "refusal", "budget", "superseded"]),
    TEXTS,
    status=st.none() | st.integers(100, 599),
    downgraded=st.booleans(),
    retry_after_s=st.none() | st.floats(0, 100),
)
ANSWERS = REPLIES | FAILURES | st.builds(Returned, VALUES) | st.builds(Crashed, st.just("timeout"), TEXTS)
STEPS = st.builds(
    Step, st.text(min_size=1, max_size=20), st.sampled_from(["", DIGEST, "f" * 32]), ANSWERS, st.floats(0, 9)
)
EXPECTS = st.builds(Expect, kind=st.sampled_from(["accepted", "refused"]), note=TEXTS) | VALUES.map(
    lambda value: Expect(kind="value", value=(value,))
)
CASES = st.builds(
    Case,
    guard=st.from_regex(r"[a-z0-9_][a-z0-9_-]{0,20}", fullmatch=True),
    slug=st.from_regex(r"[a-z0-9-]{1,80}", fullmatch=True),
    inputs=st.dictionaries(TEXTS, VALUES, max_size=3),
    steps=st.lists(STEPS, max_size=3).map(tuple),
    expect=EXPECTS,
    provenance=st.dictionaries(TEXTS, VALUES, max_size=2),
    audited=st.booleans(),
)
PLAIN = Case(
    guard="triage",
    slug="schema-1a206f",
    inputs={"ticket": "my parcel", "b": 1, "a": 2},
    steps=(Step("r0/s0/a1/t1", DIGEST, ModelReply('{"n": -5}', model="m")),),
    expect=Expect(kind="accepted", note="it ended fallback"),
    provenance={"outcome": "019", "fingerprint": "abc"},
)


# ------------------------------------------------------------------------------------------------- text and back


@given(CASES)
def test_a_case_comes_back_as_it_was(case: Case) -> None:
    """Through the text of its file, which is a fixed point, fits the published schema and obeys nothing in a terminal."""
    text = case_text(case)
    back = case_from_text(text.encode(), "a.json")
    assert case_text(back) == text
    assert back == replace(case, provenance=dict(sorted(case.provenance.items())))
    assert SCHEMA.violations(case_to_json(case)) == ()
    assert text.endswith("}\n")
    assert safe(text) == text


@given(VALUES, st.booleans())
def test_pretty_lines_are_the_value(value: Json, sort_keys: bool) -> None:
    """Read again, it is what was written."""
    assert json.loads("\n".join(pretty_lines(value, sort_keys=sort_keys))) == value


def test_the_published_schema_is_the_one_in_the_package() -> None:
    """An installed llmguard validates by it; editors read the file."""
    assert (ROOT / "schemas" / "case.json").read_text() == "\n".join(pretty_lines(CASE_SCHEMA)) + "\n"
    assert SCHEMA.warnings == ()


def test_the_order_of_inputs_is_kept() -> None:
    """A prompt that shows an object shows the same text in replay; our own keys stand in a fixed order."""
    found = case_from_text(case_text(PLAIN).encode(), "a.json")
    assert list(found.inputs) == ["ticket", "b", "a"]
    assert list(case_to_json(PLAIN))[:4] == ["version", "guard", "slug", "expect"]


def test_a_case_holds_no_secret() -> None:
    """Neither in replies nor in what a person wrote."""
    secret = "sk-proj-4f9a8b7c6d5e4f3a2b1c"
    case = replace(PLAIN, inputs={"key": secret}, expect=Expect(kind="value", value=(secret,), note=secret))
    assert "4f9a8b7c" not in case_text(case)
    assert case_from_text(case_text(case).encode(), "a.json").inputs == {"key": "[redacted:openai_key]"}


def test_a_case_written_by_hand_needs_little() -> None:
    """No digests, no provenance, no audit."""
    data = {
        "version": 1,
        "guard": "age",
        "slug": "by-hand",
        "expect": {"kind": "value", "value": 36},
        "inputs": {"who": "Ada"},
        "steps": [
            {"address": "r0/s0/a1/t1", "answer": {"answer": "reply", "text": "36"}},
            {"address": "r0/c:known", "answer": {"answer": "returned"}},
        ],
    }
    case = case_from_json(data, "a.json")
    assert (case.expect.value, case.provenance, case.id) == ((36,), {}, "age/by-hand")
    assert [step.answer for step in case.steps] == [ModelReply("36"), Returned(None)]


# ------------------------------------------------------------------------------------------------- hostile files

GOOD = case_to_json(PLAIN)


def with_step(**changes: Json) -> Json:
    return {**GOOD, "steps": [{**GOOD["steps"][0], **changes}]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "it is not JSON"),
        (b"\xff\xfe", "it is not UTF-8 text"),
        (b"[]", "at the top: must be"),
        (b"null", "at the top: must be"),
        (b'{"version": 1, "version": 1}', "the key 'version' is there twice"),
        (b'{"version": NaN}', "NaN is not JSON"),
        (b'{"version": 1e999}', "infinity at '/version' is not JSON"),
        (b"[" * 100_000, "levels deep"),
        (b'{"a":' * 600 + b"1" + b"}" * 600, "levels deep"),
        (b"1" * 5000, "it is not JSON"),
        (b" " * (MAX_CASE_BYTES + 1), "at most 8 MB"),
        (b'{"version": 2}', "this is a case of version 2, and this llmguard reads 1"),
    ],
)
def test_what_is_no_case_file_is_refused_with_its_path(text: bytes, said: str) -> None:
    """One sentence, whatever the file holds."""
    with pytest.raises(UsageError, match=r"^tests/cases/x\.json") as raised:
        case_from_text(text, "tests/cases/x.json")
    assert said in str(raised.value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({**GOOD, "guard": "../../etc"}, "at /guard"),
        ({**GOOD, "guard": ".."}, "at /guard"),
        ({**GOOD, "guard": "a."}, "at /guard"),
        ({**GOOD, "guard": "A/B"}, "at /guard"),
        ({**GOOD, "guard": "a\n"}, "guard"),
        ({**GOOD, "slug": "../x"}, "at /slug"),
        ({**GOOD, "slug": "x\n"}, "slug"),
        ({**GOOD, "slug": ""}, "at /slug"),
        ({**GOOD, "slug": "x" * 81}, "at /slug"),
        ({**GOOD, "version": "1"}, "at /version"),
        ({**GOOD, "extra": 1}, "extra"),
        ({**GOOD, "inputs": [1]}, "at /inputs"),
        ({**GOOD, "expect": {"kind": "value"}}, "at /expect"),
        ({**GOOD, "expect": {"kind": "accepted", "value": 1}}, "at /expect"),
        ({**GOOD, "expect": {"kind": "maybe"}}, "at /expect/kind"),
        (with_step(digest="blake2b:wrong"), "at /steps/0/digest"),
        (with_step(address=5), "at /steps/0/address"),
        (with_step(answer={"answer": "eval", "text": "x"}), "at /steps/0/answer/answer"),
        (with_step(answer={"answer": "reply"}), "at /steps/0/answer"),
        (with_step(answer={"answer": "reply", "text": None}), "at /steps/0/answer/text"),
        (with_step(answer={"answer": "reply", "text": "", "usage": {"tokens": 1}}), "at /steps/0/answer/usage"),
        (with_step(answer={"answer": "failure", "kind": "bored"}), "at /steps/0/answer/kind"),
        (with_step(answer={"answer": "crashed", "kind": "crashed"}), "at /steps/0/answer"),
        (with_step(answer={"answer": "reply", "text": "x", "raw": "x"}), "raw"),
        ({**GOOD, "guard": "\x1b[2J\u202e"}, "at /guard"),
    ],
)
def test_what_is_wrong_in_a_case_file_is_told_with_its_place(data: Json, said: str) -> None:
    """A path in the file, and nothing that a terminal would obey."""
    with pytest.raises(UsageError) as raised:
        case_from_json(data, "a.json")
    assert said in str(raised.value)
    assert str(raised.value).isprintable()


@given(VALUES)
def test_any_json_is_a_case_or_refused(data: Json) -> None:
    """Never another exception."""
    for each in (
        data,
        {**GOOD, "steps": data},
        {**GOOD, "expect": data},
        with_step(answer=data),
        with_step(address=data),
    ):
        try:
            case_from_json(each, "a.json")
        except UsageError as error:
            assert str(error).startswith("a.json")  # noqa: PT017


def test_an_expectation_has_a_value_exactly_where_it_is_one() -> None:
    """So that None can be expected."""
    assert Expect(kind="value", value=(None,)).value == (None,)
    for kind, value in (("value", ()), ("accepted", (1,)), ("value", (1, 2)), ("sometimes", ())):
        with pytest.raises(UsageError):
            Expect(kind=kind, value=value)


# ------------------------------------------------------------------------------------------------- from the log


def failed(kind: str, *violations: Violation) -> Attempt:
    return Attempt(address="r0/s0/a1/t1", rung="m", failure=kind, violations=violations)


def recorded(*attempts: Attempt, status: str = "fallback", call_id: str = "019aa1a206f", **options: Json) -> Record:
    opening = CallStart(
        id=call_id,
        guard="triage",
        fingerprint="abc",
        inputs=options.pop("inputs", {"ticket": "t"}),
        inputs_digest="",
        meta={},
        started_at=0.0,
    )
    outcome = Outcome(status=status, attempts=attempts, **options) if status != "running" else None
    replies = tuple(Step(a.address, DIGEST, ModelReply(a.text)) for a in attempts if a.text)
    return Record(opening, replies, outcome)


def minimum(path: str) -> Violation:
    return Violation(path, "minimum", "must be at least 0; got -5", 0, -5)


def test_failures_are_alike_whatever_the_values_and_items() -> None:
    """Guard, failure kinds, rules and paths without the numbers of list items."""
    one = recorded(failed("schema", minimum("/lines/0/total")), inputs={"a": 1})
    two = recorded(failed("schema", minimum("/lines/7/total"), minimum("/lines/9/total")), call_id="other")
    assert failure_key(one) == failure_key(two)
    others = [
        recorded(failed("schema", minimum("/lines/0/sum"))),
        recorded(failed("check", minimum("/lines/0/total"))),
        recorded(failed("schema", minimum("/lines/0/total")), failed("timeout")),
        recorded(failed("schema", replace(minimum("/lines/0/total"), rule="maximum"))),
        recorded(failed("schema")),
        recorded(),
    ]
    assert len({failure_key(each) for each in (one, *others)}) == len(others) + 1


def test_a_failure_may_be_about_a_list_or_an_object() -> None:
    """What was expected and received is any JSON; what is told twice counts once."""
    found = Violation("/teams", "enum", "no", ["billing", "shipping"], {"team": ["x"]})
    record = recorded(failed("schema", found), violations=(found,))
    assert failure_key(record) == failure_key(recorded(failed("schema", found), call_id="other"))
    assert slug_of(record) == slug_of(recorded(failed("schema", replace(found, expected=None))))


def test_calls_without_a_failure_are_alike_by_their_inputs() -> None:
    """Each of other inputs is a case of its own."""
    one, same = recorded(status="accepted"), recorded(status="accepted", call_id="other")
    other = recorded(status="accepted", inputs={"ticket": "u"})
    assert failure_key(one) == failure_key(same) != failure_key(other)


@pytest.mark.parametrize(
    ("record", "slug"),
    [
        (recorded(failed("schema", minimum("/lines/3/total"))), "schema-lines-total-minimum-1a206f"),
        (recorded(failed("timeout")), "timeout-1a206f"),
        (recorded(failed("crashed", Violation("", "crashed", "boom"))), "crashed-1a206f"),
        (recorded(status="accepted"), "accepted-1a206f"),
        (recorded(status="running"), "running-1a206f"),
        (recorded(failed("check", Violation("/../..\x00/é", "A b", ""))), "check-a-b-1a206f"),
        (recorded(failed("schema", minimum("/" + "x" * 500))), "schema-" + "x" * 53 + "-1a206f"),
        (recorded(failed("timeout"), call_id="///"), "timeout"),
        (recorded(flags=(Violation("/a", "odd", "", severity="flag"),), status="accepted"), "flag-a-odd-1a206f"),
        (recorded(violations=(Violation("", "certified", "no certificate"),)), "end-certified-1a206f"),
    ],
)
def test_a_slug_says_what_failed_first(record: Record, slug: str) -> None:
    """In safe characters, whatever a path or an id holds."""
    assert slug_of(record) == slug
    assert case_of(record, Expect(kind="refused"), version="1").slug == slug


@dataclass
class Said:
    verdict: str
    correction: tuple[Json, ...] = ()
    reviewer: str = ""
    comment: str = ""


def test_a_case_tells_where_it_comes_from() -> None:
    """Outcome, fingerprint, time in words, status, and the review."""
    record = recorded(failed("schema", minimum("/n")), review_reason="audit")
    case = case_of(record, Expect(kind="accepted"), version="0.1.0", review=Said("wrong", (), "ada", "it is 5"))
    assert dict(case.provenance) == {
        "outcome": "019aa1a206f",
        "fingerprint": "abc",
        "started_at": "1970-01-01T00:00:00+00:00",
        "status": "fallback",
        "signature": failure_key(record),
        "llmguard": "0.1.0",
        "review": {"verdict": "wrong", "reviewer": "ada", "comment": "it is 5"},
    }
    assert (case.audited, case.provenance["fingerprint"]) == (True, "abc")
    lost = replace(record, opening=replace(record.opening, inputs=None))
    with pytest.raises(UsageError, match="does not have the inputs of call '019aa1a206f'"):
        case_of(lost, Expect(kind="accepted"), version="1")
    assert "review" not in case_of(record, Expect(kind="accepted"), version="1").provenance


def test_a_review_says_what_must_hold() -> None:
    """right: the judged value. wrong: the correction, or that none is handed out. unsure: nothing."""
    outcome = Outcome(status="accepted", json={"n": 1})
    assert expect_of_review(Said("right"), outcome).value == ({"n": 1},)
    assert expect_of_review(Said("right"), Outcome(status="fallback", json=0, proposed=(7,))).value == (7,)
    assert expect_of_review(Said("right"), Outcome(status="fallback", json=0)).value == (0,)
    assert expect_of_review(Said("wrong", ({"n": 2},)), outcome).value == ({"n": 2},)
    assert expect_of_review(Said("wrong", reviewer="ada"), outcome) == Expect(
        kind="refused", note="reviewed as wrong · ada"
    )
    for review, ended in ((Said("unsure"), outcome), (Said("right"), Outcome(status="rejected"))):
        with pytest.raises(UsageError, match="--expect"):
            expect_of_review(review, ended)


def test_without_a_review_a_failure_must_not_happen_again() -> None:
    """A model's value stays; where no model replied, the fallback is right; where nothing was decided, somebody says."""
    spoken = replace(failed("schema"), text="x")
    assert expect_of_status(recorded(spoken)).kind == "accepted"
    assert expect_of_status(recorded(spoken, status="escalated")).kind == "accepted"
    assert expect_of_status(recorded(failed("timeout"))).kind == "refused"
    assert expect_of_status(recorded(status="recovered", json=[1])).value == ([1],)
    for status in ("running", "interrupted"):
        with pytest.raises(UsageError, match="Give --expect"):
            expect_of_status(recorded(status=status))
