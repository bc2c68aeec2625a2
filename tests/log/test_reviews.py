"""What people say of outcomes: kept as it was said, refused where it cannot stand, and read back as audits."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmguard.certification import Audited, Certificate, cohens_kappa, sequential_testing
from llmguard.core.canonical import Json, digest
from llmguard.core.errors import LogError, UsageError
from llmguard.core.outcome import Judgement, Sample, Vote
from llmguard.engine.policy import certified_part
from llmguard.log import MemoryLog, OutcomeLog, judged_pairs
from llmguard.log.reviews import UNSET, ReviewInput, pointers
from llmguard.log.rows import searchable
from llmguard.log.sqlite import writer
from llmguard.log.sqlite.database import REVISIONS
from llmguard.schema import compile_schema, describe_schema
from llmguard.voting.normal_forms import value_form
from llmguard.voting.votes import INVALID
from tests.support.logged_calls import child, log_call, opening, outcome, replied, say

SCHEMA = {
    "type": "object",
    "properties": {
        "total": {"type": "number", "minimum": 0},
        "lines": {"type": "array", "items": {"type": "object"}},
        "note": {},
    },
    "required": ["total"],
}
VALUE = {"total": 4, "lines": [{"amount": 3}, {"amount": 1}]}
KEY = "sk-proj-" + "4f9a8b7c6d5e4f3a2b1c0d9e"


def description(schema: object = SCHEMA, **more: Json) -> Json:
    return {"ladder": [{"model": "m"}, {"escalate": True}], "schema": describe_schema(compile_schema(schema)), **more}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[OutcomeLog]:
    opened = OutcomeLog.open(f"sqlite:///{tmp_path / 'log.db'}")
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "memory"])
def any_log(request: pytest.FixtureRequest, log: OutcomeLog) -> OutcomeLog | MemoryLog:
    return log if request.param == "sqlite" else MemoryLog()


@pytest.fixture
def invoices(any_log: OutcomeLog | MemoryLog) -> OutcomeLog | MemoryLog:
    """A log with one accepted invoice, call "1"."""
    any_log.guard("f1", "triage", description())
    log_call(any_log, "1", value=VALUE)
    return any_log


Log = OutcomeLog | MemoryLog

# ------------------------------------------------------------------------------------------------- what is kept


def test_a_review_comes_back_with_everything_that_was_said(invoices: Log) -> None:
    """Verdict, correction, verdicts on fields, who, why, when, and whether blind."""
    said = invoices.review(
        "1",
        "wrong",
        correction={"total": 5, "lines": []},
        fields={"/total": "wrong", "/lines/0/amount": "unsure"},
        reviewer="ada",
        comment="the second line\nwas missed",
        blind=True,
        at=1_700_000_100.5,
    )
    assert invoices.reviews_of("1") == [said]
    assert (said.call_id, said.verdict, said.correction) == ("1", "wrong", ({"total": 5, "lines": []},))
    assert said.fields == {"/total": "wrong", "/lines/0/amount": "unsure"}
    assert (said.reviewer, said.comment, said.blind, said.at) == (
        "ada",
        "the second line\nwas missed",
        True,
        1_700_000_100.5,
    )


def test_all_reviews_are_kept_and_the_newest_counts(invoices: Log) -> None:
    """By the time of the judgement, not of the writing; of one moment, the later one."""
    for verdict, at in (("right", 20.0), ("wrong", 30.0), ("unsure", 10.0), ("right", 30.0)):
        invoices.review("1", verdict, at=at)
    assert [(each.verdict, each.at) for each in invoices.reviews_of("1")] == [
        ("unsure", 10.0),
        ("right", 20.0),
        ("wrong", 30.0),
        ("right", 30.0),
    ]
    assert [row.review for row in invoices.find()] == ["right"]


def test_a_review_without_a_time_is_of_now(invoices: Log) -> None:
    """Seconds since the epoch."""
    before = time.time()
    assert before <= invoices.review("1", "right").at <= time.time()


def test_null_is_a_correction(any_log: Log) -> None:
    """Where the schema allows it, and it is another thing than none."""
    any_log.guard("f1", "triage", description(bool))
    any_log.guard("f2", "triage", description({"type": ["null", "integer"]}))
    log_call(any_log, "1", value=3, fingerprint="f2")
    assert any_log.review("1", "wrong").correction == ()
    assert any_log.review("1", "wrong", correction=None).correction == (None,)


TEXT = st.text(st.characters(), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Log]]:
    sqlite = OutcomeLog.open(f"sqlite:///{tmp_path_factory.mktemp('reviews') / 'log.db'}")
    memory = MemoryLog()
    yield [sqlite, memory]
    sqlite.close()


@given(VALUES, VALUES, st.sampled_from(["right", "wrong", "unsure"]), TEXT, TEXT, st.booleans(), st.data())
@settings(max_examples=80)
def test_any_review_comes_back_the_same_from_disk_and_memory(
    shared: list[Log],
    value: Json,
    other: Json,
    verdict: str,
    reviewer: str,
    comment: str,
    blind: bool,
    data: st.DataObject,
) -> None:
    """Whatever is judged and said, NUL, surrogates and huge integers included."""
    judged = [value]  # in a list, as None is no value for `log_call`
    fields = data.draw(st.dictionaries(st.sampled_from(list(pointers(judged))), st.sampled_from(["right", "wrong"])))
    correction = [other] if verdict == "wrong" and value_form(other) != value_form(value) else UNSET
    found = []
    for log in shared:
        log.guard("any", "triage", description(True))
        call_id = f"{time.time_ns()}"
        log_call(log, call_id, value=judged, fingerprint="any")
        given = {"correction": correction, "fields": fields, "reviewer": reviewer, "comment": comment, "blind": blind}
        said = log.review(call_id, verdict, **given, at=1.0)
        assert log.reviews_of(call_id) == [said]
        assert (said.verdict, said.fields, said.blind) == (verdict, fields, blind)
        assert said.correction == (() if correction is UNSET else (correction,))
        assert (said.reviewer, said.comment) == (searchable(reviewer), searchable(comment))
        found.append(replace(said, id="", call_id=""))
    assert found[0] == found[1]


def test_no_secret_is_kept(invoices: Log) -> None:
    """Neither in comment, reviewer nor correction; NUL and half characters are escaped, as the database cannot take them."""
    said = invoices.review(
        "1", "wrong", correction={"total": 1, "note": KEY}, comment=f"use {KEY}\0\ud800", reviewer=KEY
    )
    assert said.comment == "use [redacted:openai_key]\\u0000\\ud800"
    assert (said.reviewer, said.correction) == (
        "[redacted:openai_key]",
        ({"total": 1, "note": "[redacted:openai_key]"},),
    )
    assert invoices.reviews_of("1") == [said]
    if isinstance(invoices, OutcomeLog):
        files = list(invoices.path.parent.iterdir())
        assert [file.name for file in files if KEY.encode() in file.read_bytes()] == []


def test_a_review_is_on_the_disk_when_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed right after has lost nothing of it, though whatever nobody waits for is written late."""
    monkeypatch.setattr(writer, "LINGER_S", 60.0)
    url = f"sqlite:///{tmp_path / 'log.db'}"

    def reviewing(writing: int) -> None:
        log = OutcomeLog.open(url)
        log.guard("f1", "triage", description())
        log_call(log, "1", value=VALUE)
        log.save_certificate(certificate(), 7.0)
        log.suspend(certificate().id, 8.0)
        log.review("1", "wrong", correction={"total": 5}, reviewer="ada")
        say(writing, "reviewed")
        signal.pause()

    with child(reviewing) as (pid, reading):
        assert os.read(reading, 9) == b"reviewed\n"
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    log = OutcomeLog.open(url)
    assert [(said.verdict, said.correction) for said in log.reviews_of("1")] == [("wrong", ({"total": 5},))]
    assert [kept.suspended_at for kept in log.certificates("triage")] == [8.0]


