"""Renew the worker's lease."""

from __future__ import annotations

from typing import Callable

from sqlite_job.engine.registration import Registration


class Heartbeat:
    """A service that shows every third of a lease that this worker lives."""

    def __init__(self, registration: Registration, lease_seconds: float, on_expelled: Callable[[], None]) -> None:
        """Call `on_expelled` when others had given this worker up."""
        self.every_seconds = lease_seconds / 3
        self._registration = registration
        self._on_expelled = on_expelled

    def tick(self) -> None:
        """Renew the lease."""
        if not self._registration.renew():
            self._on_expelled()
