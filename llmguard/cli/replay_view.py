"""The reports of `llmguard replay`, `compare` and `schema diff --guard`, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmguard.cli.outcome_view import SHORT_ID, dollars
from llmguard.cli.terminal import STATUS_STYLES, columns, styled
from llmguard.core.safe_text import safe_line
from llmguard.operations.backtest import BacktestReport, ComparisonReport, ReplayResult, ReplaySummary
from llmguard.operations.backtest.replay_result import Kind
from llmguard.operations.backtest.schema_impact import SchemaImpact
from llmguard.operations.backtest.summary import EVIDENCE, ExactRate, ResultGroup
from llmguard.operations.outcome_json import iso_time

KIND_STYLES: dict[Kind, str] = {
    "same": "green",
    "newly_failing": "bold red",
    "newly_passing": "cyan",
    "changed": "yellow",
    "undetermined": "magenta",
}
SHARE_WORDS = {"model": "a model's value", "fallback": "fallback", "escalated": "escalated", "rejected": "rejected"}
REASONS_SHOWN = 5
WHY_CHARS = 120


def backtest_view(report: BacktestReport) -> Iterator[RenderableType]:
    """What `llmguard replay` prints."""
    summary = report.summary
    since = f" since {iso_time(report.since)}" if report.since else ""
    yield _headline(report, f"{_calls(summary.total)}{since}, replayed")
    if summary.total:
        yield from parts_view(summary, "before", "today")
        yield from changes_view(summary)
    else:
        yield Text("no such calls: --log, --since and --where say which are looked at", "dim")
    if summary.undetermined and not summary.substituted.total:
        yield Text("--same slot shows what would become of the recorded replies; `compare` asks a model", "dim")


def comparison_view(report: ComparisonReport) -> Iterator[RenderableType]:
    """What `llmguard compare` prints."""
    summary = report.summary
    earlier = f", {report.answered_earlier:,} of them in an earlier run" if report.answered_earlier else ""
    yield _headline(report, f"{_calls(summary.total)} made again{earlier}, for {dollars(report.spent_usd)}")
    left_out = ((report.refused_inputs, "had inputs that it does not take"), (report.left_out, "left out: --max-usd"))
    for count, words in left_out:
        if count:
            yield _indented(styled(f"{_calls(count)} {words}", "yellow"))
    if not summary.total:
        return
    yield from parts_view(summary, "logged", "new")
    kinds, p_value = summary.evidence.kinds, summary.evidence.p_value
    counts = f"passed only then: {kinds['newly_failing']:,}; only now: {kinds['newly_passing']:,}"
    yield _indented(Text(f"{counts}; p = {p_value:.3g} (exact paired test)"))
    yield from fields_view(report.fields)
    yield from changes_view(summary)
    yield Text(f"the new calls are in {safe_line(report.log)}", "dim")


def fields_view(fields: Mapping[str, ExactRate]) -> Iterator[RenderableType]:
    """Of the pairs in which both passed: how often each field is the same."""
    if fields:
        table = columns("field", "the same", "", "95 % interval", right=("the same",))
        for pointer, rate in fields.items():
            counted = f"{rate.count:,} of {rate.total:,}"
            table.add_row(safe_line(pointer) or "(whole value)", counted, _percent(rate.share), interval(rate))
        yield _indented(table)


def _headline(report: BacktestReport | ComparisonReport, text: str) -> Text:
    return Text.assemble((safe_line(report.guard), "bold"), f" ({report.fingerprint[:8]})  {text}")


def _calls(count: int) -> str:
    return f"{count:,} call{'' if count == 1 else 's'}"


def parts_view(summary: ReplaySummary, then: str, now: str) -> Iterator[RenderableType]:
    """The evidence; and apart from it what is undetermined, and what was substituted."""
    if summary.evidence.total:
        yield _indented(_counts(summary.evidence))
        yield _indented(_shares(summary.evidence, then, now, summary))
    if summary.undetermined:
        why = "today's guard would ask what the log does not answer; counted nowhere else"
        yield _indented(styled(f"undetermined  {_calls(summary.undetermined)}: {why}", KIND_STYLES["undetermined"]))
    if summary.substituted.total:
        why = "recorded replies to other requests were taken; no evidence"
        yield _indented(styled(f"assumed  {_calls(summary.substituted.total)}: {why}", "magenta"))
        yield _indented(_counts(summary.substituted))
        yield _indented(_shares(summary.substituted, then, now))
    unpriced = summary.evidence.unpriced + summary.substituted.unpriced
    if unpriced:
        yield _indented(styled(f"no price is known for {_calls(unpriced)}", "dim"))


def _counts(group: ResultGroup) -> Table:
    table = columns("", "calls", "share", "95 % interval", right=("calls", "share"))
    for kind in EVIDENCE:
        rate = group.rate(kind)
        name = styled(kind.replace("_", " "), KIND_STYLES[kind])
        table.add_row(name, f"{rate.count:,}", _percent(rate.share), interval(rate))
    return table


def _shares(group: ResultGroup, then: str, now: str, whole: ReplaySummary | None = None) -> Table:
    """How the calls end, then and now, and what they cost; of a `whole` the range with its undetermined ones."""
    table = columns("ends by", then, now, "95 % interval", right=(then, now))
    for share, words in SHARE_WORDS.items():
        today = group.ended(share, today=True)
        known = interval(today)
        if whole is not None and whole.undetermined:
            low, high = whole.share_bounds(share) or (0.0, 1.0)
            known += f"; {_percent(low)} to {_percent(high)} with the undetermined"
        table.add_row(words, _percent(group.ended(share, today=False).share), _percent(today.share), known)
    if group.cost_today.count:
        table.add_row("US dollars a call", *_cost_cells(group))
    return table


def _cost_cells(group: ResultGroup) -> tuple[str, str, str]:
    low, high = group.cost_today.interval or (None, None)
    known = f"{dollars(max(0.0, low))} to {dollars(high)}" if low is not None and high is not None else ""
    return dollars(group.cost_before.mean or 0.0), dollars(group.cost_today.mean or 0.0), known


def changes_view(summary: ReplaySummary) -> Iterator[RenderableType]:
    """For each kind but `same`: what the outcomes have in common, then the newest of them."""
    for kind, reasons in summary.reasons.items():
        yield Text.assemble((kind.replace("_", " "), KIND_STYLES[kind]), f"  {sum(reasons.values()):,}")
        yield from _reasons(reasons)
        for each in summary.listed[kind]:
            yield Padding(_line(each), (0, 0, 0, 4), expand=False)


def impact_view(impact: SchemaImpact, guard: str) -> Iterator[RenderableType]:
    """What an edit of a schema would have done to the accepted values of a guard."""
    name, rate = repr(safe_line(guard)), impact.rate
    if not impact.values:
        yield Text(f"the log has no accepted value of {name} from that time", "dim")
        return
    share = f"{_percent(rate.share)} (95 % interval: {interval(rate)})" if rate.total else "none"
    text = f"would have refused {impact.refused:,} of {rate.total:,} accepted values of {name}: {share}"
    yield styled(text, "red" if impact.refused else "green")
    yield from _reasons(impact.reasons)
    for call_id, violation in impact.first[:REASONS_SHOWN]:
        line = f"{safe_line(call_id[:SHORT_ID])}  {safe_line(str(violation), WHY_CHARS)}"
        yield Padding(Text(line, "dim"), (0, 0, 0, 4))
    if impact.misfits:
        text = f"{impact.misfits:,} other values fit neither schema: they were accepted under another"
        yield _indented(Text(text, "dim"))


def _reasons(counts: Mapping[str, int]) -> Iterator[RenderableType]:
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    for reason, count in ranked[:REASONS_SHOWN]:
        yield _indented(Text(f"{count:>8,}  {safe_line(reason)}"))
    if len(ranked) > REASONS_SHOWN:
        yield _indented(Text(f"{'':8}  and {len(ranked) - REASONS_SHOWN:,} other reasons", "dim"))


def _line(each: ReplayResult) -> Text:
    after = each.after or "?"
    return Text.assemble(
        safe_line(each.id[:SHORT_ID]),
        "  ",
        (each.before, STATUS_STYLES.get(each.before, "")),
        " → ",
        (after, STATUS_STYLES.get(after, "")),
        ("  assumed" if each.substituted else "", "magenta"),
        (f"  {safe_line(each.why, WHY_CHARS)}", "dim"),
    )


def interval(rate: ExactRate) -> str:
    low, high = rate.interval or (0.0, 1.0)
    return f"{_percent(low)} to {_percent(high)}" if rate.total else ""


def _percent(share: float | None) -> str:
    """Two significant digits.

    >>> _percent(0.031), _percent(0.00042), _percent(1.0), _percent(None)
    ('3.1 %', '0.042 %', '100 %', '')
    """
    if share is None:
        return ""
    percent = 100 * share
    if percent in (0.0, 100.0):
        return f"{percent:.0f} %"
    return f"{percent:.1f} %" if 0.95 <= percent < 99.95 else f"{percent:.2g} %" if percent < 1 else f"{percent:.3f} %"


def _indented(body: RenderableType) -> Padding:
    return Padding(body, (0, 0, 0, 2), expand=False)
