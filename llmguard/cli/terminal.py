"""Where the command line prints: people's text through one safe console, machines' JSON one value to a line."""

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
"""Exit statuses beside 0: the command found something bad; the command was given something wrong."""

WIDE = 10_000
"""Columns of a pipe or file: nothing is wrapped or cut for a reader that has no edge."""

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
    """A console that spells out whatever a terminal would obey, wherever in the output it stands; markup is text."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(safe(segment.text), segment.style)


class Trimmed:
    """A pipe or file without the spaces that fill up the lines of a table."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.flush = stream.flush

    def write(self, text: str) -> int:
        self._stream.write("\n".join(line.rstrip(" ") for line in text.split("\n")))
        return len(text)


def console(*, stderr: bool = False) -> Console:
    """The console of this moment's standard output (tests and pipes exchange it)."""
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
    """One JSON value on a line of its own, in UTF-8 whatever the terminal's encoding."""
    sys.stdout.flush()
    sys.stdout.buffer.write(safe_json(value).encode() + b"\n")
    sys.stdout.buffer.flush()


def fail(sentence: str) -> NoReturn:
    """Misuse: one sentence on standard error, and exit status 2."""
    complain(sentence)
    raise typer.Exit(MISUSE)


def complain(sentence: str) -> None:
    print(f"llmguard: {safe(sentence)}", file=sys.stderr)


def status_text(status: str) -> Text:
    return Text(status, STATUS_STYLES.get(status, ""))


def styled(text: str, style: str = "") -> Text:
    """Text as data: no markup in it is read."""
    return Text(safe(text), style)


def columns(*names: str, right: Iterable[str] = ()) -> Table:
    """A plain table without lines, for a terminal and for a pipe."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, justify="right" if name in set(right) else "left")
    return table


@cache
def utf8_streams() -> None:
    """Let output pass whatever the locale is: what the encoding lacks is spelled out."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
