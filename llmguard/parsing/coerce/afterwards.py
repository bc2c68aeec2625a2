"""Text after a value that takes it back, says it differently, or may do so: then the value is not handed out."""

from __future__ import annotations

from collections.abc import Iterable
from re import IGNORECASE

from llmguard.core.canonical import Json
from llmguard.core.patterns import Pattern
from llmguard.parsing.coerce.quotations import Inputs
from llmguard.parsing.coerce.stems import stems_of
from llmguard.parsing.syntax import wording
from llmguard.parsing.syntax.placement import sentences_of, word_count, words_of
from llmguard.values.dates import read_date
from llmguard.values.units import units_in_name
from llmguard.values.words import normalized_key, trimmed

SHORT = 12
"""Words: an unknown text as short as this may take the value back in a language that no table knows; a longer one explains."""

MOST_CHARS = 40_000
"""Of the text after a value: a reply that goes on longer is no answer, and is not searched for what takes it back."""

_MOST_OF_A_CONDITION = 5
"""Words that a sentence with a condition may have beside it: "if something is wrong, just tell me" states nothing."""

_FORM_WORDS = frozenset(
    "json object schema format field fields key keys objekt schéma esquema objeto oggetto formato felder".split()
)
"""A sentence with one of these, and without a negation, is about the reply as such."""

_SHOWS = Pattern(r"\W*(?:print|pprint|return|console\.log|echo|puts|export default)\b[\s(]*[\w.]{0,60}+[\s);]*\Z")
"""Code that shows a value and leaves it as it is."""

_MARKUP = Pattern(
    r"(?:```++|~~~++)[A-Za-z0-9_+.-]{0,20}+|<\|[^<>|\n]{1,40}+\|>"
    r"|</?[A-Za-z][\w.:-]{0,40}+(?:\s[^<>\n]{0,80}+)?/?>|\}\s*\$+"
)
_LINES_ON = Pattern(r"[\s*_`\"'”’)\]}|]*+([?？,，]|[^\W\d_A-ZÀ-ÞА-Я])")
_SAME_LINE_ONLY = Pattern(r"[\u0600-\u06ff\u0900-\u097f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_LOWER = Pattern(r"[^\W\d_]")
_BINDS = Pattern(
    r"(?:\s+(?:value|field|key|label|answer|date|day|amount|sum|figure|number|price|cost)s?)?(?:\s*\([^()\n]{1,30}\))?[\"'`*_]*\s*(?:[:=：→]|(?<!\w)(?:is|was|are|were|equals?"
    r"|should (?:be|have been|read|say)|must be|has to be"
    r"|comes? to|amounts? to|ist|sind|war|beträgt|lautet|est|sont|es|son|era|è|sono|é|são|zijn|jest|är|er)(?!\w))\s*"
    r"(?:(?:actually|really|rather|in fact|instead|now|eigentlich|tatsächlich|en fait|en realidad|not|nicht)\s+)*",
    IGNORECASE,
)
_SHOULD = Pattern(r"should|must|has to", IGNORECASE)
_MARKS_BEFORE = "$€£¥₹ *_`\"'(~"
_CURRENCY = Pattern(r"\A[A-Z]{3}(?![A-Za-z])")
_NUMBER = Pattern(r"[-+−]?[0-9](?:[0-9.,'’ ]{0,38}[0-9])?")
_PLAIN_NUMBER = Pattern(r"[-+]?[0-9]++(?:\.[0-9]++)?+")
_QUOTED_TEXT = Pattern(r"[\"“`'„«]([^\"”`'“»\n]{1,80}+)[\"”`'“»]")
_NOT = Pattern(
    r"(?<!\w)(?:not|n['’]t|never|nicht|kein\w*|pas|no|non|não|niet|geen|nie|не|inte|ikke)(?!\w)(?:\s+(?:a|an"
    r"|the|really|eine?|un|une|el|la))?"
    r"|(?<=\w)n['’]t(?!\w)|不是|并非|ではなく|아니라",
    IGNORECASE,
)
_TRUTH = {"true": True, "yes": True, "false": False, "no": False, "ja": True, "nein": False, "oui": True, "sí": True}
_ISO_DATE = Pattern(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])")
_WORDS_OF_A_DATE = 4
"""The most words that a date has: "Monday, 4 March 2024"."""

_FAR = 80
"""Characters beside a word that names a field in which its value is looked for."""


