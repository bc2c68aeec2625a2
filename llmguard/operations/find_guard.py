"""The guard that a text names: `module:attribute`, or a folder with `prompts/` and `schemas/`."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmguard.core.canonical import Json, digest
from llmguard.core.errors import UsageError
from llmguard.engine.acceptance_policy import Acceptance
from llmguard.engine.ladder import LastGoodRung
from llmguard.engine.policy import describe_policy
from llmguard.guard.certificate_lookup import certificate_lookup
from llmguard.guard.discovery import guard_by_name
from llmguard.guard.guard import Guard
from llmguard.guard.options import DEFAULT_LOG
from llmguard.log import OutcomeStore, open_log
from llmguard.models.openai.model import OpenAIModel
from llmguard.operations.logs import existing_log

PROMPTS, SCHEMAS = "prompts", "schemas"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which guard is meant, as a text that another process understands too. `named`: `module:attribute`, or a folder, of
    which `name` chooses a guard and `model` is asked. `log` None: the guard's own, or the default."""

    named: str
    name: str | None = None
    model: str | None = None
    base_url: str | None = None
    log: str | None = None


def find_guard(target: Target) -> Guard[Json]:
    """The guard; UsageError says which guards there are instead."""
    folder, _, chosen = target.named.partition("#")
    if Path(folder).is_dir():
        return _of_folder(Path(folder), replace(target, name=target.name or chosen or None))
    if ":" not in target.named:
        raise UsageError(
            f"{target.named!r} is neither a folder nor module:attribute. Name a guard as `package.module:guard`, or give a"
            f" folder that holds {PROMPTS}/ and {SCHEMAS}/."
        )
    return _of_module(target)


def find_guard_and_log(target: Target, url: str | None) -> tuple[Guard[Json], OutcomeStore]:
    """The guard, and the log at `url`, else the guard's own, else the default one."""
    is_folder = ":" not in target.named
    guard = find_guard(replace(target, log=url) if is_folder else target)
    return guard, log_of(guard) if url is None else existing_log(url)


def log_of(guard: Guard[Any]) -> OutcomeStore:
    """A guard's own log if other processes can read it, else the default one; LogError where there is none."""
    return guard.log if guard.log.url is not None else existing_log(DEFAULT_LOG)


def openai_model(name: str, base_url: str | None) -> OpenAIModel:
    """The model, ready to be asked; UsageError where its key or the SDK is missing."""
    model = OpenAIModel(name, base_url=base_url)
    model.prepare()
    return model


# ------------------------------------------------------------------------------------------------- module:attribute


def _of_module(target: Target) -> Guard[Json]:
    for option, value in (("--name", target.name), ("--model", target.model), ("--base-url", target.base_url)):
        if value:
            raise UsageError(f"{option} is for a folder; the guard {target.named!r} has its own.")
    guard = guard_by_name(target.named, Path.cwd())
    return logging_to(guard, target.log) if target.log else guard


def logging_to(guard: Guard[Json], url: str) -> Guard[Json]:
    """The same guard, with the same fingerprint, and another log."""
    log = open_log(url)

    def lookup(name: str, inputs: Json, max_age_s: float) -> Json:
        return log.last_good(name, digest(inputs), time.time() - max_age_s)

    moved = copy.copy(guard)
    rungs = (replace(rung, lookup=lookup) if isinstance(rung, LastGoodRung) else rung for rung in guard.policy.ladder)
    moved.log, moved.policy = log, replace(guard.policy, ladder=tuple(rungs), accept=_looked_up_in(log, guard))
    log.guard(moved.fingerprint, moved.name, describe_policy(moved.policy))
    return moved


def _looked_up_in(log: OutcomeStore, guard: Guard[Json]) -> Acceptance | None:
    """What the guard promises, with the certificates of this log."""
    accept = guard.policy.accept
    if accept is None:
        return None
    lookup = certificate_lookup(log, guard.name, accept, accept.certificate_key(guard.policy.certified))
    return replace(accept, lookup=lookup)


# ------------------------------------------------------------------------------------------------- a folder


def _of_folder(folder: Path, target: Target) -> Guard[Json]:
    name = choose_guard(folder, target.name)
    if not target.model:
        raise UsageError(f"the guard {name!r} of folder {str(folder)!r} needs a model: add --model NAME.")
    return Guard(
        name,
        prompt=prompt_file(folder, name),
        schema=folder / SCHEMAS / f"{name}.json",
        models=[OpenAIModel(target.model, base_url=target.base_url)],
        log=target.log or DEFAULT_LOG,
    )


def prompt_file(folder: Path, name: str) -> Path:
    return folder / PROMPTS / f"{name}.prompty"


def choose_guard(folder: Path, name: str | None) -> str:
    """The name of a folder's guard: `name`, or that of the only one."""
    names = pairs_of(folder)
    if not names:
        raise UsageError(
            f"folder {str(folder)!r} holds no pair {PROMPTS}/NAME.prompty and {SCHEMAS}/NAME.json: such a pair is a guard."
        )
    if name is not None and name not in names:
        raise UsageError(f"folder {str(folder)!r} has no guard {name!r}. It has: {', '.join(names)}.")
    if name is None and len(names) > 1:
        raise UsageError(
            f"folder {str(folder)!r} has the guards {', '.join(names)}. Say which: {folder}#{names[0]}, or --name {names[0]}."
        )
    return name or names[0]


def pairs_of(folder: Path) -> list[str]:
    prompts = {path.stem for path in (folder / PROMPTS).glob("*.prompty")}
    return sorted(prompts & {path.stem for path in (folder / SCHEMAS).glob("*.json")})
