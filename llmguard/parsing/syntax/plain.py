"""Plain members and items, which nearly all are: each read by one pattern, and undamaged runs of them by the decoder in C."""

from __future__ import annotations

import re

from llmguard.core.canonical import Json
from llmguard.core.patterns import Pattern
from llmguard.parsing.syntax.containers import ContainerFrame, Containers
from llmguard.parsing.syntax.scalars import WORDS
from llmguard.parsing.syntax.strict import NotStrict, load, same_json
from llmguard.parsing.syntax.strings import Unreadable

_W = r"[ \t\n\r]*+"
_CURLY = r"“([^\"'“”„\\\x00-\x1f]*+)”"
_KEY = rf"""(?:"([^"\\\x00-\x1f]*+)"|'([^'"\\\x00-\x1f]*+)'|{_CURLY}|([A-Za-z_$][A-Za-z0-9_$]*+))"""
_SCALAR = (
    rf"""(?:"([^"\\\x00-\x1f]*+)"|'([^'"\\\x00-\x1f]*+)'|{_CURLY}"""
    r"|(-?(?:0|[1-9][0-9]{0,17}+)(\.[0-9]{1,17}+)?+)|(true|false|null|True|False|None))"
)
# A whole member with a plain key and a plain scalar, and what must follow it.
_MEMBER = Pattern(rf"{_W}{_KEY}{_W}:{_W}{_SCALAR}{_W}(?:,(?={_W}['\"“A-Za-z_$}}])|(?=\}}))")
_CONTAINER_MEMBER = Pattern(rf'{_W}"([^"\\\x00-\x1f]*+)"{_W}:{_W}(?=[\[{{])')
_ITEM = Pattern(rf"{_W}{_SCALAR}{_W}(?:,(?={_W}['\"“\-0-9tfn\]])|(?=\]))")
_STRING = r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
_STRICT = rf"(?:{_STRING}|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+(?![0-9.eE])|true|false|null)"
_FLAT_LIST = rf"\[{_W}(?:{_STRICT}{_W}(?:,{_W}{_STRICT}{_W})*+)?+\]"
_PAIR = rf"{_STRING}{_W}:{_W}(?:{_STRICT}|{_FLAT_LIST}){_W}"
_FLAT_OBJECT = rf"\{{{_W}(?:{_PAIR}(?:,{_W}{_PAIR})*+)?+\}}"
# Strict containers of scalars, and runs of them.
_FLAT = Pattern(rf"{_FLAT_LIST}|{_FLAT_OBJECT}")
_FLAT_RUN = Pattern(
    rf"(?:{_W}(?:{_FLAT_OBJECT}|{_FLAT_LIST}|{_STRICT}){_W},(?={_W}[\[{{\"'\-0-9A-Za-z\]]))*+"
    rf"(?:{_W}(?:{_FLAT_OBJECT}|{_FLAT_LIST}))?+"
)
_PAIR_RUN = Pattern(rf"(?:{_W}{_PAIR},(?={_W}['\"A-Za-z_$}}]))*+")
_PYTHON = frozenset(("True", "False", "None"))
# The same with the two damages that come in every item of a long list or in none.
_LAX = rf"(?:{_STRICT}|True|False|None)"
_LAX_LIST = rf"\[{_W}(?:{_LAX}{_W}(?:,{_W}{_LAX}{_W})*+(?:,{_W})?+)?+\]"
_LAX_PAIR = rf"{_STRING}{_W}:{_W}(?:{_LAX}|{_LAX_LIST}){_W}"
_LAX_OBJECT = rf"\{{{_W}(?:{_LAX_PAIR}(?:,{_W}{_LAX_PAIR})*+(?:,{_W})?+)?+\}}"
_LAX_RUN = Pattern(rf"(?:{_W}(?:{_LAX_OBJECT}|{_LAX_LIST}){_W},(?={_W}[\[{{]))*+")
_DAMAGE = Pattern(rf'((?:{_STRING}|[^",TFN]++|,(?!{_W}[\]}}]))++)|,|True|False|None')
_MENDS = {",": "", "True": "true", "False": "false", "None": "null"}
_RULES = {",": "trailing_comma", "True": "literal", "False": "literal", "None": "literal"}


