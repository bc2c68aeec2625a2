"""Logged outcomes judged again: what changed is found, what cannot be known is no evidence, and kill -9 costs a page."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from llmguard import Guard, SelfConsistency, check, constant
from llmguard.certification.binomial import paired_p
from llmguard.core.canonical import Json, decode, encode
from llmguard.core.errors import LogError, UsageError
from llmguard.core.outcome import Attempt, Outcome
from llmguard.core.record import (
    CallStart,
    Record,
    Step,
    decode_answer,
    decode_outcome,
    encode_answer,
    encode_outcome,
    with_texts,
)
from llmguard.log import MemoryLog, OutcomeLog
from llmguard.log.positions import PagePosition
from llmguard.operations.backtest import CostEstimate, ProgressOptions, ReplayResult, backtest, check_gates, compare
from llmguard.operations.backtest.comparison import (
    Allowance,
    Comparators,
    FieldAgreement,
    call_again,
    compare_pair,
    sample_ids,
)
from llmguard.operations.backtest.gates import Gate
from llmguard.operations.backtest.progress import ProgressFile
from llmguard.operations.backtest.replay_result import (
    compare_outcomes,
    differences,
    explain_result,
    is_same_value,
    lost_result,
    replay_page,
    replay_record,
)
from llmguard.operations.backtest.schema_impact import schema_impact
from llmguard.operations.backtest.summary import SummaryBuilder, Sums
from llmguard.operations.backtest.worker_pool import WorkerPool
from llmguard.replay.what_if import WhatIf
from llmguard.schema import compile_schema
from llmguard.testing import ModelFailure, ModelReply, ScriptedModel
from tests.support.logged_calls import child, log_call, say
from tests.support.random_policies import is_audited, random_policy, run

SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "blue"]}, "shade": {"type": "integer"}},
    "required": ["colour"],
}


@check(version="1")
def is_blue(value: Json, inputs: Json) -> str | None:
    return None if value["colour"] == "blue" else "only blue will do"


def colours(*said: object, **given: object) -> Guard[Json]:
    options: dict[str, object] = {
        "reasks": 0,
        "fallback": [constant({"colour": "red"})],
        "log": None,
        "audit": 0.0,
    } | given
    prompt = options.pop("prompt", "Colour of {{ thing }}?")
    return Guard("colour", prompt=prompt, schema=SCHEMA, models=[ScriptedModel(said)], **options)  # type: ignore[call-overload]


def recorded(guard: Guard[Json], **inputs: object) -> Record:
    record = guard.log.get(guard.run(**inputs).id)
    assert record is not None
    return record


BLUE, RED, GREEN = '{"colour": "blue", "shade": 1}', '{"colour": "red"}', '{"colour": "green"}'

# ------------------------------------------------------------------------------------------------- one outcome


def test_a_check_that_is_added_fails_what_passed() -> None:
    """The reason is what it said; the constant that answers next is red, too."""
    record = recorded(colours(RED), thing="fire")
    found = replay_record(colours(checks=[is_blue]).policy, record)
    assert (found.kind, found.before, found.after, found.reason) == (
        "newly_failing",
        "accepted",
        "rejected",
        "is_blue at the whole value",
    )
    assert "only blue will do" in found.why
    assert found.is_evidence


def test_a_check_that_is_dropped_passes_what_failed() -> None:
    """And the sentence says what was held against it before."""
    record = recorded(colours(RED, checks=[is_blue]), thing="fire")
    found = replay_record(colours().policy, record)
    assert (found.kind, found.after) == ("newly_passing", "accepted")
    assert found.why.startswith("before: ")


def test_another_fallback_is_another_value() -> None:
    """Where it differs is said."""
    record = recorded(colours(GREEN), thing="grass")
    found = replay_record(colours(fallback=[constant({"colour": "blue"})]).policy, record)
    assert (found.kind, found.why) == ("changed", '/colour: "red" is "blue"')
    found = replay_record(colours(fallback=[]).policy, record)
    assert (found.kind, found.reason) == ("changed", "fallback is rejected")


def test_another_prompt_is_undetermined_unless_the_slot_counts() -> None:
    """A reply to another question is no evidence; with slot it stands in, and is marked."""
    record = recorded(colours(BLUE), thing="sky")
    other = colours(prompt="What colour has {{ thing }}?").policy
    found = replay_record(other, record)
    assert (found.kind, found.after, found.is_evidence) == ("undetermined", "", False)
    assert "r0/s0/a1/t1" in found.why
    assert "needs a request to the model" in found.reason
    found = replay_record(other, record, match="position")
    assert (found.kind, found.substituted, found.is_evidence) == ("same", True, False)


def test_a_re_ask_that_was_never_made_is_undetermined() -> None:
    """Today's guard refuses the reply and would ask again: nobody knows what the model would have said."""
    record = recorded(colours(RED), thing="fire")
    found = replay_record(colours(checks=[is_blue], reasks=1).policy, record)
    assert (found.kind, found.reason) == ("undetermined", "refuses the recorded reply, and would ask again")


