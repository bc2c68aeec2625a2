"""Replies without brackets, where a text is due: the text as it is, the one that a lead-in presents, or a refusal."""

from __future__ import annotations

from llmguard.core.canonical import Json
from llmguard.core.outcome import Repair, Violation
from llmguard.core.patterns import Pattern
from llmguard.parsing.coerce.candidate_results import CandidateReader
from llmguard.parsing.coerce.result import Reading, no_reading, valid_reading
from llmguard.parsing.coerce.sentences import scalar_in_prose
from llmguard.parsing.syntax import Candidate, Parsed
from llmguard.parsing.syntax.notes import around, cut_middle
from llmguard.parsing.syntax.placement import place_of, sentences_of, word_count
from llmguard.parsing.syntax.strict import NotStrict, encodable, load
from llmguard.parsing.syntax.wording import (
    CONDITION,
    COURTESY_AFTER,
    COURTESY_BEFORE,
    DECLINES,
    PRESENTS,
    REFUSAL_OPENS,
)
from llmguard.schema import Schema
from llmguard.values.words import trimmed

MAX_CHARS = 300
"""A longer reply without brackets is prose, not a word, number or date."""

MOST_OF_A_REFUSAL = 60
"""Words: a text that goes on longer says more than that it declines."""

_QUOTED = Pattern(
    r"([^\"“„«「『]{1,300}+)([\"“„«「『])",
)
_CLOSERS = {"“": "”", "„": "“”", "«": "»", "「": "」", "『": "』"}
_FENCED = Pattern(r"([^`]{1,300}+)```[A-Za-z0-9_+.-]{0,20}+[ \t]*+\r?\n([^`]*+)\r?\n?```\s*+\Z")


def unbracketed_text(parsed: Parsed, reader: CandidateReader) -> Reading:
    """Where the schema expects a string: a JSON string, or the reply as it is."""
    text = parsed.unbracketed or reader.text.strip()
    value = _strict(reader.text)
    value = _strict(text) if value is None else value
    if value is not None:
        return _declined(value, _fitted(value, reader))
    if (quoted := _quoted_first(text, reader)) is not None:
        return _declined(quoted, _fitted(quoted, reader, (around("bare_text", text, quoted),)))
    if text.startswith('"') or not text or not encodable(text):
        return unparsable(reader.text)
    if reader.root.members is not None or reader.root.format:
        return unbracketed_value(parsed, reader)
    inner = presented_text(text)
    repairs = (around("bare_text", text, inner),) if inner else ()
    text = inner or text
    if wrong := reader.schema.violations(text):
        return Reading(None, wrong, repairs, "schema", (text,))
    return _declined(text, valid_reading(text, repairs))


def _quoted_first(text: str, reader: CandidateReader) -> str | None:
    """The JSON string in the first line, where an explanation follows that leaves it as it is."""
    first, _, rest = text.partition("\n")
    value = _strict(first) if first.startswith('"') and rest.strip() else None
    if not isinstance(value, str) or reader.objection_to(value, rest):
        return None
    return value


def unbracketed_value(parsed: Parsed, reader: CandidateReader) -> Reading:
    """A word, number or date without JSON around it, as the whole reply or in a phrase that says nothing else."""
    text = parsed.unbracketed or reader.text.strip()
    if not encodable(text):
        return unparsable(reader.text)
    if len(text) <= MAX_CHARS:
        for whole in dict.fromkeys((text, trimmed(text))):
            strict = _strict(whole)
            value = whole if strict is None and whole != "null" else strict
            if value is not None and not isinstance(value, dict | list):
                reading = _fitted(value, reader, () if whole == text else (around("bare_value", text, value),))
                if reading.failure is None or (strict is not None and whole == text):
                    return reading
    found = scalar_in_prose(text, reader)
    return unparsable(reader.text) if found is None else valid_reading(found.value, found.repairs)


def presented_text(text: str) -> str:
    """The text that a lead-in presents: in quotes, in a fence, or below a courtesy that ends in a colon; "" where none does.

    >>> presented_text('Here is the translation: "Bonjour"'), presented_text("Bonjour")
    ('Bonjour', '')
    """
    if (match := _QUOTED.match(text)) and _leads_to_text(match[1]):
        inside = text[match.end() :]
        if match[2] == '"':
            value = _strict(text[match.start(2) :])
            if isinstance(value, str):
                return value
            if inside.endswith('"') and inside.count('"') == 1:
                return inside[:-1]
        elif inside[-1:] and inside[-1] in _CLOSERS[match[2]] and not any(s in inside[:-1] for s in _CLOSERS[match[2]]):
            return inside[:-1]
    if (match := _FENCED.match(text)) and _leads_to_text(match[1]):
        return match[2].removesuffix("\r")
    first, _, rest = text.partition("\n")
    courtesy = COURTESY_BEFORE.match(first)
    if (
        courtesy
        and rest.strip()
        and not first[courtesy.end() - 1].isalnum()
        and _leads_to_text(first[courtesy.end() :])
    ):
        return rest.strip()
    return ""


def is_refusal(text: str) -> bool:
    """Whether a whole, short text only declines to answer.

    >>> is_refusal("I'm sorry, but I can't help with that."), is_refusal("Sorry for the delay, your parcel is on its way.")
    (True, False)
    """
    if not REFUSAL_OPENS.match(text) or word_count(text) > MOST_OF_A_REFUSAL:
        return False
    declines = False
    for sentence in sentences_of(text):
        if DECLINES.search(CONDITION.sub(" ", sentence)):
            declines = True
        elif not (_is_courtesy(sentence) or REFUSAL_OPENS.match(sentence)):
            return False
    return declines


def unparsable(text: str) -> Reading:
    """No value; a text in which the model declines is a refusal."""
    beginning = cut_middle(text, 80)
    if REFUSAL_OPENS.match(text.lstrip()):
        return no_reading(
            "refusal", Violation("", "refusal", "the model declined to answer", "one JSON value", beginning)
        )
    return no_reading(
        "unparsable", Violation("", "no_json", "the reply has no JSON value", "one JSON value", beginning)
    )


def may_decline(value: Json, schema: Schema) -> bool:
    """Whether a text that fits may be a refusal: the schema has no pattern or list of its own. On the hot path."""
    if not isinstance(value, str) or not isinstance(schema.json_schema, dict):
        return False
    return not schema.json_schema.keys() & {"pattern", "enum", "const", "format"} and is_refusal(value)


def _declined(value: Json, read: Reading) -> Reading:
    """A reading whose text only declines is one by a repair that has to be allowed by its name."""
    if read.failure is None and isinstance(value, str) and is_refusal(value):
        return valid_reading(read.value, (*read.repairs, around("refusal_text", value, value)))
    return read


def _is_courtesy(sentence: str) -> bool:
    return bool(COURTESY_AFTER.match(sentence) or COURTESY_BEFORE.match(sentence) or sentence.endswith(("?", "？")))


def _leads_to_text(before: str) -> bool:
    """Whether a text presents the one that follows it."""
    before = before.strip()
    if not before.endswith((":", "：")):
        return False
    last = sentences_of(before)[-1]
    return (bool(PRESENTS.match(last)) or before.count("\n") == 0) and place_of(before).place == "own"


def _fitted(value: Json, reader: CandidateReader, repairs: tuple[Repair, ...] = ()) -> Reading:
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
