"""From a reply's text to its candidates: strictly first, then by a search through the text around them."""

from __future__ import annotations

from dataclasses import replace
from json.decoder import scanstring  # type: ignore[attr-defined]
from re import MULTILINE

from llmguard.core.canonical import Json
from llmguard.core.outcome import Violations
from llmguard.core.patterns import Pattern
from llmguard.parsing.syntax.candidates import Candidate, Parsed
from llmguard.parsing.syntax.notes import around
from llmguard.parsing.syntax.search import candidates_in
from llmguard.parsing.syntax.strict import MAX_CHARS, MAX_DEPTH, NotStrict, load, too_deep, violation

_COMPARISON = Pattern(r">\s*=?\s*[+\-−$€£]?[0-9]")
_QUOTED_BLOCK = Pattern(r"^> ?", MULTILINE)


def parse_strict(text: str, *, max_depth: int = MAX_DEPTH, max_chars: int = MAX_CHARS) -> tuple[Json, Violations]:
    """The value exactly as `json.loads` gives it, and no violations; or None and what forbids it.

    >>> parse_strict('{"a": 1.0}')
    ({'a': 1.0}, ())
    >>> str(parse_strict('{"a": 1, "a": 2}')[1][0])
    '(whole value): the same key stands twice with different values [duplicate_key]'
    """
    if len(text) > max_chars:
        return None, (violation("too_large", actual=len(text)),)
    if too_deep(text, max_depth):
        return None, (violation("too_deep", actual=max_depth),)
    try:
        return load(text), ()
    except NotStrict as error:
        return None, (violation(error.rule, actual=error.actual),)


def parse_candidates(text: str, *, max_depth: int = MAX_DEPTH, max_chars: int = MAX_CHARS, cut: bool = False) -> Parsed:
    """The candidate values of a reply. `cut`: the text was cut off at its end.

    >>> [candidate.value for candidate in parse_candidates("Sure: {'a': 1,}").candidates]
    [{'a': 1}]
    """
    if len(text) > max_chars:
        return Parsed(violation=violation("too_large", actual=len(text)))
    if too_deep(text, max_depth):
        return Parsed(violation=violation("too_deep", actual=max_depth))
    try:
        return Parsed((Candidate(load(text), end=len(text)),), text=text)
    except NotStrict as error:
        return _searched(text, max_depth, cut, error.prefix)


def _searched(text: str, max_depth: int, cut: bool, prefix: tuple[Json, int] | None) -> Parsed:
    """The candidates of a text that is no strict JSON; a text that was quoted or escaped as a whole is undone first."""
    plain, rule = _undone(text)
    if not rule:
        return candidates_in(text, max_depth=max_depth, cut=cut, prefix=prefix)
    parsed = candidates_in(plain, max_depth=max_depth, cut=cut)
    undone = around(rule, text, plain[:400])
    candidates = tuple(replace(one, repairs=(undone, *one.repairs)) for one in parsed.candidates)
    return replace(parsed, candidates=candidates)


def _undone(text: str) -> tuple[str, str]:
    """The text without the layer that lies over all of it, and the rule that took it off."""
    if _is_quoted_block(text):
        return _QUOTED_BLOCK.sub("", text.strip()), "blockquote"
    if "&quot;" in text and '"' not in text and "'" not in text:
        return _unescaped(text), "entities"
    if '\\"' in text and text.lstrip()[:1] in ("{", "[") and text.count('"') == text.count('\\"'):
        try:
            return scanstring(text + '"', 0, False)[0], "escaped"
        except ValueError:
            return text, ""
    return text, ""


def _unescaped(text: str) -> str:
    from html import unescape  # its tables take a while to load, and hardly any reply needs them

    return unescape(text)


def _is_quoted_block(text: str) -> bool:
    """Markdown's quotation: every line starts with `>`. A sign of comparison before a digit is part of what is said."""
    if not text.lstrip().startswith(">") or _COMPARISON.match(text.lstrip()):
        return False
    return all(line.startswith(">") for line in text.strip().splitlines() if line.strip())
