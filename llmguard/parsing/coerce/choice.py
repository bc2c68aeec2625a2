"""Which of a reply's candidates is the answer: the one that stands as such, and only where no other competes."""

from __future__ import annotations

from llmguard.core.canonical import Json
from llmguard.core.outcome import Repair, Violation
from llmguard.core.patterns import Pattern
from llmguard.parsing.coerce.candidate_results import CandidateReader, CandidateResult
from llmguard.parsing.coerce.echoes import is_template
from llmguard.parsing.coerce.result import Reading, no_reading, valid_reading
from llmguard.parsing.coerce.unbracketed import unbracketed_text, unbracketed_value
from llmguard.parsing.syntax import Candidate, Parsed, same_json

_BRACKET = Pattern(r"[\[\]{}]")
_AFTER_COMMA = Pattern(r"(?:\A|\n)[ \t]*+,\s*+\Z")
_MOST_SHOWN = 40


def choose_answer(parsed: Parsed, reader: CandidateReader) -> Reading:
    """The answer among the candidates, or why there is none."""
    if reader.root.types == {"string"}:
        return unbracketed_text(parsed, reader)
    if not parsed.candidates:
        rest = _end_of_what_is_missing(parsed.unbracketed or reader.text)
        return _left_over(rest, ()) if rest else unbracketed_value(parsed, reader)
    seen = [one for one in parsed.candidates if one.place != "thought"]
    if not seen:
        reading = unbracketed_value(parsed, reader) if parsed.unbracketed else None
        if reading is not None and reading.failure is None:
            return reading
        return _no_answer(parsed.candidates[-1], "only inside its thoughts")
    lines = _are_lines(seen, reader)
    results = [reader.read(_joined(seen))] if lines else [reader.read(one) for one in seen]
    real = [one for one in results if not one.echo]
    valid = [one for one in real if not one.violations]
    if not valid:
        return _invalid(real or results)
    return _of_several(valid, results, parsed, reader)


def _no_answer(candidate: Candidate, where: str) -> Reading:
    message = f"the reply has no answer: a value stands {where}"
    parsed = () if candidate.refused else (candidate.value,)
    violation = Violation("", "no_answer", message, "the value on a line of its own", candidate.label or None)
    return no_reading("unparsable", violation, candidate=parsed)


def _are_lines(answers: list[Candidate], reader: CandidateReader) -> bool:
    """Objects one after the other, with nothing between, where a list is due."""
    if reader.root.types != {"array"} or len(answers) < 2:
        return False
    objects = all(isinstance(one.value, dict) and not one.refused for one in answers)
    return objects and all(one.gap for one in answers[1:])


def _joined(answers: list[Candidate]) -> Candidate:
    """Objects in lines as one list. Words around them are taken out once."""
    joined = Repair("", f"{len(answers)} values", "one list", "lossless", "json_lines")
    around = [repair for one in (answers[0], answers[-1]) for repair in one.repairs if repair.rule == "prose"]
    repairs = tuple(repair for one in answers for repair in one.repairs if repair.rule != "prose")
    first = answers[0]
    return Candidate(
        [one.value for one in answers],
        (joined, *around[:1], *repairs),
        first.start,
        answers[-1].end,
        place=first.place,
        label=first.label,
        final=first.final,
    )


def _of_several(
    valid: list[CandidateResult], results: list[CandidateResult], parsed: Parsed, reader: CandidateReader
) -> Reading:
    """The one that stands as the answer, unless another one may be meant as well, or the text after it objects."""
    text = parsed.text or reader.text
    presented = [one for one in valid if reader.presents(one.candidate, text)]
    if not presented:
        if others := _distinct(valid)[1:]:
            return _ambiguous(len(others) + 1)
        quotes = reader.quotes_inputs(valid[-1].candidate, text)
        where = "in the call's inputs, and words are around it" if quotes else "inside a sentence, as a quotation"
        return _no_answer(valid[-1].candidate, where)
    finals = [one for one in presented if one.candidate.final]
    chosen = (finals or presented)[-1]
    rest = finals or [one for one in valid if not reader.quotes_inputs(one.candidate, text)]
    others = _distinct([one for one in rest if not same_json(one.value, chosen.value)])
    if others:
        return _ambiguous(len(others) + 1)
    if rivals := [one for one in results if one.violations and not one.echo and _competes(one, chosen, reader, text)]:
        return _with_rival(rivals[-1], chosen)
    if rest_of_it := _end_of_what_is_missing(_text_before(chosen.candidate, results, parsed, text)):
        return _left_over(rest_of_it, chosen.parsed)
    if violation := reader.objection(chosen, _text_after(chosen.candidate, results, parsed, text)):
        return no_reading("ambiguous", violation, candidate=chosen.parsed)
    equal = [one for one in valid if same_json(one.value, chosen.value)]
    if len(equal) > 1:
        repeated = Repair("", f"{len(equal)} equal answers", "one", "lossless", "repeated_answer")
        return valid_reading(chosen.value, (*chosen.repairs, repeated))
    return valid_reading(chosen.value, chosen.repairs)


