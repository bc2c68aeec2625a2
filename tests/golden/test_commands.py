"""What each command prints with --json, and its exit status: 0 done, 1 a negative finding, 2 misuse."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from llmguard import OutcomeLog
from tests.golden.desk import desk
from tests.golden.golden import ROOT, Commands, Names, compare, tables_of

TICKETS = {
    "accepted": "I was charged twice",
    "shipping": "where is my parcel",
    "fenced": "a fence",
    "mended": "please mend it",
    "fallback": "it never works",
    "invented": "something invented",
    "unparsable": "no idea",
}
SHOP = "tests.golden.shop"
MACHINE = ("python", "packages", "sqlite", "key", "tiktoken", "local model")
"""What `doctor` says of these differs from machine to machine."""
TIMES = re.compile(r'("(?:started_at|latency_s|waited_s)": )[^,}\n]+')
"""What is measured, in a case file."""


@pytest.fixture(scope="module")
def made(server: Commands, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A log of nine calls, made by `llmguard run`, and what each printed, by its name."""
    server.folder = tmp_path_factory.mktemp("shop")
    said = {}
    for name, ticket in TICKETS.items():
        (said[name],) = server.json("run", f"{SHOP}:triage", "--input", f"ticket={ticket}", "--meta", f"case={name}")
    (said["escalated"],) = server.json("run", f"{SHOP}:asking", "--inputs", "-", status=1, stdin='{"ticket": "never"}')
    assert server("run", f"{SHOP}:triage", "--input", "ticket=die")[0] == 9
    (said["died"],) = server.json("log", "list", "--status", "interrupted")
    return server.folder / "llmguard.db", said


@pytest.fixture
def ran(made: tuple[Path, dict[str, Any]], commands: Commands, names: Names, tmp_path: Path) -> dict[str, Any]:
    """The test's folder has a copy of the log."""
    path, said = made
    commands.folder = tmp_path
    for each in path.parent.glob("llmguard.db*"):
        shutil.copy(each, commands.folder)
    for name, outcome in said.items():
        names.learn(outcome["id"], name)
    return said


def ids(ran: dict[str, Any], *wanted: str) -> list[str]:
    return [ran[name]["id"] for name in wanted]


def test_run_and_the_log(commands: Commands, names: Names, ran: dict[str, Any]) -> None:
    """`run`, `log list`, `show`, `tail` and `stats`; a misuse of each."""
    found: dict[str, Any] = {"run": ran}
    found["list"] = commands.json("log", "list")
    found["list --where"] = commands.json(
        "log", "list", "--where", "failure=schema and requests>1", "--guard", "triage"
    )
    found["list --meta"] = commands.json("log", "list", "--meta", "case=fenced", "--since", "1h")
    found["show"] = [commands.json("log", "show", one) for one in ids(ran, "mended", "invented", "died")]
    found["tail"] = commands.json("log", "tail", "-n", 2)
    found["stats"] = commands.json("log", "stats")
    compare("command_log", _without_times(names(found)))
    commands.misused("run", f"{SHOP}:nobody", "--input", "ticket=x")
    commands.misused("run", f"{SHOP}:triage", "--input", "other=x")
    commands.misused("log", "list", "--where", "colour=red")
    commands.misused("log", "show", "nobody")
    commands.misused("log", "tail", "--log", "sqlite:///none.db")
    commands.misused("log", "stats", "--since", "someday")
    commands.misused("--nothing")


def test_reviews_and_datasets(commands: Commands, names: Names, ran: dict[str, Any]) -> None:
    """`log review`, one by one and from lines, and `log export` in its three formats; a misuse of each."""
    found: dict[str, Any] = {}
    accepted, mended, invented = ids(ran, "accepted", "mended", "invented")
    correction = '{"team": "billing", "urgent": true}'
    found["review"] = commands.json("log", "review", accepted, "right", "--reviewer", "ann", "--field", "/team=right")
    wrong = {"id": mended, "verdict": "wrong", "correction": json.loads(correction), "reviewer": "bob", "blind": True}
    lines = [wrong, {"id": invented, "verdict": "unsure", "comment": "who knows", "reviewer": "bob"}]
    found["review --from"] = commands.json("log", "review", "--from", "-", stdin="\n".join(map(json.dumps, lines)))
    found["show"] = [commands.json("log", "show", one)[0]["reviews"] for one in (accepted, mended, invented)]
    for review in (each for reviews in found["show"] for each in reviews):
        names.learn(review["review"], f"review by {review['reviewer']}")
    for kind in ("sft", "dpo", "evals"):
        out = commands.folder / kind
        status, said, _ = commands("log", "export", "--format", kind, "--guard", "triage", "--out", out, "--json")
        files = {path.name: path.read_text(encoding="utf-8") for path in sorted(out.glob("*"))}
        found[f"export {kind}"] = [status, [json.loads(line) for line in said.splitlines()], _lines(files)]
    status, said, _ = commands("log", "export", "--meta", "case=accepted")
    found["export to standard output"] = [status, said.splitlines()]
    compare("command_reviews", names(found))
    assert commands("log", "export", "--guard", "nobody")[0] == 1
    commands.misused("log", "review", accepted, "perhaps")
    commands.misused("log", "review", "nobody", "right")
    commands.misused("log", "export", "--format", "xml")


