"""An object's members under the schema's names: keys by case, separators and alias, null for what may be absent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from llmguard.core.canonical import Json
from llmguard.core.outcome import Repair, Violation
from llmguard.parsing.coerce.fits import Fit, FitRequest, Fitting, container_fit, lossless_repair, receipt_value
from llmguard.parsing.coerce.nodes import Node
from llmguard.parsing.coerce.schema_plan import CoercionPlan
from llmguard.parsing.syntax import same_json
from llmguard.parsing.syntax.notes import cut_middle
from llmguard.schema.keywords import as_pointer
from llmguard.values.words import normalized_words

MayLeaveOut: TypeAlias = Callable[[str, str], bool]


def fit_members(request: FitRequest, node: Node, plan: CoercionPlan, may_leave_out: MayLeaveOut) -> Fitting:
    """The object with each member fitted to its property. `may_leave_out`: whether a repair by this name is allowed there."""
    names, repairs, violations = _property_names(request, node)
    named = NamedUnits(request)
    fits: list[Fit] = []
    value: dict[str, Json] = {}
    for key, item in request.value.items():
        name = names[key]
        path = request.path + as_pointer((name,))
        pointer = node.properties.get(name, node.additional)
        if node.is_closed and name not in node.properties and may_leave_out("drop_unknown", path):
            repairs.append(Repair(path, receipt_value(item), None, "lossy", "drop_unknown"))
            continue
        fit = Fit(item)
        if pointer:
            fit = yield FitRequest(item, pointer, path, name, *named.of(name), request.nested)
        if item is None and fit.value is None and _may_be_absent(name, node, plan):
            continue  # no repair: the strict form of a schema asks for null there
        fits.append(fit)
        value[name] = fit.value
    return container_fit(value, fits, repairs, violations)


class NamedUnits:
    """The currency and the unit that an object's own members name: `currency` and `unit` for all its numbers, `price_currency`
    and `weight_unit` for one. A currency goes for the objects below it too, unless they name another."""

    def __init__(self, request: FitRequest) -> None:
        self._outer = request.currency
        self._by_kind: dict[str, dict[str, str]] = {"currency": {}, "unit": {}}
        for key, item in request.value.items():
            if not isinstance(item, str) or len(item) > _MAX_UNIT_CHARS:
                continue
            words = normalized_words(key)
            for kind, endings in _UNIT_KEYS.items():
                if ending := next((each for each in endings if f" {words}".endswith(f" {each}")), ""):
                    self._by_kind[kind][words.removesuffix(ending).strip()] = item

    def of(self, name: str) -> tuple[str, str]:
        """The currency and the unit of the property `name`; "" where no sibling says it."""
        words = normalized_words(name)
        currencies, units = self._by_kind["currency"], self._by_kind["unit"]
        return currencies.get(words) or currencies.get("") or self._outer, units.get(words) or units.get("") or ""


_UNIT_KEYS = {
    "currency": ("currency code", "currency symbol", "currency iso", "currency"),
    "unit": ("unit of measure", "unit of measurement", "units", "unit", "uom"),
}
_MAX_UNIT_CHARS = 40


def _may_be_absent(name: str, node: Node, plan: CoercionPlan) -> bool:
    """Whether a property may be left out, and may not be null."""
    if name in node.required or name not in node.properties:
        return False
    return not plan.fits(None, node.properties[name])


def _property_names(request: FitRequest, node: Node) -> tuple[dict[str, str], list[Repair], list[Violation]]:
    """Each key's name in the schema; a key that may be two names, or two keys for one name, are violations."""
    names = {key: key for key in request.value}
    taken = {key for key in request.value if key in node.properties}
    repairs: list[Repair] = []
    violations: list[Violation] = []
    for key in request.value:
        meant = [] if key in node.properties else node.property_for(key)
        free = not taken.intersection(meant)
        if len(meant) == 1 and free:
            names[key] = meant[0]
            taken.add(meant[0])
            repairs.append(lossless_repair(request.path, cut_middle(key), meant[0], "key_name"))
        elif meant and (free or not _has_same_value(request, key, meant[0])):
            message = f"the key {key[:60]!r} may be {' or '.join(meant)}"
            violations.append(Violation(request.path, "duplicate_key", message, None, key[:60]))
    return names, repairs, violations


def _has_same_value(request: FitRequest, key: str, name: str) -> bool:
    return name in request.value and same_json(request.value[name], request.value[key])
