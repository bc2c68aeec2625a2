"""`llmguard replay` as a person, a CI job and a crash meet it; and `schema diff` on logged values."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from llmguard import Guard
from llmguard.cli import app
from llmguard.core.canonical import Json, decode
from llmguard.core.record import CallStart
from llmguard.log import OutcomeLog
from llmguard.testing import ScriptedModel
from tests.support.fault_server import FaultServer, answer, chat
from tests.support.logged_calls import log_call, until

ROOT = Path(__file__).parent.parent.parent
URL = "sqlite:///llmguard.db"
AGAIN = ("replay_shop:yesterday", "--yes")

MODULE = """
import os, time
from pathlib import Path
from llmguard import Guard, check, constant
from llmguard.testing import ModelReply, ScriptedModel

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

@check(version="1")
def below_8(value, inputs):
    return "8 is too many" if value["n"] >= 8 else None

@check(version="1")
def slow(value, inputs):
    with open("judged", "ab", buffering=0) as file:
        file.write(b"%d\\n" % inputs["number"])
    until = time.perf_counter() + 0.0005
    while time.perf_counter() < until:
        pass

@check(version="1")
def deadly(value, inputs):
    if inputs["number"] == 3:
        os.kill(os.getpid(), 9)
    while inputs["number"] == 5:
        pass

@check(version="1")
def stuck(value, inputs):
    while inputs["number"] == 250:
        pass

def reply(request):
    number = int(request.messages[0].content.split()[-1])
    return ModelReply('{"n": %d}' % (number % 10), model="m", cost_usd=0.01)

def worse(request):
    number = int(request.messages[0].content.split()[-1])
    said = "no idea" if number % 2 else '{"n": %d}' % (number % 10 + (number % 10 == 4))
    return ModelReply(said, model="m", cost_usd=0.02)

def made(*checks, prompt="Count {{ number }}", model=reply, fallback=(constant({"n": 0}),), log=None):
    models = [ScriptedModel.by_request(model, name="gpt-5-mini")]
    return Guard("count", prompt=prompt, schema=SCHEMA, models=models, checks=checks, reasks=0, fallback=fallback,
                 log=log, audit=0.0)

yesterday = made()
today = made(below_8)
other_prompt = made(prompt="Count to {{ number }}")
other_fallback = made(fallback=[constant({"n": 1})])
thorough = made(slow)
dying = made(deadly)
sticking = made(stuck)
wordy = made(model=worse)
nameless = made(prompt="Count {{ number }}")
unnamed = 7
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the module `replay_shop`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "replay_shop.py").write_text(MODULE)
    sys.modules.pop("replay_shop", None)
    return tmp_path


@pytest.fixture
def logged(shop: Path) -> Iterator[OutcomeLog]:
    """Twenty calls of yesterday: n is 0 to 9, twice."""
    log = OutcomeLog.open(URL)
    fill(log, 20)
    yield log
    log.close()


def fill(log: OutcomeLog, calls: int) -> None:
    from replay_shop import yesterday

    yesterday.log = log
    for number in range(calls):
        yesterday.run(number=number, meta={"half": "first" if number < calls / 2 else "second"})
    assert log.flush()


def run(*arguments: str, command: str = "replay") -> Result:
    return CliRunner().invoke(app, [command, *arguments])


def judged(*arguments: str, status: int = 0, command: str = "replay") -> Json:
    result = run(*arguments, "--log", URL, "--json", command=command)
    assert result.exit_code == status, result.stderr
    return decode(result.stdout)


def counts(found: Json) -> dict[str, int]:
    return {kind: rate["count"] for kind, rate in found["kinds"].items() if rate["count"]}


# ------------------------------------------------------------------------------------------------- judged again


def test_a_changed_check_shows_in_numbers(logged: OutcomeLog) -> None:
    """How many, which, why, and with which interval."""
    found = judged("replay_shop:today")
    assert (found["calls"], found["judged"], found["undetermined"]) == (20, 20, 0)
    assert counts(found) == {"same": 16, "newly_failing": 4}
    rate = found["kinds"]["newly_failing"]
    assert (rate["share"], round(rate["low"], 4), round(rate["high"], 4)) == (0.2, 0.0573, 0.4366)
    assert found["shares"]["fallback"]["today"]["count"] == 4
    assert found["shares"]["fallback"]["before"]["count"] == 0
    assert found["reasons"] == {"newly_failing": {"below_8 at the whole value": 4}}
    assert found["cost_usd"]["today"]["mean"] == pytest.approx(0.01)
    assert [each["why"] for each in found["listed"]["newly_failing"]] == ["(whole value): 8 is too many [below_8]"] * 4