def test_promoted_cases(commands: Commands, names: Names, ran: dict[str, Any]) -> None:
    """`promote`, one by one and in bulk, and each case file as it is written; the schema of case files."""
    found: dict[str, Any] = {}
    found["one"] = commands.json("promote", *ids(ran, "accepted", "fenced", "mended"))
    found["expect"] = commands.json("promote", *ids(ran, "escalated"), "--expect", "refused", "--slug", "a-slug")
    found["value"] = commands.json("promote", *ids(ran, "fallback"), "--expect", '{"team": "other", "urgent": false}')
    found["bulk"] = commands.json("promote", "--guard", "triage", "--status", "fallback", "--folder", "bulk")
    found["again"] = commands.json("promote", "--guard", "triage", "--status", "fallback", "--folder", "bulk")
    found["update"] = commands.json("promote", *ids(ran, "accepted"), "--update")
    found["died"] = list(commands("promote", *ids(ran, "died"), "--json"))[:2]
    files = sorted([*commands.folder.glob("tests/**/*.json"), *commands.folder.glob("bulk/**/*.json")])
    texts = {str(path.relative_to(commands.folder)): path.read_bytes().decode() for path in files}
    assert all(json.dumps(json.loads(text)) for text in texts.values())
    compare("command_promote", names({**found, "files": sorted(_case(names, *each) for each in texts.items())}))
    compare("case_schema", json.loads((ROOT / "schemas" / "case.json").read_text(encoding="utf-8")))
    commands.misused("promote", "nobody")
    commands.misused("promote")


def test_replay_and_mutation(commands: Commands, names: Names, ran: dict[str, Any]) -> None:
    """`replay` by the same and a stricter guard, `compare`, and `mutate` with and without the checks."""
    found: dict[str, Any] = {}
    found["same"] = commands.json("replay", f"{SHOP}:triage", "--workers", 0)
    found["stricter"] = commands.json(
        "replay", f"{SHOP}:stricter", "--fail-on", "newly-failing", "--workers", 0, status=1
    )
    found["slot"] = commands.json("replay", f"{SHOP}:stricter", "--same", "slot", "--workers", 0)
    live = ("--yes", "--parallel", 1, "--log-to", "sqlite:///live.db", "--meta", "case=accepted")
    found["live"] = commands.json("compare", f"{SHOP}:stricter", *live)
    found["mutate"] = commands.json("mutate", f"{SHOP}:triage")
    found["mutate unchecked"] = commands.json("mutate", f"{SHOP}:unchecked", "--at-least", 0.99, "--seed", 3, status=1)
    compare("command_replay", _without_times(names(found)))
    commands.misused("replay", f"{SHOP}:triage", "--fail-on", "rain")
    commands.misused("mutate", f"{SHOP}:triage", "--log", "sqlite:///none.db")


def test_certify(commands: Commands, names: Names) -> None:
    """Refused without reviews, then a certificate, then its watch, and a call that is accepted under it."""
    found: dict[str, Any] = {}
    path = commands.folder / "llmguard.db"
    log = OutcomeLog.open(f"sqlite:///{path}")
    guard = desk(log=log)
    outcomes = [guard.run(number=number) for number in range(48)]
    names.learn_all((outcome.id for outcome in outcomes), "loan")
    log.flush()
    found["unreviewed"] = commands.json("log", "list", "--unreviewed", "--limit", 2)
    found["refused"] = commands.json("certify", f"{SHOP}:loan", "--dry-run", status=1)
    for number, outcome in enumerate(outcomes):
        truth = "refuse" if number % 2 else "approve"
        right = outcome.candidate == (truth,)
        log.review(
            outcome.id, "right" if right else "wrong", correction=truth, reviewer="ann", blind=True, at=float(number)
        )
    log.close()
    found["dry"] = commands.json("certify", f"{SHOP}:loan", "--dry-run", "--verbose")
    found["anytime"] = commands.json("certify", f"{SHOP}:loan", "--dry-run", "--method", "anytime", "--alpha", 0.3)
    found["too strict"] = commands.json("certify", f"{SHOP}:loan", "--dry-run", "--alpha", 0.001, status=1)
    found["certified"] = commands.json("certify", f"{SHOP}:loan")
    found["watch"] = commands.json("certify", f"{SHOP}:loan", "--watch")
    found["run"] = commands.json("run", f"{SHOP}:loan", "--input", "number=50")
    found["run, a vote short"] = commands.json("run", f"{SHOP}:loan", "--input", "number=3")
    for one in ("run", "run, a vote short"):
        names.learn(found[one][0]["id"], one)
    for one in ("dry", "anytime", "certified"):
        names.learn(found[one][0]["certificate"]["id"], f"certificate, {one}")
    assert found["run"][0]["certificate"] == found["certified"][0]["certificate"]["id"]
    found["stored"] = tables_of(path, names)["certificates"]
    compare("command_certify", _without_times(names(found)))
    commands.misused("certify", f"{SHOP}:triage")
    commands.misused("certify", f"{SHOP}:loan", "--alpha", "2")