# ------------------------------------------------------------------------------------------------- what is refused

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("maybe", {}, r"verdict 'maybe': expected right, wrong or unsure\."),
    ("wrnog", {}, r"did you mean 'wrong'"),
    (None, {}, r"verdict None: expected"),  # type: ignore[list-item]
    (
        "wrong",
        {"correction": {"total": -1}},
        r"guard 'triage': /total: must be at least 0; got -1 \[minimum\]\. Correct it",
    ),
    ("wrong", {"correction": {"total": -1, "lines": 3}}, r"\(and 1 more\)"),
    ("wrong", {"correction": {"total": float("nan")}}, r"correction is not a JSON value: NaN at '/total'"),
    ("wrong", {"correction": {1, 2}}, r"correction is not a JSON value: set"),
    ("wrong", {"correction": VALUE}, r"the correction is the value reviewed"),
    ("wrong", {"correction": VALUE | {"total": 4.0}}, r"the correction is the value reviewed"),
    ("right", {"correction": {"total": 5}}, r"the verdict is right, and the correction is another value"),
    ("unsure", {"correction": {"total": 5}}, r"the verdict is unsure"),
    ("wrong", {"fields": {"/totl": "wrong"}}, r"nothing at '/totl' .* \(did you mean '/total'\?\)"),
    ("wrong", {"fields": {"total": "wrong"}}, r"nothing at 'total' .* \(did you mean '/total'\?\)"),
    ("wrong", {"fields": {"/lines/2": "wrong"}}, r"nothing at '/lines/2'"),
    ("wrong", {"fields": {"": "wrong"}}, r"'' is the whole value"),
    ("wrong", {"fields": {"/total": "false"}}, r"fields: '/total': 'false': expected right, wrong or unsure"),
    ("wrong", {"fields": ["/total"]}, r"fields: expected JSON Pointers with verdicts"),
    ("wrong", {"reviewer": None}, r"reviewer: expected text, got NoneType"),
    ("wrong", {"comment": 3}, r"comment: expected text, got int"),
    ("wrong", {"blind": "yes"}, r"blind: expected true or false, got 'yes'"),
    ("wrong", {"at": float("nan")}, r"at: expected a time in seconds since the epoch, got nan"),
    ("wrong", {"at": True}, r"at: expected a time in seconds since the epoch, got True"),
]


