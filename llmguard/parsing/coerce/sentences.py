"""One scalar in the words of a short reply: after a label, as "X is the answer", alone in a line, or the one emphasised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from re import IGNORECASE, MULTILINE

from llmguard.core.canonical import Json
from llmguard.core.outcome import Repair
from llmguard.core.patterns import Pattern
from llmguard.parsing.coerce.afterwards import takes_back
from llmguard.parsing.coerce.candidate_results import CandidateReader, CandidateResult
from llmguard.parsing.coerce.qualifiers import qualifies, without_pictures
from llmguard.parsing.syntax import Candidate, same_json, wording
from llmguard.parsing.syntax.notes import around
from llmguard.parsing.syntax.placement import place_of, sentences_of, word_count
from llmguard.parsing.syntax.strict import NotStrict, load
from llmguard.values.words import trimmed

MOST_CHARS = 2000
"""Of a reply that is searched for a scalar in words."""

MOST_SCALAR_CHARS = 120
_MOST_EMPHASISED_WORDS = 80
_MOST_PHRASES = 60

_SAYS = Pattern(
    r"(?<![<>!~≤≥≠≈])[:：=→]|(?<!\w)(?:is|are|was|would be|will be|ist|sind|lautet|war|est|était|son|es|era|è|é|são|zijn|to"
    r"|jest|это|är|er|blir)(?=[\s:])[ \t]*:?",
    IGNORECASE,
)
"""What stands between a subject and what is said of it."""

_MOST_SUBJECT_CHARS = 120
_MOST_SEPARATORS = 6
_SAYS_UNSPACED = Pattern(r"[^\s:：，。]{1,20}?(?:[:：]|应该是|是|为|為|は|が|은|는|이)\s*")
_UNSPACED_END = Pattern(r"(?:です|でした|である|だ|입니다|이다|预计|。|\.)+\Z")
_IS_THE_ANSWER = Pattern(
    r"\s+(?:is|would be|ist|wäre|est|es|è|é|is|jest|är|er)\s+(?:the|my|your|die|das|der|la|le|el|il|a|o|het"
    r"|de)?\s*(?:(?:final|correct|best|right|most"
    r" likely|overall|most appropriate|most fitting|beste|richtige|korrekte|bonne|mejor|migliore|melhor)\s+)*"
    r"(?:answer|result|choice|category|class|classification|label|sentiment|verdict|value|total|option|one|fit"
    r"|match|team|topic|type|antwort|kategorie"
    r"|réponse|catégorie|respuesta|categoría|risposta|categoria|resposta|antwoord)\b[^.!?\n]{0,60}[.!]?\s*\Z",
    IGNORECASE,
)
_CLASSED_AS = Pattern(
    r"(?<!\w)(?:as|under|into|(?:belongs|goes|assign\w*|route\w*|amounts|comes) to|als|unter|comme|como|come"
    r"|jako|som|est|is|be)\s+(?:an?\s+|the\s+)?"
    r"([^\s].{0,100}?)[.!]?\s*\Z",
    IGNORECASE,
)
_CLASSES = Pattern(
    r"(?<!\w)(?:classif\w+|categori[sz]\w+|label\w*|tag\w*|rated?|file[sd]?|falls?|belongs?|assign\w*|rout\w+"
    r"|identif\w+|goes|amounts|comes|klassifiz\w+"
    r"|eingestuft|einzuordnen|class\w+|clasific\w+|classificat\w+)(?!\w)",
    IGNORECASE,
)
_EMPHASISED = Pattern(
    r"\*\*\*?([^*\n]{1,120}+)\*\*\*?|__([^_\n]{1,120}+)__|`([^`\n]{1,120}+)`|\"([^\"\n]{1,120}+)\""
    r"|“([^”\n]{1,120}+)”|„([^“”\n]{1,120}+)[“”]"
    r"|«([^»\n]{1,120}+)»|「([^」\n]{1,120}+)」|『([^』\n]{1,120}+)』|(?<!\w)'([^'\n]{1,120}+)'(?!\w)"
    r"|(?<![*\w])\*([^*\s][^*\n]{0,120})\*(?![*\w])"
    r"|\\boxed\s?\{([^{}\n]{1,120}+)\}|<(?:b|strong|answer|result)>([^<>\n]{1,120}+)</(?:b|strong|answer|result)>"
)
_DIGITS = Pattern(r"[0-9]")
_DATE = Pattern(
    r"(?<![\w/.-])(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}(?:st|nd|rd"
    r"|th)?\.?\s+(?:of\s+)?[^\W\d_]{3,12}\.?,?\s+[0-9]{4}"
    r"|[^\W\d_]{3,12}\.?\s+[0-9]{1,2}(?:st|nd|rd|th)?,?\s+[0-9]{4})(?![\w/-])"
)
_OR = r"or|oder|ou|lub|или|eller|veya|and|und"
_OR_AFTER = Pattern(rf"[\s*_`\"'”»,]*+(?:{_OR})(?!\w)|[\s*_`]*+(?:或|または|또는)", IGNORECASE)
_OR_BEFORE = Pattern(rf"(?<!\w)(?:{_OR})[\s*_`\"'“„«]*+\Z|(?:或|または|또는)[\s*_`]*+\Z", IGNORECASE)
_ON = Pattern(r"(?<!\w)(?:on|dated|is|am|vom|den|le|el|il|em|op|dnia|på|är|er)\s+(?:the\s+)?\Z", IGNORECASE)
_HEDGES = Pattern(
    r"(?<!\w)(?:anything but|all but|far from|might|may|could|maybe|perhaps|possibly|probably|presumably"
    r"|likely|either|unsure|uncertain|guess\w*|unclear|depends|arguably|almost"
    r"|vielleicht|eventuell|möglicherweise|wahrscheinlich|vermutlich|könnte|entweder|peut-être|probablement"
    r"|pourrait|quizás?|tal vez|probablemente|podría"
    r"|forse|probabilmente|potrebbe|talvez|provavelmente|misschien|waarschijnlijk|może|być może|prawdopodobnie"
    r"|возможно|вероятно|может)(?!\w)"
    r"|可能|也许|或许|大概|かもしれ|おそらく|多分|아마",
    IGNORECASE,
)
_JOINED = Pattern(
    r"[,;，；]\s*|\s[–—-]+\s|\s(?:because|since|as|but|although|though|weil|da|denn|car|parce|porque|perché"
    r"|omdat|ponieważ|потому)\s"
)
_MARKS = Pattern(r"[*_`]{1,3}")
_FENCE_LINE = Pattern(r"^[ \t]*(?:```|~~~)[\w+.-]{0,20}[ \t]*$", MULTILINE)
_STARTS = Pattern(r"\A\s*+(?:[*•#]+\s+|[-+>]+\s+(?![$€£¥₹]?[0-9])|[0-9]{1,2}[.)]\s+(?=\S))")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A scalar as a reply says it: its words, the sentence around them and the rest of the reply."""

    said: str
    sentence: str
    before: str
    after: str


