"""The arguments and options that commands share, and what their texts mean: `name=value` pairs, inputs, queries."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, get_args

import typer

from llmguard.core.canonical import Json, decode
from llmguard.core.errors import UsageError
from llmguard.core.outcome import Status
from llmguard.guard.options import DEFAULT_LOG
from llmguard.log.query import Query
from llmguard.log.rows import RUNNING
from llmguard.operations.logged_calls import CallsOfGuard
from llmguard.operations.points_in_time import parse_time

STATUSES = (*get_args(Status), RUNNING)

# ------------------------------------------------------------------------------------------------- every command

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LogUrl = Annotated[
    str, typer.Option("--log", envvar="LLMGUARD_LOG", metavar="URL", help="The log, e.g. sqlite:///llmguard.db.")
]
LOG_URL = DEFAULT_LOG

# ------------------------------------------------------------------------------------------------- which guard

GUARD_HELP = "module:attribute, or a folder with prompts/ and schemas/."
GuardArgument = Annotated[str, typer.Argument(help=GUARD_HELP, metavar="GUARD", show_default=False)]
GuardName = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="The guard's name, if GUARD is a folder with several.")
]
Model = Annotated[str | None, typer.Option("--model", metavar="NAME", help="The model, if GUARD is a folder.")]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="An OpenAI-compatible server, if GUARD is a folder.")
]
GuardLog = Annotated[
    str | None, typer.Option("--log", envvar="LLMGUARD_LOG", metavar="URL", help="The log. Default: the guard's own.")
]

# ------------------------------------------------------------------------------------------------- which calls

Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Started at or after: a date, an age (2h, 3d), or today.")
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Started before; a date includes that whole day.")
]
Meta = Annotated[
    list[str] | None, typer.Option("--meta", metavar="KEY=VALUE", help="With this meta. Repeatable: all must match.")
]
OfStatus = Annotated[
    list[str] | None, typer.Option("--status", metavar="STATUS", help="With this status. Repeatable: any may match.")
]
OfGuard = Annotated[str | None, typer.Option("--guard", metavar="NAME", help="Of this guard.")]
Where = Annotated[
    str | None,
    typer.Option("--where", metavar="CONDITIONS", help="Conditions, e.g. 'failure=timeout and tokens>2000'."),
]


def query(
    since: str | None,
    until: str | None,
    meta: list[str] | None,
    status: list[str] | None,
    guard: str | None,
    where: str | None,
) -> Query:
    """What the options mean; UsageError names the one that is invalid."""
    return Query(guard=guard, **calls_of_guard(since, until, meta, status, where))


def calls_of_guard(
    since: str | None, until: str | None, meta: list[str] | None, status: list[str] | None, where: str | None
) -> CallsOfGuard:
    """The same for a command that has a guard."""
    now = datetime.now()
    for each in status or ():
        if each not in STATUSES:
            raise UsageError(f"--status {each!r} is unknown. A status is one of: {', '.join(STATUSES)}.")
    return CallsOfGuard(
        since=parse_time(since, now) if since else None,
        until=parse_time(until, now, end_of_day=True) if until else None,
        meta=pairs(meta or (), "--meta"),
        status=status or [],
        where=where,
    )


def pairs(arguments: Sequence[str], option: str) -> dict[str, str]:
    """`["a=1", "b=x=y"]` as `{"a": "1", "b": "x=y"}`; UsageError names an argument without `=`, or a name used twice."""
    values: dict[str, str] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or not name:
            raise UsageError(f"{option} {argument!r}: expected NAME=VALUE.")
        if name in values:
            raise UsageError(f"{option} has {name!r} twice.")
        values[name] = value
    return values


# ------------------------------------------------------------------------------------------------- inputs

InputPairs = Annotated[
    list[str] | None,
    typer.Option(
        "--input", "-i", metavar="NAME=VALUE", help="An input. NAME=@FILE reads a file, NAME=- standard input."
    ),
]
InputsFile = Annotated[
    str | None, typer.Option("--inputs", metavar="FILE", help="All inputs as a JSON object; - reads standard input.")
]

INPUT_LIMIT_BYTES = 64 * 1024 * 1024
"""Of a file: far more than any model reads, and little enough to hold in memory."""


def inputs_of(arguments: Sequence[str], file: str | None) -> dict[str, Json]:
    """The inputs of a call: the JSON object of `file` (`-`: standard input), overridden by `NAME=VALUE` arguments."""
    base = _object_in(file) if file else {}
    return base | {name: _input(value) for name, value in pairs(arguments, "--input").items()}


def _input(value: str) -> str:
    if value == "-":
        return text_of(value)
    return text_of(value[1:]) if value.startswith("@") and len(value) > 1 else value


def _object_in(file: str) -> dict[str, Json]:
    where = "standard input" if file == "-" else f"file {file!r}"
    try:
        value = decode(text_of(file))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--inputs: {where} is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise UsageError(f"--inputs: expected an object with a key per input, got {type(value).__name__} in {where}.")
    return value


def text_of(file: str) -> str:
    """The UTF-8 text of a file, or of standard input (`-`)."""
    try:
        if file == "-":
            data = sys.stdin.buffer.read(INPUT_LIMIT_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(INPUT_LIMIT_BYTES + 1)
        if len(data) > INPUT_LIMIT_BYTES:
            raise UsageError(f"{file!r} is larger than {INPUT_LIMIT_BYTES // 1024 // 1024} MB.")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"file {file!r} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file!r} is not valid UTF-8: {error.reason} at byte {error.start}.") from None
