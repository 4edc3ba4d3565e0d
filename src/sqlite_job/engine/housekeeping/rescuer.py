"""Take the jobs of dead workers from them."""

from __future__ import annotations

from typing import Callable

from sqlite_job.core.clock import Clock
from sqlite_job.core.events import Events, JobsRescued
from sqlite_job.storage.interface import Storage


class Rescuer:
    """A service that looks for dead workers at start-up and each second."""

    every_seconds = 1.0

    def __init__(
        self,
        storage: Storage,
        max_deaths: int,
        *,
        trusts_leases: Callable[[], bool],
        clock: Clock,
        events: Events,
    ) -> None:
        """Let a job die `max_deaths` times before it fails; ask `trusts_leases` before judging by one."""
        self._storage = storage
        self._max_deaths = max_deaths
        self._trusts_leases = trusts_leases
        self._clock = clock
        self._events = events

    def tick(self) -> None:
        """Look once."""
        rescued = self._storage.rescue(self._clock.now(), self._max_deaths, by_lease=self._trusts_leases())
        if rescued:
            self._events.emit(JobsRescued(rescued))
