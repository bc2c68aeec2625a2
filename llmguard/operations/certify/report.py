"""`certify_guard`: from the reviewed audits in a guard's log to a stored certificate, or to a refusal that says why."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from llmguard.certification import Certificate, CertificateRefusal, Kappa, cohens_kappa
from llmguard.certification.certificate import Method
from llmguard.core.canonical import Json
from llmguard.core.errors import LogError
from llmguard.engine.acceptance_policy import Acceptance
from llmguard.guard.guard import Guard
from llmguard.log import judged_pairs
from llmguard.operations.certify.evidence import Evidence, evidence_of
from llmguard.operations.certify.figures import Figures, figures_of
from llmguard.operations.certify.risk_report import Curve, curve_of
from llmguard.operations.outcome_json import iso_time

DAY_S = 86_400.0

DEFAULT_DAYS = 30.0
"""How long a certificate is valid by default: traffic changes, so that last month's audits say little of next year's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificationReport:
    """The result of certifying a guard: certificate or refusal, what it rests on, and what it means for the guard.

    `accept` is the guard's own `accept=`, None where it has none. `judges`: agreement of each judge among the guard's checks
    with the reviewers. `in_force`: id of a certificate that is still in force after a refusal, or "".
    """

    guard: str
    result: Certificate | CertificateRefusal
    evidence: Evidence
    curve: Curve
    figures: Figures
    accept: Acceptance | None
    judges: Mapping[str, Kappa] = field(default_factory=dict)
    in_force: str = ""
    stored: bool = False

    @property
    def is_certified(self) -> bool:
        return isinstance(self.result, Certificate)

    @property
    def is_used(self) -> bool:
        """Whether the guard accepts by such a certificate: its alpha and delta are at most the guard's own."""
        own = self.accept
        return own is not None and self.result.alpha <= own.alpha and self.result.delta <= own.delta

    @property
    def is_unscored(self) -> bool:
        """Whether no audit has a score: they are older than the guard's `accept=`, or the server sends no log-probabilities."""
        return not self.evidence.accept.plans and not self.curve.points and bool(self.evidence.audits)

    @property
    def helps(self) -> tuple[str, ...]:
        """What would change a refusal, sentence by sentence; empty for a certificate."""
        return tuple(self._helps(self.result)) if isinstance(self.result, CertificateRefusal) else ()

    def _helps(self, refusal: CertificateRefusal) -> Iterator[str]:
        yield from refusal.helps
        if self.is_unscored:
            yield (
                f"None of the {len(self.evidence.audits)} audits has a score: the calls were made before the guard had this"
                " accept=certified(...), or the server tells no log-probabilities."
            )
        if refusal.method == "exact" and refusal.reason in ("too_few", "not_certified"):
            yield (
                "The exact test is for one scheduled look. To look again whenever you like, use --method anytime throughout."
            )
        if self.in_force:
            yield f"Certificate {self.in_force} is still in force; nothing was changed."

    def to_json(self) -> dict[str, Json]:
        """As `llmguard certify --json` prints it; each key is always present."""
        result, evidence, figures = self.result, self.evidence, self.figures
        return {
            "guard": self.guard,
            "alpha": result.alpha,
            "delta": result.delta,
            "method": result.method,
            "certified": self.is_certified,
            "stored": self.stored,
            "is_used": self.is_certified and self.is_used,
            "sentence": result.sentence(),
            "certificate": {"id": result.id, **result.json()} if isinstance(result, Certificate) else None,
            "refusal": self._refusal_json(result) if isinstance(result, CertificateRefusal) else None,
            "table": [asdict(row) for row in result.table],
            "audited": {**asdict(result.audited), "reviewed": result.audited.drawn - result.audited.undone},
            "not_before": iso_time(evidence.not_before) if evidence.not_before is not None else None,
            "after_drift": evidence.after_drift,
            "judges": {name: asdict(kappa) for name, kappa in self.judges.items()},
            "curve": {"score": self.curve.score, "points": [asdict(point) for point in self.curve.points]},
            "reliability": [asdict(each) for each in self.curve.bins],
            "figures": {**asdict(figures), "labels": {f"{target:g}": more for target, more in figures.labels.items()}},
        }

    def _refusal_json(self, refusal: CertificateRefusal) -> dict[str, Json]:
        return {
            "reason": refusal.reason,
            "found": refusal.finding,
            "helps": list(self.helps),
            "attainable": refusal.attainable,
            "labels_more": refusal.labels_more,
        }


