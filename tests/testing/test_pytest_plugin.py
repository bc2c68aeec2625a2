"""The pytest plugin as its users meet it: case files as tests, live calls refused, and fixtures."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from llmguard import Guard
from llmguard.core.errors import UsageError
from llmguard.core.outcome import Attempt, Outcome, Violation
from llmguard.core.record import Record
from llmguard.models.scripted import ScriptedModel
from llmguard.replay.case_result import judge_case
from llmguard.replay.cases import Case, Expect, case_from_text, case_text
from llmguard.testing import assert_outcome
from llmguard.testing.pytest_plugin.case_run import case_at
from tests.support.fault_server import FaultServer, answer, chat

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
PLUGIN = ("-p", "llmguard.testing.pytest_plugin", "-p", "no:cacheprovider")
GUARDS = """
from llmguard import Guard, constant, guarded
from llmguard.testing import ScriptedModel

triage = Guard("triage", prompt="Which team? {{ ticket }}", schema={"enum": TEAMS},
               models=[ScriptedModel(['"billing"'])], reasks=1, fallback=[constant("other")], log=None)

@guarded(schema=int, name="count", log=None)
def count(text: str) -> str:
    return "36"
"""
TEAMS = ["billing", "shipping", "other"]


def guard_saying(*replies: str) -> Guard[object]:
    """The guard of the application, as it was when the call was logged."""
    return Guard(
        "triage",
        prompt="Which team? {{ ticket }}",
        schema={"enum": TEAMS},
        models=[ScriptedModel(replies)],
        reasks=1,
        fallback=[lambda inputs: "other"],
        log=None,
    )


def recorded(*replies: str, ticket: str = "I was charged twice.") -> Record:
    guard = guard_saying(*replies)
    record = guard.log.get(guard.run(ticket=ticket).id)
    assert record is not None
    return record


def case(slug: str, *replies: str, expect: Expect, guard: str = "triage") -> Case:
    record = recorded(*replies)
    steps = tuple(step for step in record.steps if "/" in step.address)
    return Case(guard=guard, slug=slug, inputs=record.opening.inputs, steps=steps, expect=expect)


ACCEPTED, REFUSED = Expect(kind="accepted"), Expect(kind="refused")
BILLING = Expect(kind="value", value=("billing",))


class Project:
    """An application with guards and cases, and pytest over it."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester, self.path = pytester, pytester.path
        self.guards(TEAMS)

    def guards(self, teams: list[str], module: str = "shop") -> None:
        self.write(f"{module}.py", GUARDS.replace("TEAMS", repr(teams)))

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def case(self, case: Case, folder: str = "tests/cases") -> Path:
        return self.write(f"{folder}/{case.guard}/{case.slug}.json", case_text(case))

    def run(self, *arguments: str, guards: str = "shop") -> pytest.RunResult:
        """In this process: quick, where what it imports is here already (`loaded`). What opens a log is not."""
        named = ("--llmguard-guards", guards) if guards else ()
        result = self.pytester.runpytest_inprocess(*PLUGIN, *named, *arguments)
        assert "Traceback" not in result.stdout.str()
        return result

    def start(self, *arguments: str) -> pytest.RunResult:
        """In a process of its own."""
        return self.pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """What a case needs is imported once: pytester takes out again what a run inside this process imported first."""
    made = case("one", '"billing"', expect=BILLING)
    assert judge_case(case_from_text(case_text(made).encode(), "one.json"), guard_saying().policy).passed
    Guard("count", prompt="?", schema=int, models=[ScriptedModel([])], log=None)
    for name in ("cases", "case_run", "blocked_calls"):
        import_module(f"llmguard.testing.pytest_plugin.{name}")


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # hypothesis and others take a second of each start
    monkeypatch.setattr(sys, "path", [*sys.path])
    return Project(pytester)


# --- case files


