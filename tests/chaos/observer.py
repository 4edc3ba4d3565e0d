"""A stranger who looks at the database from outside, and is in the way now and then: by reading long, and by locks."""

from __future__ import annotations

import itertools
import os
import sqlite3
import time
from contextlib import contextmanager
from typing import Any, Iterator

from tests.chaos.history import Log, now
from tests.chaos.record import connect_to, is_server
from tests.chaos.tasks import log

_FIELDS = "SELECT id, status, claim_number, deaths, worker_id FROM sqlitejob_job WHERE"
_LOOK = f"{_FIELDS} status = 'running' UNION ALL {_FIELDS} finished_at > "

# All that the jobs take up on a server, dead rows and indexes with it.
_SIZE = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname LIKE 'sqlitejob\\_%' AND relkind = 'r'"


def observe(database: str, stop: str) -> None:
    """Look, until a file is there; now and then be a long reader, or hold a lock that writers need."""
    observer = ObserverOfServer(database) if is_server(database) else ObserverOfFile(database)
    for number in itertools.count():
        if os.path.exists(stop):
            break
        time.sleep(0.25)
        observer.turn(reads_long=number % 40 == 20, locks=number % 60 == 50)
    observer.close()


class ObserverOfFile:
    """Has one connection for all that time."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection = sqlite3.connect(f"file:{path}?mode=rw", uri=True, isolation_level=None, timeout=30)

    def turn(self, *, reads_long: bool, locks: bool) -> None:
        self._look()
        if reads_long:
            self._connection.execute("BEGIN")
            self._look()
            time.sleep(2)
            self._connection.execute("COMMIT")
        if locks:
            with _telling(log()):
                self._connection.execute("BEGIN IMMEDIATE")
                time.sleep(1)
                self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()

    def _look(self) -> None:
        found = self._connection.execute(f"{_LOOK} ?", [now() - 500_000]).fetchall()
        log().write("observed", rows=found)
        log().write("journal", size=_size(f"{self._path}-wal"))


class ObserverOfServer:
    """Connects again when the server has been away."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None

    def turn(self, *, reads_long: bool, locks: bool) -> None:
        import psycopg  # not needed where there is no server

        try:
            if self._connection is None:
                self._connection = connect_to(self._url)
            self._turn(reads_long=reads_long, locks=locks)
        except psycopg.OperationalError:
            self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _turn(self, *, reads_long: bool, locks: bool) -> None:
        self._look()
        if reads_long:
            with self._connection.transaction():
                self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                self._look()
                time.sleep(2)
        if locks:
            with _telling(log()), self._connection.transaction():
                self._connection.execute("LOCK TABLE sqlitejob_job IN EXCLUSIVE MODE")
                time.sleep(1)

    def _look(self) -> None:
        found = self._connection.execute(f"{_LOOK} %s", [now() - 500_000]).fetchall()
        log().write("observed", rows=found)
        log().write("journal", size=int(self._connection.execute(_SIZE).fetchone()[0]))


@contextmanager
def _telling(history: Log) -> Iterator[None]:
    """Write down from when to when nobody else may have been able to write."""
    history.fault("lock", os.getpid(), "stranger")
    try:
        yield
    finally:
        history.fault("unlock", os.getpid(), "stranger")


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
