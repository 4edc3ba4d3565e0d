"""Run a transaction to its end, and know for certain how it ended, whatever becomes of the connection."""

from __future__ import annotations

import random
from typing import Any, Callable, NamedTuple, Optional, Sequence, Tuple, TypeVar

import psycopg

from sqlite_job.core.clock import elapsed, pause
from sqlite_job.core.errors import DatabaseError, DatabaseUnavailableError
from sqlite_job.storage.postgres.connections import Connections
from sqlite_job.storage.postgres.dialect import JobDialect
from sqlite_job.storage.postgres.transaction import PostgresTransaction
from sqlite_job.storage.postgres.trouble import (
    UNIQUE_VIOLATION,
    has_bad_character,
    is_lost,
    must_run_again,
    translate,
)
from sqlite_job.storage.statement import Statement

T = TypeVar("T")

Work = Callable[[PostgresTransaction], T]

# How long one operation waits in all for others who hold its locks.
_BUSY_SECONDS = 30.0

# How long it looks for a server that has gone: a restart takes about that. A worker then says so, and goes on looking.
_LOST_SECONDS = 3.0

# For each lock; then the whole transaction is run again, as it would be behind a file's gate.
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '10s'"

# To compile a statement takes longer than any of ours runs: up to a second, for what a high estimate calls dear.
_NO_COMPILER = "SET LOCAL jit = off"

_XID = "SELECT pg_current_xact_id_if_assigned()::text"


class InDoubtError(DatabaseUnavailableError):
    """The connection was lost at the commit, and the server could not be asked since whether it was done."""

    def __init__(self, doubt: Doubt, shown: str) -> None:
        """Keep what can be asked later."""
        super().__init__(f"{shown} was lost at a commit, and cannot be asked whether it was done; look first")
        self.doubt = doubt


class Doubt(NamedTuple):
    """A transaction that may have been committed, and what it found."""

    xid: str
    found: Any


