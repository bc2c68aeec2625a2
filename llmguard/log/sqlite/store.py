"""The outcome log in a SQLite file: what `OutcomeStore` says, by one writer for each file in a process."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from llmguard.certification.certificate import Certificate, StoredCertificate
from llmguard.core.canonical import Json, decode, encode
from llmguard.core.errors import LogError
from llmguard.core.messages import Usage
from llmguard.core.outcome import MODEL_STATUSES, Outcome
from llmguard.core.record import CallStart, Record, Step
from llmguard.core.redaction import redact
from llmguard.log.audits import FinishedCall
from llmguard.log.base_store import BaseStore, GoodCall
from llmguard.log.certificate_rows import certificate_values
from llmguard.log.positions import PagePosition
from llmguard.log.query import Query
from llmguard.log.review_store import AuditFilter, CallSummary
from llmguard.log.reviews import Review, review_values
from llmguard.log.rows import (
    RUNNING,
    Row,
    interrupted_call,
    opening_of,
    opening_values,
    outcome_values,
    record_of,
    row_of,
    searchable,
    step_of,
    step_values,
    unknown_opening_values,
)
from llmguard.log.sqlite.database import (
    Database,
    open_database,
    path_of,
)
from llmguard.log.sqlite.liveness import is_foreign, is_gone
from llmguard.log.sqlite.paging import positions_after, records_at
from llmguard.log.sqlite.query_clauses import clauses, newest_verdict
from llmguard.log.sqlite.review_queries import certificates_in, descriptions_in, finished_in, look_up, reviews_in
from llmguard.log.sqlite.statements import Statements, compile_statements
from llmguard.log.sqlite.tables import Tables, tables
from llmguard.log.sqlite.writer import Entry, Writer
from llmguard.log.stats import GuardStats, GuardTally, stats_by_name

if TYPE_CHECKING:
    import sqlalchemy as sa

MOST_TRIED = 20
"""Calls that `last_good` looks at: where people found so many wrong in a row, no older one is trusted."""

LAST_CHARACTER = "\U0010ffff"


class OutcomeLog(BaseStore):
    """The log at one URL. All logs of one file in one process share its one writing connection.

    `begin` and `step` return at once, and their rows are on the disk within 5 ms; `finish` returns when the outcome and
    everything before it is on the disk. If that fails, no call loses its value: the rows are kept and tried again, and
    there is a `LogWarning`.
    """

    def __init__(self, database: Database, statements: Statements, writer: Writer) -> None:
        self._database, self._statements, self._writer = database, statements, writer
        self._openings: dict[str, Entry] = {}
        self._guards: set[str] = set()

    @classmethod
    def open(cls, url: str) -> OutcomeLog:
        """The log at `sqlite:///FILE`, made if it does not exist. Calls whose process died are marked interrupted.

        Raises:
            UsageError: the URL is not of a SQLite file.
            LogError: the file cannot be opened or written, or is not a log.
        """
        log = _shared(path_of(url))
        log.mark_interrupted()
        return log

    @property
    def path(self) -> Path:
        return self._database.path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    # --------------------------------------------------------------------------------------------- writing

    def guard(self, fingerprint: str, name: str, description: Json) -> None:
        """Save once what decides the outcomes of this fingerprint, so that an old outcome can be explained."""
        if fingerprint not in self._guards:
            self._guards.add(fingerprint)
            values = (searchable(fingerprint), searchable(name), redact(encode(description)))
            self._writer.put(Entry(self._statements.guard, values))

    def begin(self, opening: CallStart) -> None:
        """Save the start. A call that is in the log already, interrupted or undecided, is taken over by this process."""
        entry = Entry(self._statements.begin, opening_values(opening, self._writer.owner))
        self._openings[opening.id] = entry
        self._writer.put(entry)

    def step(self, call_id: str, step: Step) -> None:
        """Save an answer when it arrives."""
        self._writer.put(Entry(self._statements.step, step_values(call_id, step, time.time_ns())))

    def finish(self, call_id: str, outcome: Outcome[Json], finished_at: float) -> None:
        """Save the outcome, which is on the disk when this returns."""
        self._writer.wait_for(self._ending(call_id, outcome, finished_at))

    async def afinish(self, call_id: str, outcome: Outcome[Json], finished_at: float) -> None:
        """`finish` without blocking the running event loop. If the caller is cancelled, the row is not lost."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()

        def on_written() -> None:
            try:
                loop.call_soon_threadsafe(_settle, written)
            except RuntimeError:  # the loop is closed, and no one waits any more
                return

        self._writer.put_urgently(self._ending(call_id, outcome, finished_at, on_written))
        await asyncio.shield(written)

    def feedback(self, call_id: str, key: str, value: Json, at: float) -> None:
        """Save a user's feedback about an outcome; the same key at another time is another row. On the disk on return.

        Raises:
            LogError: there is no such outcome.
        """
        if not self._has(call_id):
            raise self._unknown(call_id)
        values = (searchable(call_id), searchable(key), at, redact(encode(value)))
        self._writer.wait_for(Entry(self._statements.feedback, values, durable=True))

    def save_certificate(self, certificate: Certificate, at: float) -> None:
        """Save a certificate, on the disk on return; saved again, a suspended one stays suspended. `at`: now, in seconds since
        the epoch."""
        self._writer.wait_for(Entry(self._statements.certificate, certificate_values(certificate, at), durable=True))

    def suspend(self, certificate_id: str, at: float) -> bool:
        """No call is accepted under it from this return on. False where it is unknown, or suspended already."""
        with self._snapshot() as connection:
            stored = certificates_in(connection, tables().certificates.c.id == certificate_id)
        if not stored or stored[0].suspended_at is not None:
            return False
        self._writer.wait_for(Entry(self._statements.suspend, (at, certificate_id), durable=True))
        return True

    def _save_reviews(self, reviews: Sequence[Review]) -> None:
        entries = [Entry(self._statements.review, review_values(review), durable=True) for review in reviews]
        self._write_all(entries)

    def _write_all(self, entries: list[Entry]) -> None:
        """On the disk on return, in as few transactions as possible."""
        for entry in entries[:-1]:
            self._writer.put(entry)
        for entry in entries[-1:]:
            self._writer.wait_for(entry)

    def flush(self) -> bool:
        """Write what is queued; False where the log cannot be written now."""
        return self._writer.flush()

    def close(self) -> None:
        """Write what is queued and close the connection. The log opens again when it is used."""
        self._writer.close()

    def _ending(
        self, call_id: str, outcome: Outcome[Json], finished_at: float, on_written: Callable[[], object] | None = None
    ) -> Entry:
        opening = self._openings.pop(call_id, None)
        began = opening.values if opening else unknown_opening_values(call_id, outcome, finished_at, self._writer.owner)
        values = began + outcome_values(outcome, finished_at)
        return Entry(self._statements.finish, values, durable=True, opening=opening, on_written=on_written)

    # --------------------------------------------------------------------------------------------- reading

    def get(self, call_id: str) -> Record | None:
        """The whole record; `outcome` is None while the call runs. None for an unknown call."""
        made = tables()
        with self._snapshot() as connection:
            call = connection.execute(made.calls.select().where(made.calls.c.id == searchable(call_id))).one_or_none()
            if call is None:
                return None
            return record_of(call, _steps(connection, made, call.id), call.status is None and is_gone(call.owner))

    def ids(self, prefix: str, limit: int = 10) -> list[str]:
        """The ids that begin with `prefix`, for people who type the first digits."""
        import sqlalchemy as sa

        calls = tables().calls
        begin = searchable(prefix)
        within = calls.c.id.between(begin, begin + LAST_CHARACTER)  # uses an index, which LIKE does not
        select = sa.select(calls.c.id).where(within, calls.c.id.startswith(begin, autoescape=True))
        with self._snapshot() as connection:
            return list(connection.execute(select.order_by(calls.c.id).limit(limit)).scalars())

    def _find(self, query: Query, limit: int | None, newest_first: bool) -> list[Row]:
        calls = tables().calls
        with self._snapshot() as connection:
            status = _listed_status(calls, self._gone(connection))
            more = (status.label("listed_status"), newest_verdict(calls).label("review"))
            select = calls.select().add_columns(*more).where(*clauses(query, calls, status)).limit(limit)
            order = (calls.c.started_at, calls.c.id)
            rows = connection.execute(select.order_by(*(each.desc() if newest_first else each for each in order)))
            return [row_of(row) for row in rows]

    def _positions(self, query: Query, after: PagePosition | None, limit: int) -> list[PagePosition]:
        with self._snapshot() as connection:
            status = _listed_status(tables().calls, self._gone(connection))
            return positions_after(connection, query, status, after, limit)

    def records_of(self, ids: Sequence[str], *, evidence: bool = True) -> list[Record]:
        """The records with these ids, in their order, without unknown ids. Without `evidence` no reply has its `raw`
        body, and reading costs half as much."""
        with self._snapshot() as connection:
            return records_at(connection, ids, evidence=evidence)

    def _good_calls(self, guard: str, inputs_digest: str, not_before: float) -> list[GoodCall]:
        import sqlalchemy as sa

        calls = tables().calls
        select = (
            sa.select(calls.c.id, calls.c.outcome)
            .where(calls.c.guard == guard, calls.c.inputs_digest == inputs_digest)
            .where(calls.c.status.in_(MODEL_STATUSES), calls.c.started_at >= not_before)
            .order_by(calls.c.started_at.desc())
            .limit(MOST_TRIED)
        )
        with self._snapshot() as connection:
            return [GoodCall(row.id, partial(_value_in, row.outcome)) for row in connection.execute(select)]

    def _stats(self, query: Query) -> tuple[GuardStats, ...]:
        tallies: dict[str, GuardTally] = {}
        with self._snapshot() as connection:
            gone = self._gone(connection)
            for call in connection.execute(_calls_of(query, gone)):
                tally = tallies.setdefault(call.guard, GuardTally(call.guard))
                tally.call(call.listed_status, (call.failures or "").split(), call.duration_s)
            for use in connection.execute(_models_of(query, gone)):
                usage = Usage(input_tokens=use.input, output_tokens=use.output, estimated=bool(use.estimated))
                tallies[use.guard].use(use.model, use.requests, usage)
        return stats_by_name(tallies)

    def explain(self, fingerprint: str) -> Json:
        """`{"name": ..., "description": ...}` of the guard with this fingerprint; None for an unknown one."""
        guards = tables().guards
        with self._snapshot() as connection:
            row = connection.execute(guards.select().where(guards.c.fingerprint == fingerprint)).one_or_none()
        return None if row is None else {"name": row.name, "description": decode(row.description)}

    def feedback_of(self, call_id: str) -> list[Json]:
        """`{"key": ..., "value": ..., "at": ...}`, oldest first."""
        feedback = tables().feedback
        with self._snapshot() as connection:
            rows = connection.execute(
                feedback.select().where(feedback.c.call_id == searchable(call_id)).order_by(feedback.c.at)
            )
            return [{"key": row.key, "value": decode(row.value), "at": row.at} for row in rows]

    def certificates(self, guard: str, certified: str | None = None) -> list[StoredCertificate]:
        """A guard's certificates, the newest first; only those of one fingerprint where `certified` is given."""
        made = tables().certificates
        condition = made.c.guard == searchable(guard)
        if certified is not None:
            condition &= made.c.fingerprint == searchable(certified)
        with self._snapshot() as connection:
            return certificates_in(connection, condition)

    def _reviews(self, call_ids: Iterable[str]) -> list[Review]:
        with self._snapshot() as connection:
            return reviews_in(connection, call_ids)

    def _look_up(self, call_id: str) -> CallSummary | None:
        with self._snapshot() as connection:
            return look_up(connection, call_id)

    def _descriptions(self, guard: str) -> Mapping[str, Json]:
        with self._snapshot() as connection:
            return descriptions_in(connection, guard)

    def _finished(
        self, guard: str, fingerprints: Sequence[str] | None, since: float | None, which: AuditFilter
    ) -> list[FinishedCall]:
        with self._snapshot() as connection:
            return finished_in(connection, guard, fingerprints, since, which)

    def _unknown(self, call_id: str) -> LogError:
        return LogError(f"no call {call_id!r} in the log {str(self.path)!r}. `llmguard log list` shows the ids.")

    @cached_property
    def secret(self) -> bytes:
        """32 random bytes that were made with the log: they draw the audits."""
        import sqlalchemy as sa

        meta = tables().meta
        with self._snapshot() as connection:
            return bytes.fromhex(connection.execute(sa.select(meta.c.value).where(meta.c.key == "secret")).scalar_one())

    # --------------------------------------------------------------------------------------------- calls whose process is gone

    def mark_interrupted(self, *, foreign_before: float | None = None) -> int:
        """Give every undecided call whose process is gone the outcome `interrupted`, with the answers it paid for.

        `foreign_before`: also calls begun before this time by processes in another container, which cannot be seen from
        here. Returns how many calls were marked.
        """
        with self._snapshot() as connection:
            undecided = [row for row in _undecided(connection) if _is_over(row, foreign_before)]
            entries = [self._settlement(connection, row) for row in undecided]
        self._write_all(entries)
        return len(entries)

    def _settlement(self, connection: sa.Connection, call: Json) -> Entry:
        steps = [step_of(row) for row in _steps(connection, tables(), call.id)]
        values = outcome_values(interrupted_call(opening_of(call), steps), None)
        return Entry(self._statements.settle, (*values, call.id, call.owner), durable=True)

    def _gone(self, connection: sa.Connection) -> list[str]:
        """The owners of undecided calls that are gone, and whose calls are not marked yet."""
        import sqlalchemy as sa

        calls = tables().calls
        owners = connection.execute(sa.select(calls.c.owner).where(calls.c.status.is_(None)).distinct()).scalars()
        return [owner for owner in owners if is_gone(owner)]

    def _has(self, call_id: str) -> bool:
        import sqlalchemy as sa

        calls = tables().calls
        with self._snapshot() as connection:
            return (
                connection.execute(sa.select(calls.c.id).where(calls.c.id == searchable(call_id))).first() is not None
            )

    @contextmanager
    def _snapshot(self) -> Iterator[sa.Connection]:
        """A connection that reads all that this process has logged."""
        import sqlalchemy as sa

        self._writer.flush()
        with self._writer.read_lock:
            try:
                with self._database.snapshot() as connection:
                    yield connection
            except sa.exc.DBAPIError as error:
                raise LogError(
                    f"the log {str(self.path)!r} cannot be read: {error.orig}. See that the file is there, whole, and yours to"
                    " read; `llmguard doctor` looks at it."
                ) from error


