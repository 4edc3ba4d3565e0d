"""Take no more jobs while the disk is nearly full, so that those that are there can still be run and settled."""

from __future__ import annotations

import os
import shutil
from typing import Tuple

from sqlite_job.core.clock import elapsed
from sqlite_job.core.errors import DatabaseFullError

# The journal may grow by 32 MB before it is copied into the database, which then may grow as much. On a small disk a
# twentieth of it: there a fixed floor could be more than all.
_FLOOR_BYTES = 64 * 1024 * 1024
_FLOOR_PART = 20

# Asking takes 10 microseconds, a tenth of an enqueue: so not each time.
_SECONDS_BETWEEN_LOOKS = 1.0


class FreeSpace:
    """The room on the disk of one database."""

    def __init__(self, path: str) -> None:
        """Look at the disk that has the folder of `path`; at the first use, not now."""
        self._path = path
        self._next_look = 0.0

    def require(self) -> None:
        """Raise DatabaseFullError while there is less than the floor; looks at most once a second while all is well."""
        now = elapsed()
        if now < self._next_look:
            return
        free, floor = measure(self._path)
        if free < floor:
            message = (
                f"The disk of {self._path!r} has {free / 1e6:.1f} MB left, and below {floor / 1e6:.1f} MB no job is "
                f"taken, so that those that are there can be settled; nothing was written, make room"
            )
            raise DatabaseFullError(message)
        self._next_look = now + _SECONDS_BETWEEN_LOOKS


def measure(path: str) -> Tuple[int, int]:
    """Return the free bytes on the disk of a database, and the floor below which nothing is enqueued."""
    try:
        usage = shutil.disk_usage(os.path.dirname(path))
    except OSError:
        return (0, 0)  # whatever is wrong with the folder, opening the database says it better
    return (usage.free, min(_FLOOR_BYTES, usage.total // _FLOOR_PART))
