"""Regular expressions that are compiled when they are first used.

The patterns of the parser take a sixth of a second to compile, and a valid reply needs none of them. All are linear on
hostile text: what repeats is possessive (`*+`) or bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Protocol


class _At(Protocol):
    def __call__(self, text: str, start: int = 0, end: int = ..., /) -> re.Match[str] | None: ...


class Pattern:
    """A regular expression with the methods of a compiled one. Until the first use its slots are empty, and what is
    not in a slot is asked of `__getattr__`, which fills them: afterwards a use costs what it costs without this class.

    >>> Pattern("a+").match("aab").end()
    2
    """

    __slots__ = ("_flags", "_source", "finditer", "fullmatch", "match", "search", "sub")

    match: _At
    search: _At
    fullmatch: _At
    finditer: Callable[[str], Iterator[re.Match[str]]]
    sub: Callable[[str | Callable[[re.Match[str]], str], str], str]

    def __init__(self, source: str, flags: re.RegexFlag = re.NOFLAG) -> None:
        self._source, self._flags = source, flags

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        compiled = re.compile(self._source, self._flags)
        for method in ("finditer", "fullmatch", "match", "search", "sub"):
            setattr(self, method, getattr(compiled, method))
        return getattr(compiled, name)