@pytest.mark.parametrize(("verdict", "said", "sentence"), REFUSED)
def test_what_cannot_stand_is_refused_and_not_kept(
    invoices: Log, verdict: str, said: dict[str, Any], sentence: str
) -> None:
    """One sentence names what was found, what was expected, and the mend."""
    with pytest.raises(UsageError, match=sentence):
        invoices.review("1", verdict, **said)
    assert invoices.reviews_of("1") == []


def test_right_with_the_value_itself_is_no_contradiction(invoices: Log) -> None:
    """Who confirms the value by writing it down once more has said right; 4 and 4.0 are one number."""
    assert invoices.review("1", "right", correction=VALUE | {"total": 4.0}).correction == (VALUE | {"total": 4.0},)


def test_an_unknown_call_is_refused_as_in_feedback(any_log: Log) -> None:
    """The same sentence for both."""
    with pytest.raises(LogError) as reviewed:
        any_log.review("nobody", "right")
    with pytest.raises(LogError) as raised:
        any_log.feedback("nobody", "useful", True, 1.0)
    assert str(reviewed.value) == str(raised.value)
    assert any_log.reviews_of("nobody") == []


def test_a_running_call_is_not_reviewed_yet(any_log: Log) -> None:
    """There is nothing to judge before it is decided."""
    any_log.begin(opening("1"))
    with pytest.raises(UsageError, match="call '1' is not decided yet"):
        any_log.review("1", "right")


def test_a_correction_needs_a_schema(any_log: Log) -> None:
    """Where the log does not know the guard, a verdict can be given, and no correction."""
    log_call(any_log, "1", value=VALUE)
    assert any_log.review("1", "wrong").verdict == "wrong"
    with pytest.raises(LogError, match="does not know the schema by which guard 'triage' decided call '1'"):
        any_log.review("1", "wrong", correction={"total": 5})


def test_a_python_type_judges_by_its_json_schema(any_log: Log) -> None:
    """Times without a zone, which such a guard accepts, are accepted in a correction too."""
    any_log.guard("f1", "triage", description(datetime))
    log_call(any_log, "1", value="2026-05-03T14:30:00")
    assert any_log.review("1", "wrong", correction="2026-05-03T15:30:00").correction == ("2026-05-03T15:30:00",)
    with pytest.raises(UsageError, match="correction does not fit the schema"):
        any_log.review("1", "wrong", correction="three o'clock")


