"""By which words two texts are about the same thing."""

from __future__ import annotations

from llmguard.parsing.syntax.placement import words_of

_LEAST_SHARED = 4
"""Letters of a word that a text has to share with the value or the inputs; shorter ones are in every text."""

_STEM = 6
"""Letters by which two words are the same, whatever their endings."""

_FUNCTION_WORDS = frozenset(
    "this that with from have been were which what they them then than there their these those your would could should about"
    " into only just also very more most some such will must does nicht dies diese dieser dieses dass eine einen einer sind"
    " haben wurde wird auch noch nur sehr kann oder aber dans pour avec cette sont plus mais leur tout tous elle nous vous"
    " pero para esta este esto como está sono della dello delle degli questo questa anche più isso isto para mais como essa"
    " esse foi deze zijn niet maar voor jest oraz tego это этот того как что".split()
)


def stems_of(text: str) -> set[str]:
    """The beginnings of the words of a text, but for those that are in every text.

    >>> sorted(stems_of("They delivered this in 2024"))
    ['2024', 'delive']
    """
    stems: set[str] = set()
    for word in words_of(text):
        if word.isdigit() or (len(word) >= _LEAST_SHARED and word not in _FUNCTION_WORDS):
            stems.add(word[:_STEM])
        elif not word.isascii() and len(word) == 2:
            stems.add(word)
    return stems
