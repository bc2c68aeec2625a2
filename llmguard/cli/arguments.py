"""What people type after a command into values: `name=value` pairs, inputs, and the options many commands share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from llmguard.core.canonical import Json, decode
from llmguard.core.errors import UsageError
from llmguard.guard.guard import DEFAULT_LOG
from llmguard.parsing.syntax.strict import NotStrict, load, violation

AsJson = Annotated[bool, typer.Option("--json", help="JSON for machines.")]
LogUrl = Annotated[str, typer.Option("--log", envvar="LLMGUARD_LOG", metavar="URL", help="Where the outcomes are.")]
LOG_URL = DEFAULT_LOG
Model = Annotated[str | None, typer.Option("--model", metavar="NAME", help="The model, where GUARD is a folder.")]
BaseUrl = Annotated[str | None, typer.Option("--base-url", metavar="URL", help="An OpenAI-compatible server.")]
GuardName = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Which guard of a folder.")]
InputPairs = Annotated[
    list[str] | None,
    typer.Option(
        "--input", "-i", metavar="NAME=VALUE", help="An input; NAME=@FILE reads a file, NAME=- standard input."
    ),
]

INPUT_LIMIT_BYTES = 64 * 1024 * 1024


def pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """`["a=1", "b=x=y"]` as `{"a": "1", "b": "x=y"}`; UsageError names what is no pair, or stands twice."""
    found: dict[str, str] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"{option} {pair!r} is no NAME=VALUE.")
        if name in found:
            raise UsageError(f"{option} gives {name!r} twice.")
        found[name] = value
    return found


def inputs_of(given: Sequence[str], file: str | None) -> dict[str, Json]:
    """The inputs of a call: a JSON object from `file` (`-`: standard input), and over it what stands in options."""
    base = _object_in(file) if file else {}
    return base | {name: _input(value) for name, value in pairs(given, "--input").items()}


def _input(value: str) -> str:
    if value == "-":
        return text_of(value)
    return text_of(value[1:]) if value.startswith("@") and len(value) > 1 else value


def _object_in(file: str) -> dict[str, Json]:
    where = "standard input" if file == "-" else f"file {file!r}"
    try:
        found = decode(text_of(file))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--inputs: {where} is no JSON: {error}.") from None
    if not isinstance(found, dict):
        raise UsageError(f"--inputs: {where} holds a {type(found).__name__}. Give one object with a key per input.")
    return found


def text_of(file: str) -> str:
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
        raise UsageError(f"{file!r} is no UTF-8 text: {error.reason} at byte {error.start}.") from None


def json_value(text: str, what: str) -> Json:
    """Strict JSON that a person gave; UsageError says what is wrong with it."""
    try:
        return load(text)
    except NotStrict as error:
        wrong = violation(error.rule, error.found)
        shown = f" ({error.found:.80})" if error.found else ""
        raise UsageError(f"{what}: {wrong.message}{shown}; expected {wrong.expected}.") from None