def test_a_call_that_gave_nothing_can_be_reviewed(any_log: Log) -> None:
    """The correction says what it should have been; parts of nothing cannot be judged."""
    any_log.guard("f1", "triage", description())
    any_log.begin(opening("1"))
    any_log.finish("1", replace(outcome("1", "rejected"), value=None, json=None), 1.0)
    with pytest.raises(UsageError, match="'/total' is part of a value, and the call has none"):
        any_log.review("1", "wrong", fields={"/total": "wrong"})
    assert any_log.review("1", "wrong", correction={"total": 3}).correction == ({"total": 3},)


def test_the_models_candidate_is_judged_also_where_a_rule_answered(any_log: Log) -> None:
    """Pointers and corrections are of the candidate; without one, of the value that was handed out."""
    any_log.guard("f1", "triage", description())
    log_call(any_log, "1", status="fallback", value={"total": 0}, vote=vote(candidate=({"total": 4, "note": "x"},)))
    log_call(any_log, "2", status="fallback", value={"total": 0})
    assert any_log.review("1", "right", fields={"/note": "right"}).fields == {"/note": "right"}
    with pytest.raises(UsageError, match="nothing at '/note'"):
        any_log.review("2", "right", fields={"/note": "right"})
    assert any_log.review("2", "right", fields={"/total": "right"}).fields == {"/total": "right"}


def test_a_reviewer_who_saw_another_value_is_refused(invoices: Log) -> None:
    """What came back with the review is what is judged, or else something was mixed up."""
    for seen in (VALUE | {"total": 5}, None):
        with pytest.raises(UsageError, match="candidate is not what the log holds"):
            invoices.checked_review("1", ReviewInput("right", displayed=seen))
    assert invoices.checked_review("1", ReviewInput("right", displayed=VALUE)).verdict == "right"


# ------------------------------------------------------------------------------------------------- many at once


def words(log: Log, *verdicts: str, reviewer: str = "ada") -> list[Any]:
    return [log.checked_review("1", ReviewInput(verdict, reviewer=reviewer), at) for at, verdict in enumerate(verdicts)]


def test_the_same_reviews_are_added_once(invoices: Log) -> None:
    """Whoever says the same twice in a row says it once; whoever comes back to an earlier word has said three things."""
    assert invoices.add_reviews(words(invoices, "right", "right")) == 1
    assert invoices.add_reviews(words(invoices, "right")) == 0
    back = ("right", "wrong", "right")
    assert [invoices.add_reviews(words(invoices, *back, reviewer="bob")) for _ in range(2)] == [3, 0]
    assert [said.reviewer for said in invoices.reviews_of("1")].count("bob") == 3
    assert invoices.add_reviews([]) == 0


def test_another_reviewer_or_comment_is_another_review(invoices: Log) -> None:
    """What is the same is call, verdict, correction, fields, reviewer and comment; not the time."""
    first = invoices.checked_review("1", ReviewInput("wrong", {"total": 5}, {"/total": "wrong"}, "ada", "x"), 1.0)
    others = [
        ReviewInput("wrong", {"total": 5}, {"/total": "wrong"}, "ada", "y"),
        ReviewInput("wrong", {"total": 5}, {"/total": "wrong"}, "bob", "x"),
        ReviewInput("wrong", {"total": 5}, {"/total": "unsure"}, "ada", "x"),
        ReviewInput("wrong", {"total": 6}, {"/total": "wrong"}, "ada", "x"),
        ReviewInput("wrong", UNSET, {"/total": "wrong"}, "ada", "x"),
    ]
    reviews = [first, *(invoices.checked_review("1", word, 2.0) for word in others)]
    assert len({review.content for review in reviews}) == 6
    assert invoices.add_reviews(reviews) == 6
    again = invoices.checked_review("1", ReviewInput("wrong", {"total": 5}, {"/total": "wrong"}, "ada", "x"), 9.0)
    assert invoices.add_reviews([again]) == 0


def test_a_thousand_reviews_are_asked_about_at_once(log: OutcomeLog) -> None:
    """More ids than one question may name."""
    for number in range(1_100):
        log.begin(opening(str(number)))
        log._writer.put(log._ending(str(number), outcome(str(number)), 1.0, None))
    made = [log.checked_review(str(number), ReviewInput("right"), 1.0) for number in range(1_100)]
    assert (log.add_reviews(made), log.add_reviews(made)) == (1_100, 0)


