"""The tables of docs/reading.md, taken from the code: `python -m tests.tables` writes them anew.

A table stands between `<!-- table: name -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from llmguard.parsing.coerce import wrappers
from llmguard.parsing.coerce.rules import BY_NAME_ONLY, FITTING_RULES
from llmguard.parsing.syntax import KINDS, thoughts, wording
from llmguard.values import units

PAGE = Path(__file__).parent.parent / "docs" / "reading.md"
_BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def words(names: Iterable[str]) -> str:
    """Names as code, in the order of the alphabet."""
    return " ".join(f"`{name}`" for name in sorted(names))


def table(*rows: tuple[str, str]) -> str:
    head, *body = rows
    return "\n".join(f"| {left} | {right} |" for left, right in (head, ("---", "---"), *body)) + "\n"


def wrapper_table() -> str:
    return table(
        ("names", "unwrapped around"),
        (words(wrappers.GENERIC), "any value"),
        (words(wrappers.GENERIC_OF_LISTS), "a list, where a list is due"),
        (words(wrappers.GENERIC_OF_MEMBERS), "a member of an enum"),
        (words(wrappers.HOLD_ARGUMENTS), "a call of the tool that was offered"),
    )


def repair_table() -> str:
    """Each kind with its repairs, in the code's order of kinds."""
    kinds = list(dict.fromkeys(KINDS.values()))
    rows = [(f"`{kind}`", words(name for name, of in KINDS.items() if of == kind)) for kind in kinds]
    fitted = FITTING_RULES - set(KINDS)
    rows.append(("with the schema", words(fitted)))
    rows.append(("allowed by name only", words(BY_NAME_ONLY)))
    return table(("kind", "repairs"), *rows)


def label_table() -> str:
    return words(wording.LABELS) + "\n"


def tag_table() -> str:
    """The sources of the tags, as the module lists them."""
    _, _, listed = (thoughts.__doc__ or "").partition("\n\n- ")
    return "- " + listed.strip() + "\n"


def unit_table() -> str:
    """A row of the code's table for each unit; then scales and currencies."""
    rows = [[cell.strip().replace("|", "") for cell in row.split("|")] for row in units._MEASURES.splitlines() if row]
    measures = [(f"`{name}`", "`, `".join(f"{signs} {spoken}".split())) for name, signs, spoken in rows]
    symbols = ((" ".join(sorted(codes.split())), sign) for sign, codes in units._SYMBOLS.items() if codes)
    return table(
        ("unit", "written, where `_` stands for a blank"),
        *((name, f"`{spelled}`") for name, spelled in measures),
        ("scale", ", ".join(f"`{name}` {size:,}" for name, size in units.SCALES.items())),
        ("currency", ", ".join(f"`{sign}` {codes}" for codes, sign in symbols)),
        ("currency, ISO 4217", words(units.CURRENCIES)),
    )


TABLES: dict[str, Callable[[], str]] = {
    "wrappers": wrapper_table,
    "repairs": repair_table,
    "units": unit_table,
    "labels": label_table,
    "tags": tag_table,
}


def renewed(page: str) -> str:
    """The page with its tables as the code has them."""
    return _BLOCK.sub(lambda block: block[1] + TABLES[block[2]]() + block[3], page)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
