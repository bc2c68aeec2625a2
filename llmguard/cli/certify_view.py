"""A certificate or its refusal, and the watch, for people and for machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from math import log

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmguard.certification import (
    Certificate,
    CertificateRefusal,
    Drift,
    Kappa,
    bars,
    cohens_kappa,
    percent,
    table_lines,
)
from llmguard.cli.outcome_view import dollars
from llmguard.cli.terminal import status_text, styled
from llmguard.core.canonical import Json
from llmguard.core.safe_text import safe_line
from llmguard.guard.guard import Guard
from llmguard.log import judged_pairs
from llmguard.operations.certify import Curve, Evidence, Figures, Watched
from llmguard.operations.outcome_json import iso_time

FIELDS_SHOWN = 8
DRIFT_LINES = 16
BARS_WIDTH = 40
RESULT_STYLES = {"certified": "green", "failed": "red", "skipped": "dim", "not tested": "dim"}


@dataclass(frozen=True, slots=True)
class Told:
    """Everything that certifying a guard has to say."""

    guard: Guard[Json]
    evidence: Evidence
    found: Certificate | CertificateRefusal
    curve: Curve
    figures: Figures
    stored: bool

    @property
    def unscored(self) -> bool:
        """Whether no audit has a score: they were made before the guard had its accept=, or the server tells none."""
        return not self.evidence.accept.plans and not self.curve.points and bool(self.evidence.audits)

    @property
    def kappas(self) -> dict[str, Kappa]:
        """Of each judge among the guard's checks, over the audits."""
        pairs = judged_pairs(self.evidence.audits)
        judges = [check.name for check in self.guard.policy.checks if check.judge is not None]
        return {name: cohens_kappa(pairs.get(name, ())) for name in judges}

    @property
    def is_used(self) -> bool:
        """Whether the guard accepts by such a certificate: it promises no less than the guard does."""
        own = self.guard.policy.accept
        return own is not None and self.found.alpha <= own.alpha and self.found.delta <= own.delta


# ------------------------------------------------------------------------------------------------- people


def told_view(told: Told, *, verbose: bool) -> Iterator[RenderableType]:
    found = told.found
    if isinstance(found, Certificate):
        yield styled(found.sentence(), "bold")
        yield from _certificate_facts(told, found)
    else:
        yield styled(found.sentence(), "bold")
        yield from map(styled, _helps(told, found))
    yield Text("")
    yield from _table(told)
    yield Text("")
    yield _facts(_audit_facts(told))
    if told.curve.points:
        yield Text("")
        yield Text(f"risk over coverage, by {told.curve.score}", "bold")
        yield Padding(styled(_bars(told.curve)), (0, 0, 0, 2), expand=False)
    if verbose:
        yield Text("")
        yield _facts(_figures(told.figures))


def _bars(curve: Curve) -> str:
    """As wide as the largest risk allows."""
    points = curve.few()
    return bars(points, width=round(BARS_WIDTH / max(point.high for point in points)))


def _certificate_facts(told: Told, found: Certificate) -> Iterator[RenderableType]:
    until = f" until {_day(found.expires_at)}" if found.expires_at is not None else ""
    where = "stored; the guard may accept by it" if told.is_used else "stored"
    yield styled(f"certificate {found.id}{until}: {where if told.stored else 'not stored (--dry-run)'}")
    own = told.guard.policy.accept
    if own is None:
        yield styled(
            f"The guard does not accept by it yet: give it accept=certified({found.alpha:g}, {found.delta:g})."
        )
    elif not told.is_used:
        yield styled(
            f"The guard does not accept by it: it promises at most {percent(own.alpha)} wrong with"
            f" {percent(1 - own.delta)} confidence, which is more than this certificate says."
        )


def _helps(told: Told, found: CertificateRefusal) -> Iterator[str]:
    yield from found.helps
    if told.unscored:
        yield (
            f"None of the {len(told.evidence.audits)} audits has a score: the calls were made before the guard had this"
            " accept=certified(...), or the server tells no log-probabilities."
        )
    if found.method == "exact" and found.reason in ("too_few", "not_certified"):
        yield "The exact test is for one scheduled look. To look again whenever you like, use --method anytime throughout."
    if in_force := _in_force(told):
        yield f"Certificate {in_force} is still in force; nothing was changed."


def _in_force(told: Told) -> str:
    own = told.guard.policy.accept
    said = own.lookup() if own is not None else {}
    return str(said.get("certificate", ""))


def _table(told: Told) -> Iterator[RenderableType]:
    yield Text("policies tested, strict to loose", "bold")
    header, *lines = table_lines(told.found.table, told.found.method)
    yield Padding(styled(header, "dim"), (0, 0, 0, 2), expand=False)
    for row, line in zip(told.found.table, lines, strict=True):
        yield Padding(styled(line, RESULT_STYLES[row.result]), (0, 0, 0, 2), expand=False)


def _audit_facts(told: Told) -> Iterator[tuple[str, str]]:
    counts, evidence = told.found.audited, told.evidence
    reviewed = counts.drawn - counts.undone
    yield "audits", f"{counts.drawn:,} drawn, {reviewed:,} reviewed, {counts.undone:,} not reviewed (count as wrong)"
    if counts.kept != counts.drawn:
        yield "thinned", f"to {counts.kept:,}, because they were drawn with unequal probabilities"
    if counts.left_out:
        yield "left out", f"{counts.left_out:,} reviews that were not drawn at random with a logged probability"
    if evidence.audits:
        yield "period", f"{_day(evidence.audits[0].started_at)} to {_day(evidence.audits[-1].started_at)}"
    if evidence.not_before is not None:
        why = "drift was found then" if evidence.after_drift else "as asked"
        yield "counted", f"audits from {_day(evidence.not_before)} on, {why}"
    for name, kappa in told.kappas.items():
        yield f"judge {safe_line(name)}", kappa.sentence()