def certify_guard(
    guard: Guard[Any],
    *,
    alpha: float | None = None,
    delta: float | None = None,
    method: Method = "exact",
    days: float | None = None,
    since: float | None = None,
    store: bool = True,
) -> CertificationReport:
    """Certify that at most alpha of what a guard accepts automatically is wrong, and store the certificate in its log.

    Args:
        alpha, delta: the guard's own (`accept=certified(alpha, delta)`) if None; delta is 0.05 without either.
        method: "exact" for one scheduled look, "anytime" for as many as you like.
        days: how long the certificate is valid; the guard's `max_age_s`, else 30 days, if None; never beyond `max_age_s`.
        since: audits from then on count (seconds since the epoch).
        store: False certifies without storing.

    Raises:
        UsageError: no alpha; more than one model rung; one sample and no score; a secret in the prompt.
        LogError: the certificate could not be written.

    >>> from llmguard import Guard, SelfConsistency, certified
    >>> from llmguard.testing import ScriptedModel
    >>> guard = Guard(
    ...     "loan",
    ...     prompt="Approve loan {{ number }}?",
    ...     schema=bool,
    ...     models=[ScriptedModel.by_request(lambda request: "true")],
    ...     consistency=SelfConsistency(),
    ...     accept=certified(0.05),
    ...     audit=1.0,
    ...     log=None,
    ... )
    >>> for number in range(60):
    ...     _ = guard.log.review(guard.run(number=number).id, "right", blind=True)
    >>> report = certify_guard(guard)
    >>> report.is_certified, report.stored, report.to_json()["audited"]["reviewed"]
    (True, True, 60)
    """
    now = time.time()
    evidence = evidence_of(guard, alpha=alpha, delta=delta, since=since)
    result = evidence.certify(method, issued_at=now, expires_at=now + _valid_s(guard, days))
    stored = store and isinstance(result, Certificate)
    if stored and isinstance(result, Certificate):
        _store(guard, result, now)
    return CertificationReport(
        guard=guard.name,
        result=result,
        evidence=evidence,
        curve=curve_of(evidence),
        figures=figures_of(guard, evidence, result),
        accept=guard.policy.accept,
        judges=_judges(guard, evidence),
        in_force="" if isinstance(result, Certificate) else _in_force(guard),
        stored=stored,
    )


def _valid_s(guard: Guard[Any], days: float | None) -> float:
    """`days`, else the default; but never longer than the guard's own limit, which is what a call goes by."""
    wanted = DEFAULT_DAYS * DAY_S if days is None else days * DAY_S
    limit = guard.policy.accept.max_age_s if guard.policy.accept else None
    if limit is None:
        return wanted
    return limit if days is None else min(wanted, limit)


def _store(guard: Guard[Any], certificate: Certificate, now: float) -> None:
    guard.log.save_certificate(certificate, now)
    if not guard.log.flush():
        raise LogError(
            "the certificate could not be written to the log. Check disk and permissions, then certify again."
        )


def _judges(guard: Guard[Any], evidence: Evidence) -> dict[str, Kappa]:
    pairs = judged_pairs(evidence.audits)
    names = [check.name for check in guard.policy.checks if check.judge is not None]
    return {name: cohens_kappa(pairs.get(name, ())) for name in names}


def _in_force(guard: Guard[Any]) -> str:
    own = guard.policy.accept
    lookup = own.lookup() if own is not None else {}
    return str(lookup.get("certificate", ""))
