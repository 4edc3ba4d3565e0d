"""Join a transaction of the user's: find the SQLite connection behind a session, and write in it.

Everything here runs in the user's own transaction: nothing waits at the gate, and nothing commits.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import contextmanager, suppress
from typing import Any, Iterator, List, NamedTuple, Optional, Tuple

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from sqlite_job.core.errors import (
    DatabaseBusyError,
    DatabaseError,
    InvalidOptionError,
    OtherDatabaseError,
    TransactionStateError,
)
from sqlite_job.storage.files import Identity
from sqlite_job.storage.shared_transactions import AnySession
from sqlite_job.storage.sql import job
from sqlite_job.storage.sqlite_connection import is_busy, translate
from sqlite_job.storage.transaction import Transaction

_DIALECT = SQLiteDialect_pysqlite()

# What Python 3.12's `autocommit` says where it leaves everything to `isolation_level`, as all before it.
_LEGACY = -1

_SAVEPOINT = "sqlitejob_enqueue"

_HOW_TO = "docs/how-to/enqueue-in-your-transaction.md"


class Joined(NamedTuple):
    """A driver's connection inside the user's transaction: what makes its cursors, and what knows its state."""

    connection: Any
    state: Any


def check_session(session: object) -> None:
    """Raise InvalidOptionError for what is no session, no connection, and no transaction to join."""
    if not (is_asynchronous(session) or _is_synchronous(session)):
        hint = ""
        if isinstance(getattr(session, "connection", None), sqlite3.Connection):
            hint = "; for Django write session=connection.connection, inside of transaction.atomic()"
        raise InvalidOptionError(
            f"session is an SQLAlchemy Session, Connection, AsyncSession or AsyncConnection, a sqlite3.Connection or a "
            f"psycopg.Connection, not {session!r}{hint}"
        )


def is_asynchronous(session: object) -> bool:
    """Whether what is given can be used by awaiting only."""
    return _is_of(session, "sqlalchemy.ext.asyncio", "AsyncSession", "AsyncConnection", "async_scoped_session")


def present(session: Any) -> Any:
    """Return the AsyncSession behind an async_scoped_session, or what is given."""
    return session() if _is_of(session, "sqlalchemy.ext.asyncio", "async_scoped_session") else session


def require_synchronous(session: object) -> None:
    """Raise InvalidOptionError for a session that has to be awaited."""
    if is_asynchronous(session):
        kind = type(session).__name__
        raise InvalidOptionError(
            f"enqueue cannot await an {kind}: write `await jobs.with_options(session=session).aenqueue(...)`, or, for "
            f"many, `await session.run_sync(lambda s: jobs.with_options(session=s).enqueue_many(calls))`"
        )


def join(session: AnySession, path: str) -> Joined:
    """Return the SQLite connection of a session, in whose transaction SQLAlchemy is from now on.

    Raises OtherDatabaseError for another dialect, DatabaseBusyError where beginning needs the write lock.
    """
    if isinstance(session, sqlite3.Connection):
        return Joined(session, session)
    if _is_of(session, "psycopg", "Connection"):
        raise OtherDatabaseError(path, "a PostgreSQL server", _mend("give a connection of the queue's own database"))
    try:
        connection = session if isinstance(session, Connection) else _connection_of(session, path)
        if connection.dialect.name != "sqlite":
            theirs = connection.engine.url.render_as_string(hide_password=True)
            raise OtherDatabaseError(path, theirs, _mend("give one of the queue's own database"))
        if not connection.in_transaction():
            connection.begin()  # as its first statement would: else its commit() would not know of ours
        pooled = connection.connection
        driver: Any = pooled.driver_connection
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise _explain(error.orig, path, was_open=False) from error
        raise
    if isinstance(driver, sqlite3.Connection):
        return Joined(driver, driver)
    if type(driver).__module__.startswith("aiosqlite"):
        return Joined(pooled, driver)
    raise OtherDatabaseError(
        path,
        f"{connection.engine.url.render_as_string(hide_password=True)} by {type(driver).__module__}",
        "its driver must be Python's own sqlite3, or aiosqlite: two SQLite libraries in one process break its locks",
    )


@contextmanager
def writing_in(joined: Joined, path: str, identity: Identity) -> Iterator[Transaction]:
    """Take the write lock in the user's transaction, begun here if none is open, and yield a savepoint in it.

    After an error nothing of what was done in it remains, and all that was there before does.
    """
    with _texts_as_str(joined.connection):
        try:
            cursor = joined.connection.cursor()
            if isinstance(cursor, sqlite3.Cursor):
                cursor.row_factory = None
            _check_database(cursor, path, identity)
            is_ours = _begin_if_none_is_open(joined.state, cursor, path)
        except sqlite3.ProgrammingError as error:
            # Closed, or used in a thread that is not its own.
            raise InvalidOptionError(f"The session cannot be used here: {error}") from error
        except sqlite3.Error as error:
            raise translate(error, path) from error
        try:
            yield Transaction(cursor, _DIALECT)
            cursor.execute(f"RELEASE {_SAVEPOINT}")
        except BaseException as error:
            _undo(joined.state, cursor, is_ours=is_ours)
            if isinstance(error, sqlite3.Error):
                raise translate(error, path) from error
            raise
        finally:
            cursor.close()


def refuse_to_prepare(error: DatabaseError, path: str) -> DatabaseBusyError:
    """Return the error for a database without tables whose write lock the user's transaction may have."""
    return DatabaseBusyError(
        f"The queue's tables are not in {path!r} yet, and cannot be made while a transaction has the write lock, "
        f"perhaps the one that was given; make them before, as by jobs.counts() where the program starts ({error})"
    )