# ------------------------------------------------------------------------------------------------- audits


def vote(**given: Any) -> Vote:
    samples = (
        Sample(label="m", valid=True, value={"total": 4}),
        Sample(label="m", valid=False, failure="schema"),
        Sample(label="m", valid=True, value=None),
    )
    known: dict[str, Any] = {
        "rung": "m",
        "candidate": ({"total": 4},),
        "accepted": True,
        "reason": "accept_boundary",
        "used": 3,
        "agreement": 2 / 3,
        "dissent": 1,
        "samples": samples,
    }
    return Vote(**known | given)


DRAWN = {"review_probability": 0.05, "review_reason": "audit"}
CERTIFIED = certified_part(description())


def test_audits_are_outcomes_with_their_newest_review(any_log: Log) -> None:
    """Everything a policy is tested on: candidate, score, samples in their order, and the verdict that counts."""
    any_log.guard("f1", "triage", description())
    log_call(any_log, "1", value={"total": 4}, vote=vote(), score=0.7, certificate="c1", **DRAWN)
    any_log.review("1", "right", at=1.0)
    any_log.review("1", "wrong", correction={"total": 5}, at=2.0)
    (audit,) = any_log.audited("triage", CERTIFIED)
    item = audit.item
    assert (audit.call_id, audit.started_at, audit.certificate, audit.accepted) == ("1", 1_700_000_000.0, "c1", True)
    assert (item.id, item.probability, item.reason, item.verdict) == ("1", 0.05, "audit", "wrong")
    assert (item.candidate, item.correction, item.score) == ({"total": 4}, ({"total": 5},), 0.7)
    assert item.samples == ({"total": 4}, INVALID, None)
    assert audit.review == any_log.reviews_of("1")[-1]


def test_what_nobody_could_accept_has_no_score_and_keeps_its_samples(any_log: Log) -> None:
    """A candidate that was refused is still to be reviewed; where there is none, no review is left undone. Another plan
    may have gone on to another value, for which the samples speak."""
    any_log.guard("f1", "triage", description())
    log_call(any_log, "1", status="fallback", vote=vote(refused=True), score=0.7, **DRAWN)
    log_call(any_log, "2", status="fallback", vote=vote(candidate=()), score=0.0, **DRAWN)
    refused, nothing = any_log.audited("triage", CERTIFIED)
    samples = ({"total": 4}, INVALID, None)
    assert (refused.item.samples, refused.item.score, refused.item.verdict) == (samples, None, None)
    assert (nothing.item.samples, nothing.item.score, nothing.item.verdict) == (samples, None, "unsure")
    assert (refused.item.refused, nothing.item.refused) == (True, False)
    assert (refused.item.candidate, nothing.item.candidate) == ({"total": 4}, None)
    assert [refused.accepted, nothing.accepted] == [False, False]


def test_a_word_on_the_fallbacks_value_is_none_on_the_models(any_log: Log) -> None:
    """Without a candidate it is what the rule answered that a reviewer judges."""
    any_log.guard("f1", "triage", description())
    log_call(any_log, "1", status="fallback", value={"total": 4}, vote=vote(candidate=()), **DRAWN)
    any_log.review("1", "right")
    (audit,) = any_log.audited("triage", CERTIFIED)
    assert (audit.item.verdict, audit.review.verdict) == ("unsure", "right")


def test_only_drawn_calls_of_the_certified_guard_are_audits(any_log: Log) -> None:
    """Any fingerprint with the same certified part: what answers instead of the model may change. By start."""
    other_fallback = description() | {"ladder": [{"model": "m"}, {"constant": 3}], "audit": 0.5}
    other_prompt = description(prompt="else")
    for fingerprint, described in (("f1", description()), ("f2", other_fallback), ("f3", other_prompt)):
        any_log.guard(fingerprint, "triage", described)
    any_log.guard("f9", "other", description())
    log_call(any_log, "late", 30.0, fingerprint="f2", **DRAWN)
    log_call(any_log, "early", 10.0, **DRAWN)
    log_call(any_log, "other prompt", 20.0, fingerprint="f3", **DRAWN)
    log_call(any_log, "other guard", 20.0, fingerprint="f9", guard="other", **DRAWN)
    log_call(any_log, "escalated", 20.0, review_probability=1.0, review_reason="escalated")
    log_call(any_log, "not drawn", 20.0, review_probability=0.05)
    any_log.begin(opening("running", 20.0))
    assert [audit.call_id for audit in any_log.audited("triage", CERTIFIED)] == ["early", "late"]
    assert [audit.call_id for audit in any_log.audited("triage", CERTIFIED, since=30.0)] == ["late"]
    assert any_log.audited("triage", "another") == []


