"""A JSON value fitted to the schema: what is wrapped, misspelt or written as text, where only one reading is possible.

`fit` descends without Python recursion: each step is a generator that yields the parts to be fitted
(`FitRequest`) and is sent their `Fit`s; one loop runs them all. Valid parts are never changed, and nothing is left out
unless the guard allows that by name (`drop_unknown`, `salvage_items`).
"""

from __future__ import annotations

from llmguard.core.canonical import Json
from llmguard.core.outcome import Repair
from llmguard.parsing.coerce.fits import (
    Fit,
    FitRequest,
    Fitting,
    Fittings,
    container_fit,
    lossless_repair,
    receipt_value,
    rejected_fit,
)
from llmguard.parsing.coerce.nodes import Node
from llmguard.parsing.coerce.objects import fit_members
from llmguard.parsing.coerce.rules import ReadingRules
from llmguard.parsing.coerce.schema_plan import CoercionPlan
from llmguard.parsing.coerce.texts import Spellings, from_text, is_number, read_text
from llmguard.parsing.coerce.wrappers import unwrapped, wrapped
from llmguard.parsing.syntax import same_json
from llmguard.values.rejection import Rejection
from llmguard.values.words import normalized_key

_STEPS_PER_LEVEL = 8
"""Steps of a descent for each level of a value: unions, wrappers and strings of JSON take some."""

_MISSING: Json = object()
"""Stands for a place of a named tuple that has no default."""

_LEAST_STEPS = 5_000
_CHARS_PER_STEP = 4
"""A recursive schema may allow wrappers without end, two at each level: so the steps are bounded by the length of the text."""


