"""The mark that a move leaves: where a queue has gone, or from where one is coming. Who opens the database meets it."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from sqlite_job.core.clock import to_datetime
from sqlite_job.core.errors import DatabaseMovedError

TABLE = "sqlitejob_moved"

# The queue was moved from here; or it is being moved to here.
GONE, COMING = "gone", "coming"

READ = "SELECT role, other, at FROM {table}"
CREATE = "CREATE TABLE {table} (role TEXT NOT NULL, other TEXT NOT NULL, at BIGINT NOT NULL)"

# What the refusal of a guarded table begins with: how it is known for what it is.
REFUSAL = "The queue of "


class Mark(NamedTuple):
    """What is written in the one row of the table; `other` is the address of the other side, without a password."""

    role: str
    other: str
    at: int

    def error(self, shown: str) -> DatabaseMovedError:
        """Return the error for whoever opens the database, or writes to it."""
        return DatabaseMovedError(self.refusal(shown))

    def refusal(self, shown: str) -> str:
        """Say what has become of the queue, and what to do."""
        here, there = shlex.quote(shown), shlex.quote(self.other)
        since = f"{to_datetime(self.at):%Y-%m-%d %H:%M} UTC"
        if self.role == COMING:
            return (
                f"{REFUSAL}{self.other!r} is being moved to {shown!r}, since {since}, and cannot be used before that "
                f"has ended; if nobody is at it: sqlite-job move {there} {here}"
            )
        return (
            f"{REFUSAL}{shown!r} was moved to {self.other!r}, at {since}; use that address. To take it back: "
            f"sqlite-job move {here} {there} --undo"
        )
