"""Where a store is, by the URL of `log=`: one entry of `LOCATIONS` for each scheme.

Whoever opens, checks or compares stores by URL asks here, so that a new kind of store changes this table and nothing else.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from llmguard.core.errors import LogError, UsageError
from llmguard.core.redaction import redact_text
from llmguard.log.protocol import OutcomeStore
from llmguard.log.sqlite.database import path_of
from llmguard.log.sqlite.store import OutcomeLog

LOCK_TIMEOUT_S = 2.0
"""How long a check waits for a writer: longer than any commit takes, and short for a person who waits for the answer."""


class StoreLocation(Protocol):
    """A place where a store is, or may be. Two locations are equal where they are the same store."""

    def refuse_missing(self) -> None:
        """LogError where there is no store yet."""

    def open(self) -> OutcomeStore:
        """The store, made if it does not exist."""

    def check(self) -> str:
        """Whether a guard could write here, in one line, without creating anything; LogError where it could not."""


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """`sqlite:///FILE`."""

    path: Path
    url: str = field(compare=False)

    @classmethod
    def at(cls, url: str) -> SqliteFile:
        return cls(path_of(url).resolve(), url)

    def refuse_missing(self) -> None:
        name = redact_text(self.url)
        if self.path.is_dir():
            raise LogError(f"{name} is the folder {str(self.path)!r}. A log is a file: give --log sqlite:///FILE.")
        if not self.path.is_file():
            raise LogError(
                f"there is no log at {name} (file {str(self.path)!r}). The first guarded call makes it; to read another"
                " one, give --log URL or set LLMGUARD_LOG."
            )

    def open(self) -> OutcomeStore:
        return OutcomeLog.open(self.url)

    def check(self) -> str:
        if self.path.exists():
            return self._check_file()
        folder = self.path.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise LogError(f"cannot be made: folder {str(folder)!r} is missing or not writable")
        return "is not there yet; the first guarded call makes it"

    def _check_file(self) -> str:
        try:
            connection = sqlite3.connect(f"{self.path.as_uri()}?mode=rw", uri=True, timeout=LOCK_TIMEOUT_S)
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise LogError(f"cannot be written: {error}") from None
        return f"can be written ({self.path.stat().st_size / 1e6:,.1f} MB)"


LOCATIONS: Mapping[str, Callable[[str], StoreLocation]] = {"sqlite": SqliteFile.at}
"""By the scheme of the URL, without a driver: `sqlite` for `sqlite+pysqlite:///FILE`."""


def locate(url: str) -> StoreLocation:
    """The location at a URL; UsageError where it is not one of a known kind of store."""
    if not isinstance(url, str):
        raise UsageError(f"a log's URL is text such as 'sqlite:///llmguard.db', got {type(url).__name__}.")
    scheme = url.partition(":")[0].partition("+")[0]
    return LOCATIONS.get(scheme, SqliteFile.at)(url)  # its error names the URLs that work


def open_log(url: str) -> OutcomeStore:
    """The store at a URL, made if it does not exist. Calls whose process died are marked interrupted.

    Raises:
        UsageError: the URL is not understood.
        LogError: the store cannot be opened or written, or is none.
    """
    return locate(url).open()