def _settle(written: asyncio.Future[None]) -> None:
    if not written.done():
        written.set_result(None)


def _value_in(outcome: bytes) -> Json:
    return decode(outcome).get("json")


def _listed_status(calls: sa.Table, gone: list[str]) -> sa.ColumnElement[str]:
    """The status as lists show it."""
    import sqlalchemy as sa

    return sa.case(
        (calls.c.status.is_not(None), calls.c.status),
        (calls.c.owner.in_(gone), sa.literal("interrupted")),
        else_=sa.literal(RUNNING),
    )


def _steps(connection: sa.Connection, made: Tables, call_id: str) -> list[Json]:
    steps = made.steps
    return list(connection.execute(steps.select().where(steps.c.call_id == call_id).order_by(steps.c.seq)))


def _undecided(connection: sa.Connection) -> list[Json]:
    calls = tables().calls
    return list(connection.execute(calls.select().where(calls.c.status.is_(None))))


def _is_over(call: Json, foreign_before: float | None) -> bool:
    if foreign_before is not None and is_foreign(call.owner):
        return bool(call.started_at < foreign_before)
    return is_gone(call.owner)


def _calls_of(query: Query, gone: list[str]) -> sa.Select[Json]:
    import sqlalchemy as sa

    calls = tables().calls
    status = _listed_status(calls, gone)
    duration_s = (calls.c.finished_at - calls.c.started_at).label("duration_s")
    select = sa.select(calls.c.guard, status.label("listed_status"), calls.c.failures, duration_s)
    return select.where(*clauses(query, calls, status))


