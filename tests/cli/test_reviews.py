"""Reviews on the command line: one by one, from a file, the work list, and what `log show` tells of a vote."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from llmguard import Guard, OutcomeLog, SelfConsistency, constant
from llmguard.cli import app
from llmguard.core.canonical import Json, decode, encode
from llmguard.log.sqlite import database
from llmguard.testing import ScriptedModel
from tests.support.logged_calls import log_call

SCHEMA = {
    "type": "object",
    "properties": {"total": {"type": "number", "minimum": 0}, "vendor": {"type": "string"}},
    "required": ["total"],
}
LOG = "sqlite:///llmguard.db"
THREE, OTHER = '{"total": 306, "vendor": "Ada"}', '{"total": 360, "vendor": "Ada"}'
VALUE = {"total": 306, "vendor": "Ada"}
CONFIDENCE = re.compile(r"agreement|score|alternatives|votes|accepted|80 %|(?<![\w.])360\b")  # ids have 360 in them
"""What a reviewer of the calls below must not see before the verdict."""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLMGUARD_LOG", raising=False)
    return tmp_path


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["log", *arguments], input=stdin)


def printed(*arguments: str, stdin: str | None = None) -> str:
    result = run(*arguments, stdin=stdin)
    assert (result.exit_code, result.exception) == (0, None), result.stderr
    return result.stdout


def refused(*arguments: str, stdin: str | None = None) -> str:
    """What is told of misuse: exit status 2, nothing on standard output, no traceback."""
    result = run(*arguments, stdin=stdin)
    assert (result.exit_code, result.stdout, "Traceback" in result.stderr) == (2, "", False)
    return result.stderr


def lines(text: str) -> list[Json]:
    return [decode(line) for line in text.splitlines()]


def jsonl(*said: Json) -> str:
    return "\n".join(encode(each).decode() for each in said)


@pytest.fixture
def calls() -> list[str]:
    """Ids of three audited votes, four of five samples for 306."""
    said = [THREE, OTHER, THREE, THREE, THREE] * 3
    votes = SelfConsistency(n_max=5, plan=(3, 2, 1))
    models = [ScriptedModel(said)]
    guard = Guard("invoice", prompt="{{ text }}", schema=SCHEMA, models=models, consistency=votes, audit=1.0, log=LOG)
    return [guard.run(text=f"invoice {number}").id for number in range(3)]


def reviews(call_id: str) -> list[tuple[str, Any]]:
    return [(each.verdict, each.correction) for each in OutcomeLog.open(LOG).reviews_of(call_id)]


# ------------------------------------------------------------------------------------------------- one by one


def test_a_review_is_kept_and_told(calls: list[str]) -> None:
    """A prefix of the id is enough; what was said is shown as it was understood."""
    said = ("--correction", encode(VALUE | {"total": 5}).decode(), "--field", "/total=wrong", "--reviewer", "ada")
    text = printed("review", calls[2][:-1], "wrong", *said, "--comment", "one\ntwo", "--blind")
    assert text.splitlines() == [
        f"{calls[2]}  wrong by ada (blind)",
        "/total: wrong",
        'correction: {"total": 5, "vendor": "Ada"}',
        "one",
        "two",
    ]
    assert reviews(calls[2]) == [("wrong", (VALUE | {"total": 5},))]


def test_a_second_review_says_so(calls: list[str]) -> None:
    """On standard error, so that what is read by a machine stays the same."""
    printed("review", calls[0], "right")
    result = run("review", calls[0], "wrong", "--json")
    assert (result.exit_code, lines(result.stdout)[0]["verdict"]) == (0, "wrong")
    assert "3 reviews of this call; the newest counts" in run("review", calls[0], "unsure").stderr
    assert [verdict for verdict, _ in reviews(calls[0])] == ["right", "wrong", "unsure"]


def test_json_prints_the_review(calls: list[str]) -> None:
    """Every key but correction always; correction where one was given."""
    (found,) = lines(printed("review", calls[0], "wrong", "--json", "--field", "/vendor=unsure"))
    assert sorted(found) == sorted(["id", "verdict", "fields", "reviewer", "comment", "blind", "at", "review"])
    assert (found["id"], found["fields"], found["blind"]) == (calls[0], {"/vendor": "unsure"}, False)


def test_a_correction_may_stand_in_a_file_or_come_by_pipe(calls: list[str], project: Path) -> None:
    """As long values do."""
    (project / "right.json").write_text('{"total": 7}')
    printed("review", calls[0], "wrong", "--correction", "@right.json")
    printed("review", calls[0], "wrong", "--correction", "@-", stdin='{"total": 8}')
    assert reviews(calls[0]) == [("wrong", ({"total": 7},)), ("wrong", ({"total": 8},))]


def test_a_key_with_an_equals_sign_can_be_judged() -> None:
    """The last `=` parts pointer from verdict."""
    guard = Guard("any", prompt="p", schema={}, models=[ScriptedModel(['{"a=b": 1}'])], log=LOG)
    printed("review", guard.run().id, "wrong", "--field", "/a=b=wrong")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ID", "bad"), "verdict 'bad': expected right, wrong or unsure."),
        (("ID", "rihgt"), "(did you mean 'right'?)"),
        (("ID", "wrong", "--correction", "{total: 5}"), "--correction (a text needs quotes): the text is not JSON"),
        (("ID", "wrong", "--correction", '{"total": 1, "total": 2}'), "the same key stands twice"),
        (("ID", "wrong", "--correction", '{"total": NaN}'), "a number that is not finite"),
        (("ID", "wrong", "--correction", '{"total": -5}'), "/total: must be at least 0; got -5 [minimum]"),
        (("ID", "wrong", "--correction", "@nowhere.json"), "file 'nowhere.json' cannot be read"),
        (("ID", "wrong", "--field", "/totl=wrong"), "(did you mean '/total'?)"),
        (("ID", "wrong", "--field", "/total"), "--field '/total': expected /PATH=VERDICT"),
        (("ID", "wrong", "--field", "/total=wrong", "--field", "/total=right"), "--field has '/total' twice"),
        (("zzzzzz", "right"), "no call whose id begins with 'zzzzzz'"),
        (("ID",), "a review needs an ID and a verdict"),
        ((), "a review needs an ID and a verdict"),
        (("ID", "right", "--from", "x.jsonl"), "--from FILE reads all reviews from the file"),
        (("--from", "x.jsonl"), "file 'x.jsonl' cannot be read"),
    ],
)
def test_misuse_is_one_sentence(calls: list[str], arguments: tuple[str, ...], sentence: str) -> None:
    """What was found, what was expected, and nothing kept."""
    given = [calls[0] if each == "ID" else each for each in arguments]
    assert sentence in refused("review", *given)
    assert reviews(calls[0]) == []


def test_a_log_that_cannot_be_written_is_no_success(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ends right after, so a review that waits for better times would be lost."""
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    log = OutcomeLog.open(LOG)
    log_call(log, "12345")
    other = sqlite3.connect(project / "llmguard.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.warns(UserWarning, match="cannot be written"):
        said = refused("review", "12345", "right")
    other.execute("ROLLBACK")
    other.close()
    assert "the review could not be written to the log" in said
    log.close()


# ------------------------------------------------------------------------------------------------- from a file


def test_a_work_list_with_verdicts_is_a_file_of_reviews(calls: list[str], project: Path) -> None:
    """What `--unreviewed --json` prints is filled in and read back; read twice, it adds nothing."""
    work = lines(printed("list", "--unreviewed", "--json"))
    assert [each["id"] for each in work] == calls
    assert work[0]["inputs"] == {"text": "invoice 0"}
    assert (work[0]["candidate"], work[0]["verdict"], work[0]["blind"]) == (VALUE, None, True)
    for each, verdict in zip(work, ("right", "wrong", "unsure"), strict=True):
        each["verdict"] = verdict
    work[1]["correction"] = VALUE | {"total": 360}
    (project / "done.jsonl").write_text(jsonl(*work) + "\n")
    assert (
        printed("review", "--from", "done.jsonl", "--reviewer", "ada") == "3 reviews added, 0 were already in the log\n"
    )
    again = printed("review", "--from", "done.jsonl", "--reviewer", "ada", "--json")
    assert lines(again) == [{"added": 0, "already_there": 3}]
    assert reviews(calls[1]) == [("wrong", (VALUE | {"total": 360},))]
    (kept,) = OutcomeLog.open(LOG).reviews_of(calls[2])
    assert (kept.reviewer, kept.blind) == ("ada", True)
    assert printed("list", "--unreviewed", "--json") == ""


def test_reviews_of_a_log_can_be_read_back_in(calls: list[str]) -> None:
    """As `log show --json` prints them, with their times."""
    printed("review", calls[0], "wrong", "--correction", "{'total': 7}".replace("'", '"'), "--comment", "x")
    (shown,) = lines(printed("show", calls[0], "--json"))
    assert printed("review", "--from", "-", stdin=jsonl(*shown["reviews"])).startswith("0 reviews added, 1 were")
    said = {"id": calls[1], "verdict": "right", "at": 1_700_000_000.5}
    printed("review", "--from", "-", stdin=jsonl(said, said | {"verdict": "wrong", "at": "2024-05-03T14:30:00+00:00"}))
    assert [each.at for each in OutcomeLog.open(LOG).reviews_of(calls[1])] == [1_700_000_000.5, 1_714_746_600.0]


def test_one_bad_line_and_nothing_is_kept(calls: list[str]) -> None:
    """Every bad line is named with its number and its fault."""
    good = {"id": calls[0], "verdict": "right"}
    bad: list[tuple[str, str]] = [
        (jsonl(good | {"verdict": "rigth"}), "did you mean 'right'?"),
        (jsonl(good | {"verdict": None}), "there is no verdict"),
        (jsonl({"id": calls[0]}), "there is no verdict"),
        (jsonl({"verdict": "right"}), "id: expected an outcome's id as text, got None"),
        (jsonl(good | {"id": 7}), "id: expected an outcome's id as text, got 7"),
        (jsonl(good | {"id": "nobody"}), "no call whose id begins with 'nobody'"),
        (jsonl(good | {"corection": 3}), "unknown key 'corection' (did you mean 'correction'?)"),
        (jsonl(good | {"candidate": VALUE | {"total": 5}}), "candidate is not what the log holds"),
        (jsonl(good | {"verdict": "wrong", "correction": None}), "must be an object"),
        (jsonl(good | {"fields": {"/x": "wrong"}}), "there is nothing at '/x'"),
        (jsonl(good | {"reviewer": 3}), "reviewer: expected text, got int"),
        (jsonl(good | {"at": "soon"}), "time 'soon' is not understood"),
        (jsonl(good | {"at": {}}), "at: expected a time in seconds"),
        (jsonl([1]), "expected an object with id and verdict, got list"),
        ("{", "not a line of JSON: the text is not JSON"),
        ("[" * 100_000, "not a line of JSON"),
        ('{"id": "a", "id": "b"}', "the same key stands twice"),
    ]
    text = "\r\n".join([jsonl(good), "", *(line for line, _ in bad), jsonl(good)])
    head, *told = refused("review", "--from", "-", stdin=text).splitlines()
    assert head == f"llmguard: '-': {len(bad)} of {len(bad) + 2} lines are invalid, so no review is added."
    for number, (said, (_, fault)) in enumerate(zip(told, bad, strict=True), start=3):
        assert said.startswith(f"  line {number}: ")
        assert fault in said
    assert reviews(calls[0]) == []


def test_a_line_separator_within_a_text_ends_no_line(calls: list[str]) -> None:
    """Only a newline does: U+2028 stands in comments that were copied from web pages."""
    line = f'{{"id": "{calls[0]}", "verdict": "right", "comment": "one\u2028two"}}'
    assert printed("review", "--from", "-", stdin=line).startswith("1 review added")


# ------------------------------------------------------------------------------------------------- the work list


def test_the_work_list_does_not_say_how_sure_the_model_was(calls: list[str]) -> None:
    """Neither status, agreement, score nor what other samples said; the same for one call with `show --blind`."""
    shown = [printed("list", "--unreviewed"), printed("list", "--unreviewed", "--json")]
    shown += [printed("show", calls[0], "--blind"), printed("show", calls[0], "--blind", "--json")]
    assert [CONFIDENCE.findall(text) for text in shown] == [[], [], [], []]
    assert all("invoice 0" in text and "306" in text for text in shown)


def test_the_work_list_is_what_was_drawn_and_not_yet_reviewed(calls: list[str]) -> None:
    """The oldest first; without what gives nothing to judge; with the other options of the list."""
    printed("review", calls[0], "unsure")
    log = OutcomeLog.open(LOG)
    drawn = {"guard": "other", "review_probability": 0.5, "review_reason": "audit"}
    log_call(log, "no value", status="rejected", value=None, **drawn)
    log_call(log, "with a rule's value", status="fallback", **drawn)
    log_call(log, "not drawn", guard="other")

    def listed(*more: str) -> list[str]:
        return [each["id"] for each in lines(printed("list", "--unreviewed", "--json", *more))]

    assert listed() == ["no value", "with a rule's value", *calls[1:]]
    assert listed("--limit", "1", "--guard", "invoice") == [calls[1]]
    assert listed("--where", "status=fallback") == ["with a rule's value"]
    for call_id in listed():
        log.review(call_id, "right")
    assert (listed(), "no call waits for a review" in run("list", "--unreviewed").stderr) == ([], True)


def test_an_outcome_without_any_value_is_no_work() -> None:
    """There is nothing to judge; `show --blind` says so."""
    models = [ScriptedModel(["no idea"])]
    guard = Guard("invoice", prompt="p", schema=SCHEMA, models=models, reasks=0, audit=1.0, log=LOG)
    call_id = guard.run().id
    assert printed("list", "--unreviewed", "--json") == ""
    assert "nothing to judge" in printed("show", call_id, "--blind")
    assert "candidate" not in lines(printed("show", call_id, "--blind", "--json"))[0]


def test_the_list_finds_calls_by_their_review(calls: list[str]) -> None:
    """The newest verdict is a field of the search, and stands in the list for machines."""
    printed("review", calls[1], "right")
    printed("review", calls[1], "wrong")
    found = lines(printed("list", "--json", "--where", "review=wrong"))
    assert [(row["id"], row["review"]) for row in found] == [(calls[1], "wrong")]


# ------------------------------------------------------------------------------------------------- what is shown


def test_show_tells_the_vote_and_the_reviews(calls: list[str]) -> None:
    """Agreement, fields with their alternatives, samples, why it was drawn, and who said what."""
    printed("review", calls[0], "wrong", "--field", "/total=wrong", "--reviewer", "ada", "--comment", "see line 2")
    text = printed("show", calls[0])
    order = [
        "vote\n",
        "decided  accepted, agreement 80 %, stopped by accept_boundary, at scripted",
        "samples  5 drawn, 5 decided, dissent 1, not valid 0",
        "/total   306  4 of 5 (80 %)  also 360 (1)",
        '/vendor  "Ada"  5 of 5 (100 %)',
        'others   {"total":360,"vendor":"Ada"} (1)',
        "reviews\n",
        "audit, with probability 100 %",
        "wrong by ada",
        "/total: wrong",
        "see line 2",
        "answered by scripted",
    ]
    places = [text.find(part) for part in order]
    assert -1 not in places, text
    assert places == sorted(places)


def test_show_tells_machines_the_same(calls: list[str]) -> None:
    """Every key always, also where nothing was voted."""
    guard = Guard("plain", prompt="p", schema=SCHEMA, models=[], fallback=[constant({"total": 0})], log=LOG)
    (voted,), (plain,) = (lines(printed("show", each, "--json")) for each in (calls[0], guard.run().id))
    assert voted["outcome"].keys() == plain["outcome"].keys()
    vote = voted["outcome"]["vote"]
    assert (vote["agreement"], vote["drawn"], vote["candidate"], len(vote["samples"])) == (0.8, 5, [VALUE], 5)
    assert voted["outcome"]["fields"]["/total"]["alternatives"] == [{"value": 360, "votes": 1, "present": True}]
    assert (plain["outcome"]["vote"], plain["reviews"], plain["outcome"]["certificate"]) == (None, [], None)


def test_show_of_a_plain_call_has_neither_vote_nor_reviews() -> None:
    """What did not happen takes no line."""
    guard = Guard("plain", prompt="p", schema=SCHEMA, models=[ScriptedModel([THREE])], audit=0.0, log=LOG)
    text = printed("show", guard.run().id)
    assert ("vote" in text, "reviews" in text) == (False, False)


def test_a_terminal_obeys_no_reviewer() -> None:
    """Comment, reviewer, value and field names are spelled out, in every view."""
    evil = "\x1b[2J\u202e\x9b"
    schema: Json = {}
    model = ScriptedModel([encode({evil: evil}).decode()] * 3)
    votes = SelfConsistency(n_max=3, plan=(3, 1, 0))
    guard = Guard("evil", prompt="p", schema=schema, models=[model], consistency=votes, audit=1.0, log=LOG)
    call_id = guard.run().id
    said = ("--comment", evil, "--reviewer", evil, "--field", f"/{evil}=wrong", "--correction", encode([evil]).decode())
    shown = printed("list", "--unreviewed") + printed("review", call_id, "wrong", *said)
    shown += printed("show", call_id) + printed("show", call_id, "--json") + printed("show", call_id, "--blind")
    assert [letter for letter in evil if letter in shown and not letter.isprintable()] == []


def test_help_shows_an_example() -> None:
    """As of every command."""
    assert "Example: llmguard log review" in " ".join(printed("review", "--help").split())
