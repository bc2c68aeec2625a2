"""The tables of the log, in SQLAlchemy Core: one definition for every database.

Evidence is kept as bytes (JSON as it was encoded, a reply as it was received). The other columns are derived from it,
so that calls can be found and counted without decoding them. NUL and lone surrogates, which databases refuse in text, are
escaped there.

| table | one row for each | |
|---|---|---|
| `calls` | guarded call | its opening, and once it is decided its outcome; `status` is null until then |
| `steps` | answer | by arrival (`seq`: ns since the epoch), with the reply's body as it was received (`raw`) |
| `guards` | fingerprint | prompt, schema, policy: what explains an old outcome |
| `reviews` | review by a person | |
| `feedback` | feedback of a user | |
| `certificates` | certificate | |
| `meta` | fact about the log | `secret`: 32 random bytes in hexadecimal, for the audit draw |
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa

OPENING = ("id", "guard", "fingerprint", "inputs", "inputs_digest", "meta", "started_at", "owner")
OUTCOME = (
    *("finished_at", "status", "source", "failures", "rules", "models", "requests", "input_tokens", "output_tokens"),
    *("estimated", "cost_usd", "agreement", "review_probability", "review_reason", "review_drawn", "outcome"),
)
STEP = (
    *("call_id", "address", "seq", "kind", "digest", "answer", "raw", "raw_hash", "waited_s", "latency_s", "failure"),
    *("model", "input_tokens", "output_tokens", "estimated"),
)
REVIEW = ("id", "call_id", "verdict", "correction", "fields", "reviewer", "comment", "blind", "at")
CERTIFICATE = ("id", "guard", "fingerprint", "body", "issued_at", "expires_at")


@dataclass(frozen=True, slots=True)
class Tables:
    metadata: sa.MetaData
    calls: sa.Table
    steps: sa.Table
    guards: sa.Table
    reviews: sa.Table
    feedback: sa.Table
    certificates: sa.Table
    meta: sa.Table


@cache
def tables() -> Tables:
    import sqlalchemy as sa

    metadata = sa.MetaData()
    return Tables(
        metadata,
        _calls(metadata),
        _steps(metadata),
        sa.Table(
            "guards",
            metadata,
            sa.Column("fingerprint", sa.String, primary_key=True),
            sa.Column("name", sa.String, nullable=False),
            sa.Column("description", sa.LargeBinary, nullable=False),
        ),
        _reviews(metadata),
        sa.Table(
            "feedback",
            metadata,
            sa.Column("call_id", sa.String, primary_key=True),
            sa.Column("key", sa.String, primary_key=True),
            sa.Column("at", sa.Float, primary_key=True),
            sa.Column("value", sa.LargeBinary, nullable=False),
        ),
        _certificates(metadata),
        sa.Table(
            "meta",
            metadata,
            sa.Column("key", sa.String, primary_key=True),
            sa.Column("value", sa.String, nullable=False),
        ),
    )


def _calls(metadata: sa.MetaData) -> sa.Table:
    import sqlalchemy as sa

    calls = sa.Table(
        "calls",
        metadata,
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("guard", sa.String, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("inputs", sa.LargeBinary),
        sa.Column("inputs_digest", sa.String, nullable=False),
        sa.Column("meta", sa.JSON, nullable=False),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("finished_at", sa.Float),
        sa.Column("status", sa.String),
        sa.Column("source", sa.String),
        sa.Column("failures", sa.String),
        sa.Column("rules", sa.String),
        sa.Column("models", sa.String),
        sa.Column("requests", sa.Integer),
        sa.Column("input_tokens", sa.BigInteger),
        sa.Column("output_tokens", sa.BigInteger),
        sa.Column("estimated", sa.Boolean),
        sa.Column("cost_usd", sa.Float),
        sa.Column("agreement", sa.Float),
        sa.Column("review_probability", sa.Float),
        sa.Column("review_reason", sa.String),
        sa.Column("review_drawn", sa.Boolean),
        sa.Column("outcome", sa.LargeBinary),
        sa.Index("calls_started_at", "started_at"),
        sa.Index("calls_inputs_digest", "inputs_digest"),
    )
    undecided = calls.c.status.is_(None)
    sa.Index("calls_undecided", calls.c.owner, sqlite_where=undecided, postgresql_where=undecided)
    drawn = sa.text("review_reason = 'audit'")
    sa.Index("calls_audited", calls.c.guard, calls.c.started_at, sqlite_where=drawn, postgresql_where=drawn)
    return calls


def _steps(metadata: sa.MetaData) -> sa.Table:
    import sqlalchemy as sa

    return sa.Table(
        "steps",
        metadata,
        sa.Column("call_id", sa.String, primary_key=True),
        sa.Column("address", sa.String, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("raw_hash", sa.String, nullable=False),
        sa.Column("waited_s", sa.Float, nullable=False),
        sa.Column("latency_s", sa.Float, nullable=False),
        sa.Column("failure", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("estimated", sa.Boolean, nullable=False),
    )


def _reviews(metadata: sa.MetaData) -> sa.Table:
    import sqlalchemy as sa

    return sa.Table(
        "reviews",
        metadata,
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("call_id", sa.String, nullable=False),
        sa.Column("verdict", sa.String, nullable=False),
        sa.Column("correction", sa.LargeBinary),
        sa.Column("fields", sa.LargeBinary),
        sa.Column("reviewer", sa.String, nullable=False),
        sa.Column("comment", sa.String, nullable=False),
        sa.Column("blind", sa.Boolean, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Index("reviews_call_id", "call_id"),
    )


def _certificates(metadata: sa.MetaData) -> sa.Table:
    import sqlalchemy as sa

    return sa.Table(
        "certificates",
        metadata,
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("guard", sa.String, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("issued_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float),
        sa.Column("suspended_at", sa.Float),
        sa.Index("certificates_guard", "guard"),
    )
