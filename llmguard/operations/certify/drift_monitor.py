"""Drift monitor: reviews of what a certificate accepted; drift suspends the certificate, and is an outcome in the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from llmguard.certification import Certificate, Drift, detect_drift
from llmguard.core.canonical import Json, digest
from llmguard.core.errors import UsageError
from llmguard.core.outcome import Outcome, Violation
from llmguard.core.record import CallStart
from llmguard.engine.acceptance_policy import Acceptance
from llmguard.guard.guard import Guard
from llmguard.log import Audit
from llmguard.runtime.session import new_id

DRIFT = "drift"
"""Source, rule and review reason of the outcome that records the drift."""

CLOCKS_DIFFER_S = 3600.0
"""A call may have begun, by its machine's clock, so long before its certificate was issued by another's: an hour covers a
wrong time zone or daylight saving time."""

POLL_S = 2.0
"""Seconds between two looks at the log: reviews are made by people, and a look costs a query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """The state of the certificate in force. Without `certificate` none is in force, and `reason` says why.

    `waiting` outputs that it accepted were drawn for audit and are not reviewed yet. `outcome_id` names the outcome in the
    log by which this look suspended the certificate; None where it did not.
    """

    guard: str
    certificate: Certificate | None = None
    reason: str = ""
    drift: Drift | None = None
    waiting: int = 0
    outcome_id: str | None = None

    @property
    def is_drift(self) -> bool:
        return self.drift is not None and self.drift.is_detected

    @property
    def holds(self) -> bool:
        """Whether a certificate is in force and no drift was detected."""
        return self.certificate is not None and not self.is_drift

    def to_json(self) -> dict[str, Json]:
        """As `llmguard certify --watch --json` prints it; each key is always present."""
        return {
            "guard": self.guard,
            "certificate": self.certificate.id if self.certificate else None,
            "void": self.reason or None,
            "drift": asdict(self.drift) if self.drift else None,
            "alarm": self.is_drift,
            "outcome": self.outcome_id,
            "waiting": self.waiting,
        }


def monitor_drift(guard: Guard[Any], *, suspend: bool = True) -> DriftReport:
    """Look for drift under the certificate by which the guard accepts now, and suspend it where there is any.

    With drift the guard accepts nothing by the certificate from the next call on, and the log has one outcome with
    `source="drift"`; no second one where another monitor was faster. `suspend=False` changes nothing.

    Raises:
        UsageError: the guard has no `accept=certified(...)`; a secret in the prompt.

    >>> from llmguard import Guard, SelfConsistency, certified
    >>> from llmguard.testing import ScriptedModel
    >>> guard = Guard(
    ...     "loan", prompt="?", schema=bool, models=[ScriptedModel(["true"])], consistency=SelfConsistency(),
    ...     accept=certified(0.05), log=None,
    ... )
    >>> report = monitor_drift(guard)
    >>> report.holds, report.reason.split(";")[0]
    (False, 'there is no certificate for this guard')
    """
    report = _look(guard)
    if not suspend or not report.is_drift or report.certificate is None:
        return report
    return replace(report, outcome_id=_suspend(guard, report, report.certificate, time.time()))


def follow_drift(
    guard: Guard[Any], *, suspend: bool = True, sleep: Callable[[float], None] = time.sleep
) -> Iterator[DriftReport]:
    """Monitor drift until a certificate no longer holds: one report whenever it changes, the last one where it does not hold."""
    previous: DriftReport | None = None
    while True:
        report = monitor_drift(guard, suspend=suspend)
        if report != previous:
            yield report
        if not report.holds:
            return
        previous = report
        sleep(POLL_S)


def _look(guard: Guard[Any]) -> DriftReport:
    accept = guard.policy.accept
    if accept is None:
        raise UsageError(
            f"guard {guard.name!r} has no accept=certified(...), so it accepts nothing by a certificate and there is nothing"
            " to watch."
        )
    certificate = _in_force(guard, accept)
    if isinstance(certificate, str):
        return DriftReport(guard=guard.name, reason=certificate)
    audits = _accepted_by(guard, certificate)
    wrong = (each.item.verdict != "right" for each in _in_order_of_review(audits))
    drift = detect_drift(wrong, certificate.alpha, certificate.delta)
    waiting = sum(each.review is None for each in audits)
    return DriftReport(guard=guard.name, certificate=certificate, drift=drift, waiting=waiting)


def _in_force(guard: Guard[Any], accept: Acceptance) -> Certificate | str:
    """The certificate that a call would find now, or why there is none."""
    lookup = accept.lookup()
    if "void" in lookup:
        return str(lookup["void"])
    stored = guard.log.certificates(guard.name)
    return next(each.certificate for each in stored if each.certificate.id == lookup["certificate"])


def _accepted_by(guard: Guard[Any], certificate: Certificate) -> list[Audit]:
    since = None if certificate.issued_at is None else certificate.issued_at - CLOCKS_DIFFER_S
    audits = guard.log.audited(guard.name, guard.policy.certified, since=since)
    return [each for each in audits if each.accepted and each.certificate == certificate.id]


def _in_order_of_review(audits: list[Audit]) -> list[Audit]:
    """A late review is added at the end and leaves what was tested before unchanged: only so may one look at any time."""
    return [each for _, each in sorted(((a.review.at, a) for a in audits if a.review), key=lambda pair: pair[0])]


def _suspend(guard: Guard[Any], report: DriftReport, certificate: Certificate, at: float) -> str | None:
    """The id of the outcome that records the drift; None where another monitor suspended the certificate before."""
    if not guard.log.suspend(certificate.id, at):
        return None
    outcome = _outcome(guard, report, certificate)
    call_start = CallStart(
        id=outcome.id,
        guard=guard.name,
        fingerprint=guard.fingerprint,
        inputs={},
        inputs_digest=digest({}),
        meta={"certificate": certificate.id},
        started_at=at,
    )
    guard.log.begin(call_start)
    guard.log.finish(outcome.id, outcome, at)
    return outcome.id


def _outcome(guard: Guard[Any], report: DriftReport, certificate: Certificate) -> Outcome[Any]:
    drift = report.drift
    assert drift is not None
    return Outcome(
        status="escalated",
        source=DRIFT,
        violations=(
            Violation(
                "",
                DRIFT,
                drift.sentence(),
                expected={"alpha": certificate.alpha, "delta": certificate.delta},
                actual={"items": drift.items, "wrong": drift.wrong, "alarm_at": drift.alarm_at},
            ),
        ),
        review_probability=1.0,
        review_reason=DRIFT,
        id=new_id(),
        guard=guard.name,
        fingerprint=guard.fingerprint,
    )
