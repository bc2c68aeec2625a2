"""Which of a reply's candidates is the answer: the one that is presented as such, and only where no other competes."""

from __future__ import annotations

from llmguard.core.outcome import Repair, Violation
from llmguard.parsing.coerce.candidate_results import CandidateReader, CandidateResult
from llmguard.parsing.coerce.result import Reading, no_reading, valid_reading
from llmguard.parsing.coerce.unbracketed import unbracketed_text, unbracketed_value
from llmguard.parsing.syntax import Candidate, Parsed, same_json


def choose_answer(parsed: Parsed, reader: CandidateReader) -> Reading:
    """The answer among the candidates, or why there is none."""
    if reader.root.types == {"string"}:
        return unbracketed_text(parsed, reader)
    if not parsed.candidates:
        return unbracketed_value(parsed, reader)
    answers = [one for one in parsed.candidates if one.may_be_answer]
    if not answers:
        return _no_answer(parsed.candidates)
    results = [reader.read(_joined(answers))] if _are_lines(answers, reader) else [reader.read(one) for one in answers]
    real = [one for one in results if not one.echo]
    valid = [one for one in real if not one.violations]
    return _of_several(valid, real, reader) if valid else _invalid(real or results)


def _no_answer(candidates: tuple[Candidate, ...]) -> Reading:
    roles = ", ".join(sorted({one.role for one in candidates}))
    message = f"the reply has no answer, only what it presents as: {roles}"
    last = candidates[-1]
    parsed = () if last.refused else (last.value,)
    return no_reading("unparsable", Violation("", "no_answer", message, "one answer"), candidate=parsed)


def _are_lines(answers: list[Candidate], reader: CandidateReader) -> bool:
    """Objects one after the other, with nothing between, where a list is due."""
    if reader.root.types != {"array"} or len(answers) < 2:
        return False
    objects = all(isinstance(one.value, dict) and not one.refused for one in answers)
    return objects and all(one.gap for one in answers[1:])


def _joined(answers: list[Candidate]) -> Candidate:
    """Objects in lines as one list."""
    joined = Repair("", f"{len(answers)} values", "one list", "lossless", "json_lines")
    repairs = tuple(repair for one in answers for repair in one.repairs if repair.rule != "prose")
    return Candidate([one.value for one in answers], (joined, *repairs), answers[0].start, answers[-1].end)


def _of_several(valid: list[CandidateResult], real: list[CandidateResult], reader: CandidateReader) -> Reading:
    """The last valid one, unless another one may be meant as well."""
    last = valid[-1]
    others = [one for one in valid if one is not last and not same_json(one.value, last.value)]
    is_only_an_option = last.level < 0 and (others or len(valid) == 1)
    if is_only_an_option or any(one.level >= last.level for one in others):
        return _ambiguous(len(others) + 1)
    if rivals := [one for one in real if one.violations and _competes(one, last, reader)]:
        return _with_rival(rivals[-1], last)
    if len(valid) > 1 and not others:
        repeated = Repair("", f"{len(valid)} equal answers", "one", "lossless", "repeated_answer")
        return valid_reading(last.value, (*last.repairs, repeated))
    return valid_reading(last.value, last.repairs)


def _competes(other: CandidateResult, chosen: CandidateResult, reader: CandidateReader) -> bool:
    """Whether a value that is not valid may be the answer that was meant."""
    later = other.candidate.start > chosen.candidate.start
    if other.level < chosen.level and not later:
        return False
    if other.refused:
        return True
    value = other.candidate.value
    if isinstance(value, dict) and reader.root.properties:
        shares = any(reader.root.property_for(key) for key in value)
        return shares or (later and other.level > chosen.level)
    return isinstance(value, dict) or bool(value and reader.root.types == {"array"})


def _with_rival(rival: CandidateResult, chosen: CandidateResult) -> Reading:
    if rival.refused:
        return no_reading("unparsable", *rival.violations, candidate=chosen.parsed)
    violation = Violation("", "ambiguous", "a valid answer, and another one that is not valid", "one answer")
    return no_reading("ambiguous", violation, *rival.violations, candidate=chosen.parsed)


def _ambiguous(count: int) -> Reading:
    message = f"{count} different answers, and nothing tells which one is meant"
    return no_reading("ambiguous", Violation("", "ambiguous", message, "one answer"))


def _invalid(results: list[CandidateResult]) -> Reading:
    best = max(results, key=lambda one: (one.level, one.candidate.start))
    return Reading(None, best.violations, best.repairs, best.failure, best.parsed)
