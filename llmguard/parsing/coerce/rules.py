"""Which repairs a guard allows, for the whole value and for single fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, get_args

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.outcome import Repair, RepairKind, Violation
from llmguard.parsing.syntax import KINDS, MAX_CHARS, MAX_DEPTH
from llmguard.parsing.syntax.strict import MOST_DEPTH
from llmguard.schema.words import hint, listed

RepairNames: TypeAlias = frozenset[str]
"""What is allowed: kinds of repairs, and names of single repairs; a name with "-" before it is forbidden whatever its kind."""

USUAL: tuple[str, ...] = ("lossless", "extracted", "syntactic")
FITTING_RULES = frozenset(
    "enum_member date key_name null_in_text boolean_in_text number_in_text number_with_marks currency_symbol"
    " exact_number text_of_number stringified one_of_list one_for_list tool_call wrapper unwrapped"
    " named_tuple".split()
)
"""The repairs that the schema guides; all are lossless, but for `currency_symbol`, which is `extracted`. Those of the text are in
`syntax.KINDS`."""

BY_NAME_ONLY = frozenset(("drop_unknown", "salvage_items"))
"""Repairs that leave something out, made only where they are allowed by name: members that a closed object does not know, and
items that do not fit their list. `lossy` does not allow them."""

_KINDS = frozenset(get_args(RepairKind))
_KNOWN = frozenset(KINDS) | FITTING_RULES | BY_NAME_ONLY
_SURROUNDINGS = frozenset(
    "prose thought refusal_text invisible_character json_lines repeated_answer bare_value bare_text".split()
)
"""Repairs of the text around the value: they change no field of it."""

_OF_THE_CUT = frozenset(("truncated", "missing_closer"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingRules:
    """Which repairs are allowed. `fields`: JSON Pointer -> what is allowed at and below it, instead of `repairs`.

    `allow_truncated`: a reply that was cut off gives those of its members that are complete. `max_depth` counts levels of
    brackets, `max_chars` characters of a reply. `name`: the guard's, which is also that of the tool that it offers.
    """

    repairs: RepairNames = frozenset(USUAL)
    fields: Mapping[str, RepairNames] = field(default_factory=dict)
    allow_truncated: bool = False
    max_depth: int = MAX_DEPTH
    max_chars: int = MAX_CHARS
    name: str = ""

    @property
    def leaves_out(self) -> bool:
        """Whether anything may be left out of a value, somewhere in it."""
        return any(BY_NAME_ONLY & names for names in (self.repairs, *self.fields.values()))

    def may_leave_out(self, rule: str, path: str) -> bool:
        """Whether the repair `rule` of `BY_NAME_ONLY` is allowed at `path`."""
        allowed = self._for(path) if self.fields else [self.repairs]
        return all(rule in names and f"-{rule}" not in names for names in allowed)

    def refused(self, repairs: Iterable[Repair], *, cut: bool) -> tuple[Violation, ...]:
        """A violation for each repair that is not allowed. `cut`: the reply was cut off."""
        return tuple(_forbidden(one) for one in repairs if not self._allows(one, cut))

    def described(self) -> Json:
        """The rules for a fingerprint, which has the name of its own."""
        return {
            "repairs": sorted(self.repairs),
            "fields": {path: sorted(names) for path, names in sorted(self.fields.items())},
            "allow_truncated": self.allow_truncated,
            "max_depth": self.max_depth,
            "max_chars": self.max_chars,
        }

    def _allows(self, repair: Repair, cut: bool) -> bool:
        if cut and self.allow_truncated and repair.rule in _OF_THE_CUT:
            return True
        if not self.fields or repair.rule in _SURROUNDINGS:
            return _is_allowed(repair, self.repairs)
        return all(_is_allowed(repair, names) for names in self._for(repair.path))

    def _for(self, path: str) -> list[RepairNames]:
        """What the nearest field above allows; and every field below, for a repair that touches them too."""
        above = [pointer for pointer in self.fields if path == pointer or path.startswith(pointer + "/")]
        below = [names for pointer, names in self.fields.items() if pointer.startswith(path + "/")]
        return [self.fields[max(above, key=len)] if above else self.repairs, *below]


STANDARD = ReadingRules()


def reading_rules(
    repairs: Iterable[str] = USUAL,
    field_repairs: Mapping[str, Iterable[str]] | None = None,
    *,
    allow_truncated: bool = False,
    max_depth: int = MAX_DEPTH,
) -> ReadingRules:
    """The rules that a user asked for; UsageError for an unknown repair, an invalid pointer or depth.

    >>> rules = reading_rules(["lossless", "-number_with_marks"], {"/note": ["lossless", "syntactic", "ellipsis"]})
    >>> sorted(rules.repairs), sorted(rules.fields)
    (['-number_with_marks', 'lossless'], ['/note'])
    """
    if not isinstance(max_depth, int) or not 1 <= max_depth <= MOST_DEPTH:
        raise UsageError(f"max_depth={max_depth!r}: expected levels of brackets, 1 to {MOST_DEPTH}.")
    fields = {} if field_repairs is None else field_repairs
    if not isinstance(fields, Mapping):
        raise UsageError(f"field_repairs={fields!r}: expected JSON Pointer -> repairs, such as {{'/total': ()}}.")
    return ReadingRules(
        repairs=_repair_names(repairs, "repairs"),
        fields={_pointer(path): _repair_names(names, f"field_repairs[{path!r}]") for path, names in fields.items()},
        allow_truncated=bool(allow_truncated),
        max_depth=max_depth,
    )


def _repair_names(names: Iterable[str], where: str) -> RepairNames:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise UsageError(
            f"{where}={names!r}: expected a list of kinds of repairs: {listed(sorted(_KINDS))}. Give a list."
        )
    unique = frozenset(names)
    for name in unique:
        if not isinstance(name, str) or name.removeprefix("-") not in _KNOWN | _KINDS:
            known = f"{listed(sorted(_KINDS))}, or the name of a single repair"
            raise UsageError(f"{where}: {name!r} is no repair{hint(name, sorted(_KNOWN | _KINDS))}. Expected {known}.")
    return unique


def _pointer(path: str) -> str:
    if not isinstance(path, str) or (path and not path.startswith("/")):
        raise UsageError(f"field_repairs: {path!r} is no JSON Pointer. Write it as '/total' or '/lines'; '' is all.")
    return path


def _is_allowed(repair: Repair, names: RepairNames) -> bool:
    by_kind = repair.kind in names and repair.rule not in BY_NAME_ONLY
    return f"-{repair.rule}" not in names and (by_kind or repair.rule in names)


def _forbidden(repair: Repair) -> Violation:
    message = f"the value needs the {repair.kind} repair {repair.rule!r}, which is not allowed"
    return Violation(repair.path, f"repair:{repair.rule}", message, repair.after, repair.before)