def test_a_case_that_no_longer_holds_is_a_readable_red_test(project: Project) -> None:
    """What the reply said, what today's guard says of it, what was expected, and the difference; no line of llmguard's."""
    project.case(case("team-unknown", '"payments"', '"invoices"', expect=BILLING))
    project.case(case("still-billing", '"billing"', expect=BILLING))
    result = project.run()
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*triage/team-unknown*",
            'expected "billing", got "other"',
            "*reply*payments*",
            "*schema*'payments' is not one of the allowed values*",
            "--- expected",
            '-"billing"',
            '+"other"',
            "FAILED tests/cases/triage/team-unknown.json::team-unknown*",
        ]
    )
    result.stdout.no_fnmatch_line("*pytest_plugin*")


def test_a_mended_guard_turns_the_test_green(project: Project) -> None:
    """The same file, once the schema allows what the model says."""
    project.case(case("team-unknown", '"payments"', '"invoices"', expect=ACCEPTED))
    project.run().assert_outcomes(failed=1)
    project.guards([*TEAMS, "payments"], module="mended")
    project.run(guards="mended").assert_outcomes(passed=1)


def test_node_ids_keywords_and_the_marker_select_cases(project: Project) -> None:
    """A case is a test like any other for -k, -m, a path and a node id."""
    for slug in ("one", "two"):
        project.case(case(slug, '"billing"', expect=BILLING))
    project.write("tests/test_own.py", "def test_own(): pass")
    listed = project.run("--collect-only", "-q").stdout.lines
    ids = ["tests/cases/triage/one.json::one", "tests/cases/triage/two.json::two", "tests/test_own.py::test_own"]
    assert [line for line in listed if "::" in line] == ids
    for selection, passed in (
        (["-k", "two"], 1),
        (["-k", "triage"], 2),
        (["-m", "llmguard"], 2),
        (["-m", "not llmguard", "--strict-markers"], 1),
        (["tests/cases"], 2),
        (["tests/cases/triage/one.json"], 1),
        (["tests/cases/triage/one.json::one"], 1),
    ):
        assert project.run(*selection).parseoutcomes()["passed"] == passed


def test_other_files_are_left_alone(project: Project) -> None:
    """Only FOLDER/<guard>/<slug>.json is a case: not data elsewhere, at another depth, of another kind, or half written."""
    text = case_text(case("one", '"billing"', expect=BILLING))
    for name in (
        "tests/data/triage/one.json",
        "tests/cases/one.json",
        "tests/cases/triage/more/one.json",
        "tests/cases/triage/one.yaml",
        "tests/cases/triage/.one-3f.json",
    ):
        project.write(name, text)
    assert project.run().parseoutcomes() == {}


def test_the_folder_of_cases_can_be_another(project: Project) -> None:
    """`llmguard_cases` names one folder or several, from where the ini file is."""
    project.case(case("one", '"billing"', expect=BILLING), "qa/cases")
    project.case(case("two", '"billing"', expect=BILLING), "more")
    project.case(case("three", '"billing"', expect=BILLING))
    project.write("pytest.ini", "[pytest]\nllmguard_cases = qa/cases more\n")
    project.run().assert_outcomes(passed=2)


def test_collecting_reads_no_case(project: Project) -> None:
    """Of a thousand case files only the names are looked at; what stands in them is a matter of the run."""
    for number in range(1_000):
        project.write(f"tests/cases/triage/n{number}.json", "")
    result = project.run("--collect-only", "-q", guards="no.such.module")
    assert sum("::" in line for line in result.stdout.lines) == 1_000
    assert result.ret == 0


