"""Copy a database while it is in use, and put a copy in its place."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager, suppress
from typing import Iterator, List

from sqlite_job.core.clock import pause, to_datetime
from sqlite_job.core.copies import Copy
from sqlite_job.core.errors import (
    BackupRefusedError,
    DatabaseError,
    DatabaseUnavailableError,
    DatabaseUnusableError,
    NotOurDatabaseError,
)
from sqlite_job.storage import files
from sqlite_job.storage.filesystem import check_filesystem
from sqlite_job.storage.gate import inside_gate
from sqlite_job.storage.plain_reading import living_workers, read_rows
from sqlite_job.storage.schema import check_owner, schema_version
from sqlite_job.storage.sql import lookup
from sqlite_job.storage.sqlite_connection import closing, connect_plainly

# 1 MB in a step, and a pause after it, so that the disk has time for others.
_PAGES_IN_A_STEP = 256
_PAUSE_SECONDS = 0.002

# How long a restore waits for those who write; no transaction of ours takes as long.
_PATIENCE_SECONDS = 30.0


def back_up(path: str, target: str, *, force: bool) -> Copy:
    """Copy the database at `path` to the file `target`, as it is at one moment, while others read and write.

    The copy is checked, private to its owner, and one file without a journal. With `force` it takes the place of a
    file that is there. Raises BackupRefusedError or a DatabaseError; then there is no copy.
    """
    _refuse_same(path, target)
    if os.path.isdir(target):
        raise BackupRefusedError(f"{target!r} is a folder; give the name of a file in it")
    if os.path.exists(target) and not force:
        raise BackupRefusedError(f"{target!r} exists already; give another name, or write over it with force")
    if os.path.exists(f"{target}-wal"):
        raise BackupRefusedError(f"{target!r} is a database in use, or has not been closed; give another name")
    with _part_of(target) as part:
        jobs = _copy(path, part)
        files.put_in_place(part, target)
    return Copy(target, files.size_of(target), jobs)


def restore(source: str, path: str, *, force: bool, now: int, allow_network_fs: bool) -> Copy:
    """Put a copy of the backup `source` in the place of the database at `path`.

    With `force` also where there is a database: it is kept beside, under another name. Its workers must have ended.
    What was running when the backup was made is rescued by the first worker. Raises BackupRefusedError or a
    DatabaseError; then nothing was changed.
    """
    _refuse_same(source, path)
    check_filesystem(path, allow_network=allow_network_fs)
    files.check_folder(path)
    _refuse_replacement(path, force=force, now=now)
    with _part_of(path) as part:
        jobs = _copy(source, part)
        # Behind the gate nobody writes; who comes after us finds another file, and acknowledges nothing into the old.
        with inside_gate(f"{path}-gate", _PATIENCE_SECONDS) as is_inside:
            if not is_inside:
                raise BackupRefusedError(f"Somebody has been writing to {path!r} for {_PATIENCE_SECONDS:g} s; end that")
            _refuse_replacement(path, force=force, now=now)
            files.give_to_owner_of(path if os.path.exists(path) else os.path.dirname(path), part, f"{path}-gate")
            replaced = _set_aside(path, now)
            files.put_in_place(part, path)
    return Copy(path, files.size_of(path), jobs, replaced)


def _refuse_same(source: str, target: str) -> None:
    if os.path.realpath(source) == os.path.realpath(target):
        raise BackupRefusedError(f"{target!r} is the database itself; give another file")


def _refuse_replacement(path: str, *, force: bool, now: int) -> None:
    alive = _living_workers(path, now)
    if alive:
        raise BackupRefusedError(f"{path!r} has workers that live: {', '.join(alive)}; stop them first")
    if files.size_of(path) and not force:
        raise BackupRefusedError(f"{path!r} exists; with force it is put aside, and kept under another name")


def _living_workers(path: str, now: int) -> List[str]:
    if not files.size_of(path):
        return []
    try:
        with closing(connect_plainly(path, "ro"), path) as connection:
            return living_workers(connection, path, now)
    except DatabaseError:
        return []  # so damaged that it cannot be told


@contextmanager
def _part_of(target: str) -> Iterator[str]:
    """Make a file beside the target, to be filled and renamed; what is not renamed is removed at the end."""
    part = f"{target}.{os.getpid()}.part"
    if not files.create_private(part):
        raise BackupRefusedError(f"{part!r} exists, left by a backup that was cut off; remove it")
    try:
        yield part
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(part + suffix)


def _copy(source: str, part: str) -> int:
    """Fill an empty file with a checked copy, and return the number of jobs in it."""
    if not os.path.exists(source):
        raise DatabaseUnavailableError(f"There is no file {source!r}")
    # Read-only: closing it leaves the journal as it is, whatever the state of the file.
    with closing(connect_plainly(source, "ro"), source) as connection:
        # One read transaction for all of it: otherwise each commit of others would make the copy start again.
        connection.execute("BEGIN")
        check_owner(connection, source)
        if schema_version(connection) is None:
            raise NotOurDatabaseError(f"{source!r} has no tables of sqlite-job")
        with closing(connect_plainly(part), part) as copy:
            connection.backup(copy, pages=_PAGES_IN_A_STEP, progress=lambda *_: pause(_PAUSE_SECONDS))
    with closing(connect_plainly(part), part) as copy:
        return _check(copy, source)


def _check(copy: sqlite3.Connection, source: str) -> int:
    # The copy is to be one file; who opens it as a queue turns the journal on again.
    copy.execute("PRAGMA journal_mode=DELETE")
    found = " ".join(copy.execute("PRAGMA quick_check(1)").fetchone()[0].split())
    if found != "ok":
        raise DatabaseUnusableError(f"{source!r} is damaged, and so would be its copy: {found}; see sqlite-job doctor")
    return sum(count for _, _, count in read_rows(copy, lookup.COUNTS))


def _set_aside(path: str, now: int) -> str:
    """Rename a database and its journal, which belong together; returns the new name, or nothing if there was none."""
    aside = f"{path}.replaced-{to_datetime(now):%Y%m%dT%H%M%S.%fZ}"
    moved: List[str] = []
    try:
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(path + suffix):
                os.rename(path + suffix, aside + suffix)
                moved.append(suffix)
    except OSError as error:
        for suffix in moved:
            os.rename(aside + suffix, path + suffix)
        raise DatabaseUnavailableError(f"Cannot put {path!r} aside: {error.strerror}") from error
    return aside if "" in moved else ""
