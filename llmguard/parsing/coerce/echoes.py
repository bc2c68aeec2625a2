"""Values that are no answer: the schema itself, and what the schema says of a field handed back as the field."""

from __future__ import annotations

from llmguard.core.canonical import Json
from llmguard.core.patterns import Pattern
from llmguard.parsing.coerce.schema_plan import CoercionPlan, texts_of
from llmguard.parsing.syntax import same_json
from llmguard.values.words import normalized_words

_BRACKETED = Pattern(r"<([^<>\n]{1,60}+)>|\{\{([^{}\n]{1,60}+)\}\}|\[([^\[\]\n]{1,60}+)\]")
_DOTS = frozenset(("...", "…", "...."))
_TYPE_WORDS = frozenset("string str number integer int float boolean bool".split())


def may_echo(text: str, value: Json, plan: CoercionPlan) -> bool:
    """Whether there is any sign of an echo; a value without one is not examined further. On the hot path."""
    return (
        "<" in text
        or "{{" in text
        or '"[' in text
        or "..." in text
        or (not text.isascii() and "…" in text)
        or (bool(plan.offered) and "\\u" in text and is_handed_back(value, plan))
        or any(text_offered in text for text_offered in plan.offered_texts)
        or (bool(plan.examples) and is_example(value, plan))
    )


def is_schema_echo(value: Json, plan: CoercionPlan) -> bool:
    """Whether `value` is a JSON Schema where the schema describes something else."""
    if not isinstance(value, dict) or "properties" in plan.root.properties:
        return False
    properties = value.get("properties")
    return ("$schema" in value or isinstance(properties, dict)) and (
        "type" in value or "required" in value or "$schema" in value
    )


def is_placeholder(value: Json, plan: CoercionPlan) -> bool:
    """Whether the value hands back what the schema offered."""
    return is_handed_back(value, plan) or is_example(value, plan) or _names_itself(value)


def is_template(value: Json) -> bool:
    """Whether each text of an object is a placeholder by its shape: where another value fits the schema, it is no rival."""
    texts = texts_of(value)
    return bool(texts) and all(text in _DOTS or _BRACKETED.fullmatch(text.strip()) for text in texts)


def _names_itself(value: Json) -> bool:
    """Whether a text is the name of its own field or its type in brackets, as schemas are often shown: `<city>` for a city,
    `{{name}}`, `<string>`; or all of several texts are dots."""
    texts = texts_of(value)
    if len(texts) > 1 and all(text in _DOTS for text in texts):
        return True
    left: list[tuple[str, Json]] = [("", value)]
    while left:
        name, item = left.pop()
        if isinstance(item, str):
            if (match := _BRACKETED.fullmatch(item.strip())) and _is_own_name(name, match[match.lastindex or 0]):
                return True
        elif isinstance(item, dict):
            left += item.items()
        elif isinstance(item, list):
            left += ((name, part) for part in item)
    return False


def _is_own_name(name: str, inside: str) -> bool:
    words = normalized_words(inside).split()
    own = normalized_words(name).split()
    return bool(own) and (set(own) <= set(words) or set(words) <= _TYPE_WORDS)


def is_handed_back(value: Json, plan: CoercionPlan) -> bool:
    """Whether a text is the description or the title of its own field; never a member of an enum."""
    left: list[tuple[str, Json]] = [("", value)]
    while left:
        name, item = left.pop()
        if isinstance(item, str):
            if item in plan.offered.get(name, ()) and item not in plan.literals:
                return True
        elif isinstance(item, dict):
            left += item.items()
        elif isinstance(item, list):
            left += ((name, part) for part in item)
    return False


def is_example(value: Json, plan: CoercionPlan) -> bool:
    """Whether the whole value is an example of the schema's root, with a text that no enum lists."""
    return any(same_json(value, example) for example in plan.examples)
