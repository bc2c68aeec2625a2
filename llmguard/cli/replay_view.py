"""What a replay came to, for people and for machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmguard.cli.outcome_view import SHORT_ID, dollars
from llmguard.cli.rerunning import Rerun
from llmguard.cli.terminal import STATUS_STYLES, columns, styled
from llmguard.core.canonical import Json
from llmguard.core.safe_text import safe_line
from llmguard.guard.guard import Guard
from llmguard.operations.backtest.backtesting import Kind, Rejudged
from llmguard.operations.backtest.progress import judged_to_json
from llmguard.operations.backtest.schema_impact import Edit
from llmguard.operations.backtest.summary import SHARES, Part, Rate, Summary, Sums
from llmguard.operations.outcome_json import iso_time, violation_json

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

# ------------------------------------------------------------------------------------------------- machines


def replay_json(guard: Guard[Json], window: Mapping[str, Json], summary: Summary) -> Json:
    """What `llmguard replay --json` says."""
    looked_at = {"since": iso_time(window["since"]) if window["since"] else None, "until": iso_time(window["until"])}
    return {"guard": guard.name, "fingerprint": guard.fingerprint, **looked_at, **summary_json(summary)}


def rerun_json(rerun: Rerun) -> Json:
    """What `llmguard replay --live --json` says: `before` is what was logged, `today` what was answered anew."""
    return {
        "guard": rerun.guard.name,
        "fingerprint": rerun.guard.fingerprint,
        "log": rerun.log,
        "spent_usd": rerun.spent_usd,
        "refused_inputs": rerun.refused,
        "left_out": rerun.left,
        "answered_earlier": rerun.earlier,
        "fields": {pointer: rate_json(rate) for pointer, rate in rerun.fields.items()},
        **summary_json(rerun.summary),
    }


EVIDENCE: tuple[Kind, ...] = ("same", "newly_failing", "newly_passing", "changed")


def summary_json(summary: Summary) -> dict[str, Json]:
    """Rates as `{"count", "total", "share", "low", "high"}`, with exact intervals at 95 % confidence."""
    return {
        "calls": summary.total,
        **_part_json(summary.evidence),
        "undetermined": summary.undetermined,
        "shares_with_undetermined": {share: summary.share_bounds(share) for share in SHARES},
        "assumed": _part_json(summary.assumed) if summary.assumed.total else None,
        "of_todays_guard": summary.same_guard,
        "reasons": summary.reasons,
        "listed": {kind: [judged_to_json(each) for each in found] for kind, found in summary.listed.items()},
    }


def _part_json(part: Part) -> dict[str, Json]:
    shares = {
        share: {"before": rate_json(part.ended(share, today=False)), "today": rate_json(part.ended(share, today=True))}
        for share in SHARES
    }
    costs = {"before": part.cost_before, "today": part.cost_today, "change": part.cost_change}
    return {
        "judged": part.total,
        "kinds": {kind: rate_json(part.rate(kind)) for kind in EVIDENCE},
        "p_value": part.p_value,
        "shares": shares,
        "ends": [{"before": then, "today": now, "calls": count} for (then, now), count in sorted(part.ends.items())],
        "cost_usd": {**{name: sums_json(sums) for name, sums in costs.items()}, "unpriced_calls": part.unpriced},
    }


def rate_json(rate: Rate) -> dict[str, Json]:
    low, high = rate.interval or (None, None)
    return {"count": rate.count, "total": rate.total, "share": rate.share, "low": low, "high": high}


def sums_json(sums: Sums) -> dict[str, Json]:
    low, high = sums.interval or (None, None)
    return {"calls": sums.count, "total": sums.total, "mean": sums.mean, "low": low, "high": high}


# ------------------------------------------------------------------------------------------------- people


def replay_view(guard: Guard[Json], window: Mapping[str, Json], summary: Summary) -> Iterator[RenderableType]:
    """What `llmguard replay` says."""
    since = f" since {iso_time(window['since'])}" if window["since"] else ""
    yield _headline(guard, f"{_calls(summary.total)}{since}, judged again")
    if summary.total:
        yield from parts_view(summary, "before", "today")
        yield from changes_view(summary)
    else:
        yield Text("no such calls: --log, --since and --where say which are looked at", "dim")
    if summary.undetermined and not summary.assumed.total:
        yield Text("--same slot shows what would become of the recorded replies; --live asks a model", "dim")


def rerun_view(rerun: Rerun) -> Iterator[RenderableType]:
    """What `llmguard replay --live` says."""
    summary = rerun.summary
    earlier = f", {rerun.earlier:,} of them in an earlier run" if rerun.earlier else ""
    yield _headline(rerun.guard, f"{_calls(summary.total)} answered anew{earlier}, for {dollars(rerun.spent_usd)}")
    for count, words in ((rerun.refused, "had inputs that it does not take"), (rerun.left, "left out: --max-usd")):
        if count:
            yield _indented(styled(f"{_calls(count)} {words}", "yellow"))
    if not summary.total:
        return
    yield from parts_view(summary, "logged", "anew")
    pairs = summary.evidence
    said = f"passed only then: {pairs.kinds['newly_failing']:,}; only anew: {pairs.kinds['newly_passing']:,}"
    yield _indented(Text(f"{said}; p = {pairs.p_value:.3g} (exact paired test)"))
    yield from fields_view(rerun.fields)
    yield from changes_view(summary)
    yield Text(f"the new calls are in {safe_line(rerun.log)}", "dim")


def fields_view(fields: Mapping[str, Rate]) -> Iterator[RenderableType]:
    """Of the pairs in which both passed: how often each field says the same."""
    if fields:
        table = columns("field", "the same", "", "95 % interval", right=("the same",))
        for pointer, rate in fields.items():
            counted = f"{rate.count:,} of {rate.total:,}"
            table.add_row(safe_line(pointer) or "(whole value)", counted, _percent(rate.share), interval(rate))
        yield _indented(table)


def _headline(guard: Guard[Json], said: str) -> Text:
    return Text.assemble((safe_line(guard.name), "bold"), f" ({guard.fingerprint[:8]})  {said}")


def _calls(count: int) -> str:
    return f"{count:,} call{'' if count == 1 else 's'}"


def parts_view(summary: Summary, then: str, now: str) -> Iterator[RenderableType]:
    """The evidence; and apart from it what is undetermined, and what is assumed."""
    if summary.evidence.total:
        yield _indented(_counts(summary.evidence))
        yield _indented(_shares(summary.evidence, then, now, summary))
    if summary.undetermined:
        said = "today's guard would ask what the log does not answer; counted nowhere else"
        yield _indented(styled(f"undetermined  {_calls(summary.undetermined)}: {said}", KIND_STYLES["undetermined"]))
    if summary.assumed.total:
        said = "recorded replies to other requests stood in; no evidence"
        yield _indented(styled(f"assumed  {_calls(summary.assumed.total)}: {said}", "magenta"))
        yield _indented(_counts(summary.assumed))
        yield _indented(_shares(summary.assumed, then, now))
    unpriced = summary.evidence.unpriced + summary.assumed.unpriced
    if unpriced:
        yield _indented(styled(f"no price is known for {_calls(unpriced)}", "dim"))


def _counts(part: Part) -> Table:
    table = columns("", "calls", "share", "95 % interval", right=("calls", "share"))
    for kind in EVIDENCE:
        rate = part.rate(kind)
        name = styled(kind.replace("_", " "), KIND_STYLES[kind])
        table.add_row(name, f"{rate.count:,}", _percent(rate.share), interval(rate))
    return table


def _shares(part: Part, then: str, now: str, whole: Summary | None = None) -> Table:
    """How the calls end, then and now, and what they cost; of a `whole` how far its undetermined ones could move that."""
    table = columns("ends by", then, now, "95 % interval", right=(then, now))
    for share, words in SHARE_WORDS.items():
        today = part.ended(share, today=True)
        known = interval(today)
        if whole is not None and whole.undetermined:
            low, high = whole.share_bounds(share) or (0.0, 1.0)
            known += f"; {_percent(low)} to {_percent(high)} with the undetermined"
        table.add_row(words, _percent(part.ended(share, today=False).share), _percent(today.share), known)
    if part.cost_today.count:
        table.add_row("US dollars a call", *_cost_cells(part))
    return table


def _cost_cells(part: Part) -> tuple[str, str, str]:
    low, high = part.cost_today.interval or (None, None)
    known = f"{dollars(max(0.0, low))} to {dollars(high)}" if low is not None and high is not None else ""
    return dollars(part.cost_before.mean or 0.0), dollars(part.cost_today.mean or 0.0), known


def changes_view(summary: Summary) -> Iterator[RenderableType]:
    """For each kind but `same`: what the outcomes have in common, then the newest of them."""
    for kind, found in summary.reasons.items():
        total = sum(found.values())
        yield Text.assemble((kind.replace("_", " "), KIND_STYLES[kind]), f"  {total:,}")
        yield from _reasons(found)
        yield from _listed(summary.listed[kind])


def edit_view(edit: Edit, guard: str) -> Iterator[RenderableType]:
    """What an edit of a schema would have done to the accepted values of a guard."""
    if not edit.values:
        yield Text(f"the log has no accepted value of {safe_line(guard)!r} from that time", "dim")
        return
    share = f"{_percent(edit.rate.share)} (95 % interval: {interval(edit.rate)})" if edit.rate.total else "none"
    said = (
        f"would have refused {edit.refused:,} of {edit.rate.total:,} accepted values of {safe_line(guard)!r}: {share}"
    )
    yield styled(said, "red" if edit.refused else "green")
    yield from _reasons(edit.reasons)
    for call_id, violation in edit.first[:REASONS_SHOWN]:
        yield Padding(
            Text(f"{safe_line(call_id[:SHORT_ID])}  {safe_line(str(violation), WHY_CHARS)}", "dim"), (0, 0, 0, 4)
        )
    if edit.misfits:
        yield _indented(
            Text(f"{edit.misfits:,} other values fit neither schema: they were accepted under another", "dim")
        )


def edit_json(edit: Edit) -> dict[str, Json]:
    first = [{"id": call_id, **violation_json(violation)} for call_id, violation in edit.first]
    return {
        "values": edit.values,
        "misfits": edit.misfits,
        "refused": rate_json(edit.rate),
        "reasons": dict(edit.reasons.most_common()),
        "first": first,
    }


def _reasons(found: Mapping[str, int]) -> Iterator[RenderableType]:
    ranked = sorted(found.items(), key=lambda item: -item[1])
    for reason, count in ranked[:REASONS_SHOWN]:
        yield _indented(Text(f"{count:>8,}  {safe_line(reason)}"))
    if len(ranked) > REASONS_SHOWN:
        yield _indented(Text(f"{'':8}  and {len(ranked) - REASONS_SHOWN:,} other reasons", "dim"))


def _listed(found: Sequence[Rejudged]) -> Iterator[RenderableType]:
    for each in found:
        yield Padding(_line(each), (0, 0, 0, 4), expand=False)


def _line(each: Rejudged) -> Text:
    after = each.after or "?"
    return Text.assemble(
        safe_line(each.id[:SHORT_ID]),
        "  ",
        (each.before, STATUS_STYLES.get(each.before, "")),
        " → ",
        (after, STATUS_STYLES.get(after, "")),
        ("  assumed" if each.assumed else "", "magenta"),
        (f"  {safe_line(each.why, WHY_CHARS)}", "dim"),
    )


def interval(rate: Rate) -> str:
    low, high = rate.interval or (0.0, 1.0)
    return f"{_percent(low)} to {_percent(high)}" if rate.total else ""


def _percent(share: float | None) -> str:
    """Two digits that say something.

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
