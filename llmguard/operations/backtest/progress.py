"""The results of a backtest so far, in a file to which one line is added for each page: kill -9 costs a page at most.

The first line says what is replayed: guard, fingerprint, calls, and the moments that `--since 7d` and the like meant, so
that a backtest that is continued replays the same calls. A line is on the disk before the next page counts; one that was
half written is cut off. The whole report is added up from this file, so one that was interrupted five times and continued
says what one that ran through says.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from llmguard.core.canonical import Json, decode, encode
from llmguard.core.errors import LogError, UsageError
from llmguard.operations.backtest.replay_result import ReplayResult

VERSION = 1
"""Of the file's format."""
_BEGINNING = b'{"llmguard_replay":'


class Progress(Protocol):
    """Where the results of a backtest are collected."""

    @property
    def window(self) -> Json: ...
    def add(self, page: Iterable[ReplayResult]) -> None: ...
    def results(self) -> Iterator[ReplayResult]: ...
    def close(self, *, finished: bool) -> None: ...


class UnsavedProgress:
    """Results in memory, of a backtest that is not continued."""

    def __init__(self, window: Mapping[str, Json]) -> None:
        self.window: Json = dict(window)
        self._results: list[ReplayResult] = []

    def add(self, page: Iterable[ReplayResult]) -> None:
        self._results += page

    def results(self) -> Iterator[ReplayResult]:
        return iter(self._results)

    def close(self, *, finished: bool) -> None:
        pass


class ProgressFile:
    """The file of one backtest, open for adding to it; one process at a time."""

    def __init__(self, path: Path, header: Json, file: int) -> None:
        self.path, self.header, self._file = path, header, file

    @classmethod
    def open(
        cls, path: Path, key: Mapping[str, Json], window: Mapping[str, Json], *, restart: bool = False
    ) -> ProgressFile:
        """The file at `path`: continued where it has the same `key`, else emptied and begun with `window`.

        Raises:
            UsageError: it is another kind of file, or another process is adding to it.
            LogError: it cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LogError(f"the state of the replay, {str(path)!r}, cannot be written: {error.strerror}.") from None
        try:
            return cls._of(path, file, dict(key), dict(window), restart)
        except BaseException:
            os.close(file)
            raise

    @classmethod
    def _of(cls, path: Path, file: int, key: Json, window: Json, restart: bool) -> ProgressFile:
        _lock(file, path)
        header = _header(file, path)
        if not restart and header is not None and header["asked"] == key:
            os.truncate(file, _whole_bytes(file))
            return cls(path, header, file)
        progress = cls(path, {"llmguard_replay": VERSION, "asked": key, "window": window}, file)
        os.truncate(file, 0)
        progress._add(progress.header)
        return progress

    @property
    def window(self) -> Json:
        """Which calls are replayed, with the moments of the first run."""
        return self.header["window"]

    def add(self, page: Iterable[ReplayResult]) -> None:
        """On the disk when this returns."""
        self._add([each.to_json() for each in page])

    def _add(self, line: Json) -> None:
        text = encode(line) + b"\n"
        os.lseek(self._file, 0, os.SEEK_END)
        try:
            while text:
                text = text[os.write(self._file, text) :]
            os.fsync(self._file)
        except OSError as error:
            raise LogError(
                f"the state of the replay, {str(self.path)!r}, cannot be written: {error.strerror}. Make room, and run the"
                " command again: it goes on where it is."
            ) from None

    def results(self) -> Iterator[ReplayResult]:
        """All results so far, each call once."""
        previous = set[str]()
        with self.path.open("rb") as lines:
            next(lines, None)
            for line in lines:
                for data in decode(line):
                    if data["id"] not in previous:
                        previous.add(data["id"])
                        yield ReplayResult.from_json(data)

    def close(self, *, finished: bool) -> None:
        """A finished backtest leaves nothing behind."""
        if finished:
            self.path.unlink(missing_ok=True)
        os.close(self._file)


def _header(file: int, path: Path) -> Json:
    """The first line; None in a file that is empty, or was killed before it was written."""
    os.lseek(file, 0, os.SEEK_SET)
    with os.fdopen(os.dup(file), "rb") as lines:
        first = lines.readline()
    if not first.endswith(b"\n") and first[: len(_BEGINNING)] == _BEGINNING[: len(first)]:
        return None
    try:
        header = decode(first)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("llmguard_replay") != VERSION:
        raise UsageError(f"{str(path)!r} is not the state of a replay, and is left alone. Give --state another file.")
    return header


def _whole_bytes(file: int) -> int:
    """The length up to the first line that is not whole."""
    os.lseek(file, 0, os.SEEK_SET)
    length = 0
    with os.fdopen(os.dup(file), "rb") as lines:
        for line in lines:
            if not line.endswith(b"\n") or not _is_json(line):
                return length
            length += len(line)
    return length


def _is_json(line: bytes) -> bool:
    try:
        decode(line)
    except (ValueError, RecursionError):
        return False
    return True


def _lock(file: int, path: Path) -> None:
    """Until the process ends, however it ends. (Windows has no such lock: there the user has to keep them apart.)"""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UsageError(
            f"another process is running this replay ({str(path)!r}). Wait for it, or give --state another file."
        ) from None