def _models_of(query: Query, gone: list[str]) -> sa.Select[Json]:
    """Requests and tokens by guard and model, from the answers."""
    import sqlalchemy as sa

    made = tables()
    calls, steps = made.calls, made.steps
    sums = (
        sa.func.count().label("requests"),
        sa.func.sum(steps.c.input_tokens).label("input"),
        sa.func.sum(steps.c.output_tokens).label("output"),
        sa.func.max(steps.c.estimated).label("estimated"),
    )
    return (
        sa.select(calls.c.guard, steps.c.model, *sums)
        .join(steps, steps.c.call_id == calls.c.id)
        .where(steps.c.kind.in_(("reply", "failure")), *clauses(query, calls, _listed_status(calls, gone)))
        .group_by(calls.c.guard, steps.c.model)
    )


# ------------------------------------------------------------------------------------------------- one writer a process

_writers: dict[Path, tuple[Database, Statements, Writer]] = {}
_lock = threading.Lock()


def _shared(path: Path) -> OutcomeLog:
    """The log of a file, with the one writer of that file in this process."""
    with _lock:
        real = Path(os.path.realpath(path))
        shared = _writers.get(real)
        if shared is None or not shared[2].is_connected:
            database = open_database(real)
            statements = compile_statements(database.engine.dialect)
            shared = _writers[real] = shared or (database, statements, Writer(database, statements))
    return OutcomeLog(*shared)


def _forget() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    # No fork while a database is being opened: the child would inherit a half-made state of SQLite.
    os.register_at_fork(
        before=lambda: _lock.acquire(),
        after_in_parent=lambda: _lock.release(),
        after_in_child=_forget,
    )
