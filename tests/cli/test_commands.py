"""The commands as a person or a script meets them: what is printed, where, and with which exit status."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from llmguard import Guard, check, constant
from llmguard.cli import app
from llmguard.core.canonical import Json, decode
from llmguard.core.messages import ModelFailure, ModelReply, Usage
from llmguard.core.safe_text import safe
from llmguard.testing import ScriptedModel

ROOT = Path(__file__).parent.parent.parent

HOSTILE = (
    "\x1b[2J\x1b[H",  # clears the screen
    "\x1b]0;title\x07",  # sets the window's title
    "\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31m",  # the same as ESC [, in one C1 character
    "\r overwritten",
    "\b\b\b",
    "\u202eevil",  # right to left
    "\u2066\u2069",
    "zero\u200bwidth\ufeff",
    "\U000e0041\U000e0042",  # invisible tags
    "\u2028",
    "\x00\x7f",
    "[red]markup[/red] [link=https://evil.example]x[/link] :boom:",
)
UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e0fff]"
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, a terminal without colour, and no log of anybody's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLMGUARD_LOG", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def printed(result: Result, status: int = 0) -> str:
    """Standard output of a command that ended as it should; a traceback shows here."""
    assert (result.exit_code, result.stderr if result.exit_code == 2 and not status else "") == (status, "")
    return result.stdout


def lines_of_json(text: str) -> list[Json]:
    return [decode(line) for line in text.splitlines()]


def colours(*said: str | ModelFailure | ModelReply, name: str = "colour", **options: object) -> Guard[Json]:
    """A guard over a script, whose log is the default one of the working folder."""
    schema = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}
    options = {"fallback": [constant({"colour": "red"})], "log": "sqlite:///llmguard.db", **options}
    return Guard(name, prompt="Colour of {{ thing }}?", schema=schema, models=[ScriptedModel(said)], **options)


GOOD, BAD = '{"colour": "blue"}', '{"colour": "green"}'


@pytest.fixture
def logged(project: Path) -> list[str]:
    """Ids of three outcomes: accepted, recovered after a re-ask, fallback after a failure."""
    said = [GOOD, BAD, GOOD, ModelFailure("auth", "the key was refused")]
    guard = colours(*said)
    return [guard.run(thing=thing, meta={"user": thing}).id for thing in ("sky", "sea", "fire")]


# ------------------------------------------------------------------------------------------------- run

MODULE = """
from llmguard import Guard, escalate
from llmguard.testing import ScriptedModel
schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
def made(name, *said):
    models = [ScriptedModel(said)]
    return Guard(name, prompt="{{ text }}", schema=schema, models=models, fallback=[escalate()], reasks=0)
good = made("good", 'Here: {"n": 7}')
bad = made("bad", "no idea")
"""


@pytest.fixture
def shop(project: Path) -> Path:
    (project / "cli_shop.py").write_text(MODULE)
    sys.modules.pop("cli_shop", None)
    return project


def test_run_prints_the_value_alone_on_standard_output(shop: Path) -> None:
    """What happened goes to standard error, so that the value can be piped on."""
    result = run("run", "cli_shop:good", "--input", "text=seven")
    assert (result.exit_code, result.stdout) == (0, '{"n": 7}\n')
    assert "prose Here: →   [extracted" in result.stderr
    assert "answered, after a repair, re-ask or further rung, by scripted" in result.stderr


def test_run_ends_with_1_where_nobody_answered(shop: Path) -> None:
    """An escalated call prints no value, and says what was wrong."""
    result = run("run", "cli_shop:bad", "--input", "text=seven")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the reply has no JSON value" in result.stderr


def test_run_takes_inputs_from_standard_input_and_logs_meta(shop: Path) -> None:
    """A JSON object on standard input; `--json` prints the whole outcome, which is in the log named."""
    log = f"sqlite:///{shop / 'other.db'}"
    arguments = ("--inputs", "-", "--meta", "user=ada", "--json", "--log", log)
    (outcome,) = lines_of_json(printed(run("run", "cli_shop:good", *arguments, stdin='{"text": "seven"}')))
    assert (outcome["status"], outcome["value"], outcome["attempts"][0]["text"]) == (
        "recovered",
        {"n": 7},
        'Here: {"n": 7}',
    )
    (row,) = lines_of_json(printed(run("log", "list", "--log", log, "--json")))
    assert (row["id"], row["meta"]) == (outcome["id"], {"user": "ada"})
    assert lines_of_json(printed(run("log", "show", outcome["id"], "--log", log, "--json")))[0]["inputs"] == {
        "text": "seven"
    }


def test_run_writes_to_the_log_of_the_environment(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LLMGUARD_LOG stands for `--log` in every command."""
    monkeypatch.setenv("LLMGUARD_LOG", f"sqlite:///{shop / 'env.db'}")
    printed(run("run", "cli_shop:good", "--input", "text=x"))
    assert len(lines_of_json(printed(run("log", "list", "--json")))) == 1


