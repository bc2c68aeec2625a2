"""How the terminal displays certification reports and drift reports."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from math import log

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmguard.certification import (
    Certificate,
    Drift,
    bars,
    percent,
    table_lines,
)
from llmguard.cli.outcome_view import dollars
from llmguard.cli.terminal import status_text, styled
from llmguard.core.safe_text import safe_line
from llmguard.operations.certify import CertificationReport, Curve, DriftReport, Figures

FIELDS_SHOWN = 8
DRIFT_LINES = 16
BARS_WIDTH = 40
RESULT_STYLES = {"certified": "green", "failed": "red", "skipped": "dim", "not tested": "dim"}


# ------------------------------------------------------------------------------------------------- certification


def report_view(report: CertificationReport, *, verbose: bool) -> Iterator[RenderableType]:
    yield styled(report.result.sentence(), "bold")
    if isinstance(report.result, Certificate):
        yield from _certificate_facts(report, report.result)
    yield from map(styled, report.helps)
    yield Text("")
    yield from _table(report)
    yield Text("")
    yield _facts(_audit_facts(report))
    if report.curve.points:
        yield Text("")
        yield Text(f"risk over coverage, by {report.curve.score}", "bold")
        yield Padding(styled(_bars(report.curve)), (0, 0, 0, 2), expand=False)
    if verbose:
        yield Text("")
        yield _facts(_figures(report.figures))


def _bars(curve: Curve) -> str:
    """As wide as the largest risk allows."""
    points = curve.few()
    return bars(points, width=round(BARS_WIDTH / max(point.high for point in points)))


def _certificate_facts(report: CertificationReport, certificate: Certificate) -> Iterator[RenderableType]:
    until = f" until {_day(certificate.expires_at)}" if certificate.expires_at is not None else ""
    where = "stored; the guard may accept by it" if report.is_used else "stored"
    yield styled(f"certificate {certificate.id}{until}: {where if report.stored else 'not stored (--dry-run)'}")
    own = report.accept
    if own is None:
        yield styled(
            f"The guard does not accept by it yet: give it accept=certified({certificate.alpha:g}, {certificate.delta:g})."
        )
    elif not report.is_used:
        yield styled(
            f"The guard does not accept by it: it promises at most {percent(own.alpha)} wrong with"
            f" {percent(1 - own.delta)} confidence, which is more than this certificate says."
        )


def _table(report: CertificationReport) -> Iterator[RenderableType]:
    yield Text("policies tested, strict to loose", "bold")
    header, *lines = table_lines(report.result.table, report.result.method)
    yield Padding(styled(header, "dim"), (0, 0, 0, 2), expand=False)
    for row, line in zip(report.result.table, lines, strict=True):
        yield Padding(styled(line, RESULT_STYLES[row.result]), (0, 0, 0, 2), expand=False)


def _audit_facts(report: CertificationReport) -> Iterator[tuple[str, str]]:
    counts, evidence = report.result.audited, report.evidence
    reviewed = counts.drawn - counts.undone
    yield "audits", f"{counts.drawn:,} drawn, {reviewed:,} reviewed, {counts.undone:,} not reviewed (count as wrong)"
    if counts.kept != counts.drawn:
        yield "thinned", f"to {counts.kept:,}, because they were drawn with unequal probabilities"
    if counts.left_out:
        yield "left out", f"{counts.left_out:,} reviews that were not drawn at random with a logged probability"
    if evidence.audits:
        yield "period", f"{_day(evidence.audits[0].started_at)} to {_day(evidence.audits[-1].started_at)}"
    if evidence.not_before is not None:
        why = "drift was found then" if evidence.after_drift else "by request"
        yield "counted", f"audits from {_day(evidence.not_before)} on, {why}"
    for name, kappa in report.judges.items():
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
        fields = ", ".join(f"{safe_line(at) or 'whole value'} {mean:.0%}" for at, mean in worst[:FIELDS_SHOWN])
        yield "agreement", fields + more
    yield "labels", "; ".join(_labels(target, more) for target, more in figures.labels.items()) + f" ({figures.policy})"


def _labels(target: float, more: int | None) -> str:
    if more is None:
        return f"{percent(target)}: not at the error rate seen"
    return f"{percent(target)}: {f'{more:,} more' if more else 'enough'}"


def _facts(facts: Iterator[tuple[str, str]]) -> Padding:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, text in facts:
        table.add_row(name, styled(text))
    return Padding(table, 0, expand=False)


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).isoformat(sep=" ", timespec="minutes")


# ------------------------------------------------------------------------------------------------- drift


def drift_view(report: DriftReport, *, verbose: bool) -> Iterator[RenderableType]:
    if report.certificate is None or report.drift is None:
        yield styled(f"Nothing to watch: {report.reason}.")
        return
    yield styled(report.drift.sentence(), "bold red" if report.is_drift else "")
    if report.outcome_id is not None:
        yield Text.assemble("In the log as ", safe_line(report.outcome_id), ", ", status_text("escalated"), ".")
    elif report.is_drift:
        yield styled("Nothing was suspended by this look.")
    if report.waiting:
        yield styled(f"{report.waiting:,} more were drawn for audit and wait for a review.")
    if verbose and report.drift.curve:
        yield Text("")
        yield Text(f"evidence for drift, alarm at {report.drift.limit:g}", "bold")
        yield Padding(styled(drift_bars(report.drift)), (0, 0, 0, 2), expand=False)


def drift_bars(drift: Drift) -> str:
    """The drift curve in plain text, up to the detection of drift, which is a full line.

    >>> from llmguard.certification import detect_drift
    >>> print(drift_bars(detect_drift([False, True, True, True], 0.05, 0.05)))
    outputs  evidence
          1     0.922
          2      2.45  ###########
          3      12.3  #################################
          4      89.3  ######################################## alarm
    """
    count = drift.alarm_at or drift.items
    rows = sorted({*range(0, count, max(1, -(-count // DRIFT_LINES))), count - 1})
    lines = ["outputs  evidence"]
    for number in rows:
        evidence = drift.curve[number]
        lines.append(f"{number + 1:7}  {evidence:8.3g}  {_bar(evidence, drift.limit)}".rstrip())
    return "\n".join(lines)


def _bar(evidence: float, limit: float) -> str:
    """On a logarithmic scale from 1 to the alarm."""
    share = min(1.0, log(max(1.0, evidence)) / log(limit))
    return "#" * int(BARS_WIDTH * share) + (" alarm" if evidence >= limit else "")
