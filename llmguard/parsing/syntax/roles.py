"""What the words around a value say of it: an answer, a draft, an example, or a value that is taken back."""

from __future__ import annotations

from re import IGNORECASE
from typing import Literal, TypeAlias

from llmguard.core.patterns import Pattern

Role: TypeAlias = Literal["plain", "answer", "final", "option", "draft", "example", "thought", "code", "retracted"]

NO_ANSWER: frozenset[Role] = frozenset(("draft", "example", "thought", "code", "retracted"))
"""Roles of values that are never the answer."""

_WORDS = {
    "final": (
        r"final\w*|corrected|correction|revised|updated|fixed|actual|actually|right one|should be|real answer"
        r"|correct(?:ed)? (?:answer|version|json|output|one|value)|use this(?: one)?(?: instead)?|instead"
    ),
    "answer": (
        r"answer|result|response|output|returned?|json|extracted|here (?:is|you go|are)|here['’]s|object|data"
        r"|solution"
    ),
    "draft": (
        r"drafts?|first (?:attempt|try|pass|version|guess|thought|idea)|initial(?:ly)?|rough|preliminary"
        r"|tentative"
        r"|(?:to be|still have to|must be|not yet) (?:checked|check|verified|verify|confirmed|confirm)"
        r"|unverified|unfinished|attempt|scratch\w*|let me (?:think|try)|old|previous\w*|before|earlier"
        r"|original|outdated|superseded|v1"
    ),
    "option": (
        r"either|or|other|another|alternativ\w*|option|options|possib\w*|perhaps|maybe|might be"
        r"|could(?: also)? be|may be|not sure|unsure|guess"
    ),
    "example": (
        r"not\s+(?:the\s+|a\s+|an\s+|yet\s+|my\s+|your\s+)?(?:final|correct\w*|actual|right|real|answer|result|output)"
        r"|(?:document|text|e-?mail|user|message|article|page|passage|customer|he|she|they|it|note|comment)"
        r" (?:says|said|states|reads|contains|wrote|claims|asks|told|has)"
        r"|ignor\w*|disregard|do not use|skip|attack\w*|inject\w*|examples?|e\.g\.?|for instance|samples?"
        r"|templates?|schema|format|structure|looks? like|such as|placeholders?|wrong|incorrect\w*|invalid|bad"
        r"|mistaken|hypothetical\w*|input|user (?:wrote|said|sent)|quoted?|prompt|instruct\w*|would be"
        r"|illustrat\w*|shape|spec(?:ification)?|demo|fictional|similar to|don['’]t|do not|never|not|avoid"
        r"|instead of|rather than|if (?:the|it|you|there)|unlike"
    ),
}
_CUE = Pattern(
    r"(?<![\w-])(?=[a-z\d])(?:" + "|".join(rf"(?P<{role}>(?:{words})(?!\w))" for role, words in _WORDS.items()) + ")",
    IGNORECASE,
)
_TAKEN_BACK = (
    r"actually,? (?:the|it|i|that|this|no|its|their)"
    r"|should (?:be|read|say|have been) (?:[$€£\"']?[0-9.,]++|changed|corrected|different|replaced)"
    r"|(?:might|may|could|must|probably|likely)(?: be| is)? (?:wrong|incorrect|off|inaccurate|outdated)"
    r"|invented|fabricated|fictional|kidding|joking|not real|wait|scratch that|oops|correction|my mistake"
    r"|i made (?:a|an) (?:mistake|error)"
    r"|(?:that|this|which|it|above) (?:is|was|looks|seems) (?:\w+ )?"
    r"(?:wrong|incorrect|not (?:right|correct)|a mistake|an error|invalid|a draft|an example"
    r"|a placeholder|only an example|just an example|just a draft)"
    r"|(?:is|was)n['’]t (?:right|correct)|ignore (?:that|this|the above|it|the previous)|disregard"
    r"|not the (?:final )?(?:answer|result)|strike that|never mind"
    r"|let me (?:fix|correct|redo|revise|reconsider|double.?check|re-?check)|on second thought|sorry, i|made up"
    r"|placeholder values?|example only|(?:to be )?continued|continues? (?:in|on|below)"
    r"|next (?:message|part|reply)|more to (?:come|follow)|and so on|truncated|cut off|part 1 of|\d+ more"
    r"|remaining (?:items|entries|rows|lines)|i will not|i won['’]t|i refuse|i decline|will not do|ignored"
    r"|for illustration|hypothetical"
)
_BACK = Pattern(rf"(?<!\w)(?:{_TAKEN_BACK})(?!\w)", IGNORECASE)
_FAR = 240
"""Characters around a value in which its role is looked for."""


def role_of(before: str) -> Role:
    """The role that the words before a value give it: the last cue of the last line that has words.

    >>> role_of("First attempt:"), role_of("Sure! Here is the final answer:"), role_of("")
    ('draft', 'final', 'plain')
    """
    if _quoted(before):
        return "example"
    line = _last_words(before)
    role: Role = "plain"
    for cue in _CUE.finditer(line):
        kind: Role = cue.lastgroup  # type: ignore[assignment]
        if kind == "answer" and role in ("final", "draft", "example", "option"):
            continue  # "the final answer", "an example output"
        if kind == "option" and role == "example":
            continue
        role = kind
    return role


def _last_words(before: str) -> str:
    """The last line before the value that has letters, and no more than its last part."""
    for line in reversed(before[-_FAR:].splitlines()):
        if any(sign.isalpha() for sign in line) and not line.lstrip().startswith("```"):
            return line
    return ""


def role_after_correction(before: str) -> Role:
    """The role of a value after words that take the last one back: a correction, unless they say more.

    >>> role_after_correction("Wait, that is wrong."), role_after_correction("Oops. For example:")
    ('final', 'example')
    """
    rest = before
    while match := _BACK.search(rest[-_FAR:]):
        rest = rest[-_FAR:][match.end() :]
    role = role_of(rest)
    return "final" if role in ("plain", "answer") else role


def _quoted(before: str) -> bool:
    """Whether the value is within quotes, or struck out: then it is cited, and not the answer."""
    line = before[-_FAR:].rpartition("\n")[2]
    if line.endswith(("~~", "<del>", "<strike>")) and not line.endswith("~~~"):
        return True
    return (line.count('"') % 2 == 1 or line.count("“") > line.count("”")) and not line.endswith(('"', "“"))


def taken_back(after: str) -> bool:
    """Whether the words after a value take it back.

    >>> taken_back("Wait, that is wrong."), taken_back("Hope this helps!")
    (True, False)
    """
    return bool(_BACK.search(after[:_FAR]))