def scalar_in_prose(text: str, reader: CandidateReader) -> CandidateResult | None:
    """The one scalar that a short reply says in words; None where there is none, or may be another one."""
    if len(text) > MOST_CHARS or not text.strip() or reader.root.types & {"object", "array"}:
        return None
    lines = [_STARTS.sub("", line) for line in sentences_of(_FENCE_LINE.sub("", text))]
    lines = [line for line in lines if any(sign.isalnum() for sign in line)][: _MOST_PHRASES + 1]
    while len(lines) > 1 and (_is_courtesy(lines[0]) or _leads_in(lines[0])):
        lines.pop(0)
    if not lines or len(lines) > _MOST_PHRASES:
        return None
    lines[0] = _without_courtesy(lines[0])
    for form in _FORMS:
        found: list[tuple[Phrase, CandidateResult]] = []
        for phrase in form(lines, text):
            if (result := _read(phrase.said, text, reader)) is not None:
                found.append((phrase, result))
        if not found:
            continue
        finals = [each for each in found if _is_final(each[0].sentence)]
        found = finals or found
        phrase, result = found[-1]
        if any(not same_json(one.value, result.value) for _, one in found):
            return None
        return result if _is_alone(phrase, result, reader, final=bool(finals)) else None
    return None


def text_after_label(text: str) -> str:
    """What the last line that has a label says, else the text.

    >>> text_after_label("Let me see.\\nThe answer is: **paid**")
    '**paid**'
    """
    lines = [line for line in text.splitlines() if line.strip()]
    phrases = list(_labelled(lines[-1:], text)) if lines else []
    return phrases[-1].said if phrases else text


# ------------------------------------------------------------------------------------------------- the forms


