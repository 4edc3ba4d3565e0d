"""Create and migrate the schema; several processes may try at once, and one of them does it."""

from __future__ import annotations

import sqlite3
from typing import Optional

from sqlite_job.core.errors import DatabaseTooNewError, DatabaseUnusableError, NotOurDatabaseError
from sqlite_job.storage import files
from sqlite_job.storage.gate import Gate
from sqlite_job.storage.moving import mark as marks
from sqlite_job.storage.moving.mark import Mark
from sqlite_job.storage.revisions import HEAD, VERSION_TABLE
from sqlite_job.storage.sqlite_connection import closing, connect, connect_plainly

# "sqjb": marks files that this program made, for `file` and for other programs; 0 is a file with the user's own tables.
APPLICATION_ID = 0x73716A62

# Triggers on our tables, and views in their place. We have none; those on a user's own tables are the user's.
_FOREIGN = r"""
SELECT type, name, tbl_name FROM sqlite_master
WHERE (type = 'trigger' AND tbl_name LIKE 'sqlitejob\_%' ESCAPE '\')
   OR (type = 'view' AND name LIKE 'sqlitejob\_%' ESCAPE '\')
"""


def check_candidate(path: str) -> bool:
    """Return whether the file is ready for use as it is; raises a DatabaseError for one that we would refuse.

    Nothing is made or changed, and no turn at the gate is waited for.
    """
    if not files.size_of(path):
        files.check_folder(path)
        return False
    files.check_file(path)
    return _check_owner(path) == HEAD


def holds_queue(path: str) -> bool:
    """Whether the file at `path` has our tables; raises a DatabaseError for what is no database of ours at all."""
    if not files.size_of(path):
        return False
    check_candidate(path)
    with closing(connect_plainly(path), path) as connection:
        return schema_version(connection) is not None


def prepare_file(path: str, gate: Gate, durability: str) -> files.Identity:
    """Make the database at `path` ready: created, migrated, checked; returns the identity of the file.

    Raises a DatabaseError: not a database, another application's, or one made by a newer version.
    """
    with gate:
        if files.create_private(path):
            _initialise(path)
        identity = files.check_file(path)
        if files.size_of(path) == 0:
            # Somebody made an empty file, or we died between making and filling it.
            _initialise(path)
        _check_owner(path)
        with closing(connect(path, durability), path) as connection:
            if schema_version(connection) != HEAD:
                _migrate(connection)
    return identity


def check_owner(connection: sqlite3.Connection, path: str) -> None:
    """Raise a DatabaseError for what is not ours to use: see `check_origin`; moved elsewhere, or a foreign trigger."""
    check_origin(connection, path)
    mark = read_mark(connection)
    if mark is not None:
        raise mark.error(path)
    for kind, name, table in connection.execute(_FOREIGN).fetchall():
        # It would run with each of our writes, and could change what is stored: a supplied file may carry one.
        message = (
            f"{path!r} has a {kind} {name!r} on {table}, which sqlite-job did not make; see what it does, then "
            f"DROP {kind.upper()} {name}, or give another path"
        )
        raise DatabaseUnusableError(message)


def check_origin(connection: sqlite3.Connection, path: str) -> None:
    """Raise a DatabaseError for a file that another application made, or a newer version."""
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    if application_id not in (0, APPLICATION_ID):
        message = (
            f"{path!r} belongs to another application ({application_id:#x}); give another path (nothing was changed)"
        )
        raise NotOurDatabaseError(message)
    found = schema_version(connection)
    if found is not None and found > HEAD:
        message = f"{path!r} was made by a newer sqlite-job (schema {found}, this one knows {HEAD}); upgrade sqlite-job"
        raise DatabaseTooNewError(message)


def schema_version(connection: sqlite3.Connection) -> Optional[str]:
    """Return the revision of our tables, or None where there are none yet."""
    if not _has_table(connection, VERSION_TABLE):
        return None
    rows = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall()  # noqa: S608 - a constant
    return str(rows[0][0]) if rows else None


def read_mark(connection: sqlite3.Connection) -> Optional[Mark]:
    """Return what a move has left, or None: the queue is here."""
    if not _has_table(connection, marks.TABLE):
        return None
    rows = connection.execute(marks.READ.format(table=marks.TABLE)).fetchall()
    return Mark(*rows[0]) if rows else None


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type='table' AND name=?"
    return bool(connection.execute(query, (name,)).fetchall())


def _initialise(path: str) -> None:
    # auto_vacuum is ignored once the file has WAL or a table: so it comes first, on a connection of its own.
    with closing(connect_plainly(path), path) as connection:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode=WAL")


def _check_owner(path: str) -> Optional[str]:
    # It only reads, so that a stranger's file is left as it is, journal mode included.
    with closing(connect_plainly(path), path) as connection:
        check_owner(connection, path)
        return schema_version(connection)


def _migrate(connection: sqlite3.Connection) -> None:
    # Imported here, with all of SQLAlchemy and alembic: they take longer to import than a whole start without them.
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import StaticPool

    from sqlite_job.storage.migrating import migrate

    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    try:
        with engine.connect() as bound:
            bound.exec_driver_sql("BEGIN IMMEDIATE")
            migrate(bound)
            bound.commit()
    except DBAPIError as error:
        raise (error.orig or error) from error