class Leaves:
    """The scalars of a value: by the name of their field, and as they are written."""

    def __init__(self, value: Json) -> None:
        self.by_name: dict[str, list[Json]] = {}
        self.all: list[Json] = []
        self.words: set[str] = set()
        left: list[tuple[tuple[str, ...], Json]] = [((), value)]
        while left:
            names, item = left.pop()
            if isinstance(item, dict):
                for key, part in item.items():
                    self.words.update(stems_of(key.replace("_", " ")))
                    left.append((_names_of(key), part))
            elif isinstance(item, list):
                left += ((names, part) for part in item)
            else:
                for name in names:
                    self.by_name.setdefault(name, []).append(item)
                self.all.append(item)
                self.words.update(stems_of(str(item).replace("_", " ")))
        self.numbers = {float(one) for one in self.all if _is_number(one)}
        self.members = {one.casefold() for one in self.all if isinstance(one, str)}
        self.texts = {one.casefold() for one in self.all if isinstance(one, str) and 1 < len(one) <= 40}


def _names_of(key: str) -> tuple[str, ...]:
    """How sentences name a field: in its words, and without a unit at its end ("the width" for `width_cm`)."""
    words = words_of(key.replace("_", " "))
    if len(words) > 1 and units_in_name(" ".join(words)):
        return normalized_key(key), "".join(words[:-1])
    return (normalized_key(key),)


def objection(after: str, value: Json, others: frozenset[str], inputs: Inputs) -> tuple[str, str]:
    """Why the text after a value forbids it, as a rule and the words that do: ("", "") where nothing does.

    `others`: the members of the schema's enums, without case.

    >>> objection("EDIT: 19", {"total": 16}, frozenset(), Inputs())
    ('contradicted', 'EDIT: 19')
    >>> objection("Hope this helps!", {"total": 16}, frozenset(), Inputs())
    ('', '')
    """
    if len(after) > MOST_CHARS:
        return "unread_text", f"{len(after)} characters"
    text = _MARKUP.sub(" ", after)
    goes_on = _goes_on(text)
    sentences = sentences_of(text)
    if goes_on and not (sentences and _is_excused(sentences[0])):
        return "sentence_goes_on", _clipped(text)
    leaves = Leaves(value)
    unknown: list[str] = []
    explaining = False
    for sentence in sentences:
        if not any(sign.isalnum() for sign in sentence):
            continue
        if rule := _objects(sentence, leaves, others):
            return rule, _clipped(sentence)
        explaining = explaining or bool(wording.EXPLAINS.match(sentence))
        if not explaining and not _is_known(sentence):
            unknown.append(sentence)
    if not unknown or sum(map(word_count, unknown)) > SHORT:
        return "", ""
    if all(_is_about(sentence, leaves, inputs) for sentence in unknown):
        return "", ""
    return "unknown_remark", _clipped(unknown[0])


def takes_back(sentence: str) -> bool:
    """Whether a sentence takes a value back or declines to give it; what it only supposes does not count."""
    plain = wording.CONDITION.sub(" ", sentence)
    return bool(wording.RETRACTS.search(plain) or wording.REFUSES.search(wording.WITHOUT_MORE.sub(" ", plain)))


def _objects(sentence: str, leaves: Leaves, others: frozenset[str]) -> str:
    if takes_back(sentence):
        return "contradicted" if _alone(sentence, leaves, others) else "taken_back"
    if _alone(sentence, leaves, others) or _says_otherwise(sentence, leaves, others) or _denies(sentence, leaves):
        return "contradicted"
    return ""


def _goes_on(text: str) -> bool:
    """Whether the text continues the sentence that the value stands in."""
    if not any(sign.isalnum() or sign in "?？" for sign in text):
        return False
    match = _LINES_ON.match(text)
    if not match:
        return False
    line_feed = "\n" in text[: match.start(1)]
    if _SAME_LINE_ONLY.match(match[1]):
        return not line_feed
    return match[1] in "?？" or (not line_feed and match[1] in ",，") or match[1].islower()


def _is_excused(sentence: str) -> bool:
    """A sentence that begins small and is about the reply: "hope this helps", "note: …"."""
    return _is_known(sentence) or bool(wording.EXPLAINS.match(sentence))


def _is_known(sentence: str) -> bool:
    if _SHOWS.match(sentence):
        return True
    if wording.COURTESY_AFTER.match(sentence):
        return True
    supposed = wording.CONDITION.sub(" ", sentence)
    if supposed != sentence and len(words_of(supposed)) <= _MOST_OF_A_CONDITION and not any(map(str.isdigit, supposed)):
        return True
    if (courtesy := wording.COURTESY_BEFORE.match(sentence)) and courtesy.end() >= len(sentence):
        return True
    if any(word in _FORM_WORDS for word in words_of(sentence)) and not wording.NEGATES.search(sentence):
        return True
    return bool(wording.WITHOUT_MORE.search(sentence))


def _is_about(sentence: str, leaves: Leaves, inputs: Inputs) -> bool:
    stems = stems_of(sentence)
    return bool(stems & leaves.words or stems & inputs.stems)


