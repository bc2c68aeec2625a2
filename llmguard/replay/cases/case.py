"""What a case is: one call's inputs and recorded answers, and what must hold when today's guard replays them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.record import Step

Expected: TypeAlias = Literal["accepted", "refused", "value"]
EXPECTED: tuple[Expected, ...] = get_args(Expected)

GUARD_NAME = re.compile(r"(?!\.)[a-z0-9_.-]{1,64}(?<!\.)")
"""What may be the name of a folder anywhere: no separator, no capitals that some systems do not tell apart, no `..`."""
SLUG = re.compile("[a-z0-9-]{1,80}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """What must hold of today's outcome.

    accepted: it has a model's value (status accepted or recovered). refused: no model's value is returned (fallback,
    escalated, rejected). value: it has a value, and that equals `value`, a tuple of one. `note` says why, for a reader.
    """

    kind: Expected
    value: tuple[Json, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if self.kind not in EXPECTED:
            raise UsageError(f"an expectation is one of {', '.join(EXPECTED)}; got {self.kind!r}.")
        if (self.kind == "value") != (len(self.value) == 1):
            raise UsageError(f"an expectation of kind 'value', and no other, has one value; got {len(self.value)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A call and the outcome that it must have. `steps` are replayed; `audited`: the call was sampled for audit.

    `provenance` tells a reader where the case comes from: `outcome` (id), `fingerprint`, `started_at`, `status`,
    `signature` of the failure, `llmguard` version, and the `review` where there was one. It decides nothing.
    """

    guard: str
    slug: str
    inputs: Json
    steps: tuple[Step, ...]
    expect: Expect
    provenance: Mapping[str, Json] = field(default_factory=dict)
    audited: bool = False

    def __post_init__(self) -> None:
        refuse_names(self.guard, self.slug)

    @property
    def id(self) -> str:
        """What names the case in reports: `triage/schema-category-enum-1a206f`."""
        return f"{self.guard}/{self.slug}"


def refuse_names(guard: str, slug: str) -> None:
    """UsageError where these cannot name a folder and a file in it."""
    if not GUARD_NAME.fullmatch(guard):
        raise UsageError(
            f"guard {guard[:80]!r} cannot name a folder of cases. Such a name has up to 64 of a-z 0-9 _ . - and no dot at its"
            " ends."
        )
    if not SLUG.fullmatch(slug):
        raise UsageError(f"slug {slug[:100]!r} cannot name a case file. A slug has up to 80 of a-z 0-9 -.")
