"""Lists whose last item says that others were left out: `["Ida", "Jon", "and 4 more"]` is no list of three names.

The words are a table that only refuses; a list that is whole has no such item, and a member of an enum is never one.
"""

from __future__ import annotations

from re import IGNORECASE

from llmguard.core.canonical import Json
from llmguard.core.outcome import Violation
from llmguard.core.patterns import Pattern
from llmguard.parsing.coerce.schema_plan import CoercionPlan
from llmguard.schema.keywords import as_pointer, word_set

MAX_CHARS = 80
"""A longer item is one, whatever it says."""

_AND = r"(?:and|plus|as well as|&|\+|und|sowie|et|ainsi que|y|e|i|и|en|og|och|ve)"
_COUNT = (
    r"(?:[0-9]{1,7}|an?other|several|many|some|various|numerous|(?:a )?few|(?:dozens|hundreds|thousands) of|two|three|four"
    r"|five|six|seven|eight|nine|ten|einige|viele|mehrere|zwei|drei|vier|fünf|plusieurs|quelques|deux|trois|varios|varias|dos|tres"
    r"|vários|várias|alcuni|alcune|enkele|kilka|несколько)"
)
_MORE = (
    r"(?:more|others?|(?:remaining|further|additional|other)(?: \w+){0,2}|weitere\w*|andere\w*|übrige\w*|mehr|autres?|de plus|más"
    r"|otr[oa]s|restantes|mais|outr[oa]s|altr[ie]|meer|overige|więcej|inn[ey]\w*|pozostał\w*|ещё|еще|других|flere|fler|andra)"
)
_SAYS_MORE = Pattern(
    rf"[(\[]*(?:{_AND}\s*)?\+?{_COUNT}\s+{_MORE}(?!\w)(?:\s+\w+){{0,3}}\W*"
    rf"|[(\[]*{_AND}\s+(?:the |les |los |las |die )?(?:{_MORE}|so on|so forth|the rest|das übrige|le reste)(?!\w).*"
    r"|[(\[]*(?:etc\.?|et cetera|and so on|usw\.?|u\. ?a\.?|u\. ?v\. ?m\.?|и т\. ?д\.?|и др\.?|osv\.?|itd\.?|ecc\.?|enz\.?)[)\]]*"
    r"|(?:\.{3}|…).*|\+ ?[0-9]{1,4}"
    r"|[(\[<].*(?:omitted|truncated|continue[sd]?|abbreviated|brevity|left out|ausgelassen|gekürzt|omis|omitid[oa]s).*[)\]>]"
    r"|et al\.?|more\W+|(?:list |to be )?continue[ds]?\W*|partial list.*|(?:not all|only) .*(?:shown|listed|included)\W*"
    rf"|(?:together|along) with {_COUNT}\s+{_MORE}.*|{_AND}\s+(?:dozens|hundreds|thousands|lots|plenty|then|counting)(?!\w).*"
    r"|among others\W*|[(\[<]\W*(?:more|etc|others)?\W*[)\]>]"
    r"|(?:rest|remaining|remainder|further|other|more)\b.*(?:omitted|truncated|left out|follow|continue).*"
    r"|等等?|等[0-9]+.*|(?:还有|另外|以及)(?:其他)?[0-9]*.*|など|ほか.*|他[0-9]+.*|외 ?[0-9]+.*|등",
    IGNORECASE,
)
_DOTS = Pattern(r"\.{3,}|…")
_COUNTED = Pattern(r"\+?\s*[0-9]")
_ALONE = word_set("etc Etc continue continues continued Continued")
"""English words that say so alone. Any other one is an item."""


def may_say_more(text: str) -> bool:
    """Whether a list in the text ends with a text that may say so. On the hot path, so by hand: most lists end with a word."""
    before = ""
    for part in text.split("]")[:-1]:
        end = part.rstrip(" \t\r\n,}")
        if end.endswith('"'):
            last = before[before.rfind('"') + 1 :] + "]" if end == '"' else end[end.rfind('"', 0, -1) + 1 : -1]
            if (not (last.isascii() and last.isalnum()) or last in _ALONE) and ("\\u" in last or _says_more(last)):
                return True
        before = part
    return False


def omission(value: Json, plan: CoercionPlan) -> Violation | None:
    """The violation of the first list in `value` that says it is not whole; None where each is."""
    left: list[tuple[tuple[str, ...], Json]] = [((), value)]
    while left:
        path, item = left.pop()
        if isinstance(item, dict):
            if dots := next((key for key in item if _DOTS.fullmatch(key)), None):
                return Violation(
                    as_pointer((*path, dots)), "omitted_items", "stands for members left out", "every member"
                )
            left += (((*path, key), inner) for key, inner in item.items() if isinstance(inner, dict | list))
        elif isinstance(item, list):
            last = item[-1] if item else None
            texts = [last] if isinstance(last, str) else [*last.values()] if isinstance(last, dict) else []
            if says := next((text for text in texts if _is_omission(text, item, plan)), None):
                at = as_pointer((*path, str(len(item) - 1)))
                return Violation(at, "omitted_items", "says that items were left out", "every item", says)
            left += (
                ((*path, str(number)), inner) for number, inner in enumerate(item) if isinstance(inner, dict | list)
            )
    return None


def _says_more(text: str) -> bool:
    return len(text) <= MAX_CHARS and bool(_SAYS_MORE.fullmatch(text.strip()))


def _is_omission(last: Json, items: list[Json], plan: CoercionPlan) -> bool:
    if not isinstance(last, str) or last in plan.literals or not _says_more(last):
        return False
    counted = _COUNTED.match(last)  # where other items are counted too, "2 other cars" is one of them
    return not counted or not any(isinstance(item, str) and _COUNTED.match(item) for item in items[:-1])
