"""Case files on the disk: `<folder>/<guard>/<slug>.json`, read with bounds and written whole or not at all.

No name from a log or a file leads out of the folder: names are held to patterns, and a link that points elsewhere is not
followed.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from llmguard.core.errors import UsageError
from llmguard.replay.cases import MAX_CASE_BYTES, Case, case_from_text, case_text, refuse_names

CASES = Path("tests/cases")
"""Where `llmguard promote` writes, and where the pytest plugin looks, if nothing else is said."""


def read_case(path: Path) -> Case:
    """The case in a file; UsageError names the file and what is wrong with it.

    Content beyond the bound is not read; a device or pipe is not opened.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such case file.")
    try:
        with path.open("rb") as opened:
            text = opened.read(MAX_CASE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: it cannot be read ({error.strerror}).") from None
    return case_from_text(text, str(path))


def case_paths(folder: Path) -> Iterator[Path]:
    """The case files under a folder, sorted: `<guard>/<slug>.json`. Hidden ones, and what leads outside, are left out."""
    if not folder.is_dir():
        return
    inside = folder.resolve()
    for path in sorted(folder.glob("*/*.json")):
        hidden = path.name.startswith(".") or path.parent.name.startswith(".")
        if not hidden and path.is_file() and path.resolve().is_relative_to(inside):
            yield path


def case_path(folder: Path, guard: str, slug: str) -> Path:
    """Where a case belongs; UsageError where a name cannot be one, or the guard's folder is a link to another place."""
    refuse_names(guard, slug)
    path = folder / guard / f"{slug}.json"
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{path.parent} is a link that leads out of {folder}. Cases are written nowhere else.")
    return path


def write_case(folder: Path, case: Case, *, update: bool = False) -> Path:
    """Write a case and return its path. A case that is there already is replaced only with `update`.

    Raises:
        UsageError: it is there already, or cannot be written.
    """
    path = case_path(folder, case.guard, case.slug)
    text = case_text(case).encode()
    if len(text) > MAX_CASE_BYTES:
        raise UsageError(f"{path}: the case has {len(text):,} bytes, and a case file at most {MAX_CASE_BYTES:,}.")
    case_from_text(text, str(path))  # what could not be read back is not written
    if not update and path.is_symlink() | path.exists():
        raise UsageError(f"{path} is there already. Add --update to renew it, or --slug NAME to write another.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(path, text)
    except OSError as error:
        raise UsageError(f"{path}: it cannot be written ({error.strerror}).") from None
    return path


def _write_whole(path: Path, text: bytes) -> None:
    """Under another name first, so that no one ever reads half a case; a link at the path is replaced, not followed."""
    beside = path.with_name(f".{path.stem[:40]}-{secrets.token_hex(4)}.tmp")
    try:
        with beside.open("xb") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        beside.replace(path)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()
