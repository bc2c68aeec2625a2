"""The statements of the hot path, compiled once from Core to the SQL of one dialect.

Each may be executed twice with the effect of once, so that a row that may be on the disk already can be written again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmguard.log.sqlite.tables import CERTIFICATE, OPENING, OUTCOME, REVIEW, STEP, tables

if TYPE_CHECKING:
    import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class Statements:
    """SQL with positional parameters, in the order of the columns named."""

    begin: str
    """OPENING. A call that is there already is taken over by the process that resumes it."""
    finish: str
    """OPENING, OUTCOME: of a call that began before; its opening is used only if there is none."""
    whole: str
    """OPENING, OUTCOME: of a call that was not written before."""
    step: str
    """STEP. A later answer at the same address, of a resumed call, replaces the first."""
    guard: str
    """fingerprint, name, description."""
    feedback: str
    """call_id, key, at, value."""
    review: str
    """REVIEW."""
    certificate: str
    """CERTIFICATE. One that is there already, perhaps suspended, stays as it is."""
    suspend: str
    """suspended_at, then the certificate's id. The first time is kept."""
    settle: str
    """OUTCOME, then id and owner: of a call whose process is gone."""


def compile_statements(sql_dialect: sa.Dialect) -> Statements:
    import sqlalchemy as sa

    made = tables()
    calls = made.calls
    interrupted = calls.c.status == sa.literal_column("'interrupted'")
    undecided = {
        name: sa.case((interrupted, sa.null()), else_=calls.c[name]) for name in ("status", "finished_at", "outcome")
    }
    settle = (
        sa.update(calls)
        .where(calls.c.id == sa.bindparam("of_id"), calls.c.owner == sa.bindparam("of_owner"), calls.c.status.is_(None))
        .values({name: sa.bindparam(name) for name in OUTCOME})
    )
    certificates = made.certificates
    suspend = (
        sa.update(certificates)
        .where(certificates.c.id == sa.bindparam("of_id"), certificates.c.suspended_at.is_(None))
        .values(suspended_at=sa.bindparam("suspended_at"))
    )
    return Statements(
        begin=_upsert(sql_dialect, calls, OPENING, ("id",), update=OPENING[1:], also=undecided),
        finish=_upsert(sql_dialect, calls, (*OPENING, *OUTCOME), ("id",), update=OUTCOME),
        whole=_upsert(sql_dialect, calls, (*OPENING, *OUTCOME), ("id",), update=(*OPENING[1:], *OUTCOME)),
        step=_upsert(sql_dialect, made.steps, STEP, ("call_id", "address"), update=STEP[2:]),
        guard=_upsert(sql_dialect, made.guards, ("fingerprint", "name", "description"), ("fingerprint",)),
        feedback=_upsert(
            sql_dialect, made.feedback, ("call_id", "key", "at", "value"), ("call_id", "key", "at"), ("value",)
        ),
        review=_upsert(sql_dialect, made.reviews, REVIEW, ("id",)),
        certificate=_upsert(sql_dialect, certificates, CERTIFICATE, ("id",)),
        suspend=_compiled(sql_dialect, suspend, ("suspended_at", "of_id")),
        settle=_compiled(sql_dialect, settle, (*OUTCOME, "of_id", "of_owner")),
    )


def _upsert(
    sql_dialect: sa.Dialect,
    table: sa.Table,
    columns: tuple[str, ...],
    key: tuple[str, ...],
    update: tuple[str, ...] = (),
    also: Mapping[str, sa.ColumnElement[object]] | None = None,
) -> str:
    """An insert of `columns`; where the key exists, the columns of `update` are set instead, and those of `also`."""
    import sqlalchemy as sa
    from sqlalchemy.dialects import postgresql, sqlite

    insert = (sqlite if sql_dialect.name == "sqlite" else postgresql).insert(table)
    insert = insert.values({name: sa.bindparam(name, type_=sa.types.NullType()) for name in columns})
    changed = {**{name: insert.excluded[name] for name in update}, **(also or {})}
    if changed:
        insert = insert.on_conflict_do_update(index_elements=key, set_=changed)
    else:
        insert = insert.on_conflict_do_nothing(index_elements=key)
    return _compiled(sql_dialect, insert, columns)


def _compiled(sql_dialect: sa.Dialect, statement: sa.Executable, order: tuple[str, ...]) -> str:
    compiled = statement.compile(dialect=sql_dialect)  # type: ignore[attr-defined]
    if tuple(compiled.positiontup) != order:
        raise AssertionError(f"expected parameters in the order {order}, got {compiled.positiontup}")
    return str(compiled)