def test_people_see_a_table(logged: OutcomeLog) -> None:
    """Kinds with their shares, how calls end before and today, and the newest of what changed."""
    result = run("replay_shop:today", "--log", URL, "--list", "1")
    assert result.exit_code == 0
    lines = [line.split("  ") for line in result.stdout.splitlines()]
    shown = [" ".join(part.strip() for part in line if part.strip()) for line in lines]
    assert "newly failing 4 20.0 % 5.7 % to 43.7 %" in shown
    assert "fallback 0 % 20.0 % 5.7 % to 43.7 %" in shown
    assert "US dollars a call $0.01 $0.01 $0.01 to $0.01" in shown
    assert "4 below_8 at the whole value" in shown
    assert sum("accepted → fallback" in line for line in shown) == 1
    assert not (Path.cwd() / ".llmguard").joinpath("replay-count").exists()


def test_no_calls_are_told(logged: OutcomeLog) -> None:
    """Most often it is the wrong log or a narrow window."""
    result = run("replay_shop:today", "--log", URL, "--until", "2001-01-01")
    assert (result.exit_code, result.stdout.splitlines()[1:]) == (
        0,
        ["no such calls: --log, --since and --where say which are looked at"],
    )


def test_a_drift_alarm_is_no_call(logged: OutcomeLog) -> None:
    """It closes no gate: there is nothing that could be judged again."""
    log_call(logged, "ff", time.time(), guard="count", inputs={}, status="escalated", review_reason="drift")
    for where in ((), ("--where", "guard=count")):
        found = judged("replay_shop:yesterday", "--fail-on", "undetermined", *where)
        assert (found["calls"], found["undetermined"]) == (20, 0)


def test_the_unchanged_guard_finds_nothing(logged: OutcomeLog) -> None:
    """All evidence, all the same, and the outcomes are known to be its own."""
    found = judged(
        "replay_shop:yesterday", "--fail-on", "newly-failing", "--fail-on", "changed", "--fail-on", "undetermined"
    )
    assert (counts(found), found["of_todays_guard"], found["p_value"]) == ({"same": 20}, 20, 1.0)


@pytest.mark.parametrize(
    ("options", "calls"),
    [
        (["--meta", "half=first"], 10),
        (["--where", "tokens>0 and id~zzz"], 0),
        (["--status", "fallback"], 0),
        (["--since", "1h"], 20),
        (["--until", "2020-01-01"], 0),
    ],
)
def test_only_the_calls_that_are_asked_for_are_judged(logged: OutcomeLog, options: list[str], calls: int) -> None:
    """As `log list` finds them, of this guard alone."""
    log_call(logged, "other", guard="triage")
    logged.begin(
        CallStart(id="live", guard="count", fingerprint="", inputs={}, inputs_digest="", meta={}, started_at=1e9)
    )
    assert judged("replay_shop:today", *options)["calls"] == calls


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["replay_shop:today", "--fail-on", "newly-failing"], 1),
        (["replay_shop:today", "--fail-on", "changed"], 0),
        (["replay_shop:today", "--fail-on", "undetermined", "--fail-on", "newly-failing"], 1),
        (["replay_shop:other_fallback", "--status", "accepted", "--fail-on", "changed"], 0),
        (["replay_shop:other_prompt", "--fail-on", "undetermined"], 1),
        (["replay_shop:other_prompt", "--fail-on", "newly-failing"], 1),
        (["replay_shop:other_prompt"], 0),
        (["replay_shop:other_prompt", "--same", "slot", "--fail-on", "assumed-failing"], 0),
        (["replay_shop:today", "--where", "id=nobody", "--fail-on", "newly-failing"], 0),
    ],
)
def test_a_gate_ends_with_1_where_it_finds_what_it_is_there_for(
    logged: OutcomeLog, arguments: list[str], status: int
) -> None:
    """One that looks for evidence, and has calls but none of it, is no open gate."""
    assert run(*arguments, "--log", URL).exit_code == status


