"""Read our tables over a connection that is not the storage's own: of a copy, of a file under examination."""

from __future__ import annotations

import sqlite3
from typing import List

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from sqlite_job.storage.interface import WorkerRow
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