class Fitter:
    """Fits values to one schema. `source` is the text they came from, for the spelling of numbers."""

    def __init__(self, plan: CoercionPlan, source: str, rules: ReadingRules) -> None:
        self.plan, self.rules, self.max_depth = plan, rules, rules.max_depth
        self._leaves_out = rules.leaves_out
        self._spellings = Spellings(source)
        self._steps_left = _LEAST_STEPS + len(source) // _CHARS_PER_STEP
        self._known: dict[tuple[int, str, str], Fit] = {}
        self._alive: list[Json] = []  # keeps the values of `_known`, so that no other value gets their ids

    def fit(self, value: Json) -> Fit:
        """The value, fitted to the root of the schema."""
        root = FitRequest(value, "", "")
        answer = self._at_once(root)
        stack = [] if answer else [self._step(root)]
        while stack:
            try:
                request = stack[-1].send(answer) if answer is not None else next(stack[-1])
            except StopIteration as end:
                answer = end.value
                stack.pop()
                continue
            answer = self._at_once(request)
            if answer is None and not self._has_room(len(stack)):
                answer = rejected_fit(request, Rejection("too_deep", "nested too deep to be read"))
            elif answer is None:
                stack.append(self._step(request))
        assert answer is not None
        return answer

    def _has_room(self, depth: int) -> bool:
        self._steps_left -= 1
        return self._steps_left >= 0 and depth <= _STEPS_PER_LEVEL * self.max_depth

    def _at_once(self, request: FitRequest) -> Fit | None:
        """The answer where no descent is needed: known already, or valid as it is."""
        if isinstance(request.value, dict | list):
            known = self._known.get((id(request.value), request.pointer, request.name))
            if known is not None:
                return known
        return Fit(request.value) if self.plan.fits(request.value, request.pointer) else None

    def _step(self, request: FitRequest) -> Fitting:
        fit = yield from self._read(request, self.plan.node(request.pointer, request.name))
        if isinstance(request.value, dict | list):
            self._alive.append(request.value)
            self._known[id(request.value), request.pointer, request.name] = fit
        return fit

    def _read(self, request: FitRequest, node: Node) -> Fitting:
        """Try what the schema there allows, the closest first; several different readings are rejected."""
        direct: Fit | None = None
        if node.branches:
            direct = yield from self._union(request, node)
        elif node.allows(request.value):
            direct = yield from self._same_type(request, node)
        if direct and self._is_good(direct, request.pointer):
            return direct
        others = yield from self._conversions(request, node)
        good = [fit for fit in others if self._is_good(fit, request.pointer)]
        if good and all(same_json(fit.value, good[0].value) for fit in good):
            return good[0]
        if good:
            return rejected_fit(request, Rejection("ambiguous_value", "the value has more than one reading"))
        return direct or next((fit for fit in others if fit.violations), Fit(request.value))

    def _is_good(self, fit: Fit, pointer: str) -> bool:
        return not fit.violations and self.plan.fits(fit.value, pointer)

    def _same_type(self, request: FitRequest, node: Node) -> Fitting:
        if isinstance(request.value, dict):
            return (yield from fit_members(request, node, self.plan, self._may_leave_out))
        if isinstance(request.value, list):
            return (yield from self._items(request, node))
        if isinstance(request.value, str):
            return read_text(request, node)
        if isinstance(request.value, float) and "integer" in node.types:
            return rejected_fit(request, Rejection("fraction", "a fraction, and a whole number was due"))
        return Fit(request.value)

    def _items(self, request: FitRequest, node: Node) -> Fitting:
        fits: list[Fit] = []
        for number, item in enumerate(request.value):
            pointer = node.prefix[number] if number < len(node.prefix) else node.items
            fit = Fit(item)
            if pointer:
                fit = yield request._replace(value=item, pointer=pointer, path=f"{request.path}/{number}")
            fits.append(fit)
        if self._leaves_out and not node.prefix and node.items:
            return self._fitting_items(request, node, fits)
        return container_fit([fit.value for fit in fits], fits)

    def _fitting_items(self, request: FitRequest, node: Node, fits: list[Fit]) -> Fit:
        """The list without the items that do not fit, where they may be left out and at least one fits."""
        bad = [number for number, fit in enumerate(fits) if not self._is_good(fit, node.items)]
        paths = [f"{request.path}/{number}" for number in bad]
        if len(bad) == len(fits) or not all(self._may_leave_out("salvage_items", path) for path in paths):
            return container_fit([fit.value for fit in fits], fits)
        left_out = [
            Repair(path, receipt_value(request.value[number]), None, "lossy", "salvage_items")
            for path, number in zip(paths, bad, strict=True)
        ]
        kept = [fit for number, fit in enumerate(fits) if number not in set(bad)]
        return container_fit([fit.value for fit in kept], kept, left_out)

    def _may_leave_out(self, rule: str, path: str) -> bool:
        return self._leaves_out and self.rules.may_leave_out(rule, path)

    def _named_items(self, request: FitRequest, node: Node) -> Fittings:
        """An object read as a named tuple: each member at the place of its name, and for those that are missing the default."""
        if not node.prefix or not isinstance(request.value, dict):
            return []
        defaults = self._tuple_items(node)
        members = {normalized_key(key): item for key, item in request.value.items()}
        if not members.keys() <= defaults.keys():
            return []
        items = [members.get(name, default) for name, default in defaults.items()]
        if len(members) < len(request.value) or any(item is _MISSING for item in items):
            return []
        fit = yield request._replace(value=items)
        return [fit.after(lossless_repair(request.path, receipt_value(request.value), "[…]", "named_tuple"))]

    def _tuple_items(self, node: Node) -> dict[str, Json]:
        """The names of a tuple's places and their defaults; none where a place has no name, or two have the same."""
        located = [self.plan.written(pointer) for pointer in node.prefix]
        names = [normalized_key(str(each.get("title", ""))) for each in located]
        if node.items or "" in names or len(set(names)) < len(names):
            return {}
        return {name: each.get("default", _MISSING) for name, each in zip(names, located, strict=True)}

    def _union(self, request: FitRequest, node: Node) -> Fitting:
        """The one branch that the value fits; different fits of several branches are rejected."""
        fits: list[Fit] = []
        failed: list[Fit] = []
        for pointer in (branch for branches in node.branches for branch in branches):
            fit = yield request._replace(pointer=pointer)
            good = self._is_good(fit, pointer) and self.plan.fits(fit.value, request.pointer)
            (fits if good else failed).append(fit)
        if not fits:
            return Fit(request.value, (), next((fit.violations for fit in failed if fit.violations), ()))
        if all(same_json(fit.value, fits[0].value) for fit in fits):
            return min(fits, key=lambda fit: len(fit.repairs))
        return rejected_fit(request, Rejection("ambiguous_union", "the value fits several branches differently"))

    def _conversions(self, request: FitRequest, node: Node) -> Fittings:
        """Fits of a value that is of another type than the schema's, or wrapped."""
        fits: list[Fit] = []
        if isinstance(request.value, str):
            fits += yield from from_text(request, node, self.max_depth, self._spellings)
        elif is_number(request.value):
            fits += self._spellings.as_text(request, node)
        fits += yield from self._named_items(request, node)
        for inner, rule in unwrapped(request, node, self.rules.name):
            fit = yield request._replace(value=inner)
            unwrapping = lossless_repair(request.path, receipt_value(request.value), receipt_value(inner), rule)
            fits.append(fit.after(unwrapping))
        fits += yield from wrapped(request, node, self.plan)
        return fits
