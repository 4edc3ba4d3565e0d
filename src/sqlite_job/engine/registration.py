"""Keep this worker known as alive: its row, its lease, and a new id when others have given it up."""

from __future__ import annotations

from typing import Sequence

from sqlite_job.core.clock import SECOND, Clock
from sqlite_job.core.errors import DatabaseError
from sqlite_job.core.events import Events, StorageFailed, WorkerExpelled
from sqlite_job.engine.outage import is_passing
from sqlite_job.storage.interface import Storage


class Registration:
    """One worker's place in the database."""

    def __init__(
        self, storage: Storage, queues: Sequence[str], *, lease_seconds: float, clock: Clock, events: Events
    ) -> None:
        """Register a worker for these queues, believed alive for `lease_seconds` after each sign of it."""
        self._storage = storage
        self._queues = queues
        self._lease = round(lease_seconds * SECOND)
        self._clock = clock
        self._events = events
        self.worker_id = self._register()
        self._is_abandoned = False

    def renew(self) -> bool:
        """Renew the lease; False when it had been given up, and a new id was taken."""
        if self._storage.heartbeat(self.worker_id, self._clock.now(), self._lease):
            return True
        self.start_anew()
        return False

    def start_anew(self) -> None:
        """Go on under a new id: what was held under the old one belongs to others now."""
        old_id, self.worker_id = self.worker_id, self._register()
        self._storage.unregister_worker(old_id)
        self._events.emit(WorkerExpelled(old_id, self.worker_id))

    def end(self) -> None:
        """Forget the worker, unless it was abandoned; while the database is away, its row is left to be found."""
        if self._is_abandoned:
            return
        try:
            self._storage.unregister_worker(self.worker_id)
        except DatabaseError as error:
            self.abandon()
            if not is_passing(error):
                raise
            self._events.emit(StorageFailed(error, 0))

    def abandon(self) -> None:
        """Show that the worker has ended without writing: the database is damaged, or another one by now."""
        self._is_abandoned = True
        self._storage.abandon_worker(self.worker_id)

    def _register(self) -> int:
        return self._storage.register_worker(self._queues, self._clock.now(), self._lease)
