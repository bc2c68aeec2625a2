"""Words right beside a scalar in a sentence that bound it, estimate it, scale it or say that it was another one.

"About 9 devices" does not say 9, and "before 1 May" names no day. Such words stand next to the scalar, and they are function
words, of which languages hardly get new ones: prepositions, comparatives and adverbs of degree. A word that is missing here does
harm, so the sets of the languages that models answer in are listed as a whole, with those that only sometimes bound: they cost
a re-ask. Signs are refused by their kind.
"""

from __future__ import annotations

import unicodedata
from re import IGNORECASE

from llmguard.core.patterns import Pattern
from llmguard.values.units import SCALES, units_of

_ESTIMATES = (
    r"about|around|approx(?:imately|\.)?|roughly|circa|ca\.?|c\.|nearly|almost|close to|near(?: to)?|some"
    r"|(?:an )?estimated|barely|hardly"
    r"|etwa|ungefähr|rund|zirka|annähernd|fast|beinahe|knapp|gut|schätzungsweise|um die"
    r"|environ|près de|presque|à peu près|quelque|autour de|aux alentours de"
    r"|aproximadamente|alrededor de|cerca de|casi|unos|unas|más o menos|en torno a"
    r"|circa|quasi|all['’]incirca|intorno a|approssimativamente|quase|por volta de|uns|umas"
    r"|ongeveer|bijna|rond|zowat|około|prawie|niemal|mniej więcej|około|примерно|около|почти|приблизительно"
    r"|ungefär|cirka|omkring|nästan|omtrent|nesten|ca"
)
_BOUNDS = (
    r"over|under|above|below|beyond|exceed(?:s|ed|ing)?|upwards of|(?:in )?excess of|up to"
    r"|at (?:the )?(?:least|most|latest|earliest)"
    r"|as (?:many|much|few|little|early|late|high|low) as|min(?:imum|\.)?(?: of)?|max(?:imum|\.)?(?: of)?"
    r"|between|from|within|towards?"
    r"|über|unter|oberhalb|unterhalb|mindestens|höchstens|maximal|minimal|wenigstens|bis(?: zu)?|zwischen|von|ab|gegen"
    r"|plus(?: de)?|moins(?: de)?|au (?:moins|plus)|(?:más|menos|mais) de|(?:più|meno) di|jusqu['’]à|entre"
    r"|à partir de|dès|minimum|maximum|al menos"
    r"|como (?:mínimo|máximo)|hasta|desde"
    r"|almeno|al (?:massimo|minimo)|fino a|tra|fra|oltre|sotto|meno|più|pelo menos|no (?:mínimo|máximo)"
    r"|até|acima de|abaixo de"
    r"|minstens|hoogstens|maximaal|minimaal|tot|tussen|boven|onder|meer|minder|co najmniej|co najwyżej"
    r"|ponad|poniżej|powyżej|do|od|między"
    r"|не (?:менее|более)|минимум|максимум|до|от|между|свыше|выше|ниже|minst|högst|upp till|över|mellan"
)
_TIMES = (
    r"before|after|until|till|by|since|prior to|past|following|not later|vor|nach|bis zum|seit|spätestens|frühestens"
    r"|avant|après|depuis|vers|d['’]ici|antes (?:de|del)|después (?:de|del)|hacia|a partir (?:de|del)|para"
    r"|prima del|dopo il|entro|dal|verso|antes|depois|vóór|na|sinds|vanaf|przed|po|przed dniem|после"
    r"|перед|с|к|före|efter|sedan|från"
)
_COMPARES = (
    r"than|als|que|che|do que|dan|niż|чем|än|like|similar to|other than|rather than|instead of"
    r"|except(?: for)?|unlike|but"
    r"|anstatt|statt|außer|ähnlich wie|wie|sauf|au lieu de|comme|excepto|en lugar de|como|tranne"
    r"|invece di|exceto|behalve|oprócz|кроме|вместо"
)
_COMPARES_MEMBERS = (
    r"\w+er than|other than|rather than|instead of|except(?: for)?|unlike|like|similar to|close to"
    r"|near(?:ly)?|almost|resembl\w+|anything but"
    r"|anstatt|statt|außer|ähnlich wie|fast|beinahe|sauf|au lieu de|presque|excepto|en lugar de|casi"
    r"|tranne|invece di|quasi|exceto|quase"
    r"|behalve|bijna|oprócz|prawie|кроме|вместо|почти|nästan"
)
_WAS = (
    r"used to be|formerly|previously|originally|no longer|früher|ehemals|ursprünglich|anciennement|antes era"
    r"|in origine|voorheen|dawniej|ранее"
)
_ARTICLE = (
    r"(?:\s+(?:the|an?|its?|der|dem|den|das|die|zum|le|la|les|l['’]|el|los|il|o|os|de|het))?[\s*_`\"'“„«($€£¥₹]*+\Z"
)