# ------------------------------------------------------------------------------------------------- log


def test_log_list_shows_the_newest_first(logged: list[str]) -> None:
    """One line a call: full id, time, guard, status, source, and the first thing that was wrong."""
    header, *rows = printed(run("log", "list")).splitlines()
    assert header.split() == "id time guard status source requests tokens first problem".split()
    assert [row.split()[0] for row in rows] == logged[::-1]
    assert [row.split()[3] for row in rows] == ["fallback", "recovered", "accepted"]
    assert "is not one of the allowed values" in rows[1]
    assert rows[0].endswith("the key was refused [auth]")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--status", "fallback"), [2]),
        (("--status", "fallback", "--status", "accepted"), [2, 0]),
        (("--meta", "user=sea"), [1]),
        (("--guard", "other"), []),
        (("--where", "failure=schema"), [1]),
        (("--since", "1h", "--until", "now"), [2, 1, 0]),
        (("--until", "yesterday"), []),
        (("--limit", "1"), [2]),
    ],
)
def test_log_list_finds_what_is_asked_for(logged: list[str], arguments: tuple[str, ...], expected: list[int]) -> None:
    """Each option narrows the list; several statuses widen it."""
    assert [row["id"] for row in lines_of_json(printed(run("log", "list", "--json", *arguments)))] == [
        logged[number] for number in expected
    ]


def test_log_show_tells_a_call_in_its_order(logged: list[str]) -> None:
    """Inputs, each attempt with what was said and what was wrong with it, then the value; a unique prefix is enough."""
    text = printed(run("log", "show", logged[1][:-1]))
    order = [
        "colour  recovered  by scripted",
        "thing  sea",
        "user  sea",
        "r0/s0/a1/t1",
        BAD,
        "is not one of the allowed values",
        "r0/s0/a2/t1",
        GOOD,
    ]
    places = [text.find(part) for part in order]
    assert -1 not in places
    assert places == sorted(places)
    assert text.rstrip().splitlines()[-2] == '  {"colour": "blue"}'


def test_log_show_names_the_rule_and_the_check_that_answered(project: Path) -> None:
    """Functions stand in the story by name, with what they returned or how they crashed."""

    @check(effect=True)
    def in_stock(value: Json, inputs: Json) -> str | None:
        return "is sold out" if value["colour"] == "blue" else None

    def first_rule(inputs: Json) -> Json:
        raise LookupError("knows no such thing")

    def second_rule(inputs: Json) -> Json:
        return {"colour": "red"}

    outcome = colours(GOOD, checks=[in_stock], fallback=[first_rule, second_rule], reasks=0).run(thing="sky")
    text = printed(run("log", "show", outcome.id))
    assert re.search(r"check in_stock +.*\n +returned +is sold out", text)
    assert re.search(r"first_rule +.*\n +crashed +LookupError: knows no such thing", text)
    assert re.search(r'second_rule +.*\n +returned +\{"colour": "red"\}', text)


def test_long_inputs_are_clipped_until_asked_for_in_full(project: Path) -> None:
    """What is left out is counted; `--full` shows all."""
    outcome = colours(GOOD).run(thing="x" * 9_000)
    assert "… (8,520 more characters)" in printed(run("log", "show", outcome.id))
    assert "x" * 9_000 in printed(run("log", "show", outcome.id, "--full"))