class Committer:
    """Runs transactions on connections of a pool."""

    def __init__(
        self,
        connections: Connections,
        dialect: JobDialect,
        shown: str,
        *,
        durability: str,
        notify: Callable[[PostgresTransaction], Optional[str]],
    ) -> None:
        """Take what a transaction needs; `notify` returns the SQL that tells others of one, or None."""
        self._connections = connections
        self._dialect = dialect
        self._shown = shown
        self._notify = notify
        lazily = "; SET LOCAL synchronous_commit = off" if durability == "normal" else ""
        self.begin = f"BEGIN ISOLATION LEVEL READ COMMITTED; {_LOCK_TIMEOUT}; {_NO_COMPILER}{lazily}"
        # How long a job's own statements wait for locks is the job's to say.
        self.begin_of_jobs = f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = 0{lazily}"

    def write(self, work: Work[T]) -> T:
        """Run `work` and commit, again where others were in the way; raises a DatabaseError."""
        trouble = _Trouble(self._connections, self._shown)
        while True:
            doubt: Optional[Doubt] = None
            try:
                with self._connections.borrowed() as connection:
                    cursor = connection.cursor()
                    transaction, found = self._run(cursor, work, is_cleaning=trouble.is_cleaning)
                    doubt = self._end(cursor, transaction, found)
            except psycopg.Error as error:
                trouble.meet(error)
                continue
            if doubt is None or self.is_committed(doubt):
                return found

    def read(self, work: Work[T]) -> T:
        """Run `work` on a connection where each statement stands for itself; raises a DatabaseError."""
        trouble = _Trouble(self._connections, self._shown)
        while True:
            try:
                with self._connections.borrowed() as connection:
                    cursor = connection.cursor()
                    return work(PostgresTransaction(cursor, self._dialect, is_cleaning=trouble.is_cleaning))
            except psycopg.Error as error:
                trouble.meet(error)

    def at_once(self, statement: Statement, values: Sequence[Any]) -> None:
        """Execute a statement that is a transaction by itself, and stores rows whose keys are new.

        Raises a DatabaseError.
        """
        trouble = _Trouble(self._connections, self._shown)
        was_cut_off = False
        while True:
            try:
                with self._connections.borrowed() as connection:
                    transaction = PostgresTransaction(
                        connection.cursor(), self._dialect, is_cleaning=trouble.is_cleaning
                    )
                    transaction.rows(statement, *values)
                    return
            except psycopg.Error as error:
                if was_cut_off and error.sqlstate == UNIQUE_VIOLATION:
                    return  # by the earlier one, whose answer was lost
                was_cut_off = was_cut_off or is_lost(error)
                trouble.meet(error)

    def outside(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Run `work` on a connection outside of any transaction; raises a DatabaseError."""

        def attempt() -> T:
            with self._connections.borrowed() as connection:
                return work(connection)

        return self.insist(attempt)

    def insist(self, attempt: Callable[[], T]) -> T:
        """Call again what meets a trouble that passes; raises a DatabaseError."""
        trouble = _Trouble(self._connections, self._shown)
        while True:
            try:
                return attempt()
            except psycopg.Error as error:
                trouble.meet(error)

    def is_committed(self, doubt: Doubt) -> bool:
        """Ask the server how a transaction ended; raises InDoubtError when it cannot be asked."""
        trouble = _Trouble(self._connections, self._shown)
        while True:
            try:
                with self._connections.borrowed() as connection:
                    row = connection.execute("SELECT pg_xact_status(%s::text::xid8)", [doubt.xid]).fetchone()
            except psycopg.Error as error:
                try:
                    trouble.meet(error)
                except DatabaseError as failed:
                    raise InDoubtError(doubt, self._shown) from failed
                continue
            if row is None or row[0] != "in progress":
                return row is not None and row[0] == "committed"
            pause(0.02)  # its session has not noticed yet that we are gone

    def commit(self, cursor: Any, transaction: PostgresTransaction) -> bool:
        """Commit a transaction that was run by somebody else; False when the server says that it was not done."""
        doubt = self._end(cursor, transaction, None)
        return doubt is None or self.is_committed(doubt)

    def _run(self, cursor: Any, work: Work[T], *, is_cleaning: bool) -> Tuple[PostgresTransaction, T]:
        cursor.execute(self.begin)
        transaction = PostgresTransaction(cursor, self._dialect, is_cleaning=is_cleaning)
        try:
            return transaction, work(transaction)
        except BaseException:
            _roll_back(cursor)
            raise

    def _end(self, cursor: Any, transaction: PostgresTransaction, found: Any) -> Optional[Doubt]:
        """Commit; returns what is to be asked when the connection was lost on the way."""
        notify = self._notify(transaction)
        cursor.execute(_XID if notify is None else f"{_XID}, {notify}")
        xid = cursor.fetchone()[0]
        try:
            cursor.execute("COMMIT")
        except psycopg.Error as error:
            if not is_lost(error):
                raise
            return None if xid is None else Doubt(xid, found)
        return None


class _Trouble:
    """What one operation has met so far: it decides whether to try again, and pauses before."""

    def __init__(self, connections: Connections, shown: str) -> None:
        self._connections = connections
        self._shown = shown
        self._began = elapsed()
        self._lost_since: Optional[float] = None
        self._losses = 0
        self.is_cleaning = False

    def meet(self, error: psycopg.Error) -> None:
        """Return when the whole is to be tried again; raises a DatabaseError otherwise."""
        if must_run_again(error) and elapsed() - self._began < _BUSY_SECONDS:
            pause(random.uniform(0.001, 0.02))  # noqa: S311 - jitter, not a secret
            return
        if has_bad_character(error) and not self.is_cleaning:
            self.is_cleaning = True
            return
        if not is_lost(error) or not self._has_time():
            raise translate(error, self._shown) from error
        # The pool's other connections are as dead as this one.
        self._connections.forget()
        self._losses += 1
        if self._losses > 1:
            pause(random.uniform(0.05, 0.2))  # noqa: S311 - as above

    def _has_time(self) -> bool:
        now = elapsed()
        if self._lost_since is None:
            self._lost_since = now
        return now - self._lost_since < _LOST_SECONDS


def _roll_back(cursor: Any) -> None:
    try:
        cursor.execute("ROLLBACK")
    except psycopg.Error:
        cursor.connection.close()  # the server rolls back what its session has left
