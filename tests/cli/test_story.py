"""The story that the README tells: what a real model got wrong on Monday is a red test on Tuesday and green ever after.

Only with what a user has: files in a folder, `python app.py`, `llmguard`, `pytest`, an editor; each in a process that may
not use the network. The replies are SmolLM2-135M-Instruct's, as recorded for the demo.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
REPLIES = json.loads((ROOT / "llmguard/cli/demo_data/replies.json").read_text())

NO_NETWORK = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg"):
        with open(__file__ + ".tried", "a") as tried:
            print(event, arguments[-1], file=tried)
        raise ConnectionRefusedError("no network in this story")

sys.addaudithook(refuse)
"""
"""Python imports `sitecustomize` before anything else, and an audit hook cannot be taken out again."""

MODEL = """
\"\"\"Stands for the model's server: says what SmolLM2-135M-Instruct said.\"\"\"
from pathlib import Path
from llmguard.testing import ScriptedModel

model = ScriptedModel([Path("reply.txt").read_text()])
"""

INVOICES = """
import sys
from llmguard import Guard, escalate
from model import model

invoice = Guard(
    "invoice",
    prompt="prompts/invoice.prompty",
    schema="schemas/invoice.json",
    models=[model],
    reasks=0,
    fallback=[escalate()],
)

if __name__ == "__main__":
    print(invoice.run(document=sys.argv[1]).status)
"""
INVOICE_SCHEMA = """{
  "type": "object",
  "properties": {
    "number": {"type": "string", "pattern": "^[A-Z]+-[0-9]+$"},
    "total": {"type": "number", "minimum": 0}
  },
  "required": ["number", "total"]
}
"""

REVIEWS = """
import sys
from llmguard import Guard, check, constant
from model import model

review = Guard(
    "review",
    prompt="prompts/review.prompty",
    schema={"type": "object", "properties": {"sentiment": {"enum": ["positive", "negative", "unknown"]}}},
    models=[model],
    reasks=0,
    fallback=[constant({"sentiment": "unknown"})],
)

if __name__ == "__main__":
    print(review.run(review=sys.argv[1]).value["sentiment"])
"""
IN_ENGLISH = """
@check
def in_english(value, inputs):
    english = {"the", "a", "is", "it", "and"} & set(inputs["review"].lower().split())
    if value["sentiment"] != "unknown" and not english:
        return "the review is not in English, which is all this model reads"

"""


class Project:
    """A user's folder, and the commands typed there."""

    def __init__(self, path: Path, installed: Path) -> None:
        self.path, self.installed = path, installed

    def write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)

    def edit(self, name: str, before: str, after: str) -> None:
        text = (self.path / name).read_text()
        assert text.count(before) == 1
        self.write(name, text.replace(before, after))

    def python(self, *arguments: str, status: int = 0) -> str:
        """Standard output of `python ARGUMENTS`, which must end with this exit status."""
        places = os.pathsep.join(map(str, (self.path, self.installed, ROOT)))
        environment = {**os.environ, "PYTHONPATH": places, "PYTEST_ADDOPTS": "-p no:hypothesispytest", "COLUMNS": "100"}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done.stdout

    def llmguard(self, *arguments: str) -> str:
        return self.python("-m", "llmguard", *arguments)

    def pytest(self, *, status: int) -> str:
        return self.python("-m", "pytest", status=status)

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.llmguard("log", "list", "--json").splitlines()]

    def tried_to_connect(self) -> list[str]:
        tried = self.path / "sitecustomize.py.tried"
        return tried.read_text().splitlines() if tried.exists() else []


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An application's folder without a network, beside an llmguard that is installed as pyproject.toml says."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    points = "".join(f"{name} = {place}\n" for name, place in declared["entry-points"]["pytest11"].items())
    made = Project(tmp_path / "app", tmp_path / "installed")
    about = made.installed / f"{declared['name'].replace('-', '_')}-0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {declared['name']}\nVersion: 0\n")
    (about / "entry_points.txt").write_text(f"[pytest11]\n{points}")
    made.write("sitecustomize.py", NO_NETWORK)
    made.write("model.py", MODEL)
    made.write("pytest.ini", "[pytest]\nllmguard_guards = app\n")
    return made


