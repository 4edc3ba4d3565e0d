"""Let a job write in the transaction that records its completion."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any, Callable, Optional

import psycopg
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sqlite_job.core.errors import TransactionStateError
from sqlite_job.core.outcomes import Completed
from sqlite_job.core.stopping import Stop
from sqlite_job.storage.postgres.trouble import translate

# A savepoint below all of the user's: if it is gone at the end, the transaction is not the one that was begun.
_GUARD = "sqlitejob_job"

# What a savepoint of the session's meets then: no_active_sql_transaction, invalid_savepoint_specification.
_ENDED = ("25P01", "3B001")

# Records a completion with a cursor, and commits; False, with nothing done, when its fence is closed.
Finish = Callable[[Any, Completed], bool]


class JobTransactionOnServer:
    """An `OpenTransaction`. Other jobs do not wait for it, but for the rows that it has changed."""

    def __init__(self, engine: Engine, begin_text: str, finish: Finish, shown: str) -> None:
        """Take the parts; `begin` begins."""
        self._engine = engine
        self._begin_text = begin_text
        self._finish = finish
        self._shown = shown
        self._connection: Connection
        self._driver: Any
        self._session: Optional[Session] = None
        # Whoever ends the transaction has it: the job's own thread, or the one that stops the job.
        self._ending = threading.Lock()
        self._has_ended = False
        self._is_stopped = False

    def begin(self, stop: Stop) -> None:
        """Begin, or raise psycopg.Error with nothing begun; once it has, `stop` rolls back."""
        try:
            connection = self._engine.connect()
        except DBAPIError as error:
            raise (error.orig or error) from error
        driver: Any = connection.connection.driver_connection
        try:
            driver.execute(self._begin_text)
            driver.execute(f"SAVEPOINT {_GUARD}")
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        self._connection, self._driver = connection, driver
        stop.call_when_set(self._on_stop)

    def enter(self) -> Session:
        """Return a session in the transaction; its commit() and rollback() end savepoints only."""
        self._connection.begin()
        self._session = Session(bind=self._connection, join_transaction_mode="create_savepoint", expire_on_commit=False)
        return self._session

    def flush(self) -> None:
        """Write what the session still holds back."""
        if self._session is None or not self._session.in_transaction():
            return
        try:
            self._session.commit()
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) in _ENDED:
                raise _ended_before() from error
            raise

    def complete(self, completed: Completed) -> bool:
        """Record the completion and commit; False when the job was taken from this worker."""
        if not (self._is_stopped or self._has_ended):
            self.flush()
        with self._ending:
            if self._has_ended:
                raise TransactionStateError("the job's transaction was rolled back, since the job was told to stop")
            self._has_ended = True
            try:
                self._check_guard()
                return self._finish(self._driver.cursor(), completed)
            except psycopg.Error as error:
                raise translate(error, self._shown) from error
            finally:
                self._end()

    def roll_back(self) -> None:
        """Undo everything, unless it has ended; never raises."""
        with self._ending:
            if not self._has_ended:
                self._has_ended = True
                self._end()

    def close(self) -> None:
        """Roll back what is still open, and close the connection; never raises."""
        self.roll_back()
        session, self._session = self._session, None
        if session is not None:
            # A session whose transaction was rolled back under it complains of its savepoints.
            with suppress(Exception):
                session.close()
        with suppress(Exception):
            if self._driver.closed:
                self._connection.invalidate()
        with suppress(Exception):
            self._connection.close()

    def _check_guard(self) -> None:
        try:
            self._driver.execute(f"RELEASE {_GUARD}")
        except psycopg.Error as error:
            raise _ended_before() from error

    def _end(self) -> None:
        """Roll back what is not committed, and keep whoever still has the session from writing."""
        with suppress(psycopg.Error):
            if self._driver.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                self._driver.execute("ROLLBACK")
        with suppress(psycopg.Error):
            self._driver.close()

    def _on_stop(self) -> None:
        self._is_stopped = True
        # It may be called where nothing may wait: in a signal handler, in the worker's one loop.
        threading.Thread(target=self._interrupt, name="sqlite-job-rollback", daemon=True).start()

    def _interrupt(self) -> None:
        with self._ending:
            if self._has_ended:
                return
            self._has_ended = True
            with suppress(psycopg.Error, OSError):
                self._driver.cancel()  # its own thread may wait for a statement
            self._end()


def _ended_before() -> TransactionStateError:
    return TransactionStateError(
        "the job's transaction was ended before the job: by a COMMIT or ROLLBACK on its connection, or because the "
        "connection was lost; leave its end to the job's, session.commit() does"
    )
