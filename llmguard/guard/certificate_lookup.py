"""What `accept=certified(...)` asks when a guard is called: the newest certificate in its log that holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from llmguard.certification import Certificate, StoredCertificate, policy_parameters
from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.engine.acceptance_policy import Acceptance, with_family
from llmguard.engine.policy import Policy
from llmguard.log.protocol import OutcomeStore


def bind_acceptance(accept: object, policy: Policy, log: OutcomeStore) -> Acceptance:
    """`accept=` of a guard, bound to the certificates in its log; UsageError where it cannot work."""
    name = policy.name
    if not isinstance(accept, Acceptance):
        raise UsageError(f"accept= of guard {name!r}: expected certified(alpha, delta), got {accept!r}.")
    models = policy.model_rungs
    if len(models) != 1:
        raise UsageError(
            f"accept=certified(...) of guard {name!r} is a promise about one model rung, and the guard has {len(models)}."
            " Put further models into SelfConsistency(variants=...), or into a guard of their own."
        )
    accept = with_family(accept, models[0].consistency)
    return replace(accept, lookup=certificate_lookup(log, name, accept, accept.certificate_key(policy.certified)))


def certificate_lookup(log: OutcomeStore, name: str, accept: Acceptance, key: str) -> Callable[[], Json]:
    """Looks for the newest certificate under this key that holds now; the result is recorded with the call."""

    def lookup() -> Json:
        known = log.certificates(name)
        covering = [each for each in known if _covers(each.certificate, accept)]
        own = next((each for each in covering if each.certificate.fingerprint == key), None)
        if own is None:
            return {"void": _none_yet(name, accept, changed=bool(covering))}
        why = own.certificate.why_invalid(key, time.time()) or _too_old(own.certificate, accept, time.time())
        if why or any(_has_drift_alarm_for(own.certificate, each) for each in known):
            return {"void": f"certificate {own.certificate.id} does not hold: {why or 'drift was found'}"}
        return {"certificate": own.certificate.id, **policy_parameters(accept, own.certificate.policy)}

    return lookup


def _has_drift_alarm_for(certificate: Certificate, other: StoredCertificate) -> bool:
    """Whether drift that was found under `other` speaks against it: what is more often wrong than some share is more often
    wrong than a smaller one, too."""
    if other.suspended_at is None or other.certificate.fingerprint != certificate.fingerprint:
        return False
    later = certificate.issued_at is None or certificate.issued_at <= other.suspended_at
    return other.certificate.id == certificate.id or (later and certificate.alpha <= other.certificate.alpha)


def _too_old(certificate: Certificate, accept: Acceptance, now: float) -> str | None:
    """A certificate that does not say when it was issued is too old for a guard that asks."""
    if accept.max_age_s is None:
        return None
    issued_at = certificate.issued_at
    return None if issued_at is not None and now < issued_at + accept.max_age_s else "it is older than max_age_s"


def _covers(certificate: Certificate, accept: Acceptance) -> bool:
    return certificate.alpha <= accept.alpha and certificate.delta <= accept.delta


def _none_yet(name: str, accept: Acceptance, *, changed: bool) -> str:
    why = (
        "the guard changed since it was certified (prompt, schema, model, sampling, comparators, checks or plans)"
        if changed
        else "there is no certificate for this guard"
    )
    return f"{why}; review its audits, then: llmguard certify GUARD --alpha {accept.alpha:g} --delta {accept.delta:g}"
