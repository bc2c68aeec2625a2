"""The name under which another process can import a guard: how a guard is pickled.

A guard is bound to clients, a log and functions of this process, so only its name crosses: `module:attribute`.
"""

from __future__ import annotations

import sys
from importlib import import_module

from llmguard.core.errors import UsageError


def importable_name(guard: object, name: str) -> str:
    """`module:attribute` of a guard, or of the function under @guarded that has it. `name` is the guard's, for the error.

    Raises:
        UsageError: no imported module has the guard as an attribute.
    """
    for module_name, module in list(sys.modules.items()):
        for attribute, value in list(vars(module).items()) if module is not None else ():
            if (value is guard or guard_under_decorator(value) is guard) and not module_name.startswith("llmguard."):
                return f"{module_name}:{attribute}"
    raise UsageError(
        f"guard {name!r} cannot be pickled: another process finds a guard by its name, and no imported module has"
        " this one as an attribute. Assign it at the top of a module that the other process can import."
    )


def guard_under_decorator(value: object) -> object:
    """The guard of a function under @guarded; other objects may do anything when they are asked for an attribute."""
    return value.__dict__.get("guard") if type(value).__module__ == "llmguard.guard.decorator" else None


def guard_at(where: str) -> object:
    """The guard at `module:attribute`, as unpickling needs it.

    Raises:
        UsageError: there is no such module, or it has no such guard.
    """
    module_name, _, attribute = where.partition(":")
    mend = "A pickled guard is imported by its name: this process needs the same module, with the guard at its top."
    try:
        value = getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"the guard at {where!r} cannot be imported: {error}. {mend}") from None
    guard = guard_under_decorator(value) or value
    if type(guard).__name__ != "Guard":
        raise UsageError(f"what is at {where!r} is of type {type(guard).__name__}, expected a Guard. {mend}")
    return guard
