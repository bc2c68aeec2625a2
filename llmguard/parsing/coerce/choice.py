"""Which of a reply's candidates is the answer: the one that is presented as such, and only where no other competes."""

from __future__ import annotations

from llmguard.core.messages import FailureKind
from llmguard.core.outcome import Repair, Violation
from llmguard.parsing.coerce.candidate_results import CandidateResult, Trial
from llmguard.parsing.coerce.result import Reading, found, none
from llmguard.parsing.coerce.unbracketed import bare_text, bare_value
from llmguard.parsing.syntax import Candidate, Parsed, same_json


def choose(parsed: Parsed, trial: Trial) -> Reading:
    """The answer among `parsed`, or why there is none."""
    if trial.root.types == {"string"}:
        return bare_text(parsed, trial)
    if not parsed.candidates:
        return bare_value(parsed, trial)
    answers = [one for one in parsed.candidates if one.may_be_answer]
    if not answers:
        return _no_answer(parsed.candidates)
    tried = [trial.of(_joined(answers))] if _are_lines(answers, trial) else [trial.of(one) for one in answers]
    real = [one for one in tried if not one.echo]
    valid = [one for one in real if not one.violations]
    return _of_several(valid, real, trial) if valid else _invalid(real or tried)


def _no_answer(candidates: tuple[Candidate, ...]) -> Reading:
    roles = ", ".join(sorted({one.role for one in candidates}))
    told = f"the reply has no answer, only what it presents as: {roles}"
    last = candidates[-1]
    parsed = () if last.refused else (last.value,)
    return none("unparsable", Violation("", "no_answer", told, "one answer"), candidate=parsed)


def _are_lines(answers: list[Candidate], trial: Trial) -> bool:
    """Objects one after the other, with nothing between, where a list is due."""
    if trial.root.types != {"array"} or len(answers) < 2:
        return False
    objects = all(isinstance(one.value, dict) and not one.refused for one in answers)
    return objects and all(one.gap for one in answers[1:])


def _joined(answers: list[Candidate]) -> Candidate:
    """Objects in lines as one list."""
    joined = Repair("", f"{len(answers)} values", "one list", "lossless", "json_lines")
    repairs = tuple(repair for one in answers for repair in one.repairs if repair.rule != "prose")
    return Candidate([one.value for one in answers], (joined, *repairs), answers[0].start, answers[-1].end)


def _of_several(valid: list[CandidateResult], real: list[CandidateResult], trial: Trial) -> Reading:
    """The last valid one, unless another one may be meant as well."""
    last = valid[-1]
    others = [one for one in valid if one is not last and not same_json(one.value, last.value)]
    is_only_an_option = last.level < 0 and (others or len(valid) == 1)
    if is_only_an_option or any(one.level >= last.level for one in others):
        return _ambiguous(len(others) + 1)
    if rivals := [one for one in real if one.violations and _competes(one, last, trial)]:
        return _rivalled(rivals[-1], last)
    if len(valid) > 1 and not others:
        repeated = Repair("", f"{len(valid)} equal answers", "one", "lossless", "repeated_answer")
        return found(last.value, (*last.repairs, repeated))
    return found(last.value, last.repairs)


def _competes(other: CandidateResult, chosen: CandidateResult, trial: Trial) -> bool:
    """Whether a value that is not valid may be the answer that was meant."""
    later = other.candidate.start > chosen.candidate.start
    if other.level < chosen.level and not later:
        return False
    if other.refused:
        return True
    value = other.candidate.value
    if isinstance(value, dict) and trial.root.properties:
        shares = any(trial.root.property_for(key) for key in value)
        return shares or (later and other.level > chosen.level)
    return isinstance(value, dict) or bool(value and trial.root.types == {"array"})


def _rivalled(rival: CandidateResult, chosen: CandidateResult) -> Reading:
    if rival.refused:
        return none("unparsable", *rival.violations, candidate=chosen.parsed)
    told = Violation("", "ambiguous", "a valid answer, and another one that is not valid", "one answer")
    return none("ambiguous", told, *rival.violations, candidate=chosen.parsed)


def _ambiguous(count: int) -> Reading:
    told = f"{count} different answers, and nothing tells which one is meant"
    return none("ambiguous", Violation("", "ambiguous", told, "one answer"))


def _invalid(tried: list[CandidateResult]) -> Reading:
    best = max(tried, key=lambda one: (one.level, one.candidate.start))
    failure: FailureKind = "unparsable" if best.refused else "schema"
    return Reading(None, best.violations, best.repairs, failure, best.parsed)
