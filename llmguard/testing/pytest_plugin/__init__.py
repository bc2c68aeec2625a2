"""The pytest plugin: its options and hooks. The modules beside this one do the work, and are loaded when needed.

Installed with llmguard by its entry point; `-p no:llmguard` leaves it out. PYTEST_DONT_REWRITE: nothing is asserted here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    from llmguard.log import OutcomeLog
    from llmguard.testing import ScriptedModel
    from llmguard.testing.pytest_plugin.fixtures import Replaying

CASES = ("tests", "cases")
_folders = pytest.StashKey[tuple[Path, ...]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("llmguard", "llmguard: guards of language models")
    group.addoption(
        "--llmguard-guards",
        action="append",
        default=[],
        metavar="MODULE[:ATTR]",
        help="where the guards of the case files are: a module, or one guard in it (repeatable, or with commas)",
    )
    group.addoption(
        "--llmguard-live",
        action="store_true",
        help="allow live model calls; a case that would call the model does so",
    )
    group.addoption(
        "--llmguard-record",
        action="store_true",
        help="with --llmguard-live: write the model's replies into the case files",
    )
    parser.addini(
        "llmguard_guards", "modules of guards, one a line: MODULE or MODULE:ATTR", type="linelist", default=[]
    )
    parser.addini("llmguard_cases", "folders of case files (tests/cases)", type="paths", default=None)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "llmguard: a case file, replayed against today's guard")
    live = config.getoption("llmguard_live")
    if config.getoption("llmguard_record") and not live:
        raise pytest.UsageError("--llmguard-record saves what the model replies: give it with --llmguard-live.")
    config.stash[_folders] = tuple(config.getini("llmguard_cases") or [config.rootpath.joinpath(*CASES)])
    if not live:
        refused = import_module("llmguard.testing.pytest_plugin.blocked_calls").LiveCallsRefused()
        config.pluginmanager.register(refused, "llmguard_live_calls_refused")
        config.add_cleanup(refused.close)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """FOLDER/<guard>/<slug>.json, and nothing else."""
    if (
        file_path.suffix != ".json"
        or file_path.name.startswith(".")
        or file_path.parent.parent not in parent.config.stash[_folders]
    ):
        return None
    cases = import_module("llmguard.testing.pytest_plugin.cases")
    return cast(pytest.Collector, cases.CaseFile.at(file_path, parent))


# --- fixtures


@pytest.fixture
def guard_replay(pytestconfig: pytest.Config) -> Replaying:
    """guard_replay(guard, case): today's outcome of a case, a case file's path, or a record; fails where the case does not
    hold, or the guard would call its model."""
    fixtures = import_module("llmguard.testing.pytest_plugin.fixtures")
    return cast("Replaying", fixtures.replaying(pytestconfig.rootpath))


@pytest.fixture
def scripted_model() -> Callable[..., ScriptedModel]:
    """scripted_model(["first reply", "second"]): a model with these replies; takes what ScriptedModel takes."""
    return cast("Callable[..., ScriptedModel]", import_module("llmguard.testing").ScriptedModel)


@pytest.fixture
def outcome_log(tmp_path: Path) -> Iterator[OutcomeLog]:
    """A fresh outcome log on the disk, closed when the test ends."""
    yield from import_module("llmguard.testing.pytest_plugin.fixtures").fresh_log(tmp_path)


@pytest.fixture
def no_network() -> Iterator[list[str]]:
    """Connections to other machines are refused during this test, and fail it; those to this machine are not."""
    yield from import_module("llmguard.testing.pytest_plugin.fixtures").without_network()
