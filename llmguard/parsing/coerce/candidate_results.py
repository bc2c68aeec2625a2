"""A candidate tried against the schema: the value it is read as, and what is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from llmguard.core.canonical import Json
from llmguard.core.outcome import Repair, Violation, Violations
from llmguard.parsing.coerce.echoes import is_placeholder, is_schema_echo, may_echo
from llmguard.parsing.coerce.fits import Fit
from llmguard.parsing.coerce.fitting import Fitter
from llmguard.parsing.coerce.nodes import Node
from llmguard.parsing.coerce.schema_plan import Plan, plan_of
from llmguard.parsing.syntax import Candidate
from llmguard.schema import Schema
from llmguard.schema.keywords import as_tokens

_LEVEL = {"final": 2, "answer": 1, "plain": 0, "option": -1}


class CandidateResult(NamedTuple):
    """A candidate read with the schema. `echo`: it says nothing, but hands back the schema or its placeholders."""

    candidate: Candidate
    value: Json
    repairs: tuple[Repair, ...]
    violations: Violations
    echo: bool = False

    @property
    def level(self) -> int:
        """How strongly the words around it present it as the answer."""
        return _LEVEL[self.candidate.role]

    @property
    def refused(self) -> bool:
        """Whether its text has no single reading, so that there is no value at all."""
        return bool(self.candidate.refused)

    @property
    def parsed(self) -> tuple[Json, ...]:
        """The value for salvage, as a tuple of one; empty where there is none."""
        return () if self.refused else (self.value,)


class Trial:
    """Tries the candidates of one reply."""

    def __init__(self, text: str, schema: Schema, max_depth: int) -> None:
        self.text, self.schema, self.max_depth = text, schema, max_depth
        self.plan: Plan = plan_of(schema.verdicts)
        self.root: Node = self.plan.root

    def of(self, candidate: Candidate) -> CandidateResult:
        if refused := candidate.refused or self._misplaced(candidate):
            return CandidateResult(replace(candidate, refused=refused), None, (), (refused,))
        wrong = self.schema.violations(candidate.value)
        fit = Fitter(self.plan, self.text, self.max_depth).fit(candidate.value) if wrong else Fit(candidate.value)
        repairs = candidate.repairs + fit.repairs
        if echo := self._echo(candidate.value, fit.value):
            return CandidateResult(candidate, fit.value, repairs, (echo,), echo=True)
        return CandidateResult(candidate, fit.value, repairs, self._wrong(fit) if wrong else ())

    def _echo(self, value: Json, fitted: Json) -> Violation | None:
        if is_schema_echo(value, self.plan):
            return Violation("", "schema_echo", "the schema instead of a value", "an answer")
        if may_echo(self.text, fitted, self.plan) and is_placeholder(fitted, self.plan):
            return Violation("", "placeholder", "placeholders instead of values", "an answer")
        return None

    def _wrong(self, fit: Fit) -> Violations:
        """What the schema says of a value, and for a doubt at the same place, the doubt."""
        found = self.schema.violations(fit.value)
        if not found:
            return fit.doubts
        doubts = {doubt.path: doubt for doubt in reversed(fit.doubts)}
        told = tuple(doubts.pop(one.path, one) if one.rule != "required" else one for one in found)
        return told + tuple(doubts.values())

    def _misplaced(self, candidate: Candidate) -> Violation | None:
        """A missing closer may have been an inner one: refused unless the schema says where each entry belongs."""
        doubtful = [place for place in candidate.unsure if not self._belongs(place)]
        if not doubtful:
            return None
        told = "a closing bracket is missing, and it is not clear where"
        return Violation(doubtful[0], "ambiguous_brackets", told, "each bracket closed")

    def _belongs(self, place: str) -> bool:
        """Whether the object at `place` and the one around it share no property, so that nothing can have moved."""
        node = outer = self.root
        for name in as_tokens(place):
            outer = node
            if "object" in node.types and name in node.properties:
                node = self.plan.node(node.properties[name], name)
            elif "array" in node.types and node.items:
                node = self.plan.node(node.items)
            else:
                return False
        both = node.properties.keys() & outer.properties.keys()
        return "object" in node.types and bool(node.properties) and not both
