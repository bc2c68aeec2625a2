"""Where a value stands in a text: on its own, after a label, or inside a sentence, where it is a quotation."""

from __future__ import annotations

from re import IGNORECASE
from typing import Literal, NamedTuple, TypeAlias

from llmguard.core.patterns import Pattern
from llmguard.parsing.syntax import wording

Place: TypeAlias = Literal["own", "labelled", "quoted", "thought"]
"""`own`: it begins a line or a fence, or follows a label that announces an answer. `labelled`: it follows a short label
of other words, which only the schema can know. `quoted`: in a sentence, after a refusal, or as somebody else's."""

NEAR = 400
"""Characters before a value in which its place is looked for."""

_MOST_LABEL_WORDS = 8
_SPECIAL = r"<\|[^<>|\n]{1,40}+\|>"
_MARKUP = Pattern(
    rf"{_SPECIAL}|<!\[CDATA\[|</?(?:b|i|u|em|strong|p|div|br|span|pre|code|ul|li|td|answer|result|output|json"
    rf"|response|final|final_answer|solution"
    r"|tool_calls?|tool|tools|function_calls?|function|data|object|message|text|xml|root|script"
    r"|function=[\w.-]{1,60})(?:\s[^<>\n]{0,80}+)?/?>|\\(?:boxed|text|fbox)\b"
    r"|(?<!\w)https?://[^\s]{1,200}+",
    IGNORECASE,
)
_FORMS = frozenset("format form structure schema shape".split())
_IN_THE = Pattern(r"(?<!\w)no(?= (?:formato|esquema|json|seguinte|estilo|padrão))", IGNORECASE)
"""Portuguese: "in the", no negation."""

_STRUCK = ("~~", "<del>", "<strike>", "<s>")
_FIRST_SPECIAL = Pattern(r"\s*+<s>\s*+\Z")
_TAG = Pattern(r"\s*+<([A-Za-z_][\w.:-]{0,60}+)(?:\s[^<>\n]{0,80}+)?>\s*+\Z")
_WORD = Pattern(r"[^\W_]+(?:['’-][^\W_]+)*+|%")
_ENDED = Pattern(r"[.!?。！？…](?:[*_`\"'”’)\]]|[^\w\s:：=])*+\s*+\Z")
_SENTENCE = Pattern(r"(?<=[.!?。！？…])[*_`\"'”’)]{0,4}(?:\s+|(?<=[。！？]))")
_CLAUSE = Pattern(r"[,;，；、]\s*|\s[–—-]+\s|\s(?:but|so|aber|mais|pero|ma|mas|maar|ale|но|и)\s")
_KEY_BEFORE = Pattern(r"""["'”]\s*+:\s*+\Z""")
_IDENTIFIER = Pattern(
    r"(?:(?:const|let|var|final|auto)\s+)?[A-Za-z_][\w.]{0,60}+(?:\s*:\s*[\w\[\], .]{1,40})?\s*+=\s*+\Z"
)
_CALL = Pattern(
    r"\s*+(?:export default|module\.exports\s*=|return|yield|await|(?:(?:await"
    r"|return)\s+)?(?:[A-Za-z_][\w.]{0,60}+\(\s*+){1,3}+)\s*+['\"`]?\Z"
)
"""Code that hands the value on as it is."""

