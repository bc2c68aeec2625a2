"""New files in a folder: each is written under a temporary name, and all are renamed when all are on the disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from llmguard.core.errors import UsageError


class NewFiles:
    """Files by name in `folder`, which is created if it does not exist. After an exception nothing is left of them.

    A file that exists is a UsageError, at the beginning and again at the end, unless `force`.
    """

    def __init__(self, folder: Path, names: Sequence[str], *, force: bool = False) -> None:
        self._folder, self._names, self._force = folder, tuple(names), force
        self._open: dict[str, BinaryIO] = {}

    def __enter__(self) -> NewFiles:
        try:
            if self._folder.is_file():
                raise UsageError(f"{str(self._folder)!r} is a file. Give a folder, which may be a new one.")
            self._folder.mkdir(parents=True, exist_ok=True)
            self._refuse_existing()
            for name in self._names:
                self._open[name] = self._draft(name).open("xb")
        except OSError as error:
            self._discard()
            raise UsageError(f"folder {str(self._folder)!r} cannot be written: {error.strerror}.") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
        except OSError as full:
            raise UsageError(f"folder {str(self._folder)!r} cannot be written: {full.strerror}.") from None
        finally:
            self._discard()

    def write(self, name: str, line: bytes) -> None:
        self._open[name].write(line)

    def _finish(self) -> None:
        for opened in self._open.values():
            opened.flush()
            os.fsync(opened.fileno())
        self._refuse_existing()
        for name in self._names:
            self._draft(name).replace(self._folder / name)

    def _discard(self) -> None:
        for name, opened in self._open.items():
            opened.close()
            self._draft(name).unlink(missing_ok=True)

    def _refuse_existing(self) -> None:
        existing = [name for name in self._names if os.path.lexists(self._folder / name)]
        if existing and not self._force:
            raise UsageError(
                f"{str(self._folder / existing[0])!r} is there already. Add --force to replace it, or give another folder."
            )

    def _draft(self, name: str) -> Path:
        return self._folder / f".{name}.{os.getpid()}"
