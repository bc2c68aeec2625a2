"""The result of certifying: a certificate, or a refusal that says why and what would help; both as sentences and JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from llmguard.certification.sequential_testing import Tested
from llmguard.core.canonical import Json, digest

Method: TypeAlias = Literal["exact", "anytime"]
RefusalReason: TypeAlias = Literal["no_audits", "undone", "too_few", "not_certified"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """Counts of the items: outcomes drawn for audit, reviews not done, items that thinning kept, and reviews that are
    left out because they were not drawn at random (complaints, escalated, without a logged probability)."""

    drawn: int
    undone: int
    kept: int
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """With confidence 1 - delta, at most alpha of what `policy` accepts automatically is judged wrong by reviewers.

    Valid for the guard of `fingerprint` and traffic like that of the audited period, until `expires_at` (seconds since
    the epoch; None: no limit) or until drift is found. `table` has every policy in the fixed order.
    """

    alpha: float
    delta: float
    method: Method
    policy: str
    table: tuple[Tested, ...]
    audited: Audited
    guard: str = ""
    fingerprint: str = ""
    issued_at: float | None = None
    expires_at: float | None = None

    @property
    def tested(self) -> Tested:
        """The row of the certified policy."""
        return next(row for row in self.table if row.policy == self.policy)

    @property
    def accepted(self) -> int:
        """n: audited items that the policy accepts."""
        return self.tested.accepted

    @property
    def wrong(self) -> int:
        """k: of these, how many were judged wrong."""
        return self.tested.wrong

    @property
    def bound(self) -> float:
        return self.tested.bound

    @property
    def id(self) -> str:
        """The digest of its content: 32 hexadecimal digits."""
        return digest(self.json())

    def why_invalid(self, fingerprint: str, at_s: float) -> str | None:
        """Why it is not valid for a guard of this fingerprint at this time, as a clause; None where it is valid."""
        if fingerprint != self.fingerprint:
            return "the guard changed since it was certified (prompt, schema, model, sampling, comparators or plans)"
        if self.expires_at is not None and at_s >= self.expires_at:
            return "it expired"
        return None

    def sentence(self) -> str:
        """The certificate in one sentence, with its numbers."""
        row = self.tested
        return (
            f"With {percent(1 - self.delta)} confidence, at most {percent(self.alpha)} of what {self.policy}"
            f"{f' of guard {self.guard!r}' if self.guard else ''} accepts automatically is judged wrong by reviewers,"
            f" for traffic like the audited period: {row.wrong} of {row.accepted} audited outputs that it accepts were"
            f" wrong (upper bound {percent(row.bound)}), and it accepts {percent(row.coverage)} of calls."
        )

    def json(self) -> Json:
        """As stored in the log."""
        return {**asdict(self), "table": [asdict(row) for row in self.table]}

    @staticmethod
    def from_json(stored: Json) -> Certificate:
        """The inverse of `json`."""
        table = tuple(Tested(**row) for row in stored["table"])
        return Certificate(**{**stored, "table": table, "audited": Audited(**stored["audited"])})


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """A certificate in a log: `suspended_at` is when drift was found, or None."""

    certificate: Certificate
    suspended_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRefusal:
    """Nothing is certified: accept nothing automatically. `finding` says why, as a clause; `helps` what would change it,
    sentence by sentence; `attainable` is the smallest alpha that these audits would certify; `labels_more` the further
    audited accepted outputs that would be enough, None where more would not help."""

    alpha: float
    delta: float
    method: Method
    reason: RefusalReason
    table: tuple[Tested, ...]
    audited: Audited
    finding: str
    helps: tuple[str, ...] = ()
    attainable: float | None = None
    labels_more: int | None = None

    def sentence(self) -> str:
        """Why, in one sentence."""
        return (
            f"Nothing is certified at {percent(self.alpha)} with {percent(1 - self.delta)} confidence, so accept nothing"
            f" automatically: {self.finding}."
        )

    def explain(self) -> str:
        """The sentence, and what would help."""
        return "\n".join([self.sentence(), *self.helps])


def percent(share: float) -> str:
    """A share in per cent, with three digits.

    >>> percent(0.95), percent(0.02), percent(0.01153), percent(0.0004)
    ('95 %', '2 %', '1.15 %', '0.04 %')
    """
    return (
        f"{100 * share:.3g} %" if 0 < share < 0.9995 else f"{100 * share:.0f} %" if share in (0, 1) else "over 99.9 %"
    )


def table_lines(table: tuple[Tested, ...], method: Method) -> list[str]:
    """A table of all policies, as lines of text."""
    evidence = "p" if method == "exact" else "e"
    width = max([len(row.policy) for row in table] + [len("policy")])
    lines = [f"{'policy':<{width}}  accepted  wrong  coverage  upper bound  {evidence:>8}  result"]
    for row in table:
        lines.append(
            f"{row.policy:<{width}}  {row.accepted:8}  {row.wrong:5}  {row.coverage:8.1%}  {row.bound:11.2%}"
            f"  {row.evidence:8.3g}  {row.result}"
        )
    return lines
