"""What a comment beside a value says: nothing of the value, or something that leaves it in doubt.

A comment is dropped only where it can change nothing: it holds no number, no member, no unit or scale ("in millions"), and no
word of doubt, negation or change. The words are a table that refuses: what it lacks is the price of reading comments at all.
Whether a comment names another member of an enum is asked later, with the schema.
"""

from __future__ import annotations

from re import IGNORECASE

from llmguard.core.patterns import Pattern
from llmguard.parsing.syntax.strings import OPENING, Unreadable
from llmguard.values.units import units_of

_WORD = Pattern(r"[^\W\d_]+(?:/[^\W\d_]+)?")
_READ = 400
"""Characters of a comment that are searched for words: a long one is prose, and says it at its beginning."""

_MAY_BE_STRUCTURE = Pattern(
    rf"[\[\]{{}}]|(?:\A\s*+|,\s*+)[{OPENING}]|[{OPENING}][^\n{OPENING}]{{1,200}}+[{OPENING}”’»]\s*+(?:[:=,]|\Z)(?<!\w['’])"
)
"""Brackets, a quoted key, or another text of a list: on one line with the value, they may belong to it."""

_DOUBT = (
    r"approx\w*|roughly|maybe|perhaps|or|probabl\w*|possibl\w*|likely|might|could|guess\w*|estimat\w*|uncertain\w*|unsure"
    r"|unknown|unclear|unverified|assum\w*|hypothetical|circa|ca|etc|and so on|sure|certain|confirm\w*|verif\w*|tbd|tbc|todo"
    r"|fixme|placeholder|vielleicht|ungefähr|etwa|geschätzt\w*|wohl|vermutlich|unsicher|oder|bzw"
    r"|peut-être|environ|estimé\w*|probablement|ou|quizás?|tal vez|aproximad\w*|probablemente|forse|probabilmente|talvez"
    r"|misschien|ongeveer|waarschijnlijk|może|około|chyba|lub|возможно|примерно|около|или|наверное"
)
_CHANGE = (
    r"really|actually|in fact|in truth|should|instead|rather|correct(?:ed|ion|ly)?|incorrect|wrong|false|true|changed|updated"
    r"|revised|replaced|was|were|previously|formerly|originally|draft|tentative|provisional|pending|same as"
    r"|more|omit\w*|remaining|rest|others?|continu\w*|truncat\w*|repeat\w*|further|additional\w*|brevity|skip\w*|left out"
    r"|similar\w*"
    r"|eigentlich|tatsächlich|statt|sondern|falsch|korrigiert|geändert|weitere|andere|en fait|plutôt|corrigé\w*|faux|autres"
    r"|en realidad|corregid\w*|incorrect[oa]|más|otros|invece|corretto|sbagliato|altri|na verdade|errado|mais|outros"
    r"|eigenlijk|fout|właściwie|на самом деле|неверно|ещё|ещe|других"
)
_REVOKED = (
    r"old|void|cancel\w*|ignor\w*|typo|fix\w*|unless|obsolete|deprecated|outdated|expired|superseded|disputed|rounded|net|gross"
    r"|incl\w*|excl\w*|before|after|minus|plus|times|negative|half|halved|twice|doubled?|tripled?|pairs?|sets? of|discount\w*"
    r"|hourly|daily|weekly|monthly|quarterly|yearly|annual\w*|netto|brutto|vor|nach|zzgl|abzgl|inkl|exkl|alt|veraltet|storniert"
)
_NUMBERS = (
    r"zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty|sixty|seventy|eighty"
    r"|ninety|null|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf|deux|trois|quatre|cinq|sept|huit|neuf|dix|dos|tres"
    r"|cuatro|cinco|seis|siete|ocho|nueve|diez|due|tre|quattro|cinque|sette|otto|nove|dieci"
)
_NEGATION = (
    r"not|no|never|none|nor|cannot|\w+n['’]t|without|except\w*|exclud\w*|nicht|kein\w*|nie|ohne|außer|pas|jamais|sans|nunca|sin"
    r"|non|mai|senza|não|nem|sem|niet|geen|nooit|zonder|не|нет|ни|без|inte|ikke|ingen|ei"
)
_SCALE = (
    r"hundreds?|thousands?|millions?|billions?|trillions?|dozens?|lakhs?|crores?|mio|mrd|mln|mn|bn|tsd|k|m"
    r"|hundert|tausend|millionen|milliarden|milliers?|milliards?|miles|mill(?:ón|ones)|millares|milioni|miliardi|milhões|mil"
    r"|tys|тыс\w*|млн|млрд|per|each|cents?|percent|prozent|pour ?cent|por ?ciento|dollars?|euros?|pounds?|usd|eur"
    r"|gbp|jpy|chf|cny|inr"
)
_PERIODS = (
    r"feet|foot|stones?|years?|months?|weeks?|quarters?|decades?|wochen?|monate?n?|jahre?n?|heures?|jours?|semaines?|mois|ans?|horas?"
    r"|días?|semanas?|meses|años?"
)
_ALSO_WORDS = frozenset(
    "in all try top mad won real second point points pt pts bar bars mop pen cup gel sos lei piece pieces pcs pc mole moles knot"
    " knots rand ron bob ang cop top amd mil ft fr rm rs rp kr t d s a c l h v w j k b".split()
)
"""Symbols and codes that are a word of a language too: in a comment they are that."""

_DOUBTFUL = Pattern(
    rf"\d|[%‰°$€£¥₹?~≈±<>…]|\.\.\.|(?<!\w)(?:{_DOUBT}|{_CHANGE}|{_REVOKED}|{_NUMBERS}|{_NEGATION}|{_SCALE}|{_PERIODS})(?!\w)"
    r"|[不没沒非未约約或另改误誤]|可能|大概|实际|實際|应该|應該|更正"
    r"|万|億|亿|百万|千|ない|おそらく|実際|訂正|아니|않|아마|실제|약 ",
    IGNORECASE,
)


def rule_of_comment(words: str, opener: str, at: int) -> str:
    """The repair that drops a comment, `doubtful_comment` where it may change what the value says. Unreadable where a comment to
    the end of its line holds what may be a part of the value.

    >>> rule_of_comment("// boxes on the pallet", "//", 0), rule_of_comment("// in millions", "//", 0)
    ('comment', 'doubtful_comment')
    """
    inside = words[len(opener) : _READ].removesuffix("*/").removesuffix("-->")
    if _MAY_BE_STRUCTURE.search(inside):
        if opener in ("#", "//"):
            message = "a comment holds brackets or members that may belong to the value"
            raise Unreadable("ambiguous_comment", message, at, at + len(words))
        return "doubtful_comment"
    return "doubtful_comment" if _DOUBTFUL.search(inside) or _names_a_unit(inside) else "comment"


def _names_a_unit(inside: str) -> bool:
    words = (match[0] for match in _WORD.finditer(inside))
    return any(word.casefold() not in _ALSO_WORDS and units_of(word) for word in words)
