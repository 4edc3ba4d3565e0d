"""Open a SQLite connection: the one recipe, with every pragma read back."""

from __future__ import annotations

import ctypes
import sqlite3
from contextlib import contextmanager
from typing import Any, Iterator, Tuple, Type
from urllib.parse import quote

from sqlite_job.core.errors import (
    DatabaseBusyError,
    DatabaseError,
    DatabaseFullError,
    DatabaseMovedError,
    DatabaseUnavailableError,
    DatabaseUnusableError,
    NotOurDatabaseError,
    SQLiteTooOldError,
)
from sqlite_job.storage.moving.mark import REFUSAL
from sqlite_job.storage.trust import check_journals

# 3.35 brought RETURNING, 3.37 (November 2021) STRICT tables.
OLDEST_SQLITE = (3, 37, 0)

# How long one attempt waits for a program that holds the lock and knows nothing of the gate; the whole transaction is
# rerun until the operation's own deadline, so that others behind the same gate get their turn in between.
BUSY_TIMEOUT_MS = 100

# 32 MB: the hot indexes of a million jobs.
_CACHE_KIB = 32 * 1024

# What a checkpoint leaves of the journal on disk.
_JOURNAL_SIZE_LIMIT = 64 * 1024 * 1024

_SYNCHRONOUS = {"normal": 1, "full": 2}

# Errors that stay until somebody mends the file.
_UNUSABLE: Tuple[Tuple[str, Type[DatabaseError], str], ...] = (
    (
        "not a database",
        NotOurDatabaseError,
        "{path!r} is not a SQLite database; give another path, or restore a backup (nothing was changed)",
    ),
    (
        "malformed",
        DatabaseUnusableError,
        "The database {path!r} is damaged ({text}); stop all workers, keep its files, and restore a backup",
    ),
    (
        "readonly",
        DatabaseUnusableError,
        "The database {path!r} cannot be written; check the rights on it and its folder ({text})",
    ),
    (
        "no such ",
        DatabaseUnusableError,
        "The database {path!r} has not the tables of this version any more ({text}); restore a backup",
    ),
)


# SQLite's own, but for testing/failpoints.py.
connection_class: Type[sqlite3.Connection] = sqlite3.Connection


def connect(path: str, durability: str) -> sqlite3.Connection:
    """Open an existing database file in WAL mode; raises a DatabaseError that says what is wrong with it."""
    check_journals(path)
    try:
        connection = sqlite3.connect(
            f"file:{quote(path)}?mode=rw",
            uri=True,
            timeout=BUSY_TIMEOUT_MS / 1000,
            isolation_level=None,  # BEGIN is said by hand: see SqliteStorage._attempt
            check_same_thread=False,
            factory=connection_class,
            cached_statements=256,
        )
    except sqlite3.Error as error:
        raise translate(error, path) from error
    try:
        _configure(connection, durability)
    except sqlite3.Error as error:
        discard(connection, error)
        raise translate(error, path) from error
    except BaseException:
        connection.close()
        raise
    return connection


