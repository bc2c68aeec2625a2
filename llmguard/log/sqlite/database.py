"""The database of a log: its address, its tables brought up to date, and connections to it.

A new database is made from `tables()` and marked with the newest revision, without Alembic, whose import costs more than a
hundred calls. Alembic runs only on an older database. A test asserts that both ways give the same schema.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from llmguard.core.canonical import Json
from llmguard.core.errors import LogError, UsageError
from llmguard.core.redaction import redact_text
from llmguard.log.rows import Values
from llmguard.log.sqlite.tables import tables

if TYPE_CHECKING:
    import sqlalchemy as sa

REVISIONS = ("0001", "0002")
"""The migrations, oldest first; `tables()` makes the last one."""

BUSY_S = 5.0
"""Seconds to wait for another process that is writing; it writes a batch in milliseconds."""

CHECKPOINT_PAGES = 4_000
"""Pages of 4 KB in the write-ahead log before they go to the database; SQLite's 1,000 cost 10 µs more per call."""

VERSION_TABLE = (
    "CREATE TABLE alembic_version"
    " (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)
"""As Alembic makes it."""

MIGRATIONS = Path(__file__).parent / "migrations"


class Connection(Protocol):
    """What the hot path needs of a driver: sqlite3's connection has it, and psycopg's too."""

    def execute(self, sql: str, values: Values = ..., /) -> Json: ...
    def executescript(self, sql: str, /) -> Json: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...


def path_of(url: str) -> Path:
    """The file of a log's URL, made absolute, so that a change of folder does not move the log.

    Raises:
        UsageError: it is not a URL, or not of a SQLite file.
    """
    import sqlalchemy as sa

    displayed = redact_text(url)
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise UsageError(
            f"log URL {displayed!r} is not understood. Write sqlite:///llmguard.db, or sqlite:////var/log/llmguard.db."
        ) from None
    if parsed.get_backend_name() != "sqlite" or parsed.get_driver_name() != "pysqlite":
        raise UsageError(
            f"log URL {displayed!r} is of {parsed.drivername!r}. This version logs to SQLite: sqlite:///FILE."
        )
    if not parsed.database or parsed.database == ":memory:":
        raise UsageError(
            f"log URL {displayed!r} names no file. Write sqlite:///llmguard.db, or give log=None for memory."
        )
    if parsed.query or parsed.database.startswith("file:") or "\0" in parsed.database:
        raise UsageError(f"log URL {displayed!r} has parameters, which the log sets itself. Write sqlite:///FILE.")
    return Path(os.path.abspath(parsed.database))


@dataclass(frozen=True, slots=True)
class Database:
    """One SQLite file with the tables of the newest revision."""

    path: Path
    file: str
    """The same as text, which is asked of the system at every commit."""
    engine: sa.Engine

    def writer_connection(self) -> Connection:
        """A new connection, for the writer."""
        pooled = self.engine.raw_connection()
        connection = cast(Connection, pooled.driver_connection)
        pooled.detach()
        return connection

    def set_durable(self, connection: Connection, durable: bool) -> None:
        """Whether the next commits wait for the disk. As a script: statements that are already prepared would ignore it."""
        connection.executescript(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """A connection that reads one state of the log."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA query_only=ON")
            connection.exec_driver_sql("BEGIN")
            try:
                yield connection
            finally:
                connection.exec_driver_sql("ROLLBACK")

    def identity(self) -> tuple[int, int] | None:
        """Device and inode of the file that is at the path now; None where there is none."""
        try:
            status = os.stat(self.file)
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino


def open_database(path: Path) -> Database:
    """The database at `path`, made if there is none, brought up to date if it is older.

    Raises:
        LogError: it cannot be opened or written, is not a log, or is the log of a newer llmguard.
    """
    import sqlalchemy as sa

    database = Database(path, str(path), _engine(path))
    try:
        with database.engine.connect() as connection:
            _set_wal(connection)
            revision = _made_or_found(connection, path)
        if revision != REVISIONS[-1]:
            _upgrade(database)
    except (sa.exc.DBAPIError, OSError) as error:
        raise LogError(_unopenable(path, error)) from error
    return database


def _engine(path: Path) -> sa.Engine:
    import sqlalchemy as sa

    url = sa.URL.create("sqlite", database=str(path))
    # The driver begins no transaction by itself: a deferred BEGIN that turns into a write is "locked" at once.
    options = {"isolation_level": None, "check_same_thread": False, "timeout": BUSY_S}
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool, connect_args=options)
    sa.event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")


def _set_wal(connection: sa.Connection) -> None:
    """SQLite does not wait here for another process that switches too, so it is tried again."""
    import sqlalchemy as sa

    until = time.monotonic() + BUSY_S
    while True:
        try:
            journal_mode = connection.exec_driver_sql("PRAGMA journal_mode=WAL").scalar_one()
            break
        except sa.exc.OperationalError as error:
            if "locked" not in str(error.orig) or time.monotonic() > until:
                raise
            time.sleep(0.01)
    if journal_mode != "wal":
        raise OSError(f"its file system cannot share memory between processes (journal mode {journal_mode!r})")


def _made_or_found(connection: sa.Connection, path: Path) -> str:
    """The revision of the tables, made in the same transaction where there are none."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        names = set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())
        revision = _make(connection) if not names else _revision(connection, names, path)
        connection.exec_driver_sql("COMMIT")
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    return revision


def _make(connection: sa.Connection) -> str:
    made = tables()
    made.metadata.create_all(connection, checkfirst=False)
    connection.exec_driver_sql(VERSION_TABLE)
    connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (REVISIONS[-1],))
    connection.execute(made.meta.insert().values(key="secret", value=secrets.token_hex(32)))
    return REVISIONS[-1]


def _revision(connection: sa.Connection, names: set[str], path: Path) -> str:
    if not {"alembic_version", "calls", "steps"} <= names:
        first_names = ", ".join(sorted(names)[:4])
        raise LogError(
            f"{str(path)!r} is not a log: it holds the tables {first_names}. Give the log a file of its own."
        )
    revision = str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none())
    if revision not in REVISIONS:
        raise LogError(
            f"the log {str(path)!r} has revision {revision}; this llmguard knows revisions up to {REVISIONS[-1]}."
            " A newer llmguard made it: use that one, or another file."
        )
    return revision


