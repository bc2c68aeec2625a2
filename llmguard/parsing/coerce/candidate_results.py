"""A candidate read with the schema: the value it is read as, and what is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from llmguard.core.canonical import Json
from llmguard.core.messages import FailureKind
from llmguard.core.outcome import Repair, Violation, Violations
from llmguard.parsing.coerce.afterwards import objection
from llmguard.parsing.coerce.damage import structural_doubt
from llmguard.parsing.coerce.echoes import is_placeholder, is_schema_echo, may_echo
from llmguard.parsing.coerce.fits import Fit
from llmguard.parsing.coerce.fitting import Fitter
from llmguard.parsing.coerce.nodes import Node
from llmguard.parsing.coerce.omissions import omission
from llmguard.parsing.coerce.quotations import NO_INPUTS, Inputs
from llmguard.parsing.coerce.rules import ReadingRules
from llmguard.parsing.coerce.schema_plan import CoercionPlan, plan_of
from llmguard.parsing.coerce.wrappers import is_in_other_call
from llmguard.parsing.syntax import Candidate
from llmguard.parsing.syntax.wording import LABELS
from llmguard.schema import Schema
from llmguard.values.words import normalized_key, normalized_words

_ONE = "one JSON value, and no text that says otherwise"
_OBJECTIONS = {
    "sentence_goes_on": ("the value stands inside a sentence that goes on after it", _ONE),
    "taken_back": ("the text after the value takes it back or doubts it", _ONE),
    "contradicted": ("the text after the value gives another value for it", _ONE),
    "unread_text": ("the text after the value is too long to be searched for what takes it back", _ONE),
    "unknown_remark": ("a short remark after the value may take it back", "one JSON value and nothing else"),
}


class CandidateResult(NamedTuple):
    """A candidate read with the schema. `echo`: it repeats the schema or its placeholders instead of answering."""

    candidate: Candidate
    value: Json
    repairs: tuple[Repair, ...]
    violations: Violations
    echo: bool = False

    @property
    def refused(self) -> bool:
        """Whether its text has no single reading, so that there is no value at all."""
        return bool(self.candidate.refused)

    @property
    def failure(self) -> FailureKind:
        """What a value that is not read is called: one whose text ends before it does was cut, whatever the server says."""
        if not self.refused:
            return "schema"
        return "truncated" if self.violations[0].rule.startswith("unterminated") else "unparsable"

    @property
    def parsed(self) -> tuple[Json, ...]:
        """The value for salvage, as a tuple of one; empty where there is none."""
        return () if self.refused else (self.value,)


class CandidateReader:
    """Reads the candidates of one reply with the schema."""

    def __init__(self, text: str, schema: Schema, rules: ReadingRules, inputs: Inputs = NO_INPUTS) -> None:
        self.text, self.schema, self.rules, self.inputs = text, schema, rules, inputs
        self.plan: CoercionPlan = plan_of(schema.verdicts)
        self.root: Node = self.plan.root

    def read(self, candidate: Candidate) -> CandidateResult:
        """The candidate as it is where it fits, else fitted to the schema, with what is wrong then."""
        if refused := candidate.refused or structural_doubt(candidate, self.plan, self.rules.name):
            return CandidateResult(replace(candidate, refused=refused), None, (), (refused,))
        wrong = self.schema.violations(candidate.value)
        fit = Fitter(self.plan, self.text, self.rules).fit(candidate.value) if wrong else Fit(candidate.value)
        repairs = candidate.repairs + fit.repairs
        if echo := self._echo(candidate.value, fit.value):
            return CandidateResult(candidate, fit.value, repairs, (echo,), echo=True)
        violations = self._wrong(fit) if wrong else ()
        omitted = None if violations else omission(fit.value, self.plan)
        return CandidateResult(candidate, fit.value, repairs, (omitted,) if omitted else violations)

    def presents(self, candidate: Candidate, text: str) -> bool:
        """Whether a candidate of `text` stands as the answer: on its own or after a label that the schema knows, and not,
        among other words, as the inputs have it."""
        if candidate.place == "labelled":
            words = normalized_words(candidate.label).split()
            if not all(word in self.plan.words or word in LABELS for word in words):
                return False
        elif candidate.place != "own":
            return False
        before = text[max(0, candidate.start - 200) : candidate.start]
        if before and is_in_other_call(before, self.plan.call_names | {normalized_key(self.rules.name)}):
            return False
        return not self.quotes_inputs(candidate, text)

    def quotes_inputs(self, candidate: Candidate, text: str) -> bool:
        """Whether the inputs hold a candidate that has prose around it."""
        if candidate.refused or not any(repair.rule == "prose" for repair in candidate.repairs):
            return False
        return self.inputs.hold(text[candidate.start : candidate.end], candidate.value)

    unknown_remark = _OBJECTIONS["unknown_remark"][0]

    def objection(self, result: CandidateResult, after: str) -> Violation | None:
        """Why the text after a candidate forbids it."""
        return self.objection_to(result.value, after)

    def objection_to(self, value: Json, after: str) -> Violation | None:
        """Why the text after a value forbids it."""
        others = frozenset(text.casefold() for text in self.plan.literals)
        rule, words = objection(after, value, others, self.inputs)
        if not rule:
            return None
        message, expected = _OBJECTIONS[rule]
        return Violation("", "ambiguous", message, expected, words)

    def _echo(self, value: Json, fitted: Json) -> Violation | None:
        if is_schema_echo(value, self.plan):
            return Violation("", "schema_echo", "the schema instead of a value", "an answer")
        if may_echo(self.text, fitted, self.plan) and is_placeholder(fitted, self.plan):
            return Violation("", "placeholder", "placeholders instead of values", "an answer")
        return None

    def _wrong(self, fit: Fit) -> Violations:
        """The schema's violations; where the fit says at the same path why it read nothing, that one instead."""
        violations = self.schema.violations(fit.value)
        if not violations:
            return fit.violations
        reasons = {reason.path: reason for reason in reversed(fit.violations)}
        explained = tuple(reasons.pop(one.path, one) if one.rule != "required" else one for one in violations)
        return explained + tuple(reasons.values())