def connect_plainly(path: str, mode: str = "rw") -> sqlite3.Connection:
    """Open an existing file as it is, without setting anything: to look at what may not be ours, or to fill a new one.

    Raises a DatabaseError.
    """
    check_journals(path)
    try:
        return sqlite3.connect(f"file:{quote(path)}?mode={mode}", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise translate(error, path) from error


@contextmanager
def closing(connection: sqlite3.Connection, path: str) -> Iterator[sqlite3.Connection]:
    """Close a connection at the end, and turn what the driver raises into a DatabaseError."""
    try:
        yield connection
    except sqlite3.Error as error:
        discard(connection, error)
        raise translate(error, path) from error
    except BaseException:
        connection.close()
        raise
    connection.close()


def discard(connection: sqlite3.Connection, error: BaseException) -> None:
    """Close a connection after an error, unless the file is damaged.

    Closing the last one, SQLite would copy the journal into the file and delete it: what may be saved from the two
    would be gone. Kept open until the process ends, it does neither.
    """
    if isinstance(error, sqlite3.Error) and is_damage(error):
        keep_for_ever(connection)
    else:
        connection.close()


def keep_for_ever(connection: sqlite3.Connection) -> None:
    """Let a connection never be closed, not even when Python ends."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def check_version(version: Tuple[int, ...] = sqlite3.sqlite_version_info) -> None:
    """Raise SQLiteTooOldError below 3.37."""
    if version < OLDEST_SQLITE:
        found = ".".join(map(str, version))
        message = f"SQLite {found} is too old: sqlite-job needs 3.37 or later; use a Python built with a newer one"
        raise SQLiteTooOldError(message)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether the error means that another connection holds a lock: rerun the transaction."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def is_full(error: sqlite3.Error) -> bool:
    """Whether the disk had no room; the transaction is rolled back already."""
    return "is full" in str(error)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file has not the form of a database, or not any more."""
    text = str(error)
    return "malformed" in text or "not a database" in text


def translate(error: sqlite3.Error, path: str) -> DatabaseError:
    """Return the DatabaseError for a driver's error (by its text: sqlite_errorcode came with Python 3.11)."""
    text = str(error)
    if text.startswith(REFUSAL):
        return DatabaseMovedError(f"{text}; nothing was written")
    if is_busy(error):
        return DatabaseBusyError(
            f"The database {path!r} is locked by another program; nothing was written, try again ({text})"
        )
    if is_full(error):
        return DatabaseFullError(f"No room left on the disk of {path!r}; nothing was written, make room ({text})")
    for part, kind, message in _UNUSABLE:
        if part in text:
            return kind(message.format(path=path, text=text))
    if isinstance(error, sqlite3.OperationalError):
        return DatabaseUnavailableError(f"The database {path!r} cannot be used: {text}")
    # A constraint, a type: rows or tables are not as this version left them.
    return DatabaseUnusableError(
        f"The database {path!r} refuses what this version writes ({text}); see what has changed its rows or tables: "
        f"sqlite-job doctor"
    )


def _configure(connection: sqlite3.Connection, durability: str) -> None:
    if _pragma(connection, "journal_mode") != "wal":
        _set(connection, "journal_mode", "WAL", "wal")
    _set(connection, "synchronous", _SYNCHRONOUS[durability], _SYNCHRONOUS[durability])
    _set(connection, "busy_timeout", BUSY_TIMEOUT_MS, BUSY_TIMEOUT_MS)
    _set(connection, "foreign_keys", 1, 1)
    _set(connection, "trusted_schema", 0, 0)
    # A mapped file turns an I/O error into a dead process.
    _set(connection, "mmap_size", 0, 0)
    # Debian's default overwrites deleted pages: 23.6 MB of journal for 0.14 MB deleted.
    _set(connection, "secure_delete", 0, 0)
    _set(connection, "temp_store", 2, 2)
    _set(connection, "journal_size_limit", _JOURNAL_SIZE_LIMIT, _JOURNAL_SIZE_LIMIT)
    _set(connection, "cache_size", -_CACHE_KIB, -_CACHE_KIB)
    # SQLite before 3.51.3 can corrupt the file when an automatic checkpoint races a commit: ours run behind the gate.
    _set(connection, "wal_autocheckpoint", 0, 0)


def _set(connection: sqlite3.Connection, name: str, value: object, expected: object) -> None:
    connection.execute(f"PRAGMA {name}={value}").fetchall()
    found = _pragma(connection, name)
    # mmap_size answers nothing where it is compiled out, which is as good as 0.
    if found != expected and not (name == "mmap_size" and found is None):
        message = (
            f"SQLite did not take PRAGMA {name}={value} (it is {found!r}); this build or file system cannot be used"
        )
        raise DatabaseUnavailableError(message)


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    row = connection.execute(f"PRAGMA {name}").fetchone()
    return row[0] if row else None
