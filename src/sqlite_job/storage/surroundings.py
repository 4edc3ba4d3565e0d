"""Look at what a database depends on, from outside: the library, the disk, the files, their locks."""

from __future__ import annotations

import os
import sqlite3
import stat
from typing import Iterator, Tuple

from sqlite_job.core.clock import pause
from sqlite_job.core.errors import DatabaseError
from sqlite_job.core.findings import Finding, ok, warning, wrong
from sqlite_job.storage import files, lock_table
from sqlite_job.storage.filesystem import check_filesystem, find_mount, is_shared
from sqlite_job.storage.free_space import measure
from sqlite_job.storage.sqlite_connection import check_version

_SUFFIXES = ("", "-wal", "-shm", "-gate", "-workers")

# Twice what lets a checkpoint begin: something stands in its way.
LARGE_JOURNAL_BYTES = 64 * 1024 * 1024

# A reader seen at both ends of this time is a long one.
_LONG_READ_SECONDS = 0.5

_Version = Tuple[int, ...]

_RESET_BUG_SINCE = (3, 7, 0)
_RESET_BUG_MENDED = (3, 51, 3)
_RESET_BUG_MENDED_EARLIER = ((3, 44, 6), (3, 50, 7))


def check_library(version: _Version = sqlite3.sqlite_version_info) -> Finding:
    """Say which SQLite this Python has."""
    found = ".".join(map(str, version))
    try:
        check_version(version)
    except DatabaseError as error:
        return wrong("SQLite", str(error))
    if has_reset_bug(version):
        return ok(
            "SQLite",
            f"{found}, whose automatic checkpoints can damage a file (mended in 3.51.3): sqlite-job makes none, other "
            f"programs that write to this file might",
        )
    return ok("SQLite", found)


def has_reset_bug(version: _Version) -> bool:
    """Whether this version has the WAL-reset bug (https://sqlite.org/wal.html#walresetbug)."""
    is_mended_earlier = any(mended <= version < (*mended[:2], 1000) for mended in _RESET_BUG_MENDED_EARLIER)
    return _RESET_BUG_SINCE <= version < _RESET_BUG_MENDED and not is_mended_earlier


def check_place(path: str, *, allow_network_fs: bool) -> Finding:
    """Say what file system the database lies on, and whether its locks hold."""
    try:
        check_filesystem(path, allow_network=allow_network_fs)
    except DatabaseError as error:
        return wrong("File system", str(error))
    mount = find_mount(path)
    if mount is None:
        return ok("File system", "not told by this system; take care that it is a local one")
    if is_shared(mount.kind):
        mend = "make sure that one machine alone opens the database, or put it on a local disk"
        return warning("File system", f"{mount.kind} ({mount.source}) at {mount.point}, not local, and allowed", mend)
    return ok("File system", f"{mount.kind} at {mount.point}, local")


def check_space(path: str) -> Finding:
    """Say how much room the disk has."""
    free, floor = measure(path)
    message = f"{_megabytes(free)} free"
    if free < floor:
        return wrong("Disk", f"{message}; below {_megabytes(floor)} no job is taken", "make room")
    if free < 2 * floor:
        return warning("Disk", f"{message}; below {_megabytes(floor)} no job is taken", "make room")
    return ok("Disk", message)


def check_files(path: str) -> Iterator[Finding]:
    """Say whom the files belong to, and who else can use them."""
    try:
        files.check_file(path)
    except DatabaseError as error:
        yield wrong("Files", str(error))
        return
    owner = os.stat(path).st_uid
    problems = [finding for suffix in _SUFFIXES for finding in _check_one(path + suffix, owner)]
    yield from problems
    if not problems:
        yield ok("Files", f"for their owner alone (user {owner})")


def _check_one(path: str, owner: int) -> Iterator[Finding]:
    try:
        found = os.stat(path)
    except OSError:
        return  # made when it is needed
    name, mode = os.path.basename(path), stat.S_IMODE(found.st_mode)
    if found.st_uid != owner:
        yield warning(
            "Files", f"{name} belongs to user {found.st_uid}, the database to user {owner}", "run all as one user"
        )
    if not os.access(path, os.R_OK | os.W_OK):
        yield wrong("Files", f"{name} cannot be read and written by this user", "run as its owner")
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield wrong("Files", f"{name} can be written by others (mode {mode:04o})", f"chmod go-rwx {path}")
    elif mode & (stat.S_IRGRP | stat.S_IROTH):
        # Of the database: all arguments and results; of a lock file: who can open it can hold it.
        yield warning("Files", f"{name} can be read by others (mode {mode:04o})", f"chmod go-rwx {path}")


def check_journal(path: str) -> Finding:
    """Say how large the file and its journal are, and who keeps a large journal from being emptied."""
    journal = files.size_of(f"{path}-wal")
    message = f"{_megabytes(files.size_of(path))}, and {_megabytes(journal)} in its journal"
    if journal <= LARGE_JOURNAL_BYTES:
        return ok("Size", message)
    first = set(lock_table.readers(path))
    pause(_LONG_READ_SECONDS)
    long_readers = sorted(first.intersection(lock_table.readers(path)))
    if not long_readers:
        return warning("Size", f"{message}: it is being filled faster than emptied, or was not emptied", "look again")
    return warning(
        "Size",
        f"{message}: it cannot be emptied while somebody reads: {lock_table.describe(long_readers)}",
        "end that read transaction (a query that is not fetched to its end, a backup)",
    )


def check_users(path: str) -> Finding:
    """Say which other processes have the database open."""
    pids = lock_table.users(path)
    return ok("In use", f"by {lock_table.describe(pids)}" if pids else "by nobody else that can be seen")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
