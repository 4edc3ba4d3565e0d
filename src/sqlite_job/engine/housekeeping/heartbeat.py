"""Renew the worker's lease."""

from __future__ import annotations

from typing import Callable

from sqlite_job.core.clock import SECOND, Clock
from sqlite_job.engine.registration import Registration


class Heartbeat:
    """A service that shows every third of a lease that this worker lives."""

    def __init__(
        self, registration: Registration, lease_seconds: float, on_expelled: Callable[[], None], clock: Clock
    ) -> None:
        """Call `on_expelled` when others had given this worker up."""
        self.every_seconds = lease_seconds / 3
        self._registration = registration
        self._lease = round(lease_seconds * SECOND)
        self._on_expelled = on_expelled
        self._clock = clock
        self._last = clock.now()
        self._trusts_leases_from = self._last

    def tick(self) -> None:
        """Renew the lease."""
        if not self._registration.renew():
            self._on_expelled()
        now = self._clock.now()
        if self._is_late(now):
            self._trusts_leases_from = now + self._lease
        self._last = now

    def trusts_leases(self) -> bool:
        """Whether a lease that ran out tells that its worker is dead.

        While this worker could not renew its own (a full disk, a stranger's lock, a machine asleep, a clock that was
        set), the others could not either: they have the time of a lease to do it.
        """
        now = self._clock.now()
        return now >= self._trusts_leases_from and not self._is_late(now)

    def _is_late(self, now: int) -> bool:
        # It is due each third: one was missed. Or the clock was set back: times noted before mean nothing any more.
        return not 0 <= now - self._last <= self._lease // 2
