"""Copy a queue's database while it is in use, and put a copy back: what `sqlite-job backup` and `restore` do."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from sqlite_job.core.clock import SystemClock
from sqlite_job.core.copies import Copy
from sqlite_job.core.errors import BackupRefusedError
from sqlite_job.settings import default_database
from sqlite_job.storage.opening import Database, environment_allows_network_fs, is_server, locate, shown


def back_up(target: Database, database: Optional[Database] = None, *, force: bool = False) -> Copy:
    """Copy `database`, or the default one, to the file `target`, as it is at one moment; others read and write on.

    The copy is checked, readable for its owner alone, and one file. With `force` it takes the place of a file that is
    there. Raises BackupRefusedError or a DatabaseError; then there is no copy.
    """
    # Imported here, and below: SQLAlchemy takes longer to import than all the rest.
    from sqlite_job.storage import backup

    return backup.back_up(_locate(database), str(Path(target).absolute()), force=force)


def restore(source: Database, database: Optional[Database] = None, *, force: bool = False) -> Copy:
    """Put a copy of the backup `source` in the place of `database`, or of the default one.

    Where there is a database already, `force` is needed: it is kept beside, under another name. Its workers must have
    ended. What was running when the backup was made, the first worker rescues. Raises BackupRefusedError or a
    DatabaseError; then nothing was changed.
    """
    from sqlite_job.storage import backup

    return backup.restore(
        str(Path(source).absolute()),
        _locate(database),
        force=force,
        now=SystemClock().now(),
        allow_network_fs=environment_allows_network_fs(),
    )


def _locate(database: Optional[Database]) -> str:
    found = locate(default_database() if database is None else database)
    if is_server(found):
        raise BackupRefusedError(
            f"{shown(found)} is on a server, and this copies files: use the server's own pg_dump, or take the queue "
            f"into a file with sqlite-job move"
        )
    return found
