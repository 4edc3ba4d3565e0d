"""Join a transaction of the user's: find the connection behind a session, and write in it.

Nothing here commits, and what fails leaves the user's transaction as it was: all of it is in a savepoint.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, Tuple, Union

import psycopg
from psycopg.rows import tuple_row
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, UnboundExecutionError

from sqlite_job.core.errors import (
    DatabaseBusyError,
    DatabaseUnusableError,
    OtherDatabaseError,
    SQLiteJobError,
    TransactionStateError,
)
from sqlite_job.storage.postgres.dialect import JobDialect
from sqlite_job.storage.postgres.session_transaction import SessionTransaction
from sqlite_job.storage.postgres.transaction import PostgresTransaction
from sqlite_job.storage.postgres.trouble import translate

_HOW_TO = "docs/how-to/enqueue-in-your-transaction.md"

_MEND = "give a session of the queue's own database"

_SAVEPOINT = "sqlitejob_enqueue"

# As in `trouble.py`; another's driver may be any.
_BUSY = ("40001", "40P01", "55P03", "23505")

_TAKEN = "23505"  # unique_violation

# Which server, which database of it, and which table. Two servers may well give their tables the same numbers.
_IDENTITY = """
SELECT system_identifier::text, (SELECT oid FROM pg_database WHERE datname = current_database())::bigint,
       to_regclass('{table}')::oid::bigint
FROM pg_control_system()
"""

# Who sees the database as it was at the transaction's beginning would count, behind a lock, what is not true any more.
_SEES_THE_PAST = "SELECT 1 WHERE current_setting('transaction_isolation') IN ('repeatable read', 'serializable')"

Identity = Tuple[str, int, int]

AnyConnection = Union[Connection, "psycopg.Connection[Any]"]


class JustTakenError(DatabaseBusyError):
    """Another transaction has just committed a job of the same id, which was not there when this one looked."""


def identity_query(dialect: JobDialect) -> str:
    """Return the query whose one row tells a queue's database from all others."""
    return _IDENTITY.format(table=dialect.qualified("sqlitejob_job").replace("'", "''"))


def connection_of(session: Any, shown: str) -> AnyConnection:
    """Return the connection of a session, in whose transaction SQLAlchemy is from now on.

    Raises OtherDatabaseError for another dialect, TransactionStateError where each statement is committed at once.
    """
    if isinstance(session, psycopg.Connection):
        if session.autocommit and session.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            raise _no_transaction()
        return session
    try:
        connection = session if isinstance(session, Connection) else session.connection()
    except UnboundExecutionError as error:
        mend = "give the connection of the right one: session=session.connection(bind_arguments={'bind': engine})"
        raise OtherDatabaseError(shown, "several engines, or none", mend) from error
    except AttributeError as error:
        raise OtherDatabaseError(
            shown, type(session).__module__, "give a session of the queue's own database"
        ) from error
    if connection.dialect.name != "postgresql":
        theirs = connection.engine.url.render_as_string(hide_password=True)
        raise OtherDatabaseError(shown, theirs, _MEND)
    return connection


@contextmanager
def writing_in(
    connection: AnyConnection, dialect: JobDialect, identity: Identity, shown: str
) -> Iterator[PostgresTransaction]:
    """Yield a savepoint in the user's transaction; after an error nothing of what was done in it remains."""
    if isinstance(connection, psycopg.Connection):
        with _in_driver(connection, dialect, identity, shown) as transaction:
            yield transaction
        return
    try:
        with connection.begin_nested():
            transaction = SessionTransaction(connection, dialect)
            _check_identity(connection.execute(text(identity_query(dialect))).fetchone(), identity, shown)
            yield transaction
    except DBAPIError as error:
        raise _explain(error.orig or error, shown) from error


@contextmanager
def _in_driver(
    connection: psycopg.Connection[Any], dialect: JobDialect, identity: Identity, shown: str
) -> Iterator[PostgresTransaction]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        try:
            cursor.execute(f"SAVEPOINT {_SAVEPOINT}")
            try:
                cursor.execute(identity_query(dialect))
                _check_identity(cursor.fetchone(), identity, shown)
                yield PostgresTransaction(cursor, dialect, is_cleaning=True)
            except BaseException:
                cursor.execute(f"ROLLBACK TO {_SAVEPOINT}; RELEASE {_SAVEPOINT}")
                raise
            cursor.execute(f"RELEASE {_SAVEPOINT}")
        except psycopg.Error as error:
            raise _explain(error, shown) from error


def require_fresh_reads(transaction: PostgresTransaction) -> None:
    """Raise TransactionStateError for a transaction whose statements do not see what was committed before them."""
    if transaction.numbers(_SEES_THE_PAST):
        raise TransactionStateError(
            "A job with a limit, a group or a unique key depends on others' newest jobs, which this transaction cannot "
            "see: its isolation is REPEATABLE READ or SERIALIZABLE. Begin it at READ COMMITTED, PostgreSQL's default, "
            f"or enqueue after its commit ({_HOW_TO})"
        )


def _check_identity(found: Any, identity: Identity, shown: str) -> None:
    if found is None or tuple(found) != identity:
        raise OtherDatabaseError(
            shown, "another one", "no transaction spans two databases; connect the session to the queue's own"
        )


def _explain(error: BaseException, shown: str) -> SQLiteJobError:
    """Return the DatabaseError for what any driver of PostgreSQL raises."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""
    if state == "25P01":
        return _no_transaction()
    if state == "25P02":
        return TransactionStateError("The transaction has failed already: roll it back, and run it again")
    if state in _BUSY or state == _TAKEN:
        kind = JustTakenError if state == _TAKEN else DatabaseBusyError
        return kind(
            f"Another transaction was in the way of yours in {shown}. Nothing is lost: roll back, and run it again "
            f"({error})"
        )
    if isinstance(error, psycopg.Error):
        return translate(error, shown)
    return DatabaseUnusableError(f"{shown} refuses what this version writes: {error}")


def _no_transaction() -> TransactionStateError:
    return TransactionStateError(
        f"The connection commits each statement by itself (AUTOCOMMIT), and no transaction has begun: begin one first "
        f"({_HOW_TO})"
    )
