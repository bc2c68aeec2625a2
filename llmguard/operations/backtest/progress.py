"""What a replay has judged so far, in a file to which one line is added for each page: kill -9 costs a page at most.

The first line says what was asked: guard, fingerprint, calls, and the moments that `--since 7d` and the like stood for,
so that a replay that is continued looks at the same calls. A line is on the disk before the next page counts; one that
was half written is cut off. Everything a replay reports is added up from this file, so one that was ended five times
and continued says what one that ran through says.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from llmguard.core.canonical import Json, decode, encode
from llmguard.core.errors import LogError, UsageError
from llmguard.operations.backtest.backtesting import Rejudged

VERSION = 1
_BEGINNING = b'{"llmguard_replay":'
_FIELDS = tuple(Rejudged.__dataclass_fields__)
_DEFAULTS = {name: each.default for name, each in Rejudged.__dataclass_fields__.items()}


def judged_to_json(judged: Rejudged) -> Json:
    """Fields at their default are left out.

    >>> judged_to_json(Rejudged(id="1", started_at=0.5, kind="same", before="accepted", after="accepted"))
    {'id': '1', 'started_at': 0.5, 'kind': 'same', 'before': 'accepted', 'after': 'accepted'}
    """
    given = ((name, getattr(judged, name)) for name in _FIELDS)
    return {name: value for name, value in given if value != _DEFAULTS[name]}


def judged_from_json(data: Json) -> Rejudged:
    return Rejudged(**data)


class State:
    """The file of one replay, open for adding to it; one process at a time."""

    def __init__(self, path: Path, header: Json, file: int) -> None:
        self.path, self.header, self._file = path, header, file

    @classmethod
    def open(cls, path: Path, asked: Mapping[str, Json], window: Mapping[str, Json], *, restart: bool = False) -> State:
        """The state at `path`: continued where it is of the same `asked`, else begun anew, with today's `window`.

        Raises:
            UsageError: the file is none of a replay, or another process is adding to it.
            LogError: it cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LogError(f"the state of the replay, {str(path)!r}, cannot be written: {error.strerror}.") from None
        try:
            return cls._of(path, file, dict(asked), dict(window), restart)
        except BaseException:
            os.close(file)
            raise

    @classmethod
    def _of(cls, path: Path, file: int, asked: Json, window: Json, restart: bool) -> State:
        _lock(file, path)
        found = _header(file, path)
        if not restart and found is not None and found["asked"] == asked:
            os.truncate(file, _whole_bytes(file))
            return cls(path, found, file)
        state = cls(path, {"llmguard_replay": VERSION, "asked": asked, "window": window}, file)
        os.truncate(file, 0)
        state._add(state.header)
        return state

    @property
    def window(self) -> Json:
        """The moments that stand for what was asked: of the first run."""
        return self.header["window"]

    def add(self, page: Iterable[Rejudged]) -> None:
        """On the disk when this returns."""
        self._add([judged_to_json(each) for each in page])

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

    def judged(self) -> Iterator[Rejudged]:
        """Everything that was judged so far, each outcome once."""
        seen = set[str]()
        with self.path.open("rb") as lines:
            next(lines, None)
            for line in lines:
                for data in decode(line):
                    if data["id"] not in seen:
                        seen.add(data["id"])
                        yield judged_from_json(data)

    def close(self, *, finished: bool) -> None:
        """A finished replay leaves nothing behind."""
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
        found = decode(first)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("llmguard_replay") != VERSION:
        raise UsageError(f"{str(path)!r} is no state of a replay, and is left alone. Give --state another file.")
    return found


def _whole_bytes(file: int) -> int:
    """The length of what can be relied on: up to the first line that is not whole."""
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
    """Until the process ends, however it ends. (Windows has no such lock: there it is the user's to keep apart.)"""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UsageError(
            f"another process is at this replay now ({str(path)!r}). Wait for it, or give --state another file."
        ) from None
