"""Do what must be done now and then, beside running jobs: every worker does all of it, and each is safe to do twice."""

from __future__ import annotations

from typing import List, Protocol, Sequence

from sqlite_job.core.clock import elapsed


class Service(Protocol):
    """Something to do every so many seconds, which each tick may change."""

    every_seconds: float

    def tick(self) -> None:
        """Do it once."""
        ...


class Housekeeping:
    """Calls services when they are due, from the engine's own loop: each is short."""

    def __init__(self, services: Sequence[Service]) -> None:
        """Make every service due at once."""
        self._services = services
        self._due: List[float] = [0.0] * len(services)

    def tick(self) -> None:
        """Call what is due."""
        now = elapsed()
        for number, service in enumerate(self._services):
            if now >= self._due[number]:
                # Before the call: one that raises is tried again at its next time, not at once.
                self._due[number] = now + service.every_seconds
                service.tick()
                self._due[number] = elapsed() + service.every_seconds

    def seconds_until_due(self) -> float:
        """Return how long the loop may sleep."""
        return max(min(self._due, default=float("inf")) - elapsed(), 0)
