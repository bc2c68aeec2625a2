"""Values that are no answer: the schema itself, or placeholders instead of values."""

from __future__ import annotations

from re import IGNORECASE

from llmguard.core.canonical import Json
from llmguard.core.patterns import Pattern
from llmguard.parsing.coerce.schema_plan import CoercionPlan
from llmguard.values.words import normalized_key

_TYPE_WORDS = frozenset("string str text number integer int float boolean bool array object null value date".split())
_SHAPE = Pattern(
    r"<[^<>\n]{1,60}+>|\{\{[^{}\n]{0,60}+\}\}|\.\.\.|…|\[(?:your|insert)[^\[\]\n]{0,60}+\]|(?-i:[Yy]our)[ _][^\n]{1,40}+"
    r"|yyyy-mm-dd"
    r"|(?:string|str|number|integer|int|float|boolean|bool|text|placeholder|value|lorem ipsum)",
    IGNORECASE,
)
_BRACKETED = Pattern(r"<([^<>\n]{1,60}+)>|\{\{([^{}\n]{1,60}+)\}\}|\[([^\[\]\n]{1,60}+)\]")
_MORE = Pattern(r"\.{3,}|…|etc\.?|and so on\.?|and more\.?|\.\.\. ?\(?\d+ more\)?|\(?\d+ more\b.{0,20}", IGNORECASE)


def may_echo(text: str, value: Json, plan: CoercionPlan) -> bool:
    """Whether there is any sign of a placeholder; a value without one is not examined further. On the hot path."""
    return (
        "<" in text
        or "..." in text
        or "{{" in text
        or '"[' in text
        or '"etc' in text
        or "and so on" in text
        or " more" in text
        or (not text.isascii() and "…" in text)
        or _begins_with_placeholder(value, plan)
    )


def _begins_with_placeholder(value: Json, plan: CoercionPlan) -> bool:
    """Whether the first scalar of the value is a placeholder: where all are, the first one is."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            if item not in plan.literals:
                return bool(_SHAPE.fullmatch(item.strip()))
        elif isinstance(item, dict):
            left += reversed(item.values())
        elif isinstance(item, list):
            left += reversed(item)
        elif item and not isinstance(item, bool):
            return False
    return False


def is_schema_echo(value: Json, plan: CoercionPlan) -> bool:
    """Whether `value` is a JSON Schema where the schema describes something else."""
    if not isinstance(value, dict) or "properties" in plan.root.properties:
        return False
    properties = value.get("properties")
    return ("$schema" in value or isinstance(properties, dict)) and (
        "type" in value or "required" in value or "$schema" in value
    )


def is_placeholder(value: Json, plan: CoercionPlan) -> bool:
    """Whether the value is made of placeholders, or one of its fields is `<its own name>` or `<string>`."""
    texts = 0
    placeholders = 0
    left: list[tuple[str, Json]] = [("", value)]
    while left:
        name, item = left.pop()
        if isinstance(item, dict):
            left += item.items()
        elif isinstance(item, list):
            if (
                item
                and isinstance(item[-1], str)
                and item[-1] not in plan.literals
                and _MORE.fullmatch(item[-1].strip())
            ):
                return True  # "..." for the items that were left out
            left += ((name, part) for part in item)
        elif isinstance(item, str) and item not in plan.literals:
            texts += 1
            placeholders += bool(_SHAPE.fullmatch(item.strip()))
            if _names_itself(name, item.strip()):
                return True
        elif isinstance(item, int | float) and not isinstance(item, bool) and item != 0:
            texts += 1  # a number that was filled in
    return placeholders > 0 and placeholders == texts and (placeholders > 1 or isinstance(value, dict))


def _names_itself(name: str, text: str) -> bool:
    """`<string>`, `<city>` for a city, `<EMAIL>`, `{{name}}`."""
    match = _BRACKETED.fullmatch(text)
    if not match:
        return False
    inside = match[1] or match[2] or match[3]
    word, own = normalized_key(inside), normalized_key(name)
    asks = word.startswith(("your", "insert", "enter", "the")) or (match[1] and inside.isupper() and len(inside) > 2)
    return bool(asks or word in _TYPE_WORDS or (own and (word in own or own in word)))
