"""`GUARD` on the command line: a module's attribute, or a folder of prompts and schemas."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmguard.core.errors import UsageError
from llmguard.operations.find_guard import Target, find_guard

MODULE = """
from llmguard import Guard, guarded, last_good
from llmguard.testing import ScriptedModel

age = Guard("age", prompt="Age? {{ who }}", schema=int, models=[ScriptedModel(["36"])], fallback=[last_good(60)], log=None)

class Box:
    inner = age

@guarded(schema=int, log=None)
def wrapped(who: str) -> str:
    return "36"

nothing = 3
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a module of guards."""
    (tmp_path / "shop_guards.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("shop_guards", None)


def registry(folder: Path, *names: str) -> Path:
    """A folder with one pair of prompt and schema per name, and a schema without a prompt."""
    for part in ("prompts", "schemas"):
        (folder / part).mkdir()
    for name in names:
        (folder / "prompts" / f"{name}.prompty").write_text("user:\nAge of {{ who }}?")
        (folder / "schemas" / f"{name}.json").write_text('{"type": "integer"}')
    (folder / "schemas" / "shared.json").write_text('{"type": "string"}')
    return folder


@pytest.mark.parametrize("attribute", ["age", "Box.inner", "wrapped"])
def test_a_module_of_the_working_folder_gives_its_guard(project: Path, attribute: str) -> None:
    """Guards, attributes of attributes, and functions under `@guarded`."""
    assert find_guard(Target(named=f"shop_guards:{attribute}")).name in ("age", "wrapped")


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("shop_guards", "is neither a folder nor module:attribute"),
        ("shop_guards:agee", r"has no 'agee'\. Its guards are: age, wrapped\."),
        ("shop_guards:nothing", r"is a int, and no guard\. Its guards are: age, wrapped\."),
        ("no_such_module:age", "no module 'no_such_module'"),
        ("shop_guards.py:age", "is a file. Write its module with dots: shop_guards:guard"),
        ("broken:age", r"importing 'broken' raised ZeroDivisionError: division by zero \(.*broken\.py, line 2\)"),
        ("imports_missing:age", "importing 'imports_missing' raised ModuleNotFoundError"),
        ("misbuilt:age", "module 'misbuilt' builds a guard that cannot work: .*'WRONG NAME'"),
    ],
)
def test_what_is_no_guard_is_told_with_what_there_is(project: Path, named: str, message: str) -> None:
    """One sentence, with the guards that could have been meant, or the line of the user's that raised."""
    (project / "broken.py").write_text("\n1 / 0\n")
    (project / "imports_missing.py").write_text("import no_such_library\n")
    (project / "misbuilt.py").write_text(
        "import llmguard\nllmguard.Guard('WRONG NAME', prompt='x', schema=int, log=None)\n"
    )
    with pytest.raises(UsageError, match=message):
        find_guard(Target(named=named))


def test_a_folder_of_one_pair_is_a_guard(tmp_path: Path) -> None:
    """The prompt and the schema of one name; a schema alone is no guard."""
    guard = find_guard(
        Target(
            named=str(registry(tmp_path, "age")),
            model="m",
            base_url="http://127.0.0.1:9/v1",
            log=f"sqlite:///{tmp_path}/log.db",
        )
    )
    assert (guard.name, [rung.label for rung in guard.policy.ladder]) == ("age", ["m"])


def test_of_several_pairs_one_is_chosen_by_name(tmp_path: Path) -> None:
    """`folder#name`, or `--name`; without either, the names are told."""
    folder = str(registry(tmp_path, "age", "size"))
    where = {"model": "m", "base_url": "http://127.0.0.1:9/v1", "log": f"sqlite:///{tmp_path}/log.db"}
    assert find_guard(Target(named=f"{folder}#size", **where)).name == "size"
    assert find_guard(Target(named=folder, name="age", **where)).name == "age"
    with pytest.raises(UsageError, match=r"has the guards age, size\. Say which: .*#age, or --name age"):
        find_guard(Target(named=folder, **where))
    with pytest.raises(UsageError, match=r"has no guard 'agee'\. It has: age, size"):
        find_guard(Target(named=folder, name="agee", **where))


def test_a_folder_needs_pairs_and_a_model(tmp_path: Path) -> None:
    """What is missing is named with what it should be."""
    with pytest.raises(UsageError, match=r"holds no pair prompts/NAME\.prompty and schemas/NAME\.json"):
        find_guard(Target(named=str(tmp_path), model="m"))
    with pytest.raises(UsageError, match="needs a model: add --model NAME"):
        find_guard(Target(named=str(registry(tmp_path, "age"))))


def test_another_log_is_the_same_guard(project: Path) -> None:
    """`--log` moves the outcomes, and where `last_good` looks, and leaves the fingerprint as it is."""
    own = find_guard(Target(named="shop_guards:age"))
    moved = find_guard(Target(named="shop_guards:age", log=f"sqlite:///{project / 'other.db'}"))
    assert (moved.fingerprint, moved.log is own.log) == (own.fingerprint, False)
    assert [moved.run(who="Ada").status, moved.run(who="Ada").source] == ["accepted", "last_good"]


def test_options_of_a_folder_are_refused_for_a_module(project: Path) -> None:
    """A guard of a module has its own model: an option that would be ignored is misuse."""
    with pytest.raises(UsageError, match="--model is for a folder; the guard 'shop_guards:age' has its own"):
        find_guard(Target(named="shop_guards:age", model="m"))
