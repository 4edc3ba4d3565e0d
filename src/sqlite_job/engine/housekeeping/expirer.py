"""Cancel jobs that were not started in time, and forget limits that nothing is left of."""

from __future__ import annotations

from sqlite_job.core.clock import Clock, elapsed
from sqlite_job.core.events import Events, JobsExpired
from sqlite_job.storage.interface import Storage

# Seconds between looks for rates and unique keys that mean nothing any more: each looks at all of them.
_FORGET_SECONDS = 600.0


class Expirer:
    """A service that looks each second for jobs that have expired; no worker starts them meanwhile."""

    every_seconds = 1.0

    def __init__(self, storage: Storage, *, clock: Clock, events: Events) -> None:
        """Take what it works with."""
        self._storage = storage
        self._clock = clock
        self._events = events
        self._forget_at = elapsed() + _FORGET_SECONDS

    def tick(self) -> None:
        """Look once; of very many the rest is left for the next look."""
        expired = self._storage.expire(self._clock.now())
        if expired:
            self._events.emit(JobsExpired(expired))
        if elapsed() >= self._forget_at:
            self._forget_at = elapsed() + _FORGET_SECONDS
            self._storage.forget_unused(self._clock.now())
