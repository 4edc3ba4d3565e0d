"""What the database says in the end, read with a plain driver: sqlite3 or psycopg."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any, Dict, List, NamedTuple, Optional, Set

FINAL = {"completed", "failed", "cancelled"}
STATUSES = FINAL | {"pending", "scheduled", "blocked", "running"}


class Row(NamedTuple):
    """A job's row; `key` is its first argument."""

    seq: int
    id: str
    function: str
    status: str
    tries: int
    max_tries: Optional[int]
    deaths: int
    claim: int
    worker_id: Optional[int]
    key: Optional[str]


class Death(NamedTuple):
    """A try that is kept as not having succeeded."""

    claim: int
    error_type: str
    message: str
    worker_id: int
    started_at: int
    finished_at: int

    @property
    def is_death(self) -> bool:
        return self.error_type == "WorkerDied"


class Record:
    """All rows of a database."""

    def __init__(self, database: str) -> None:
        with closing(connect_to(database)) as connection:
            self.integrity = _integrity_of_server(connection) if is_server(database) else _integrity_of_file(connection)
            self.rows: List[Row] = [
                Row(*fields, _key(args))
                for *fields, args in connection.execute(
                    "SELECT seq, id, function, status, tries, max_tries, deaths, claim_number, worker_id, args"
                    " FROM sqlitejob_job LEFT JOIN sqlitejob_payload USING (seq) ORDER BY seq"
                )
            ]
            self.results: Set[int] = {row[0] for row in connection.execute("SELECT seq FROM sqlitejob_result")}
            self.failures: Dict[int, Dict[int, Death]] = {}
            for seq, *fields in connection.execute(
                "SELECT seq, claim_number, error_type, message, worker_id, started_at, finished_at"
                " FROM sqlitejob_failure"
            ):
                death = Death(*fields)
                self.failures.setdefault(seq, {})[death.claim] = death
        self.by_id = {row.id: row for row in self.rows}

    def failure(self, job_id: str, claim: int) -> Optional[Death]:
        row = self.by_id.get(job_id)
        return None if row is None else self.failures.get(row.seq, {}).get(claim)


def is_server(database: str) -> bool:
    """Whether it is the URL of a server, and not the path of a file."""
    return "://" in database


def connect_to(database: str) -> Any:
    """Return a plain connection without transactions of its own accord: to a file one that only reads."""
    if not is_server(database):
        return sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None)
    import psycopg  # not needed where there is no server

    return psycopg.connect(database.replace("+psycopg", ""), autocommit=True, application_name="chaos itself")


def _integrity_of_file(connection: Any) -> str:
    return connection.execute("PRAGMA integrity_check").fetchone()[0]


def _integrity_of_server(connection: Any) -> str:
    """Hold each index of ours against its table: what is in one and not in the other, what is out of order."""
    connection.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
    try:
        connection.execute(_CHECK_INDEXES)
    except Exception as error:
        return str(error)
    return "ok"


_CHECK_INDEXES = r"""
SELECT bt_index_check(pg_index.indexrelid, heapallindexed => true) FROM pg_index
JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_am ON pg_am.oid = relam AND amname = 'btree'
WHERE indrelid IN (SELECT oid FROM pg_class WHERE relname LIKE 'sqlitejob\_%')
"""


def _key(args: Optional[bytes]) -> Optional[str]:
    if args is None:
        return None
    try:
        positional, _ = json.loads(args)
        key = positional[0]
    except (ValueError, IndexError, TypeError):
        return None
    return key if isinstance(key, str) else None
