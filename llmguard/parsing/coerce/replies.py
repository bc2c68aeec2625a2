"""From a reply and a schema to a value, with each repair; never a value where the reply may mean another one."""

from __future__ import annotations

from dataclasses import replace

from llmguard.core.canonical import Json
from llmguard.core.messages import ModelReply
from llmguard.core.outcome import Violation
from llmguard.parsing.coerce.candidate_results import CandidateReader
from llmguard.parsing.coerce.choice import choose_answer
from llmguard.parsing.coerce.digits import with_all_digits
from llmguard.parsing.coerce.echoes import may_echo
from llmguard.parsing.coerce.omissions import may_say_more
from llmguard.parsing.coerce.quotations import Inputs
from llmguard.parsing.coerce.result import Reading, no_reading, valid_reading
from llmguard.parsing.coerce.rules import STANDARD, ReadingRules
from llmguard.parsing.coerce.schema_plan import plan_of
from llmguard.parsing.coerce.unbracketed import may_decline, unparsable
from llmguard.parsing.syntax import ends_by_itself, parse_candidates
from llmguard.parsing.syntax.escapes import doubtful_escape_in
from llmguard.parsing.syntax.strict import NotStrict, load, too_deep, violation
from llmguard.schema import Schema

_DOUBTFUL = "a tab or a line break may be a backslash and a letter, of LaTeX or a path"
# White space and invisible characters: a reply of nothing else is empty.
_WHITE = " \t\r\n\ufeff\u200b\u200c\u200d\u2060\x00\xa0"


def read(reply: ModelReply, schema: Schema, rules: ReadingRules = STANDARD, inputs: Json = None) -> Reading:
    """The value of `reply`: exactly `json.loads` where its text is valid JSON that fits, else a repaired one, else none.

    `inputs` are those of the call: a value that stands in them, and has other words around it in the reply, is a
    quotation. A reply that was cut off is read only where the rules allow it; one that a content filter ended never is.

    >>> from llmguard.schema import compile_schema
    >>> price = compile_schema({"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]})
    >>> read(ModelReply('{"Price": "$1,250.40",}'), price).value
    {'price': 1250.4}
    >>> read(ModelReply('{"price": "about 1250"}'), price).violations[0].message
    "'about 1250' is not exact"
    """
    reading = _read(reply, schema, rules, inputs)
    if reading.failure is None and schema.has_decimals:
        reading = with_all_digits(reading, reply.text, schema)
    if reading.failure is None and "\\" in reply.text and (place := doubtful_escape_in(reply.text)):
        return replace(
            reading, flags=(Violation("", "doubtful_escape", _DOUBTFUL, "each backslash as two", place, "flag"),)
        )
    return reading


def _read(reply: ModelReply, schema: Schema, rules: ReadingRules, inputs: Json) -> Reading:
    text = reply.text
    if reply.finish_reason != "stop" or not text or len(text) > rules.max_chars:
        if (failed := _failed(reply, rules)) is not None:
            return failed
    elif not too_deep(text, rules.max_depth):
        try:
            value = load(text)
        except NotStrict:
            pass
        else:
            if not _may_be_none(text, value, schema) and not schema.violations(value):
                return valid_reading(value)
    return _read_slowly(text, schema, rules, inputs, cut=reply.finish_reason == "length")


def _may_be_none(text: str, value: Json, schema: Schema) -> bool:
    """Whether a value that fits may be no answer: an echo, a list that is not whole, a text that declines."""
    return may_echo(text, value, plan_of(schema.verdicts)) or may_say_more(text) or may_decline(value, schema)


def _failed(reply: ModelReply, rules: ReadingRules) -> Reading | None:
    """Why a reply is not read at all."""
    if reply.finish_reason == "content_filter":
        return no_reading(
            "content_filter", Violation("", "content_filter", "the provider's content filter ended the reply")
        )
    is_empty = not reply.text.strip(_WHITE)
    if reply.finish_reason == "length" and (is_empty or not rules.allow_truncated):
        cut_off = Violation("", "truncated", "the reply was cut off at its token limit", "a whole reply")
        return no_reading("truncated", cut_off)
    if is_empty:
        return no_reading("empty", Violation("", "empty", "the reply holds no text", "one JSON value"))
    if len(reply.text) > rules.max_chars:
        return no_reading("malformed", violation("too_large", actual=len(reply.text)))
    if reply.finish_reason == "unknown" and not ends_by_itself(reply.text):
        message = "the reply ended for a reason that is not known, and its text does not end by itself"
        return no_reading("truncated", Violation("", "truncated", message, "a whole reply"))
    return None


def _read_slowly(text: str, schema: Schema, rules: ReadingRules, inputs: Json, *, cut: bool) -> Reading:
    """The answer among all candidates of the text, unless it needs a repair that is not allowed."""
    if not text.strip(_WHITE):
        return no_reading("empty", Violation("", "empty", "the reply holds no text", "one JSON value"))
    parsed = parse_candidates(text, max_depth=rules.max_depth, max_chars=rules.max_chars, cut=cut)
    if parsed.violation:
        return no_reading("truncated" if parsed.violation.rule == "truncated" else "unparsable", parsed.violation)
    reading = choose_answer(parsed, CandidateReader(text, schema, rules, Inputs(inputs)))
    if reading.failure is None and (refused := rules.refused(reading.repairs, cut=cut)):
        if any(one.rule == "repair:refusal_text" for one in refused):
            return unparsable(text)
        return Reading(None, refused, reading.repairs, "unparsable", reading.candidate)
    return reading
