"""Run by Alembic: `database.py` hands the engine over; the command line gives a file: `alembic -x log=FILE ...`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context

from llmguard.log.sqlite.tables import tables


def engine() -> sa.Engine:
    given = context.config.attributes.get("engine")
    return given or sa.create_engine("sqlite:///" + context.get_x_argument(as_dictionary=True)["log"])


with engine().connect() as connection:
    # SQLite changes tables inside a transaction; the log's connections begin none by themselves.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    context.configure(
        connection=connection,
        target_metadata=tables().metadata,
        render_as_batch=True,
        transactional_ddl=False,
    )
    try:
        context.run_migrations()
        connection.exec_driver_sql("COMMIT")
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