def test_an_id_that_is_not_unique_is_told(logged: list[str]) -> None:
    """The candidates are named; an id that is not there is another sentence; both are misuse."""
    ambiguous, unknown = run("log", "show", logged[0][:4]), run("log", "show", "ffffffff")
    assert (ambiguous.exit_code, unknown.exit_code) == (2, 2)
    assert all(call_id in ambiguous.stderr for call_id in logged)
    assert unknown.stderr.startswith("llmguard: no call whose id begins with 'ffffffff'")


def test_log_stats_adds_up_by_guard(project: Path) -> None:
    """Shares by status, kinds of failure, requests a call, tokens, and the cost by today's prices."""
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    paid = ModelReply(GOOD, model="gpt-5-mini", usage=usage)
    guard = colours(paid, BAD, paid)
    guard.run(thing="sky"), guard.run(thing="sea")
    colours(GOOD, name="other").run(thing="sky")
    (found,) = lines_of_json(printed(run("log", "stats", "--json", "--guard", "colour")))
    (stats,) = found["guards"]
    assert (stats["statuses"], stats["failures"]) == ({"accepted": 1, "recovered": 1}, {"schema": 1})
    assert (stats["calls"], stats["requests"], stats["mean_requests"]) == (2, 3, 1.5)
    assert (stats["cost_usd"], stats["unpriced_models"]) == (4.5, ["scripted"])
    text = printed(run("log", "stats"))
    assert "accepted 1 (50%), recovered 1 (50%)" in text
    assert text.index("colour  2 calls") < text.index("other  1 call")


def test_log_tail_shows_the_newest_last(logged: list[str]) -> None:
    """As a log file would, so that the eye is where the news comes."""
    rows = lines_of_json(printed(run("log", "tail", "-n", "2", "--json")))
    assert [row["id"] for row in rows] == logged[1:]
    assert [line.split()[3] for line in printed(run("log", "tail")).splitlines()] == [
        "accepted",
        "recovered",
        "fallback",
    ]


@pytest.mark.parametrize("command", [("list",), ("show", "1a20ff"), ("tail",), ("stats",)])
def test_reading_makes_no_log(project: Path, command: tuple[str, ...]) -> None:
    """A log that is not there is told in a sentence, and is still not there."""
    result = run("log", *command)
    assert (result.exit_code, list(project.iterdir())) == (2, [])
    assert re.fullmatch(r"llmguard: there is no log at sqlite:///llmguard\.db .*\n", result.stderr)


# ------------------------------------------------------------------------------------------------- schema, prompt, doctor


def test_schema_check_says_what_a_schema_means(project: Path) -> None:
    """A sound schema is told in short lines; one with a misspelt keyword, or a broken one, ends with 1."""
    (project / "good.json").write_text(
        '{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}'
    )
    (project / "near.json").write_text('{"type": "object", "properties": {"n": {"type": "integer", "minimun": 3}}}')
    (project / "bad.json").write_text('{"type": "objekt"}')
    assert printed(run("schema", "check", "good.json")).splitlines()[:2] == ["object", "  n  integer"]
    near, bad = run("schema", "check", "near.json"), run("schema", "check", "bad.json", "--json")
    assert (near.exit_code, "minimun" in near.stdout) == (1, True)
    (found,) = lines_of_json(printed(bad, 1))
    assert (found["ok"], len(found["errors"])) == (False, 1)


def test_prompt_show_renders_what_would_be_sent(project: Path) -> None:
    """Variables, messages with their roles, tokens; a missing input is named, and ends with 1 only if some were given."""
    (project / "p.prompty").write_text("system:\nBe brief.\nuser:\n{{ a }} {{ b }}")
    (shown,) = lines_of_json(printed(run("prompt", "show", "p.prompty", "-i", "a=1", "-i", "b=2", "--json")))
    assert shown["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 2"}]
    assert (shown["variables"], shown["tokens"] > 5) == (["a", "b"], True)
    assert "give --input for: a, b" in printed(run("prompt", "show", "p.prompty"))
    assert "give --input for: b" in printed(run("prompt", "show", "p.prompty", "-i", "a=1"), 1)


def test_prompt_show_takes_a_guard(shop: Path) -> None:
    """The prompt that a guard would send."""
    assert "  seven" in printed(run("prompt", "show", "cli_shop:good", "-i", "text=seven"))


