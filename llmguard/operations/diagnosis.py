"""What on this machine, and in a guard, will not work as expected: `llmguard doctor`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, TypeAlias

from llmguard.core.canonical import Json
from llmguard.core.errors import LLMGuardError, LogError, UsageError
from llmguard.core.model import Model, WrappedModel
from llmguard.core.redaction import redact_text
from llmguard.engine.ladder import ModelRung
from llmguard.guard.guard import Guard
from llmguard.guard.options import DEFAULT_LOG
from llmguard.log import locate
from llmguard.log.sqlite.database import has_wal_reset_bug, sqlite_version
from llmguard.models.local import LocalModelUnavailable, find_weights
from llmguard.models.openai.model import OpenAIModel
from llmguard.models.openai.strict_schema import build_server_schema
from llmguard.models.token_counts import counter
from llmguard.operations.find_guard import Target, find_guard

Level: TypeAlias = Literal["ok", "note", "bad"]

PACKAGES = ("openai", "pydantic", "jsonschema-rs", "orjson", "SQLAlchemy", "alembic", "jinja2", "tenacity", "tiktoken")
"""Dependencies whose version changes what llmguard does."""
OLDEST_PYTHON = (3, 11)
ENCODING_MODEL = "gpt-5"
"""Any model of the vocabulary that present OpenAI models use (o200k_base)."""
WAL_RESET_BUG = (
    "has the WAL-reset bug (3.7.0 to 3.51.2): with several processes writing one log, a checkpoint at the wrong moment"
    " can damage it. llmguard writes by one connection a process; with several processes, use a newer SQLite, or one log"
    " for each."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was examined. `bad`: it will not work; `note`: worth knowing."""

    level: Level
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, in the order in which they were made."""

    findings: tuple[Finding, ...]

    @property
    def is_ok(self) -> bool:
        return all(each.level != "bad" for each in self.findings)

    def to_json(self) -> dict[str, Json]:
        """What `llmguard doctor --json` prints."""
        findings = [{"level": each.level, "subject": each.subject, "said": each.text} for each in self.findings]
        return {"ok": self.is_ok, "findings": findings}


def diagnose(log_url: str = DEFAULT_LOG, target: Target | None = None) -> Diagnosis:
    """Examine this machine, the log, and a guard if one is named. A guard that cannot be loaded is a finding too.

    >>> diagnosis = diagnose("sqlite:///no such folder/llmguard.db")
    >>> diagnosis.is_ok, [finding.subject for finding in diagnosis.findings if finding.level == "bad"]
    (False, ['log'])
    """
    return Diagnosis((*examine_machine(log_url), *(_examine_target(target) if target else ())))


def _examine_target(target: Target) -> tuple[Finding, ...]:
    try:
        return examine_guard(find_guard(target))
    except LLMGuardError as error:
        return (Finding("bad", "guard", str(error)),)


def examine_machine(log_url: str = DEFAULT_LOG) -> tuple[Finding, ...]:
    """Python, packages, SQLite, the log, the API key, tiktoken's vocabulary and the local model. Changes nothing.

    >>> [finding.subject for finding in examine_machine()]
    ['python', 'packages', 'sqlite', 'log', 'key', 'tiktoken', 'local model']
    """
    return (
        _examine_python(),
        *_examine_packages(),
        _examine_sqlite(),
        _examine_log(log_url),
        _examine_key(),
        _examine_vocabulary(),
        _examine_local_model(),
    )


def examine_guard(guard: Guard[Json]) -> tuple[Finding, ...]:
    """What is valid in a guard, but may surprise its user.

    >>> from llmguard import Guard, constant
    >>> guard = Guard("ask", prompt="?", schema={"type": "integer"}, models=[], fallback=[constant(0)], log=None)
    >>> for finding in examine_guard(guard):
    ...     print(finding.level, finding.text)
    ok constant
    ok ends with a constant: guard(...) never raises
    """
    return tuple(Finding(level, f"guard {guard.name}", text) for level, text in _guard_findings(guard))


def _guard_findings(guard: Guard[Json]) -> Iterator[tuple[Level, str]]:
    policy = guard.policy
    yield "ok", " → ".join(rung.label for rung in policy.ladder)
    for warning in (*policy.schema.warnings, *policy.prompt.warnings):
        yield "note", warning
    for note in (each for rung in policy.ladder for each in rung.notes()):
        yield note.level, note.text
    yield from _sent_schemas(guard)
    for check in policy.effect_checks:
        if check.timeout_s is None:
            yield "note", f"check {check.name!r} asks the world and has no timeout_s"
    if policy.deadline_s is None:
        yield "note", "has no deadline_s: a call may take for ever"
    if ending := policy.ladder[-1].ending_note(bool(policy.checks)):
        yield ending.level, ending.text


def _sent_schemas(guard: Guard[Json]) -> Iterator[tuple[Level, str]]:
    """In which form each model of OpenAI's API gets the schema, and why not as strict."""
    sent = build_server_schema(guard.policy.output)
    for rung in guard.policy.ladder:
        model = _innermost(rung.model) if isinstance(rung, ModelRung) else None
        if isinstance(model, OpenAIModel):
            output = model.settings["output"]
            if output in ("prompted", "json_object"):
                yield "ok", f"{rung.label}: the schema is said in words, as output={output!r} asks"
            else:
                yield "ok" if sent.is_strict else "note", f"{rung.label}: the schema is {sent.summary}"


