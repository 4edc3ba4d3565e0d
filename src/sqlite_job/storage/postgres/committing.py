"""Run a transaction to its end, and know for certain how it ended, whatever becomes of the connection."""

from __future__ import annotations

import random
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

import psycopg

from sqlite_job.core.clock import elapsed, pause
from sqlite_job.core.errors import DatabaseError, DatabaseUnavailableError
from sqlite_job.storage.postgres.connections import Connections
from sqlite_job.storage.postgres.dialect import JobDialect
from sqlite_job.storage.postgres.transaction import PostgresTransaction
from sqlite_job.storage.postgres.trouble import (
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

_IN_PROGRESS = "in progress"

# With the last checkpoint before the commit: see `_STATUS`.
_CHECKPOINT = "(SELECT checkpoint_lsn::text FROM pg_control_checkpoint())"

# A crash may lose that a number was ever given out, and then it is another's, who may commit. A recovery ends with a
# checkpoint, which says the next number: if that is not above ours, ours is lost. A later checkpoint is above, and one
# that was there at our commit says nothing of us.
_STATUS = """
SELECT CASE
    WHEN checkpoint_lsn <> %(checkpoint)s::pg_lsn
        AND split_part(next_xid, ':', 1)::numeric * 4294967296 + split_part(next_xid, ':', 2)::numeric
            <= %(xid)s::numeric
    THEN 'lost'
    ELSE pg_xact_status(%(xid)s::text::xid8)
END
FROM pg_control_checkpoint()
"""

# Where nobody may read of checkpoints.
_PLAIN_STATUS = "SELECT pg_xact_status(%(xid)s::text::xid8)"

# How long the server may take to notice that a connection has gone.
_NOTICE_SECONDS = 0.25

# It did not: the connection broke between, and the COMMIT has not arrived. Now it will not any more.
_END_ABANDONED = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_xid = %(xid)s::text::xid8::xid AND state LIKE 'idle in transaction%%'
"""

# The same for a statement that is a transaction by itself: as long as its session is there, so is what it wrote.
_END_CUT_OFF = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND query LIKE 'WITH numbered%%'"


# As PostgreSQL names the constraint of a unique column.
_UNIQUE_ID = "sqlitejob_job_id_key"


class InDoubtError(DatabaseUnavailableError):
    """The connection was lost at the commit, and the server could not be asked since whether it was done."""

    def __init__(self, doubt: Optional[Doubt], shown: str) -> None:
        """Keep what can be asked later."""
        super().__init__(f"{shown} was lost at a commit, and cannot be asked whether it was done; look first")
        self.doubt = doubt


class Doubt(NamedTuple):
    """A transaction that may have been committed, and what it found."""

    xid: str
    found: Any
    checkpoint: Optional[str] = None


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
        self._ends = f"{_XID}, {_CHECKPOINT}"
        self.begin = f"BEGIN ISOLATION LEVEL READ COMMITTED; {_LOCK_TIMEOUT}; {_NO_COMPILER}{lazily}"
        # How long a job's own statements wait for locks is the job's to say.
        self.begin_of_jobs = f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = 0{lazily}"

    def learn(self, connection: psycopg.Connection[Any]) -> None:
        """Find out what this server lets be asked of a commit."""
        try:
            connection.execute(f"SELECT {_CHECKPOINT}")
        except psycopg.Error as error:
            if is_lost(error):
                raise
            self._ends = f"{_XID}, NULL"

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

        def look() -> T:
            with self._connections.borrowed() as connection:
                cursor = connection.cursor()
                return work(PostgresTransaction(cursor, self._dialect, is_cleaning=trouble.is_cleaning))

        return self._until_done(look, trouble)

    def at_once(self, statement: Statement, values: Sequence[Any]) -> None:
        """Execute a statement that is a transaction by itself, and stores jobs whose ids were made for them.

        Raises a DatabaseError.
        """
        trouble = _Trouble(self._connections, self._shown)
        cut_off: List[int] = []  # the sessions whose answers were lost

        def store() -> None:
            with self._connections.borrowed() as connection:
                session = connection.info.backend_pid
                for one in cut_off:
                    connection.execute(_END_CUT_OFF, [one])
                try:
                    cursor = connection.cursor()
                    PostgresTransaction(cursor, self._dialect, is_cleaning=trouble.is_cleaning).rows(statement, *values)
                except psycopg.Error as error:
                    if is_lost(error):
                        cut_off.append(session)
                    elif error.diag.constraint_name == _UNIQUE_ID:
                        return  # stored by an earlier one, perhaps of a call before: ids are made once
                    raise

        try:
            self._until_done(store, trouble)
        except DatabaseUnavailableError as error:
            if not cut_off:
                raise
            raise InDoubtError(None, self._shown) from error

    def outside(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Run `work` on a connection outside of any transaction; raises a DatabaseError."""

        def run() -> T:
            with self._connections.borrowed() as connection:
                return work(connection)

        return self.keep_trying(run)

    def keep_trying(self, attempt: Callable[[], T]) -> T:
        """Call what raises psycopg's errors, again while the server is away for a moment; raises a DatabaseError."""
        return self._until_done(attempt, _Trouble(self._connections, self._shown))

    def is_committed(self, doubt: Doubt) -> bool:
        """Find out how a transaction ended; raises InDoubtError when the server cannot tell."""
        trouble = _Trouble(self._connections, self._shown)
        in_progress_since: Optional[float] = None
        while True:
            try:
                with self._connections.borrowed() as connection:
                    status = _status(connection, doubt)
                    if in_progress_since is not None and elapsed() - in_progress_since > _NOTICE_SECONDS:
                        connection.execute(_END_ABANDONED, {"xid": doubt.xid})
            except psycopg.Error as error:
                try:
                    trouble.meet(error)
                except DatabaseError as failed:
                    raise InDoubtError(doubt, self._shown) from failed
                continue
            if status != _IN_PROGRESS:
                return status == "committed"
            in_progress_since = in_progress_since or elapsed()
            if elapsed() - in_progress_since > _LOST_SECONDS:
                raise InDoubtError(doubt, self._shown)
            pause(0.02)

    def commit(self, cursor: Any, transaction: PostgresTransaction) -> bool:
        """Commit a transaction that was run by somebody else; False when the server says that it was not done."""
        doubt = self._end(cursor, transaction, None)
        return doubt is None or self.is_committed(doubt)

    def _until_done(self, attempt: Callable[[], T], trouble: _Trouble) -> T:
        while True:
            try:
                return attempt()
            except psycopg.Error as error:
                trouble.meet(error)

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
        cursor.execute(self._ends if notify is None else f"{self._ends}, {notify}")
        xid, checkpoint = cursor.fetchone()[:2]
        try:
            cursor.execute("COMMIT")
        except psycopg.Error as error:
            if not is_lost(error):
                raise
            return None if xid is None else Doubt(xid, found, checkpoint)
        return None


def _status(connection: psycopg.Connection[Any], doubt: Doubt) -> Optional[str]:
    query = _PLAIN_STATUS if doubt.checkpoint is None else _STATUS
    try:
        row = connection.execute(query, {"xid": doubt.xid, "checkpoint": doubt.checkpoint}).fetchone()
    except psycopg.errors.InvalidParameterValue:
        return None  # a number that was never given out: the server has forgotten it in a crash
    return None if row is None else row[0]


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
