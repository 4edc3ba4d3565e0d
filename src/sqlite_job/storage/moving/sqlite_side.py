"""A SQLite file at one end of a move: read in one transaction, or filled while nobody else can open it."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import Dict, Iterator, List, Optional

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from sqlite_job.core.clock import SystemClock
from sqlite_job.core.errors import DatabaseUnavailableError, MoveRefusedError, NotOurDatabaseError
from sqlite_job.storage import files
from sqlite_job.storage.filesystem import check_filesystem
from sqlite_job.storage.free_space import FreeSpace
from sqlite_job.storage.gate import Gate
from sqlite_job.storage.moving import mark as marks
from sqlite_job.storage.moving.comparing import MOST_ROWS, SMALL_PAGE, Changes, Rows, gathered
from sqlite_job.storage.moving.mark import Mark
from sqlite_job.storage.moving.occupation import refuse_mark, refuse_rows, refuse_version
from sqlite_job.storage.moving.side import Numbers
from sqlite_job.storage.plain_reading import living_workers
from sqlite_job.storage.revisions import HEAD
from sqlite_job.storage.schema import check_candidate, check_origin, prepare_file, read_mark, schema_version
from sqlite_job.storage.sql.copying import GUARDED, WHOLES, Whole
from sqlite_job.storage.sqlite_connection import closing, connect, connect_plainly, is_busy
from sqlite_job.storage.transaction import Transaction

_DIALECT = SQLiteDialect_pysqlite()

# Of a transaction of somebody else's: longer than any of ours takes.
_PATIENCE_MS = 30_000

_CHECKPOINT_PAGES = 8_000

_VERBS = ("INSERT", "UPDATE", "DELETE")


class SqliteSide:
    """The file at a path."""

    keeps_null_characters = True

    def __init__(self, path: str, *, allow_network_fs: bool) -> None:
        """Take the absolute path; nothing is opened."""
        self._path = path
        self._allow_network_fs = allow_network_fs

    @property
    def shown(self) -> str:
        """The path."""
        return self._path

    def identity(self) -> Optional[object]:
        """Return the real path."""
        return self._path if files.size_of(self._path) else None

    def check_source(self) -> None:
        """Raise a DatabaseError unless there is a queue of this version in the file."""
        if not files.size_of(self._path):
            raise DatabaseUnavailableError(f"There is no queue to move: no file {self._path!r}")
        check_filesystem(self._path, allow_network=self._allow_network_fs)
        files.check_file(self._path)
        with self._reading() as connection:
            check_origin(connection, self._path)
            found = schema_version(connection)
        if found is None:
            raise NotOurDatabaseError(f"{self._path!r} has no tables of sqlite-job")
        if found != HEAD:
            raise refuse_version(self._path, found)

    def mark(self) -> Optional[Mark]:
        """Return the mark of a move."""
        if not files.size_of(self._path):
            return None
        with self._reading() as connection:
            return read_mark(connection)

    def living_workers(self) -> List[str]:
        """Describe the workers that live."""
        if not files.size_of(self._path):
            return []
        with self._reading() as connection:
            if schema_version(connection) is None:
                return []
            return living_workers(connection, self._path, SystemClock().now())

    @contextmanager
    def snapshot(self) -> Iterator[_Reading]:
        """Read as of one moment: writers go on, and their journal grows meanwhile."""
        with self._reading() as connection:
            connection.execute("BEGIN")
            yield _Reading(connection)

    def close(self, mark: Mark) -> List[str]:
        """Mark the queue as gone, with a trigger on each table that refuses all writes."""
        with self._writing() as connection:
            found = read_mark(connection)
            if found is not None:
                raise found.error(self._path)
            alive = living_workers(connection, self._path, SystemClock().now())
            if not alive:
                _write_mark(connection, mark)
                refusal = _quoted(mark.refusal(self._path))
                for name, table, verb in _triggers():
                    connection.execute(
                        f"CREATE TRIGGER {name} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, {refusal}); END"
                    )
            return alive

    def reopen(self) -> None:
        """Drop the triggers and the mark."""
        with self._writing() as connection:
            _remove_mark(connection)

    @contextmanager
    def filling(self, mark: Mark) -> Iterator[_Filling]:
        """Fill the file, made if needed, over the one connection that there can be to it meanwhile."""
        check_filesystem(self._path, allow_network=self._allow_network_fs)
        if self.mark() is None:
            check_candidate(self._path)
            gate = Gate(f"{self._path}-gate")
            try:
                prepare_file(self._path, gate, "full")
            finally:
                gate.close()
        with closing(connect_plainly(self._path), self._path) as connection:
            self._keep_others_away(connection)
            found = read_mark(connection)
            if found is None:
                _refuse_rows(connection, self._path)
                connection.execute("BEGIN IMMEDIATE")
                _write_mark(connection, mark)
                connection.execute("COMMIT")
            else:
                refuse_mark(found, mark, self._path)
            yield _Filling(connection, FreeSpace(self._path))

    def disconnect(self) -> None:
        """Have nothing to do: each verb closes its own connection."""

    def _keep_others_away(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE").fetchall()
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if is_busy(error):
                raise MoveRefusedError(f"{self._path!r} is open elsewhere; end who uses it, then move again") from error
            raise
        # Nobody commits beside a checkpoint here, so SQLite may make them by itself (see sqlite_connection.py).
        for pragma in ("synchronous=FULL", "secure_delete=0", f"wal_autocheckpoint={_CHECKPOINT_PAGES}"):
            connection.execute(f"PRAGMA {pragma}").fetchall()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with closing(connect_plainly(self._path, "ro"), self._path) as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        gate = Gate(f"{self._path}-gate")
        try:
            with gate, closing(connect(self._path, "full"), self._path) as connection:
                connection.execute(f"PRAGMA busy_timeout={_PATIENCE_MS}").fetchall()
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
                gate.ring()
        finally:
            gate.close()


class _Reading:
    """Reads pages over one connection: each has been read to its end when it is given out."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._transaction = Transaction(connection.cursor(), _DIALECT)
        self._cursor = connection.cursor()

    def counts(self) -> Dict[str, int]:
        return {whole.name: self._transaction.rows(whole.count)[0][0] for whole in WHOLES}

    def read(self, whole: Whole) -> Iterator[Rows]:
        return gathered(self._pages(whole)) if whole.is_large else self._pages(whole)

    def numbers(self) -> Numbers:
        found = dict(self._cursor.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
        return Numbers(found.get("sqlitejob_job", 0), found.get("sqlitejob_worker", 0))

    def _pages(self, whole: Whole) -> Iterator[Rows]:
        size = SMALL_PAGE if whole.is_large else MOST_ROWS
        rows = self._transaction.rows(whole.first_page, size)
        while rows:
            yield rows
            rows = self._transaction.rows(whole.next_page, *whole.key_of(rows[-1]), size)


class _Filling(_Reading):
    """Writes over the connection that keeps others away."""

    def __init__(self, connection: sqlite3.Connection, free_space: FreeSpace) -> None:
        super().__init__(connection)
        self._connection = connection
        self._free_space = free_space

    def change(self, whole: Whole, changes: Changes) -> None:
        self._free_space.require()
        self._connection.execute("BEGIN IMMEDIATE")
        self._transaction.many(whole.delete, changes.gone)
        self._transaction.insert(whole.insert, changes.rows)
        self._connection.execute("COMMIT")

    def finish(self, numbers: Numbers) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        for name, number in (("sqlitejob_job", numbers.job), ("sqlitejob_worker", numbers.worker)):
            self._connection.execute("DELETE FROM sqlite_sequence WHERE name = ? AND seq < ?", (name, number))
            self._connection.execute(
                "INSERT INTO sqlite_sequence (name, seq) SELECT ?, ? WHERE NOT EXISTS "
                "(SELECT 1 FROM sqlite_sequence WHERE name = ?)",
                (name, number, name),
            )
        _remove_mark(self._connection)
        self._connection.execute("COMMIT")


def _triggers() -> Iterator[List[str]]:
    for table in GUARDED:
        for verb in _VERBS:
            yield [f"{marks.TABLE}_{table}_{verb.lower()}", table, verb]


def _write_mark(connection: sqlite3.Connection, mark: Mark) -> None:
    connection.execute(marks.CREATE.format(table=marks.TABLE))
    connection.execute(f"INSERT INTO {marks.TABLE} VALUES (?, ?, ?)", mark)  # noqa: S608 - a constant


def _remove_mark(connection: sqlite3.Connection) -> None:
    for name, _, _ in _triggers():
        connection.execute(f"DROP TRIGGER IF EXISTS {name}")
    connection.execute(f"DROP TABLE IF EXISTS {marks.TABLE}")


def _refuse_rows(connection: sqlite3.Connection, path: str) -> None:
    counts = _Reading(connection).counts()
    refuse_rows(counts, path, "give another path")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
