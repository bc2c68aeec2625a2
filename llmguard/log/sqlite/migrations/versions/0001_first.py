"""The first tables. Frozen: what changes them is a further migration."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    calls()
    steps()
    people()
    op.create_table(
        "guards",
        sa.Column("fingerprint", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("description", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "certificates",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("guard", sa.String, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("issued_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float),
        sa.Column("suspended_at", sa.Float),
    )
    op.create_index("certificates_guard", "certificates", ["guard"])
    meta = op.create_table(
        "meta",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
    )
    op.bulk_insert(meta, [{"key": "secret", "value": secrets.token_hex(32)}])


def calls() -> None:
    op.create_table(
        "calls",
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
    )
    op.create_index("calls_started_at", "calls", ["started_at"])
    op.create_index("calls_inputs_digest", "calls", ["inputs_digest"])
    undecided = sa.text("status IS NULL")
    op.create_index("calls_undecided", "calls", ["owner"], sqlite_where=undecided, postgresql_where=undecided)


def steps() -> None:
    op.create_table(
        "steps",
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


def people() -> None:
    op.create_table(
        "reviews",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("call_id", sa.String, nullable=False),
        sa.Column("verdict", sa.String, nullable=False),
        sa.Column("correction", sa.LargeBinary),
        sa.Column("fields", sa.LargeBinary),
        sa.Column("reviewer", sa.String, nullable=False),
        sa.Column("comment", sa.String, nullable=False),
        sa.Column("blind", sa.Boolean, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_index("reviews_call_id", "reviews", ["call_id"])
    op.create_table(
        "feedback",
        sa.Column("call_id", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("at", sa.Float, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    for table in ("calls", "steps", "guards", "reviews", "feedback", "certificates", "meta"):
        op.drop_table(table)
