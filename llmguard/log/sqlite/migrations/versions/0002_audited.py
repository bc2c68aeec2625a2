"""Calls drawn for audit are found without reading the others: a certificate and its watch ask for them again and again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    drawn = sa.text("review_reason = 'audit'")
    columns = ["guard", "started_at"]
    op.create_index("calls_audited", "calls", columns, sqlite_where=drawn, postgresql_where=drawn)


def downgrade() -> None:
    op.drop_index("calls_audited", table_name="calls")