def _labelled(lines: list[str], text: str) -> Iterator[Phrase]:
    """`Category: X`, "The answer is X", "X is the answer", "classified as X"."""
    for number, line in enumerate(lines):
        before, after = "\n".join(lines[:number]), "\n".join(lines[number + 1 :])
        plain = line.strip()
        bare = _MARKS.sub("", plain)
        for end in _ends_of_subjects(bare):
            said = _UNSPACED_END.sub("", bare[end:])
            yield Phrase(said, bare, before, after)
            if joined := _JOINED.search(said):
                yield Phrase(said[: joined.start()], bare, before, after)
        if answer := _IS_THE_ANSWER.search(bare):
            yield Phrase(bare[: answer.start()], bare, before, after)
        if _CLASSES.search(bare) and (classed := _CLASSED_AS.search(bare)):
            yield Phrase(classed[1], bare, before, after)


def _ends_of_subjects(line: str) -> list[int]:
    """Where something is said after a subject of a few words."""
    ends = [match.end() for match in _SAYS.finditer(line[:_MOST_SUBJECT_CHARS]) if match.start() > 0][:_MOST_SEPARATORS]
    if unspaced := _SAYS_UNSPACED.match(line):
        ends.append(unspaced.end())
    return [end for end in ends if line[end:].strip()]


def _first_or_last(lines: list[str], text: str) -> Iterator[Phrase]:
    """A line that is nothing but the scalar, before an explanation or after one."""
    if len(lines) == 1:
        yield Phrase(lines[0], lines[0], "", "")
        head, found, tail = _headed(lines[0])
        if found:
            yield Phrase(head, head, "", tail)
        return
    yield Phrase(lines[0], lines[0], "", "\n".join(lines[1:]))
    yield Phrase(lines[-1], lines[-1], "\n".join(lines[:-1]), "")


def _headed(line: str) -> tuple[str, bool, str]:
    """`Positive – the customer …`: the words before a dash."""
    match = _DASH.search(line)
    return (line[: match.start()], True, line[match.end() :]) if match else (line, False, "")


_DASH = Pattern(r"\s[–—-]+\s")


def _emphasised(lines: list[str], text: str) -> Iterator[Phrase]:
    """The words in bold, quotes or code of a short reply."""
    if word_count(text) > _MOST_EMPHASISED_WORDS:
        return
    for number, line in enumerate(lines):
        before, after = "\n".join(lines[:number]), "\n".join(lines[number + 1 :])
        for match in _EMPHASISED.finditer(line):
            said = next(group for group in match.groups() if group is not None)
            yield Phrase(said, line, before, after)


def _dated(lines: list[str], text: str) -> Iterator[Phrase]:
    """The date that ends a sentence after a preposition of a point in time: "issued on 5 March 2024."."""
    for number, line in enumerate(lines):
        plain = _MARKS.sub("", line)
        for match in _DATE.finditer(plain):
            if not _ON.search(plain[: match.start()]) or plain[match.end() :].strip(" .!"):
                continue
            yield Phrase(match[0], line, "\n".join(lines[:number]), "\n".join(lines[number + 1 :]))


_FORMS: tuple[Callable[[list[str], str], Iterator[Phrase]], ...] = (_labelled, _first_or_last, _emphasised, _dated)


def _is_final(sentence: str) -> bool:
    """Whether a label calls it final; a correction takes back what was before it, and is no label of a scalar."""
    plain = _MARKS.sub("", sentence)
    return bool(wording.FINAL.match(plain)) and not wording.RETRACTS.match(plain)


# ------------------------------------------------------------------------------------------------- what speaks against


def _is_alone(phrase: Phrase, result: CandidateResult, reader: CandidateReader, *, final: bool) -> bool:
    """Whether nothing beside the scalar denies it, doubts it, or, where no label calls it final, names another one."""
    sentence = phrase.sentence
    if sentence.rstrip().endswith(("?", "？")):
        return False
    clause = next((part for part in _split(sentence) if phrase.said[:40] in part), sentence)
    around_it = clause.replace(phrase.said, " ")
    if wording.NEGATES.search(around_it) and not _is_truth(phrase.said):
        return False
    if _HEDGES.search(sentence) or wording.UNSPACED_ATTRIBUTES.search(sentence):
        return False
    rest = "\n".join((phrase.before, sentence.replace(phrase.said, " ", 1), phrase.after))
    if not final and _names_another(rest, phrase, result, reader):
        return False
    head, _, rest_of_it = sentence.partition(phrase.said)
    if _OR_BEFORE.search(head) or _OR_AFTER.match(rest_of_it):
        return False
    if qualifies(head, rest_of_it, quantity=not isinstance(result.value, bool) and _is_quantity(result.value, reader)):
        return False
    tail = sentence.partition(phrase.said)[2].strip(" .,;!*_`\"'")
    return not (takes_back(tail) or _objection(phrase.after, result, reader) or _denied_before(phrase.before))