def test_what_is_assumed_is_told_apart(logged: OutcomeLog) -> None:
    """With slot the reply to another question stands in: counted, and no evidence."""
    found = judged("replay_shop:other_prompt")
    assert (found["judged"], found["undetermined"], found["assumed"]) == (0, 20, None)
    found = judged("replay_shop:other_prompt", "--same", "slot")
    assert (found["judged"], found["undetermined"], counts(found["assumed"])) == (0, 0, {"same": 20})
    assert "no evidence" in run("replay_shop:other_prompt", "--same", "slot", "--log", URL).stdout


def test_processes_judge_what_one_would(logged: OutcomeLog) -> None:
    """To the last digit."""
    alone, together = (judged("replay_shop:today", "--workers", number) for number in ("0", "2"))
    assert {**together, "until": None} == {**alone, "until": None}


@pytest.mark.slow
def test_an_outcome_on_which_a_check_dies_or_hangs_is_undetermined(logged: OutcomeLog) -> None:
    """The others are judged, and the gate for it closes."""
    found = judged("replay_shop:dying", "--workers", "2", "--timeout-s", "2", "--fail-on", "undetermined", status=1)
    assert (counts(found), found["undetermined"], found["reasons"]) == ({"same": 18}, 2, {"undetermined": {"lost": 2}})
    why = sorted(each["why"] for each in found["listed"]["undetermined"])
    assert why == ["replaying it took more than 2 s", "the process that replayed it ended (signal 9)"]


def test_a_terminal_never_obeys_what_a_log_says(shop: Path) -> None:
    """Values and reasons are spelled out."""
    log = OutcomeLog.open(URL)
    hostile = "\x1b[2J\u202eevil"
    guard = Guard(
        "count", prompt="{{ x }}", schema={}, models=[ScriptedModel([json.dumps(hostile)])], log=log, audit=0.0
    )
    guard.run(x="1")
    (shop / "hostile.py").write_text(
        "from llmguard import Guard, check, constant\nfrom llmguard.testing import ScriptedModel\n"
        "@check(version='1')\ndef no(value, inputs):\n    return 'it said ' + value if value != 'ok' else None\n"
        "guard = Guard('count', prompt='{{ x }}', schema={}, models=[ScriptedModel(['1'])], checks=[no], reasks=0,\n"
        "              fallback=[constant('ok')], log=None)\n"
    )
    result = run("hostile:guard", "--log", URL)
    log.close()
    assert "newly failing" in result.stdout
    assert "\\u202eevil" in result.stdout
    assert not set("\x1b\u202e") & set(result.stdout)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay_shop:today", "--same", "place"], "It is request or slot"),
        (["replay_shop:today", "--fail-on", "everything"], "It takes: newly-failing"),
        (["replay_shop:today", "--fail-on", "worse"], "It takes: newly-failing"),
        (["replay_shop:today", "--status", "interrupted"], "has no outcome to compare"),
        (["replay_shop:today", "--where", "colour=red"], "there is no field 'colour'"),
        (["replay_shop:today", "--live", "--model", "m", "--sample", "5"], "`llmguard compare GUARD`"),
        (["replay_shop:today", "--fresh", "nobody"], "'nobody' cannot be run again"),
        (["replay_shop:unnamed"], "is a int, and no guard"),
        (["replay_shop:today", "--state", "replay_shop.py"], "is not the state of a replay"),
    ],
)
def test_misuse_is_one_sentence(logged: OutcomeLog, arguments: list[str], said: str) -> None:
    """Exit status 2, and no traceback."""
    result = run(*arguments, "--log", URL)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay_shop:today"], "Add --yes"),
        (["replay_shop:today", "--fail-on", "everything"], "It takes: newly-failing"),
        (["replay_shop:today", "--status", "interrupted"], "has no outcome to compare"),
        ([*AGAIN, "--log-to", URL], "--log-to names the log that is replayed"),
        ([*AGAIN, "--model", "no-such", "--base-url", "http://127.0.0.1:9/v1", "--max-usd", "1"], "no price is known"),
    ],
)
def test_misuse_of_compare_is_one_sentence(logged: OutcomeLog, arguments: list[str], said: str) -> None:
    """Exit status 2, no traceback, and no call."""
    result = run(*arguments, "--log", URL, command="compare")
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_log_that_is_not_there_is_misuse(shop: Path) -> None:
    """And none is made."""
    result = run("replay_shop:today", "--log", "sqlite:///nowhere.db")
    assert (result.exit_code, (shop / "nowhere.db").exists()) == (2, False)


