"""`llmguard promote`: a logged call is a case file, and a failure on Monday a red test on Tuesday."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from llmguard import Guard, constant
from llmguard.cli import app
from llmguard.core.canonical import Json
from llmguard.core.messages import ModelFailure
from llmguard.replay.case_result import judge_case
from llmguard.replay.cases import Case
from llmguard.replay.cases.files import case_paths, read_case
from llmguard.testing import ScriptedModel

GOOD, BAD, TWO_BAD = '{"colour": "blue"}', '{"colour": "green"}', '{"colour": 5}'
COLOURS = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and no log of anybody's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLMGUARD_LOG", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def colours(*said: str | ModelFailure, name: str = "colour", schema: Json = COLOURS) -> Guard[Json]:
    return Guard(
        name,
        prompt="Colour of {{ thing }}?",
        schema=schema,
        models=[ScriptedModel(said)],
        reasks=0,
        fallback=[constant({"colour": "red"})],
        log="sqlite:///llmguard.db",
    )


def promote(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["promote", *arguments])


def done(result: Result) -> str:
    """Standard output of a command that ended well; a traceback shows here."""
    assert (result.exit_code, result.stderr if result.exit_code else "") == (0, "")
    return result.stdout


def only(folder: str = "tests/cases") -> Case:
    (path,) = case_paths(Path(folder))
    return read_case(path)


def misuse(result: Result, said: str) -> None:
    """One sentence, exit status 2, no traceback."""
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert result.stderr.startswith("llmguard: ")


# ------------------------------------------------------------------------------------------------- one call


def test_a_failed_call_becomes_a_red_case(project: Path) -> None:
    """Without a word more: it must be accepted, so it is red until the schema takes the reply."""
    outcome = colours(BAD).run(thing="sea")
    slug = f"schema-colour-not-a-member-{outcome.id[-6:]}"
    assert done(promote(outcome.id)) == f"tests/cases/colour/{slug}.json  expects a model's value\n"
    case = only()
    assert (case.slug, case.inputs, case.provenance["outcome"]) == (slug, {"thing": "sea"}, outcome.id)
    assert not judge_case(case, colours().policy).passed
    mended = {**COLOURS, "properties": {"colour": {"enum": ["red", "blue", "green"]}}}
    assert judge_case(case, colours(schema=mended).policy).passed


def test_an_accepted_call_pins_its_value(project: Path) -> None:
    """As long as nobody says that it was wrong."""
    outcome = colours(GOOD).run(thing="sky")
    assert "expects its value" in done(promote(outcome.id[:16]))
    assert only().expect.value == ({"colour": "blue"},)
    assert judge_case(only(), colours().policy).passed


@pytest.mark.parametrize(
    ("given", "kind", "value"),
    [
        ("accepted", "accepted", ()),
        ("REFUSED", "refused", ()),
        ('{"colour": "red"}', "value", ({"colour": "red"},)),
        ('"accepted"', "value", ("accepted",)),
        ("null", "value", (None,)),
    ],
)
def test_what_must_hold_can_be_said(project: Path, given: str, kind: str, value: tuple[Json, ...]) -> None:
    """By word or as JSON."""
    done(promote(colours(GOOD).run(thing="sky").id, "--expect", given))
    assert (only().expect.kind, only().expect.value) == (kind, value)


def test_the_newest_review_decides(project: Path) -> None:
    """A correction is the value that must come; asking for a review that is not there is misuse."""
    guard = colours(GOOD)
    outcome = guard.run(thing="sky")
    misuse(promote(outcome.id, "--expect", "REVIEW"), "has no review")
    guard.log.review(outcome.id, "right", reviewer="ada")
    guard.log.review(outcome.id, "wrong", correction={"colour": "red"}, reviewer="bob", comment="it was dusk")
    done(promote(outcome.id, "--expect", "REVIEW"))
    assert only().expect.value == ({"colour": "red"},)
    assert only().expect.note == "reviewed as wrong · bob · it was dusk"
    assert only().provenance["review"] == {"verdict": "wrong", "reviewer": "bob", "comment": "it was dusk"}
    done(promote(outcome.id, "--expect", "accepted", "--update"))
    assert only().expect.kind == "accepted"


def test_a_case_is_renewed_only_on_purpose(project: Path) -> None:
    """The sentence names the file; a renewed case keeps what somebody wrote that it expects."""
    outcome = colours(BAD).run(thing="sea")
    done(promote(outcome.id))
    misuse(promote(outcome.id), f"schema-colour-not-a-member-{outcome.id[-6:]}.json is there already")
    (path,) = case_paths(project / "tests" / "cases")
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "expect": {"kind": "refused", "note": "by hand"}}))
    done(promote(outcome.id, "--update"))
    assert (only().expect.kind, only().expect.note) == ("refused", "by hand")
    done(promote(outcome.id, "--slug", "green-sea", "--folder", "elsewhere"))
    assert Path("elsewhere/colour/green-sea.json").is_file()


# ------------------------------------------------------------------------------------------------- in bulk


def test_in_bulk_each_kind_of_failure_is_one_case(project: Path) -> None:
    """The newest of those that failed alike; how many were left out is said."""
    guard = colours(BAD, BAD, TWO_BAD, ModelFailure("auth", "no key"), GOOD)
    ids = [guard.run(thing=thing).id for thing in ("a", "b", "c", "d", "e")]
    result = promote("--guard", "colour", "--status", "fallback")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 2)
    assert "left out: 2 that failed like a newer one" in result.stderr
    cases = [read_case(path) for path in case_paths(Path("tests/cases"))]
    assert {case.provenance["outcome"]: case.expect.kind for case in cases} == {ids[2]: "accepted", ids[3]: "refused"}


def test_in_bulk_a_failure_that_has_a_case_is_left_alone(project: Path) -> None:
    """Unless it is renewed: then its file gets the newest call."""
    guard = colours(BAD, BAD)
    first = guard.run(thing="a")
    done(promote(first.id))
    second = guard.run(thing="b")
    result = promote("--where", "failure=schema", "--json")
    assert json.loads(result.stdout) == {
        "written": [],
        "left_out": {"failed_alike": 1, "already_there": 1, "undecided": []},
    }
    assert promote("--where", "failure=schema").stderr.endswith("renews them\nno case was written\n")
    assert promote("--guard", "nobody").stderr == "no such calls, so no case was written\n"
    found = json.loads(promote("--where", "failure=schema", "--update", "--json").stdout)
    assert [(each["outcome"], each["expect"]) for each in found["written"]] == [(second.id, "accepted")]
    assert (only().slug[-6:], only().provenance["outcome"]) == (first.id[-6:], second.id)


def test_in_bulk_calls_that_decide_nothing_are_left_out_and_told(project: Path) -> None:
    """An unsure review, and a guard whose name is no folder's; the others are written."""
    guard = colours(GOOD, BAD)
    unsure, _ = guard.run(thing="a"), guard.run(thing="b")
    guard.log.review(unsure.id, "unsure")
    other = colours(BAD)
    other.policy = replace(other.policy, name="..")  # a log may be anybody's
    hostile = other.run(thing="c")
    result = promote("--since", "1h")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)
    assert f"left out: {unsure.id}: the newest review says 'unsure'" in result.stderr
    assert f"left out: {hostile.id}: guard '..' cannot name a folder" in result.stderr
    assert sorted(path.name for path in project.iterdir() if path.is_dir()) == ["tests"]


