"""Make the tables, or bring them to this version; any number of processes may try at once, and one of them does it."""

from __future__ import annotations

from typing import Any, Optional

import psycopg
from sqlalchemy.engine import Connection, Engine

from sqlite_job.core.errors import DatabaseTooNewError
from sqlite_job.storage.moving import mark as marks
from sqlite_job.storage.moving.mark import Mark
from sqlite_job.storage.postgres.address import lock_number
from sqlite_job.storage.revisions import HEAD, VERSION_TABLE


def revision_of(connection: psycopg.Connection[Any], schema: Optional[str]) -> Optional[str]:
    """Return the revision of our tables, or None where there are none."""
    name = VERSION_TABLE if schema is None else f"{_quoted(schema)}.{VERSION_TABLE}"
    row = connection.execute("SELECT to_regclass(%s)", [name]).fetchone()
    if row is None or row[0] is None:
        return None
    found = connection.execute(f"SELECT version_num FROM {name}").fetchone()  # noqa: S608 - quoted
    return None if found is None else str(found[0])


def is_ready(connection: psycopg.Connection[Any], schema: Optional[str], shown: str) -> bool:
    """Whether the tables are those of this version; raises DatabaseTooNewError, or DatabaseMovedError after a move."""
    found = revision_of(connection, schema)
    if found is not None and found > HEAD:
        raise DatabaseTooNewError(
            f"{shown} was made by a newer sqlite-job (schema {found}, this one knows {HEAD}); upgrade sqlite-job"
        )
    mark = None if found is None else read_mark(connection, schema)
    if mark is not None:
        raise mark.error(shown)
    return found == HEAD


def read_mark(connection: psycopg.Connection[Any], schema: Optional[str]) -> Optional[Mark]:
    """Return what a move has left, or None: the queue is here, or there is none."""
    name = marks.TABLE if schema is None else f"{_quoted(schema)}.{marks.TABLE}"
    row = connection.execute("SELECT to_regclass(%s)", [name]).fetchone()
    if row is None or row[0] is None:
        return None
    found = connection.execute(marks.READ.format(table=name)).fetchone()
    return None if found is None else Mark(*found)


def prepare(engine: Engine, schema: Optional[str]) -> None:
    """Create or migrate the tables in one transaction; raises SQLAlchemy's DBAPIError."""
    from sqlite_job.storage.migrating import migrate  # alembic takes longer to import than a whole start without it

    with engine.connect() as connection:
        _begin(connection, schema)
        migrate(connection)
        connection.exec_driver_sql("COMMIT")


def _begin(connection: Connection, schema: Optional[str]) -> None:
    connection.exec_driver_sql("BEGIN ISOLATION LEVEL READ COMMITTED")
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (lock_number(schema, "migrate"),))
    if schema is not None:
        # Not IF NOT EXISTS: that needs the right to make schemas even where somebody has made this one for us.
        if not connection.exec_driver_sql("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)).fetchall():
            connection.exec_driver_sql(f"CREATE SCHEMA {_quoted(schema)}")
        connection.exec_driver_sql(f"SET LOCAL search_path TO {_quoted(schema)}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
