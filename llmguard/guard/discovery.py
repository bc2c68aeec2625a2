"""Guards in Python modules: by `module:attribute`, or all that a module holds."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType

from llmguard.core.canonical import Json
from llmguard.core.errors import LLMGuardError, UsageError
from llmguard.guard.decorator import Guarded
from llmguard.guard.guard import Guard


def import_user_module(name: str, folder: Path) -> ModuleType:
    """The module, of `folder` or installed; UsageError says why it cannot be had."""
    if name.endswith(".py") or "/" in name:
        raise UsageError(f"{name!r} is a file. Write its module with dots: {_dotted(name)}:guard.")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise UsageError(f"no module {error.name!r} here ({folder}) nor among the installed ones.") from None
        raise _import_failed(name, error) from None
    except LLMGuardError as error:
        raise UsageError(f"module {name!r} builds a guard that cannot work: {error}") from None
    except Exception as error:  # whatever the user's module does when it is imported
        raise _import_failed(name, error) from None


def object_by_name(name: str, folder: Path, instead: str = "") -> object:
    """What stands at `module:attribute`, where attribute may have dots. `instead`: what the module has, for the message."""
    module_name, _, attribute = name.partition(":")
    target: object = import_user_module(module_name, folder)
    for part in attribute.split("."):
        if not hasattr(target, part):
            raise UsageError(f"module {module_name!r} has no {attribute!r}. {instead}".rstrip())
        target = getattr(target, part)
    return target


def guard_by_name(name: str, folder: Path) -> Guard[Json]:
    """The guard at `module:attribute`, where attribute may have dots."""
    module = import_user_module(name.partition(":")[0], folder)
    target = object_by_name(name, folder, _guards_in(module))
    guard = target.guard if isinstance(target, Guarded) else target
    if not isinstance(guard, Guard):
        raise UsageError(f"{name!r} is a {type(guard).__name__}, and no guard. {_guards_in(module)}")
    return guard


def guards_by_name(name: str, folder: Path) -> dict[str, Guard[Json]]:
    """All guards of a module, or the one at `module:attribute`, each under the name by which a Python file knows it."""
    if ":" in name:
        return {name: guard_by_name(name, folder)}
    module = import_user_module(name, folder)
    guards = {f"{name}:{attribute}": guard for attribute, guard in guards_of(module).items()}
    if not guards:
        raise UsageError(f"module {name!r} holds no guard. Expected a Guard, or a function under @guarded.")
    return guards


def guards_of(module: ModuleType) -> dict[str, Guard[Json]]:
    """The guards among a module's attributes, by attribute."""
    guards = {}
    for attribute, thing in sorted(vars(module).items()):
        guard = thing.guard if isinstance(thing, Guarded) else thing
        if isinstance(guard, Guard):
            guards[attribute] = guard
    return guards


def _dotted(name: str) -> str:
    return ".".join(Path(name).with_suffix("").parts).lstrip("./")


def _import_failed(name: str, error: Exception) -> UsageError:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{frame.filename}, line {frame.lineno}"
    return UsageError(f"importing {name!r} raised {type(error).__name__}: {error} ({place}).")


def _guards_in(module: ModuleType) -> str:
    names = list(guards_of(module))
    return f"Its guards are: {', '.join(names)}." if names else "It holds no guard."
