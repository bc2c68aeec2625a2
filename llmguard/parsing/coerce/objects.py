"""An object's members under the schema's names: keys by case, separators and alias, null for what may be absent."""

from __future__ import annotations

from llmguard.core.canonical import Json
from llmguard.core.outcome import Repair, Violation
from llmguard.parsing.coerce.fits import Ask, Fit, Fitting, joined, lossless
from llmguard.parsing.coerce.nodes import Node
from llmguard.parsing.coerce.schema_plan import Plan
from llmguard.parsing.syntax import same_json
from llmguard.parsing.syntax.notes import clipped
from llmguard.schema.keywords import as_pointer
from llmguard.values.words import normalized_key


def members(ask: Ask, node: Node, plan: Plan) -> Fitting:
    """The object with each member fitted to its property."""
    names, repairs, doubts = _named(ask, node)
    currency = str(next((item for key, item in ask.value.items() if normalized_key(key) == "currency"), "")).lower()
    found: list[Fit] = []
    value: dict[str, Json] = {}
    for key, item in ask.value.items():
        name = names[key]
        path = ask.path + as_pointer((name,))
        place = node.properties.get(name, node.additional)
        fit = Fit(item)
        if place:
            fit = yield Ask(item, place, path, name, currency, ask.nested)
        if item is None and fit.value is None and _may_be_absent(name, node, plan):
            repairs.append(lossless(path, None, None, "null_as_absent"))
            continue
        found.append(fit)
        value[name] = fit.value
    return joined(value, found, repairs, doubts)


def _may_be_absent(name: str, node: Node, plan: Plan) -> bool:
    """Whether a property may be left out, and may not be null."""
    if name in node.required or name not in node.properties:
        return False
    return not plan.fits(None, node.properties[name])


def _named(ask: Ask, node: Node) -> tuple[dict[str, str], list[Repair], list[Violation]]:
    """Each key's name in the schema; a key that may be two names, or two keys that are one name, are in doubt."""
    names = {key: key for key in ask.value}
    taken = {key for key in ask.value if key in node.properties}
    repairs: list[Repair] = []
    doubts: list[Violation] = []
    for key in ask.value:
        meant = [] if key in node.properties else node.property_for(key)
        free = not taken.intersection(meant)
        if len(meant) == 1 and free:
            names[key] = meant[0]
            taken.add(meant[0])
            repairs.append(lossless(ask.path, clipped(key), meant[0], "key_name"))
        elif meant and (free or not _says_the_same(ask, key, meant[0])):
            told = f"the key {key[:60]!r} may be {' or '.join(meant)}"
            doubts.append(Violation(ask.path, "duplicate_key", told, None, key[:60]))
    return names, repairs, doubts


def _says_the_same(ask: Ask, key: str, name: str) -> bool:
    return name in ask.value and same_json(ask.value[name], ask.value[key])