_LEADS_IN = (":", "：", "=", "->", "→", "⇒", "=>")
_FENCES = ("```", "~~~")
_LIST = Pattern(r"\A\s*+(?:[-*+•>|#]+|[0-9]{1,4}+[.)]|\([0-9a-z]{1,3}+\))\s*+")
_UNCASED = Pattern(r"[\u0600-\u06ff\u0900-\u097f\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


class Placement(NamedTuple):
    """Where a value stands. `label`: words before it that are on no table; `final`: a label names it the one answer."""

    place: Place
    label: str = ""
    final: bool = False


def place_of(before: str, *, ends_line: bool = False) -> Placement:
    """Where a value stands that follows `before`. `ends_line`: no words follow it on its line.

    >>> place_of("Here is the JSON: ").place, place_of("I would never say ").place, place_of("Final answer:\\n").final
    ('own', 'quoted', True)
    """
    before = "" if _FIRST_SPECIAL.match(before) else before[-NEAR:]
    above, _, line = before.rpartition("\n")
    if _is_cited(line) or _KEY_BEFORE.search(line[-40:]):
        return Placement("quoted")
    text = _without_marks(line)
    if not any(sign.isalnum() for sign in text):
        return _below(above)
    if _LIST.match(text) and not any(sign.isalnum() for sign in _LIST.sub("", text)):
        return _below(above)
    if ends_line and _CALL.match(line):
        return Placement("own")
    return _after(text, above, ends_line=ends_line)


def is_refused(sentence: str) -> bool:
    """Whether a sentence that leads to a value denies it, or gives it to somebody else: its last clause, where that
    presents the value, else all of it."""
    clauses = [clause for clause in _clauses(sentence) if clause.strip()]
    if len(clauses) > 1 and (wording.PRESENTS.match(clauses[-1]) or _is_about_the_form(clauses[-1])):
        sentence = clauses[-1]
    plain = wording.YOU_ASKED.sub(" ", wording.WITHOUT_MORE.sub(" ", sentence))
    if wording.PRESENTS.match(plain):
        plain = _IN_THE.sub(" ", plain)
    return bool(
        wording.NEGATES.search(plain) or wording.ATTRIBUTES.search(plain) or wording.UNSPACED_ATTRIBUTES.search(plain)
    )


def _is_about_the_form(clause: str) -> bool:
    """Whether a clause says something of the answer as such, and is no single word: "the format is right"."""
    words = [match[0] for match in _WORD.finditer(clause.casefold())]
    return len(words) > 2 and any(word in wording.LABEL_NOUNS or word in _FORMS for word in words)


def sentences_of(text: str) -> list[str]:
    """The sentences and lines of a text.

    >>> sentences_of("Wait. No!\\nIt is 3.5 m.")
    ['Wait.', 'No!', 'It is 3.5 m.']
    """
    return [part.strip() for line in text.splitlines() for part in _split(_SENTENCE, line) if part.strip()]


def words_of(text: str) -> list[str]:
    """The words of a text without case; a run of a script without spaces counts as one for each two characters."""
    words: list[str] = []
    for match in _WORD.finditer(text.casefold()):
        word = match[0]
        if _UNCASED.match(word) and len(word) > 2:
            words += [word[at : at + 2] for at in range(len(word) - 1)]
        else:
            words.append(word)
    return words


def word_count(text: str) -> int:
    """How many words a text has; two characters of a script without spaces are one.

    >>> word_count("Das stimmt nicht."), word_count("这是错误的")
    (3, 2)
    """
    return sum(
        len(match[0]) // 2 if _UNCASED.match(match[0]) and len(match[0]) > 2 else 1 for match in _WORD.finditer(text)
    )


def _clauses(sentence: str) -> list[str]:
    return _split(_CLAUSE, sentence)


def _split(pattern: Pattern, text: str) -> list[str]:
    parts, position = [], 0
    for match in pattern.finditer(text):
        parts.append(text[position : match.start()])
        position = match.end()
    return [*parts, text[position:]]


def _without_marks(line: str) -> str:
    text = _MARKUP.sub(" ", line)
    return text.strip().strip("*_`#>|•-–—✅✔☑👉➡ \t\ufeff\u200b\u200c\u200d\u2060\x00$\\{[(\"'“„«").strip()


def _is_cited(line: str) -> bool:
    """Whether the value is within quotes, or struck out: then it is cited."""
    if line.endswith(_STRUCK) and not line.endswith("~~~"):
        return True
    return (line.count('"') % 2 == 1 or line.count("“") > line.count("”")) and not line.endswith(('"', "“"))


def _below(above: str) -> Placement:
    """A value that begins its line: a line above that leads to it may deny it, or name it final."""
    lead = ""
    for line in reversed(above.splitlines()):
        if line.strip() and not line.lstrip().startswith(_FENCES):
            lead = line
            break
    if tag := _TAG.match(lead):
        return Placement("own") if _MARKUP.match(lead.strip()) else Placement("labelled", tag[1])
    text = _without_marks(lead)
    sentences = sentences_of(text)
    if not sentences:
        return Placement("own")
    if wording.FINAL.match(sentences[-1]) and not is_refused(sentences[-1]):
        return Placement("own", "", final=True)
    ended = _ENDED.search(text)
    if declined(above) or (not ended and is_refused(sentences[-1])):
        return Placement("quoted")
    return Placement("own")


def declined(text: str) -> bool:
    """Whether a sentence of `text` declines to give the answer, and no later clause gives it all the same."""
    for sentence in sentences_of(text):
        clauses = _clauses(sentence)
        if len(clauses) > 1 and wording.PRESENTS.match(clauses[-1]):
            continue
        refusal = wording.REFUSES.search(wording.WITHOUT_MORE.sub(" ", sentence))
        if refusal and wording.GIVES.search(sentence, refusal.start()):
            return True
    return False


def _after(text: str, above: str, *, ends_line: bool) -> Placement:
    """A value after words on its line: courtesies, then a label; in any other sentence it is a quotation."""
    if _IDENTIFIER.match(text):
        return Placement("own")
    while courtesy := wording.COURTESY_BEFORE.match(text):
        if courtesy.end() < len(text) and text[courtesy.end() - 1].isalnum():
            break  # the beginning of a longer sentence: "Sure thing is"
        text = text[courtesy.end() :]
    sentences = sentences_of(text)
    if not sentences:
        return Placement("quoted" if declined(above) else "own")
    if len(sentences) > 1 and declined(text):
        return Placement("quoted")
    sentence = sentences[-1]
    if any(is_refused(one) for one in sentences[:-1]):
        return Placement("quoted")
    if ends_line and _ENDED.search(sentence):
        return Placement("quoted" if is_refused(sentence) or sentence.endswith(("?", "？", "…", "..")) else "own")
    return _by_label(sentence)


def _by_label(sentence: str) -> Placement:
    if wording.FINAL.match(sentence) and not is_refused(sentence):
        return Placement("own", "", final=True)
    if _ENDED.search(sentence) or is_refused(sentence):
        return Placement("quoted")
    clause = _clauses(sentence)[-1]
    stripped = sentence.rstrip()
    leads = stripped.endswith(_LEADS_IN)
    words = [match[0] for match in _WORD.finditer(sentence.casefold())]
    if leads and (wording.PRESENTS.match(clause) or wording.PRESENTS.match(sentence)):
        return Placement("own")
    named = any(word in wording.LABEL_NOUNS for word in words)
    if named and all(word in wording.LABELS for word in words) and (leads or len(words) <= 3):
        return Placement("own")
    if not leads or len(words) > _MOST_LABEL_WORDS:
        return Placement("quoted")
    if wording.UNSPACED_LABEL.search(sentence) and len(sentence) <= 3 * _MOST_LABEL_WORDS:
        return Placement("own")
    label = stripped.rstrip(":：=->→⇒* _`")
    if wording.COPULA.search(label) and named:
        return Placement("own")
    return Placement("labelled", label)
