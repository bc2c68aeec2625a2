"""Whether a value stands in the call's inputs: then a reply that has it among other words quotes it."""

from __future__ import annotations

from functools import cached_property

from llmguard.core.canonical import EncodingError, Json, encode
from llmguard.core.patterns import Pattern
from llmguard.parsing.coerce.stems import stems_of

_SPACE = Pattern(r"[\s\\]+")
_MOST_CHARS = 1_000_000
"""Of the inputs that are searched: a reply quotes what it can see, and no model sees more."""


class Inputs:
    """The inputs of a call as text, prepared when first needed."""

    def __init__(self, inputs: Json = None) -> None:
        self._inputs = inputs

    @cached_property
    def _texts(self) -> list[str]:
        """Every text of the inputs, and all of them as one JSON value."""
        texts: list[str] = []
        left, room = [self._inputs], _MOST_CHARS
        while left and room > 0:
            item = left.pop()
            if isinstance(item, dict):
                left += item.values()
            elif isinstance(item, list):
                left += item
            else:
                texts.append(str(item)[:room])
                room -= len(texts[-1])
        return texts

    @cached_property
    def _compact(self) -> str:
        return "\n".join(map(_compacted, (*self._texts, _encoded(self._inputs)[:_MOST_CHARS])))

    @cached_property
    def stems(self) -> set[str]:
        """Stems of the words of all inputs."""
        return stems_of("\n".join(self._texts))

    def hold(self, written: str, value: Json) -> bool:
        """Whether the inputs hold a value, as it is written or with other white space and quotes; one without members is
        in every text."""
        if self._inputs is None or not value:
            return False
        spellings = (_compacted(written), _compacted(_encoded(value)))
        return any(spelling and spelling in self._compact for spelling in spellings)


def _compacted(text: str) -> str:
    return _SPACE.sub("", text).replace("'", '"').casefold()


def _encoded(value: Json) -> str:
    try:
        return encode(value).decode()
    except EncodingError:
        return ""


NO_INPUTS = Inputs()
