"""Touch the files of a SQLite database, without ever opening one that SQLite may have open.

Closing any other descriptor of the database or its -shm drops the POSIX locks that SQLite holds in this process, and
acknowledged commits are lost: so the database is only looked at (`os.stat`), or made where there is none. On the -wal
SQLite has no locks.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from functools import partial
from typing import Tuple

from sqlite_job.core.errors import (
    DatabaseReplacedError,
    DatabaseUnavailableError,
    DatabaseUnusableError,
    NotOurDatabaseError,
)

_PRIVATE = 0o600
_OTHERS_CAN_WRITE = stat.S_IWGRP | stat.S_IWOTH

Identity = Tuple[int, int]


def create_private(path: str) -> bool:
    """Make an empty file that only its owner can read; False when it exists already."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), _PRIVATE)
    except FileExistsError:
        return False
    except OSError as error:
        raise DatabaseUnavailableError(_explain_creation(path, error)) from error
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, _PRIVATE)  # a umask may have taken the owner's rights too
    os.close(descriptor)
    return True


def open_lock_file(path: str) -> int:
    """Open, or make, a lock file beside the database, which SQLite knows nothing of, and return its descriptor."""
    # Not through a link: we write to it, and whoever can write the folder could have us write to any file of ours.
    flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        create_private(path)
        return os.open(path, flags)
    except OSError as error:
        raise DatabaseUnavailableError(_explain_creation(path, error)) from error


def sync_journal(path: str) -> None:
    """Have the disk write what the -wal at `path` holds: of SQLite's files the one it never locks, so it may be opened.

    Raises OSError.
    """
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    try:
        getattr(os, "fdatasync", os.fsync)(descriptor)
    finally:
        os.close(descriptor)


def open_nothing() -> int:
    """Return a descriptor that reads and writes nothing, to stand in the place of another one."""
    return os.open(os.devnull, os.O_RDWR)


def check_folder(path: str) -> None:
    """Raise DatabaseUnavailableError unless there is a folder for a file at `path`, and it can be written."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise DatabaseUnavailableError(_explain_creation(path, OSError(0, "")))


def check_file(path: str) -> Identity:
    """Return what identifies the database file, after checking that it is one to trust.

    Raises DatabaseUnavailableError or NotOurDatabaseError with the mend.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        message = f"Cannot open the database {path!r}: {error.strerror}"
        raise DatabaseUnavailableError(message) from error
    if not stat.S_ISREG(found.st_mode):
        message = f"{path!r} is not a file; give the path of a database file, as 'jobs.db'"
        raise NotOurDatabaseError(message)
    if found.st_nlink > 1:
        # SQLite finds -wal and -shm by name: two names of one file mean two journals, and a corrupt database.
        message = f"The database {path!r} has {found.st_nlink} hard links; remove all but one"
        raise DatabaseUnusableError(message)
    if os.name == "posix" and found.st_mode & _OTHERS_CAN_WRITE:
        message = (
            f"The database {path!r} can be written by others (mode {stat.S_IMODE(found.st_mode):04o}), "
            f"and who can write it can run code as the worker; run: chmod go-w {path}"
        )
        raise DatabaseUnusableError(message)
    if not os.access(path, os.R_OK | os.W_OK):
        message = f"The database {path!r} cannot be read and written by this user; check its owner and mode"
        raise DatabaseUnusableError(message)
    return (found.st_dev, found.st_ino)


def check_same(path: str, identity: Identity) -> None:
    """Raise DatabaseReplacedError unless the file at `path` is still the one that was opened."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        message = f"The database {path!r} was deleted or moved while in use; what was not yet written was refused"
        raise DatabaseReplacedError(message) from None
    except OSError as error:
        message = f"The database {path!r} cannot be reached: {error.strerror}"
        raise DatabaseUnavailableError(message) from error
    if (found.st_dev, found.st_ino) != identity:
        message = (
            f"The database {path!r} was replaced by another file while in use; what was not yet written was refused"
        )
        raise DatabaseReplacedError(message)


def size_of(path: str) -> int:
    """Return a file's size in bytes, 0 when there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def put_in_place(part: str, path: str) -> None:
    """Give a finished file its name, in place of what has it: at any moment one of the two is whole there."""
    try:
        os.replace(part, path)
    except OSError as error:
        raise DatabaseUnavailableError(f"Cannot put {path!r} in its place: {error.strerror}") from error
    folder = os.open(os.path.dirname(path), os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(folder)  # the name is in the folder, and is to survive a power cut as the file does
    finally:
        os.close(folder)


def give_to_owner_of(model: str, *paths: str) -> None:
    """Let files that root made belong to whoever has `model`: the others could not open them."""
    if os.name == "posix" and os.geteuid() == 0:
        owner = os.stat(model)
        for path in paths:
            os.chown(path, owner.st_uid, owner.st_gid)


def read_of_system(path: str) -> str:
    """Return the text of a file below /proc, or nothing where there is none; no database can be there."""
    assert path.startswith("/proc/"), path  # noqa: S101 - see the top of this file
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            return os.fsdecode(b"".join(iter(partial(os.read, descriptor, 65536), b"")))
        finally:
            os.close(descriptor)
    return ""


def _explain_creation(path: str, error: OSError) -> str:
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        if _may_not_enter(folder):
            return f"Cannot make {path!r}: this user may not enter the folders above it; check their rights"
        return f"Cannot make {path!r}: the folder {folder!r} does not exist; create it, or give another path"
    if not os.access(folder, os.W_OK):
        return f"Cannot make {path!r}: this user cannot write the folder {folder!r}, where the journal goes too"
    if os.path.islink(path):
        return f"Cannot use {path!r}: it is a symbolic link, which sqlite-job did not make; remove it"
    return f"Cannot make {path!r}: {error.strerror}"


def _may_not_enter(folder: str) -> bool:
    try:
        os.stat(folder)
    except PermissionError:
        return True
    except OSError:
        pass
    return False