HOSTILE = {
    "no-json": ("tests/cases/triage/no-json.json", "{", "*no-json.json: it is not JSON*"),
    "no-case": ("tests/cases/triage/no-case.json", '{"version": 1}', "*no-case.json is not a case file*"),
    "deep": ("tests/cases/triage/deep.json", "[" * 100_000, "*deep.json: it is *"),
    "latin": ("tests/cases/triage/latin.json", "\ud83d", "*it is not UTF-8 text*"),
    "slug": ("tests/cases/triage/Not A Slug\x1b[2J.json", "{}", "slug 'Not A Slug?x1b?2J' cannot name a case file*"),
    "folder": ("tests/cases/TRIAGE/one.json", "{}", "*guard 'TRIAGE' cannot name a folder of cases*"),
    "moved": ("tests/cases/count/one.json", None, "*is a case of guard 'triage', in the folder of guard 'count'*"),
    "evil": ("tests/cases/triage/evil.json", '{"\u202e": "\x7f"}', "tests/cases/triage/evil.json is not a case file*"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_broken_or_hostile_file_is_one_clear_error(project: Project, name: str) -> None:
    """One item, one sentence with the place, nothing that a terminal obeys; the others run on."""
    place, text, said = HOSTILE[name]
    good = case("good", '"billing"', expect=BILLING)
    project.case(good)
    content = case_text(good) if text is None else text
    project.write(place, "").write_bytes(content.encode("utf-8", "surrogatepass"))
    result = project.run("--color=no", "-v")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([said])
    assert not {"\x1b", "\u202e", "\x07"} & set(result.stdout.str())


def test_a_link_that_leads_outside_is_not_followed(project: Project) -> None:
    """Neither as a file nor as a folder; the message says where it leads."""
    outside = project.write("elsewhere/triage/one.json", case_text(case("one", '"billing"', expect=BILLING)))
    (project.path / "tests/cases/triage").mkdir(parents=True)
    (project.path / "tests/cases/triage/one.json").symlink_to(outside)
    (project.path / "tests/cases/count").symlink_to(outside.parent)
    result = project.run()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*is a link to elsewhere/triage/one.json, outside of the folder of cases*"])


def test_a_case_by_another_file_name_goes_by_that_name(project: Project) -> None:
    """A copied file is a case of its own, named by its place."""
    path = project.case(case("one", '"billing"', expect=BILLING)).rename(project.path / "tests/cases/triage/copy.json")
    assert case_at(path, project.path / "tests/cases").id == "triage/copy"


def test_steps_that_stand_in_for_others_are_told(project: Project) -> None:
    """A changed prompt asks something else: the recorded replies are taken all the same, and the report says so."""
    project.case(replace(case("one", '"billing"', expect=BILLING), inputs={"ticket": "Another one."}))
    result = project.run("-rP")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*llmguard: assumed*", "*recorded for another request*r0/s0/a1/t1"])


def test_junit_tells_what_failed_and_of_which_guard(project: Project) -> None:
    """A report for machines holds file, message, guard and status."""
    project.case(case("one", '"payments"', '"invoices"', expect=BILLING))
    project.run("--junitxml=report.xml")
    (found,) = ElementTree.parse(project.path / "report.xml").iter("testcase")
    (failed,) = found.iter("failure")
    told = {each.get("name"): each.get("value") for each in found.iter("property")}
    assert (found.get("name"), told) == ("one", {"llmguard_guard": "triage", "llmguard_status": "fallback"})
    assert 'expected "billing", got "other"' in (failed.get("message") or "")


@pytest.mark.slow
def test_workers_share_the_cases(project: Project) -> None:
    """Under xdist each worker finds the guards by itself."""
    for number in range(6):
        project.case(case(f"n{number}", '"billing"', expect=BILLING))
    result = project.start(
        "-p", "llmguard.testing.pytest_plugin", "-p", "xdist", "-n", "2", "--llmguard-guards", "shop"
    )
    result.assert_outcomes(passed=6)


# --- finding guards


def test_guards_are_named_by_option_or_ini_file(project: Project) -> None:
    """A module, one guard in it, several with commas; the option replaces what the ini file says."""
    project.case(case("one", '"billing"', expect=BILLING))
    project.write("pytest.ini", "[pytest]\nllmguard_guards =\n    shop\n    shop:triage\n")
    project.run(guards="").assert_outcomes(passed=1)
    project.run(guards="shop:triage").assert_outcomes(passed=1)
    project.run(guards="shop:triage, shop:count").assert_outcomes(passed=1)
    project.run(guards="shop:count").assert_outcomes(errors=1)


UNFOUND = {
    "": "nothing says where the guard 'triage' is. Run pytest --llmguard-guards my_app.guards, or set*",
    "shop:count": "no guard 'triage' in shop:count: found count.*",
    "shop:nothing": "module 'shop' has no 'nothing'. Its guards are: count, triage.",
    "shop:TEAM": "*",
    "no_such": "no module 'no_such' here (*) nor among the installed ones.",
    "shop.py": "'shop.py' is a file. Write its module with dots: shop:guard.",
    "empty": "module 'empty' holds no guard. Expected a Guard, or a function under @guarded.",
    "broken": "importing 'broken' raised ZeroDivisionError: division by zero (*broken.py, line 1).",
    "shop,twin": "two guards are named 'count': shop:count and twin:count. Rename one, or name*",
}


@pytest.mark.parametrize("named", UNFOUND)
def test_what_cannot_be_found_is_said_with_the_mend(project: Project, named: str) -> None:
    """Each case whose guard is not to be had errs with one sentence; the run goes on."""
    project.case(case("one", '"billing"', expect=BILLING))
    project.write("empty.py", "")
    project.write("broken.py", "1 / 0")
    project.guards(TEAMS, module="twin")
    result = project.run(guards=named)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([UNFOUND[named]])


def test_one_guard_known_by_two_modules_is_one(project: Project) -> None:
    """A guard that another module imports has no twin."""
    project.case(case("one", '"billing"', expect=BILLING))
    project.write("api.py", "from shop import triage as router")
    project.run(guards="api,shop").assert_outcomes(passed=1)


# --- live calls


def undetermined() -> Case:
    """Of a reply that today's guard refuses, and after which it asks again; only the first was recorded."""
    found = case("one", '"payments"', '"invoices"', expect=ACCEPTED)
    return replace(found, steps=found.steps[:1])


def test_a_case_that_would_call_the_model_says_so(project: Project) -> None:
    """It is red with the address and the option that lets the model answer; no model is asked."""
    project.case(undetermined())
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["undetermined: the guard would call the model at r0/s0/a2/t1; run pytest with*live*"])


def test_a_live_answer_is_kept_where_that_is_wanted(project: Project) -> None:
    """--llmguard-live asks the guard's model; with --llmguard-record the case holds from then on without it."""
    path = project.case(undetermined())
    before = path.read_text()
    project.run("--llmguard-live").assert_outcomes(passed=1)
    assert path.read_text() == before
    result = project.run("--llmguard-live", "--llmguard-record", "-rP")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["asked of the model: r0/s0/a2/t1; saved in *one.json"])
    project.run().assert_outcomes(passed=1)


