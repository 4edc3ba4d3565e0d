"""Say when the database cannot be used and when it can again, and how long to wait in between."""

from __future__ import annotations

from typing import Optional

from sqlite_job.core.clock import elapsed
from sqlite_job.core.errors import (
    DatabaseBusyError,
    DatabaseError,
    DatabaseUnavailableError,
    DatabaseUnusableError,
)
from sqlite_job.core.events import Events, StorageFailed, StorageRecovered

_RETRY_FIRST = 0.1
_RETRY_LAST = 5.0


class Outage:
    """What one worker has met of failures since the database was last of use to it."""

    def __init__(self, events: Events) -> None:
        """Believe the database to be there."""
        self._events = events
        self._since: Optional[float] = None
        self._retry_in = _RETRY_FIRST

    def meet(self, error: DatabaseError) -> float:
        """Tell of a failure, and return the seconds to wait; raises what waiting does not mend."""
        if not is_passing(error):
            raise error
        if self._since is None:
            self._since = elapsed()
        seconds = self._retry_in
        self._events.emit(StorageFailed(error, seconds))
        self._retry_in = min(seconds * 2, _RETRY_LAST)
        return seconds

    def end(self) -> None:
        """Take note that the database has answered; tells of it after a failure."""
        if self._since is None:
            return
        seconds = elapsed() - self._since
        self._since, self._retry_in = None, _RETRY_FIRST
        self._events.emit(StorageRecovered(seconds))


def is_passing(error: DatabaseError) -> bool:
    """Whether trying again may help: somebody holds a lock, a disk is full, a server is away."""
    return isinstance(error, (DatabaseBusyError, DatabaseUnavailableError)) and not isinstance(
        error, DatabaseUnusableError
    )
