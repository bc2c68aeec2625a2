"""The command line: parses arguments, calls one function of `llmguard.operations`, prints its result.

Reading order: `commands` (all commands), `arguments` (shared options), one `*_command` module per command with its
`*_view` (text for people), `terminal` (safe printing).
"""

from __future__ import annotations

from llmguard.cli.commands import app


def main() -> None:
    """The program `llmguard`. Exit status: 0 done, 1 a negative finding, 2 misuse."""
    app(prog_name="llmguard")


__all__ = ["app", "main"]
