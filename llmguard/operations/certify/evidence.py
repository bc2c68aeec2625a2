"""The evidence for a certificate, from a guard's log: the policies to test, and the reviewed outcomes that count."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from llmguard.certification import AuditedItem, Certificate, CertificateRefusal, certify, family_of, is_kept
from llmguard.certification.audited_items import Family
from llmguard.certification.certificate import Method
from llmguard.core.errors import UsageError
from llmguard.engine.acceptance_policy import Acceptance, certified, with_family
from llmguard.engine.ladder import ModelRung
from llmguard.engine.policy import Policy
from llmguard.guard.guard import Guard
from llmguard.log import Audit
from llmguard.voting import SelfConsistency

DEFAULT_DELTA = 0.05
"""95 % confidence, the convention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The audits of a guard. `audits` were drawn at random, reviewed or not, by start; `others` were reviewed for another
    reason and never count.

    `certificate_key` identifies what a certificate covers. `least` is the smallest share that was or will be drawn.
    `not_before`: only audits from then on count (seconds since the epoch), because drift was found then (`after_drift`)
    or by request; None: all.
    """

    guard: str
    accept: Acceptance
    votes: SelfConsistency | None
    certificate_key: str
    audits: tuple[Audit, ...]
    others: tuple[Audit, ...]
    secret: bytes
    least: float
    not_before: float | None = None
    after_drift: bool = False

    @property
    def family(self) -> Family:
        """The policies, strict to loose."""
        return family_of(self.accept, self.votes)

    @property
    def items(self) -> tuple[AuditedItem, ...]:
        """The audits with a logged probability, thinned to the least of these, as the exact test uses them."""
        audited = [audit.item for audit in self.audits]
        least = min((item.probability for item in audited if item.probability is not None), default=1.0)
        return tuple(
            item
            for item in audited
            if item.probability is not None and is_kept(self.secret, item.id, item.probability, least)
        )

    def certify(
        self, method: Method = "exact", *, issued_at: float | None = None, expires_at: float | None = None
    ) -> Certificate | CertificateRefusal:
        """The certificate that these audits give, or the refusal; nothing is stored."""
        return certify(
            [audit.item for audit in (*self.audits, *self.others)],
            self.family,
            self.accept.alpha,
            self.accept.delta,
            method,
            secret=self.secret,
            least=self.least if method == "anytime" and self.audits else None,
            guard=self.guard,
            fingerprint=self.certificate_key,
            issued_at=issued_at,
            expires_at=expires_at,
        )


def evidence_of(
    guard: Guard[Any], *, alpha: float | None = None, delta: float | None = None, since: float | None = None
) -> Evidence:
    """The evidence in the guard's log.

    Policies, score, alpha and delta are those of its `accept=certified(...)`; a guard without one is treated as if it had
    `certified(alpha, delta)`. Audits from before the last drift do not count: they are of other traffic.

    Raises:
        UsageError: no alpha; more than one model rung; one sample and no score; a secret in the prompt.
    """
    accept, votes = acceptance_and_votes(guard.policy, alpha, delta)
    last_drift = _last_drift(guard)
    not_before = _latest(since, last_drift)
    certified_part = guard.policy.certified
    audits = guard.log.audited(guard.name, certified_part, since=not_before)
    reviewed = guard.log.reviewed(guard.name, certified_part, since=not_before)
    audited_ids = {audit.call_id for audit in audits}
    return Evidence(
        guard=guard.name,
        accept=accept,
        votes=votes,
        certificate_key=accept.certificate_key(certified_part),
        audits=tuple(audits),
        others=tuple(each for each in reviewed if each.call_id not in audited_ids),
        secret=guard.log.secret,
        least=_least(audits, guard.policy.audit),
        not_before=not_before,
        after_drift=last_drift is not None and not_before == last_drift,
    )


def acceptance_and_votes(
    policy: Policy, alpha: float | None, delta: float | None
) -> tuple[Acceptance, SelfConsistency | None]:
    """What is to be certified of a guard, and how its model rung votes."""
    rung = _model_rung(policy)
    own = policy.accept
    if own is not None:
        own = replace(own, alpha=own.alpha if alpha is None else alpha, delta=own.delta if delta is None else delta)
        return own, rung.consistency
    if alpha is None:
        raise UsageError(
            f"guard {policy.name!r} has no accept=certified(alpha): expected the share that may be wrong, as in"
            " --alpha 0.02 for 2 %."
        )
    acceptance = certified(alpha, DEFAULT_DELTA if delta is None else delta)
    return with_family(acceptance, rung.consistency), rung.consistency


def _model_rung(policy: Policy) -> ModelRung:
    models = [each for each in policy.ladder if isinstance(each, ModelRung)]
    if len(models) != 1:
        raise UsageError(
            f"a certificate is about one model rung, and guard {policy.name!r} has {len(models)}. Put further"
            " models into SelfConsistency(variants=...), or into a guard of their own."
        )
    return models[0]


def _last_drift(guard: Guard[Any]) -> float | None:
    """When a certificate of this guard was last suspended, whatever its prompt was then."""
    return _latest(*(kept.suspended_at for kept in guard.log.certificates(guard.name)))


def _latest(*moments: float | None) -> float | None:
    return max((each for each in moments if each is not None), default=None)


def _least(audits: list[Audit], share: float) -> float:
    logged = [audit.item.probability for audit in audits if audit.item.probability is not None]
    return min([*logged, *([share] if share > 0 else [])], default=1.0)