def take_members(text: str, at: int, frame: ContainerFrame, stack: Containers) -> int:
    """Puts plain members from `at` on into the object `frame`; returns where the first one starts that is not plain."""
    members, match_at = frame.value, _MEMBER.match
    while match := match_at(text, at):
        double, single, curly, bare, plain, quoted, typographic, number, fraction, word = match.groups()
        key = double if double is not None else single if single is not None else bare if bare is not None else curly
        at = match.end()
        value: Json = plain
        if value is None:
            value = _value(quoted, typographic, number, fraction, word)
        if key in members and not same_json(members[key], value):
            raise Unreadable("duplicate_key", f"the key {key!r} stands twice with different values", match.start())
        members[key] = value
        if double is None or quoted is not None or typographic is not None or word in _PYTHON:
            frame.key = key
            _note(match, stack)
        frame.ready = text[at - 1] != ","
        frame.comma = not frame.ready
    return at


def take_flat_members(text: str, at: int, frame: ContainerFrame) -> int:
    """Puts a run of strict members, lists of scalars among them, into the object `frame`; returns where the run ends."""
    match = _PAIR_RUN.match(text, at)
    run = match[0] if match else ""
    if run:
        for key, value in _strict(f"{{{run[:-1]}}}", at).items():
            if key in frame.value and not same_json(frame.value[key], value):
                raise Unreadable("duplicate_key", f"the key {key!r} stands twice with different values", at)
            frame.value[key] = value
        frame.comma = True
    return at + len(run)


def take_items(text: str, at: int, frame: ContainerFrame, stack: Containers) -> int:
    """The same for a list."""
    match_at = _ITEM.match
    while match := match_at(text, at):
        plain, quoted, typographic, number, fraction, word = match.groups()
        at = match.end()
        if word in _PYTHON:
            stack.note("literal", word, WORDS[word])
        _note_quotes(quoted, typographic, stack)
        frame.value.append(plain if plain is not None else _value(quoted, typographic, number, fraction, word))
        frame.ready = text[at - 1] != ","
        frame.comma = not frame.ready
    return at


def take_flat_items(text: str, at: int, frame: ContainerFrame) -> int:
    """Puts a run of strict items, containers of scalars among them, into the list `frame`; returns where the run ends."""
    match = _FLAT_RUN.match(text, at)
    run = match[0] if match else ""
    if run:
        frame.value.extend(_strict(f"[{run.removesuffix(',')}]", at))
        frame.comma = run.endswith(",")
        frame.ready = not frame.comma
    return at + len(run)


def take_lax_items(text: str, at: int, frame: ContainerFrame, stack: Containers) -> int:
    """The same with trailing commas and Python's words in the containers, once so many were recorded that they are only
    counted: further ones would not be listed."""
    if not (stack.ledger.only_counts("trailing_comma") or stack.ledger.only_counts("literal")):
        return at
    match = _LAX_RUN.match(text, at)
    if not match or not match[0]:
        return at

    def repaired(part: re.Match[str]) -> str:
        if part[1] is not None:
            return part[1]
        stack.note(_RULES[part[0]], part[0], _MENDS[part[0]])
        return _MENDS[part[0]]

    frame.value.extend(_strict(f"[{_DAMAGE.sub(repaired, match[0][:-1])}]", at))
    frame.comma, frame.ready = True, False
    return match.end()


def flat_at(text: str, at: int) -> tuple[Json, int] | None:
    """A strict container of scalars, and where it ends; None where none starts."""
    match = _FLAT.match(text, at)
    return (_strict(match[0], at), match.end()) if match else None


def container_key_at(text: str, at: int) -> tuple[str, int] | None:
    """A plain key whose value is a container, and where that starts."""
    match = _CONTAINER_MEMBER.match(text, at)
    return (match[1], match.end()) if match else None


def _value(
    quoted: str | None, typographic: str | None, number: str | None, fraction: str | None, word: str | None
) -> Json:
    if number is not None:
        return int(number) if fraction is None else float(number)
    if word is not None:
        return WORDS[word]
    return typographic if quoted is None else quoted


def _note(match: re.Match[str], stack: Containers) -> None:
    _, single, curly, unquoted, _, quoted, typographic, _, _, word = match.groups()
    if unquoted is not None:
        stack.note("unquoted_key", unquoted, unquoted)
    _note_quotes(single, curly, stack)
    _note_quotes(quoted, typographic, stack)
    if word in _PYTHON:
        stack.note("literal", word, WORDS[word])


def _note_quotes(single: str | None, curly: str | None, stack: Containers) -> None:
    if single is not None:
        stack.note("single_quotes", f"'{single}'", single)
    if curly is not None:
        stack.note("typographic_quotes", f"“{curly}”", curly)


def _strict(text: str, at: int) -> Json:
    try:
        return load(text)
    except NotStrict as error:
        raise Unreadable(error.rule, f"{error.rule.replace('_', ' ')}: {error.actual[:60]!r}", at) from None
