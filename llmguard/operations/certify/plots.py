"""Plots by matplotlib: risk over coverage with the certified point, reliability, and the drift curve.

PNG or SVG by the file's suffix, without a display: figures are made directly and not through pyplot, whose global state
would keep each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from llmguard.certification import Bin, Certificate, CertificateRefusal, Drift, RiskPoint, percent
from llmguard.certification.sequential_testing import Tested
from llmguard.core.errors import UsageError
from llmguard.operations.certify.risk_report import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")
LEAST_COVERAGE = 0.1
"""Below this share the curve rests on few outputs, and its wide band may be cut off."""
MANY = 25
"""Points from which on the band is drawn as an area, not as a bar at each."""

BEYOND = 200
"""Evidence beyond so many times the limit is cut off."""
FEW = 6
"""Policies up to which each has its name beside it."""

# Colours that the colour-blind tell apart: Okabe and Ito, "Color Universal Design" (2008).
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7f7f7f"
RESULTS = {
    "certified": (GREEN, "o", "certified"),
    "failed": (RED, "X", "failed the test"),
    "skipped": (GREY, "s", "too few to test"),
    "not tested": (GREY, "D", "not tested any more"),
}
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "legend.framealpha": 0.85,
    "legend.edgecolor": "white",
    "text.parse_math": False,  # a dollar sign in a name is one
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "llmguard",  # the same data, the same file
}


def refuse_plot(file: Path) -> None:
    """UsageError where this file cannot be drawn; called before anything is computed."""
    if file.suffix.lower() not in SUFFIXES:
        raise UsageError(f"a plot: expected a .png or .svg file, got {str(file)!r}.")
    if not file.parent.is_dir():
        raise UsageError(f"the folder {str(file.parent)!r} of the plot does not exist. Make it, or name another.")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"plots need matplotlib, which cannot be imported ({error}). Run: pip install 'llmguard-framework[plots]'."
            " Without it the same curve is printed as text."
        ) from None


def draw_certificate(file: Path, result: Certificate | CertificateRefusal, curve: Curve, guard: str = "") -> None:
    """Risk over coverage, and beside it the reliability of the score where it goes from 0 to 1.

    Raises:
        UsageError: no PNG or SVG file, a folder that is not there, no matplotlib, or the file cannot be written.
    """
    refuse_plot(file)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(11.5, 5.2) if curve.bins else (6.4, 5.2), layout="constrained")
        axes = figure.subplots(1, 2, width_ratios=(1.25, 1), squeeze=False)[0] if curve.bins else [figure.subplots()]
        _risk(axes[0], result, curve)
        if curve.bins:
            _reliability(axes[1], curve.bins, curve.score)
        figure.suptitle(fill(_headline(result, guard), 142 if curve.bins else 78), fontsize=10, x=0.01, ha="left")
        _save(figure, file)


def draw_drift(file: Path, drift: Drift, certificate: Certificate) -> None:
    """The evidence for drift after each audited output that the certificate accepted. Errors as in `draw_certificate`."""
    refuse_plot(file)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(7.5, 4.4), layout="constrained")
        _drift(figure.subplots(), drift, certificate)
        figure.suptitle(fill(drift.sentence(), 90), fontsize=10, x=0.01, ha="left")
        _save(figure, file)


def _save(figure: Figure, file: Path) -> None:
    metadata = {"Date": None} if file.suffix.lower() == ".svg" else {}
    try:
        figure.savefig(file, dpi=150, metadata=metadata)
    except OSError as error:
        raise UsageError(f"the plot {str(file)!r} cannot be written: {error.strerror or error}.") from None


def _headline(result: Certificate | CertificateRefusal, guard: str) -> str:
    text = result.sentence()
    return text if isinstance(result, Certificate) or not guard else f"Guard {guard!r}: {text[0].lower()}{text[1:]}"


# ------------------------------------------------------------------------------------------------- risk over coverage


def _risk(axes: Axes, result: Certificate | CertificateRefusal, curve: Curve) -> None:
    if curve.points:
        _band(axes, curve.points, curve.score)
    axes.axhline(result.alpha, color=RED, linestyle="--", linewidth=1.2, label=f"alpha = {percent(result.alpha)}")
    for row_result, (colour, marker, label) in RESULTS.items():
        rows = [row for row in result.table if row.result == row_result and row.accepted]
        if rows:
            _policies(axes, rows, colour, marker, label, len(result.table) <= FEW and row_result != "certified")
    if isinstance(result, Certificate):
        _certified(axes, result.tested)
    axes.set(
        title="Risk over coverage",
        xlabel="coverage: share of calls that is accepted automatically",
        ylabel="risk: share of it that is judged wrong",
        xlim=(0, 1.02),
        ylim=(0, _top(result, curve)),
    )
    _in_percent(axes)
    axes.legend(fontsize=9, loc="upper center" if len(curve.points) >= MANY else "upper left")


def _band(axes: Axes, points: Sequence[RiskPoint], score: str) -> None:
    """The curve with the exact 95 % interval of each point."""
    x = [point.coverage for point in points]
    y = [point.risk for point in points]
    low, high = [point.low for point in points], [point.high for point in points]
    if len(points) >= MANY:
        axes.fill_between(x, low, high, color=BLUE, alpha=0.15, linewidth=0, label="exact 95 % interval")
        axes.plot(x, y, color=BLUE, linewidth=1.5, label=f"by {score}")
        return
    arms = [
        [at - below for at, below in zip(y, low, strict=True)],
        [above - at for at, above in zip(y, high, strict=True)],
    ]
    axes.errorbar(
        x,
        y,
        yerr=arms,
        color=BLUE,
        marker=".",
        linewidth=1.2,
        elinewidth=0.9,
        capsize=3,
        label=f"by {score}, exact 95 %",
    )


def _policies(axes: Axes, rows: Sequence[Tested], colour: str, marker: str, label: str, with_names: bool) -> None:
    from matplotlib.patheffects import withStroke

    x, y = [row.coverage for row in rows], [row.wrong / row.accepted for row in rows]
    axes.scatter(x, y, color=colour, marker=marker, s=42, zorder=4, label=f"policy, {label}", clip_on=False)
    for row in rows if with_names else ():
        at = row.coverage, row.wrong / row.accepted
        axes.annotate(
            row.policy,
            at,
            xytext=(8, -3),
            textcoords="offset points",
            fontsize=8,
            color=colour,
            zorder=6,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )


def _certified(axes: Axes, row: Tested) -> None:
    """The certified policy, with the upper bound that was proven."""
    at, risk = row.coverage, row.wrong / row.accepted
    bound = f"upper bound {percent(row.bound)}"
    axes.plot([at, at], [risk, row.bound], color=GREEN, linewidth=2.5, zorder=3, label=f"certified, with its {bound}")
    axes.scatter([at], [risk], marker="*", s=260, color=GREEN, edgecolors="white", zorder=5, clip_on=False)
    axes.annotate(
        f"{row.policy}: {row.wrong} of {row.accepted} wrong",
        (at, row.bound),
        xytext=(-24 if at > 0.5 else 24, 34),
        textcoords="offset points",
        ha="right" if at > 0.5 else "left",
        fontsize=9,
        color=GREEN,
        fontweight="bold",
        arrowprops={"arrowstyle": "-", "color": GREEN, "shrinkA": 0, "shrinkB": 0},
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},  # it may lie over the line at alpha
        zorder=7,
    )


def _top(result: Certificate | CertificateRefusal, curve: Curve) -> float:
    """High enough for alpha, the risks and the certified bound; the wide bands of the first points may be cut off."""
    risks = [point.risk for point in curve.points if point.coverage >= LEAST_COVERAGE] + [
        row.wrong / row.accepted for row in result.table if row.accepted
    ]
    last = [curve.points[-1].high] if curve.points else []
    bound = [result.bound] if isinstance(result, Certificate) else []
    return float(min(1.0, 1.35 * max([2.5 * result.alpha, *risks, *last, *bound])))


# ------------------------------------------------------------------------------------------------- reliability


def _reliability(axes: Axes, bins: Sequence[Bin], score: str) -> None:
    """The share that was right in each bin, against the mean score of its items; below, how many these are."""
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.2, label="score = share right")
    x, y = [each.mean_score for each in bins], [each.right for each in bins]
    arms = [[each.right - each.right_low for each in bins], [each.right_high - each.right for each in bins]]
    axes.errorbar(x, y, yerr=arms, color=BLUE, marker="o", markersize=5, linewidth=1.2, capsize=3, label="Wilson, 95 %")
    most = max(each.count for each in bins)
    for each in bins:
        height, middle = 0.16 * each.count / most, (each.low + each.high) / 2
        axes.bar(middle, height, width=0.9 * (each.high - each.low), bottom=-0.22, color=ORANGE, alpha=0.55, zorder=0)
        axes.text(middle, height - 0.21, str(each.count), ha="center", va="bottom", fontsize=8, color=GREY)
    axes.set(
        title="Does the score mean what it says?",
        xlabel=f"{score} (bars: audited outputs per bin)",
        ylabel="share judged right",
        xlim=(-0.02, 1.02),
        ylim=(-0.22, 1.04),
    )
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    _in_percent(axes)
    axes.legend(fontsize=9, loc="best")


# ------------------------------------------------------------------------------------------------- drift


def _drift(axes: Axes, drift: Drift, certificate: Certificate) -> None:
    if drift.curve:
        axes.plot(range(1, len(drift.curve) + 1), drift.curve, color=BLUE, linewidth=1.5, label="evidence for drift")
    axes.axhline(drift.limit, color=RED, linestyle="--", linewidth=1.2, label=f"alarm at {drift.limit:g}")
    if drift.alarm_at is not None:
        at = drift.alarm_at
        axes.scatter([at], [drift.curve[at - 1]], color=RED, marker="X", s=70, zorder=4, label=f"alarm: output {at}")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda evidence, _: f"{evidence:g}")
    axes.set(
        title=f"Certificate {certificate.id[:8]}: at most {percent(certificate.alpha)} wrong",
        xlabel="audited outputs that it accepted, as they were reviewed",
        ylabel="times as likely if the error rate rose (log scale)",
        ylim=(min([0.05, *drift.curve]), min(3 * max([drift.limit, *drift.curve]), BEYOND * drift.limit)),
    )
    axes.legend(fontsize=9, loc="upper left")


def _in_percent(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
