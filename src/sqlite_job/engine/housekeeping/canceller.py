"""Stop the running jobs that somebody wants cancelled."""

from __future__ import annotations

from typing import Callable, Optional

from sqlite_job.engine.registration import Registration
from sqlite_job.storage.interface import Storage


class Canceller:
    """A service that looks twice a second for wishes to cancel what this worker holds."""

    every_seconds = 0.5

    def __init__(
        self, storage: Storage, registration: Registration, cancel: Callable[[int, Optional[str]], None]
    ) -> None:
        """Call `cancel` with the seq and the reason of each wish, again and again until the job has ended."""
        self._storage = storage
        self._registration = registration
        self._cancel = cancel

    def tick(self) -> None:
        """Look once."""
        for request in self._storage.cancel_requests(self._registration.worker_id):
            self._cancel(request.seq, request.reason)
