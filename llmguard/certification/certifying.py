"""`certify`: from reviewed audits to a certificate or a refusal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from llmguard.certification.audit_draws import is_kept
from llmguard.certification.audited_items import AuditedItem, Family, refuse_family
from llmguard.certification.certificate import Audited, Certificate, CertificateRefusal, Method, RefusalReason, percent
from llmguard.certification.eprocess import anytime_bound, largest
from llmguard.certification.label_estimates import labels_needed, labels_without_error
from llmguard.certification.sequential_testing import Result, Tested, bound_of, fixed_sequence, least_accepted
from llmguard.core.errors import UsageError

Column: TypeAlias = list[bool | None]
"""For one policy, of each item: whether what it accepts is wrong, or None where it accepts nothing."""


@dataclass(frozen=True, slots=True)
class _Audit:
    """The items that count, with the least probability with which any was drawn."""

    items: tuple[AuditedItem, ...]
    least: float
    audited: Audited


def certify(
    items: Iterable[AuditedItem],
    family: Family,
    alpha: float,
    delta: float,
    method: Method = "exact",
    *,
    secret: bytes | None = None,
    least: float | None = None,
    undone_most: float = 0.1,
    guard: str = "",
    fingerprint: str = "",
    issued_at: float | None = None,
    expires_at: float | None = None,
) -> Certificate | CertificateRefusal:
    """The loosest policy of `family` (strict to loose) of which at most `alpha` is wrong, with confidence 1 - `delta`.

    `items` are audited outcomes in the order in which they were drawn. Only those drawn at random with a logged
    probability count. Items with unequal probabilities are thinned to the least of these (`"exact"`; needs the log's
    `secret`) or weighted (`"anytime"`, which may be repeated as often as one likes). `least` bounds the probabilities
    where later items may be drawn with a smaller one. A review that was not done counts as wrong; if more than
    `undone_most` of the reviews are not done, nothing is certified.

    Raises:
        UsageError: alpha or delta not above 0 and below 1, an unknown method, a family out of order, an invalid item.

    >>> from llmguard.certification import thresholds
    >>> items = [AuditedItem(id=str(n), probability=0.1, verdict="right", score=1.0) for n in range(60)]
    >>> certificate = certify(items, thresholds(1.0), alpha=0.05, delta=0.05)
    >>> certificate.policy, certificate.accepted, certificate.wrong
    ('score >= 1', 60, 0)
    """
    _refuse_arguments(family, alpha, delta, method)
    audit = _audit(items, least)
    if method == "exact":
        audit = _thinned(audit, secret)
    columns = [[policy.is_wrong(item) for item in audit.items] for policy in family]
    table = _table(family, columns, audit, alpha, delta, method)
    chosen = next((row for row in reversed(table) if row.result == "certified"), None)
    why_not = _why_not(audit.audited, table, chosen, undone_most)
    if why_not or chosen is None:
        reason, finding = why_not or ("not_certified", "")
        return _refusal(reason, finding, table, audit, alpha, delta, method)
    return Certificate(
        alpha=alpha,
        delta=delta,
        method=method,
        policy=chosen.policy,
        table=table,
        audited=audit.audited,
        guard=guard,
        fingerprint=fingerprint,
        issued_at=issued_at,
        expires_at=expires_at,
    )


def _refuse_arguments(family: Family, alpha: float, delta: float, method: Method) -> None:
    for name, share, example in (("alpha", alpha, "0.02 for 2 % wrong"), ("delta", delta, "0.05 for 95 % confidence")):
        if not isinstance(share, int | float) or isinstance(share, bool) or not 0 < share < 1:
            raise UsageError(f"{name}: expected a share above 0 and below 1, got {share!r}. Write {example}.")
    if method not in ("exact", "anytime"):
        raise UsageError(
            f"method: expected 'exact' (one scheduled look) or 'anytime' (as many as you like), got {method!r}."
        )
    refuse_family(family)


# ------------------------------------------------------------------------------------------------- which items count


def _audit(items: Iterable[AuditedItem], least: float | None) -> _Audit:
    all_items = list(items)
    _refuse_items(all_items)
    counted = tuple(item for item in all_items if item.reason == "audit" and item.probability is not None)
    probabilities = [item.probability for item in counted if item.probability is not None]
    lowest = min(probabilities, default=1.0)
    if least is not None and (not 0 < least <= 1 or least > lowest):
        raise UsageError(
            f"least: expected the smallest probability with which any item is drawn, got {least!r} where an item was"
            f" drawn with {lowest!r}."
        )
    undone = sum(item.verdict is None for item in counted)
    audited = Audited(drawn=len(counted), undone=undone, kept=len(counted), left_out=len(all_items) - len(counted))
    return _Audit(counted, lowest if least is None else least, audited)


def _refuse_items(items: Sequence[AuditedItem]) -> None:
    ids = set[str]()
    for item in items:
        if item.id in ids:
            raise UsageError(f"outcome {item.id!r} is twice among the items; its reviews count as one verdict.")
        ids.add(item.id)
        if item.probability is not None and not 0 < item.probability <= 1:
            raise UsageError(
                f"outcome {item.id!r}: expected a probability above 0 and at most 1, or None where none was logged; got"
                f" {item.probability!r}."
            )
        if item.verdict not in ("right", "wrong", "unsure", None):
            raise UsageError(
                f"outcome {item.id!r}: expected the verdict 'right', 'wrong', 'unsure', or None where the review was not"
                f" done; got {item.verdict!r}."
            )


def _thinned(audit: _Audit, secret: bytes | None) -> _Audit:
    if all(item.probability == audit.least for item in audit.items):
        return audit
    if secret is None:
        raise UsageError(
            "the items were drawn with unequal probabilities, and thinning them needs secret=, the secret of their log."
            " Or use method='anytime', which weights them."
        )
    kept = tuple(item for item in audit.items if is_kept(secret, item.id, item.probability or 0.0, audit.least))
    counts = audit.audited
    return _Audit(
        kept,
        audit.least,
        Audited(drawn=counts.drawn, undone=counts.undone, kept=len(kept), left_out=counts.left_out),
    )


# ------------------------------------------------------------------------------------------------- the test


def _table(
    family: Family, columns: Sequence[Column], audit: _Audit, alpha: float, delta: float, method: Method
) -> tuple[Tested, ...]:
    counts = [(sum(each is not None for each in column), sum(map(bool, column))) for column in columns]
    if method == "exact":
        results = fixed_sequence(counts, alpha, delta)
        bounds = [bound_of(accepted, wrong, delta) for accepted, wrong in counts]
    else:
        results, bounds = _anytime(columns, audit, alpha, delta)
    return tuple(
        Tested(
            policy=policy.name,
            accepted=accepted,
            wrong=wrong,
            coverage=_coverage(column, audit.items, weighted=method == "anytime"),
            evidence=evidence,
            bound=bound,
            result=result,
        )
        for policy, column, (accepted, wrong), (result, evidence), bound in zip(
            family, columns, counts, results, bounds, strict=True
        )
    )


def _anytime(
    columns: Sequence[Column], audit: _Audit, alpha: float, delta: float
) -> tuple[tuple[tuple[Result, float], ...], list[float]]:
    """The same fixed sequence by e-values: a policy is certified where its largest wealth so far is at least 1/delta."""
    results: list[tuple[Result, float]] = []
    bounds = []
    skipping, testing = True, True
    for column in columns:
        audits = [(wrong, item.probability or 1.0) for wrong, item in zip(column, audit.items, strict=True)]
        evidence = largest(audits, alpha, audit.least)
        bounds.append(anytime_bound(audits, delta, audit.least))
        accepted = sum(wrong is not None for wrong in column)
        skipping = skipping and accepted < least_accepted(alpha, delta)
        passed = testing and not skipping and evidence >= 1 / delta
        results.append(
            ("skipped" if skipping else "certified" if passed else "failed" if testing else "not tested", evidence)
        )
        testing = skipping or passed
    return tuple(results), bounds


def _coverage(column: Column, items: Sequence[AuditedItem], *, weighted: bool) -> float:
    """The share of items that a policy accepts; weighted by 1 / probability where they were not thinned."""
    weights = [1 / (item.probability or 1.0) if weighted else 1.0 for item in items]
    accepted = sum(weight for wrong, weight in zip(column, weights, strict=True) if wrong is not None)
    return accepted / sum(weights) if weights else 0.0


# ------------------------------------------------------------------------------------------------- refusing


def _why_not(
    audited: Audited, table: Sequence[Tested], chosen: Tested | None, undone_most: float
) -> tuple[RefusalReason, str] | None:
    if not audited.drawn:
        others = (
            f"; {audited.left_out} reviews were not drawn at random with a logged probability"
            if audited.left_out
            else ""
        )
        return "no_audits", f"no outcome was drawn for audit{others}"
    if audited.undone > undone_most * audited.drawn:
        return (
            "undone",
            f"{audited.undone} of {audited.drawn} outcomes drawn for audit were not reviewed, more than"
            f" {percent(undone_most)}",
        )
    if chosen is not None:
        return None
    if all(row.result == "skipped" for row in table):
        most = max(row.accepted for row in table)
        return "too_few", f"no policy accepts enough audited outputs to prove anything ({most} at most)"
    row = next(row for row in table if row.result == "failed")
    return "not_certified", f"of {row.accepted} audited outputs that {row.policy} accepts, {row.wrong} were wrong"


def _refusal(
    reason: RefusalReason,
    finding: str,
    table: tuple[Tested, ...],
    audit: _Audit,
    alpha: float,
    delta: float,
    method: Method,
) -> CertificateRefusal:
    best = min(table, key=lambda row: row.bound)
    attainable = best.bound if best.accepted else None
    more = _labels_more(best, alpha, delta, method) if reason in ("too_few", "not_certified") else None
    return CertificateRefusal(
        alpha=alpha,
        delta=delta,
        method=method,
        reason=reason,
        table=table,
        audited=audit.audited,
        finding=finding,
        helps=tuple(_helps(reason, best, more, audit, alpha, delta, method)),
        attainable=attainable,
        labels_more=more,
    )


def _labels_more(best: Tested, alpha: float, delta: float, method: Method) -> int | None:
    """Further audited accepted outputs after which `best` would be certified if its error rate stays the same."""
    if not best.wrong:
        needed: int | None = labels_without_error(alpha, delta, method)
    else:
        needed = labels_needed(alpha, best.wrong / best.accepted, delta)
    return None if needed is None else max(1, needed - best.accepted)


def _helps(
    reason: RefusalReason, best: Tested, more: int | None, audit: _Audit, alpha: float, delta: float, method: Method
) -> list[str]:
    if reason == "no_audits":
        return [
            "Set audit= on the guard, so that outcomes are drawn for review at random with a logged probability;"
            f" {percent(alpha)} needs at least {labels_without_error(alpha, delta, method)} reviewed outputs that the"
            " policy accepts."
        ]
    if reason == "undone":
        return ["Review what was drawn: leaving out the hard ones would make the rest look better than it is."]
    smallest = (
        f"The smallest share that these reviews would certify is {percent(best.bound)} ({best.policy}: {best.wrong} of"
        f" {best.accepted} wrong), {100 * (best.bound - alpha):.3g} points above {percent(alpha)}."
    )
    return [*([smallest] if best.accepted else []), _more_labels(best, more, audit, alpha, method)]


def _more_labels(best: Tested, more: int | None, audit: _Audit, alpha: float, method: Method) -> str:
    if more is None:
        return (
            f"More reviews alone will hardly help: {best.wrong} of {best.accepted} wrong is too near {percent(alpha)} or"
            " above it. A stricter policy, a better prompt or model, or a larger alpha would."
        )
    calls = f", about {more / best.coverage / audit.least:,.0f} calls at this rate of audits" if best.coverage else ""
    more_outputs = f"{more} more audited outputs that {best.policy} accepts"
    if not best.wrong:
        return f"{more_outputs} would certify it if none is wrong{calls}."
    least = "At least " if method == "anytime" else ""  # the figure is the exact test's, which needs fewer
    return (
        f"{least}{more_outputs} would certify it with 80 % probability if the error rate is the"
        f" {percent(best.wrong / best.accepted)} seen{calls}."
    )