def _upgrade(database: Database) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["engine"] = database.engine
    command.upgrade(config, "head")


def _unopenable(path: Path, error: Exception) -> str:
    reason = str(getattr(error, "orig", None) or error)
    return f"the log {str(path)!r} cannot be opened for writing: {reason}. {_remedy(path, reason)}"


def _remedy(path: Path, reason: str) -> str:
    if not path.parent.is_dir():
        return f"Make the folder {str(path.parent)!r}, or give another file."
    if "not a database" in reason or "malformed" in reason:
        return "Move the file away, and a new log is made in its place; `sqlite3 FILE .recover` may save its rows."
    if "locked" in reason:
        return "Another program holds it: end that, or give another file."
    if "full" in reason or "No space" in reason:
        return "Make room on the disk, or give a file on another one."
    return "See that file and folder are yours to write and on a local disk, or give another file."


def sqlite_version() -> str:
    return sqlite3.sqlite_version


def has_wal_reset_bug(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> bool:
    """Whether this SQLite may damage a database that two connections write (https://sqlite.org/wal.html#walresetbug).

    >>> has_wal_reset_bug((3, 51, 2)), has_wal_reset_bug((3, 51, 3)), has_wal_reset_bug((3, 50, 7))
    (True, False, False)
    """
    backported = any(version[:2] == fixed[:2] and version >= fixed for fixed in ((3, 44, 6), (3, 50, 7)))
    return (3, 7, 0) <= version < (3, 51, 3) and not backported
