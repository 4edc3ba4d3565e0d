"""Keep a transaction open while a job writes in it, and end it with the job's completion.

A thread of its own, the keeper, has the gate's turn, begins, and commits or rolls back. So the job's thread may be
interrupted at any moment, as a job that is stopped is, or hang: the lock is given back all the same.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, Callable, Optional, Union

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, ExceptionContext, create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from sqlite_job.core.errors import TransactionStateError
from sqlite_job.core.outcomes import Completed
from sqlite_job.core.stopping import Stop
from sqlite_job.storage.gate import Owner, own_turn, owners
from sqlite_job.storage.sqlite_connection import translate

# A savepoint below all of the user's: if it is gone at the end, the transaction is not the one that was begun.
_GUARD = "sqlitejob_job"

# How long the keeper of a stopped job waits to see whether a statement runs, and then for its error to be told: the
# text of an error stands in the connection, and would be lost to what the keeper does with it.
_SECONDS_TO_BE_SEEN = 0.02
_SECONDS_TO_BE_TOLD = 0.05

# Where a connection keeps the event that says so.
_TOLD = "sqlite_job_error_is_told"

# How many steps of SQLite's machine a statement of a stopped job may still take: about a millisecond.
_STEPS_BETWEEN_LOOKS = 10_000

# Runs an attempt in the gate's turn, and again while the lock is not free.
InTurn = Callable[[Callable[[], None]], None]

# Records a completion; False when its fence is closed.
Settle = Callable[[sqlite3.Cursor, Completed], bool]


def make_engine(connect: Callable[[], sqlite3.Connection]) -> Engine:
    """Return an engine whose connections are made by `connect`, each for one transaction.

    One for all of them: it remembers how the user's statements are compiled.
    """
    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "handle_error", _note_error)
    return engine


class KeptTransaction:
    """An `OpenTransaction`; what is public belongs to the thread of the job, the rest to the keeper."""

    def __init__(self, path: str, engine: Engine, in_turn: InTurn, settle: Settle) -> None:
        """Take the parts; `begin` begins."""
        self._path = path
        self._engine = engine
        self._in_turn = in_turn
        self._settle = settle
        self._owner: Optional[Owner] = None
        self._connection: Connection
        self._session: Optional[Session] = None
        self._is_stopped = False
        self._is_interrupted = threading.Event()
        self._error_is_told = threading.Event()
        # What the keeper is to do: complete, or (None) roll back; the first wish counts. Of the queues this is the one
        # whose put may be called in a signal handler.
        self._wishes: SimpleQueue[Optional[Completed]] = SimpleQueue()
        # What it has to say: first None for "open", then how it ended; or, instead of both, why it could not begin.
        self._news: SimpleQueue[Union[bool, BaseException, None]] = SimpleQueue()
        self._end: Union[bool, BaseException] = False
        self._has_ended = False

    def begin(self, stop: Stop) -> None:
        """Begin, or raise DatabaseBusyError; from then on `stop` rolls back."""
        threading.Thread(target=self._keep, name="sqlite-job-transaction", daemon=True).start()
        stop.call_when_set(self._on_stop)
        try:
            news = self._news.get()
        except BaseException:  # interrupted: nobody will use what is being opened
            self._wishes.put(None)
            raise
        if isinstance(news, BaseException):
            self._has_ended = True
            raise news

    def enter(self) -> Session:
        """Return a session in the transaction, for this thread; its commit() and rollback() end savepoints only."""
        self._owner = own_turn(self._path)
        self._connection.begin()
        self._session = Session(bind=self._connection, join_transaction_mode="create_savepoint", expire_on_commit=False)
        return self._session

    def flush(self) -> None:
        """Write what the session still holds back."""
        if self._session is not None and self._session.in_transaction():
            self._session.commit()

    def complete(self, completed: Completed) -> bool:
        """Record the completion and commit; False when the job was taken from this worker."""
        if not (self._is_stopped or self._has_ended):
            self.flush()
        found = self._wish(completed)
        self.close()
        if isinstance(found, BaseException):
            raise found
        return found

    def roll_back(self) -> None:
        """Undo everything, unless it has ended; never raises."""
        self._wish(None)

    def close(self) -> None:
        """Roll back what is still open, and close the connection; never raises."""
        self.roll_back()
        session, self._session = self._session, None
        if session is not None:
            # A session whose transaction was rolled back under it complains of its savepoints.
            with suppress(Exception):
                session.close()
            with suppress(Exception):
                self._connection.close()

    def _wish(self, wish: Optional[Completed]) -> Union[bool, BaseException]:
        if not self._has_ended:
            self._wishes.put(wish)
            news = self._news.get()
            assert news is not None  # noqa: S101 - that was the first
            self._end = news
            self._has_ended = True
        return self._end

    def _on_stop(self) -> None:
        self._is_stopped = True
        self._wishes.put(None)

    def _keep(self) -> None:
        try:
            self._in_turn(self._attempt)
        except BaseException as error:  # noqa: BLE001 - raised in the thread of the job
            self._end = error
        finally:
            if self._owner is not None:
                owners.discard(self._owner)
        self._news.put(self._end)

    def _attempt(self) -> None:
        """Begin; then wait for the first wish, and fulfil it: from there on nothing is raised, nor tried again."""
        connection = self._engine.connect()
        try:
            driver: Any = connection.connection.driver_connection
            # Whatever ends the transaction under the user, what is written afterwards is in one that is rolled back.
            driver.isolation_level = "IMMEDIATE"
            cursor = driver.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute(f"SAVEPOINT {_GUARD}")
            connection.info[_TOLD] = self._error_is_told
            driver.set_progress_handler(partial(self._must_end, threading.get_ident()), _STEPS_BETWEEN_LOOKS)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._news.put(None)
        wish = self._wishes.get()
        if self._is_stopped and self._is_interrupted.wait(_SECONDS_TO_BE_SEEN):
            self._error_is_told.wait(_SECONDS_TO_BE_TOLD)
        self._end = self._commit(cursor, wish) if wish is not None else _rolled_back()
        if self._end is not True:
            _undo(cursor)

    def _must_end(self, keeper: int) -> bool:
        """Whether a statement that runs is to be interrupted: asked by SQLite in the thread that runs it."""
        if not self._is_stopped or threading.get_ident() == keeper:
            return False
        self._is_interrupted.set()
        return True

    def _commit(self, cursor: sqlite3.Cursor, completed: Completed) -> Union[bool, BaseException]:
        try:
            if not _is_guarded(cursor):
                return TransactionStateError(
                    "the job's transaction was ended before the job: by a COMMIT or ROLLBACK on its connection, or by "
                    "SQLite after an I/O error; leave its end to the job's, session.commit() does"
                )
            if not self._settle(cursor, completed):
                return False
            cursor.execute("COMMIT")
        except sqlite3.Error as error:
            return translate(error, self._path)
        except BaseException as error:  # noqa: BLE001 - as above
            return error
        return True


def _note_error(context: ExceptionContext) -> None:
    told = context.connection.info.get(_TOLD) if context.connection is not None else None
    if told is not None:
        told.set()


def _is_guarded(cursor: sqlite3.Cursor) -> bool:
    try:
        cursor.execute(f"RELEASE {_GUARD}")
    except sqlite3.Error:
        return False
    return True


def _rolled_back() -> TransactionStateError:
    return TransactionStateError("the job's transaction was rolled back, since the job was told to stop")


def _undo(cursor: sqlite3.Cursor) -> None:
    """Roll back, and keep whoever still has the session from writing."""
    with suppress(sqlite3.Error):
        cursor.execute("PRAGMA query_only=ON")
        # After a full disk or an I/O error SQLite has rolled back already.
        if cursor.connection.in_transaction:
            cursor.execute("ROLLBACK")
