"""Printing: text for people through one safe console, JSON one value per line."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from typing import IO, NoReturn, TextIO, cast

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from llmguard.core.canonical import Json
from llmguard.core.safe_text import safe, safe_json

NEGATIVE, MISUSE = 1, 2
"""Exit statuses beside 0: a negative result, and a misuse of the command."""

WIDE = 10_000
"""Columns of a pipe or a file, where no line is wrapped or cut."""

STATUS_STYLES = {
    "accepted": "green",
    "recovered": "cyan",
    "fallback": "yellow",
    "escalated": "magenta",
    "rejected": "bold red",
    "interrupted": "red",
    "running": "blue",
}


class SafeConsole(Console):
    """A console that escapes all control characters in its output; markup is text."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(safe(segment.text), segment.style)


class Trimmed:
    """A pipe or a file without the trailing spaces of tables."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.flush = stream.flush

    def write(self, text: str) -> int:
        self._stream.write("\n".join(line.rstrip(" ") for line in text.split("\n")))
        return len(text)


def console(*, stderr: bool = False) -> Console:
    """A console on the present standard output, which tests and pipes replace."""
    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        return SafeConsole(file=stream, markup=False, emoji=False, highlight=False)
    trimmed = cast("IO[str]", Trimmed(stream))
    return SafeConsole(file=trimmed, width=WIDE, markup=False, emoji=False, highlight=False)


def say(*lines: RenderableType, stderr: bool = False) -> None:
    out = console(stderr=stderr)
    for line in lines:
        out.print(line, soft_wrap=False)


def emit(value: Json) -> None:
    """Print one JSON value on one line, in UTF-8 whatever the terminal's encoding."""
    sys.stdout.flush()
    sys.stdout.buffer.write(safe_json(value).encode() + b"\n")
    sys.stdout.buffer.flush()


def fail(sentence: str) -> NoReturn:
    """Print one sentence on standard error and exit with status 2."""
    complain(sentence)
    raise typer.Exit(MISUSE)


def complain(sentence: str) -> None:
    print(f"llmguard: {safe(sentence)}", file=sys.stderr)


def status_text(status: str) -> Text:
    return Text(status, STATUS_STYLES.get(status, ""))


def styled(text: str, style: str = "") -> Text:
    """Text without markup."""
    return Text(safe(text), style)


def columns(*names: str, right: Iterable[str] = ()) -> Table:
    """A table without borders, for a terminal and for a pipe."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, justify="right" if name in set(right) else "left")
    return table


@cache
def utf8_streams() -> None:
    """Escape characters that the encoding of the streams lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