def _is_quantity(value: Json, reader: CandidateReader) -> bool:
    return reader.root.members is None and (isinstance(value, int | float) or bool(reader.root.format))


def _denied_before(before: str) -> bool:
    return any(wording.REFUSES.search(sentence) for sentence in sentences_of(before))


def _objection(after: str, result: CandidateResult, reader: CandidateReader) -> bool:
    """A remark after the scalar: a short one that is not known takes it back only where it denies something."""
    violation = reader.objection(result, after)
    if violation is None:
        return False
    if violation.message != reader.unknown_remark and not violation.message.startswith("the value stands"):
        return True
    return any(wording.NEGATES.search(sentence) and word_count(sentence) <= 8 for sentence in sentences_of(str(after)))


def _names_another(rest: str, phrase: Phrase, result: CandidateResult, reader: CandidateReader) -> bool:
    value = result.value
    if isinstance(value, bool):
        other = _TRUTHS[not value]
        return any(word in other for word in _words(rest))
    if reader.root.members is not None:
        folded = rest.casefold()
        for member in reader.root.members:
            if isinstance(member, str) and not same_json(member, value) and _has_word(rest, folded, member, str(value)):
                return True
        numbers = any(isinstance(member, int | float) for member in reader.root.members)
        return numbers and bool(_DIGITS.search(rest))
    if isinstance(value, int | float):
        beside = rest if phrase.said.strip() != phrase.sentence.strip() else ""
        return bool(_DIGITS.search(beside))
    if reader.root.format:
        return any(_DATE.finditer(_MARKS.sub("", rest))) or bool(
            _DIGITS.search(phrase.sentence.replace(phrase.said, " "))
        )
    return False


_TRUTHS = {True: frozenset(("true", "yes")), False: frozenset(("false",))}


def _is_truth(words: str) -> bool:
    return trimmed(words).casefold() in ("no", "yes", "false", "true")


def _words(text: str) -> list[str]:
    return [trimmed(word).casefold() for word in text.split()]


def _has_word(text: str, folded: str, member: str, own: str) -> bool:
    """Whether a text names a member, as a whole word; a member of one or two letters as it is written."""
    if len(member) <= 2:
        return any(trimmed(word) == member for word in text.split())
    word = member.casefold().replace("_", " ")
    plain = folded.replace(own.casefold(), " ") if word not in own.casefold() else folded
    at = plain.replace("_", " ").find(word)
    while at >= 0:
        left, right = plain[at - 1 : at] if at else "", plain[at + len(word) : at + len(word) + 1]
        if not left.isalnum() and not right.isalnum():
            return True
        at = plain.replace("_", " ").find(word, at + 1)
    return False


# ------------------------------------------------------------------------------------------------- reading


def _read(phrase: str, text: str, reader: CandidateReader) -> CandidateResult | None:
    """The words as a scalar of the schema."""
    words = trimmed(without_pictures(phrase))
    if not words or len(words) > MOST_SCALAR_CHARS:
        return None
    value: Json = words
    try:
        value = load(words)
    except NotStrict:
        pass
    if value is None or isinstance(value, dict | list):
        return None
    repairs: tuple[Repair, ...] = (around("bare_value", text, words),)
    result = reader.read(Candidate(value, repairs, 0, len(reader.text)))
    return None if result.violations else result


def _is_courtesy(line: str) -> bool:
    courtesy = wording.COURTESY_BEFORE.match(line)
    return bool(courtesy) and courtesy is not None and courtesy.end() >= len(line)


def _leads_in(line: str) -> bool:
    """A line that only presents what is below it."""
    return line.rstrip("*_ ").endswith((":", "：")) and place_of(f"{line}\n").place == "own"


def _without_courtesy(line: str) -> str:
    courtesy = wording.COURTESY_BEFORE.match(line)
    if (
        courtesy
        and courtesy.end() < len(line)
        and not line[courtesy.end() - 1].isalnum()
        and not _is_truth(line[: courtesy.end()])
    ):
        return line[courtesy.end() :]
    return line


def _split(sentence: str) -> list[str]:
    parts, position = [], 0
    for match in _JOINED.finditer(sentence):
        parts.append(sentence[position : match.start()])
        position = match.end()
    return [*parts, sentence[position:]]