@pytest.mark.parametrize(
    ("prompt", "said"),
    [("Colour?", "does not take the input 'thing'"), ("{{ thing }} of {{ whom }}?", "expects an input 'whom'")],
)
def test_inputs_that_today_would_be_refused_are_undetermined(prompt: str, said: str) -> None:
    """The caller would get an error, and no outcome."""
    found = replay_record(colours(prompt=prompt).policy, recorded(colours(BLUE), thing="sky"))
    assert (found.kind, found.reason) == ("undetermined", "inputs")
    assert said in found.why


def test_costs_are_those_of_the_attempts_today() -> None:
    """At one price list for both, so that only what the guard does is compared."""
    said = ModelReply(GREEN, cost_usd=0.5), ModelReply(BLUE, cost_usd=0.25)
    record = recorded(colours(*said, reasks=1), thing="sky")
    found = replay_record(colours(reasks=0).policy, record)
    assert (found.cost_before, found.cost_after) == (0.75, 0.5)


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (("accepted", 1), ("recovered", 1), "same"),
        (("accepted", 1), ("accepted", 2), "changed"),
        (("accepted", 1), ("accepted", 1.0), "changed"),
        (("accepted", 1), ("accepted", True), "changed"),
        (("accepted", 1), ("fallback", 1), "newly_failing"),
        (("recovered", 1), ("escalated", 1), "newly_failing"),
        (("rejected", None), ("recovered", 1), "newly_passing"),
        (("fallback", 1), ("fallback", 1), "same"),
        (("fallback", None), ("rejected", None), "changed"),
        (("escalated", 1), ("escalated", 2), "same"),
        (("escalated", None), ("rejected", None), "changed"),
    ],
)
def test_what_the_caller_would_notice_decides(before: Json, after: Json, kind: str) -> None:
    """A model's value or none, the value handed out, and who answered instead."""
    then, today = (Outcome(status=status, value=value, json=value) for status, value in (before, after))
    assert compare_outcomes(then, WhatIf(outcome=today)) == kind


def test_values_are_the_same_as_the_log_spells_them() -> None:
    """What was redacted on its way into the log is no change."""
    secret = {"note": "the key is sk-proj-4f9a8b7c6d5e4f3a2b1c"}
    assert is_same_value((secret,), ({"note": "the key is [redacted:openai_key]"},))
    assert not is_same_value((float("nan"),), (float("nan"),))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON)
def test_values_differ_somewhere_or_nowhere(one: Json, other: Json) -> None:
    """The places where two values differ are none exactly where they are the same."""
    assert (list(differences(one, other)) == []) == is_same_value((one,), (other,))


@pytest.mark.parametrize("block", range(4))
def test_the_same_guard_judges_the_same(block: int) -> None:
    """Of random policies, audited or not, with votes, judges and functions: what the log holds is judged as it was."""
    for seed in range(block, 200, 4):
        policy, _ = random_policy(seed)
        told, heard = run(policy, seed, "inline")
        reason = "audit" if is_audited(seed) else told.review_reason
        found = replay_record(
            policy, as_logged(policy.fingerprint, {"n": seed}, heard, replace(told, review_reason=reason))
        )
        assert (found.kind, found.substituted, found.after, found.same_guard) == ("same", False, told.status, True), (
            seed
        )
        assert found.cost_after == found.cost_before