def test_a_failed_live_call_is_not_kept(project: Project) -> None:
    """A model that could not answer, for want of a key say, is no reason to pin that down."""
    path = project.case(undetermined())
    project.write("dumb.py", GUARDS.replace("TEAMS", repr(TEAMS)).replace("""ScriptedModel(['"billing"'])""", DUMB))
    before = path.read_text()
    result = project.run("--llmguard-live", "--llmguard-record", guards="dumb")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*not saved, for it gave no reply (auth: no key)"])
    assert path.read_text() == before


DUMB = "ScriptedModel([__import__('llmguard').ModelFailure('auth', 'no key')])"


def test_recording_without_asking_is_misuse(project: Project) -> None:
    """--llmguard-record alone ends the run with the mend."""
    result = project.run("--llmguard-record")
    result.stderr.fnmatch_lines(["*--llmguard-record saves what the model replies: give it with --llmguard-live."])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


LIVE = """
    import pytest
    from llmguard import Guard, OpenAIModel, constant

    guard = Guard("team", prompt="Which?", schema=str, models=[OpenAIModel("m", base_url="http://llm.example/v1", api_key="k")],
                  fallback=[constant("other")], log=None)

    def test_that_swallows():
        assert guard.run().has_value

    def test_that_notices():
        assert guard.run().status == "accepted"

    @pytest.fixture
    def answered():
        return guard.run()

    def test_by_a_fixture(answered):
        pass

    def test_without():
        pass
"""


