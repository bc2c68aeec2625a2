"""`llmguard doctor`: what on this machine, and in a guard, will not work as hoped."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text

from llmguard.cli.arguments import LOG_URL, AsJson, BaseUrl, GuardName, LogUrl, Model
from llmguard.cli.terminal import NEGATIVE, columns, emit, say, styled
from llmguard.core.canonical import Json
from llmguard.core.errors import LLMGuardError, UsageError
from llmguard.core.redaction import redact_text
from llmguard.engine.ladder import ConstantRung, EscalateRung, FunctionRung, LastGoodRung, ModelRung
from llmguard.guard.guard import Guard
from llmguard.log.sqlite.database import has_wal_reset_bug, path_of, sqlite_version
from llmguard.models.local import LocalModelUnavailable, find_weights
from llmguard.models.token_counts import counter, fetch_vocabulary
from llmguard.operations.find_guard import Target, find_guard

Level = Literal["ok", "note", "bad"]
LEVEL_STYLES: dict[Level, str] = {"ok": "green", "note": "yellow", "bad": "bold red"}

PACKAGES = ("openai", "pydantic", "jsonschema-rs", "orjson", "SQLAlchemy", "alembic", "jinja2", "tenacity", "tiktoken")
OLDEST_PYTHON = (3, 11)
ENCODING_MODEL = "gpt-5"
WAL_RESET_BUG = (
    "has the WAL-reset bug (3.7.0 to 3.51.2): with several processes writing one log, a checkpoint at the wrong moment"
    " can damage it. llmguard writes by one connection a process; with several processes, use a newer SQLite, or one log"
    " for each."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `bad` makes the exit status 1; a `note` is worth knowing."""

    level: Level
    subject: str
    said: str


