"""The named repairs of broken text, what kind each is, and a ledger of those made to one value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from llmguard.core.canonical import Json
from llmguard.core.outcome import Repair, RepairKind

_NAMES: Mapping[RepairKind, str] = {
    "lossless": "invisible_character json_lines thought repeated_answer blockquote entities escaped",
    "extracted": "prose bare_value bare_text",
    "syntactic": (
        "single_quotes typographic_quotes triple_quotes unescaped_quote control_character escape trailing_comma"
        " extra_comma missing_comma separator comment unquoted_key unquoted_value literal number tuple missing_closer"
        " extra_closer missing_braces call"
    ),
    "lossy": "doubtful_comment ellipsis truncated refusal_text",
}
KINDS: dict[str, RepairKind] = {rule: kind for kind, names in _NAMES.items() for rule in names.split()}
"""Rule -> kind, of every repair that is made to a text."""

MOST_OF_ONE_RULE = 16
"""More repairs of one rule than this are counted, not listed: a reply in single quotes has thousands of them."""

_MAX_CHARS = 200
"""Of a text in a repair; records hold them."""


class Ledger:
    """Repairs in the order in which they were made; more than `MOST_OF_ONE_RULE` of one rule become one, at ""."""

    __slots__ = ("_counts", "_firsts", "_repairs")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._firsts: dict[str, tuple[Json, Json]] = {}
        self._repairs: list[Repair] = []

    def __bool__(self) -> bool:
        return bool(self._counts)

    def only_counts(self, rule: str) -> bool:
        """Whether so many repairs of `rule` were made that further ones are not listed."""
        return self._counts.get(rule, 0) >= MOST_OF_ONE_RULE

    def wants(self, rule: str) -> bool:
        """Count one repair of `rule`, and say whether its details are still listed."""
        count = self._counts[rule] = self._counts.get(rule, 0) + 1
        return count <= MOST_OF_ONE_RULE

    def add(self, rule: str, path: str, before: Json, after: Json) -> None:
        """The details of a repair that was counted."""
        self._firsts.setdefault(rule, (before, after))
        self._repairs.append(Repair(path, cut_middle(before), cut_middle(after), KINDS[rule], rule))

    def listed(self) -> tuple[Repair, ...]:
        many = {rule for rule, count in self._counts.items() if count > MOST_OF_ONE_RULE}
        few = [repair for repair in self._repairs if repair.rule not in many]
        return (*few, *(self._counted(rule) for rule in sorted(many)))

    def _counted(self, rule: str) -> Repair:
        before, after = self._firsts[rule]
        return Repair(
            "", f"{self._counts[rule]} times, first {cut_middle(before)!r}", cut_middle(after), KINDS[rule], rule
        )


def around(rule: str, before: Json, after: Json = "") -> Repair:
    """A repair of the whole reply, or of the text around its value."""
    return Repair("", cut_middle(before), cut_middle(after), KINDS[rule], rule)


def cut_middle(value: Json, longest: int = _MAX_CHARS) -> Json:
    """`value`, with a long text cut in the middle."""
    if isinstance(value, str) and len(value) > longest:
        return f"{value[: longest // 2]} … {value[-longest // 2 :]}"
    return value


def pointer(steps: Iterable[str | int]) -> str:
    """The JSON Pointer (RFC 6901) of `steps`.

    >>> pointer(["lines", 0, "a/b"])
    '/lines/0/a~1b'
    """
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