def _innermost(model: Model) -> Model:
    while isinstance(model, WrappedModel):
        model = model.inner
    return model


# ------------------------------------------------------------------------------------------------- the machine


def _examine_python() -> Finding:
    running = sys.version.split()[0]
    if sys.version_info < OLDEST_PYTHON:
        return Finding("bad", "python", f"{running}; llmguard needs 3.11 or later")
    return Finding("ok", "python", running)


def _examine_packages() -> Iterator[Finding]:
    installed, missing = [], []
    for name in PACKAGES:
        try:
            installed.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    yield Finding("ok", "packages", ", ".join(installed))
    if missing:
        yield Finding("bad", "packages", f"not installed: {', '.join(missing)}. pip install llmguard-framework")


def _examine_sqlite() -> Finding:
    if has_wal_reset_bug():
        return Finding("note", "sqlite", f"{sqlite_version()} {WAL_RESET_BUG}")
    return Finding("ok", "sqlite", sqlite_version())


def _examine_log(url: str) -> Finding:
    """Whether the log can be written, without creating one."""
    name = redact_text(url)
    try:
        return Finding("ok", "log", f"{name} {locate(url).check()}")
    except UsageError as error:
        return Finding("bad", "log", str(error))
    except LogError as error:
        return Finding("bad", "log", f"{name} {error}")


def _examine_key() -> Finding:
    base_url = os.environ.get("OPENAI_BASE_URL")
    server = f"; requests go to {redact_text(base_url)}" if base_url else ""
    if os.environ.get("OPENAI_API_KEY"):
        return Finding("ok", "key", f"OPENAI_API_KEY is set{server}")
    return Finding("note", "key", f"OPENAI_API_KEY is not set: OpenAIModel needs it, or api_key=, or client={server}")


def _examine_vocabulary() -> Finding:
    if counter(ENCODING_MODEL):
        return Finding("ok", "tiktoken", "its vocabulary is on this machine: token counts are exact")
    return Finding(
        "note",
        "tiktoken",
        "its vocabulary is not on this machine: token counts are estimates. `llmguard doctor --fetch-vocabulary`",
    )


def _examine_local_model() -> Finding:
    try:
        find_weights()
    except LocalModelUnavailable as error:
        return Finding("note", "local model", f"{error} Until then `llmguard demo` plays back recorded replies.")
    return Finding("ok", "local model", "installed; `llmguard demo` uses it")