@pytest.mark.loopback
def test_live_calls_fail_the_test_that_makes_them(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever phase, a module's import too, and where the guard fell back; --llmguard-live lets them out."""
    project.pytester.makepyfile(test_calls=LIVE, test_import=LIVE + "\n    guard.run()\n")
    with FaultServer([answer(200, chat('"x"'))]) as server:  # a proxy stands for the network, so that none is needed
        monkeypatch.setenv("HTTP_PROXY", server.base_url.removesuffix("/v1"))
        refused = project.start("-p", "llmguard.testing.pytest_plugin", "--continue-on-collection-errors")
        assert server.requests == []
        refused.assert_outcomes(passed=1, failed=2, errors=2)
        refused.stdout.fnmatch_lines(
            [
                "*ERROR collecting test_import.py*",
                "a test asked the model 'm' at llm.example. Live model calls are refused in tests. *--llmguard-live*",
                "*ERROR at setup of test_by_a_fixture*",
                "a test asked the model 'm' at llm.example.*",
                "a test asked the model 'm' at llm.example.*",
                "The test itself ended with AssertionError*",
                "*test_calls.py:*",
            ]
        )
        allowed = project.start(
            "-p", "llmguard.testing.pytest_plugin", "--llmguard-live", "test_calls.py", "-k", "notices"
        )
        allowed.assert_outcomes(passed=1)
        assert len(server.requests) == 1


# --- fixtures

FIXTURES = """
    import socket
    import pytest
    from llmguard import Guard
    from llmguard.testing import assert_outcome
    from shop import triage, count

    def test_replay(guard_replay):
        assert_outcome(guard_replay(triage, "tests/cases/triage/good.json"), value="billing", attempts=1)

    def test_replay_of_a_bad_one(guard_replay):
        guard_replay(triage, "tests/cases/triage/bad.json")

    def test_replay_of_anothers(guard_replay):
        guard_replay(count, "tests/cases/triage/good.json")

    def test_a_record_of_todays_call(guard_replay, scripted_model, outcome_log):
        guard = Guard("age", prompt="?", schema=int, models=[scripted_model(["36"])], log=outcome_log)
        found = guard.run()
        assert guard_replay(guard, outcome_log.get(found.id)).value == 36
        unlike = Guard("age", prompt="!", schema=float, models=[scripted_model([])], log=None)
        assert guard_replay(unlike, outcome_log.get(found.id)).value == 36.0

    def test_off_the_net(no_network):
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
            pass
        with pytest.raises(OSError, match="may not reach 'llm.example'"):
            socket.create_connection(("llm.example", 80))
        assert no_network == ["llm.example"]
        no_network.clear()

    def test_that_swallows_the_refusal(no_network):
        try:
            socket.create_connection(("192.0.2.1", 80))
        except OSError:
            pass
"""


def test_fixtures(project: Project) -> None:
    """Replay by hand, a scripted model, a fresh log, and no network; each failure is a sentence."""
    project.case(case("good", '"billing"', expect=BILLING))
    project.case(case("bad", '"payments"', '"invoices"', expect=BILLING))
    project.pytester.makepyfile(FIXTURES)
    result = project.start("-p", "llmguard.testing.pytest_plugin", "-k", "test_")
    result.assert_outcomes(passed=4, failed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "1 connection(s) refused by no_network; the first: to '192.0.2.1'",
            'E*AssertionError: expected "billing", got "other"',
            "E*the case triage/good is of guard 'triage', and was passed to 'count'.",
        ]
    )


# --- how the plugin is had


