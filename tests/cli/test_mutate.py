"""`llmguard mutate` on the guards of the demo and of the examples: a check that is taken away shows as a gap."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from llmguard.cli import app
from llmguard.core.canonical import Json, decode
from llmguard.log import OutcomeLog

ROOT = Path(__file__).parent.parent.parent

# The guards of the demo over the log that the demo wrote, each with some of its checks.
SHOP = """
from llmguard import Guard
from llmguard.cli.demo_guards import Models, demo_guards
from llmguard.log import OutcomeLog
from llmguard.testing import ScriptedModel

def without(name, *removed):
    nobody = ScriptedModel([])
    whole = demo_guards(Models(prompted=nobody, enforced=nobody), OutcomeLog.open("sqlite:///llmguard.db"))[name]
    left = [check for check in whole.policy.checks if check.name not in removed]
    return Guard(name, prompt="?", schema=whole.policy.schema, models=[nobody], checks=left, log=whole.log)

triage, invoice, review = without("triage"), without("invoice"), without("review")
triage_bare = without("triage", "the_ticket_says_so")
invoice_bare = without("invoice", "stands_in_the_document")
invoice_naked = without("invoice", "stands_in_the_document", "is_called_the_total")
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo ran, with a module of its guards."""
    folder = tmp_path_factory.mktemp("shop")
    log = f"sqlite:///{folder / 'llmguard.db'}"
    assert CliRunner().invoke(app, ["demo", "--playback", "--log", log]).exit_code == 0
    (folder / "mutate_shop.py").write_text(SHOP)
    return folder


@pytest.fixture
def here(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(shop)
    monkeypatch.delenv("LLMGUARD_LOG", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("mutate_shop", None)
    return shop


def mutate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["mutate", *arguments])


def report(guard: str, *arguments: str) -> Json:
    result = mutate(f"mutate_shop:{guard}", "--json", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return decode(result.stdout)


def test_two_checks_that_were_removed_are_found_as_gaps(here: Path) -> None:
    """With its checks no field of a guard is open. Without one of triage's and one of the invoice's, the fields that
    they looked after are named, with errors that nobody caught."""
    assert {name: report(name)["unprotected"] for name in ("triage", "invoice")} == {"triage": [], "invoice": []}
    assert report("triage_bare")["unprotected"] == ["/category", "/urgent"]
    found = report("invoice_bare")
    assert found["unprotected"] == ["/number"]
    assert [(each["field"], each["kind"]) for each in found["survivors"]] == [("/number", "typo")]
    assert OutcomeLog.open("sqlite:///llmguard.db").get(found["survivors"][0]["outcome"]) is not None
    assert report("invoice_naked")["unprotected"] == ["/number", "/total"]


def test_the_rate_falls_with_each_check_that_goes(here: Path) -> None:
    """And what the schema alone catches is always the least."""
    rates = [report(name)["kill_rate"] for name in ("invoice", "invoice_bare", "invoice_naked")]
    assert (rates[0], rates == sorted(rates, reverse=True), len(set(rates))) == (1.0, True, 3)
    assert report("invoice_naked")["checks"].keys() == {"(schema)"}


def test_the_report_says_who_caught_what_alone(here: Path) -> None:
    """Both checks of the invoice look at its total: taking one of them away opens nothing there."""
    checks = report("invoice")["checks"]
    assert checks["is_called_the_total"]["alone"] == 0 < checks["is_called_the_total"]["caught"]
    assert checks["stands_in_the_document"]["alone"] > 0
    assert report("review")["checks"]["in_english"] == {"caught": 0, "alone": 0}


def test_a_flag_is_counted_apart_and_not_twice(here: Path) -> None:
    """An error that is only flagged is caught, a flag that the right value had as well catches nothing."""
    found = report("review")
    assert found["only_flagged"] == found["checks"]["no_complaint_in_praise"]["caught"] > 0
    assert found["kill_rate"] < 0.5


def test_people_read_three_tables_and_what_to_do(here: Path) -> None:
    """The least protected first; each open field with an error that got through."""
    result = mutate("mutate_shop:invoice_bare")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("invoice  ")
    assert [line.split()[0] for line in lines if line.startswith("/")] == ["/number", "/total"]
    assert "no check protects /number: a wrong value that fits the schema is accepted, such as" in lines
    assert lines[-1].startswith('  typo: /number  "')


def test_a_gate_fails_below_its_share(here: Path) -> None:
    """Exit status 1; the report is printed all the same."""
    assert mutate("mutate_shop:invoice", "--at-least", "1").exit_code == 0
    refused = mutate("mutate_shop:invoice_bare", "--at-least", "0.95", "--json")
    assert (refused.exit_code, decode(refused.stdout)["kill_rate"] < 0.95) == (1, True)


def test_a_seed_draws_the_same_outcomes_and_errors(here: Path) -> None:
    """Of a sample, too; another seed draws others."""
    assert report("invoice_naked", "--sample", "2", "--seed", "3") == report(
        "invoice_naked", "--sample", "2", "--seed", "3"
    )
    drawn = {str(report("triage_bare", "--sample", "1", "--seed", str(seed))["survivors"]) for seed in range(8)}
    assert report("triage_bare", "--sample", "1")["outcomes"] == 1
    assert len(drawn) > 1


def test_what_a_reviewer_called_wrong_is_left_alone(here: Path) -> None:
    """And what today's checks refuse as it stands is counted, not mutated."""
    before = report("review")
    log = OutcomeLog.open("sqlite:///llmguard.db")
    praise = log.find(guard="review", status="accepted")[0]
    log.review(praise.id, "wrong")
    after = report("review")
    assert (after["outcomes"], after["reviewed_not_right"]) == (before["outcomes"] - 1, 1)
    assert "not used: 1 outcomes that were not reviewed as right" in mutate("mutate_shop:review").stdout