def test_schemas_and_prompts(commands: Commands, names: Names, ran: dict[str, Any]) -> None:
    """`schema check` and `diff`, `prompt show`; a misuse of each."""
    folder, here = commands.folder, ROOT / "tests" / "golden"
    old = json.loads((here / "order.json").read_text(encoding="utf-8"))
    new = {
        **old,
        "properties": {**old["properties"], "count": {"type": "integer", "minimum": 2}, "vip": {"type": "boolean"}},
    }
    new["required"] = ["article"]
    (folder / "new.json").write_text(json.dumps(new))
    (folder / "doubtful.json").write_text('{"type": "object", "propertys": {}, "required": ["a"], "pattern": "("}')
    (folder / "triage.json").write_text(json.dumps({"type": "object", "properties": {"team": {"const": "billing"}}}))
    found: dict[str, Any] = {}
    found["check"] = commands.json("schema", "check", here / "order.json")
    found["check, doubtful"] = commands.json("schema", "check", "doubtful.json", status=1)
    found["diff"] = commands.json("schema", "diff", here / "order.json", "new.json", status=1)
    found["diff, same"] = commands.json("schema", "diff", "new.json", "new.json")
    found["diff, of a guard"] = commands.json(
        "schema", "diff", "new.json", "triage.json", "--guard", "triage", status=1
    )
    found["show"] = commands.json("prompt", "show", here / "order.prompty")
    found["show, inputs"] = commands.json("prompt", "show", f"{SHOP}:triage", "--input", "ticket=hello")
    found["show, folder"] = commands.json("prompt", "show", here / "old", "--name", "invoice")
    named = Names(folder, here)
    compare("command_schema", named(found))
    commands.misused("schema", "check", "none.json")
    commands.misused("schema", "diff", "new.json", "none.json")
    commands.misused("prompt", "show", here / "old")


def test_doctor(commands: Commands, names: Names, ran: dict[str, Any]) -> None:
    """`doctor`: what it looks at on this machine, and what it says of a log and of guards."""
    found: dict[str, Any] = {}
    for named in ("asking", "triage", "loan", "nobody"):
        status, out, _ = commands("doctor", f"{SHOP}:{named}", "--json")
        said = json.loads(out)
        machine = [each for each in said["findings"] if each["subject"] in MACHINE]
        assert status == (0 if said["ok"] else 1)
        assert all(list(each) == ["level", "subject", "said"] for each in machine)
        others = [each for each in said["findings"] if each not in machine]
        others = [{**each, "said": re.sub(r"[0-9.]+ MB", "<size>", each["said"])} for each in others]
        found[named] = {"keys": list(said), "machine": [each["subject"] for each in machine], "others": others}
    compare("command_doctor", names(found))
    commands.misused("doctor", "--nothing")


def test_demo(commands: Commands) -> None:
    """`demo --playback`: two documents a guard, with their outcomes. (Fingerprints name the module of the demo's guards.)"""
    found = commands.json("demo", "--playback", "--each", 2)
    names = Names(commands.folder)
    for each in found:
        names.learn(each["id"], each["document"])
        names.learn(each["fingerprint"], "fingerprint")
        assert each.pop("review_reason") in ("", "audit")  # one in twenty is drawn
    compare("command_demo", names(found))
    commands.misused("demo", "--each", "0")


def _without_times(value: Any) -> Any:
    """Without what sums up measured times."""
    summed = ("median_s", "p95_s", "longest_s")
    if isinstance(value, dict):
        return {key: f"<{key}>" if key in summed else _without_times(item) for key, item in value.items()}
    return [_without_times(item) for item in value] if isinstance(value, list) else value


def _lines(files: dict[str, str]) -> dict[str, list[str]]:
    return {name: text.splitlines() for name, text in files.items()}


def _case(names: Names, path: str, text: str) -> tuple[str, list[str]]:
    """A case file line by line, with its times taken out."""
    return names.text(path), [TIMES.sub(r'\1"<measured>"', line) for line in names.text(text).split("\n")]
