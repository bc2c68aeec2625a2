"""Replies without brackets: a text as it is, or a word, number or date after "the answer is"."""

from __future__ import annotations

from re import IGNORECASE

from llmguard.core.canonical import Json
from llmguard.core.outcome import Repair, Violation
from llmguard.core.patterns import Pattern
from llmguard.parsing.coerce.candidate_results import CandidateReader
from llmguard.parsing.coerce.result import Reading, no_reading, valid_reading
from llmguard.parsing.syntax import Candidate, Parsed
from llmguard.parsing.syntax.notes import cut_middle
from llmguard.parsing.syntax.strict import NotStrict, encodable, load
from llmguard.values.words import trimmed

MAX_CHARS = 300
"""A longer reply without brackets is prose, not a word, number or date."""

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


def unbracketed_text(parsed: Parsed, reader: CandidateReader) -> Reading:
    """Where the schema expects a string: a JSON string, or the reply as it is."""
    value = _strict(reader.text)
    if value is not None:
        return _fitted(value, (), reader)
    text = parsed.unbracketed or reader.text.strip()
    if text.startswith('"') or not text or not encodable(text):
        return unparsable(reader.text)
    if reader.root.members is not None or reader.root.format:
        return unbracketed_value(parsed, reader)
    repairs = (Repair("", cut_middle(text), cut_middle(text), "lossless", "bare_text"),)
    if wrong := reader.schema.violations(text):
        return Reading(None, wrong, repairs, "schema", (text,))
    return valid_reading(text, repairs)


def unbracketed_value(parsed: Parsed, reader: CandidateReader) -> Reading:
    """A word, number or date without JSON around it, as the whole reply or after "the answer is"."""
    text = parsed.unbracketed or reader.text.strip()
    if len(text) > MAX_CHARS or not encodable(text):
        return unparsable(reader.text)
    rest = without_lead(text)
    rest = rest if rest.startswith('"') else trimmed(rest)
    strict = _strict(rest)
    value = rest if strict is None and rest != "null" else strict
    if value is None or isinstance(value, dict | list):
        return unparsable(reader.text)
    return _fitted(value, (Repair("", cut_middle(_labelled_line(text)), value, "lossless", "bare_value"),), reader)


def without_lead(text: str) -> str:
    """The text after "the answer is", in the last line where only that one is labelled.

    >>> without_lead("Let me see.\\nThe answer is: **paid**")
    '**paid**'
    """
    text = _labelled_line(text)
    lead = _LEAD.match(text)
    return text[lead.end() :] if lead else text


def unparsable(text: str) -> Reading:
    """No value; a text in which the model declines is a refusal."""
    beginning = cut_middle(text, 80)
    if _REFUSAL.match(text.lstrip()):
        return no_reading(
            "refusal", Violation("", "refusal", "the model declined to answer", "one JSON value", beginning)
        )
    return no_reading(
        "unparsable", Violation("", "no_json", "the reply has no JSON value", "one JSON value", beginning)
    )


def _labelled_line(text: str) -> str:
    """The last of several lines, where it alone is labelled as the answer."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    labelled = [line for line in lines if _LABEL.match(line)]
    return lines[-1] if len(lines) > 1 and labelled == lines[-1:] else text


def _fitted(value: Json, repairs: tuple[Repair, ...], reader: CandidateReader) -> Reading:
    result = reader.read(Candidate(value, repairs, 0, len(reader.text)))
    if not result.violations:
        return valid_reading(result.value, result.repairs)
    if repairs:
        return unparsable(reader.text)
    return Reading(None, result.violations, result.repairs, "schema", (result.value,))


def _strict(text: str) -> Json:
    try:
        return load(text)
    except NotStrict:
        return None
