"""The certificate in force, watched: drift over what it accepted suspends it, and is an outcome of its own in the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmguard.certification import Certificate, Drift, detect_drift
from llmguard.core.canonical import digest
from llmguard.core.errors import UsageError
from llmguard.core.outcome import Outcome, Violation
from llmguard.core.record import CallStart
from llmguard.engine.acceptance_policy import Acceptance
from llmguard.guard.guard import Guard
from llmguard.log import Audit
from llmguard.runtime.session import new_id

DRIFT = "drift"
"""Source, rule and review reason of the outcome that an alarm is."""

CLOCKS_DIFFER_S = 3600.0
"""A call may have begun, by its machine's clock, so long before its certificate was issued by another's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is watched, and what was found. Without `certificate` none is in force: `void` says why. `waiting` outputs that
    it accepted were drawn for audit and are not reviewed yet."""

    guard: str
    certificate: Certificate | None = None
    void: str = ""
    drift: Drift | None = None
    waiting: int = 0

    @property
    def alarm(self) -> bool:
        return self.drift is not None and self.drift.is_detected


def watched(guard: Guard[Any]) -> Watched:
    """What the reviews say of the certificate by which the guard accepts now. Nothing is changed.

    Raises:
        UsageError: the guard has no `accept=certified(...)`; a secret in the prompt.
    """
    accept = guard.policy.accept
    if accept is None:
        raise UsageError(
            f"guard {guard.name!r} has no accept=certified(...), so it accepts nothing by a certificate and there is nothing"
            " to watch."
        )
    found = _in_force(guard, accept)
    if isinstance(found, str):
        return Watched(guard=guard.name, void=found)
    audits = _accepted_by(guard, found)
    drift = detect_drift((each.item.verdict != "right" for each in _in_order(audits)), found.alpha, found.delta)
    waiting = sum(each.review is None for each in audits)
    return Watched(guard=guard.name, certificate=found, drift=drift, waiting=waiting)


def alarm(guard: Guard[Any], found: Watched, at: float) -> Outcome[Any] | None:
    """Suspends the certificate, from now on the guard accepts nothing by it, and tells so in the log.

    None where there is no alarm, or another watch was faster. `at`: seconds since the epoch.
    """
    if found.certificate is None or not found.alarm or not guard.log.suspend(found.certificate.id, at):
        return None
    outcome = _outcome(guard, found, found.certificate)
    opening = CallStart(
        id=outcome.id,
        guard=guard.name,
        fingerprint=guard.fingerprint,
        inputs={},
        inputs_digest=digest({}),
        meta={"certificate": found.certificate.id},
        started_at=at,
    )
    guard.log.begin(opening)
    guard.log.finish(outcome.id, outcome, at)
    return outcome


def _in_force(guard: Guard[Any], accept: Acceptance) -> Certificate | str:
    """What a call would find now, or why nothing."""
    said = accept.lookup()
    if "void" in said:
        return str(said["void"])
    kept = guard.log.certificates(guard.name)
    return next(each.certificate for each in kept if each.certificate.id == said["certificate"])


def _accepted_by(guard: Guard[Any], certificate: Certificate) -> list[Audit]:
    since = None if certificate.issued_at is None else certificate.issued_at - CLOCKS_DIFFER_S
    audits = guard.log.audited(guard.name, guard.policy.certified, since=since)
    return [each for each in audits if each.accepted and each.certificate == certificate.id]


def _in_order(audits: list[Audit]) -> list[Audit]:
    """As they were judged: a review that comes late is added at the end, and changes nothing that was looked at before,
    so that one may look at any time."""
    return [each for _, each in sorted(((a.review.at, a) for a in audits if a.review), key=lambda pair: pair[0])]


def _outcome(guard: Guard[Any], found: Watched, certificate: Certificate) -> Outcome[Any]:
    drift = found.drift
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