def _distinct(results: list[CandidateResult]) -> list[CandidateResult]:
    distinct: list[CandidateResult] = []
    for one in results:
        if len(distinct) < 3 and not any(same_json(one.value, other.value) for other in distinct):
            distinct.append(one)
    return distinct


def _text_after(chosen: Candidate, results: list[CandidateResult], parsed: Parsed, text: str) -> str:
    """The text after a value, without thoughts and without other values."""
    spans = [(one.candidate.start, one.candidate.end) for one in results if one.candidate is not chosen]
    leads = set(spans) if chosen.final else set()  # what leads to another value is about that one
    parts, position = [], chosen.end
    for start, end in sorted((*spans, *parsed.thoughts)):
        if end > position:
            between = text[position : max(position, start)]
            parts.append(between.rpartition("\n")[0] if (start, end) in leads else between)
            position = end
    return "\n".join((*parts, text[position:])) if parts else text[position:]


def _text_before(chosen: Candidate, results: list[CandidateResult], parsed: Parsed, text: str) -> str:
    """The text before a value, without thoughts and without other values."""
    spans = [(one.candidate.start, one.candidate.end) for one in results if one.candidate is not chosen]
    parts, position = [], 0
    for start, end in sorted((*spans, *parsed.thoughts)):
        if end > position and start < chosen.start:
            parts.append(text[position : max(position, start)])
            position = end
    return "\n".join((*parts, text[position : chosen.start]))


def _end_of_what_is_missing(before: str) -> str:
    """The end of a text that closes a bracket which it never opened, or an entry: a value after it is a part of another."""
    depth = 0
    for match in _BRACKET.finditer(before):
        depth += 1 if match[0] in "[{" else -1
        if depth < 0:
            return before[max(0, match.start() - _MOST_SHOWN) : match.end()]
    return before.strip() if _AFTER_COMMA.search(before) else ""


def _left_over(rest: str, parsed: tuple[Json, ...]) -> Reading:
    message = f"the beginning is missing: {rest.strip()!r} is the end of what the text does not hold"
    return no_reading("unparsable", Violation("", "left_over", message, "one JSON value", rest), candidate=parsed)


def _competes(other: CandidateResult, chosen: CandidateResult, reader: CandidateReader, text: str) -> bool:
    """Whether a value that is not valid may be the answer that was meant. What cannot be read always may, except before
    one that is labelled final: a later value may be a part of it."""
    if chosen.candidate.final and other.candidate.start < chosen.candidate.start:
        return False
    if other.refused:
        return True
    if reader.inputs.hold(text[other.candidate.start : other.candidate.end], other.candidate.value):
        return False
    value = other.candidate.value
    if is_template(value):
        return False
    if isinstance(value, dict) and reader.root.properties:
        return any(reader.root.property_for(key) for key in value)
    return isinstance(value, dict) or bool(value and reader.root.types == {"array"})


def _with_rival(rival: CandidateResult, chosen: CandidateResult) -> Reading:
    if rival.refused:
        return no_reading("unparsable", *rival.violations, candidate=chosen.parsed)
    violation = Violation("", "ambiguous", "a valid answer, and another one that is not valid", "one answer")
    return no_reading("ambiguous", violation, *rival.violations, candidate=chosen.parsed)


def _ambiguous(count: int) -> Reading:
    many = f"{count} different answers" if count <= 3 else "several different answers"
    message = f"{many}, and none is labelled as the final one"
    return no_reading("ambiguous", Violation("", "ambiguous", message, "one answer"))


def _invalid(results: list[CandidateResult]) -> Reading:
    best = max(results, key=lambda one: (one.candidate.final, one.candidate.place != "quoted", one.candidate.start))
    return Reading(None, best.violations, best.repairs, best.failure, best.parsed)
