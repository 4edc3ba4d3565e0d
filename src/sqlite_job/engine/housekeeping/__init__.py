"""Do what must be done now and then, beside running jobs: every worker does all of it, and each is safe to do twice."""

from __future__ import annotations

from typing import List, Protocol, Sequence

from sqlite_job.core.clock import elapsed


class Service(Protocol):
    """Something to do every so many seconds, which each tick may change."""

    @property
    def every_seconds(self) -> float:
        """Seconds from one time to the next; asked for anew each time."""
        ...

    def tick(self) -> None:
        """Do it once."""
        ...


class Housekeeping:
    """Calls services when they are due, from the engine's own loop: each is short."""

    def __init__(self, services: Sequence[Service]) -> None:
        """Make every service due at once."""
        self._services = services
        self._last: List[float] = [float("-inf")] * len(services)

    def tick(self) -> None:
        """Call what is due."""
        now = elapsed()
        for number, service in enumerate(self._services):
            if now >= self._last[number] + service.every_seconds:
                # Before the call: one that raises is tried again at its next time, not at once.
                self._last[number] = now
                service.tick()

    def seconds_until_due(self) -> float:
        """Return how long the loop may sleep."""
        due = (last + service.every_seconds for last, service in zip(self._last, self._services))
        return max(min(due, default=float("inf")) - elapsed(), 0)
