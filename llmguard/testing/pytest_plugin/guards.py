"""The guards of a test run: imported once, from what the option or the ini file names, and found by their names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.guard.discovery import guards_by_name
from llmguard.guard.guard import Guard

_collected = pytest.StashKey["dict[str, Guard[Json]] | UsageError"]()


def guard_of(config: pytest.Config, name: str) -> Guard[Json]:
    """The guard of this name; UsageError where there is none, and what to do."""
    modules = module_names(config)
    if not modules:
        raise UsageError(
            f"nothing says where the guard {name!r} is. Run pytest --llmguard-guards my_app.guards, or set"
            " llmguard_guards = my_app.guards in the ini file."
        )
    guards = _guards(config, modules)
    if name not in guards:
        raise UsageError(
            f"no guard {name!r} in {', '.join(modules)}: found {', '.join(sorted(guards))}. Name its module in"
            " --llmguard-guards or llmguard_guards; a renamed guard needs its folder of cases renamed too."
        )
    return guards[name]


def module_names(config: pytest.Config) -> list[str]:
    """The option's, where it was given; else those of the ini file."""
    option = [part for each in config.getoption("llmguard_guards") for part in each.split(",")]
    names = option or config.getini("llmguard_guards")
    return [each.strip() for each in names if each.strip()]


def collect_guards(modules: Iterable[str], folder: Path) -> dict[str, Guard[Json]]:
    """The guards of all modules by name. One guard that several modules know is one; two of one name are refused."""
    guards: dict[str, Guard[Json]] = {}
    paths: dict[str, str] = {}
    for each in modules:
        for path, guard in guards_by_name(each, folder).items():
            if guards.setdefault(guard.name, guard) is not guard:
                raise UsageError(
                    f"two guards are named {guard.name!r}: {paths[guard.name]} and {path}. Rename one, or name the one"
                    " that is meant as MODULE:ATTR."
                )
            paths.setdefault(guard.name, path)
    return guards


def _guards(config: pytest.Config, modules: list[str]) -> dict[str, Guard[Json]]:
    """Imported at the first case; an error of the import is raised at each case, and the import is not tried again."""
    if _collected not in config.stash:
        try:
            config.stash[_collected] = collect_guards(modules, config.rootpath)
        except UsageError as error:
            config.stash[_collected] = error
    guards = config.stash[_collected]
    if isinstance(guards, UsageError):
        raise UsageError(str(guards))
    return guards