def as_logged(fingerprint: str, inputs: Json, steps: list[Step], told: Outcome[Json]) -> Record:
    kept = tuple(replace(step, answer=decode_answer(encode_answer(step.answer))) for step in steps)
    opening = CallStart(
        id="1", guard="random", fingerprint=fingerprint, inputs=inputs, inputs_digest="", meta={}, started_at=1.0
    )
    return Record(opening, kept, with_texts(decode_outcome(encode_outcome(told)), kept))


# ------------------------------------------------------------------------------------------------- reading the log


@pytest.fixture
def log(tmp_path: Path) -> Iterator[OutcomeLog]:
    opened = OutcomeLog.open(f"sqlite:///{tmp_path / 'log.db'}")
    yield opened
    opened.close()


def test_records_come_by_start_in_pages_of_any_size(log: OutcomeLog) -> None:
    """Calls that began at the same moment come by id, none twice and none left out."""
    for number in range(25):
        log_call(log, f"{number:02d}", at=1_700_000_000.0 + number // 10)
    found, after = [], None
    while page := log.positions(guard="triage", after=after, limit=3):
        found += [place.id for place in page]
        after = page[-1]
    assert found == [f"{number:02d}" for number in range(25)]
    assert [record.opening.id for record in log.records()] == found
    assert [record.opening.id for record in log.records(after=PagePosition(1_700_000_001.0, "12"))] == found[13:]


def test_records_are_those_that_get_gives(log: OutcomeLog) -> None:
    """Asked one by one; without evidence all but the raw bodies."""
    for number in range(5):
        log_call(log, f"{number}", status="rejected" if number == 3 else "accepted")
    assert list(log.records()) == [log.get(f"{number}") for number in range(5)]
    assert [record.opening.id for record in log.records(status="rejected")] == ["3"]
    bare = log.records_of(["4", "nobody", "2"], evidence=False)
    assert [record.opening.id for record in bare] == ["4", "2"]
    assert bare[0].steps[0].answer.raw == b""  # type: ignore[union-attr]
    assert bare[0] == log.get("4")


def test_misuse_is_told_before_the_first_record(log: OutcomeLog) -> None:
    """And not when somebody begins to read."""
    with pytest.raises(UsageError, match="there is no field"):
        log.records(where="nonsense=1")


def test_a_record_that_cannot_be_read_does_not_spoil_its_page(log: OutcomeLog) -> None:
    """It is undetermined, and says so; the others are judged."""
    guard = colours(BLUE, BLUE, BLUE, log=log)
    ids = [guard.run(thing=thing).id for thing in ("sky", "sea", "ink")]
    log.close()
    with sqlite3.connect(log.path) as connection:
        connection.execute("update steps set answer = x'7b' where call_id = ?", (ids[1],))
    found = list(replay_page(guard.policy, log, [*ids, "gone"]))
    assert [each.kind for each in found] == ["same", "undetermined", "same", "undetermined"]
    assert "cannot be read" in found[1].why
    assert "no longer in the log" in found[3].why


# ------------------------------------------------------------------------------------------------- adding up


def one(number: int, kind: str = "same", **given: object) -> ReplayResult:
    known = {"before": "accepted", "after": "accepted"} | given
    return ReplayResult(id=str(number), started_at=float(number), kind=kind, **known)  # type: ignore[arg-type]


def test_what_is_no_evidence_is_in_no_rate() -> None:
    """Undetermined and assumed outcomes are counted apart."""
    tally = SummaryBuilder()
    for each in (
        one(1),
        one(2, "newly_failing", after="fallback"),
        one(3, "undetermined", after=""),
        one(4, "newly_failing", after="fallback", substituted=True),
    ):
        tally.add(each)
    summary = tally.summary()
    assert (summary.total, summary.evidence.total, summary.substituted.total, summary.undetermined) == (4, 2, 1, 1)
    rate = summary.evidence.ended("fallback", today=True)
    assert (rate.count, rate.total) == (1, 2)
    assert summary.share_bounds("fallback") == (1 / 3, 2 / 3)


def test_the_newest_are_listed_in_whatever_order_they_come() -> None:
    """Of many, too."""
    tally = SummaryBuilder(list_length=2)
    for number in (*range(300, 500), *range(300)):
        tally.add(one(number, "changed"))
    assert [each.id for each in tally.summary().listed["changed"]] == ["499", "498"]


def test_the_mean_has_the_interval_of_its_sums() -> None:
    """The normal one, from sums alone; none of a single number."""
    sums = Sums()
    sums.add(1.0)
    assert (sums.mean, sums.interval) == (1.0, None)
    for number in (2.0, 3.0, 6.0):
        sums.add(number)
    low, high = scipy.stats.norm.interval(0.95, loc=3.0, scale=scipy.stats.sem([1.0, 2.0, 3.0, 6.0]))
    assert sums.interval == pytest.approx((low, high))


@given(st.integers(0, 200), st.integers(0, 200))
def test_the_paired_test_is_scipys(worse: int, better: int) -> None:
    """The exact binomial test of the discordant pairs, two-sided."""
    expected = scipy.stats.binomtest(worse, worse + better, 0.5).pvalue if worse + better else 1.0
    assert paired_p(worse, better) == pytest.approx(expected, rel=1e-9)


# ------------------------------------------------------------------------------------------------- the state

ASKED, WINDOW = {"guard": "g", "query": None}, {"until": 5.0}


def test_a_state_goes_on_with_the_window_of_its_first_run(tmp_path: Path) -> None:
    """So that `--since 7d` means the same seven days."""
    file = tmp_path / "deep" / "state.jsonl"
    state = ProgressFile.open(file, ASKED, WINDOW)
    state.add([one(1), one(2, "newly_failing", after="fallback", why="no")])
    state.close(finished=False)
    state = ProgressFile.open(file, ASKED, {"until": 9.0})
    assert state.window == WINDOW
    assert list(state.results()) == [one(1), one(2, "newly_failing", after="fallback", why="no")]
    state.close(finished=True)
    assert not file.exists()


@pytest.mark.parametrize("options", [{"asked": {"guard": "other"}}, {"restart": True}])
def test_another_question_begins_anew(tmp_path: Path, options: Json) -> None:
    """So does --restart."""
    state = ProgressFile.open(tmp_path / "state", ASKED, WINDOW)
    state.add([one(1)])
    state.close(finished=False)
    state = ProgressFile.open(
        tmp_path / "state", options.get("asked", ASKED), WINDOW, restart=options.get("restart", False)
    )
    assert list(state.results()) == []
    state.close(finished=False)


@given(st.data())
def test_a_state_that_was_cut_anywhere_has_whole_pages(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A process may die in the middle of any write; what is left is a beginning of what was added, page by page."""
    file = tmp_path_factory.mktemp("state") / "state"
    state = ProgressFile.open(file, ASKED, WINDOW)
    pages = [[one(3 * page + number, why="grün \u2028") for number in range(3)] for page in range(3)]
    for page in pages:
        state.add(page)
    state.close(finished=False)
    whole = file.read_bytes()
    file.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    state = ProgressFile.open(file, ASKED, WINDOW)
    found = list(state.results())
    assert found == [each for page in pages[: len(found) // 3] for each in page]
    state.add([one(99)])
    assert [each.id for each in state.results()][-1] == "99"
    state.close(finished=False)


@pytest.mark.parametrize("text", [b"my diary\n", b'{"llmguard_replay": 7}\n', b"[]\n", b"dear diary"])
def test_a_file_of_somebody_elses_is_left_alone(tmp_path: Path, text: bytes) -> None:
    """It is not emptied, whatever it holds."""
    (tmp_path / "diary").write_bytes(text)
    with pytest.raises(UsageError, match="is not the state of a replay"):
        ProgressFile.open(tmp_path / "diary", ASKED, WINDOW, restart=True)
    assert (tmp_path / "diary").read_bytes() == text


def test_a_state_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """With what the system said."""
    (tmp_path / "file").touch()
    with pytest.raises(LogError, match="cannot be written"):
        ProgressFile.open(tmp_path / "file" / "state", ASKED, WINDOW)


def test_one_process_at_a_time_adds_to_a_state(tmp_path: Path) -> None:
    """Another one is told; one that was killed holds nothing."""
    file = tmp_path / "state"

    def hold(pipe: int) -> None:
        state = ProgressFile.open(file, ASKED, WINDOW)
        state.add([one(1)])
        say(pipe, "open")
        signal.pause()

    with child(hold) as (pid, reading):
        assert os.read(reading, 5) == b"open\n"
        with pytest.raises(UsageError, match="another process"):
            ProgressFile.open(file, ASKED, WINDOW)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    state = ProgressFile.open(file, ASKED, WINDOW)
    assert [each.id for each in state.results()] == ["1"]
    state.close(finished=False)


# ------------------------------------------------------------------------------------------------- processes

WORKER = """
import json, os, sys, time
print(json.dumps({"fingerprint": "f"}), flush=True)
for line in sys.stdin:
    for call_id in json.loads(line):
        if call_id == "dies":
            os._exit(7)
        while call_id == "hangs":
            pass
        print(json.dumps({"id": call_id, "pid": os.getpid()}), flush=True)
"""


def pool(script: str = WORKER, workers: int = 2, timeout_s: float = 20.0, ready: object = None) -> WorkerPool:
    return WorkerPool(
        [sys.executable, "-c", script],
        workers,
        timeout_s=timeout_s,
        check_ready=ready or (lambda said: None),  # type: ignore[arg-type]
        lost=lambda call_id, why: {"id": call_id, "lost": why},
    )


def test_every_page_is_judged_once_by_whoever_has_time() -> None:
    """By processes that end with the work."""
    pages = [[f"{page}/{number}" for number in range(7)] for page in range(20)]
    found = [said for page in pool().results_of(pages) for said in page]
    assert sorted(each["id"] for each in found) == sorted(each for page in pages for each in page)
    pids = {each["pid"] for each in found}
    assert 1 <= len(pids) <= 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.slow
def test_an_outcome_that_kills_or_hangs_its_process_is_lost_alone() -> None:
    """The others of its page are judged by a new process."""
    pages = [["a", "dies", "b"], ["c"], ["hangs", "d"], ["dies"], ["e", "f"]]
    found = {said["id"]: said for page in pool(timeout_s=1.0).results_of(pages) for said in page}
    assert sorted(found) == ["a", "b", "c", "d", "dies", "e", "f", "hangs"]
    assert "exit status 7" in found["dies"]["lost"]
    assert "more than 1 s" in found["hangs"]["lost"]
    assert all("lost" not in found[each] for each in "abcdef")


def test_where_every_outcome_kills_its_process_the_whole_is_given_up() -> None:
    """It is not their fault then."""
    script = WORKER.replace('call_id == "dies"', "True").replace("os._exit(7)", "sys.exit('the GPU is gone')")
    with pytest.raises(UsageError, match="the GPU is gone"):
        list(pool(script).results_of([[str(number) for number in range(40)]]))


def test_a_worker_that_cannot_begin_says_why() -> None:
    """Its last words are the sentence."""
    with pytest.raises(UsageError, match="could not begin: no module 'shop'"):
        list(pool("import sys; sys.exit(\"no module 'shop'\")").results_of([["a"]]))


def test_no_process_outlives_its_reader() -> None:
    """Neither where the reader has seen enough, nor where it is killed."""
    judging = pool().results_of([["a"], ["b"], ["c"], *([["hangs"]] * 6)])
    pids = {said["pid"] for _, page in zip(range(3), judging, strict=False) for said in page}
    judging.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


# ------------------------------------------------------------------------------------------------- the same inputs, anew


def test_a_sample_is_the_same_whatever_else_is_logged() -> None:
    """Another seed is another sample, and each call is as likely as any other."""
    ids = [f"id{number}" for number in range(1_000)]
    sample = sample_ids(ids, 100, seed=1)
    assert sorted(sample_ids(reversed(ids), 100, seed=1)) == sorted(sample)
    assert sample_ids(ids, 100, seed=2) != sample
    assert len(set(sample_ids(ids[:500] + [f"new{number}" for number in range(500)], 100, 1)) & set(sample[:50])) >= 10
    counts = [sum(f"id{number}" in sample_ids(ids[:20], 5, seed) for seed in range(400)) for number in range(20)]
    assert scipy.stats.chisquare(counts).pvalue > 1e-4


def test_fields_are_compared_by_the_guards_own_comparators() -> None:
    """Exactly where it has none."""
    plain = colours(BLUE)
    assert Comparators.of(plain.policy).compare({"colour": "blue", "shade": 1}, {"colour": "blue"}) == {
        "/colour": True,
        "/shade": False,
    }
    voting = SelfConsistency(n_max=3, stop=None, plan=(1, 1, 0), fields={"/shade": "money"})
    own = Comparators.of(colours(consistency=voting).policy)
    assert own.compare({"colour": "blue", "shade": "1.00"}, {"colour": "red", "shade": 1}) == {
        "/shade": True,
        "/colour": False,
    }
    fields = FieldAgreement()
    for shade in (1, 2):
        fields.add(own.compare({"colour": "blue", "shade": 1}, {"colour": "blue", "shade": shade}))
    assert [(pointer, rate.count, rate.total) for pointer, rate in fields.rates().items()] == [
        ("/shade", 1, 2),
        ("/colour", 2, 2),
    ]


def test_a_pair_is_alike_where_its_fields_are() -> None:
    """Compared only where both passed."""
    record = recorded(colours(BLUE), thing="sky")
    found, alike = compare_pair(record, Outcome(status="recovered", json={"colour": "BLUE", "shade": 1}), Comparators())
    assert (found.kind, alike) == ("same", {"/colour": True, "/shade": True})
    found, alike = compare_pair(record, Outcome(status="rejected"), Comparators())
    assert (found.kind, alike) == ("newly_failing", {})


def test_a_model_that_cannot_be_reached_is_no_evidence_against_it() -> None:
    """A dead server says nothing of the model behind it; a refusal does."""
    record = recorded(colours(BLUE), thing="sky")
    for failure, kind in (("connection", "undetermined"), ("auth", "undetermined"), ("refusal", "newly_failing")):
        attempts = (Attempt(address="r0/s0/a1/t1", rung="m", failure=failure, message="no route"),)
        found, _ = compare_pair(record, Outcome(status="rejected", attempts=attempts), Comparators())
        assert (found.kind, found.is_evidence) == (kind, kind != "undetermined")


def test_calls_are_made_until_the_allowance_is_used_up() -> None:
    """One that might go beyond it is not begun; the new call names the old one."""
    old = colours(*[BLUE] * 6)
    records = [recorded(old, thing=str(number)) for number in range(6)]
    new = colours(*[ModelReply(RED, cost_usd=0.25)] * 6)
    seen: list[str] = []
    allowance = Allowance(1.1, 0.25)
    left = call_again(new, records, allowance, 2, lambda record, told: seen.append(record.opening.id))
    assert (len(seen), left, allowance.spent_usd) == (4, 2, 1.0)
    assert isinstance(new.log, MemoryLog)
    assert {row.meta["replay_of"] for row in new.log.find()} == set(seen)


class TooDearError(Exception):
    """What a caller's `approve` may raise."""


def test_no_call_is_made_that_was_not_approved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimate says how many calls, to which model."""
    monkeypatch.chdir(tmp_path)
    guard = colours(BLUE, BLUE)
    for thing in ("sky", "sea"):
        guard.run(thing=thing)
    model = ScriptedModel([], name="gpt-5-mini")

    def refuse(estimate: CostEstimate) -> None:
        assert (estimate.guard, estimate.calls, estimate.models) == ("colour", 2, ("gpt-5-mini",))
        raise TooDearError

    with pytest.raises(TooDearError):
        compare(guard, model=model, approve=refuse)
    assert model.requests == []


def test_results_so_far_are_saved_only_where_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is reported from the first call on; a finished backtest leaves no file."""
    monkeypatch.chdir(tmp_path)
    guard = colours(BLUE, RED)
    for thing in ("sky", "fire"):
        guard.run(thing=thing)
    progress: list[tuple[int, int]] = []
    path = tmp_path / "progress.jsonl"
    saved = ProgressOptions(query="all", path=path)
    strict = colours(checks=[is_blue])
    reports = [
        backtest(strict, guard.log, progress=options, on_progress=lambda *counts: progress.append(counts)).to_json()
        for options in (None, saved)
    ]
    assert {**reports[0], "until": 0} == {**reports[1], "until": 0}
    assert progress == [(0, 2), (2, 2)] * 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kinds", "gates", "failed"),
    [
        (["same", "newly_failing"], ["newly-failing", "changed"], ("newly-failing",)),
        (["newly_failing"] * 6, ["worse"], ("worse",)),
        (["newly_failing"] * 5, ["worse"], ()),
        (["undetermined"], ["undetermined", "changed", "assumed-failing"], ("undetermined", "changed")),
        ([], ["changed", "undetermined"], ()),
    ],
)
def test_gates_fail_where_they_should(kinds: list[str], gates: list[Gate], failed: tuple[str, ...]) -> None:
    """One that needs evidence also fails where there are calls and no evidence; `worse` is a test at 5 %."""
    summary = SummaryBuilder()
    for number, kind in enumerate(kinds):
        summary.add(one(number, kind))
    assert check_gates(summary.summary(), gates).failed == failed


# ------------------------------------------------------------------------------------------------- an edit of the schema


def test_an_edit_is_blamed_only_for_what_the_old_schema_took() -> None:
    """Values that were accepted under yet another one are counted apart."""
    old, new = compile_schema(SCHEMA), compile_schema({**SCHEMA, "required": ["colour", "shade"]})
    values = [{"colour": "blue"}, {"colour": "blue", "shade": 1}, {"colour": "mauve"}, {"colour": "red"}]
    told = [Outcome(status="accepted", json=value) for value in values]
    opening = CallStart(id="1", guard="g", fingerprint="", inputs={}, inputs_digest="", meta={}, started_at=0.0)
    records = [Record(replace(opening, id=str(number)), (), each) for number, each in enumerate(told)]
    edit = schema_impact([*records, Record(opening, ())], old, new)
    assert (edit.values, edit.refused, edit.misfits) == (4, 2, 1)
    assert dict(edit.reasons) == {"required at /shade": 2}
    assert [call_id for call_id, _ in edit.first] == ["3", "0"]


@given(st.sampled_from(["same", "changed", "undetermined"]), st.booleans(), st.floats(0, 9) | st.none(), st.text())
def test_a_judgement_comes_back_as_it_was(kind: str, assumed: bool, cost: float | None, why: str) -> None:
    """From the state's file and from a worker."""
    given_one = one(1, kind, substituted=assumed, cost_after=cost, why=why)
    assert ReplayResult.from_json(decode(encode(given_one.to_json()))) == given_one
    assert ReplayResult.from_json(lost_result("1", "why").to_json()) == lost_result("1", "why")


def test_a_refusal_is_told_even_where_a_failure_of_transport_came_after_it() -> None:
    """The last thing that was held against a reply says more than a timeout does."""
    record = recorded(
        colours(RED, ModelFailure("auth", "no key"), checks=[is_blue], reasks=1, fallback=[]), thing="fire"
    )
    passing = recorded(colours(BLUE), thing="sky").outcome
    assert record.outcome is not None
    assert passing is not None
    why, reason = explain_result("newly_failing", passing, WhatIf(outcome=record.outcome))
    assert "only blue will do" in why
    assert reason == "is_blue at the whole value"
