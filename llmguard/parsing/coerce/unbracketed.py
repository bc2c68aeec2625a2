"""Replies without brackets: a text as it stands, or a word, number or date after "the answer is"."""

from __future__ import annotations

from re import IGNORECASE

from llmguard.core.canonical import Json
from llmguard.core.outcome import Repair, Violation
from llmguard.core.patterns import Pattern
from llmguard.parsing.coerce.candidate_results import Trial
from llmguard.parsing.coerce.result import Reading, found, none
from llmguard.parsing.syntax import Candidate, Parsed
from llmguard.parsing.syntax.notes import clipped
from llmguard.parsing.syntax.strict import NotStrict, encodable, load
from llmguard.values.words import trimmed

MAX_CHARS = 300
"""A longer reply without brackets is no word, number or date."""

_LEAD = Pattern(
    r"(?:\*\*)?(?:(?:the|my|its?)\s+)?(?:(?:final|correct|best|overall)\s+)?"
    r"(?:answer|result|output|value|response|category|class|classification|label|sentiment|topic|verdict|total|choice"
    r"|status|type)(?:\*\*)?\s*(?:is|:|=)+(?:\*\*)?:?\s*",
    IGNORECASE,
)
_LABEL = Pattern(r"(?:\*\*)?(?:the |my )?(?:final )?(?:answer|result)(?:\*\*)?\s*(?:is|:|=)", IGNORECASE)
_REFUSAL = Pattern(
    r"(?:i['’]?m |i am )?(?:sorry|afraid|unable)\b|i (?:can(?:no|['’])t|cannot|won['’]t|am unable|am not able)\b|as an ai\b",
    IGNORECASE,
)


def bare_text(parsed: Parsed, trial: Trial) -> Reading:
    """Where the schema wants a text: a JSON string, or the reply as it stands."""
    value = _strict(trial.text)
    if value is not None:
        return _fitted(value, (), trial)
    said = parsed.bare or trial.text.strip()
    if said.startswith('"') or not said or not encodable(said):
        return unparsable(trial.text)
    if trial.root.members is not None or trial.root.format:
        return bare_value(parsed, trial)
    repairs = (Repair("", clipped(said), clipped(said), "lossless", "bare_text"),)
    if wrong := trial.schema.violations(said):
        return Reading(None, wrong, repairs, "schema", (said,))
    return found(said, repairs)


def bare_value(parsed: Parsed, trial: Trial) -> Reading:
    """A word, number or date without JSON around it, as the whole reply or after "the answer is"."""
    said = parsed.bare or trial.text.strip()
    if len(said) > MAX_CHARS or not encodable(said):
        return unparsable(trial.text)
    rest = without_lead(said)
    rest = rest if rest.startswith('"') else trimmed(rest)
    strict = _strict(rest)
    value = rest if strict is None and rest != "null" else strict
    if value is None or isinstance(value, dict | list):
        return unparsable(trial.text)
    return _fitted(value, (Repair("", clipped(_labelled_line(said)), value, "lossless", "bare_value"),), trial)


def without_lead(said: str) -> str:
    """What stands after "the answer is", in the last line where only that one is labelled.

    >>> without_lead("Let me see.\\nThe answer is: **paid**")
    '**paid**'
    """
    said = _labelled_line(said)
    lead = _LEAD.match(said)
    return said[lead.end() :] if lead else said


def unparsable(text: str) -> Reading:
    """Nothing to be read; a text in which the model declines is a refusal."""
    if _REFUSAL.match(text.lstrip()):
        told = Violation("", "refusal", "the model declined to answer", "one JSON value", clipped(text, 80))
        return none("refusal", told)
    told = Violation("", "no_json", "the reply has no JSON value", "one JSON value", clipped(text, 80))
    return none("unparsable", told)


def _labelled_line(said: str) -> str:
    """The last of several lines, where it alone is labelled as the answer."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    labelled = [line for line in lines if _LABEL.match(line)]
    return lines[-1] if len(lines) > 1 and labelled == lines[-1:] else said


def _fitted(value: Json, repairs: tuple[Repair, ...], trial: Trial) -> Reading:
    made = trial.of(Candidate(value, repairs, 0, len(trial.text)))
    if not made.violations:
        return found(made.value, made.repairs)
    if repairs:
        return unparsable(trial.text)
    return Reading(None, made.violations, made.repairs, "schema", (made.value,))


def _strict(text: str) -> Json:
    try:
        return load(text)
    except NotStrict:
        return None