def test_doctor_never_shows_the_key(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a key is there is told, the key is not."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-4f9a8b7c6d5e4f3a2b1c")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://ada:lovelace@models.example/v1")
    text = printed(run("doctor"))
    assert "OPENAI_API_KEY is set" in text
    assert ("4f9a8b" in text, "lovelace" in text, list(project.iterdir())) == (False, False, [])


def test_doctor_ends_with_1_where_the_log_cannot_be_written(project: Path) -> None:
    """A missing folder, a file that is no database, and a URL that is none are bad; a log that is not there yet is not."""
    (project / "text.db").write_text("this is no database, and long enough to be seen as none" * 9)
    for url in ("sqlite:///missing/x.db", "sqlite:///text.db", "nonsense"):
        (found,) = lines_of_json(printed(run("doctor", "--json", "--log", url), 1))
        assert [each["subject"] for each in found["findings"] if each["level"] == "bad"] == ["log"]
    (found,) = lines_of_json(printed(run("doctor", "--json")))
    assert found["ok"]


def test_doctor_names_what_a_guard_leaves_unbounded(project: Path) -> None:
    """A fallback without timeout_s, a guard without a deadline, and a ladder that may end without a value."""
    (project / "cli_loose.py").write_text(
        "from llmguard import Guard, last_good\n"
        "def rule(inputs): return 1\n"
        "loose = Guard('loose', prompt='x', schema=int, fallback=[rule, last_good(60)], deadline_s=None, log=None)\n"
    )
    text = printed(run("doctor", "cli_loose:loose"))
    assert "fallback 'rule' has no timeout_s" in text
    assert "has no deadline_s" in text
    assert "ends with last_good: guard(...) raises GuardRejected" in text


# ------------------------------------------------------------------------------------------------- misuse, help, hostile text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("log", "list", "--since", "soon"), "time 'soon' is not understood"),
        (("log", "list", "--status", "good"), "--status 'good' is unknown"),
        (("log", "list", "--where", "x=1"), "where: there is no field 'x'"),
        (("log", "list", "--meta", "user"), "--meta 'user': expected NAME=VALUE"),
        (("log", "list", "--log", "nonsense"), "log URL 'nonsense' is not understood"),
        (("log", "list", "--limit", "many"), "Invalid value for '--limit'"),
        (("log", "lst"), "No such command 'lst'"),
        (("run",), "Missing argument 'GUARD'"),
        (("run", "nowhere:guard"), "no module 'nowhere'"),
        (("prompt", "show", "none.prompty"), "prompt file 'none.prompty' does not exist"),
        (("schema", "check", "none.json"), "schema file 'none.json' does not exist"),
        (("demo", "--fast"), "No such option"),
    ],
)
def test_misuse_is_one_sentence_and_2(logged: list[str], arguments: tuple[str, ...], message: str) -> None:
    """On standard error, nothing on standard output, and never a traceback."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("llmguard: ")
    assert message.lower() in result.stderr.lower()


@pytest.mark.parametrize(
    "command",
    ["demo", "run", "log list", "log show", "log tail", "log stats", "schema check", "prompt show", "doctor"],
)
def test_every_command_has_help_with_an_example_and_json(command: str) -> None:
    """`--help` shows how the command is typed."""
    text = printed(run(*command.split(), "--help"))
    assert f"Example: llmguard {command}" in text
    assert "--json" in text


def test_nothing_that_a_model_says_is_obeyed(project: Path) -> None:
    """Replies, inputs, meta, checks' messages, model names and values are spelled out in every command that prints them."""

    @check(severity="flag")
    def echo(value: Json, inputs: Json) -> str:
        return f"says {value['said']}"

    schema = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}
    said = [
        reply
        for hostile in HOSTILE
        for reply in (f"{hostile} nothing", ModelReply(f'{{"said": {_quoted(hostile)}}}', model=f"m{hostile}"))
    ]
    log = "sqlite:///llmguard.db"
    guard = Guard("echo", prompt="{{ text }}", schema=schema, models=[ScriptedModel(said)], checks=[echo], log=log)
    ids = {guard.run(text=hostile, meta={"user": hostile}).id: hostile for hostile in HOSTILE}
    (project / "hostile.prompty").write_text("user:\n{{ text }}")
    (project / "inputs.json").write_text(f'{{"text": {_quoted("".join(HOSTILE))}}}')
    commands = [("log", "list"), ("log", "tail", "-n", "99"), ("log", "stats")]
    commands += [("prompt", "show", "hostile.prompty", "--inputs", "inputs.json")]
    for command in (*commands, *((*each, "--json") for each in commands)):
        assert UNSAFE.findall(printed(run(*command))) == []
    for call_id, hostile in ids.items():
        text = printed(run("log", "show", call_id, "--full"))
        assert UNSAFE.findall(text) == []
        assert text.count(safe(hostile).splitlines()[0]) >= 4  # inputs, meta, two replies, a flag
        as_json = printed(run("log", "show", call_id, "--json"))
        assert UNSAFE.findall(as_json) == []
        assert lines_of_json(as_json)[0]["inputs"] == {"text": hostile}