def _is_synchronous(session: object) -> bool:
    return (
        isinstance(session, (sqlite3.Connection, Connection))
        or _is_of(session, "sqlalchemy.orm", "Session", "scoped_session")
        or _is_of(session, "psycopg", "Connection")
    )


def _is_of(session: object, module: str, *names: str) -> bool:
    # Whoever has an object of that module has imported it, so that we need not: it takes a tenth of a second.
    found = sys.modules.get(module)
    return found is not None and isinstance(session, tuple(getattr(found, name) for name in names))


def _connection_of(session: Any, path: str) -> Connection:
    from sqlalchemy.exc import UnboundExecutionError

    try:
        connection: Connection = session.connection()
    except UnboundExecutionError as error:
        raise OtherDatabaseError(
            path,
            "several engines, or none",
            "give the connection of the right one: session=session.connection(bind_arguments={'bind': engine})",
        ) from error
    return connection


def _check_database(cursor: Any, path: str, identity: Identity) -> None:
    """Raise OtherDatabaseError unless the connection's main database is the queue's file."""
    cursor.execute("PRAGMA database_list")
    rows: List[Tuple[int, str, Optional[str]]] = cursor.fetchall()
    found = {row[1]: row[2] for row in rows}
    main = found.get("main")
    if _identity(main) == identity:
        return
    for name, file in found.items():
        if name != "main" and _identity(file) == identity:
            raise OtherDatabaseError(
                path,
                main or ":memory:",
                f"the queue's database is attached to it as {name!r}, but a transaction over several files is not "
                f"committed as one in WAL mode; connect to the queue's own file, and attach the others",
            )
    raise OtherDatabaseError(path, main or ":memory:", _mend("no transaction spans two databases; give the same file"))


def _mend(what: str) -> str:
    return f"{what} to both, as SQLiteJob(database=...) and create_engine('sqlite:///...')"


def _identity(file: Optional[str]) -> Optional[Identity]:
    if not file:
        return None
    try:
        found = os.stat(file)
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def _begin_if_none_is_open(state: Any, cursor: Any, path: str) -> bool:
    """Take the write lock and set a savepoint; True where the transaction was begun here."""
    was_open = bool(state.in_transaction)
    if not was_open:
        _require_transactions(state)
    try:
        if was_open:
            # Before anything is read: a read that becomes a write fails when somebody commits in between.
            Transaction(cursor, _DIALECT).run(job.TAKE_WRITE_LOCK)
        else:
            cursor.execute("BEGIN IMMEDIATE")
        cursor.execute(f"SAVEPOINT {_SAVEPOINT}")
    except sqlite3.Error as error:
        raise _explain(error, path, was_open=was_open) from error
    return not was_open


def _require_transactions(state: Any) -> None:
    """Raise TransactionStateError where each statement would be committed at once."""
    # aiosqlite shows no `autocommit` of its own.
    autocommit = getattr(getattr(state, "_conn", state), "autocommit", _LEGACY)
    if autocommit is True or (autocommit in (_LEGACY, True) and state.isolation_level is None):
        raise TransactionStateError(
            f"The connection commits each statement by itself, and no transaction has begun: begin one first, as by "
            f"connection.execute('BEGIN IMMEDIATE'), by an engine whose 'begin' event does, or by Django's "
            f"transaction.atomic() ({_HOW_TO})"
        )


def _explain(error: sqlite3.Error, path: str, *, was_open: bool) -> DatabaseError:
    if not is_busy(error):
        return translate(error, path)
    why = (
        "your transaction began with a read, and others have written since, or hold the lock"
        if was_open
        else "another transaction held it longer than your connection's timeout"
    )
    return DatabaseBusyError(
        f"The transaction cannot take the write lock of {path!r}: {why}. Nothing is lost: roll back and run it again; "
        f"one that is to write begins best with BEGIN IMMEDIATE, which waits its turn ({_HOW_TO}; {error})"
    )


@contextmanager
def _texts_as_str(connection: Any) -> Iterator[None]:
    """Read texts as `str`, whatever the user reads them as."""
    if not isinstance(connection, sqlite3.Connection) or connection.text_factory is str:
        yield
        return
    before, connection.text_factory = connection.text_factory, str
    try:
        yield
    finally:
        connection.text_factory = before


def _undo(state: Any, cursor: Any, *, is_ours: bool) -> None:
    with suppress(sqlite3.Error):
        # After a full disk or an I/O error SQLite has rolled back already.
        if state.in_transaction and is_ours:
            cursor.execute("ROLLBACK")
        elif state.in_transaction:
            cursor.execute(f"ROLLBACK TO {_SAVEPOINT}")
            cursor.execute(f"RELEASE {_SAVEPOINT}")