STRICT = """
from llmguard import Guard, check
from llmguard.testing import ScriptedModel
asked = []

@check(name=NAME)
def none_is_right(value, inputs):
    return "no"

@check(effect=True, timeout_s=5)
def is_known(value, inputs):
    asked.append(value)
    return None if value["colour"] == "red" else "nobody knows it"

@check(effect=True)
async def is_awaited(value, inputs):
    return None

schema = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}
def made(name, checks):
    model = ScriptedModel(['{"colour": "red"}'], repeat=True)
    return Guard(name, prompt="{{ thing }}", schema=schema, models=[model], checks=checks, log="sqlite:///strict.db")
asks = made("asks", [is_known, is_awaited])
loose, strict, unused = made("guard", []), made("guard", [none_is_right]), made("unused", [])
"""


@pytest.fixture
def strict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLMGUARD_LOG", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "mutate_strict.py").write_text(STRICT.replace("NAME", repr("\x1b[2J\u202e")))
    sys.modules.pop("mutate_strict", None)
    for guard in ("asks", "loose"):
        assert CliRunner().invoke(app, ["run", f"mutate_strict:{guard}", "-i", "thing=\x1b[2J"]).exit_code == 0
    return tmp_path


def test_effect_checks_are_asked_only_when_one_says_so(strict: Path) -> None:
    """They run where they run in a call: in a thread, on a loop."""
    import mutate_strict

    begun = len(mutate_strict.asked)
    without = decode(mutate("mutate_strict:asks", "--json").stdout)
    assert (without["unprotected"], len(mutate_strict.asked)) == (["/colour"], begun)
    asked = decode(mutate("mutate_strict:asks", "--json", "--effects").stdout)
    assert (asked["unprotected"], asked["checks"]["is_known"]["caught"]) == ([], 1)
    assert asked["checks"]["is_awaited"] == {"caught": 0, "alone": 0}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mutate_strict:strict"], "object to all 1 outcomes"),
        (["mutate_strict:unused"], "there is no accepted outcome of guard 'unused'"),
        (["mutate_strict:loose", "--since", "2999-01-01"], "there is no accepted outcome of guard 'guard'"),
        (["mutate_strict:loose", "--at-least", "80"], "--at-least 80.0: expected a share from 0 to 1"),
        (["mutate_strict:loose", "--log", "sqlite:///none.db"], "there is no log at"),
        (["mutate_strict:nobody"], "has no 'nobody'"),
    ],
)
def test_misuse_is_told_in_a_sentence(strict: Path, arguments: list[str], said: str) -> None:
    """With exit status 2, and no new log."""
    result = mutate(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert not (strict / "none.db").exists()


def test_nothing_is_printed_that_a_terminal_obeys(strict: Path) -> None:
    """Names of checks and values are spelled out."""
    result = mutate("mutate_strict:strict")
    assert "\x1b" not in result.stderr
    shown = mutate("mutate_strict:loose").stdout
    assert [letter for letter in shown if not letter.isprintable() and letter != "\n"] == []


def test_the_examples_can_be_mutated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ticket example: its one check looks at parcels only, so that both fields are nearly open."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", [*sys.path])
    log = f"sqlite:///{tmp_path / 'tickets.db'}"
    monkeypatch.setenv("LLMGUARD_LOG", log)
    assert (
        CliRunner().invoke(app, ["run", "examples.tickets:triage", "-i", "ticket=I was charged twice."]).exit_code == 0
    )
    found = decode(mutate("examples.tickets:triage", "--json").stdout)
    assert (found["outcomes"], found["unprotected"]) == (1, ["/category", "/urgent"])
