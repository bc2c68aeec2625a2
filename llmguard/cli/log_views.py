"""Logged calls as tables: the list, and the sums by guard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmguard.cli.outcome_view import SHORT_ID, dollars, duration
from llmguard.cli.terminal import columns, status_text, styled
from llmguard.core.canonical import Json
from llmguard.core.prices import cost_usd
from llmguard.core.safe_text import safe_line
from llmguard.log.rows import Row
from llmguard.log.stats import GuardStats
from llmguard.operations.outcome_json import iso_time, usage_json

SOURCE_CHARS = 28
NARROW = 120
"""Columns of a terminal below which each call takes two lines."""

# ------------------------------------------------------------------------------------------------- the list


def row_json(row: Row) -> dict[str, Json]:
    return {
        "id": row.id,
        "guard": row.guard,
        "status": row.status,
        "source": row.source,
        "started_at": iso_time(row.started_at),
        "duration_s": row.duration_s,
        "requests": row.requests,
        "usage": usage_json(row.usage),
        "cost_usd": cost_of(row),
        "failures": list(row.failures),
        "rules": list(row.rules),
        "models": list(row.models),
        "meta": row.meta,
        "value": row.value,
        "review_probability": row.review_probability,
        "review_reason": row.review_reason,
        "review": row.review,
        "fingerprint": row.fingerprint,
    }


def rows_view(rows: Sequence[Row], wrong: Sequence[str], out: Console) -> Iterator[RenderableType]:
    """A table where there is room for one, else two lines for each call; full ids where nobody counts columns. `wrong`
    says for each row what went wrong first."""
    if out.width < NARROW:
        for row, said in zip(rows, wrong, strict=True):
            told = ", ".join(filter(None, (safe_line(row.source), _tries(row), _token_count(row), said)))
            yield Text("  ").join(_first_cells(row, SHORT_ID))
            yield Padding(Text(told, "dim", no_wrap=True, overflow="ellipsis"), (0, 0, 0, 2), expand=False)
        return
    table = columns("id", "time", "guard", "status", "source", "tries", "tokens", "what was wrong first")
    cells = [_cells(row, SHORT_ID if out.is_terminal else None) for row in rows]
    for column in table.columns:
        column.no_wrap, column.overflow = True, "ellipsis"
    for column, texts in zip(table.columns, zip(*cells, strict=True), strict=False):
        column.min_width = max(len(str(column.header)), *map(len, texts))
    for row_cells, said in zip(cells, wrong, strict=True):
        table.add_row(*row_cells, styled(said, "dim"))
    yield table


def _cells(row: Row, id_chars: int | None) -> list[Text]:
    """All but the last: what is never cut."""
    facts = (safe_line(row.source, SOURCE_CHARS), str(row.requests), _token_count(row).removesuffix(" tokens"))
    return [*_first_cells(row, id_chars), *map(Text, facts)]


def row_line(row: Row) -> Text:
    """A call on one line, for a list that grows."""
    facts = (safe_line(row.source), _tries(row), _token_count(row), ", ".join(map(safe_line, row.failures)))
    return Text("  ").join([*_first_cells(row, SHORT_ID), Text(", ".join(filter(None, facts)), "dim")])


def _first_cells(row: Row, id_chars: int | None) -> list[Text]:
    began = datetime.fromtimestamp(row.started_at).isoformat(timespec="seconds")
    return [
        Text(safe_line(row.id[:id_chars])),
        Text(began),
        styled(safe_line(row.guard), "bold"),
        status_text(row.status),
    ]


def _tries(row: Row) -> str:
    return "1 try" if row.requests == 1 else f"{row.requests} tries"


def _token_count(row: Row) -> str:
    total = row.usage.total_tokens
    return f"{'~' if row.usage.estimated else ''}{total:,} tokens" if total else ""


def cost_of(row: Row) -> float | None:
    """What the provider said, else what today's price list says of the row's model."""
    if row.cost_usd is not None or not row.requests:
        return row.cost_usd or 0.0
    return cost_usd(row.models[0], row.usage) if len(row.models) == 1 else None


# ------------------------------------------------------------------------------------------------- the sums


def stats_json(stats: GuardStats) -> dict[str, Json]:
    """Costs at today's price list; `unpriced_models` are those it does not know."""
    priced, unpriced = _costs(stats)
    requests = sum(use.requests for use in stats.models)
    return {
        "guard": stats.guard,
        "calls": stats.calls,
        "statuses": stats.statuses,
        "failures": stats.failures,
        "requests": requests,
        "mean_requests": round(requests / stats.calls, 3) if stats.calls else 0.0,
        "usage": usage_json(stats.usage),
        "cost_usd": priced,
        "unpriced_models": unpriced,
        "median_s": stats.median_s,
        "p95_s": stats.p95_s,
        "longest_s": stats.longest_s,
    }


def _costs(stats: GuardStats) -> tuple[float, list[str]]:
    """US dollars of the models whose price is known, and the names of the others."""
    costs = {use.model: cost_usd(use.model, use.usage) for use in stats.models if use.usage.total_tokens}
    known = [cost for cost in costs.values() if cost is not None]
    return sum(known), [model for model, cost in costs.items() if cost is None]


def stats_view(stats: GuardStats) -> Iterator[RenderableType]:
    """A guard's sums, one line for each kind."""
    yield Text.assemble((safe_line(stats.guard), "bold"), f"  {stats.calls:,} call{'' if stats.calls == 1 else 's'}")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in _stats_rows(stats):
        table.add_row(name, value)
    yield Padding(table, (0, 0, 1, 2), expand=False)


def _stats_rows(stats: GuardStats) -> Iterator[tuple[str, Text]]:
    shares = [
        Text.assemble(status_text(status), f" {count:,} ({count / stats.calls:.0%})")
        for status, count in stats.statuses.items()
    ]
    yield "status", Text(", ").join(shares)
    if stats.failures:
        counted = (f"{safe_line(kind)} in {count:,}" for kind, count in stats.failures.items())
        yield "failures", Text(", ".join(counted))
    requests = sum(use.requests for use in stats.models)
    yield "requests", Text(f"{requests:,}, {requests / max(1, stats.calls):.2f} a call")
    about = "about " if stats.usage.estimated else ""
    yield "tokens", Text(f"{about}{stats.usage.input_tokens:,} in, {stats.usage.output_tokens:,} out")
    priced, unpriced = _costs(stats)
    unknown = f"no price is known for {', '.join(map(safe_line, unpriced))}" if unpriced else ""
    yield "cost", Text("; ".join(filter(None, (dollars(priced) if priced or not unpriced else "", unknown))))
    if stats.median_s is not None and stats.p95_s is not None:
        yield "latency", Text(f"half within {duration(stats.median_s)}, 95 % within {duration(stats.p95_s)}")
