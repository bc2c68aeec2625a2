"""The tables of docs/reading.md are those of the code."""

from __future__ import annotations

import re

from tests.tables import PAGE, TABLES, renewed


def test_the_tables_of_the_page_are_up_to_date() -> None:
    """`python -m tests.tables` writes them anew."""
    page = PAGE.read_text(encoding="utf-8")
    assert page == renewed(page)


def test_each_table_is_on_the_page() -> None:
    """Once."""
    names = re.findall(r"<!-- table: (\w+) -->", PAGE.read_text(encoding="utf-8"))
    assert sorted(names) == sorted(TABLES)