def _alone(sentence: str, leaves: Leaves, others: frozenset[str]) -> bool:
    """A sentence that is nothing but another scalar, with no more than a label of a correction before it."""
    rest = sentence.rpartition(":")[2] if wording.RETRACTS.match(sentence) else sentence
    rest = trimmed(rest.lstrip(" -–—>→*_`"))
    if not rest:
        return False
    if _NUMBER.fullmatch(rest) and leaves.numbers:
        return _as_number(rest) not in leaves.numbers
    if rest.casefold() in others:
        return rest.casefold() not in leaves.members
    if rest.casefold() in _TRUTH and any(isinstance(one, bool) for one in leaves.all):
        return all(one is not _TRUTH[rest.casefold()] for one in leaves.all)
    return False


def _says_otherwise(sentence: str, leaves: Leaves, others: frozenset[str]) -> bool:
    """Whether the sentence gives a named field another scalar, and nowhere its own."""
    all_numbers: set[float | None] | None = None
    for match in _BINDS.finditer(sentence):
        own = _field_values(sentence[max(0, match.start() - _FAR) : match.start()], leaves)
        if not own and _SHOULD.search(match[0]):  # whatever it is of, it is not what stands in the value
            own = [one for one in leaves.all if _is_number(one)]
        if own and all_numbers is None:
            all_numbers = {_as_number(each[0]) for each in _NUMBER.finditer(sentence)}
        if own and _differs(sentence[match.end() : match.end() + _FAR], all_numbers or set(), own, others):
            return True
    return False


def _field_values(before: str, leaves: Leaves) -> list[Json]:
    """The values of the field whose name ends the text: of up to four words."""
    words = words_of(before.replace("_", " "))[-4:]
    for start in range(len(words)):
        if values := leaves.by_name.get("".join(words[start:])):
            return values
    return []


def _differs(after: str, all_numbers: set[float | None], own: list[Json], others: frozenset[str]) -> bool:
    numbers = {float(one) for one in own if _is_number(one)}
    if numbers and (found := _NUMBER.match(_CURRENCY.sub("", after.lstrip(_MARKS_BEFORE)).lstrip(_MARKS_BEFORE))):
        return _as_number(found[0]) not in numbers and not all_numbers & numbers
    dates = {one[:10] for one in own if isinstance(one, str) and _ISO_DATE.match(one)}
    if dates and (date := _date_at_the_start(after)):
        return date not in dates and not any(one in after for one in dates)
    first = trimmed(after).casefold()
    if any(isinstance(one, bool) for one in own):
        word = next(iter(words_of(first)), "")
        return word in _TRUTH and all(one is not _TRUTH[word] for one in own if isinstance(one, bool))
    texts = {one.casefold() for one in own if isinstance(one, str)}
    if texts and not _begins(first, texts) and _begins(first, others):
        return True
    quoted = _QUOTED_TEXT.match(after)
    return bool(
        texts and quoted and not any(quoted[1].casefold() in one or one in quoted[1].casefold() for one in texts)
    )


def _date_at_the_start(text: str) -> str:
    """The date that a text begins with, by the one reader; empty where it begins with none, or with one of two."""
    words = text.split(maxsplit=_WORDS_OF_A_DATE)[:_WORDS_OF_A_DATE]
    for count in range(len(words), 0, -1):
        if isinstance(date := read_date(trimmed(" ".join(words[:count]).rstrip(",;:)"))), str):
            return date
    return ""


def _denies(sentence: str, leaves: Leaves) -> bool:
    """Whether a negation stands right before a scalar of the value: "not 16", "is not positive"."""
    for match in _NOT.finditer(sentence):
        following = sentence[match.end() : match.end() + 60].lstrip(" *_`\"'“„«").casefold()
        if (number := _PLAIN_NUMBER.match(following)) and float(number[0]) in leaves.numbers:
            return True
        if any(
            following.startswith(text) and not following[len(text) : len(text) + 1].isalnum() for text in leaves.texts
        ):
            return True
    return False


def _begins(text: str, words: Iterable[str]) -> bool:
    return any(text.startswith(word) and not text[len(word) : len(word) + 1].isalnum() for word in words if word)


def _as_number(text: str) -> float | None:
    """The number of a plain spelling; None for another one, which differs from nothing."""
    plain = text.replace("−", "-").replace("’", "").replace("'", "").replace(" ", "").strip(".,")
    if plain.count(",") and not plain.count("."):
        whole, _, rest = plain.rpartition(",")
        plain = plain.replace(",", "") if len(rest) == 3 else f"{whole.replace(',', '')}.{rest}"
    try:
        return float(plain.replace(",", ""))
    except ValueError:
        return None


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _clipped(text: str) -> str:
    return " ".join(text.split())[:80]
