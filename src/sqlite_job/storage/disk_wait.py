"""Say for each commit of a SQLite file whether it waits for the disk: a claim waits after its jobs have started.

Nobody was told of a claim. If a power cut undoes one, its jobs are pending as before, and whoever ran them is gone:
no other machine could still be at it, which is why this is for files alone. So the wait, a third of what lies between
an enqueue and its start, is made up for while the jobs run.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress

from sqlite_job.storage import files


class DiskWait:
    """Which commits of the writing connection wait; called behind the gate, but for `catch_up`."""

    def __init__(self, path: str, durability: str) -> None:
        """Take the database's path; with "normal" no commit ever waits."""
        self._journal = f"{path}-wal"
        self._is_wanted = durability == "full"
        self._connection_waits = True
        self._is_behind = False
        self._catching_up = threading.Lock()

    def start_anew(self) -> None:
        """Take note of a new connection, which is as `connect` makes it."""
        self._connection_waits = True

    def prepare(self, connection: sqlite3.Connection, *, waits: bool) -> None:
        """Let the next commit wait, or not; outside of a transaction."""
        if self._is_wanted and waits is not self._connection_waits:
            # As a script: it is compiled each time, and this PRAGMA acts when it is compiled.
            connection.executescript(f"PRAGMA synchronous={'FULL' if waits else 'NORMAL'}")
            self._connection_waits = waits

    def note_commit(self) -> None:
        """Remember whether the disk has all that was committed."""
        self._is_behind = self._is_wanted and not self._connection_waits

    def catch_up(self) -> None:
        """Wait until the disk has what was committed without waiting."""
        # Another worker of this process may be at it for both: until it is done, nothing is on record for this one.
        with self._catching_up:
            if self._is_behind:
                self._is_behind = False
                # What went wrong here is told to SQLite, too, by the system, at its next commit that waits.
                with suppress(OSError):
                    files.sync_journal(self._journal)
