"""Look at what lies around a database, before SQLite does: what others made there would become part of it.

SQLite takes a `-wal` or `-journal` beside the database for its own, and applies what is in it, whoever wrote it.
"""

from __future__ import annotations

import logging
import os
import stat
from typing import Set

from sqlite_job.core.errors import DatabaseUnusableError

_logger = logging.getLogger("sqlite_job")

_JOURNALS = ("-wal", "-shm", "-journal")

_OTHERS_CAN_WRITE = stat.S_IWGRP | stat.S_IWOTH


def check_journals(path: str) -> None:
    """Raise DatabaseUnusableError for a journal of the database that somebody else may have written."""
    if os.name != "posix":
        return
    trusted = {0, os.geteuid(), *_owner(path)}
    for journal in _JOURNALS:
        name = path + journal
        problem = _problem(name, trusted)
        if problem:
            raise DatabaseUnusableError(
                f"{name!r} {problem}: what is in it would become part of the database, and run code as the worker; "
                f"find out who wrote it, and keep databases in a folder that only you can write"
            )


def warn_of_open_folder(path: str) -> None:
    """Log a warning if everybody can rename files in the folder of a database, and so put another in its place.

    That a group can is no reason: on many systems each user has a group of their own, which can write their folders.
    """
    folder = os.path.dirname(path)
    mode = os.stat(folder).st_mode
    if os.name == "posix" and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        _logger.warning(
            "Everybody can write the folder %s, and so replace the database in it, and run code as the worker; "
            "run: chmod o-w %s",
            folder,
            folder,
        )


def _owner(path: str) -> Set[int]:
    try:
        return {os.stat(path).st_uid}
    except OSError:
        return set()


def _problem(name: str, trusted: Set[int]) -> str:
    try:
        found = os.lstat(name)
    except OSError:
        return ""
    if not stat.S_ISREG(found.st_mode):
        return "is no regular file"
    if found.st_uid not in trusted:
        return f"belongs to another user (uid {found.st_uid})"
    if found.st_mode & _OTHERS_CAN_WRITE:
        return f"can be written by others (mode {stat.S_IMODE(found.st_mode):04o})"
    return ""