def served(project: Project, name: str, question: str) -> str:
    """The demo's prompt, and what the model answered first to one question; that question."""
    project.write("reply.txt", REPLIES[question][0]["text"])
    project.write(f"prompts/{name}.prompty", (ROOT / f"llmguard/cli/demo_data/prompts/{name}.prompty").read_text())
    return question


def assert_shown(text: str, *parts: str) -> None:
    """The parts stand in the text, one behind the other."""
    left = text
    for part in parts:
        _, found, left = left.partition(part)
        assert found, f"{part!r} is not in its place in\n{text}"


def test_the_story_has_no_network(project: Project) -> None:
    """What the other tests rely on: a connection, to this machine too, is refused, and noted."""
    project.write(
        "calls.py", "import socket\ntry: socket.create_connection(('127.0.0.1', 9))\nexcept OSError as e: print(e)"
    )
    assert project.python("calls.py") == "no network in this story\n"
    assert project.tried_to_connect() == ["socket.getaddrinfo 0"]
    project.write(
        "calls.py", "import socket\ntry: socket.socket().connect(('127.0.0.1', 9))\nexcept OSError as e: print(e)"
    )
    assert project.python("calls.py") == "no network in this story\n"
    assert project.tried_to_connect()[1:] == ["socket.connect ('127.0.0.1', 9)"]


def test_a_refused_reply_is_promoted_and_the_schema_mended(project: Project) -> None:
    """The schema knew one supplier's numbers. The reply was right; the test is red until the schema takes it."""
    project.write("app.py", INVOICES)
    project.write("schemas/invoice.json", INVOICE_SCHEMA)
    question = served(project, "invoice", "Invoice no. 77812, dated 3 May. Amount payable: 1250.40 EUR.")
    assert project.python("app.py", question) == "escalated\n"

    (row,) = project.logged()
    assert project.llmguard("promote", row["id"]).startswith("tests/cases/invoice/schema-number-pattern-")
    red = project.pytest(status=1)
    assert_shown(
        red,
        "expected  a model's value (accepted or recovered)",
        "got       escalated by escalate",
        'inputs    {"document":"Invoice no. 77812, dated 3 May. Amount payable: 1250.40 EUR."}',
        'reply     {"number": "77812", "total": 1250.40}',
        "schema    /number: must match the pattern '^[A-Z]+-[0-9]+$'; got '77812'",
        "to fix    the guard, if a reply was right; else what the case expects",
        "-a model's value",
        "+escalated by escalate",
        "1 failed",
    )
    project.edit("schemas/invoice.json", "[A-Z]+-", "([A-Z]+-)?")
    assert "1 passed" in project.pytest(status=0)
    assert project.tried_to_connect() == []


def test_a_wrong_value_is_corrected_promoted_and_checked(project: Project) -> None:
    """The model took German grumbling for praise, and nothing objected. A reviewer did; now a check does."""
    project.write("app.py", REVIEWS)
    question = served(project, "review", "Das Radio rauscht und der Knopf ist abgebrochen. Nie wieder.")
    assert project.python("app.py", question) == "positive\n"

    (row,) = project.logged()
    correction = ("--correction", '{"sentiment": "unknown"}', "--comment", "it is German", "--reviewer", "ada")
    project.llmguard("log", "review", row["id"], "wrong", *correction)
    assert "expects its value" in project.llmguard("promote", row["id"])
    red = project.pytest(status=1)
    assert_shown(
        red,
        'expected  {"sentiment":"unknown"}',
        "got       accepted by scripted",
        "because   reviewed as wrong · ada · it is German",
        'reply     {"sentiment": "positive"}',
        '-  "sentiment": "unknown"',
        '+  "sentiment": "positive"',
        "1 failed",
    )
    project.edit("app.py", "review = Guard(", IN_ENGLISH + "review = Guard(")
    project.edit("app.py", "reasks=0,", "reasks=0,\n    checks=[in_english],")
    assert "1 passed" in project.pytest(status=0)
    assert project.tried_to_connect() == []