def _figures(figures: Figures) -> Iterator[tuple[str, str]]:
    ended = ", ".join(f"{status} {count / figures.calls:.0%}" for status, count in figures.statuses.items())
    yield "calls", f"{figures.calls:,} since the first audit{f': {ended}' if ended else ''}"
    if figures.requests_per_accepted is not None:
        usd = figures.usd_per_accepted
        cost = "no price is known" if usd is None else f"{dollars(usd)} at today's prices"
        yield "per accepted", f"{figures.requests_per_accepted:.2f} requests, {cost} (audits included)"
    if figures.samples:
        yield "samples", ", ".join(f"{name}: {mean:.2f}" for name, mean in figures.samples.items())
    if figures.fields:
        worst = list(figures.fields.items())
        more = f" and {len(worst) - FIELDS_SHOWN} more" if len(worst) > FIELDS_SHOWN else ""
        shown = ", ".join(f"{safe_line(at) or 'whole value'} {mean:.0%}" for at, mean in worst[:FIELDS_SHOWN])
        yield "agreement", shown + more
    yield "labels", "; ".join(_labels(target, more) for target, more in figures.labels.items()) + f" ({figures.policy})"


def _labels(target: float, more: int | None) -> str:
    if more is None:
        return f"{percent(target)}: not at the error rate seen"
    return f"{percent(target)}: {f'{more:,} more' if more else 'enough'}"


def _facts(facts: Iterator[tuple[str, str]]) -> Padding:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, said in facts:
        table.add_row(name, styled(said))
    return Padding(table, 0, expand=False)


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).isoformat(sep=" ", timespec="minutes")


# ------------------------------------------------------------------------------------------------- the watch


def watched_view(found: Watched, outcome_id: str | None, *, verbose: bool) -> Iterator[RenderableType]:
    if found.certificate is None or found.drift is None:
        yield styled(f"Nothing to watch: {found.void}.")
        return
    yield styled(found.drift.sentence(), "bold red" if found.alarm else "")
    if found.alarm and outcome_id is None:
        yield styled("Nothing was suspended by this look.")
    elif outcome_id is not None:
        told = Text.assemble("In the log as ", safe_line(outcome_id), ", ", status_text("escalated"), ".")
        yield told
    if found.waiting:
        yield styled(f"{found.waiting:,} more were drawn for audit and wait for a review.")
    if verbose and found.drift.curve:
        yield Text("")
        yield Text(f"evidence for drift, alarm at {found.drift.limit:g}", "bold")
        yield Padding(styled(drift_bars(found.drift)), (0, 0, 0, 2), expand=False)


def drift_bars(drift: Drift) -> str:
    """The drift curve in plain text, up to the alarm, which is a full line.

    >>> from llmguard.certification import detect_drift
    >>> print(drift_bars(detect_drift([False, True, True, True], 0.05, 0.05)))
    outputs  evidence
          1     0.922
          2      2.45  ###########
          3      12.3  #################################
          4      89.3  ######################################## alarm
    """
    count = drift.alarm_at or drift.items
    shown = sorted({*range(0, count, max(1, -(-count // DRIFT_LINES))), count - 1})
    lines = ["outputs  evidence"]
    for number in shown:
        evidence = drift.curve[number]
        lines.append(f"{number + 1:7}  {evidence:8.3g}  {_bar(evidence, drift.limit)}".rstrip())
    return "\n".join(lines)


def _bar(evidence: float, limit: float) -> str:
    """On a logarithmic scale from 1 to the alarm."""
    share = min(1.0, log(max(1.0, evidence)) / log(limit))
    return "#" * int(BARS_WIDTH * share) + (" alarm" if evidence >= limit else "")


# ------------------------------------------------------------------------------------------------- machines


def told_json(told: Told) -> dict[str, Json]:
    found, figures = told.found, told.figures
    is_certificate = isinstance(found, Certificate)
    return {
        "guard": told.guard.name,
        "alpha": found.alpha,
        "delta": found.delta,
        "method": found.method,
        "certified": is_certificate,
        "stored": told.stored,
        "is_used": is_certificate and told.is_used,
        "sentence": found.sentence(),
        "certificate": {"id": found.id, **found.json()} if isinstance(found, Certificate) else None,
        "refusal": _refusal_json(told, found) if isinstance(found, CertificateRefusal) else None,
        "table": [asdict(row) for row in found.table],
        "audited": {**asdict(found.audited), "reviewed": found.audited.drawn - found.audited.undone},
        "not_before": iso_time(told.evidence.not_before) if told.evidence.not_before is not None else None,
        "after_drift": told.evidence.after_drift,
        "judges": {name: asdict(kappa) for name, kappa in told.kappas.items()},
        "curve": {"score": told.curve.score, "points": [asdict(point) for point in told.curve.points]},
        "reliability": [asdict(each) for each in told.curve.bins],
        "figures": {**asdict(figures), "labels": {f"{target:g}": more for target, more in figures.labels.items()}},
    }


def _refusal_json(told: Told, found: CertificateRefusal) -> dict[str, Json]:
    return {
        "reason": found.reason,
        "found": found.finding,
        "helps": list(_helps(told, found)),
        "attainable": found.attainable,
        "labels_more": found.labels_more,
    }


def watched_json(found: Watched, outcome_id: str | None) -> dict[str, Json]:
    return {
        "guard": found.guard,
        "certificate": found.certificate.id if found.certificate else None,
        "void": found.void or None,
        "drift": asdict(found.drift) if found.drift else None,
        "alarm": found.alarm,
        "outcome": outcome_id,
        "waiting": found.waiting,
    }
