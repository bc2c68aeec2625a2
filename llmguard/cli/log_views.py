"""Logged calls as text: the list, and the totals by guard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmguard.cli.outcome_view import SHORT_ID, dollars, duration
from llmguard.cli.terminal import columns, status_text, styled
from llmguard.core.safe_text import safe_line
from llmguard.log.rows import Row
from llmguard.operations.calls import GuardTotals

SOURCE_CHARS = 28
NARROW = 120
"""Columns of a terminal below which each call takes two lines."""

# ------------------------------------------------------------------------------------------------- the list


def rows_view(rows: Sequence[Row], problems: Sequence[str], out: Console) -> Iterator[RenderableType]:
    """A table where the terminal has room for it, else two lines for each call; full ids where the output is no terminal.
    `problems`: of each row the first thing that went wrong."""
    if out.width < NARROW:
        for row, problem in zip(rows, problems, strict=True):
            facts = ", ".join(filter(None, (safe_line(row.source), _requests(row), _token_count(row), problem)))
            yield Text("  ").join(_first_cells(row, SHORT_ID))
            yield Padding(Text(facts, "dim", no_wrap=True, overflow="ellipsis"), (0, 0, 0, 2), expand=False)
        return
    table = columns("id", "time", "guard", "status", "source", "requests", "tokens", "first problem")
    cells = [_cells(row, SHORT_ID if out.is_terminal else None) for row in rows]
    for column in table.columns:
        column.no_wrap, column.overflow = True, "ellipsis"
    for column, texts in zip(table.columns, zip(*cells, strict=True), strict=False):
        column.min_width = max(len(str(column.header)), *map(len, texts))
    for row_cells, problem in zip(cells, problems, strict=True):
        table.add_row(*row_cells, styled(problem, "dim"))
    yield table


def _cells(row: Row, id_chars: int | None) -> list[Text]:
    """All columns but the last: they are never cut."""
    facts = (safe_line(row.source, SOURCE_CHARS), str(row.requests), _token_count(row).removesuffix(" tokens"))
    return [*_first_cells(row, id_chars), *map(Text, facts)]


def row_line(row: Row) -> Text:
    """A call on one line, for `log tail`."""
    facts = (safe_line(row.source), _requests(row), _token_count(row), ", ".join(map(safe_line, row.failures)))
    return Text("  ").join([*_first_cells(row, SHORT_ID), Text(", ".join(filter(None, facts)), "dim")])


def _first_cells(row: Row, id_chars: int | None) -> list[Text]:
    began = datetime.fromtimestamp(row.started_at).isoformat(timespec="seconds")
    return [
        Text(safe_line(row.id[:id_chars])),
        Text(began),
        styled(safe_line(row.guard), "bold"),
        status_text(row.status),
    ]


def _requests(row: Row) -> str:
    return "1 request" if row.requests == 1 else f"{row.requests} requests"


def _token_count(row: Row) -> str:
    total = row.usage.total_tokens
    return f"{'~' if row.usage.estimated else ''}{total:,} tokens" if total else ""


# ------------------------------------------------------------------------------------------------- totals


def totals_view(totals: GuardTotals) -> Iterator[RenderableType]:
    """The totals of a guard, one line each."""
    calls = totals.stats.calls
    yield Text.assemble((safe_line(totals.stats.guard), "bold"), f"  {calls:,} call{'' if calls == 1 else 's'}")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in _totals_rows(totals):
        table.add_row(name, value)
    yield Padding(table, (0, 0, 1, 2), expand=False)


def _totals_rows(totals: GuardTotals) -> Iterator[tuple[str, Text]]:
    stats = totals.stats
    shares = [
        Text.assemble(status_text(status), f" {count:,} ({count / stats.calls:.0%})")
        for status, count in stats.statuses.items()
    ]
    yield "status", Text(", ").join(shares)
    if stats.failures:
        counts = (f"{safe_line(kind)} in {count:,}" for kind, count in stats.failures.items())
        yield "failures", Text(", ".join(counts))
    yield "requests", Text(f"{totals.requests:,}, {totals.requests / max(1, stats.calls):.2f} per call")
    about = "about " if stats.usage.estimated else ""
    yield "tokens", Text(f"{about}{stats.usage.input_tokens:,} in, {stats.usage.output_tokens:,} out")
    yield "cost", Text(_cost(totals))
    if stats.median_s is not None and stats.p95_s is not None:
        yield "latency", Text(f"half within {duration(stats.median_s)}, 95 % within {duration(stats.p95_s)}")


def _cost(totals: GuardTotals) -> str:
    unpriced = ", ".join(map(safe_line, totals.unpriced_models))
    amount = dollars(totals.cost_usd) if totals.cost_usd or not unpriced else ""
    return "; ".join(filter(None, (amount, f"no price is known for {unpriced}" if unpriced else "")))