def test_reviewed_calls_are_those_somebody_looked_at(any_log: Log) -> None:
    """Drawn or not; complaints have a reason of their own, or none, and never the probability 0."""
    any_log.guard("f1", "triage", description())
    log_call(any_log, "1", **DRAWN)
    log_call(any_log, "2", review_probability=0.0)
    log_call(any_log, "3", fingerprint="f7")
    for call_id in ("2", "3"):
        any_log.review(call_id, "wrong")
    assert [(audit.call_id, audit.item.reason, audit.item.probability) for audit in any_log.reviewed("triage")] == [
        ("2", "", None),
        ("3", "", None),
    ]
    assert [audit.call_id for audit in any_log.reviewed("triage", CERTIFIED)] == ["2"]


def test_judges_are_set_beside_people(any_log: Log) -> None:
    """Pairs by the name of the check, of reviewed calls only, and only where both judged the same value."""
    any_log.guard("f1", "triage", description())
    said = [("right", "right"), ("right", "wrong"), ("wrong", "wrong"), ("wrong", None)]
    for number, (judge, person) in enumerate(said):
        log_call(any_log, str(number), float(number), judgements=(Judgement(check="polite", verdict=judge),))  # type: ignore[arg-type]
        if person:
            any_log.review(str(number), person)
    of_fallback = {"judgements": (Judgement(check="polite", verdict="right"),), "vote": vote()}
    log_call(any_log, "9", 9.0, status="fallback", **of_fallback)
    any_log.review("9", "wrong")
    pairs = judged_pairs(any_log.reviewed("triage"))
    assert pairs == {"polite": [("right", "right"), ("right", "wrong"), ("wrong", "wrong")]}
    assert cohens_kappa(pairs["polite"]).count == 3
    log_call(any_log, "10", judgements=(Judgement(check="polite", verdict="wrong"),), **DRAWN)
    assert judged_pairs(any_log.audited("triage", CERTIFIED)) == {}


def test_reviews_are_searched_for(invoices: Log) -> None:
    """The newest verdict, or the empty text where nobody has judged."""
    log_call(invoices, "2", **DRAWN)
    log_call(invoices, "3", **DRAWN)
    invoices.review("3", "right")
    invoices.review("3", "wrong")

    def found(where: str) -> list[str]:
        return sorted(row.id for row in invoices.find(where=where))

    assert (found("review=wrong"), found("review=right"), found('review=""')) == (["3"], [], ["1", "2"])
    assert (found("reason=audit and review=''"), found("review!=wrong"), found("review~WRO")) == (
        ["2"],
        ["1", "2"],
        ["3"],
    )
    assert sum(stats.calls for stats in invoices.stats(where="review=wrong")) == 1


def test_an_evicted_call_takes_its_reviews_along() -> None:
    """Memory keeps the newest calls only, with their reviews; a call begun anew keeps its own."""
    log = MemoryLog(size=1)
    log_call(log, "1")
    review = log.review("1", "right")
    log.begin(opening("1"))
    assert log.reviews_of("1") == [review]
    log.finish("1", outcome("1"), 1.0)
    log_call(log, "2")
    assert log.reviews_of("1") == []
    log._save_reviews([review])
    assert log.reviews_of("1") == []


# ------------------------------------------------------------------------------------------------- certificates


def certificate(**given: Any) -> Certificate:
    row = sequential_testing.Tested(
        policy="plan (3, 2, 1)", accepted=200, wrong=0, coverage=0.8, evidence=0.01, bound=0.015, result="certified"
    )
    known: dict[str, Any] = {
        "alpha": 0.02,
        "delta": 0.05,
        "method": "exact",
        "policy": row.policy,
        "table": (row,),
        "audited": Audited(drawn=250, undone=0, kept=250, left_out=3),
        "guard": "triage",
        "fingerprint": "c1",
        "issued_at": 10.0,
        "expires_at": 99.0,
    }
    return Certificate(**known | given)