@pytest.fixture
def installed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this tree were installed, with its entry point."""
    project.write("site/shop_llmguard-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: shop-llmguard\nVersion: 1\n")
    named = "[pytest11]\nllmguard = llmguard.testing.pytest_plugin.installed\n"
    project.write("site/shop_llmguard-1.dist-info/entry_points.txt", named)
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(project.path / "site"), str(ROOT)]))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("arguments", "passed"),
    [((), 1), (("-p", "llmguard.testing.pytest_plugin"), 1), (("-p", "no:llmguard"), 0)],
    ids=["installed", "twice", "left out"],
)
def test_the_entry_point_is_enough_and_never_too_much(
    project: Project, arguments: tuple[str, ...], passed: int
) -> None:
    """Installed, the plugin is there; asked for once more it is no second one; and it can be left out."""
    project.case(case("one", '"billing"', expect=BILLING))
    project.write("pytest.ini", f"[pytest]\nfilterwarnings = error\n{'llmguard_guards = shop' if passed else ''}\n")
    result = project.start(*arguments)
    assert result.parseoutcomes().get("passed", 0) == passed
    assert result.ret == (0 if passed else pytest.ExitCode.NO_TESTS_COLLECTED)


def test_starting_pytest_loads_nothing_heavy(project: Project) -> None:
    """A run without cases pays for the options alone."""
    project.pytester.makepyfile(
        "import sys\ndef test_it(): assert not {'openai', 'llmguard.guard.guard', 'sqlalchemy', 'jinja2'} & set(sys.modules)"
    )
    project.start("-p", "llmguard.testing.pytest_plugin").assert_outcomes(passed=1)


# --- assert_outcome

OUTCOME = Outcome(
    status="fallback",
    value={"total": 1},
    json={"total": 1},
    source="constant",
    attempts=(Attempt(address="r0/s0/a1/t1", rung="m", violations=(Violation("/total", "minimum", "is below 0"),)),),
)


def test_an_outcome_that_is_as_expected_passes() -> None:
    """Each part may be left out; statuses may be several; violations go by path or rule; values are equal as JSON."""
    assert_outcome(OUTCOME)
    assert_outcome(
        OUTCOME, status="fallback", value={"total": 1.0}, source="constant", violations=["/total"], attempts=1
    )
    assert_outcome(OUTCOME, status=("accepted", "fallback"), violations=["minimum", "/total"])
    assert_outcome(Outcome(status="accepted", value=None), value=None, violations=[])
    assert_outcome(Outcome(status="accepted", value={1}), value={1})


DIFFERING: dict[str, dict[str, Any]] = {
    "status: 'fallback', expected 'accepted'": {"status": "accepted"},
    "status: 'fallback', expected one of 'accepted', 'recovered'": {"status": ["accepted", "recovered"]},
    "value: {'total': 1}, expected {'total': True}": {"value": {"total": True}},
    "source: 'constant', expected 'm'": {"source": "m"},
    "violations: /total [minimum], expected '/tax' among them": {"violations": ["/tax"]},
    "violations: /total [minimum], expected none": {"violations": []},
    "attempts: 1, expected 2": {"attempts": 2},
}


@pytest.mark.parametrize("said", DIFFERING)
def test_what_differs_is_listed_with_the_call_below(said: str) -> None:
    """One line for each difference, then how the call went."""
    with pytest.raises(AssertionError) as caught:
        assert_outcome(OUTCOME, **DIFFERING[said])
    assert f"  {said}\n" in str(caught.value)
    assert "r0/s0/a1/t1 m: passed" in str(caught.value)


@pytest.mark.parametrize("wrong", [{"violations": "/total"}, {"outcome": 36}])
def test_what_cannot_be_compared_is_misuse(wrong: dict[str, Any]) -> None:
    """A text for a list, or a value for an outcome, is a mistake in the test."""
    with pytest.raises(UsageError):
        assert_outcome(**{"outcome": OUTCOME, **wrong})


def test_the_example_of_the_docs_passes(project: Project) -> None:
    """docs/testing.md shows a test that runs."""
    text = (ROOT / "docs/testing.md").read_text()
    project.write("test_docs.py", text.partition("```python\n")[2].partition("```")[0])
    project.start("-p", "llmguard.testing.pytest_plugin").assert_outcomes(passed=1)
