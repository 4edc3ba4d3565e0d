"""Do what must be done now and then, beside running jobs: every worker does all of it, and each is safe to do twice."""

from __future__ import annotations

from typing import Callable, List, Protocol, Sequence, runtime_checkable

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


@runtime_checkable
class OccasionalService(Service, Protocol):
    """A service that has something to do only now and then, and wakes the loop when it has."""

    def is_needed(self) -> bool:
        """Whether there is anything to do; while there is not, it is never due."""
        ...


class Housekeeping:
    """Calls services when they are due, from the engine's own loop: each is short."""

    def __init__(self, services: Sequence[Service]) -> None:
        """Make every service due at once."""
        self._services = services
        self._last: List[float] = [float("-inf")] * len(services)
        self._is_needed: List[Callable[[], bool]] = [
            service.is_needed if isinstance(service, OccasionalService) else _always for service in services
        ]

    def tick(self) -> None:
        """Call what is due."""
        now = elapsed()
        for number, service in enumerate(self._services):
            if now >= self._last[number] + service.every_seconds and self._is_needed[number]():
                # Before the call: one that raises is tried again at its next time, not at once.
                self._last[number] = now
                service.tick()

    def seconds_until_due(self) -> float:
        """Return how long the loop may sleep."""
        services = zip(self._services, self._last, self._is_needed)
        due = (last + service.every_seconds for service, last, is_needed in services if is_needed())
        return max(min(due, default=float("inf")) - elapsed(), 0)


def _always() -> bool:
    return True
