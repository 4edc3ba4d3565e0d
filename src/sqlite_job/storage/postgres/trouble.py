"""Tell what an error of PostgreSQL means: run it again, connect again, or give it to the caller."""

from __future__ import annotations

from typing import Tuple, Type

import psycopg

from sqlite_job.core.errors import (
    DatabaseBusyError,
    DatabaseError,
    DatabaseFullError,
    DatabaseMovedError,
    DatabaseUnavailableError,
    DatabaseUnusableError,
)

# Another transaction was in the way: serialization_failure, deadlock_detected, lock_not_available; unique_violation, as
# when somebody else has just stored a job of the same id. The next run sees what that one has done.
_RERUN = ("40001", "40P01", "55P03", "23505")

# The server ends or begins: admin_shutdown, crash_shutdown, cannot_connect_now, database_dropped, too many connections,
# idle_in_transaction_session_timeout, a standby that was promoted or is none (read_only_sql_transaction).
_LOST = ("57P01", "57P02", "57P03", "57P05", "53300", "25P03", "25006")

# Classes and codes of errors that stay until somebody mends them.
_STAYING: Tuple[Tuple[str, Type[DatabaseError], str], ...] = (
    ("53100", DatabaseFullError, "No room left on the disk of {shown}; nothing was written, make room ({text})"),
    ("53", DatabaseUnavailableError, "{shown} has not the means to go on: {text}"),
    ("3D000", DatabaseUnavailableError, "There is no database {shown}; make it, as with createdb ({text})"),
    ("28", DatabaseUnavailableError, "{shown} does not let us in: {text}; check user, password and pg_hba.conf"),
    ("42501", DatabaseUnusableError, "{shown} does not allow it: {text}; grant the rights, or give another schema"),
    ("42P01", DatabaseUnusableError, "{shown} has not the tables of this version any more ({text})"),
    ("3F000", DatabaseUnusableError, "{shown} has not the schema any more ({text})"),
)


# What the triggers raise that a move leaves on the tables.
MOVED_STATE = "SJ001"


def must_run_again(error: psycopg.Error) -> bool:
    """Whether another transaction was in the way, and the whole transaction is to be run again."""
    return error.sqlstate in _RERUN


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection is gone, or could not be made."""
    state = error.sqlstate
    if state is not None:
        return state in _LOST or state.startswith("08")
    return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))


def has_bad_character(error: psycopg.Error) -> bool:
    """Whether a text had the null character, which PostgreSQL cannot store."""
    return isinstance(error, psycopg.DataError) and "NUL" in str(error)


def translate(error: psycopg.Error, shown: str) -> DatabaseError:
    """Return the DatabaseError for a driver's error."""
    text = " ".join(str(error).split())
    state = error.sqlstate or ""
    if state == MOVED_STATE:
        return DatabaseMovedError(f"{error.diag.message_primary}; nothing was written")
    if must_run_again(error):
        return DatabaseBusyError(f"{shown} is locked by another transaction; nothing was written, try again ({text})")
    if is_lost(error):
        return DatabaseUnavailableError(f"{shown} cannot be reached: {text}")
    for code, kind, message in _STAYING:
        if state.startswith(code):
            return kind(message.format(shown=shown, text=text))
    return DatabaseUnusableError(
        f"{shown} refuses what this version writes ({text}); see what has changed its rows or tables: sqlite-job doctor"
    )
