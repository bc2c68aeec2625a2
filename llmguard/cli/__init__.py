"""The command line: parses arguments, binds the parts, prints. Nothing below it knows of it."""

from __future__ import annotations

from llmguard.cli.commands import app


def main() -> None:
    """The program `llmguard`. Exit status: 0 done, 1 a negative finding, 2 misuse."""
    app(prog_name="llmguard")


__all__ = ["app", "main"]
