"""The guards of a test run: imported once, from what the option or the ini file names, and found by their names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.guard.discovery import guards_named
from llmguard.guard.guard import Guard

_found = pytest.StashKey["dict[str, Guard[Json]] | UsageError"]()


def guard_of(config: pytest.Config, name: str) -> Guard[Json]:
    """The guard of this name; UsageError where there is none, and what to do."""
    named = named_modules(config)
    if not named:
        raise UsageError(
            f"nothing says where the guard {name!r} is. Run pytest --llmguard-guards my_app.guards, or set"
            " llmguard_guards = my_app.guards in the ini file."
        )
    found = _guards(config, named)
    if name not in found:
        raise UsageError(
            f"no guard {name!r} in {', '.join(named)}: found {', '.join(sorted(found))}. Name its module in"
            " --llmguard-guards or llmguard_guards; a renamed guard needs its folder of cases renamed too."
        )
    return found[name]


def named_modules(config: pytest.Config) -> list[str]:
    """The option, where it was given; else the ini file."""
    given = [part for each in config.getoption("llmguard_guards") for part in each.split(",")]
    named = given or config.getini("llmguard_guards")
    return [each.strip() for each in named if each.strip()]


def collected(named: Iterable[str], folder: Path) -> dict[str, Guard[Json]]:
    """The guards of all modules by name. One guard that several modules know is one; two of one name are refused."""
    found: dict[str, Guard[Json]] = {}
    places: dict[str, str] = {}
    for each in named:
        for place, guard in guards_named(each, folder).items():
            if found.setdefault(guard.name, guard) is not guard:
                raise UsageError(
                    f"two guards are named {guard.name!r}: {places[guard.name]} and {place}. Rename one, or name the one"
                    " that is meant as MODULE:ATTR."
                )
            places.setdefault(guard.name, place)
    return found


def _guards(config: pytest.Config, named: list[str]) -> dict[str, Guard[Json]]:
    """Imported at the first case; what cannot be imported is said at each case, and not tried again."""
    if _found not in config.stash:
        try:
            config.stash[_found] = collected(named, config.rootpath)
        except UsageError as error:
            config.stash[_found] = error
    found = config.stash[_found]
    if isinstance(found, UsageError):
        raise UsageError(str(found))
    return found
