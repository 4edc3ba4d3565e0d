"""Read our tables over a connection that is not the storage's own: of a copy, of a file under examination."""

from __future__ import annotations

import sqlite3
from typing import List

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from sqlite_job.storage.interface import WorkerRow
from sqlite_job.storage.liveness import is_gone
from sqlite_job.storage.sql import worker
from sqlite_job.storage.statement import Row, Statement
from sqlite_job.storage.transaction import Transaction

_DIALECT = SQLiteDialect_pysqlite()


def read_rows(connection: sqlite3.Connection, statement: Statement) -> List[Row]:
    """Return all rows of a statement without parameters."""
    return Transaction(connection.cursor(), _DIALECT).rows(statement)


def read_workers(connection: sqlite3.Connection) -> List[WorkerRow]:
    """Return the registered workers."""
    return [WorkerRow(*row) for row in read_rows(connection, worker.ALL)]


def living_workers(connection: sqlite3.Connection, path: str, now: int) -> List[str]:
    """Describe those workers of the database at `path` that live, for whoever has to stop them."""
    return [
        f"{row.id} (process {row.pid} on {row.host})"
        for row in read_workers(connection)
        if row.lease_until >= now and not is_gone(path, row.id)
    ]