def test_hostile_files_and_arguments_are_spelled_out(project: Path) -> None:
    """Names and values of the command line come back in sentences, which obey nothing either."""
    (project / "hostile.json").write_text(
        f'{{"type": "object", "properties": {{{_quoted("".join(HOSTILE[:-1]))}: {{}}}}}}'
    )
    told = [run("schema", "check", "hostile.json").output]
    told += [run("log", "list", "--since", hostile).output for hostile in HOSTILE if "\x00" not in hostile]
    told += [run("run", f"{hostile}:x").output for hostile in HOSTILE if "\x00" not in hostile]
    assert [UNSAFE.findall(text) for text in told] == [[]] * len(told)


def _quoted(text: str) -> str:
    """JSON of a text, in ASCII."""
    units = text.encode("utf-16-be", "surrogatepass")
    return '"' + "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)) + '"'


# ------------------------------------------------------------------------------------------------- real processes


def program(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """`llmguard` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "llmguard.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_exit_statuses_are_those_of_the_process(shop: Path) -> None:
    """0 done, 1 a negative finding, 2 misuse, also through a real shell."""
    runs = [("run", "cli_shop:good", "-i", "text=x"), ("run", "cli_shop:bad", "-i", "text=x"), ("run", "cli_shop:none")]
    ended = [program(*arguments, cwd=shop) for arguments in runs]
    assert [each.returncode for each in ended] == [0, 1, 2]
    assert [each.stdout for each in ended] == ['{"n": 7}\n', "", ""]
    assert "Traceback" not in "".join(each.stderr for each in ended)


def test_output_survives_a_terminal_without_unicode(logged: list[str], project: Path) -> None:
    """What the locale's encoding lacks is spelled out; JSON stays UTF-8."""
    outcome = colours(GOOD).run(thing="Größe 大")
    shown = program("log", "show", outcome.id, cwd=project, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (shown.returncode, r"Gr\xf6\xdfe" in shown.stdout) == (0, True)


def test_tail_follows_until_interrupted(project: Path) -> None:
    """New outcomes come as they are logged, each once; Ctrl-C is the normal end, with status 0."""
    guard = colours(GOOD, GOOD, GOOD)
    before = guard.run(thing="sky").id
    tail = subprocess.Popen(
        [sys.executable, "-m", "llmguard.cli", "log", "tail", "-f", "--json"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tail.stdout is not None
    seen = [decode(tail.stdout.readline())["id"]]
    made = [guard.run(thing=thing).id for thing in ("sea", "fire")]
    seen += [decode(tail.stdout.readline())["id"] for _ in made]
    tail.send_signal(signal.SIGINT)
    rest, told = tail.communicate(timeout=20)
    assert (seen, rest, told, tail.returncode) == ([before, *made], "", "", 0)


def test_help_loads_neither_sdk_nor_database(project: Path) -> None:
    """`llmguard --help` stays quick: what is heavy is loaded by the commands that use it."""
    script = (
        "import sys\nfrom llmguard.cli import main\nsys.argv = ['llmguard', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = 'openai sqlalchemy alembic pydantic jsonschema jsonschema_rs jinja2 tiktoken genai_prices xllamacpp'\n"
        "print(*sorted(set(heavy.split()) & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert (ended.stderr.split(), "Usage: llmguard" in ended.stdout) == ([], True)
