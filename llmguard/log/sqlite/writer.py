"""Rows to the database by one connection a process, several at a time; no call is acknowledged before its commit.

A thread that waits for an outcome writes it, and all that is queued, in one transaction: in single-threaded use there is no
thread switch. While one thread writes, the outcomes of others are written by the writer's thread, in one transaction.
That daemon thread also writes what coroutines await, and, LINGER_S after they were queued, the starts and answers that no
one waits for. Their commit does not wait for the disk either: it survives the end of the process, though not of the
machine, and reaches the disk with the next outcome.

What cannot be written stays in the queue, in order, and is tried again; a warning is given once, each time this begins.
Rows may be written twice (a commit that Ctrl-C interrupted, a repeated try): every statement then has the same effect.

Before a fork the write lock is taken and the connection is closed, so that the child inherits no transaction, no
connection, and no file lock that SQLite believes to hold and the child does not
(https://sqlite.org/howtocorrupt.html, 2.6). The child drops the queue, which is its parent's, and opens a connection of
its own when it has something to write.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial

from llmguard.log.rows import Values
from llmguard.log.sqlite.database import Connection, Database, open_database
from llmguard.log.sqlite.liveness import this_process
from llmguard.log.sqlite.statements import Statements

LINGER_S = 0.004
"""How long a start or an answer may wait to be written with others; with the commit it stays under 5 ms."""
BATCH = 2_000
"""Rows of one transaction: it takes milliseconds, so that other processes need not wait long."""
RETRY_S = 1.0
"""Between two tries while the log cannot be written. Calls that finish meanwhile do not wait."""

logger = logging.getLogger("llmguard")


class LogWarning(UserWarning):
    """The log cannot be written at the moment. Calls continue; their outcomes are kept in memory."""


class Entry:
    """One row to write. `opening` is, for an outcome, the entry of the call's start: if both are written at once, they are
    one row. `durable`: its commit waits for the disk. `on_written` is called, in any thread and perhaps twice, when the
    row is on the disk or cannot be written now."""

    __slots__ = ("at", "done", "durable", "on_written", "opening", "sql", "values")

    def __init__(
        self,
        sql: str,
        values: Values,
        *,
        durable: bool = False,
        opening: Entry | None = None,
        on_written: Callable[[], object] | None = None,
    ) -> None:
        self.sql, self.values, self.durable, self.opening, self.on_written = sql, values, durable, opening, on_written
        self.at = time.monotonic()
        self.done = False


class Writer:
    """The queue of one database, and how it is written. Readers hold `read_lock`, so that no fork happens meanwhile."""

    def __init__(self, database: Database, statements: Statements) -> None:
        self.database, self.statements = database, statements
        self._begin_process()
        _writers.add(self)

    def _begin_process(self) -> None:
        """The state at the start of a process, also of a forked one."""
        self.owner = this_process()
        self.write_lock, self.read_lock, self._starting = threading.Lock(), threading.Lock(), threading.Lock()
        self._entries: deque[Entry] = deque()
        self._awaited: deque[Entry] = deque()
        self._connection: Connection | None = None
        self._file = (0, 0)
        self._durable = True
        self._suspect = self._failing = False
        self._retry_at = 0.0
        self._notices: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None
        self._wakeup = threading.Lock()
        self._wakeup.acquire()
        self._asleep = self._urgent = self._closing = False

    # --------------------------------------------------------------------------------------------- from any thread

    def put(self, entry: Entry) -> None:
        """Have it written soon; no one waits."""
        self._entries.append(entry)
        if self._asleep or self._thread is None:
            self._wake()

    def put_urgently(self, entry: Entry) -> None:
        """Have it written at once, in the writer's thread, which then calls `entry.on_written`."""
        self._awaited.append(entry)
        self._entries.append(entry)
        if self._failing:
            self._release_waiters()
        self._urgent = True
        self._wake()

    def wait_for(self, entry: Entry) -> None:
        """Returns when the row is on the disk, or the log cannot be written now."""
        if self.write_lock.locked():
            written = threading.Lock()
            written.acquire()
            entry.on_written = partial(_open, written)
            self.put_urgently(entry)
            written.acquire()
            return
        self._entries.append(entry)
        try:
            self._write_until(entry)
        finally:
            if not entry.done:  # a failing disk, or Ctrl-C: the writer's thread continues
                self._wake()
            if self._notices:
                self._give_notices()

    def flush(self) -> bool:
        """Whether everything that was queued is on the disk."""
        try:
            last = self._entries[-1]
        except IndexError:
            return True
        self._write_until(last)
        self._give_notices()
        return last.done

    def _write_until(self, entry: Entry) -> None:
        if not self._failing:  # else the lock may be held while another process is waited for
            with self.write_lock:
                while not entry.done and not self._failing and self._commit():
                    pass

    def close(self) -> None:
        """A last try to write what is queued; then thread and connection end. A later row starts them again."""
        with self.write_lock:
            self._retry_at = 0.0
            while self._entries and self._commit():
                pass
            self._disconnect()
        self._give_notices()
        if self._thread is not None:
            self._closing = True
            self._wake()

    @property
    def is_connected(self) -> bool:
        """Whether the file that was opened is still there, and in use."""
        return self._connection is not None and self.database.identity() == self._file

    @property
    def pending(self) -> int:
        """Rows that are not on the disk yet."""
        return len(self._entries)

    # --------------------------------------------------------------------------------------------- under the write lock

    def _commit(self) -> bool:
        """Write the next batch; False where there is none, or it cannot be written now."""
        entries = [self._entries[number] for number in range(min(len(self._entries), BATCH))]
        if not entries or (self._failing and time.monotonic() < self._retry_at):
            return False
        try:
            self._write(self._connected(), entries)
        except Exception as error:
            return self._handle_error(error, entries)
        except BaseException:
            self._roll_back()
            raise
        self._written(entries)
        return True

    def _write(self, connection: Connection, entries: list[Entry]) -> None:
        durable = any(entry.durable for entry in entries)
        if durable != self._durable:
            self.database.set_durable(connection, durable)
            self._durable = durable
        execute = connection.execute
        execute("BEGIN IMMEDIATE")
        whole = {id(entry.opening) for entry in entries if entry.opening is not None and not entry.opening.done}
        for entry in entries:
            if id(entry.opening) in whole:
                execute(self.statements.whole, entry.values)
            elif id(entry) not in whole:
                execute(entry.sql, entry.values)
        execute("COMMIT")

    def _written(self, entries: list[Entry]) -> None:
        for entry in entries:
            entry.done = True
            if entry.on_written is not None:
                entry.on_written()
            self._entries.popleft()
        try:
            while self._awaited[0].done:
                self._awaited.popleft()
        except IndexError:
            pass
        if self._failing:
            self._failing = False
            self._notices.append(partial(logger.warning, "the log %s is written again", self.database.path))

    def _handle_error(self, error: Exception, entries: list[Entry]) -> bool:
        """After an error; whether something was written nevertheless."""
        self._roll_back()
        if _is_fault_of_a_row(error):
            return self._write_one_by_one(entries)
        self._disconnect()
        self._suspect = True
        self._retry_at = time.monotonic() + RETRY_S
        if not self._failing:
            self._failing = True
            self._notices.append(partial(self._warn_failing, error))
        self._release_waiters()
        return False

    def _write_one_by_one(self, entries: list[Entry]) -> bool:
        """One of them can never be written. It is left out, so that it does not block the others."""
        for entry in entries:
            try:
                self._write(self._connected(), [entry])
            except Exception as error:
                if not _is_fault_of_a_row(error):
                    return self._handle_error(error, [])
                self._roll_back()
                self._notices.append(partial(_warn_left_out, entry, error))
            self._written([entry])
        return True

    def _release_waiters(self) -> None:
        """No one waits while the log cannot be written."""
        while self._awaited:
            try:
                entry = self._awaited.popleft()
            except IndexError:  # another thread released it
                return
            if entry.on_written is not None:
                entry.on_written()

    def _roll_back(self) -> None:
        try:
            if self._connection is not None:
                self._connection.rollback()
        except Exception as error:
            logger.debug("rolling back: %s", error)

    def _connected(self) -> Connection:
        """The connection; a new one, to new tables if needed, where the file is no longer the one that was opened."""
        if self._connection is not None:
            if self.database.identity() == self._file:
                return self._connection
            self._disconnect()
            self._notices.append(self._warn_replaced)
            self._suspect = True
        if self._suspect or self.database.identity() is None:
            open_database(self.database.path)
            self._suspect = False
        self._connection, self._durable = self.database.writer_connection(), True
        self._file = self.database.identity() or (0, 0)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.close()
        except Exception as error:
            logger.debug("closing the log: %s", error)

    # --------------------------------------------------------------------------------------------- warnings

    def _give_notices(self) -> None:
        """Outside the write lock: a warning may be raised as an error, and a logging handler may do anything."""
        while self._notices:
            try:
                notice = self._notices.popleft()
            except IndexError:  # another thread gave it
                return
            notice()

    def _warn_failing(self, error: Exception) -> None:
        reason = str(error).rstrip(".")
        _warn(
            f"the log {str(self.database.path)!r} cannot be written: {reason}. Calls go on; their outcomes are kept in memory and"
            " tried again every second, and are lost if this process ends before. See to disk and permissions."
        )

    def _warn_replaced(self) -> None:
        path = str(self.database.path)
        _warn(f"the log {path!r} was removed or replaced while in use: earlier outcomes are not in it any more.")

    # --------------------------------------------------------------------------------------------- the writer's thread

    def _wake(self) -> None:
        self._asleep = False
        if self._thread is None:
            self._start()
        _open(self._wakeup)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._serve, daemon=True, name="llmguard-log")
                try:
                    thread.start()
                except RuntimeError:  # the interpreter ends, or no thread is left: finishing threads write
                    return
                self._thread = thread

    def _serve(self) -> None:
        while not self._may_end():
            self._asleep = True
            if not self._entries:
                self._wakeup.acquire()
            self._asleep = False
            try:
                self._serve_once()
            except BaseException:
                logger.exception("the log's writer goes on after an error")
                time.sleep(RETRY_S)

    def _may_end(self) -> bool:
        """After `close`. A row that comes at the same moment starts another thread."""
        if not self._closing or self._entries:
            return False
        self._closing, self._thread = False, None
        if self._entries:
            self._wake()
        return True

    def _serve_once(self) -> None:
        """Until the queue is empty."""
        while self._entries:
            pause = self._pause()
            if pause > 0 and not self._urgent:
                self._wakeup.acquire(timeout=pause)
                continue
            self._urgent = False
            with self.write_lock:
                self._commit()
            self._give_notices()

    def _pause(self) -> float:
        """Seconds until the oldest entry is due."""
        try:
            due = self._retry_at if self._failing else self._entries[0].at + LINGER_S
        except IndexError:
            return 0.0
        return due - time.monotonic()

    # --------------------------------------------------------------------------------------------- fork

    def before_fork(self) -> None:
        self.write_lock.acquire()
        self.read_lock.acquire()
        self._disconnect()

    def after_fork_in_parent(self) -> None:
        self.read_lock.release()
        self.write_lock.release()

    def after_fork_in_child(self) -> None:
        _inherited.append(self._connection)
        self._begin_process()