# ------------------------------------------------------------------------------------------------- ended, and continued

CALLS = 1_200


@pytest.fixture
def long(shop: Path) -> Path:
    """A log that takes a second or two to judge."""
    log = OutcomeLog.open(URL)
    fill(log, CALLS)
    log.close()
    return shop


def begun(*options: str, guard: str = "thorough") -> subprocess.Popen[str]:
    """A real process that has judged a page, with more to come; its children can be told by the folder they are in."""
    state = Path("state.jsonl")
    command = [sys.executable, "-m", "llmguard", "replay", f"replay_shop:{guard}", "--log", URL, "--state", str(state)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    until(lambda: process.poll() is not None or (state.exists() and state.read_bytes().count(b"\n") >= 2), 60)
    assert process.poll() is None, process.communicate()
    return process


def others_here(folder: Path) -> list[int]:
    """Processes that work in this folder, this one left out."""
    found = []
    for each in Path("/proc").iterdir():
        try:
            if each.name.isdecimal() and int(each.name) != os.getpid() and (each / "cwd").resolve() == folder.resolve():
                found.append(int(each.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_a_replay_that_was_killed_goes_on_where_it_was(long: Path) -> None:
    """kill -9 of the whole leaves no worker behind; what was judged is not judged again, and the numbers are the same."""
    process = begun("--workers", "2")
    process.kill()
    process.communicate()
    until(lambda: not others_here(long), 10)
    done = [each["id"] for line in Path("state.jsonl").read_text().splitlines()[1:] for each in json.loads(line)]
    assert 0 < len(done) < CALLS
    Path("judged").unlink()
    result = run("replay_shop:thorough", "--log", URL, "--state", "state.jsonl", "--json", "--workers", "2")
    assert f"going on after {len(done):,} of {CALLS:,} calls" in result.stderr
    assert len(Path("judged").read_bytes().splitlines()) == CALLS - len(done)
    assert not Path("state.jsonl").exists()
    again = run("replay_shop:thorough", "--log", URL, "--state", "state.jsonl", "--json", "--workers", "2")
    assert {**decode(result.stdout), "until": None} == {**decode(again.stdout), "until": None}
    assert counts(decode(again.stdout)) == {"same": CALLS}


@pytest.mark.slow
def test_a_worker_that_is_stuck_ends_when_nobody_hears_it_any_more(long: Path) -> None:
    """Its reader was killed; it would be in that check for ever."""
    process = begun("--workers", "2", guard="sticking")
    until(lambda: Path("state.jsonl").read_bytes().count(b"\n") >= 5, 30)  # all pages that the other worker can have
    assert len(others_here(long)) >= 2
    process.kill()
    process.communicate()
    until(lambda: not others_here(long), 10)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_ctrl_c_ends_it_with_its_workers_and_keeps_what_was_judged(long: Path, workers: str) -> None:
    """One line at most, exit status 130, no traceback."""
    process = begun("--workers", workers)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said[1]
    until(lambda: not others_here(long), 10)
    assert Path("state.jsonl").read_bytes().count(b"\n") >= 2


def test_a_bar_is_shown_on_a_terminal_and_nowhere_else(logged: OutcomeLog) -> None:
    """On standard error, and it is gone in the end; a pipe gets the numbers alone."""
    command = [sys.executable, "-m", "llmguard", "replay", "replay_shop:today", "--log", URL, "--json"]
    terminal, end = os.openpty()
    shown = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=end, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True
    )
    os.close(end)
    bar = os.read(terminal, 65_536).decode()
    os.close(terminal)
    assert "replaying" in bar
    assert "20/20" in bar
    assert decode(shown.stdout)["calls"] == 20
    assert run("replay_shop:today", "--log", URL).stderr == ""


# ------------------------------------------------------------------------------------------------- answered anew


def test_the_same_inputs_are_answered_anew_and_compared(logged: OutcomeLog) -> None:
    """The share that passes by the paired test, each field, and what it cost; in a log of its own."""
    live = (
        "replay_shop:yesterday",
        "--against",
        "replay_shop:wordy",
        "--yes",
        "--log-to",
        "sqlite:///new.db",
    )
    found = judged(*live, "--fail-on", "worse", status=1, command="compare")
    assert counts(found) == {"same": 8, "newly_failing": 10, "changed": 2}
    assert found["p_value"] == pytest.approx(2 * 0.5**10)
    assert found["fields"]["/n"]["count"] == 8
    assert found["fields"]["/n"]["total"] == 10
    assert found["spent_usd"] == pytest.approx(0.4)
    assert (found["cost_usd"]["before"]["mean"], found["cost_usd"]["today"]["mean"]) == pytest.approx((0.01, 0.02))
    new = OutcomeLog.open("sqlite:///new.db")
    old = {record.opening.id: record.opening.inputs for record in logged.records()}
    assert {record.opening.meta["replay_of"]: record.opening.inputs for record in new.records()} == old
    new.close()
    again = judged(*live, command="compare")
    assert (again["answered_earlier"], again["spent_usd"], again["kinds"]) == (20, 0.0, found["kinds"])
    text = run(*live, "--log", URL, command="compare").stdout
    assert "passed only then: 10; only now: 0; p = 0.00195" in text
    assert "8 of 10" in text


def test_a_sample_is_drawn_by_its_seed(logged: OutcomeLog) -> None:
    """The same calls each time; other ones with another seed."""

    def sample(seed: str, log: str) -> set[str]:
        live = ("--yes", "--sample", "5", "--seed", seed, "--log-to", f"sqlite:///{log}.db")
        assert judged("replay_shop:yesterday", *live, command="compare")["calls"] == 5
        new = OutcomeLog.open(f"sqlite:///{log}.db")
        found = {record.opening.meta["replay_of"] for record in new.records()}
        new.close()
        return found

    assert sample("1", "a") == sample("1", "b") != sample("2", "c")


def test_no_more_is_spent_than_allowed(logged: OutcomeLog) -> None:
    """What is left out is said."""
    live = ("--yes", "--max-usd", "0.085", "--log-to", "sqlite:///new.db", "--parallel", "2")
    found = judged("replay_shop:yesterday", *live, command="compare")
    assert (found["calls"], found["left_out"]) == (8, 12)
    assert found["spent_usd"] == pytest.approx(0.08)


@pytest.mark.loopback
def test_another_model_answers_by_its_name(logged: OutcomeLog) -> None:
    """It stands in for the guard's first model rung; prompt, checks and fallback stay."""
    with FaultServer([answer(200, lambda request: chat('{"n": 4}'))]) as server:
        live = ("--yes", "--model", "other", "--base-url", server.base_url, "--log-to", "sqlite:///new.db")
        found = judged("replay_shop:yesterday", *live, command="compare")
        asked = {request.body["model"] for request in server.requests}
    assert asked == {"other"}
    assert counts(found) == {"same": 2, "changed": 18}
    assert found["fields"]["/n"]["count"] == 2


# ------------------------------------------------------------------------------------------------- schema diff


def diff(new: Json, *options: str) -> Result:
    old = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    for name, schema in (("old", old), ("new", new)):
        Path(f"{name}.json").write_text(json.dumps(schema))
    return CliRunner().invoke(app, ["schema", "diff", "old.json", "new.json", *options])


def test_schema_diff_says_what_an_edit_would_have_refused(logged: OutcomeLog) -> None:
    """Of the accepted values of one guard, with the interval, the rules and the newest of them."""
    new = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 8}}, "required": ["n"]}
    result = diff(new, "--guard", "count", "--log", URL, "--since", "1h")
    assert result.exit_code == 1
    assert (
        "would have refused 2 of 20 accepted values of 'count': 10.0 % (95 % interval: 1.2 % to 31.7 %)"
        in result.stdout
    )
    assert "2  maximum at /n" in result.stdout
    found = decode(diff(new, "--guard", "count", "--log", URL, "--json").stdout)["accepted_values"]
    assert (found["values"], found["refused"]["count"], len(found["first"])) == (20, 2, 2)


def test_schema_diff_without_values_says_so(logged: OutcomeLog) -> None:
    """An edit that is compatible, and nothing to try it on."""
    result = diff({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}, "--guard", "nobody")
    assert (result.exit_code, "no accepted value" in result.stdout) == (0, True)
    assert diff({}, "--since", "1h").exit_code == 2