_BEFORE_NUMBERS = Pattern(
    rf"(?<!\w)(?:{_ESTIMATES}|{_BOUNDS}|{_TIMES}|{_COMPARES}|{_WAS}){_ARTICLE}|(?:约|大约|近|超过|至少|至多|不到|多达|约莫"
    rf"|左右|以前|約|およそ|少なくとも|最大"
    rf"|약|최소|최대|대략)[\s*_`]*+\Z",
    IGNORECASE,
)
_BEFORE_MEMBERS = Pattern(rf"(?<!\w)(?:{_COMPARES_MEMBERS}|{_WAS}){_ARTICLE}", IGNORECASE)
_AFTER = Pattern(
    r"[\s*_`\"'”»)]*+(?:[+%‰~±?？]|-?ish\b|(?:or|oder|ou|o|of|lub|или|eller)\s+(?:more|less|so|fewer|later"
    r"|earlier|after|before|above|below"
    r"|higher|lower|mehr|weniger|später|früher|plus|moins|más|menos|più|meno|mais|meer|minder|więcej"
    r"|mniej|более|менее|mer)\b"
    r"|at (?:(?:the )?(?:very )?)?(?:least|most|latest|earliest)\b|and (?:up|above|over|counting)\b"
    r"|upwards\b|approximately\b|roughly\b"
    r"|ungefähr\b|environ\b|aproximadamente\b|circa\b|at first\b|before\b|previously\b|originally\b"
    r"|以上|以下|左右|之前|之后|以前|以后|前後|程度|未満|頃|이상|이하|정도|미만)",
    IGNORECASE,
)
_SUPPOSES = Pattern(
    r"(?<!even )(?<!as )(?<!\w)(?:if|unless|provided that|assuming|wenn|(?<=, )falls|sofern|jeśli|jeżeli|gdyby"
    r"|если|indien)(?!\w)|如果|もし|만약",
    IGNORECASE,
)
_WORD_AFTER = Pattern(r"[\s*_`\"'”»)-]*+([^\W\d_]+)")
_TAGS = Pattern(r"</?[A-Za-z][^<>\n]{0,80}+>")
_NO_SIGNS = frozenset("*_`#=→⇒|+\\$")
"""Signs beside a scalar that are markup, or lead to it."""


def qualifies(head: str, tail: str, *, quantity: bool) -> bool:
    """Whether the words and signs right beside a scalar make it another one. `quantity`: it is a number or a date.

    >>> qualifies("At least ", " devices", quantity=True), qualifies("A total of ", " devices", quantity=True)
    (True, False)
    >>> qualifies("This is about ", "", quantity=False), qualifies("Anything other than ", "", quantity=False)
    (False, True)
    """
    if _SUPPOSES.search(head) or _SUPPOSES.search(tail) or _signed(head) or _is_quoted_in_part(head, tail):
        return True
    if not quantity:
        return bool(_BEFORE_MEMBERS.search(head))
    if _BEFORE_NUMBERS.search(head[-60:]) or _AFTER.match(tail):
        return True
    word = _WORD_AFTER.match(tail)
    return bool(word) and bool(units_of(word[1] if word else "") & (SCALES.keys() | {"percent", "permille"}))


def without_pictures(text: str) -> str:
    """A text without the emoji that it begins with; a sign of mathematics or punctuation may deny or bound, and stays."""
    at = 0
    while at < len(text) and (text[at].isspace() or unicodedata.category(text[at]) in ("So", "Sk", "Mn", "Cf")):
        at += 1
    return text[at:]


def _is_quoted_in_part(head: str, tail: str) -> bool:
    """Whether the scalar stands within quotes that hold more than it."""
    is_inside = head.count('"') % 2 == 1 and '"' in tail
    return is_inside and not (head.rstrip().endswith('"') and tail.lstrip().startswith('"'))


def _signed(head: str) -> bool:
    """Whether the text ends in a sign of mathematics (~ < > ≈ ≠ ±) or a mark of exclamation: "!billing", "~9"."""
    head = _TAGS.sub("", head)
    last = head.rstrip(" *_`\"'“„«(")[-1:]
    return (
        bool(last)
        and last not in _NO_SIGNS
        and (unicodedata.category(last) == "Sm" or (last == "!" and not head[-1:].isspace()))
    )