def _open(lock: threading.Lock) -> None:
    """Releases a lock that someone waits for; an open lock stays open."""
    try:
        lock.release()
    except RuntimeError:
        return


def _is_fault_of_a_row(error: Exception) -> bool:
    """Whether the row itself cannot be written, whatever the state of disk and database."""
    if isinstance(error, OverflowError | TypeError | ValueError):
        return True
    return type(error).__name__ in ("IntegrityError", "DataError", "ProgrammingError", "InterfaceError")


def _warn_left_out(entry: Entry, error: Exception) -> None:
    _warn(f"a row of call {entry.values[0]!r} can never be written and is left out of the log: {error}")


def _warn(message: str) -> None:
    logger.error(message)
    try:
        warnings.warn(message, LogWarning, stacklevel=2)
    except LogWarning:  # warnings are errors here, and no call may lose its value for that
        return


_writers: weakref.WeakSet[Writer] = weakref.WeakSet()
_held: list[Writer] = []
_inherited: list[Connection | None] = []
"""Connections of a parent that forked without the hooks below (uWSGI): never used, and never closed."""


def _before_fork() -> None:
    for writer in list(_writers):
        writer.before_fork()
        _held.append(writer)


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().after_fork_in_parent()


def _after_fork_in_child() -> None:
    _held.clear()
    for writer in list(_writers):
        writer.after_fork_in_child()


def _close_all() -> None:
    for writer in list(_writers):
        writer.close()
        if writer.pending:
            logger.error(
                "%s rows of the log %s are lost: it could not be written", writer.pending, writer.database.path
            )


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
atexit.register(_close_all)