def doctor(
    target: Annotated[
        str | None, typer.Argument(help="A guard to look at as well.", metavar="[GUARD]", show_default=False)
    ] = None,
    log: LogUrl = LOG_URL,
    name: GuardName = None,
    model: Model = None,
    base_url: BaseUrl = None,
    fetch: Annotated[
        bool, typer.Option("--fetch-vocabulary", help="Fetch tiktoken's vocabulary from the web (3 MB).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look at versions, log, key and local model, and at a guard; exit status 1 if something is bad."""
    if fetch:
        fetch_vocabulary(ENCODING_MODEL)
    findings = [*of_python(), *of_packages(), of_sqlite(), of_log(log), of_key(), of_vocabulary(), of_local_model()]
    if target:
        findings += of_target(Target(named=target, name=name, model=model, base_url=base_url, log=None))
    if as_json:
        emit(_as_json(findings))
    else:
        _show(findings)
    if any(finding.level == "bad" for finding in findings):
        raise typer.Exit(NEGATIVE)


def _as_json(findings: list[Finding]) -> Json:
    found = [{"level": each.level, "subject": each.subject, "said": each.said} for each in findings]
    return {"ok": all(each.level != "bad" for each in findings), "findings": found}


def _show(findings: list[Finding]) -> None:
    table = columns("", "", "")
    table.show_header = False
    table.columns[2].overflow = "fold"
    for finding in findings:
        table.add_row(Text(finding.level, LEVEL_STYLES[finding.level]), styled(finding.subject), styled(finding.said))
    say(table)


# ------------------------------------------------------------------------------------------------- the machine


def of_python() -> Iterator[Finding]:
    said = sys.version.split()[0]
    if sys.version_info < OLDEST_PYTHON:
        yield Finding("bad", "python", f"{said}; llmguard needs 3.11 or later")
    else:
        yield Finding("ok", "python", said)


def of_packages() -> Iterator[Finding]:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    yield Finding("ok", "packages", ", ".join(found))
    if missing:
        yield Finding("bad", "packages", f"not installed: {', '.join(missing)}. pip install llmguard-framework")


def of_sqlite() -> Finding:
    if has_wal_reset_bug():
        return Finding("note", "sqlite", f"{sqlite_version()} {WAL_RESET_BUG}")
    return Finding("ok", "sqlite", sqlite_version())


def of_log(url: str) -> Finding:
    """Whether the log could be written, without making one."""
    shown = redact_text(url)
    try:
        path = path_of(url)
    except UsageError as error:
        return Finding("bad", "log", str(error))
    if not path.exists():
        folder = path.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            return Finding("bad", "log", f"{shown} cannot be made: folder {str(folder)!r} is missing or not writable")
        return Finding("ok", "log", f"{shown} is not there yet; the first guarded call makes it")
    return _try_to_write(path, shown)


def _try_to_write(path: Path, shown: str) -> Finding:
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=2)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        finally:
            connection.close()
    except sqlite3.Error as error:
        return Finding("bad", "log", f"{shown} cannot be written: {error}")
    return Finding("ok", "log", f"{shown} can be written ({path.stat().st_size / 1e6:,.1f} MB)")


def of_key() -> Finding:
    base = os.environ.get("OPENAI_BASE_URL")
    at = f"; requests go to {redact_text(base)}" if base else ""
    if os.environ.get("OPENAI_API_KEY"):
        return Finding("ok", "key", f"OPENAI_API_KEY is set{at}")
    return Finding("note", "key", f"OPENAI_API_KEY is not set: OpenAIModel needs it, or api_key=, or client={at}")


def of_vocabulary() -> Finding:
    if counter(ENCODING_MODEL):
        return Finding("ok", "tiktoken", "its vocabulary is here: token counts are exact")
    return Finding(
        "note",
        "tiktoken",
        "its vocabulary is not here: token counts are estimates. `llmguard doctor --fetch-vocabulary`",
    )


def of_local_model() -> Finding:
    try:
        find_weights()
    except LocalModelUnavailable as error:
        return Finding("note", "local model", f"{error} Until then `llmguard demo` plays back recorded replies.")
    return Finding("ok", "local model", "installed; `llmguard demo` uses it")


# ------------------------------------------------------------------------------------------------- a guard


def of_target(target: Target) -> Iterator[Finding]:
    try:
        guard = find_guard(target)
    except LLMGuardError as error:
        yield Finding("bad", "guard", str(error))
        return
    yield from of_guard(guard)


def of_guard(guard: Guard[Json]) -> Iterator[Finding]:
    """What a guard's builder accepts and its user may regret."""
    policy = guard.policy
    subject = f"guard {guard.name}"
    yield Finding("ok", subject, " → ".join(rung.label for rung in policy.ladder))
    for warning in (*policy.schema.warnings, *policy.prompt.warnings):
        yield Finding("note", subject, warning)
    for rung in policy.ladder:
        if isinstance(rung, FunctionRung) and rung.timeout_s is None:
            yield Finding(
                "note", subject, f"fallback {rung.name!r} has no timeout_s: it may run for ever, after the deadline too"
            )
    for check in policy.effect_checks:
        if check.timeout_s is None:
            yield Finding("note", subject, f"check {check.name!r} asks the world and has no timeout_s")
    if policy.deadline_s is None:
        yield Finding("note", subject, "has no deadline_s: a call may take for ever")
    yield from _of_ending(guard)


def _of_ending(guard: Guard[Json]) -> Iterator[Finding]:
    """How its ladder ends: only a valid constant never fails."""
    last = guard.policy.ladder[-1]
    subject = f"guard {guard.name}"
    if isinstance(last, ModelRung):
        yield Finding(
            "note", subject, "ends with a model: when no model can be trusted, guard(...) raises GuardRejected"
        )
    elif isinstance(last, EscalateRung):
        yield Finding("ok", subject, "ends with a person: guard(...) raises GuardRejected until there is an answer")
    elif isinstance(last, LastGoodRung):
        yield Finding(
            "note", subject, "ends with last_good: guard(...) raises GuardRejected for inputs never answered before"
        )
    elif isinstance(last, ConstantRung) and not guard.policy.checks:
        yield Finding("ok", subject, "ends with a constant: guard(...) never raises")
