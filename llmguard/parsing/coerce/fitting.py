"""A JSON value read with the schema at hand: what is wrapped, misspelt or written as text, where one reading is left.

`fit` descends without Python recursion: each step is a generator that yields the parts it wants fitted (`Ask`) and is
sent their `Fit`s; one loop runs them all. Valid parts are never touched, and nothing is ever left out.
"""

from __future__ import annotations

from llmguard.core.canonical import Json
from llmguard.parsing.coerce.fits import Ask, Fit, Fitting, Fittings, brief, doubted, joined, lossless
from llmguard.parsing.coerce.nodes import Node
from llmguard.parsing.coerce.objects import members
from llmguard.parsing.coerce.schema_plan import Plan
from llmguard.parsing.coerce.texts import Spellings, from_text, is_number, read_text
from llmguard.parsing.coerce.wrappers import unwrapped, wrapped
from llmguard.parsing.syntax import same_json
from llmguard.values.rejection import Rejection

_STEPS_PER_LEVEL = 8
"""Steps of a descent for each level of a value: unions, wrappers and strings of JSON take some."""

_LEAST_STEPS = 5_000
_CHARS_PER_STEP = 4
"""A recursive schema may ask for wrappers without end, with two ways on at each: the steps are bounded by the text."""


class Fitter:
    """Fits values to one schema. `source` is the text they came from, for the spelling of numbers."""

    def __init__(self, plan: Plan, source: str, max_depth: int) -> None:
        self.plan, self.max_depth = plan, max_depth
        self._spellings = Spellings(source)
        self._steps_left = _LEAST_STEPS + len(source) // _CHARS_PER_STEP
        self._known: dict[tuple[int, str, str], Fit] = {}
        self._alive: list[Json] = []  # so that their ids stay theirs

    def fit(self, value: Json) -> Fit:
        """The value as the root of the schema wants it."""
        root = Ask(value, "", "")
        answer = self._at_once(root)
        stack = [] if answer else [self._step(root)]
        while stack:
            try:
                ask = stack[-1].send(answer) if answer is not None else next(stack[-1])
            except StopIteration as end:
                answer = end.value
                stack.pop()
                continue
            answer = self._at_once(ask)
            if answer is None and not self._has_room(len(stack)):
                answer = doubted(ask, Rejection("too_deep", "nested too deep to be read"))
            elif answer is None:
                stack.append(self._step(ask))
        assert answer is not None
        return answer

    def _has_room(self, depth: int) -> bool:
        self._steps_left -= 1
        return self._steps_left >= 0 and depth <= _STEPS_PER_LEVEL * self.max_depth

    def _at_once(self, ask: Ask) -> Fit | None:
        """The answer where no descent is needed: known already, or valid as it is."""
        if isinstance(ask.value, dict | list):
            known = self._known.get((id(ask.value), ask.place, ask.name))
            if known is not None:
                return known
        return Fit(ask.value) if self.plan.fits(ask.value, ask.place) else None

    def _step(self, ask: Ask) -> Fitting:
        fit = yield from self._read(ask, self.plan.node(ask.place, ask.name))
        if isinstance(ask.value, dict | list):
            self._alive.append(ask.value)
            self._known[id(ask.value), ask.place, ask.name] = fit
        return fit

    def _read(self, ask: Ask, node: Node) -> Fitting:
        """Try what the place allows, in order of closeness; several different readings are none."""
        direct: Fit | None = None
        if node.branches:
            direct = yield from self._union(ask, node)
        elif node.allows(ask.value):
            direct = yield from self._same_type(ask, node)
        if direct and self._is_good(direct, ask.place):
            return direct
        others = yield from self._conversions(ask, node)
        good = [fit for fit in others if self._is_good(fit, ask.place)]
        if good and all(same_json(fit.value, good[0].value) for fit in good):
            return good[0]
        if good:
            return doubted(ask, Rejection("ambiguous_value", "the value has more than one reading"))
        return direct or next((fit for fit in others if fit.doubts), Fit(ask.value))

    def _is_good(self, fit: Fit, place: str) -> bool:
        return not fit.doubts and self.plan.fits(fit.value, place)

    def _same_type(self, ask: Ask, node: Node) -> Fitting:
        if isinstance(ask.value, dict):
            return (yield from members(ask, node, self.plan))
        if isinstance(ask.value, list):
            return (yield from self._items(ask, node))
        if isinstance(ask.value, str):
            return read_text(ask, node)
        if isinstance(ask.value, float) and "integer" in node.types:
            return doubted(ask, Rejection("fraction", "a fraction, and a whole number was due"))
        return Fit(ask.value)

    def _items(self, ask: Ask, node: Node) -> Fitting:
        found: list[Fit] = []
        for number, item in enumerate(ask.value):
            place = node.prefix[number] if number < len(node.prefix) else node.items
            fit = Fit(item)
            if place:
                fit = yield ask._replace(value=item, place=place, path=f"{ask.path}/{number}")
            found.append(fit)
        return joined([fit.value for fit in found], found)

    def _union(self, ask: Ask, node: Node) -> Fitting:
        """The one branch that the value fits; different fits of several branches are in doubt."""
        fits: list[Fit] = []
        failed: list[Fit] = []
        for place in (branch for branches in node.branches for branch in branches):
            fit = yield ask._replace(place=place)
            good = self._is_good(fit, place) and self.plan.fits(fit.value, ask.place)
            (fits if good else failed).append(fit)
        if not fits:
            return Fit(ask.value, (), next((fit.doubts for fit in failed if fit.doubts), ()))
        if all(same_json(fit.value, fits[0].value) for fit in fits):
            return min(fits, key=lambda fit: len(fit.repairs))
        return doubted(ask, Rejection("ambiguous_union", "the value fits several branches differently"))

    def _conversions(self, ask: Ask, node: Node) -> Fittings:
        """Readings of a value as something else than it is."""
        found: list[Fit] = []
        if isinstance(ask.value, str):
            found += yield from from_text(ask, node, self.max_depth)
        elif is_number(ask.value):
            found += self._spellings.as_text(ask, node)
        for inner, rule in unwrapped(ask, node):
            fit = yield ask._replace(value=inner)
            found.append(fit.after(lossless(ask.path, brief(ask.value), brief(inner), rule)))
        found += yield from wrapped(ask, node, self.plan)
        return found