def test_certificates_come_back_newest_first(any_log: Log) -> None:
    """Of one guard, of one fingerprint if it is named; one without a time is as old as its keeping."""
    old, new, undated = certificate(), certificate(issued_at=30.0), certificate(issued_at=None)
    other, foreign = certificate(fingerprint="c2"), certificate(guard="other")
    for each in (old, new, undated, other, foreign, old):
        any_log.save_certificate(each, 20.0)
    assert [kept.certificate for kept in any_log.certificates("triage", "c1")] == [new, undated, old]
    assert [kept.certificate for kept in any_log.certificates("triage")][:2] == [new, undated]
    assert len(any_log.certificates("triage")) == 4
    assert any_log.certificates("triage", "c3") == []


def test_a_suspended_certificate_stays_suspended(any_log: Log) -> None:
    """The first time stands; keeping it once more does not lift it."""
    any_log.save_certificate(certificate(), 1.0)
    suspended = [any_log.suspend(certificate().id, at) for at in (5.0, 6.0)]
    any_log.save_certificate(certificate(), 7.0)
    assert (suspended, any_log.suspend("none", 1.0)) == ([True, False], False)
    if isinstance(any_log, OutcomeLog):  # another process, which looked before the first was done
        any_log._writer.wait_for(writer.Entry(any_log._statements.suspend, (9.0, certificate().id)))
    assert [kept.suspended_at for kept in any_log.certificates("triage")] == [5.0]


# ------------------------------------------------------------------------------------------------- older logs


def test_a_log_of_revision_0001_is_brought_up_to_date_with_its_rows(tmp_path: Path) -> None:
    """Calls and reviews stay as they were, and calls drawn for audit are found by the new index."""
    from alembic import command
    from alembic.config import Config

    from llmguard.log.sqlite.database import MIGRATIONS, _engine

    path = tmp_path / "old.db"
    fill_old_log(tmp_path / "new.db")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = _engine(path)
    command.upgrade(config, "0001")
    with sqlite3.connect(path) as plain:
        plain.execute("ATTACH ? AS new", (str(tmp_path / "new.db"),))
        for table in ("calls", "steps", "guards", "reviews"):
            plain.execute(f"INSERT INTO {table} SELECT * FROM new.{table}")
    plain.close()
    log = OutcomeLog.open(f"sqlite:///{path}")
    assert [(audit.call_id, audit.item.verdict) for audit in log.audited("triage", CERTIFIED)] == [("1", "wrong")]
    with sqlite3.connect(path) as plain:
        assert plain.execute("SELECT version_num FROM alembic_version").fetchall() == [(REVISIONS[-1],)]
        asked = "SELECT id FROM calls WHERE guard = 'triage' AND review_reason = 'audit' ORDER BY started_at"
        assert "calls_audited" in plain.execute(f"EXPLAIN QUERY PLAN {asked}").fetchone()[3]
    plain.close()
    log.close()


def fill_old_log(path: Path) -> None:
    log = OutcomeLog.open(f"sqlite:///{path}")
    log.guard("f1", "triage", description())
    log.begin(opening("1"))
    log.step("1", replied())
    log.finish("1", outcome("1", **DRAWN), 1.0)
    log.review("1", "wrong", reviewer="ada")
    log.close()


def test_a_value_that_was_reviewed_as_wrong_is_no_good_value(any_log: Log) -> None:
    """The one before it answers; the newest review counts."""
    any_log.guard("f1", "triage", description())
    log_call(any_log, "old", 1_000.0, value=VALUE, inputs={"q": 1})
    log_call(any_log, "new", 2_000.0, value={"total": 5}, inputs={"q": 1})
    any_log.review("new", "wrong", at=3_000.0)
    assert any_log.last_good("triage", digest({"q": 1}), 0.0)["id"] == "old"
    any_log.review("new", "right", at=4_000.0)
    assert any_log.last_good("triage", digest({"q": 1}), 0.0)["id"] == "new"