def test_in_bulk_no_more_than_asked_for_are_written(project: Path) -> None:
    """A week of accepted calls is no reason for a thousand files."""
    guard = colours(GOOD)
    for thing in "abc":
        guard.run(thing=thing)
    assert len(done(promote("--since", "1h", "--limit", "2")).splitlines()) == 2


# ------------------------------------------------------------------------------------------------- misuse


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say which calls to promote"),
        (("1a206f9c", "--guard", "colour"), "say which calls to promote"),
        (("--guard", "colour", "--slug", "x"), "--slug names one file"),
        (("1a206f9c", "--expect", "blue"), "A text is written in quotes: --expect '\"blue\"'"),
        (("1a206f9c", "--expect", "NaN"), "not JSON"),
        (("1a206f9c", "--expect", "[" * 100_000), "not JSON"),
        (("1a206f9c", "--expect", '{"a": 1'), "REVIEW, and not JSON.\n"),
        (("ffffffff",), "no call whose id begins with"),
        (("1a2",), "'1a2' is too little of an id. Give at least 4 of its characters."),
        (("ffffffff", "--log", "sqlite:///."), "sqlite:///. is the folder "),
    ],
)
def test_misuse_is_told_in_a_sentence(project: Path, arguments: tuple[str, ...], said: str) -> None:
    """Exit status 2."""
    colours(GOOD).run(thing="sky")
    misuse(promote(*arguments), said)


@pytest.mark.parametrize("slug", ["../x", "/etc/passwd", "A", "\x1b[2J", "x" * 81])
def test_a_slug_that_leads_elsewhere_is_misuse(project: Path, slug: str) -> None:
    """Nothing is written."""
    outcome = colours(GOOD).run(thing="sky")
    misuse(promote(outcome.id, "--slug", slug), "cannot name a case file")
    assert not Path("tests").exists()


def test_a_broken_case_in_the_folder_is_named(project: Path) -> None:
    """It would be red in pytest too."""
    Path("tests/cases/colour").mkdir(parents=True)
    Path("tests/cases/colour/broken.json").write_text("{")
    colours(GOOD).run(thing="sky")
    misuse(promote("--since", "1h"), "tests/cases/colour/broken.json: it is not JSON")


def test_help_says_what_is_expected_if_nothing_is_said(project: Path) -> None:
    """With an example."""
    text = " ".join(promote("--help").stdout.replace("│", " ").split())
    assert "the test is red until the guard is mended" in text
    assert "Examples: llmguard promote 1a206f9c" in text
